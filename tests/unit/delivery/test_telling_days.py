"""Bad days of those who tell people: chats that are dead for half an hour, hundreds of them, and clocks that are set."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from pathlib import Path

import pytest

from eventer.alerting.notification import Why
from eventer.errors import Retry
from eventer.event import Outcome
from eventer.journal import Journal, read_books
from tests.helpers.alerting import START, pod
from tests.helpers.journals import append, balanced, opened
from tests.helpers.memory_notifier import (
    MemoryNotifier,
    covered,
    lost,
    notifier,
    notifying,
    opened_notes,
    rested,
    told,
)
from tests.helpers.virtual import BEGIN, LoopClock, in_virtual_time

HALF_AN_HOUR = 1800.0
BEGUN = BEGIN.timestamp() - START
"""When a virtual loop begins, in seconds after the `START` of alerting's helpers."""


def away() -> Retry:
    return Retry("not now", reason="away")


def outcomes(journal: Journal, name: str = "chat") -> Counter[Outcome]:
    return +Counter(journal.alerting.notifiers[name].outcomes)


@in_virtual_time
async def test_s2_a_dead_chat_comes_back_after_half_an_hour(tmp_path: Path) -> None:
    """What came meanwhile is told in digests that count all of it, and never faster than the robot bears."""
    sink = MemoryNotifier(otherwise=away())
    async with opened(tmp_path) as journal, notifying(journal, sink, notifier("18/m", wait=0.0)):
        for minute in range(30):
            at = BEGUN + minute * 60
            await append(journal, [pod("BackOff", at, namespace=f"n{n}", name=f"p{minute}") for n in range(20)])
            await asyncio.sleep(60)
        assert not sink.told
        sink.otherwise = None
        back = asyncio.get_running_loop().time()
        async with asyncio.timeout(HALF_AN_HOUR):
            while not sink.told:
                await asyncio.sleep(0.1)
        assert asyncio.get_running_loop().time() - back < 6  # the back-off of these tests, not a minute for each
        assert sink.told[0].why is Why.DIGEST
        assert sink.told[0].folded >= 100  # 20 groups that spoke every five minutes
        await rested(journal)
        # What is over is told when all of it is: 20 groups at once, which the limit admits in two minutes or as one.
        assert len(sink.told) <= 1 + 20 + 2
        for begin in sink.times:
            assert sum(begin <= at < begin + 60 for at in sink.times) <= 18
        assert sum(note.events for note in sink.told) == 600
        opened_ = journal.alerting.readers["chat"].opened
        assert covered(sink.told) == set(range(1, opened_ + 1))
        assert sum(outcomes(journal).values()) == opened_
    balanced(tmp_path)


@pytest.mark.parametrize("unknown", [False, True])
@in_virtual_time
async def test_s5_a_message_whose_answer_is_lost_comes_again_and_is_counted_once(
    tmp_path: Path, *, unknown: bool
) -> None:
    sink = MemoryNotifier(lost(Retry("no answer in time", reason="timeout", unknown=unknown)))
    async with opened(tmp_path) as journal:
        async with notifying(journal, sink, alerting=False):
            await opened_notes(journal, 2)
            await told(journal, 2)
        assert [note.number for note in sink.told] == [1, 1, 2]
        assert outcomes(journal) == {Outcome.DELIVERED: 2}
    balanced(tmp_path)


@in_virtual_time
async def test_s22_hundreds_of_chats_with_some_that_flap(tmp_path: Path) -> None:
    """Each that lives is told at once; each that flaps is told all of it, and waits for nobody else."""
    names = [f"chat-{n}" for n in range(100)]
    sinks = {name: MemoryNotifier(otherwise=None) for name in names}
    flapping = names[:20]
    for name in flapping:
        sinks[name].script = [away(), None, away(), away()] * 6
    async with opened(tmp_path) as journal, contextlib.AsyncExitStack() as stack:
        for name, sink in sinks.items():
            await stack.enter_async_context(notifying(journal, sink, notifier("18/m", wait=10.0), name=name))
        began = asyncio.get_running_loop().time()
        for start in range(0, 40, 10):
            await append(
                journal, [pod("BackOff", BEGUN, namespace=f"n{n % 4}", name=f"p{n}") for n in range(start, start + 10)]
            )
        alive = [sinks[name] for name in names[20:]]
        async with asyncio.timeout(HALF_AN_HOUR):
            while not all(sum(note.events for note in sink.told) == 40 for sink in alive):
                await asyncio.sleep(0.1)
        assert asyncio.get_running_loop().time() - began < 12  # the wait of the groups, and no back-off of another's
        for name in names:
            await rested(journal, name)
        assert all(sum(note.events for note in sink.told) == 40 for sink in sinks.values())
        assert all(len(sink.told) <= 4 for sink in sinks.values())
    balanced(tmp_path)
    books = read_books(tmp_path)
    assert {reader.represented for reader in books.alerting.values()} == {40}
    assert len(books.notifiers) == len(names)


@pytest.mark.parametrize("hours", [-5, 5])
@pytest.mark.parametrize("seconds", [300, 1000])
@in_virtual_time
async def test_w37_a_clock_that_is_set_while_the_chat_is_away_folds_and_expires_nothing_else(
    tmp_path: Path, hours: int, seconds: int
) -> None:
    """Five minutes are no long outage because a clock says five hours, and a long one is, whatever it says."""
    clock = LoopClock()
    sink = MemoryNotifier(otherwise=away())
    async with opened(tmp_path, clock) as journal, notifying(journal, sink, alerting=False, max_age=3600.0):
        await opened_notes(journal, 2)
        await asyncio.sleep(seconds / 2)
        clock.skew = hours * 3600.0
        await opened_notes(journal, 2)
        await asyncio.sleep(seconds / 2)
        sink.otherwise = None
        await told(journal, 4)
        assert len(sink.told) == (4 if seconds < 900 else 1)
        assert covered(sink.told) == {1, 2, 3, 4}
        assert Outcome.EXPIRED not in outcomes(journal)
    balanced(tmp_path)


@pytest.mark.parametrize("hours", [-5, 5])
@in_virtual_time
async def test_w37_a_clock_that_is_set_changes_nothing_for_what_comes_next(tmp_path: Path, hours: int) -> None:
    clock = LoopClock()
    sink = MemoryNotifier()
    async with opened(tmp_path, clock) as journal, notifying(journal, sink, notifier("3/m"), alerting=False):
        began = asyncio.get_running_loop().time()
        await opened_notes(journal, 3)
        await told(journal, 3)
        clock.skew = hours * 3600.0
        await opened_notes(journal, 3)
        await told(journal, 6)
        await opened_notes(journal, 1)
        await told(journal, 7)
        assert covered(sink.told) == set(range(1, 8))
        assert asyncio.get_running_loop().time() - began < 200
        assert all(sum(begin <= at < begin + 60 for at in sink.times) <= 3 for begin in sink.times)
    balanced(tmp_path)
