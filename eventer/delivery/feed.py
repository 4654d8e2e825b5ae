"""What a runner delivers: the event log, or the log of one notifier."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from eventer.event import Event
from eventer.journal import Letter, ParkedLetter, ReaderRecord, Slice

__all__ = ["Feed"]


class Feed(Protocol):
    """A log with readers. `Journal` is one, `Notes` another; what is said there holds."""

    @property
    def head(self) -> int:
        """Offset after the last item."""
        ...

    @property
    def shed_to(self) -> int:
        """Offset below which readers must let go."""
        ...

    @property
    def now(self) -> float:
        """The time that goes into what is stored now, seconds since 1970."""
        ...

    @property
    def readers(self) -> Mapping[str, ReaderRecord]:
        """The committed records of its readers."""
        ...

    async def oldest(self) -> int:
        """Return the offset of the oldest item that it still holds."""
        ...

    async def read(self, cursor: int, count: int, size: int) -> Slice:
        """Return items from an offset on."""
        ...

    async def grown(self, cursor: int) -> None:
        """Return as soon as there is an item at an offset."""
        ...

    def settle(
        self,
        name: str,
        record: ReaderRecord,
        letters: Sequence[Letter] = (),
        gone: Sequence[int] = (),
        again: Sequence[int] = (),
    ) -> asyncio.Future[None]:
        """Store a reader's record and its letters."""
        ...

    async def parked(self, name: str) -> list[ParkedLetter]:
        """Return what is known of a reader's parked letters."""
        ...

    async def letter_lines(self, name: str, numbers: Sequence[int]) -> dict[int, bytes]:
        """Return the encoded items of letters."""
        ...

    async def dead(self, name: str, numbers: Sequence[int]) -> list[ParkedLetter]:
        """Return what is known of letters that are dead."""
        ...

    async def record(self, event: Event) -> None:
        """Append one of Eventer's own records to the event log."""
        ...
