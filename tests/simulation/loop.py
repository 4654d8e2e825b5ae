"""An event loop without a world: no sockets, no threads, and time that jumps to the next timer.

What a real loop leaves to the machine (how long a thread or the network takes) is a random number
here, from one generator. So one seed is one schedule, and the same seed is the same schedule again.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections.abc import Callable
from typing import Any, Final

__all__ = ["BEGIN", "Deadlock", "SimLoop"]

BEGIN: Final = 1000.0
"""What the loop's time begins at."""
_PURGE: Final = 256
"""Cancelled timers at which the heap is cleaned."""


class Deadlock(Exception):
    """Everybody waits, and nothing is left that could wake anybody."""


class _Numbered:
    """Hashed by number, so that sets of tasks and futures have the same order in each run."""

    def __hash__(self) -> int:
        return self.number  # type: ignore[attr-defined,no-any-return]


class _Task(_Numbered, asyncio.Task):  # type: ignore[type-arg]
    def __init__(self, *args: Any, number: int, **options: Any) -> None:
        self.number = number
        super().__init__(*args, **options)


class _Future(_Numbered, asyncio.Future):  # type: ignore[type-arg]
    def __init__(self, number: int, loop: SimLoop) -> None:
        self.number = number
        super().__init__(loop=loop)


class SimLoop(asyncio.BaseEventLoop):
    """Runs callbacks in the order in which they were given, as asyncio promises; only delays are random."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self.now = BEGIN
        self.steps = 0
        """Callbacks run so far."""
        self.alarm = 0
        """Number of the step after which `on_alarm` is called; 0 for never."""
        self.on_alarm: Callable[[], None] = lambda: None
        self._dice = dice
        self._numbers = itertools.count()
        self.set_task_factory(
            lambda loop, coro, **options: _Task(coro, loop=loop, number=next(self._numbers), **options)
        )
        self._free: dict[int, float] = {}
        """When the one thread of each executor has done all that it was given."""

    def time(self) -> float:
        return self.now

    def _write_to_self(self) -> None:
        """Nothing has to be woken."""

    def create_future(self) -> asyncio.Future[Any]:
        return _Future(next(self._numbers), self)

    def latency(self, most: float = 0.004) -> float:
        """Seconds that a thread or a disk takes: mostly none to speak of."""
        return self._dice.choice((1e-5, 1e-4, 1e-3, most * self._dice.random()))

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        """Run a job as an executor with one thread would: in order, later, and answer later still."""
        future: asyncio.Future[Any] = self.create_future()
        start = max(self.now, self._free.get(id(executor), 0.0)) + self.latency()
        end = self._free[id(executor)] = start + self.latency()

        def work() -> None:
            if future.cancelled():
                return
            try:
                result, error = func(*args), None
            except Exception as raised:
                result, error = None, raised
            self.call_at(end, answer, result, error)

        def answer(result: Any, error: Exception | None) -> None:
            if future.cancelled():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        self.call_at(start, work)
        return future

    def _run_once(self) -> None:
        timers, ready = self._scheduled, self._ready
        if self._timer_cancelled_count > _PURGE:
            for timer in timers:
                timer._scheduled = not timer._cancelled
            timers[:] = [timer for timer in timers if timer._scheduled]
            heapq.heapify(timers)
            self._timer_cancelled_count = 0
        while timers and (timers[0]._cancelled or not ready or timers[0]._when <= self.now):
            timer = heapq.heappop(timers)
            timer._scheduled = False
            if timer._cancelled:
                self._timer_cancelled_count -= 1
                continue
            self.now = max(self.now, timer._when)
            ready.append(timer)
        if not ready:
            raise Deadlock
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            self.steps += 1
            handle._run()
            if self.steps == self.alarm:
                self.alarm = 0
                self.on_alarm()
