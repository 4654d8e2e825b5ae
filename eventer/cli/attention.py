"""What in a daemon's status needs a look: each thing in words, with what to do. The worst comes first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from eventer.cli.figures import count, duration, plural, size
from eventer.control.report import SinkReport, Status, StreamReport

__all__ = ["BAD", "WARN", "Matter", "matters"]

BAD: Final = 0
"""A person must act, or events are lost sooner or later."""
WARN: Final = 1
"""It heals by itself, or there is something to decide on."""

_NEARLY: Final = 0.8
"""Share of `state.max_size` from which on it is told."""


class Matter(msgspec.Struct, frozen=True, order=True):
    """One thing that needs a look."""

    severity: int
    what: str
    remedy: str


def matters(status: Status) -> list[Matter]:
    """Return all of them; none if all is well."""
    found = [*_daemon(status), *_config(status)]
    for stream in status.streams:
        found += _stream(status, stream)
    for sink in status.sinks:
        found += _sink(status, sink)
    return sorted(found, key=lambda matter: matter.severity)


def _daemon(status: Status) -> Iterator[Matter]:
    journal = status.journal
    if not status.pid:
        yield Matter(BAD, "No daemon runs here: nothing is read, and nothing is delivered.", "eventer run starts one.")
        return
    if not status.live:
        yield Matter(BAD, "The daemon's loops make no progress.", "Look at its log; a restart loses nothing.")
    if journal.trouble:
        yield Matter(
            BAD,
            f"The disk under {journal.directory} refuses: {journal.trouble} Reading is paused; the clusters keep "
            "events meanwhile, for as long as they live.",
            "Free the disk, or look at its errors; it goes on by itself.",
        )
    if journal.damaged:
        yield Matter(
            BAD,
            f"The journal was damaged and begun anew ({plural(journal.damaged, 'time')} since the start).",
            "Look at the disk. What waited for sinks is lost unless the clusters still hold it; a gap record tells.",
        )
    if journal.max_size and journal.backlog > _NEARLY * journal.max_size:
        yield Matter(
            BAD,
            f"{size(journal.backlog)} of events wait, of {size(journal.max_size)} at most (state.max_size).",
            "The sink that lags most will lose its oldest events: repair it, or raise state.max_size.",
        )
    if status.mirror:
        yield Matter(
            WARN,
            f"The mirror of positions is not written: {status.mirror} A new pod would begin further back.",
            "It is tried again by itself; grant what is named.",
        )
    for cluster, rights in status.forbidden.items():
        yield Matter(
            WARN,
            f"Look-ups in {cluster} lack rights: {', '.join(rights)}. Events go out without what they would bring, "
            "and rules that ask for it take all.",
            "Grant them to Eventer's service account, as the chart does for `enrich`, or look up less.",
        )
    for why in status.not_ready:
        if why.startswith("cluster "):
            yield Matter(BAD, f"{why[0].upper()}{why[1:]}", "It is tried again by itself.")


def _config(status: Status) -> Iterator[Matter]:
    config = status.config
    if config.refused is not None:
        ago = duration(status.now - config.refused)
        for fault in config.faults:
            line = "" if fault.line is None else f", line {fault.line}"
            path = f"{fault.path}: " if fault.path else ""
            yield Matter(
                BAD,
                f"The configuration was refused {ago} ago ({config.file}{line}): {path}{fault.message}. What ran "
                "before still runs; the next start would fail.",
                fault.remedy[:1].upper() + fault.remedy[1:],
            )
    if config.waiting:
        options = ", ".join(config.waiting)
        yield Matter(WARN, f"Changed, and not in effect yet: {options}.", "Restart the daemon; that loses nothing.")


def _stream(status: Status, stream: StreamReport) -> Iterator[Matter]:
    name = f"{stream.cluster} {stream.scope}".strip()
    if not status.pid:
        return
    since = "" if stream.contact is None else f" Last contact {duration(status.now - stream.contact)} ago."
    if stream.blocked:
        yield Matter(BAD, f"Stream {name} may not read: {stream.error}{since}", "Grant the right that is named.")
    elif not stream.connected:
        yield Matter(
            WARN,
            f"Stream {name} is not connected: {stream.error or 'connecting'}{since}",
            "It is tried again by itself. Beyond event_ttl without contact events may be lost; a gap record tells.",
        )
    if stream.dead:
        yield Matter(
            WARN,
            f"Stream {name}: {plural(stream.dead, 'line')} of the cluster cannot be read as events, and are kept.",
            f"eventer dead-letters list --sink 'intake:{stream.cluster}/{stream.scope}' shows them.",
        )


def _sink(status: Status, sink: SinkReport) -> Iterator[Matter]:
    waits = sink.pending + sink.parked
    oldest = f", the oldest for {duration(status.now - sink.oldest)}" if sink.oldest is not None else ""
    waiting = f" {plural(waits, 'event')} wait{'s' * (waits == 1)}{oldest}." if waits else ""
    if sink.state == "blocked":
        yield Matter(
            BAD,
            f"Sink {sink.name} is blocked: {sink.error}{waiting}",
            "A person must put right what is named. It is tried every few minutes; nothing is dropped meanwhile.",
        )
    elif sink.state in {"retrying", "opening"} and sink.error:
        yield Matter(
            WARN,
            f"Sink {sink.name} does not take events: {sink.error}{waiting}",
            "It is tried again by itself, and nothing is lost before state.max_age; look whether the far side is up.",
        )
    elif sink.destinations:
        parts = ", ".join(sorted(sink.destinations))
        yield Matter(
            WARN, f"Sink {sink.name}: a part of the far side fails ({parts}). {count(sink.parked)} events are parked.",
            "They are tried again by themselves; all others go on.",
        )  # fmt: skip
    if sink.dead:
        yield Matter(
            WARN,
            f"Sink {sink.name} has {plural(sink.dead, 'dead letter')}: what it can never take, or may not have got.",
            f"eventer dead-letters list --sink {sink.letters} shows them with the reason; then retry or drop them.",
        )
