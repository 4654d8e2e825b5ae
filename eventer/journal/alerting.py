"""The second log: alerting writes it, notifiers are told from it.

To alerting, `Alerting` is what `Readers` is to sinks. To the runner of a notifier, `Notes` is the log that it
delivers, as the journal itself is to the runner of a store.
"""

from __future__ import annotations

import asyncio
import sqlite3
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from eventer.clock import Clock
from eventer.event import Event
from eventer.journal import letters as letter
from eventer.journal import notes
from eventer.journal.growth import Growth
from eventer.journal.records import (
    AlertingRecord,
    Carried,
    Letter,
    ParkedLetter,
    ReaderRecord,
    Slice,
)
from eventer.journal.schema import State
from eventer.journal.writer import Writer

__all__ = ["Alerting", "Notes"]

_NO_LIMIT: Final = 0
"""`shed_to`: notifications are folded where they are too many, and never shed for want of room."""


class Alerting:
    """Books, state and notifications of all notifiers.

    Args:
        state: as it is committed.
        writer: runs operations.
        on_reader: runs work on the reader's thread.
        damaged: tells in a gap record of damage, in words.
        record: appends one of Eventer's own records.
        clock: time.
    """

    def __init__(
        self,
        state: State,
        writer: Writer,
        on_reader: Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]],
        damaged: Callable[[str], Awaitable[None]],
        record: Callable[[Event], Coroutine[Any, Any, None]],
        clock: Clock,
    ) -> None:
        self._state = state
        self._writer = writer
        self._logs: dict[str, Notes] = {}
        self._parts = (on_reader, damaged, record)
        self._on_reader = on_reader
        self._clock = clock

    @property
    def readers(self) -> Mapping[str, AlertingRecord]:
        """The committed records of the readers that make notifications, by notifier."""
        return self._state.alerting

    @property
    def notifiers(self) -> Mapping[str, ReaderRecord]:
        """The committed records of what became of notifications, by notifier."""
        return self._state.notifiers

    def log(self, name: str) -> Notes:
        """Return the log of a notifier."""
        if name not in self._logs:
            self._logs[name] = Notes(name, self._state, self._writer, *self._parts, self._clock)
        return self._logs[name]

    async def begin(self, name: str, start: int) -> AlertingRecord:
        """Return the record of a notifier's alerting, making it at its first start.

        Args:
            name: of the notifier.
            start: offset in the event log at which a new one begins.
        """
        known = self.readers.get(name)
        if known is not None:
            return known
        reader = AlertingRecord(origin=start, cursor=start)
        notifier = ReaderRecord(origin=0, cursor=0)

        def then(_: object) -> None:
            self._state.alerting[name] = reader
            self._state.notifiers[name] = notifier

        await self._writer.submit(lambda c: notes.begin(c, name, reader, notifier), then)
        return reader

    async def remembered(self, name: str) -> bytes | None:
        """Return the state that was settled last; None if none ever was.

        Raises:
            Corrupt: it is damaged.
        """
        packed: bytes | None = await self._on_reader(lambda c: notes.rest(c, name))
        return None if packed is None else zlib.decompress(packed)

    async def carried(self, name: str) -> Carried | None:
        """Return what of a notifier can go on in another journal; None while it has not been told everything.

        Raises:
            Corrupt: some of it is damaged.
        """
        found: Carried | None = await self._on_reader(lambda c: notes.carried(c, name))
        return found

    def settle(self, name: str, record: AlertingRecord, emit: Sequence[bytes], state: bytes) -> asyncio.Future[None]:
        """Store what was made of events: cursor and books, notifications, and the state, in one transaction.

        Args:
            name: of the notifier.
            record: with everything counted, `emit` too.
            emit: encoded notifications to append.
            state: what alerting remembers after it.

        The returned future raises JournalError when nothing of it happened; the same may be settled again then.
        """
        at = self._clock.now().timestamp()

        def write(connection: sqlite3.Connection) -> None:
            notes.move(connection, name, record, emit, at, zlib.compress(state, 1))

        def then(_: object) -> None:
            self._state.alerting[name] = record
            self.log(name).growth.grew()

        return self._writer.submit(write, then)

    async def remove(self, name: str) -> None:
        """Forget a notifier: its books, what it was not told yet, and its letters."""

        def then(_: object) -> None:
            self._state.alerting.pop(name, None)
            self._state.notifiers.pop(name, None)
            self._logs.pop(name, None)

        await self._writer.submit(lambda c: notes.forget(c, name), then)


