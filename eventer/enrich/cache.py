"""What was looked up, for a while: bounded, least recently used out first, each key asked for once at a time."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import msgspec

from eventer.about import Enriched
from eventer.clock import Clock

__all__ = ["Cache", "Entry"]

K = TypeVar("K")
V = TypeVar("V")


class Entry(msgspec.Struct, Generic[V], frozen=True):
    """What is known under a key."""

    value: V | None
    """None where there is nothing; what was known before, where it could not be looked up again."""
    state: Enriched
    lasts: float
    """Seconds for which it need not be looked up again."""
    until: float = 0.0
    """Monotonic time at which these are over."""


class _Flight(Generic[V]):
    def __init__(self, began: float) -> None:
        self.began = began
        self.waiters = 0
        self.task: asyncio.Task[Entry[V]]


class Cache(Generic[K, V]):
    """Keeps what `load` returns.

    Args:
        load: looks one key up; is also given a function that says whether anybody still waits. Raises nothing.
        size: keys that are kept.
    """

    def __init__(self, load: Callable[[K, Callable[[], bool]], Awaitable[Entry[V]]], size: int, clock: Clock) -> None:
        self._load = load
        self._clock = clock
        self._entries: OrderedDict[K, Entry[V]] = OrderedDict()
        self._flights: dict[K, _Flight[V]] = {}
        self._closed = False
        self.size = size

    def __len__(self) -> int:
        return len(self._entries)

    def peek(self, key: K) -> Entry[V] | None:
        """Return what is known, however old."""
        return self._entries.get(key)

    def fresh(self, key: K) -> Entry[V] | None:
        """Return what is known, if it need not be looked up again."""
        entry = self._entries.get(key)
        if entry is None or entry.until <= self._clock.monotonic():
            return None
        self._entries.move_to_end(key)
        return entry

    def waited(self, key: K) -> float:
        """Return the seconds for which an answer has been awaited; 0 if none is."""
        flight = self._flights.get(key)
        return 0.0 if flight is None else self._clock.monotonic() - flight.began

    def forget(self, key: K) -> None:
        """Have a key looked up anew when it is asked for next."""
        self._entries.pop(key, None)

    async def fetch(self, key: K) -> Entry[V]:
        """Return what is known, or look it up. All who ask meanwhile get the same answer.

        Whoever is cancelled while waiting ends nothing for the others; what nobody waits for is not begun. And a
        look-up that is ended by `close` cancels nobody who waits for it: that would be the end of a sink.
        """
        if (entry := self.fresh(key)) is not None:
            return entry
        if self._closed:
            return Entry(None, Enriched.LATE, 0.0)
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(self._clock.monotonic())
            flight.task = asyncio.create_task(self._fly(key, flight))
        flight.waiters += 1
        try:
            return await asyncio.shield(flight.task)
        except asyncio.CancelledError:
            waiting = asyncio.current_task()
            if not flight.task.cancelled() or (waiting is not None and waiting.cancelling()):
                raise
            return Entry(None, Enriched.LATE, 0.0)
        finally:
            flight.waiters -= 1

    async def _fly(self, key: K, flight: _Flight[V]) -> Entry[V]:
        try:
            entry = await self._load(key, lambda: flight.waiters > 0)
        finally:
            del self._flights[key]
        if entry.state is Enriched.LATE:  # not asked for: nobody waited any more
            return entry
        before = self._entries.get(key)
        value = entry.value if entry.value is not None or before is None else before.value
        entry = Entry(value, entry.state, entry.lasts, self._clock.monotonic() + entry.lasts)
        self._entries[key] = entry
        self._entries.move_to_end(key)
        while len(self._entries) > self.size:
            self._entries.popitem(last=False)
        return entry

    async def close(self) -> None:
        """End all look-ups that are under way, and begin no others."""
        self._closed = True
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
