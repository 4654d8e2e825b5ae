"""`eventer status`: the page that one wants at three in the morning. What is wrong and what to do come first."""

from __future__ import annotations

import argparse
import shutil
import sys
import textwrap
import time
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from eventer.cli import add_command
from eventer.cli.attention import BAD, Matter, matters
from eventer.cli.colour import BOLD, DIM, GREEN, RED, YELLOW, Paint, painter, wants_colour
from eventer.cli.daemon import Daemon, NoDaemonError, add_state_options, directory_of
from eventer.cli.figures import count, duration, plural, size, table
from eventer.control.report import SinkReport, Status, StreamReport, of_books
from eventer.errors import EventerError
from eventer.text import escape

__all__ = ["add_parser", "main", "render"]

_TEXT: Final = """\
Shows the running daemon: what needs a look and what to do about it, each stream with its lag, each sink
with its state and what waits for it, and the books. Where no daemon runs, it shows what the journal holds.
"""
_EXAMPLES: Final = (
    "eventer status",
    "eventer status --state /var/lib/eventer --output json",
    "kubectl -n eventer exec deploy/eventer -- eventer status",
)


def add_parser(subparsers: Any) -> None:
    """Declare the command's options."""
    codes = {0: "all is well", 1: "something needs a look, or nobody could be asked", 2: ""}
    parser = add_command(subparsers, "status", _TEXT, _EXAMPLES, codes)
    add_state_options(parser)
    parser.add_argument("--output", choices=["text", "json"], default="text", help="for people, or for programs")


def main(args: argparse.Namespace) -> int:
    """Show the status.

    Returns:
        0 if all is well, 1 if something needs a look or nothing could be learned.
    """
    try:
        status = _status(args)
    except EventerError as error:
        print(f"eventer status: {error}", file=sys.stderr)
        return 1
    found = matters(status)
    if args.output == "json":
        attention = [{"severity": "bad" if m.severity == BAD else "warning", "what": m.what, "remedy": m.remedy}
                     for m in found]  # fmt: skip
        whole = {"attention": attention, **msgspec.to_builtins(status)}
        print(msgspec.json.format(msgspec.json.encode(whole), indent=2).decode())
    else:
        columns = shutil.get_terminal_size((100, 24)).columns
        print(render(status, found, painter(colour=wants_colour(sys.stdout)), min(columns, 140)))
    return 1 if found else 0


def _status(args: argparse.Namespace) -> Status:
    directory = directory_of(args)
    try:
        return msgspec.convert(Daemon(directory).get("/v1/status"), Status)
    except NoDaemonError:
        from eventer.journal import read_books
        from eventer.journal.files import FILE

        if not (directory / FILE).exists():
            raise
        return of_books(read_books(directory), str(directory), time.time())


def render(status: Status, found: list[Matter], paint: Paint, columns: int) -> str:
    """Write the page.

    Args:
        status: what there is to show.
        found: what needs a look.
        paint: colours.
        columns: of the terminal.
    """
    lines = [_headline(status, found, paint), *_attention(found, paint, columns)]
    if status.streams:
        lines += ["", paint(BOLD, "streams"), *_streams(status, paint)]
    if status.sinks:
        lines += ["", paint(BOLD, "sinks"), *_sinks(status, paint)]
    lines += ["", paint(BOLD, "books"), *_books(status, paint)]
    if status.config.file:
        lines += ["", paint(BOLD, "configuration"), f"  {escape(status.config.file)}, {_config(status)}"]
    return "\n".join(lines)


def _headline(status: Status, found: list[Matter], paint: Paint) -> str:
    bad = sum(matter.severity == BAD for matter in found)
    if not found:
        verdict = paint(GREEN, "all is well")
    elif bad:
        verdict = paint(RED, f"{plural(bad, 'thing')} to do for a person")
    else:
        verdict = paint(YELLOW, f"{plural(len(found), 'thing')} to look at")
    if not status.pid:
        where = escape(status.journal.directory)
        return f"{paint(BOLD, 'eventer')} {status.version}, not running; from the journal in {where}: {verdict}"
    up = duration(status.now - status.started)
    return f"{paint(BOLD, 'eventer')} {status.version}, pid {status.pid}, up for {up}: {verdict}"


def _attention(found: list[Matter], paint: Paint, columns: int) -> list[str]:
    lines: list[str] = []
    for matter in found:
        mark = paint(RED, "!!") if matter.severity == BAD else paint(YELLOW, " !")
        first, *rest = textwrap.wrap(escape(matter.what), columns - 4) or [""]
        lines += ["", f"{mark} {first}", *(f"   {line}" for line in rest)]
        arrow = "   -> "
        for line in textwrap.wrap(escape(matter.remedy), columns - 8):
            lines.append(paint(DIM, f"{arrow}{line}"))
            arrow = "      "
    return lines


