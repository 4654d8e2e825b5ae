"""Parked letters of one sink: which there are, what they wait for, and when they are tried.

Two reasons to park: a part of the far side (a *destination*: one topic, one index) fails while others go
on, so its events are moved out of their way; or an update is held back until its window of repeats ends.
The letters are in the journal; this is the index of them, changed when the runner decides, which is ahead
of the disk by at most one settle.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from eventer.clock import Clock
from eventer.delivery.breaker import Breaker, Pace, State
from eventer.errors import SinkError
from eventer.journal import ParkedLetter

__all__ = ["PARKED_MOST", "Parked"]

PARKED_MOST: Final = 10_000
"""Letters of one sink. Beyond it the runner reads no further, and drops nothing."""


class Parked:
    """The parked letters of one sink."""

    def __init__(self, clock: Clock, pace: Pace) -> None:
        self._clock = clock
        self._pace = pace
        self._rows: dict[int, ParkedLetter] = {}
        self._held: dict[str, tuple[int, float]] = {}
        """Entity to the one letter that is held back for it, and until when (monotonic)."""
        self._following: dict[str, list[int]] = {}
        """Entity to its letters that wait for a destination."""
        self._due: list[tuple[float, int]] = []
        """Heap of (monotonic time, number) over held letters; those gone are skipped."""
        self._waiting: dict[str, set[int]] = {}
        """Destination to the letters that wait for it."""
        self._breakers: dict[str, Breaker] = {}

    def load(self, rows: Iterable[ParkedLetter]) -> None:
        """Take in what the journal holds, in order of the numbers; each destination is probed first."""
        now = self._clock.now().timestamp()
        # The oldest first, for `expired`: what a person had tried again waits since then.
        for row in sorted(rows, key=lambda row: row.at):
            # The wall clock may have been set back meanwhile: no wait is longer than the whole window was.
            hold = None if row.due is None else max(0.0, min(row.due - now, row.due - row.at))
            self.add(row, hold=hold)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, number: int) -> bool:
        return number in self._rows

    @property
    def full(self) -> bool:
        """Whether no more may be parked."""
        return len(self._rows) >= PARKED_MOST

    @property
    def destinations(self) -> dict[str, Breaker]:
        """Breakers of the destinations that failed."""
        return self._breakers

    def add(self, row: ParkedLetter, *, hold: float | None = None) -> None:
        """Take a letter in.

        Args:
            row: the letter.
            hold: seconds for which it is held back; None if it waits for its destination.
        """
        destination = self.follows(row.entity)
        if destination is not None:  # what comes later of an entity waits behind what waits
            hold, row = None, row._replace(destination=destination)
        self._rows[row.number] = row
        if hold is not None:
            due = self._clock.monotonic() + hold
            self._held[row.entity] = (row.number, due)
            heapq.heappush(self._due, (due, row.number))
        else:
            self._following.setdefault(row.entity, []).append(row.number)
            self._waiting.setdefault(row.destination, set()).add(row.number)
            self._breakers.setdefault(row.destination, Breaker(self._clock, self._pace, State.OPEN))
            if row.entity in self._held:
                self.add(self._rows[self._held.pop(row.entity)[0]])

    def remove(self, number: int) -> None:
        """Forget a letter that came to its end, or was replaced."""
        row = self._rows.pop(number)
        if self._is_held(row):
            del self._held[row.entity]
            return
        following = self._following[row.entity]
        following.remove(number)
        if not following:
            del self._following[row.entity]
        self._waiting[row.destination].remove(number)
        if not self._waiting[row.destination]:
            del self._waiting[row.destination]

    def row(self, number: int) -> ParkedLetter:
        """Return a letter."""
        return self._rows[number]

    def held(self, entity: str) -> tuple[int, float] | None:
        """Return the letter that is held back for an entity, and for how many seconds yet; None without one."""
        found = self._held.get(entity)
        return None if found is None else (found[0], max(0.0, found[1] - self._clock.monotonic()))

    def expired(self, too_old: Callable[[float], bool]) -> list[int]:
        """Return letters whose time of append is too old, as far as they are the first ones."""
        old = itertools.takewhile(lambda row: too_old(row.at), self._rows.values())
        return [row.number for row in old]

    def follows(self, entity: str) -> str | None:
        """Return the destination that earlier events of an entity wait for, if they do."""
        numbers = self._following.get(entity)
        return None if numbers is None else self._rows[numbers[0]].destination

    def stuck(self, destination: str) -> bool:
        """Whether events for this destination need not be tried now."""
        breaker = self._breakers.get(destination)
        return breaker is not None and breaker.state is not State.CLOSED

    def failed(self, destination: str, error: SinkError) -> None:
        """Let a destination wait."""
        self._breakers.setdefault(destination, Breaker(self._clock, self._pace)).failed(error)

    def succeeded(self, destination: str) -> None:
        """Let everything go that waits for a destination."""
        if destination in self._waiting:
            self._breakers[destination].succeeded()
        else:
            self._breakers.pop(destination, None)

    def due(self, most: int) -> Sequence[int]:
        """Return letters that may be tried now, in order: one to probe a destination, else many."""
        now = self._clock.monotonic()
        found: list[int] = []
        while self._due and len(found) < most and self._due[0][0] <= now:
            _, number = heapq.heappop(self._due)
            if number in self._rows and self._is_held(self._rows[number]):
                found.append(number)
        if found:
            return sorted(found)
        for destination, numbers in self._waiting.items():
            breaker = self._breakers[destination]
            if breaker.state is State.CLOSED:
                return sorted(numbers)[:most]
            if not breaker.wait:
                breaker.begin()
                return [min(numbers)]
        return []

    def later(self, numbers: Iterable[int]) -> None:
        """Keep letters due that could not be sent."""
        for number in numbers:
            if self._is_held(self._rows[number]):
                heapq.heappush(self._due, (self._clock.monotonic(), number))

    def _is_held(self, row: ParkedLetter) -> bool:
        return self._held.get(row.entity, (None,))[0] == row.number

    @property
    def wait(self) -> float | None:
        """Seconds until something is due; None if nothing waits."""
        now = self._clock.monotonic()
        times = [self._breakers[destination].wait for destination in self._waiting]
        if self._due:
            times.append(max(0.0, self._due[0][0] - now))
        return min(times, default=None)
