"""What is not sent: too old, no room, damaged, unmatched. Counts are exact and told in a gap record."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from eventer.delivery.settlement import LAZY
from eventer.event import Event, Outcome, decode_lines
from eventer.journal import Journal, ReaderRecord
from tests.helpers.journals import append, balanced, everything, execute, failing, numbered, opened
from tests.helpers.memory_sink import (
    MemorySink,
    blocked,
    config,
    hang,
    ok,
    outcomes,
    partly,
    rejected,
    retry,
    running,
    settled,
)
from tests.helpers.virtual import LoopClock, in_virtual_time

HOUR = 600.0  # not a whole one: each second costs a round of housekeeping


@contextlib.asynccontextmanager
async def world(directory: Path, **options: Any) -> AsyncIterator[Journal]:
    """A journal with its housekeeping, whose books are checked when it is closed."""
    async with opened(directory, **options) as journal:
        keeping = asyncio.create_task(journal.keep_house())
        try:
            yield journal
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])
    balanced(directory)


async def gaps(journal: Journal, first: int) -> list[Event]:
    """Own records among what was appended from an offset on."""
    return [event for event in decode_lines(await everything(journal, first)) if event.kind == "Eventer"]


# -- too old -----------------------------------------------------------------------------------------


@in_virtual_time
async def test_what_is_too_old_expires_and_the_rest_is_sent(tmp_path: Path) -> None:
    sink = MemorySink(*[retry(HOUR / 6)] * 7)
    async with world(tmp_path) as journal, running(journal, sink, max_age=HOUR):
        await append(journal, numbered(1, 2, 3))
        await asyncio.sleep(HOUR / 2)
        await append(journal, numbered(4))
        await settled(journal, 4)
        assert sink.arrived[:1] == ["web-4"]
        (gap,) = await gaps(journal, 4)
        assert gap.reason == "GapBacklog"
        assert gap.message == "Sink memory was too far behind: 3 events expired (older than state.max_age)."
        await settled(journal, 5)
        assert outcomes(journal) == {Outcome.EXPIRED: 3, Outcome.DELIVERED: 2}


@in_virtual_time
async def test_what_is_too_old_expires_while_the_sink_cannot_even_be_opened(tmp_path: Path) -> None:
    sink = MemorySink()
    sink.opening = [retry(60)] * 600
    async with world(tmp_path) as journal, running(journal, sink, max_age=HOUR, stop=False):
        await append(journal, numbered(1, 2, 3))
        await asyncio.sleep(HOUR * 1.2)
        assert outcomes(journal) == {Outcome.EXPIRED: 3}
        assert await journal.oldest() == 3  # and the disk is free again
        assert len(await gaps(journal, 3)) == 1


@in_virtual_time
async def test_the_age_counts_from_the_append_across_a_restart(tmp_path: Path) -> None:
    async with world(tmp_path) as journal:
        clock = journal._clock
        async with running(journal, MemorySink(otherwise=retry()), max_age=HOUR):
            await append(journal, numbered(1))
            await asyncio.sleep(HOUR * 0.9)
    sink = MemorySink()
    clock.skew = HOUR * 0.2
    async with world(tmp_path, clock=clock) as journal, running(journal, sink, max_age=HOUR):
        await settled(journal, 2)
        assert outcomes(journal) == {Outcome.EXPIRED: 1, Outcome.DELIVERED: 1}
        assert sink.arrived == ["eventer"]


@in_virtual_time
async def test_a_wall_clock_that_jumps_back_expires_nothing(tmp_path: Path) -> None:
    sink = MemorySink(retry(30))
    async with world(tmp_path) as journal, running(journal, sink, max_age=HOUR):
        await append(journal, numbered(1))
        journal._clock.skew = -10 * HOUR
        await settled(journal, 1)
        assert outcomes(journal) == {Outcome.DELIVERED: 1}


@in_virtual_time
async def test_w37_a_wall_clock_that_is_set_forward_expires_nothing(tmp_path: Path) -> None:
    clock = LoopClock()
    clock.skew = -56 * 365 * 86_400.0
    sink = MemorySink(otherwise=retry())
    async with opened(tmp_path, clock) as journal, running(journal, sink, max_age=3600):
        await append(journal, numbered(1, 2))
        await asyncio.sleep(600)
        clock.skew = 0.0
        await append(journal, numbered(3))
        await asyncio.sleep(600)
        sink.otherwise = ok()
        await settled(journal, 3)
        assert outcomes(journal) == {Outcome.DELIVERED: 3}
        sink.otherwise = retry()
        await append(journal, numbered(4))
        await asyncio.sleep(4000)
        assert outcomes(journal)[Outcome.EXPIRED] == 1, "age goes on counting after the jump"


@in_virtual_time
async def test_what_was_let_go_is_told_when_the_runner_is_stopped_before_the_next_word(tmp_path: Path) -> None:
    sink = MemorySink(retry(HOUR))
    async with world(tmp_path) as journal:
        async with running(journal, sink, max_age=HOUR / 2):
            await append(journal, numbered(1, 2))
            await settled(journal, 2)
        messages = [gap.message for gap in await gaps(journal, 2)]
        assert sum("2 events expired" in message for message in messages) == 1


@in_virtual_time
async def test_what_was_let_go_before_a_kill_is_told_after_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await append(journal, numbered(1, 2))
        # What a kill leaves behind between a settle and its gap record.
        await journal.settle("memory", ReaderRecord(origin=0, cursor=0).moved({Outcome.EXPIRED: 2}))
    sink = MemorySink()
    async with world(tmp_path) as journal, running(journal, sink):
        await settled(journal, 3)
        assert ["2 events expired" in gap.message for gap in await gaps(journal, 2)] == [True]
        assert sink.arrived == ["eventer"]
    async with opened(tmp_path) as journal:
        assert journal.readers["memory"].untold == {}


@in_virtual_time
async def test_what_cannot_be_told_now_is_told_later(tmp_path: Path) -> None:
    sink = MemorySink(retry(HOUR))
    async with world(tmp_path) as journal, running(journal, sink, max_age=HOUR / 2):
        await append(journal, numbered(1, 2))
        await asyncio.sleep(HOUR - 1)
        with failing():
            await asyncio.sleep(HOUR / 4)
        await settled(journal, 3)
        assert ["2 events expired" in gap.message for gap in await gaps(journal, 2)] == [True]
        assert outcomes(journal) == {Outcome.EXPIRED: 2, Outcome.DELIVERED: 1}


@in_virtual_time
async def test_unmatched_events_do_not_expire(tmp_path: Path) -> None:
    sink = MemorySink(retry(HOUR))
    async with world(tmp_path) as journal, running(journal, sink, config({"name": "web-1"}), max_age=HOUR / 2):
        await append(journal, numbered(1, 2, 3))
        await settled(journal, 3)
        assert outcomes(journal)[Outcome.EXPIRED] == 1
        assert outcomes(journal)[Outcome.UNMATCHED] >= 2


# -- row Q9: no room ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure", [retry(), retry(600), blocked(), hang()], ids=["retry", "retry later", "blocked", "hang"]
)
@in_virtual_time
async def test_q9_over_the_cap_the_laggard_alone_lets_go_of_its_oldest(failure: Any, tmp_path: Path) -> None:
    dead, well = MemorySink(otherwise=failure), MemorySink()
    async with (
        world(tmp_path, max_size=20_000) as journal,
        running(journal, dead, config(count=40), name="dead", stop=False),
        running(journal, well, name="well"),
    ):
        for number in range(60):
            await append(journal, numbered(*range(number * 50, number * 50 + 50)))
            await asyncio.sleep(1)
        await asyncio.sleep(400)
        assert journal.backlog <= 20_000
        dropped = outcomes(journal, "dead")[Outcome.DROPPED]
        assert dropped > 1000
        assert outcomes(journal, "dead") == {Outcome.DROPPED: dropped}
        head = journal.head
        await settled(journal, head, "well")
        assert outcomes(journal, "well") == {Outcome.DELIVERED: head}
        told = well.own.values()
        assert sum(int(message.split()[6]) for message in told if "Sink dead" in message) == dropped
        assert len(told) < 100  # one each ten seconds at most


@in_virtual_time
async def test_after_shedding_delivery_goes_on_in_order(tmp_path: Path) -> None:
    sink = MemorySink(otherwise=retry(100))
    async with world(tmp_path, max_size=20_000) as journal, running(journal, sink, config(count=40)):
        for number in range(40):
            await append(journal, numbered(*range(number * 50, number * 50 + 50)))
        await asyncio.sleep(200)
        sink.otherwise = ok()
        await settled(journal, 2000)
        dropped = outcomes(journal)[Outcome.DROPPED]
        assert [name for name in sink.arrived if name != "eventer"] == [f"web-{n}" for n in range(dropped, 2000)]


# -- damaged -----------------------------------------------------------------------------------------


@in_virtual_time
async def test_damaged_rows_count_as_dropped_and_all_others_arrive(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal, running(journal, MemorySink(otherwise=retry())):
        for number in range(5):
            await append(journal, numbered(number * 2, number * 2 + 1))
    execute(tmp_path, "UPDATE log SET body = zeroblob(length(body)) WHERE first IN (2, 8)")
    sink = MemorySink()
    async with world(tmp_path) as journal, running(journal, sink):
        await settled(journal, 12)
        assert sink.arrived == [*(f"web-{n}" for n in (0, 1, 4, 5, 6, 7)), "eventer", "eventer"]
        assert outcomes(journal) == {Outcome.DELIVERED: 8, Outcome.DROPPED: 4}
        assert set(sink.own.values()) == {"2 stored events are damaged on the disk and lost."}


# -- unmatched ---------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_cursor_over_what_nobody_wants_is_written_within_a_second_and_not_at_once(tmp_path: Path) -> None:
    sink = MemorySink()
    async with world(tmp_path) as journal, running(journal, sink, config({"name": "web-9"})):
        for number in range(8):
            await append(journal, numbered(number))
            await asyncio.sleep(LAZY / 10)
        assert journal.readers["memory"].cursor == 0
        await asyncio.sleep(LAZY)
        assert outcomes(journal) == {Outcome.UNMATCHED: 8}
        await append(journal, numbered(8, 9, 10))
        await settled(journal, 11)
        assert sink.sent == [["web-9"]]
        assert outcomes(journal) == {Outcome.UNMATCHED: 10, Outcome.DELIVERED: 1}


@in_virtual_time
async def test_under_a_stream_that_nobody_wants_the_cursor_moves_all_the_same(tmp_path: Path) -> None:
    async with world(tmp_path) as journal, running(journal, MemorySink(), config({"name": "none"})):
        for number in range(50):
            await append(journal, numbered(number))
            await asyncio.sleep(LAZY / 10)
        assert journal.readers["memory"].cursor > 30


@in_virtual_time
async def test_a_stop_writes_it_at_once(tmp_path: Path) -> None:
    async with world(tmp_path) as journal:
        async with running(journal, MemorySink(), config({"name": "none"})):
            await append(journal, numbered(1, 2))
            await asyncio.sleep(LAZY / 10)
        assert outcomes(journal) == {Outcome.UNMATCHED: 2}


@in_virtual_time
async def test_unmatched_events_between_others_are_counted_however_a_batch_ends(tmp_path: Path) -> None:
    sink = MemorySink(partly({"web-1": retry(), "web-3": rejected()}))
    rules = [{"name": "/[13579]$/"}]
    async with world(tmp_path) as journal, running(journal, sink, config(*rules)):
        await append(journal, numbered(*range(10)))
        await settled(journal, 10)
        assert sink.sent == [[f"web-{n}" for n in (1, 3, 5, 7, 9)], ["web-1"]]
        assert outcomes(journal) == {Outcome.UNMATCHED: 5, Outcome.DELIVERED: 4, Outcome.DEAD: 1}


# -- waiting for company -----------------------------------------------------------------------------


@in_virtual_time
async def test_batch_age_is_how_long_the_first_event_may_wait(tmp_path: Path) -> None:
    sink = MemorySink()
    async with world(tmp_path) as journal, running(journal, sink, config(age=10, count=5)):
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(3):
            await append(journal, numbered(number))
            await asyncio.sleep(2)
        assert not sink.sent
        await settled(journal, 3)
        assert sink.sent == [["web-0", "web-1", "web-2"]]
        assert sink.times[0] - began == pytest.approx(10, abs=0.1)
        began = loop.time()
        await append(journal, numbered(*range(10, 16)))  # a full batch does not wait; what is left of it does
        await settled(journal, 9)
        assert [len(names) for names in sink.sent[1:]] == [5, 1]
        assert sink.times[1] == pytest.approx(began, abs=0.1)
        assert sink.times[2] - began == pytest.approx(10, abs=0.1)


@in_virtual_time
async def test_a_stop_does_not_wait_for_company(tmp_path: Path) -> None:
    sink = MemorySink()
    loop = asyncio.get_running_loop()
    async with world(tmp_path) as journal:
        async with running(journal, sink, config(age=3600)):
            await append(journal, numbered(1))
            await asyncio.sleep(1)
            began = loop.time()
        assert loop.time() - began < 1
        assert sink.arrived == ["web-1"]
        assert outcomes(journal) == {Outcome.DELIVERED: 1}
