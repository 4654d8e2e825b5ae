"""A robot is never sent more than it bears: not by two sinks, and not by a daemon that is killed again and again."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from eventer.allowance import MINUTE, Allowance, Allowances
from eventer.errors import Retry
from eventer.journal import Journal
from eventer.sink import Batch, Sent
from tests.helpers.journals import balanced, failing, killed, opened
from tests.helpers.memory_notifier import MemoryNotifier, covered, notifier, notifying, opened_notes, told
from tests.helpers.virtual import LoopClock, in_virtual_time

BEARS = 18


class OneRobot(MemoryNotifier):
    """A sink of a robot that others may write to as well."""

    def __init__(self, bears: Allowance, fails: float = 0.0, rng: random.Random | None = None) -> None:
        super().__init__()
        self.bears = bears
        self._fails = fails
        self._rng = rng

    async def send(self, batch: Batch) -> Sent:
        await self.bears.take()
        if self._rng is not None and self._rng.random() < self._fails:
            self.times.append(asyncio.get_running_loop().time())
            raise Retry("no answer", reason="timeout")
        return await super().send(batch)


def most_in_a_minute(times: Sequence[float]) -> int:
    return max((sum(begin <= at < begin + 60 for at in times) for begin in times), default=0)


@contextlib.asynccontextmanager
async def life(directory: Path, clock: LoopClock) -> AsyncIterator[tuple[Journal, Allowance]]:
    """Open a journal, and what it knows of the robot."""
    async with opened(directory, clock) as journal:
        allowances = Allowances(clock, journal.sent.known, journal.sent.keep)
        yield journal, allowances.of(lambda: "the robot", BEARS, MINUTE)


@pytest.mark.parametrize("seed", range(4))
@in_virtual_time
async def test_s16_a_daemon_that_is_killed_in_a_storm_sends_no_more_than_it_may(tmp_path: Path, seed: int) -> None:
    """SIGKILL at any moment, restarted at once, with messages that fail as well: each request counts."""
    rng, clock = random.Random(seed), LoopClock()
    directory, opened_so_far = tmp_path / "0", 0
    times: list[float] = []
    arrived: set[int] = set()
    for number in range(1, 13):
        copy = tmp_path / str(number)
        async with life(directory, clock) as (journal, bears):
            sink = OneRobot(bears, 0.3, rng)
            # The sink's own limit would hide the robot's.
            async with notifying(journal, sink, notifier("1000/s"), alerting=False, stop=False):
                for _ in range(rng.randrange(1, 4)):
                    await opened_notes(journal, rng.randrange(1, 15))
                    await asyncio.sleep(rng.uniform(0, 12))
                opened_so_far = journal.alerting.readers["chat"].opened
                killed(directory, copy)
            times += sink.times
            arrived |= covered(sink.told)
        directory = copy
    async with life(directory, clock) as (journal, bears):
        sink = OneRobot(bears)
        async with notifying(journal, sink, notifier("1000/s"), alerting=False):
            await told(journal, opened_so_far)
    times += sink.times
    assert arrived | covered(sink.told) == set(range(1, opened_so_far + 1))
    assert len(times) > BEARS
    assert most_in_a_minute(times) <= BEARS
    balanced(directory)


@in_virtual_time
async def test_two_sinks_of_one_robot_send_no_more_than_one(tmp_path: Path) -> None:
    clock = LoopClock()
    async with life(tmp_path, clock) as (journal, bears), contextlib.AsyncExitStack() as stack:
        sinks = {name: OneRobot(bears) for name in ("chat", "oncall")}
        for name, sink in sinks.items():
            await stack.enter_async_context(notifying(journal, sink, notifier("18/m"), name=name, alerting=False))
        for _ in range(4):
            for name in sinks:
                await opened_notes(journal, 17, name)
            await asyncio.sleep(30)
        for name in sinks:
            await told(journal, 68, name)
    times = sorted(at for sink in sinks.values() for at in sink.times)
    assert BEARS < len(times) < 68
    assert most_in_a_minute(times) <= BEARS
    assert all(covered(sink.told) == set(range(1, 69)) for sink in sinks.values())


@in_virtual_time
async def test_what_waits_for_a_robot_goes_as_one_and_shows_as_no_failure(tmp_path: Path) -> None:
    clock = LoopClock()
    async with life(tmp_path, clock) as (journal, bears):
        for _ in range(16):
            await bears.take()  # somebody else
        sink = OneRobot(bears)
        async with notifying(journal, sink, notifier("18/m"), alerting=False) as runner:
            await opened_notes(journal, 5)
            await told(journal, 5)
            assert (len(sink.told), sink.told[0].folded) == (1, 5)
            await opened_notes(journal, 1)
            await told(journal, 6)
            await opened_notes(journal, 1)
            await told(journal, 7)
            assert not runner.status.error
            assert set(runner.status.attempts) == {"sent"}
    assert most_in_a_minute(sink.times) <= 2
    balanced(tmp_path)


@in_virtual_time
async def test_a_full_disk_keeps_nobody_from_being_told(tmp_path: Path) -> None:
    clock = LoopClock()
    async with life(tmp_path, clock) as (journal, bears):
        sink = OneRobot(bears)
        async with notifying(journal, sink, notifier("18/m"), alerting=False):
            await opened_notes(journal, 1)
            await told(journal, 1)
            await opened_notes(journal, 1)
            with failing():
                while len(sink.told) < 2:
                    await asyncio.sleep(0.1)
            await told(journal, 2)
    balanced(tmp_path)
