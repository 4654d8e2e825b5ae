"""Journals for tests: opened on any loop, killed by copying their files, broken on demand."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from eventer import failpoint
from eventer.clock import Clock
from eventer.event import Event, Outcome, encode_lines
from eventer.journal import Journal, Letter, ReaderRecord, StreamKey, StreamRecord, read_books
from eventer.journal.books import Books
from eventer.journal.files import FILE
from tests.helpers.sinks import make_event
from tests.helpers.virtual import LoopClock, VirtualLoop

__all__ = [
    "KEY",
    "alerting_balanced",
    "append",
    "balanced",
    "count_threads",
    "everything",
    "execute",
    "failing",
    "filled",
    "killed",
    "letter",
    "numbered",
    "opened",
    "poisoned",
    "slow",
    "small",
    "stream_of",
    "web",
]

KEY = StreamKey("prod", "events")


def count_threads(journal: Journal) -> None:
    """Let the virtual loop know when the writer's thread is at work, so that no time passes then."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        return
    submit = journal._writer.submit

    def counted(operation: Any, then: Any = None) -> asyncio.Future[Any]:
        loop.busy += 1
        future = submit(operation, then)
        future.add_done_callback(loop.less_busy)
        return future

    journal._writer.submit = counted  # type: ignore[method-assign]
    journal.ledger._submit = counted
    journal.sent._submit = counted
    journal.silences._submit = counted


@contextlib.asynccontextmanager
async def opened(
    directory: Path, clock: Clock | None = None, *, max_size: int = 1 << 30, damaged: bool = False
) -> AsyncIterator[Journal]:
    """Open a journal as the daemon does, and close it in order."""
    with Journal.open(directory, max_size=max_size, clock=clock or LoopClock(), damaged=damaged) as journal:
        count_threads(journal)
        try:
            yield journal
        finally:
            await journal.close()


def killed(directory: Path, copy: Path) -> Path:
    """Return a copy of the files of an open journal: what kill -9 at this moment leaves behind."""
    copy.mkdir(mode=0o700, parents=True)
    for file in sorted(directory.iterdir()):
        # The one is not on the disk, the other holds nothing; the next process makes its own.
        if not (file.name.endswith("-shm") or file.name == "reserve" or file.is_socket()):
            shutil.copy(file, copy / file.name)
    return copy


def numbered(*numbers: int, **changes: Any) -> list[Event]:
    """Make events that can be told apart by `name`: web-0, web-1, ..."""
    return [make_event(number, **changes) for number in numbers]


def web(*numbers: int) -> list[str]:
    """Return the names of `numbered` events."""
    return [f"web-{number}" for number in numbers]


async def append(journal: Journal, events: Sequence[Event], key: StreamKey = KEY) -> list[bytes]:
    """Append events as intake would; return their lines."""
    lines = encode_lines(list(events))
    before = journal.stream(key)
    record = msgspec.structs.replace(
        before, received=before.received + len(lines), appended=before.appended + len(lines)
    )
    await journal.append(key, record, lines, {})
    return list(lines)  # the journal keeps the other one


async def everything(journal: Journal, cursor: int = 0, *, count: int = 1000, size: int = 1 << 20) -> list[bytes]:
    """Read all lines from a cursor to the head. Damaged ones are left out."""
    lines: list[bytes] = []
    while cursor < journal.head:
        piece = await journal.read(cursor, count, size)
        assert piece.first == cursor < piece.end
        assert sum(n for n, _ in piece.rows) == len(piece.lines)
        lines += piece.lines
        cursor = piece.end
    return lines


async def filled(directory: Path, rows: int = 6) -> list[bytes]:
    """Make a journal with a reader `a` at its begin and so many rows of two events; return their lines."""
    lines = []
    async with opened(directory) as journal:
        await journal.settle("a", ReaderRecord(origin=0, cursor=0))
        for row in range(rows):
            lines += await append(journal, numbered(*range(row * 2, row * 2 + 2)))
    return lines


