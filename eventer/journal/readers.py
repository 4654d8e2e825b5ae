"""Readers of the event log: what they read, and what they settle."""

from __future__ import annotations

import asyncio
import sqlite3
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from eventer.event import Event, own_record
from eventer.journal import letters as letter
from eventer.journal import log
from eventer.journal.codec import sealed
from eventer.journal.growth import Growth
from eventer.journal.queries import Queries
from eventer.journal.records import Letter, ReaderRecord, Slice
from eventer.journal.ring import Ring
from eventer.journal.schema import State
from eventer.journal.writer import Writer

__all__ = ["Readers"]


class Readers(Queries):
    """What readers ask and tell, as a part of `Journal`.

    Args:
        state: as it is committed.
        writer: runs operations.
        on_reader: runs work on the reader's thread.
    """

    def __init__(
        self, state: State, writer: Writer, on_reader: Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]]
    ) -> None:
        super().__init__(on_reader)
        self._state = state
        self._writer = writer
        self._ring = Ring()
        self._growth = Growth(lambda: self.head)
        self._bad_rows: set[int] = set()
        self.head = state.head

    @abstractmethod
    async def record(self, event: Event) -> None:
        """Append one of Eventer's own records."""

    def _grew(self, first: int, at: float, lines: list[bytes]) -> None:
        """Note what was committed, and tell those who wait for it."""
        self._ring.add(first, at, lines)
        self.head = first + len(lines)
        self._growth.grew()

    @property
    def readers(self) -> Mapping[str, ReaderRecord]:
        """The committed records of all readers."""
        return self._state.readers

    async def read(self, cursor: int, count: int, size: int) -> Slice:
        """Return up to `count` events or `size` bytes from `cursor` on, at least one if there is.

        Events whose stored bytes are damaged come as `Slice.lost`, alone, and leave a gap record.
        """
        if cursor >= self.head:
            return Slice(first=cursor, lines=[])
        found = self._ring.read(cursor, count, size)
        if found is None:
            found = await self._on_reader(lambda c: log.read(c, self._state.dictionary, cursor, self.head, count, size))
        # What every reader has passed was settled before it was damaged: nothing is lost with it.
        if found.lost and found.end > self._state.settled and cursor not in self._bad_rows:
            self._bad_rows.add(cursor)
            try:
                await self._damaged(f"{found.lost} stored events are damaged on the disk and lost.")
            except BaseException:
                self._bad_rows.discard(cursor)  # nobody was told; the reader comes again
                raise
        return found

    async def grown(self, cursor: int) -> None:
        """Return as soon as there is an event at `cursor`."""
        await self._growth.beyond(cursor)

    def settle(
        self,
        name: str,
        record: ReaderRecord,
        letters: Sequence[Letter] = (),
        gone: Sequence[int] = (),
        again: Sequence[int] = (),
    ) -> asyncio.Future[None]:
        """Store a reader's record and its letters in one transaction.

        Args:
            name: of the reader.
            record: with everything counted.
            letters: new ones, and those that change.
            gone: numbers of letters to remove.
            again: numbers of dead letters that are to be parked.

        The returned future is done when it is on the disk; a runner may send its next batch
        meanwhile. It raises JournalError when nothing of it happened.
        """
        body, crc = sealed(record, name)
        at = self.now if again else 0.0

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO reader VALUES (?, ?, ?)", (name, body, crc))
            letter.change(connection, name, letters, gone)
            letter.park(connection, name, again, at)

        return self._writer.submit(write, lambda _: self._state.readers.update({name: record}))

    async def drop_lines(self, name: str, numbers: Sequence[int]) -> int:
        """Remove letters of intake (lines that are no event) by number; return how many there were.

        Its books count what came, not what is kept of it: `poison` stays as it is.
        """
        return int(await self._writer.submit(lambda c: letter.drop(c, name, numbers)))

    async def remove_reader(self, name: str) -> None:
        """Forget a reader and its letters."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM reader WHERE name = ?", (name,))
            letter.forget(connection, name)

        await self._writer.submit(write, lambda _: self._state.readers.pop(name, None))

    async def _damaged(self, message: str) -> None:
        """Tell of damage in a gap record."""
        await self.record(own_record(self._clock.now(), "GapDamaged", message))
