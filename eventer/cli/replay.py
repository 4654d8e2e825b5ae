"""`eventer replay`: recorded or kept events once more, to one sink, or through the whole path to all."""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from eventer.cli import EX_CONFIG, add_command, typed
from eventer.cli.daemon import Daemon, DaemonError, NoDaemonError, add_state_options, directory_of
from eventer.cli.feed import Feed, Pace, Progress, from_daemon, from_files
from eventer.cli.figures import count, plural
from eventer.config.load import Examined, examine
from eventer.config.types import Config
from eventer.config.words import similar
from eventer.errors import EventerError
from eventer.readmission import Admitted
from eventer.source.replay import Home
from eventer.text import escape
from eventer.values import Duration

__all__ = ["add_parser", "main"]

_TEXT: Final = """\
Sends events again: those of files (Eventer's own lines, exported dead letters, what kubectl prints as JSON, the
lines of a watch; also compressed with gzip), or those that the daemon still keeps (state.keep).

With --to they go to one sink of the configuration, from this process, past the filter: the sink's match, its
batches, limits and retries hold, and what it refuses is written to a file. Without --to the daemon takes them
in, past its memory of what it has seen: the filter holds, and every sink gets them as if they came now.
Ids stay what they were, so stores that know them keep one of each. Ctrl-C ends it, and says how to go on.
"""
_EXAMPLES: Final = (
    "eventer replay dead.jsonl --to archive",
    "eventer replay events.jsonl.3.gz events.jsonl --to archive",
    "eventer replay --since 30m",
    "eventer replay incident.jsonl --to ops-chat --pace 10x",
)
_SPEEDS: Final = {"none": None, "original": 1.0}
PATIENCE: Final = 60.0
"""Seconds for which a daemon that went away is waited for: it may be starting again."""
AGAIN: Final = 1.0
"""Seconds between two tries of a portion that was not taken."""


def add_parser(subparsers: Any) -> None:
    """Declare the command's options."""
    codes = {0: "all of them were sent", 1: "some were not, or none could be", 2: "", 78: ""}
    parser = add_command(subparsers, "replay", _TEXT, _EXAMPLES, codes)
    parser.add_argument("files", nargs="*", metavar="FILE", help="recorded events; - for standard input")
    parser.add_argument(
        "--since", type=typed(Duration.parse), metavar="TIME", help="what the daemon stored in a time such as 30m"
    )
    parser.add_argument("--to", metavar="SINK", help="only to this sink")
    parser.add_argument(
        "--pace",
        type=_pace,
        default=None,
        metavar="none|original|Nx",
        help="at once (the default), as it happened, or N times as fast, by the times of the events",
    )
    parser.add_argument("--skip", type=_number, default=0, metavar="N", help="leave the first N events out")
    parser.add_argument("--cluster", metavar="NAME", help="cluster of Kubernetes Events (default: the first source)")
    add_state_options(parser)


def _pace(text: str) -> float | None:
    if text in _SPEEDS:
        return _SPEEDS[text]
    try:
        speed = float(text.removesuffix("x"))
    except ValueError:
        speed = 0.0
    if not (text.endswith("x") and 0.001 <= speed <= 1e6):
        raise argparse.ArgumentTypeError(f"{text!r} is no pace; write none, original, or for example 10x")
    return speed


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of events")
    return int(text)


def main(args: argparse.Namespace) -> int:
    """Send them.

    Returns:
        0 if all were sent; 1 if not; 2 for wrong usage; 78 if the configuration is needed and has faults.
    """
    if bool(args.files) == (args.since is not None):
        _say("name files, or - for standard input, or give --since")
        return 2
    examined = examine(args.config, os.environ)
    if examined.config is None and args.to is not None:
        file = escape(str(args.config))
        _say(f"{file} has faults; eventer check -c {file} names them")
        return EX_CONFIG
    try:
        if args.since is None:
            found = from_files(args.files, _home(args, examined))
        else:
            found = from_daemon(Daemon(directory_of(args)), args.since)
        feed = Feed(found, args.skip, Pace(args.pace))
        if args.to is None:
            return _whole_path(args, feed, examined.config)
        return _to_one(args, feed, examined.config)
    except (EventerError, OSError) as error:
        _say(str(error))
        return 1


def _say(text: str) -> None:
    print(f"eventer replay: {text}", file=sys.stderr)