def execute(directory: Path, *statements: str) -> None:
    """Change the file of a journal that is closed; each statement must change something."""
    with contextlib.closing(sqlite3.connect(directory / FILE, isolation_level=None)) as connection:
        for statement in statements:
            assert connection.execute(statement).rowcount


@contextlib.contextmanager
def failing(place: str = "journal.commit", *, number: int = errno.EIO, times: int = 10**9) -> Iterator[None]:
    """Let a failpoint raise, `times` passes of it, for as long as the block runs."""
    left = times
    before = failpoint.hit

    def hit(name: str) -> None:
        nonlocal left
        if name == place and left:
            left -= 1
            raise OSError(number, "made to fail")

    failpoint.hit = hit
    try:
        yield
    finally:
        failpoint.hit = before


@contextlib.contextmanager
def slow(seconds: float, place: str = "journal.commit") -> Iterator[list[float]]:
    """Let a failpoint on the writer's thread take so many seconds of a virtual loop, for as long as the block runs.

    Yields:
        The times at which it was passed.
    """
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    passed: list[float] = []
    before = failpoint.hit

    async def wait() -> None:
        passed.append(loop.time())
        loop.asleep = True
        await asyncio.sleep(seconds)
        loop.asleep = False

    def hit(name: str) -> None:
        if name == place:
            asyncio.run_coroutine_threadsafe(wait(), loop).result()

    failpoint.hit = hit
    try:
        yield passed
    finally:
        failpoint.hit = before


def small(outcome: Outcome, n: int, origin: int = 0) -> ReaderRecord:
    """Make the record of a reader that settled `n` events in one way."""
    return ReaderRecord(origin=origin, cursor=origin + n, outcomes={outcome: n} if n else {})


def alerting_balanced(books: Books) -> None:
    """Check the books of alerting and of notifiers, letters included."""
    for name, alerting in books.alerting.items():
        counts = (alerting.represented, alerting.suppressed, alerting.expired, alerting.unmatched, alerting.dropped)
        assert alerting.cursor - alerting.origin == sum(counts) + alerting.waiting + alerting.duplicate
        notifier = books.notifiers[name]
        assert alerting.opened >= notifier.cursor
        assert notifier.cursor == sum(notifier.outcomes.values())
        for state in (Outcome.DEAD, Outcome.PARKED):
            assert books.letters.get((f"notifications:{name}", state), 0) == notifier.outcomes.get(state, 0)
    assert books.alerting.keys() == books.notifiers.keys()


def balanced(directory: Path) -> None:
    """Check the books of a closed journal, letters included."""
    books = read_books(directory)
    assert books.head == sum(record.appended for record in books.streams.values())
    for name, reader in books.readers.items():
        assert reader.cursor - reader.origin == sum(reader.outcomes.values())
        assert min(reader.outcomes.values(), default=0) >= 0
        for state in (Outcome.DEAD, Outcome.PARKED):
            assert books.letters.get((name, state), 0) == reader.outcomes.get(state, 0)
    alerting_balanced(books)
    for key, stream in books.streams.items():
        assert stream.received == stream.poison + stream.seen + stream.filtered + stream.appended
        assert books.letters.get((f"intake:{key.cluster}/{key.scope}", Outcome.DEAD), 0) == stream.poison


def letter(event: Event, number: int = 0) -> Letter:
    """Make the dead letter of an event at this offset."""
    (line,) = encode_lines([event])
    return Letter(number=number, state=Outcome.DEAD, reason="bad", entity=event.entity, at=1.0, event=line)


def poisoned(n: int, first: int = 0) -> list[Letter]:
    """Make letters as intake does of lines that are no event, after `first` others."""
    return [
        Letter(number=i, state=Outcome.DEAD, reason="undecodable", at=1.0, event=b"\xff\x00 %d" % i)
        for i in range(first, first + n)
    ]


def stream_of(received: int, **changes: Any) -> StreamRecord:
    """Make the record of a stream that received so many, all appended."""
    return StreamRecord(received=received, appended=received, **changes)
