"""A clock whose sleeps take no time but pass on it."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta


class FastClock:
    """Time that runs `speed` times as fast as real time, plus everything that was slept.

    `slept` lists the sleeps, in seconds, in order. `skew` is what the wall clock is wrong by, in seconds.
    """

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self.slept: list[float] = []
        self.skew = 0.0
        self._offset = 0.0
        self._start = time.monotonic()

    def monotonic(self) -> float:
        return (time.monotonic() - self._start) * self.speed + self._offset

    def now(self) -> datetime:
        return self.true() + timedelta(seconds=self.skew)

    def true(self) -> datetime:
        """The time that it should show."""
        return datetime.now(UTC) + timedelta(seconds=self._offset)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._offset += seconds
        await asyncio.sleep(0.001)

    def advance(self, seconds: float) -> None:
        self._offset += seconds
