"""Time, passed in: the clock that rooms are given, and the back-off that all of them use."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Backoff", "Clock", "SystemClock"]


class Clock(Protocol):
    """What a room may know of time. Tests pass one of their own."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary origin; never jumps. Every timer uses this."""
        ...

    def now(self) -> datetime:
        """Wall clock, UTC. May jump; used in records and for ages across restarts only."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Suspend for that long."""
        ...


class SystemClock:
    """The real clock."""

    def monotonic(self) -> float:
        """Seconds; see `Clock.monotonic`."""
        return time.monotonic()

    def now(self) -> datetime:
        """UTC now; see `Clock.now`."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Suspend for `seconds`."""
        await asyncio.sleep(seconds)


class Backoff:
    """Exponential back-off with full jitter: a wait is random in [0, min(cap, base * 2^n)].

    Full jitter spreads callers that failed together better than any fixed share of it
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). A second bound,
    `floor`, keeps a loop from ever running hot when the dice show zero.

    Args:
        base: seconds; upper bound of the first wait.
        cap: seconds; upper bound of every wait.
        floor: seconds; lower bound of every wait.
        reset_after: seconds of success after which the next failure starts from `base` again.
    """

    def __init__(
        self,
        base: float,
        cap: float,
        *,
        clock: Clock,
        floor: float = 0.05,
        reset_after: float = 120.0,
        rng: random.Random | None = None,
    ) -> None:
        self._base = base
        self._cap = cap
        self._floor = floor
        self._reset_after = reset_after
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._failures = 0
        self._last_wait_end = 0.0

    @property
    def failures(self) -> int:
        """Failures in a row, as far as the back-off counts them."""
        return self._failures

    def next(self, at_least: float | None = None) -> float:
        """Return the seconds to wait after one more failure.

        Args:
            at_least: what the far side asked for (Retry-After); jitter is added on top of it.
        """
        now = self._clock.monotonic()
        if self._failures and now - self._last_wait_end > self._reset_after:
            self._failures = 0
        ceiling = min(self._cap, self._base * 2 ** min(self._failures, 30))
        wait = max(self._floor, self._rng.uniform(0.0, ceiling))
        if at_least is not None:
            wait = at_least + min(wait, 1.0)
        self._failures += 1
        self._last_wait_end = now + wait
        return wait

    def reset(self) -> None:
        """Forget all failures."""
        self._failures = 0