def _streams(status: Status, paint: Paint) -> list[str]:
    def row(stream: StreamReport) -> list[str]:
        state = "blocked" if stream.blocked else "ok" if stream.connected else "down" if status.pid else "-"
        contact = "never" if stream.contact is None else f"{duration(status.now - stream.contact)} ago"
        event = "-" if stream.last_event is None else f"{duration(status.now - stream.last_event)} ago"
        lag = f"{stream.lag:.1f} s" if stream.lag is not None else "-"
        position = "-" if stream.position is None else str(stream.position)
        return [escape(stream.cluster), escape(stream.scope), state, lag, event, contact, position]

    head = ["CLUSTER", "SCOPE", "STATE", "LAG", "LAST EVENT", "CONTACT", "POSITION"]
    return _painted(table([head, *map(row, status.streams)], right=(3, 4, 5, 6)), [s.connected for s in status.streams],
                    paint)  # fmt: skip


def _sinks(status: Status, paint: Paint) -> list[str]:
    def row(sink: SinkReport) -> list[str]:
        oldest = "-" if sink.oldest is None else duration(status.now - sink.oldest)
        success = "-" if sink.last_success is None else f"{duration(status.now - sink.last_success)} ago"
        waits = [count(sink.pending), oldest, count(sink.parked), count(sink.dead)]
        return [escape(sink.name), sink.kind or "-", sink.state or "-", *waits, success]

    head = ["SINK", "KIND", "STATE", "WAITING", "OLDEST", "PARKED", "DEAD", "LAST SUCCESS"]
    return _painted(table([head, *map(row, status.sinks)], right=(3, 4, 5, 6, 7)),
                    [sink.state in {"ok", "", "opening"} for sink in status.sinks], paint)  # fmt: skip


def _painted(lines: list[str], well: list[bool], paint: Paint) -> list[str]:
    head, *rows = lines
    return [paint(DIM, head), *(row if good else paint(RED, row) for row, good in zip(rows, well, strict=True))]


def _books(status: Status, paint: Paint) -> list[str]:
    """Write the equations with their numbers; what does not balance cannot be overlooked."""
    journal = status.journal
    lines = [f"  journal: {plural(journal.head, 'event')} ever" + (
        f", {size(journal.backlog)} wait of {size(journal.max_size)}, {size(journal.used)} on the disk"
        if status.pid else ""
    )]  # fmt: skip
    if status.mirror is not None:
        lines.append(f"  mirror: {paint(RED, 'not written') if status.mirror else 'written'}")
    for stream in status.streams:
        terms = {"poison": stream.poison, "seen": stream.seen, "filtered": stream.filtered, "kept": stream.appended}
        name = f"{stream.cluster} {stream.scope}"
        lines.append(_equation(name, "received", stream.received, terms, paint))
    if status.replayed is not None:
        given = {"filtered": status.replayed.filtered, "kept": status.replayed.appended}
        lines.append(_equation("replay", "given in", status.replayed.received, given, paint))
    if status.own:
        lines.append(f"  own records: {count(status.own)} kept (gaps and the like)")
    for sink in status.sinks:
        passed = sum(sink.outcomes.values())
        terms = {name: n for name, n in sink.outcomes.items() if n}
        if sink.alerting is not None:
            events = {name: n for name, n in sink.alerting.items() if name != "pending"}
            lines.append(_equation(f"{sink.name} alerting", "events looked at", sum(events.values()), events, paint))
        lines.append(_equation(sink.name, "passed", passed, terms or {"nothing": 0}, paint))
    return lines


def _equation(name: str, left: str, total: int, terms: dict[str, int], paint: Paint) -> str:
    right = " + ".join(f"{count(n)} {term}" for term, n in terms.items() if n) or "0"
    line = f"  {escape(name)}: {count(total)} {left} = {right}"
    return line if total == sum(terms.values()) else paint(RED, f"{line}  DOES NOT BALANCE: please report this")


def _config(status: Status) -> str:
    config = status.config
    taken = datetime.fromtimestamp(config.taken, UTC)
    again = ", ".join(f"{count(n)} {name}" for name, n in config.results.items() if n)
    return f"read {taken:%Y-%m-%d %H:%M:%S} UTC" + (f"; read again since the start: {again}" if again else "")
