"""The two ways of `eventer replay` in which no daemon has a part: to one sink, and into its journal."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from eventer.cli.feed import MOST, Feed, Progress
from eventer.cli.figures import count, plural
from eventer.clock import SystemClock
from eventer.config.types import Config
from eventer.control.dead import DeadLetter, encode
from eventer.delivery.runner import Runner
from eventer.errors import EventerError
from eventer.event import Outcome
from eventer.journal import Journal, read_books
from eventer.journal.files import empty
from eventer.observe import log
from eventer.readmission import Admitted, Readmission
from eventer.sink import SinkContext, load
from eventer.text import escape
from eventer.values import Repeats

__all__ = ["into_journal", "send"]

AHEAD: Final = 20_000
"""Events that may wait in the temporary journal, which bounds what it takes of the disk."""
LOOK_EVERY: Final = 0.05
"""Seconds between looks at how far the sink is."""
_WORDS: Final = {
    Outcome.DELIVERED: "delivered",
    Outcome.DUPLICATE: "delivered, and known there already",
    Outcome.UNMATCHED: "not wanted by its match",
    Outcome.COALESCED: "left out as repeats",
    Outcome.DROPPED: "damaged on the disk",
    Outcome.DEAD: "refused",
    Outcome.PARKED: "not tried to the end",
}


async def send(name: str, config: Config, feed: Feed, beside: Path, skip: int) -> int:
    """Deliver to one sink as the daemon would, from a journal of its own that is thrown away.

    Args:
        name: of the sink.
        config: the sink's, and what is to be redacted.
        feed: the events.
        beside: dead letters are written beside this file.
        skip: events that the feed leaves out, to say how to go on.

    Returns:
        0 if every event was delivered or not wanted, else 1.
    """
    log.configure("error", "console")
    options = config.sinks[name]
    if options.repeats.window is not None:
        # The window is one of time, and the times of these events are not those of now.
        options = msgspec.structs.replace(options, repeats=Repeats())
    clock = SystemClock()
    with (
        tempfile.TemporaryDirectory(prefix="eventer-replay-") as root,
        Journal.open(Path(root) / "state", max_size=sys.maxsize, clock=clock) as journal,
    ):
        sink = load(options.kind).Sink(options, SinkContext(name=name, clock=clock))
        runner = Runner(name, sink, options, journal, clock, max_age=math.inf)
        try:
            replay = _Replay(name, journal, runner, feed, Readmission(journal, lambda: _unfiltered(config)))
            await replay.run()
            return await replay.report(beside, skip)
        finally:
            await journal.close()


def _unfiltered(config: Config) -> Config:
    return msgspec.structs.replace(config, filter=[], tests=[])


class _Replay:
    """One run."""

    def __init__(self, name: str, journal: Journal, runner: Runner, feed: Feed, readmission: Readmission) -> None:
        self._name = name
        self._journal = journal
        self._runner = runner
        self._feed = feed
        self._readmission = readmission
        self._progress = Progress()
        self._stop = asyncio.Event()
        self._failure = ""
        self._trouble = ""

    async def run(self) -> None:
        """Feed and deliver until all is settled, or until Ctrl-C; a second one ends the process at once."""
        await self._runner.begin()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(RuntimeError):  # signals come to the main thread only
                loop.add_signal_handler(number, self._interrupted)
        house = asyncio.create_task(self._journal.keep_house())
        running = asyncio.create_task(self._runner.run())
        try:
            await self._pour(running)
            while not (self._stop.is_set() or running.done() or self._settled()):
                self._show()
                await self._wait(running)
            self._runner.stop()
            await running
        finally:
            self._feed.stop.set()
            for task in (house, running):
                task.cancel()
            await asyncio.gather(house, running, return_exceptions=True)
            self._progress.clear()

    def _interrupted(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        self._feed.stop.set()
        self._stop.set()

    async def _pour(self, running: asyncio.Task[None]) -> None:
        """Bring the events into the journal, no faster than the sink takes them."""
        portions = self._feed.portions()
        number = 0
        while not (self._stop.is_set() or running.done()):
            try:
                # In a thread: it may wait for the time of an event, or for whoever writes to standard input.
                lines = await asyncio.to_thread(next, portions, None)
            except (EventerError, OSError) as error:
                self._failure = str(error)
                return
            if lines is None:
                return
            number += 1
            await self._readmission.take(1, number, lines)
            while self._journal.head - self._cursor > AHEAD and not (self._stop.is_set() or running.done()):
                self._show()
                await self._wait(running)

    async def _wait(self, running: asyncio.Task[None]) -> None:
        await asyncio.wait({running}, timeout=LOOK_EVERY)

    @property
    def _cursor(self) -> int:
        return self._journal.readers[self._name].cursor

    def _settled(self) -> bool:
        record = self._journal.readers[self._name]
        return record.cursor == self._journal.head and not record.outcomes.get(Outcome.PARKED)

    def _show(self) -> None:
        status = self._runner.status
        trouble = f"the sink does not take events: {status.error}" if status.error else ""
        text = f"{plural(self._feed.read, 'event')} read, {count(self._cursor)} done"
        self._progress.show(escape(f"{text}; {trouble}" if trouble else text))
        if trouble and trouble != self._trouble and not sys.stderr.isatty():
            print(escape(f"{self._name}: {trouble} It is tried again."), file=sys.stderr)
        self._trouble = trouble

    async def report(self, beside: Path, skip: int) -> int:
        """Say what became of each event, and keep those that did not go."""
        record = self._journal.readers[self._name]
        outcomes = {outcome: n for outcome, n in record.outcomes.items() if n}
        left = max(0, self._feed.read - skip) - record.cursor
        parts = [f"{count(n)} {_WORDS.get(outcome, str(outcome))}" for outcome, n in outcomes.items()]
        if left:
            parts.append(f"{count(left)} not sent")
        total = record.cursor + left
        if total:
            print(f"{escape(self._name)}: of {plural(total, 'event')}, {', '.join(parts)}.", file=sys.stderr)
        letters = [line async for line in self._letters()]
        if letters:
            path = _new(beside)
            path.write_bytes(b"".join(line + b"\n" for line in letters))
            print(f"What did not go is in {escape(str(path))}; eventer replay reads it.", file=sys.stderr)
        if self._feed.left_out():
            print(f"eventer replay: {self._feed.left_out()}", file=sys.stderr)
        if self._failure:
            print(f"eventer replay: {self._failure}", file=sys.stderr)
        if self._stop.is_set():
            print(f"eventer replay: stopped. Go on with --skip {skip + record.cursor}.", file=sys.stderr)
        return int(bool(letters or left or self._failure or self._feed.faults or not total or self._stop.is_set()))

    async def _letters(self) -> AsyncIterator[bytes]:
        """Yield what was refused, and what was not tried to the end."""
        after = ("", -1)
        while page := await self._journal.dead_letters(after, MOST):
            after = (page[-1].reader, page[-1].number)
            for letter in page:
                yield encode(letter)
        parked = await self._journal.parked(self._name)
        lines = await self._journal.letter_lines(self._name, [row.number for row in parked])
        for row in parked:
            if row.number in lines:
                yield msgspec.json.encode(
                    DeadLetter(
                        sink=self._name,
                        number=row.number,
                        time=datetime.fromtimestamp(row.at, UTC),
                        reason="waits",
                        answer="",
                        destination=row.destination,
                        attempts=row.attempts,
                        event=msgspec.Raw(lines[row.number]),
                    )
                )


def _new(beside: Path) -> Path:
    """Return the name of a file that is not there yet."""
    path = beside.with_name(f"{beside.name}.dead-letters")
    number = 1
    while path.exists():
        number += 1
        path = beside.with_name(f"{beside.name}.dead-letters-{number}")
    return path


def into_journal(
    directory: Path, config: Config, session: int, give: Callable[[Callable[[int, bytes], Admitted]], None]
) -> None:
    """Open the journal that no daemon has open, and let portions be given into it.

    Raises:
        EventerError: there is none, or it cannot be opened.
    """
    nobody = f"No daemon runs on {directory}, and none has run there: nobody would get the events. "
    if empty(directory):
        raise EventerError(f"{nobody}Start one with eventer run, or send them to one sink with --to.")
    readers = read_books(directory).readers  # raises where a daemon would set it aside
    late = [name for name, sink in config.sinks.items() if name not in readers and sink.start == "head"]
    if late:
        names = ", ".join(map(escape, late))
        print(f"eventer replay: new sinks begin with what comes later, and do not get these: {names}", file=sys.stderr)
    with asyncio.Runner() as runner, contextlib.ExitStack() as stack:

        async def open_() -> Journal:  # within the loop, which its writer belongs to
            return stack.enter_context(Journal.open(directory, max_size=sys.maxsize, clock=SystemClock()))

        journal = runner.run(open_())
        readmission = Readmission(journal, lambda: config)

        async def take(number: int, body: bytes) -> Admitted:
            return await readmission.take(session, number, [line for line in body.split(b"\n") if line])

        try:
            give(lambda number, body: runner.run(take(number, body)))
        finally:
            runner.run(journal.close())
