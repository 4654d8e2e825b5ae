"""What can be asked of a journal's file at any time: read on the reader's thread, changing nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from eventer.clock import Clock
from eventer.event import Outcome
from eventer.journal import letters as letter
from eventer.journal import log, trace
from eventer.journal.books import Books, snapshot
from eventer.journal.records import Letter, ParkedLetter
from eventer.journal.trace import Kept

__all__ = ["Queries"]


class Queries:
    """The questions, as a part of `Journal`.

    Args:
        on_reader: runs work on the reader's thread.
    """

    head: int
    _clock: Clock

    def __init__(self, on_reader: Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]]) -> None:
        self._on_reader = on_reader

    @property
    def now(self) -> float:
        """The time that goes into what is stored now, seconds since 1970."""
        return self._clock.now().timestamp()

    async def oldest(self) -> int:
        """Offset of the oldest event that the log still holds."""
        row = await self._on_reader(lambda c: c.execute("SELECT min(first) FROM log").fetchone())
        return self.head if row[0] is None else int(row[0])

    async def offset_at(self, at: float) -> int:
        """Return the offset of the first event appended at a time (seconds since 1970) or later, or the head."""
        found: int | None = await self._on_reader(lambda c: log.offset_at(c, at))
        return self.head if found is None else found

    async def books(self) -> Books:
        """Return the books and what waits, of one moment, from the disk."""
        books: Books = await self._on_reader(snapshot)
        return books

    async def letters(self) -> dict[tuple[str, Outcome], int]:
        """Count the letters by (reader, state)."""
        counts: dict[tuple[str, Outcome], int] = await self._on_reader(letter.count)
        return counts

    async def parked(self, name: str) -> list[ParkedLetter]:
        """Return what is known of a reader's parked letters, in order."""
        rows: list[ParkedLetter] = await self._on_reader(lambda c: letter.parked(c, name))
        return rows

    async def letter_lines(self, name: str, numbers: Sequence[int]) -> dict[int, bytes]:
        """Return the encoded events of letters by number; one that is damaged is not in it."""
        lines: dict[int, bytes] = await self._on_reader(lambda c: letter.lines(c, name, numbers))
        return lines

    async def dead(self, name: str, numbers: Sequence[int]) -> list[ParkedLetter]:
        """Return what is known of those letters of a reader that are dead among these numbers, in order."""
        rows: list[ParkedLetter] = await self._on_reader(lambda c: letter.dead(c, name, numbers))
        return rows

    async def dead_letters(self, after: tuple[str, int], most: int, name: str | None = None) -> list[Letter]:
        """Return dead letters, intake's among them, by reader and number.

        Args:
            after: reader and number of the last one that is known; ("", -1) to begin.
            most: how many at once.
            name: of the one reader to look at; None for all.
        """
        found: list[Letter] = await self._on_reader(lambda c: letter.page(c, after, most, name))
        return found

    async def kept(self, entity: str) -> list[Kept]:
        """Return the letters of an entity, in order."""
        found: list[Kept] = await self._on_reader(lambda c: trace.kept(c, entity))
        return found
