"""Alerting as a reader, when only time passes or the wall clock is set: what is told then, and what is stored."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from eventer.alerting.reader import LOOK
from tests.helpers.alerting import pod
from tests.helpers.journals import append, balanced, opened
from tests.helpers.virtual import LoopClock, in_virtual_time
from tests.unit.alerting.test_reader import made, now, reading


@pytest.mark.parametrize("by", [-7_200.0, 7_200.0])
@in_virtual_time
async def test_a_group_waits_as_long_when_the_clock_is_set_meanwhile(by: float, tmp_path: Path) -> None:
    clock = LoopClock()
    loop = asyncio.get_running_loop()
    with capture_logs() as logs:
        async with opened(tmp_path, clock) as journal, reading(journal, wait=100):
            await append(journal, [pod("BackOff", now(journal))])
            begin = loop.time()
            await asyncio.sleep(5)
            clock.skew = by
            await append(journal, [pod("BackOff", now(journal))])
            await asyncio.sleep(80)
            assert journal.alerting.readers["chat"].opened == 0
            (note,) = await made(journal, 1)
            assert loop.time() - begin < 100 + LOOK
            assert note.events == 2
    assert [(each["event"], each["seconds"]) for each in logs if "clock" in each["event"]] == [
        ("the clock was set, alerting goes by the new time", by)
    ]
    balanced(tmp_path)


@in_virtual_time
async def test_a_clock_that_was_set_back_while_it_was_down_delays_nothing(tmp_path: Path) -> None:
    clock = LoopClock()
    async with opened(tmp_path, clock) as journal, reading(journal, wait=100):
        await append(journal, [pod("BackOff", now(journal))])
        await asyncio.sleep(5)
    clock.skew = -7_200
    async with opened(tmp_path, clock) as journal, reading(journal, wait=100):
        begin = asyncio.get_running_loop().time()
        (note,) = await made(journal, 1)
        assert 90 < asyncio.get_running_loop().time() - begin < 100 + LOOK
        assert note.events == 1
    balanced(tmp_path)


@in_virtual_time
async def test_what_time_alone_decides_is_stored_as_well(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal, reading(journal):
        await append(journal, [pod("FailedScheduling", now(journal)), pod("Scheduled", now(journal))])
        await asyncio.sleep(10)
        record = journal.alerting.readers["chat"]
        assert (record.waiting, record.suppressed) == (2, 0)
        await asyncio.sleep(700)
        record = journal.alerting.readers["chat"]
        assert (record.waiting, record.suppressed, record.opened) == (0, 2, 0)
    balanced(tmp_path)