class Notes:
    """The notifications of one notifier as a log that a runner delivers; see `eventer.delivery.feed.Feed`."""

    def __init__(
        self,
        name: str,
        state: State,
        writer: Writer,
        on_reader: Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]],
        damaged: Callable[[str], Awaitable[None]],
        record: Callable[[Event], Coroutine[Any, Any, None]],
        clock: Clock,
    ) -> None:
        self._name = name
        self._letters = notes.LETTERS + name
        self._state = state
        self._writer = writer
        self._on_reader = on_reader
        self._damaged = damaged
        self._clock = clock
        self.growth = Growth(lambda: self.head)
        self.record = record
        self.shed_to = _NO_LIMIT

    @property
    def head(self) -> int:
        """How many notifications there ever were."""
        return self._state.alerting[self._name].opened

    @property
    def now(self) -> float:
        """The time that goes into what is stored now, seconds since 1970."""
        return self._clock.now().timestamp()

    @property
    def readers(self) -> Mapping[str, ReaderRecord]:
        """The committed records of all notifiers."""
        return self._state.notifiers

    async def oldest(self) -> int:
        """Offset of the oldest notification that was not settled."""
        return self._state.notifiers[self._name].cursor

    async def read(self, cursor: int, count: int, size: int) -> Slice:
        """Return up to `count` notifications or `size` bytes from `cursor` on, at least one if there is.

        Damaged ones come as `Slice.lost`, alone, and leave a gap record.
        """
        head = self.head
        if cursor >= head:
            return Slice(first=cursor, lines=[])
        found: Slice = await self._on_reader(lambda c: notes.read(c, self._name, cursor, head, count, size))
        if found.lost:
            await self._damaged(f"{found.lost} notifications for {self._name} are damaged on the disk and lost.")
        return found

    async def grown(self, cursor: int) -> None:
        """Return as soon as there is a notification at `cursor`."""
        await self.growth.beyond(cursor)

    def settle(
        self,
        name: str,
        record: ReaderRecord,
        letters: Sequence[Letter] = (),
        gone: Sequence[int] = (),
        again: Sequence[int] = (),
        instead: bytes | None = None,
    ) -> asyncio.Future[None]:
        """Store as `Readers.settle` does, and in the same transaction remove the notifications that are passed.

        Args:
            name: of the notifier.
            record: see `Readers.settle`; so are the letters, `gone` and `again`.
            instead: takes the place of the first notification that is not passed.
        """
        assert name == self._name
        kept = (letters, gone, again, self.now)
        return self._writer.submit(
            lambda c: notes.settle(c, name, record, kept, instead),
            lambda _: self._state.notifiers.update({name: record}),
        )

    async def parked(self, name: str) -> list[ParkedLetter]:
        """Return what is known of the notifier's parked letters, in order."""
        assert name == self._name
        rows: list[ParkedLetter] = await self._on_reader(lambda c: letter.parked(c, self._letters))
        return rows

    async def letter_lines(self, name: str, numbers: Sequence[int]) -> dict[int, bytes]:
        """Return the encoded notifications of letters by number; one that is damaged is not in it."""
        assert name == self._name
        lines: dict[int, bytes] = await self._on_reader(lambda c: letter.lines(c, self._letters, numbers))
        return lines

    async def dead(self, name: str, numbers: Sequence[int]) -> list[ParkedLetter]:
        """Return what is known of those letters that are dead among these numbers, in order."""
        assert name == self._name
        rows: list[ParkedLetter] = await self._on_reader(lambda c: letter.dead(c, self._letters, numbers))
        return rows
