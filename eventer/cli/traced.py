"""What became of an event that the daemon holds: for `explain --uid`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from eventer.cli.colour import BOLD, GREEN, RED, YELLOW, Paint
from eventer.cli.daemon import Daemon, directory_of
from eventer.config.route import Route
from eventer.control.report import Traced
from eventer.event import Event, decode_lines
from eventer.text import escape

__all__ = ["became", "traced"]


def traced(args: argparse.Namespace) -> Iterator[tuple[Event, Traced]]:
    """Ask the daemon for the occurrences of one Event, or of the object that it is about, that it still holds.

    Raises:
        DaemonError: it did not answer, or there is none.
    """
    for line in Daemon(directory_of(args)).lines("/v1/trace", uid=args.uid):
        found = msgspec.json.decode(line, type=Traced)
        (event,) = decode_lines([bytes(found.event)])
        yield event, found


def became(found: Traced, way: Route, paint: Paint) -> list[str]:
    """Say what became of an event at each sink.

    Args:
        found: what the daemon knows.
        way: what the rules of the configuration say.
        paint: colours.
    """
    when = "" if found.at is None else f" at {datetime.fromtimestamp(found.at, UTC):%Y-%m-%d %H:%M:%S} UTC"
    lines = ["", f"{paint(BOLD, 'what became of it')} (event {found.offset} of the journal, stored{when})"]
    wanted = {answer.name: answer.matches for answer in way.answers}
    unsure = {answer.name for answer in way.answers if answer.unsure}
    for sink, state in found.sinks.items():
        is_wanted = wanted.get(sink, True)
        words, colour = {
            "passed": ("sent, or replaced by a newer update (repeats), or not wanted by what was looked up", YELLOW)
            if sink in unsure
            else ("sent, or replaced by a newer update (repeats)", GREEN)
            if is_wanted
            else ("passed over: not wanted", RED),
            "waits": ("waits for its turn", YELLOW),
        }.get(state, (state, YELLOW))
        lines.append(f"  {escape(sink)}: {paint(colour, escape(words))}")
        if sink in found.quieted:
            lines.append(f"    {found.quieted[sink]}")
    return lines
