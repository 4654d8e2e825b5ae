"""Row S23: a runner is told to stop. It finishes what is under way, and what was confirmed is not sent again."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from eventer.delivery.runner import Health, Pace
from eventer.delivery.settlement import Settlement
from eventer.event import Outcome
from eventer.journal import Journal, ReaderRecord
from tests.helpers.journals import append, balanced, numbered, opened, web
from tests.helpers.memory_sink import (
    MemorySink,
    RoutedSink,
    blocked,
    closed,
    config,
    hang,
    ok,
    outcomes,
    partly,
    rejected,
    retry,
    running,
    settled,
    slow,
)
from tests.helpers.virtual import VirtualLoop, in_virtual_time


@pytest.mark.parametrize(
    ("script", "left"),
    [
        pytest.param([ok()], 0, id="idle"),
        pytest.param([retry(3000)], 3, id="waiting to retry"),
        pytest.param([blocked()], 3, id="blocked"),
        pytest.param([slow(10)], 0, id="while sending"),
        pytest.param([partly({"web-2": retry(3000)})], 1, id="with a part sent"),
        pytest.param([partly({"web-0": retry(3000)})], 1, id="with a later part sent"),
        pytest.param([hang()], 3, id="hanging"),
    ],
)
@in_virtual_time
async def test_s23_a_stop_ends_it_and_loses_nothing(script: list[Any], left: int, tmp_path: Path) -> None:
    sink = MemorySink(*script, otherwise=retry())
    loop = asyncio.get_running_loop()
    async with opened(tmp_path) as journal:
        async with running(journal, sink, config(timeout=12)) as runner:
            await append(journal, numbered(0, 1, 2))
            await asyncio.sleep(5)
            began = loop.time()
        assert loop.time() - began < 15
        assert runner.status.health is Health.STOPPED
        assert len(sink.sent) == 1
        waiting = journal.head - journal.readers["memory"].cursor + outcomes(journal)[Outcome.PARKED]
        assert waiting == left
    balanced(tmp_path)
    again = MemorySink()
    async with opened(tmp_path) as journal, running(journal, again):
        await _delivered(journal, 3)
    assert sorted(sink.arrived + again.arrived) == web(0, 1, 2)  # nothing of it twice


async def _delivered(journal: Journal, n: int) -> None:
    async with asyncio.timeout(3600):
        while outcomes(journal)[Outcome.DELIVERED] < n:
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("first", [pytest.param(retry(3000), id="waits to retry"), pytest.param(hang(), id="hangs")])
@in_virtual_time
async def test_s23_what_one_of_several_sends_confirmed_is_not_sent_again(first: Any, tmp_path: Path) -> None:
    sink = MemorySink(first, otherwise=ok())
    sink.overlap = 4
    loop = asyncio.get_running_loop()
    async with opened(tmp_path) as journal:
        async with running(journal, sink, config(in_flight=4, timeout=60)) as runner:
            await append(journal, [event for n in range(20) for event in numbered(n, entity=f"e{n % 5}")])
            await asyncio.sleep(5)
            began = loop.time()
            runner.stop()
            runner.sender.cut()
        assert loop.time() - began < 1
        assert 1 < len(sink.sent) < 5
        assert sink.arrived
    balanced(tmp_path)
    again = MemorySink()
    async with opened(tmp_path) as journal, running(journal, again):
        await _delivered(journal, 20)
    assert sorted(sink.arrived + again.arrived) == sorted(web(*range(20)))
    for entity in range(5):
        mine = [name for name in sink.arrived + again.arrived if name in web(*range(entity, 20, 5))]
        assert mine == web(*range(entity, 20, 5))


@in_virtual_time
async def test_s23_a_stop_in_a_redelivery_ends_it_with_the_send_that_is_under_way(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal, running(journal, RoutedSink(otherwise=closed("b"))):
        await append(journal, numbered(*range(9), namespace="b"))
        await settled(journal, 9)
    sink = MemorySink(ok(), rejected(), otherwise=slow(10))  # the first one is the probe
    loop = asyncio.get_running_loop()
    async with opened(tmp_path) as journal:
        async with running(journal, sink):
            async with asyncio.timeout(100):
                while len(sink.sent) < 3:
                    await asyncio.sleep(0.1)
            await append(journal, numbered(9))
            began = loop.time()
        assert loop.time() - began < 11
        assert len(sink.sent) == 3
        assert outcomes(journal) == {Outcome.DELIVERED: 5, Outcome.PARKED: 4}
    balanced(tmp_path)


@in_virtual_time
async def test_s23_a_stop_in_a_back_off_tries_no_parked_event_either(tmp_path: Path) -> None:
    sink = RoutedSink(closed("b"), retry(3000))
    async with opened(tmp_path) as journal:
        async with running(journal, sink, pace=Pace(retry_base=0.1, retry_cap=0.2)):
            await append(journal, numbered(0, namespace="b"))
            async with asyncio.timeout(100):
                while len(sink.sent) < 2:
                    await asyncio.sleep(0.1)
            await asyncio.sleep(5)
        assert len(sink.sent) == 2
        assert outcomes(journal) == {Outcome.PARKED: 1}
    balanced(tmp_path)


@pytest.mark.parametrize("opening", ["refused", "hanging"])
@in_virtual_time
async def test_s23_a_stop_while_the_sink_is_being_opened(opening: str, tmp_path: Path) -> None:
    class Hanging(MemorySink):
        async def open(self, state: bytes | None) -> bytes | None:
            await super().open(state)
            await asyncio.Event().wait()
            return None

    sink = Hanging() if opening == "hanging" else MemorySink()
    sink.opening = [retry(3000)] * 99 if opening == "refused" else []
    loop = asyncio.get_running_loop()
    async with opened(tmp_path) as journal:
        async with running(journal, sink, config(timeout=5)):
            await append(journal, numbered(0))
            await asyncio.sleep(1)
            began = loop.time()
        assert loop.time() - began < 10
        assert journal.readers["memory"].cursor == 0
    balanced(tmp_path)


@in_virtual_time
async def test_s23_a_sink_that_had_its_time_has_little_more_to_be_closed(tmp_path: Path) -> None:
    class Hanging(MemorySink):
        async def close(self) -> None:
            await super().close()
            await asyncio.Event().wait()

    loop = asyncio.get_running_loop()
    async with opened(tmp_path) as journal:
        async with running(journal, Hanging(hang()), config(timeout=60), stop=False):
            await append(journal, numbered(0))
            await asyncio.sleep(25)
            began = loop.time()
        assert loop.time() - began < 3


@in_virtual_time
async def test_what_was_settled_in_the_moment_of_a_cancellation_is_settled(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await append(journal, numbered(0))
        settlement = Settlement(journal, "memory", ReaderRecord(origin=0, cursor=0), journal._clock, lambda: None)
        await settlement.settle({Outcome.DELIVERED: 1})
        settlement.abandon()
        await journal.drained()
        assert outcomes(journal) == {Outcome.DELIVERED: 1}
    balanced(tmp_path)


LATER = st.builds(retry, st.just(3000.0)) | st.builds(blocked) | st.builds(rejected)
ANSWERS = st.one_of(
    st.builds(partly, st.dictionaries(st.sampled_from(web(*range(12))), LATER, min_size=1, max_size=3)),
    st.builds(retry, st.just(3000.0)),
    st.builds(hang),
    st.builds(ok),
)


@given(lives=st.lists(st.lists(ANSWERS, max_size=5), max_size=4), in_flight=st.sampled_from([1, 2, 5]))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_s23_orderly_ends_repeat_nothing_and_lose_nothing(lives: list[Any], in_flight: int) -> None:
    with (
        tempfile.TemporaryDirectory() as root,
        capture_logs(),
        asyncio.Runner(loop_factory=VirtualLoop) as runner,
    ):
        runner.run(_orderly(Path(root), lives, config(in_flight=in_flight, timeout=60)))


async def _orderly(directory: Path, lives: list[Any], options: Any) -> None:
    arrived: list[str] = []
    for number, script in enumerate([*lives, []]):
        sink = MemorySink(*script)
        sink.overlap = options.in_flight
        async with opened(directory) as journal:
            async with running(journal, sink, options) as runner:
                if not number:
                    await append(journal, [each for n in range(12) for each in numbered(n, entity=f"e{n % 5}")])
                if number == len(lives):
                    await settled(journal, 12)
                    while outcomes(journal)[Outcome.PARKED]:
                        await asyncio.sleep(1)
                await asyncio.sleep(5)
                runner.stop()
                runner.sender.cut()
            arrived += sink.arrived
            counts = outcomes(journal)
    balanced(directory)
    assert len(arrived) == len(set(arrived)) == counts[Outcome.DELIVERED] == 12 - counts[Outcome.DEAD]
