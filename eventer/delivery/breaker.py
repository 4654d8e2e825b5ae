"""When may be sent: the breaker of one destination, with its back-off, and the limit of a rate.

A breaker opens with the first failure. After the back-off one send probes; it closes the breaker, or
opens it again. So a dead far side sees one small request at a time, however much waits for it.
"""

from __future__ import annotations

import sys
from collections import Counter, deque
from enum import StrEnum
from typing import Final

import msgspec

from eventer.allowance import Bears
from eventer.clock import Backoff, Clock
from eventer.errors import Blocked, SinkError
from eventer.values import Rate

__all__ = ["Breaker", "Limit", "Pace", "State"]

RETRY_AFTER_MOST: Final = 3600.0
"""Seconds; a far side that asks for more is asked again after this."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How long a runner waits, in seconds."""

    retry_base: float = 0.5
    retry_cap: float = 60.0
    probe_base: float = 60.0
    """A blocked destination is probed every one to five minutes: credentials get rotated."""
    probe_cap: float = 300.0


class State(StrEnum):
    """State of a breaker."""

    CLOSED = "closed"
    """All is well; send."""
    OPEN = "open"
    """It failed; wait."""
    HALF_OPEN = "half_open"
    """A probe is under way."""


class Breaker:
    """Decides when a destination that failed is tried again.

    Args:
        state: to begin in; an open one is probed at once.
    """

    def __init__(self, clock: Clock, pace: Pace, state: State = State.CLOSED) -> None:
        self._clock = clock
        self._retry = Backoff(pace.retry_base, pace.retry_cap, clock=clock)
        self._probe = Backoff(pace.probe_base, pace.probe_cap, clock=clock, floor=pace.probe_base)
        self._until = 0.0
        self.state = state
        self.transitions: Counter[State] = Counter()
        """How often each state was entered."""

    @property
    def wait(self) -> float:
        """Seconds until a send makes sense; 0 when one does now."""
        return max(0.0, self._until - self._clock.monotonic()) if self.state is State.OPEN else 0.0

    def begin(self) -> None:
        """Note that a send begins; behind an open breaker it is a probe."""
        if self.state is State.OPEN:
            self._enter(State.HALF_OPEN)

    def failed(self, error: SinkError) -> None:
        """Open, for as long as the back-off or the far side says."""
        after = None if error.after is None else min(max(0.0, error.after), RETRY_AFTER_MOST)
        backoff = self._probe if isinstance(error, Blocked) else self._retry
        self._until = self._clock.monotonic() + backoff.next(after)
        if self.state is not State.OPEN:
            self._enter(State.OPEN)

    def succeeded(self) -> None:
        """Close."""
        self._retry.reset()
        self._probe.reset()
        if self.state is not State.CLOSED:
            self._enter(State.CLOSED)

    def _enter(self, state: State) -> None:
        self.state = state
        self.transitions[state] += 1


class Limit:
    """A rate that no stretch of time exceeds, as vendors count theirs; unlimited without one.

    Args:
        rate: of one sink, since it was made.
        clock: time.
        bears: what the far side bears, if the sink knows that.
    """

    def __init__(self, rate: Rate | None, clock: Clock, bears: Bears | None = None) -> None:
        self._clock = clock
        self._rate = rate
        self._bears = bears
        self._begun: deque[float] = deque()

    @property
    def wait(self) -> float:
        """Seconds until one more may begin."""
        wait = 0.0 if self._bears is None else self._bears.wait
        if self._rate is None or self._left:
            return wait
        return max(0.001, wait, self._begun[0] + self._rate.seconds - self._clock.monotonic())

    @property
    def free(self) -> int:
        """How many may begin now."""
        return self._left if self._bears is None else min(self._left, self._bears.free)

    @property
    def _left(self) -> int:
        if self._rate is None:
            return sys.maxsize
        before = self._clock.monotonic() - self._rate.seconds
        while self._begun and self._begun[0] <= before:
            self._begun.popleft()
        return self._rate.count - len(self._begun)

    def begin(self, n: int) -> None:
        """Count some that begin now."""
        if self._rate is not None:
            self._begun.extend([self._clock.monotonic()] * n)
