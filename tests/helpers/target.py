"""An honest target in memory: what the intake promises a source, without a journal."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from eventer.clock import Clock
from eventer.errors import JournalError
from eventer.event import Arrivals, Event, version_of


class MemoryTarget:
    """Commits each block at once, skips what its ledger knows, and keeps all books."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.epoch = 0
        self.contact: float | None = None
        self.events: list[Event] = []
        self.records: list[Event] = []
        self.poison: list[bytes] = []
        self.ledger: dict[str, int] = {}
        self.seen = 0
        self.old = 0
        self.received = 0
        self.blocks: list[Arrivals] = []
        self.refuse = 0
        """How many of the next takes fail, as on a full disk."""
        self.hold = False
        """Take blocks and commit none of them, as while a disk hangs."""
        self.refuse_end = 0
        """How many of the next takes that end a list fail."""
        self._position: int | None = None
        self._position_epoch = 0
        self._stored_contact: float | None = None

    @property
    def position(self) -> int | None:
        return self._position if self._position_epoch == self.epoch else None

    def resume(self, position: int, contact: float | None = None) -> None:
        """Begin as after a restart."""
        self._position, self._position_epoch = position, self.epoch
        self.contact = self._stored_contact = contact

    async def take(self, arrivals: Arrivals) -> None:
        ends = arrivals.listed and arrivals.position is not None
        if self.refuse or (ends and self.refuse_end):
            self.refuse -= bool(self.refuse)
            self.refuse_end -= bool(ends and self.refuse_end)
            self.contact = self._stored_contact
            raise JournalError("The disk is full.")
        assert len(arrivals.events) == len(arrivals.added)
        self.blocks.append(arrivals)
        if self.hold:
            return
        self._stored_contact = self.contact
        for event in arrivals.events:
            known = event.version <= self.ledger.get(event.entity, -1)
            if not (known and arrivals.listed):
                self.received += 1
            if known:
                self.seen += not arrivals.listed
                continue
            self.ledger[event.entity] = event.version
            if arrivals.seen_before is not None and event.time < arrivals.seen_before:
                self.old += 1
                continue
            self.events.append(event)
        for entity in arrivals.gone:
            self.ledger.pop(entity, None)
        self.received += len(arrivals.poison)
        self.poison += arrivals.poison
        if arrivals.position is not None:
            self._position, self._position_epoch = arrivals.position, self.epoch
        assert self.received == len(self.poison) + self.seen + self.old + len(self.events)

    async def flush(self) -> None:
        pass

    async def failed(self) -> None:
        await asyncio.Event().wait()

    def touch(self, at: float) -> None:
        self.contact = at

    async def raise_epoch(self) -> None:
        self.epoch += 1

    async def unknown(self, listed: Sequence[tuple[str, int]]) -> tuple[list[str], bool]:
        missed = []
        below = False
        for entity, version in listed:
            known = self.ledger.get(entity)
            if known is None or known < version_of(self.epoch, version):
                missed.append(entity)
            elif known > version_of(self.epoch, version):
                below = True
        return missed, below

    async def record(self, event: Event) -> None:
        self.records.append(event)

    def names(self) -> list[str]:
        """Names of the Events received, in order."""
        return [event.event.partition("/")[2] for event in self.events]
