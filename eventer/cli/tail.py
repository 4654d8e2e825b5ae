"""`eventer tail`: events as they come, from the running daemon, for people or as JSON lines."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

from eventer.cli import add_command, typed
from eventer.cli.colour import BOLD, DIM, RED, YELLOW, Paint, painter, wants_colour
from eventer.cli.daemon import Daemon, add_state_options, directory_of
from eventer.cli.matching import add_match_option, rules_of
from eventer.errors import EventerError
from eventer.event import Event, Origin, decode_lines
from eventer.match import Verdicts
from eventer.text import escape
from eventer.values import Duration

__all__ = ["add_parser", "line", "main"]

_TEXT: Final = """\
Shows what the daemon stores, as it stores it: after the filter, before any sink. It takes nothing away
from the sinks, and costs them nothing. Ctrl-C ends it.
"""
_EXAMPLES: Final = (
    "eventer tail",
    "eventer tail --last 20 --match type=Warning,namespace=shop",
    "eventer tail --since 10m --no-follow --output json > events.jsonl",
    "kubectl -n eventer exec deploy/eventer -- eventer tail --match 'reason=/BackOff|Failed/'",
)
_LAST: Final = 10


def add_parser(subparsers: Any) -> None:
    """Declare the command's options."""
    codes = {0: "ended by Ctrl-C, or all was shown", 1: "nobody could be asked, or the daemon ended", 2: ""}
    parser = add_command(subparsers, "tail", _TEXT, _EXAMPLES, codes)
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--last", type=int, metavar="N", help=f"begin with the last N that are kept (default: {_LAST})")
    begin.add_argument(
        "--since", type=typed(Duration.parse), metavar="TIME", help="begin with what came in a time such as 10m"
    )
    parser.add_argument("--no-follow", action="store_true", help="end with what is there")
    add_match_option(parser)
    parser.add_argument("--output", choices=["text", "json"], default="text", help="for people, or JSON lines")
    add_state_options(parser)


def main(args: argparse.Namespace) -> int:
    """Show events until Ctrl-C.

    Returns:
        0, or 1 if there is no daemon to ask.
    """
    try:
        wanted = Verdicts(rules_of(args)) if args.match else None
    except ValueError as error:
        print(f"eventer tail: {error}", file=sys.stderr)
        return 2
    paint = painter(colour=wants_colour(sys.stdout))
    try:
        for text in _lines(args):
            (event,) = decode_lines([text])
            if wanted is None or wanted([event])[0] >= 0:
                print(line(event, paint) if args.output == "text" else text.decode(), flush=True)
    except KeyboardInterrupt:
        return 0
    except EventerError as error:
        print(f"eventer tail: {error}", file=sys.stderr)
        return 1
    return 0


def _lines(args: argparse.Namespace) -> Iterator[bytes]:
    last = _LAST if args.last is None else args.last
    since = None if args.since is None else time.time() - args.since
    follow = None if args.no_follow else 1
    return Daemon(directory_of(args)).lines(
        "/v1/events", last=None if since is not None else last, since=since, follow=follow
    )


def line(event: Event, paint: Paint) -> str:
    """Write an event on one line."""
    what = f"{event.kind} {event.namespace}/{event.name}" if event.namespace else f"{event.kind} {event.name}"
    urgent = RED if event.origin is Origin.EVENTER else YELLOW
    reason = paint(urgent if event.type == "Warning" else BOLD, f"{escape(event.reason):<20}")
    more = paint(DIM, f" (x{event.count})") if event.count > 1 else ""
    cluster = paint(DIM, escape(event.cluster or "eventer"))
    message = escape(" ".join(event.message.split()))
    return f"{event.time:%H:%M:%S} {cluster} {reason} {escape(what)}: {message}{more}"