def _home(args: argparse.Namespace, examined: Examined) -> Home:
    sources = [] if examined.config is None else examined.config.sources
    cluster = args.cluster if args.cluster is not None or not sources else sources[0].cluster
    return Home(cluster, next((source.labels for source in sources if source.cluster == cluster), {}))


# -- to one sink ---------------------------------------------------------------------------------


def _to_one(args: argparse.Namespace, feed: Feed, config: Config | None) -> int:
    assert config is not None
    sink = config.sinks.get(args.to)
    if sink is None:
        close = similar(args.to, config.sinks)
        remedy = f"did you mean {close}?" if close else f"the sinks are {', '.join(config.sinks)}"
        _say(f"there is no sink {escape(args.to)}; {remedy}")
        return 1
    if sink.keeps_state:
        _say(
            f"a sink of kind {sink.kind} belongs to the daemon alone: its journal knows what was written. "
            "Without --to the daemon takes the events in, and every sink gets them."
        )
        return 1
    if sink.notifies is not None:
        _say(
            f"the sink {escape(args.to)} is sent notifications, which alerting makes of events. Without --to the "
            "daemon takes the events in, and alerting decides."
        )
        return 1
    from eventer.cli.replay_to import send

    beside = Path(args.files[0] if args.files and args.files[0] != "-" else "replay")
    return asyncio.run(send(args.to, config, feed, beside, args.skip))


# -- through the whole path ----------------------------------------------------------------------

_Take = Callable[[int, bytes], Admitted]
"""Gives a numbered portion in; raises EventerError where it was not taken."""


def _whole_path(args: argparse.Namespace, feed: Feed, config: Config | None) -> int:
    directory = directory_of(args)
    session = secrets.randbits(60)
    daemon = Daemon(directory)

    def take(number: int, body: bytes) -> Admitted:
        answer = daemon.post("/v1/append", body, session=session, portion=number)
        if "error" in answer:
            raise DaemonError(str(answer["error"]))
        return msgspec.convert(answer, Admitted)

    try:
        take(0, b"")  # an empty one: whether anybody is there, before anything is read
    except NoDaemonError:
        if args.since is not None:
            raise
    else:
        return _give(feed, args.skip, lambda give: give(take), here=False)
    if config is None:
        _say("no daemon runs, and without a configuration it is not known what to filter; name one with -c")
        return 1
    from eventer.cli.replay_to import into_journal

    return _give(feed, args.skip, lambda give: into_journal(directory, config, session, give), here=True)


def _give(feed: Feed, skip: int, opened: Callable[[Callable[[_Take], None]], None], *, here: bool) -> int:
    given = appended = filtered = 0
    progress = Progress()

    def give(take: _Take) -> None:
        nonlocal given, appended, filtered
        for number, lines in enumerate(feed.portions(), 1):
            answer = _until_taken(take, number, b"\n".join(lines), progress)
            given += len(lines)
            appended += answer.appended
            filtered += answer.filtered
            progress.show(f"{plural(given, 'event')} given in")

    ended = ""
    try:
        opened(give)
    except KeyboardInterrupt:
        ended = "Stopped."
    except (EventerError, OSError) as error:
        ended = str(error)
    progress.clear()
    unknown = given - appended - filtered
    parts = [f"{plural(appended, 'event')} given in", f"{count(filtered)} left out by the filter"]
    if unknown:
        parts.append(f"{count(unknown)} either, in portions of which the first answer was lost")
    where = "the journal; sinks get them when the daemon runs again" if here else "the daemon"
    print(f"{', '.join(parts)}: {plural(given, 'event')} into {where}.", file=sys.stderr)
    if feed.left_out():
        _say(feed.left_out())
    if ended:
        _say(f"{ended} Go on with --skip {skip + given}; what was under way may come twice.")
    return 1 if ended or feed.faults or not given else 0


def _until_taken(take: _Take, number: int, body: bytes, progress: Progress) -> Admitted:
    """Give one portion in; again where the daemon has no room yet, or went away: it knows what it has taken."""
    patience = time.monotonic() + PATIENCE
    while True:
        try:
            answer = take(number, body)
            if not answer.wait:
                return answer
            progress.show(f"waiting: {answer.wait}")
            patience = time.monotonic() + PATIENCE
        except DaemonError as error:
            if time.monotonic() > patience:
                raise
            progress.show(f"waiting: {error}")
        time.sleep(AGAIN)
