"""When a runner sends: breaker, limit, several sends at once, and rejections that are no fault of the events."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest

from eventer.delivery.breaker import State
from eventer.delivery.rejections import DEAD_MOST, LOOKED_AT, Rejections
from eventer.delivery.runner import Health, Pace
from eventer.errors import Blocked, Rejected
from eventer.event import Outcome
from tests.helpers.journals import append, balanced, numbered, opened, web
from tests.helpers.memory_sink import (
    MemorySink,
    bad,
    blocked,
    config,
    outcomes,
    rejected,
    retry,
    running,
    settled,
    slow,
)
from tests.helpers.virtual import in_virtual_time


@in_virtual_time
async def test_s21_the_breaker_opens_probes_and_closes(tmp_path: Path) -> None:
    failures = 100
    sink = MemorySink(*[retry()] * failures)
    sink.overlap = 4
    async with opened(tmp_path) as journal, running(journal, sink, config(in_flight=4, count=8)) as runner:
        await append(journal, numbered(*range(40)))
        await settled(journal, 40)
        # The first failures came from one round of several sends; from then on one probe at a time.
        together = sum(moment == sink.times[0] for moment in sink.times)
        probes = failures - together
        assert 1 < together <= 4
        assert runner.breaker.transitions == {
            State.OPEN: 1 + probes,
            State.HALF_OPEN: probes + 1,
            State.CLOSED: 1,
        }
        assert runner.breaker.state is State.CLOSED
        assert sorted(sink.arrived) == sorted(web(*range(40)))
    balanced(tmp_path)


@in_virtual_time
async def test_s21_behind_an_open_breaker_one_send_probes_and_the_others_wait(tmp_path: Path) -> None:
    sink = MemorySink(*[blocked()] * 4, *[blocked()] * 2)
    sink.overlap = 4
    async with opened(tmp_path) as journal, running(journal, sink, config(in_flight=4)) as runner:
        await append(journal, numbered(*range(40)))
        await asyncio.sleep(1)
        first = len(sink.times)
        assert runner.status.health is Health.BLOCKED
        await settled(journal, 40)
        probes = sink.times[first : first + 3]
        assert min(b - a for a, b in itertools.pairwise(probes)) >= 59
    balanced(tmp_path)


@in_virtual_time
async def test_sends_overlap_and_each_entity_keeps_its_order(tmp_path: Path) -> None:
    sink = MemorySink(*[slow(5 - n % 5) for n in range(40)], otherwise=slow(1))
    sink.overlap = 8
    async with opened(tmp_path) as journal, running(journal, sink, config(in_flight=8)):
        await append(journal, [event for n in range(64) for event in numbered(n, entity=f"e{n % 15}")])
        await settled(journal, 64)
        assert 1 < sink.most <= 8
        for entity in range(15):
            of = [name for name in sink.arrived if int(name[4:]) % 15 == entity]
            assert of == web(*range(entity, 64, 15))
        assert outcomes(journal) == {Outcome.DELIVERED: 64}
    balanced(tmp_path)


@in_virtual_time
async def test_what_one_of_several_sends_rejects_costs_the_others_nothing(tmp_path: Path) -> None:
    sink = MemorySink(otherwise=bad("web-7"))
    sink.overlap = 4
    async with opened(tmp_path) as journal, running(journal, sink, config(in_flight=4)):
        await append(journal, numbered(*range(20)))
        await settled(journal, 20)
        assert sorted(sink.arrived) == sorted(web(*range(7), *range(8, 20)))
        assert outcomes(journal) == {Outcome.DELIVERED: 19, Outcome.DEAD: 1}
    balanced(tmp_path)


@pytest.mark.parametrize("in_flight", [1, 3])
@in_virtual_time
async def test_a_limit_is_never_exceeded_in_any_minute(in_flight: int, tmp_path: Path) -> None:
    sink = MemorySink(*[retry(), retry()] * 3)
    sink.overlap = in_flight
    options = config(limit="5/m", count=2, in_flight=in_flight)
    async with opened(tmp_path) as journal, running(journal, sink, options):
        for n in range(60):
            await append(journal, numbered(n))
            await asyncio.sleep(3)
        await settled(journal, 60)
    times = sink.times
    for i, begun in enumerate(times):
        assert sum(begun <= other < begun + 60 for other in times[i:]) <= 5
    assert sorted(sink.arrived) == sorted(web(*range(60)))
    balanced(tmp_path)


@in_virtual_time
async def test_what_waits_for_the_limit_goes_together(tmp_path: Path) -> None:
    sink = MemorySink()
    async with opened(tmp_path) as journal, running(journal, sink, config(limit="1/m")):
        for n in range(50):
            await append(journal, numbered(n))
            await asyncio.sleep(1)
        await settled(journal, 50)
    assert len(sink.sent) == 2
    assert sink.arrived == web(*range(50))


@in_virtual_time
async def test_a_stop_does_not_wait_for_the_limit(tmp_path: Path) -> None:
    sink = MemorySink()
    loop = asyncio.get_running_loop()
    async with opened(tmp_path) as journal:
        async with running(journal, sink, config(limit="1/h")):
            await append(journal, numbered(1))
            await settled(journal, 1)
            await append(journal, numbered(2))
            await asyncio.sleep(10)
            began = loop.time()
        assert loop.time() - began < 1
        assert journal.readers["memory"].cursor == 1
    balanced(tmp_path)


# -- rejections --------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_far_side_that_rejects_everything_is_blocked_and_recovers(tmp_path: Path) -> None:
    sink = MemorySink(otherwise=rejected())
    pace = Pace(probe_base=60.0, probe_cap=60.0)
    async with opened(tmp_path) as journal, running(journal, sink, config(count=50), pace=pace) as runner:
        await append(journal, numbered(*range(400)))
        await asyncio.sleep(600)
        assert runner.status.health is Health.BLOCKED
        assert "Most of the last" in runner.status.error
        assert outcomes(journal) == {Outcome.DEAD: LOOKED_AT // 2}
        probes = len(sink.sent)
        await asyncio.sleep(600)
        assert 8 <= len(sink.sent) - probes <= 12
        assert all(len(batch) == 1 for batch in sink.sent[probes:])
        sink.otherwise = bad()  # somebody mended the mapping
        await settled(journal, 400)
        assert runner.status.health is Health.OK
        assert outcomes(journal) == {Outcome.DEAD: LOOKED_AT // 2, Outcome.DELIVERED: 400 - LOOKED_AT // 2}
    balanced(tmp_path)


@in_virtual_time
async def test_a_few_bad_ones_among_many_are_dead_letters_and_nothing_waits(tmp_path: Path) -> None:
    poison = web(*range(0, 300, 3))
    sink = MemorySink(otherwise=bad(*poison))
    async with opened(tmp_path) as journal, running(journal, sink) as runner:
        await append(journal, numbered(*range(300)))
        await settled(journal, 300)
        assert runner.status.attempts["sent"] > 0
        assert outcomes(journal) == {Outcome.DEAD: 100, Outcome.DELIVERED: 200}
    balanced(tmp_path)


def test_more_dead_letters_than_anybody_looks_at_block_the_sink() -> None:
    watch = Rejections()
    error = Rejected("bad", reason="mapping")
    assert watch.rejected(error, DEAD_MOST - 1) is None
    instead = watch.rejected(error, DEAD_MOST)
    assert isinstance(instead, Blocked)
    assert "look at them" in str(instead)


@pytest.mark.parametrize("accepted", [0, 1, 99, 100, 150])
def test_half_of_the_last_ones_is_where_it_blocks(accepted: int) -> None:
    watch = Rejections()
    watch.rejected(Rejected("bad", reason="x"), 0)
    watch.accepted(accepted)
    buried = 1
    while watch.rejected(Rejected("bad", reason="x"), 0) is None:
        buried += 1
    assert LOOKED_AT // 2 <= buried <= LOOKED_AT // 2 + 1
    assert watch.blocking
    watch.accepted(1)
    assert not watch.blocking
