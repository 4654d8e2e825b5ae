"""Virtual time: an event loop on which waiting takes no time, and a clock that reads it.

Time stands still while anything is at work, threads included, and jumps to the next timer when
nothing is. So a test of hours runs in milliseconds, and what depends on order does so in each run.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec

__all__ = ["BEGIN", "LoopClock", "VirtualLoop", "in_virtual_time"]

BEGIN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
"""Wall-clock time at which every virtual loop begins."""

P = ParamSpec("P")


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for real events only; a wait for a timer moves the loop's time instead."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        if self.loop.busy and not self.loop.asleep:
            return super().select(0.5)  # a thread will wake us; nothing is due before it does
        events = super().select(0)
        if not events:
            self.loop.now += timeout
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """`busy` counts jobs in threads; the helpers that start threads of their own add theirs. `asleep` says that
    they wait for the loop's time to pass."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.busy = 0
        self.asleep = False
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        self.busy += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self.less_busy)
        return future

    def less_busy(self, _: object = None) -> None:
        self.busy -= 1


class LoopClock:
    """The clock of whatever loop runs. `skew` is what the wall clock has jumped by, in seconds."""

    def __init__(self) -> None:
        self.skew = 0.0
        self._start: float | None = None

    def monotonic(self) -> float:
        now = asyncio.get_running_loop().time()
        if self._start is None:
            self._start = now
        return now

    def now(self) -> datetime:
        now = self.monotonic()
        return BEGIN + timedelta(seconds=now - (self._start or 0.0) + self.skew)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make an asynchronous test one that runs on a virtual loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run
