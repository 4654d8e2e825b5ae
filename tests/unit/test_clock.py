"""Back-off: bounds of each wait, what the far side asked for, and when it begins anew."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventer.clock import Backoff, SystemClock
from tests.helpers.virtual import LoopClock, in_virtual_time


class Still:
    """A clock that stands until it is moved."""

    time = 1000.0

    def monotonic(self) -> float:
        return self.time

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time, UTC)

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


@given(
    base=st.floats(0.01, 10),
    cap=st.floats(0.1, 100),
    floor=st.floats(0.001, 0.01),
    seed=st.integers(),
    failures=st.integers(1, 60),
)
def test_a_wait_lies_between_its_bounds(base: float, cap: float, floor: float, seed: int, failures: int) -> None:
    backoff = Backoff(base, cap, clock=Still(), floor=floor, rng=random.Random(seed))
    for n in range(failures):
        assert floor <= backoff.next() <= max(floor, min(cap, base * 2**n))
        assert backoff.failures == n + 1


def test_waits_are_spread_over_all_of_their_range() -> None:
    waits = []
    for seed in range(200):
        backoff = Backoff(8.0, 8.0, clock=Still(), rng=random.Random(seed))
        waits.append(backoff.next())
    for low, high in [(0, 2), (2, 4), (4, 6), (6, 8)]:
        assert sum(low <= wait < high for wait in waits) > 20


@given(asked=st.floats(0, 3600), seed=st.integers())
def test_what_the_far_side_asks_for_is_the_least_and_jitter_comes_on_top(asked: float, seed: int) -> None:
    backoff = Backoff(30.0, 60.0, clock=Still(), rng=random.Random(seed))
    assert asked < backoff.next(asked) <= asked + 1.0


def test_after_success_for_long_enough_it_begins_anew() -> None:
    clock = Still()
    backoff = Backoff(1.0, 1000.0, clock=clock, reset_after=120.0, rng=random.Random(1))
    for _ in range(8):
        clock.time += backoff.next()
    clock.time += 119.0
    backoff.next()
    assert backoff.failures == 9
    clock.time += 1000.0 + 121.0
    assert backoff.next() <= 1.0
    assert backoff.failures == 1


def test_a_reset_forgets_all_failures() -> None:
    backoff = Backoff(1.0, 1000.0, clock=Still())
    for _ in range(8):
        backoff.next()
    backoff.reset()
    assert backoff.failures == 0
    assert backoff.next() <= 1.0


async def test_the_system_clock_is_in_utc_and_never_goes_back() -> None:
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    before = clock.monotonic()
    await clock.sleep(0)
    assert clock.monotonic() >= before


@in_virtual_time
async def test_virtual_time_passes_in_jumps_and_in_order() -> None:
    """The tests' own clock, since so many believe it."""
    clock, order = LoopClock(), []

    async def after(seconds: float) -> None:
        await clock.sleep(seconds)
        order.append((seconds, clock.monotonic()))

    began = clock.monotonic()
    await asyncio.gather(after(3600), after(60), after(0.5), asyncio.to_thread(lambda: order.append("thread")))
    assert order == ["thread", (0.5, began + 0.5), (60, began + 60), (3600, began + 3600)]
    assert (clock.now() - datetime(2026, 3, 1, 12, tzinfo=UTC)).total_seconds() == pytest.approx(3600)
