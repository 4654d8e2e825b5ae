"""Letting go of what must not wait any longer, and telling it: exact in the books, once in a gap record."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, Final

from eventer.clock import Clock
from eventer.delivery.feed import Feed
from eventer.delivery.settlement import Settlement
from eventer.errors import JournalError
from eventer.event import Outcome, own_record
from eventer.journal import Slice

__all__ = ["SHED_READ", "TOLD_EVERY", "Shedding"]

SHED_READ: Final = 5_000
"""Events in one read while letting go of a backlog."""
TOLD_EVERY: Final = 10.0
"""Seconds between two gap records while letting go: exact counts are in the books at all times."""


JUMP: Final = 60.0
"""Seconds that the wall clock must gain on the monotonic one to have been set; a suspended machine
looks the same, and is given the time that it slept."""


class Shedding:
    """What one sink let go of: by the operator's `state.max_age` and `state.max_size`, or by damage."""

    def __init__(self, name: str, journal: Feed, clock: Clock, max_age: float, log: Any, what: str) -> None:
        self._name = name
        self._journal = journal
        self._clock = clock
        self._max_age = max_age
        self._log = log
        self._what = what
        self._told = self._seen = clock.monotonic()
        self._wall = clock.now().timestamp()
        self._jumped = (-math.inf, 0.0)

    def too_old(self) -> Callable[[float], bool]:
        """Return what tells whether an event appended at a time (seconds since 1970) has waited too long.

        A wall clock that was set forward makes nothing older: a machine that starts in 1970 must not
        let go of everything in the moment in which it learns the time.
        """
        wall, now = self._clock.now().timestamp(), self._clock.monotonic()
        expected = self._wall + now - self._seen
        before, by = self._jumped
        if wall - expected > JUMP:
            before, by = self._jumped = (expected, by + wall - expected)
        self._wall, self._seen = wall, now
        limit = wall - self._max_age
        return lambda at: at + (by if at <= before else 0.0) < limit

    def over(self, cursor: int) -> bool:
        """Whether the journal has no room for what waits from this offset on."""
        return cursor < self._journal.shed_to

    def due(self, piece: Slice) -> tuple[int, Outcome]:
        """How many events at the beginning must not wait any longer, and what becomes of them."""
        over = min(self._journal.shed_to - piece.first, len(piece.lines))
        if over > 0:
            return over, Outcome.DROPPED
        too_old = self.too_old()
        old = itertools.takewhile(lambda row: too_old(row[1]), piece.rows)
        return sum(count for count, _ in old), Outcome.EXPIRED

    async def tell(self, settlement: Settlement, *, now: bool = True) -> None:
        """Say in the log and in a gap record what was let go since the last time.

        A kill between the record and the note that it was written repeats the record.

        Args:
            settlement: knows what was not told yet, across restarts.
            now: also if the last one was a moment ago.
        """
        shed = settlement.record.untold
        if not shed or not (now or self._clock.monotonic() - self._told >= TOLD_EVERY):
            return
        why = {Outcome.EXPIRED: "older than state.max_age", Outcome.DROPPED: "over state.max_size, or damaged"}
        parts = [f"{n} {self._what} {outcome} ({why[outcome]})" for outcome, n in sorted(shed.items())]
        message = f"Sink {self._name} was too far behind: {', '.join(parts)}."
        try:
            await self._journal.record(own_record(self._clock.now(), "GapBacklog", message))
        except JournalError:
            return  # told with the next one
        self._log.warning("events let go", **{str(outcome): n for outcome, n in shed.items()})
        self._told = self._clock.monotonic()
        await settlement.told()
