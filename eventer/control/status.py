"""What `eventer status` shows of a running daemon: everything that one wants to know at three in the morning."""

from __future__ import annotations

import os
from typing import Final

import msgspec

from eventer.control.report import JournalReport, SinkReport, Status, StreamReport, of_books
from eventer.control.view import View
from eventer.delivery.breaker import State
from eventer.journal import StreamKey

__all__ = ["status"]

_WORDS: Final = {State.OPEN: "failing, tried again later", State.HALF_OPEN: "failing, being tried"}


async def status(view: View) -> Status:
    """Return what is known of all parts now: the books as they are on the disk, the rest from memory.

    Raises:
        JournalError: the journal cannot be read.
    """
    now = view.clock.now().timestamp()
    journal = view.journal
    books = of_books(await journal.books(), str(view.state.path), now)
    streams = {StreamKey(stream.cluster, stream.scope): stream for stream in books.streams}
    sinks = {sink.name: sink for sink in books.sinks}
    return Status(
        version=books.version,
        pid=os.getpid(),
        now=now,
        started=view.started,
        live=view.live(),
        not_ready=view.not_ready(),
        config=view.config,
        journal=JournalReport(
            directory=str(view.state.path),
            head=books.journal.head,
            used=journal.used,
            backlog=journal.backlog,
            max_size=int(view.state.max_size),
            trouble=journal.trouble,
            damaged=view.quarantines,
        ),
        streams=[_stream(view, key, streams.get(key)) for key in sorted(view.streams)],
        sinks=[_sink(view, name, sinks.get(name)) for name in view.runners],
        replayed=books.replayed,
        own=books.own,
        forbidden=view.forbidden(),
        mirror=None if view.mirror is None else view.mirror.error,
    )


def _stream(view: View, key: StreamKey, report: StreamReport | None) -> StreamReport:
    status = view.streams[key].status
    return msgspec.structs.replace(
        report or StreamReport(cluster=key.cluster, scope=key.scope),
        connected=status.connected,
        blocked=bool(status.blocked),
        error=status.blocked or ("" if status.connected else status.last_error),
        last_event=status.last_event,
        lag=status.lag,
    )


def _sink(view: View, name: str, report: SinkReport | None) -> SinkReport:
    runner = view.runners[name]
    status = runner.status
    since = None
    if status.last_success is not None:
        since = view.clock.now().timestamp() - (view.clock.monotonic() - status.last_success)
    return msgspec.structs.replace(
        report or SinkReport(name=name),
        kind=runner.kind,
        state=str(status.health),
        reason=status.reason,
        error=status.error,
        last_success=since,
        destinations={
            destination or "all of it": _WORDS[breaker.state]
            for destination, breaker in runner.parked.destinations.items()
            if breaker.state in _WORDS
        },
    )
