"""Parts of a far side that fail while others go on, and what happens to events that wait for them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from eventer.delivery import parked as parked_module
from eventer.delivery.runner import Health, Pace
from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.event import Event, Outcome
from eventer.journal import Journal
from eventer.sink import Batch, Sent
from tests.helpers.journals import append, balanced, killed, numbered, opened, web
from tests.helpers.memory_sink import (
    MemorySink,
    RoutedSink,
    closed,
    config,
    names,
    ok,
    outcomes,
    retry,
    running,
    settled,
)
from tests.helpers.virtual import in_virtual_time

PACE = Pace(retry_base=2.0, retry_cap=8.0)


def spread(*numbers: int) -> list[Event]:
    """Events of two destinations: even ones for `a`, odd ones for `b`; four entities each."""
    return [event for n in numbers for event in numbered(n, namespace="ab"[n % 2], entity=f"e{n % 8}")]


async def none_waits(journal: Journal) -> None:
    async with asyncio.timeout(86_400):
        while outcomes(journal)[Outcome.PARKED]:
            await asyncio.sleep(1)


@pytest.mark.parametrize("kind", [MemorySink, RoutedSink])
@pytest.mark.parametrize("error", [Retry, Blocked])
@in_virtual_time
async def test_one_destination_fails_and_the_others_go_on(
    kind: type[MemorySink], error: type[SinkError], tmp_path: Path
) -> None:
    sink = kind(otherwise=closed("b", error=error))
    async with opened(tmp_path) as journal, running(journal, sink, pace=PACE) as runner:
        for n in range(40):
            await append(journal, spread(n))
            await asyncio.sleep(0.5)
        await settled(journal, 40)
        assert sink.arrived == web(*range(0, 40, 2))
        assert outcomes(journal) == {Outcome.DELIVERED: 20, Outcome.PARKED: 20}
        assert runner.status.health is Health.OK
        tried = [batch for batch in sink.sent if set(batch) & set(web(*range(1, 40, 2)))]
        if kind is RoutedSink:
            assert all(len(set(batch) & set(web(*range(1, 40, 2)))) == 1 for batch in tried), "one probe at a time"
        sink.otherwise = ok()
        await none_waits(journal)
        assert outcomes(journal) == {Outcome.DELIVERED: 40}
        for entity in range(8):
            of = [name for name in sink.arrived if int(name[4:]) % 8 == entity]
            assert of == web(*range(entity, 40, 8))
    balanced(tmp_path)


@in_virtual_time
async def test_parked_ones_survive_a_kill_and_are_probed_first(tmp_path: Path) -> None:
    sink = RoutedSink(otherwise=closed("b"))
    async with opened(tmp_path / "a") as journal, running(journal, sink, pace=PACE, stop=False):
        await append(journal, spread(*range(10)))
        await settled(journal, 10)
        copy = killed(tmp_path / "a", tmp_path / "b")
    balanced(copy)
    again = RoutedSink(otherwise=closed("b"))
    async with opened(copy) as journal, running(journal, again, pace=PACE):
        await append(journal, spread(10, 11))
        await settled(journal, 12)
        assert again.arrived == web(10)
        again.otherwise = ok()
        await none_waits(journal)
        assert again.arrived == [*web(10), *web(1, 3, 5, 7, 9, 11)]
        assert outcomes(journal) == {Outcome.DELIVERED: 12}
    assert again.sent[0] == web(1)
    balanced(copy)


@in_virtual_time
async def test_a_parked_one_may_be_rejected_at_last(tmp_path: Path) -> None:
    sink = RoutedSink(otherwise=closed("b"))
    async with opened(tmp_path) as journal, running(journal, sink, pace=PACE):
        await append(journal, spread(*range(6)))
        await settled(journal, 6)

        def refuse(sink: MemorySink, batch: Batch) -> Sent:
            of = names(batch)
            sink.keep(name for name in of if name != "web-3")
            error = Rejected("never", reason="mapping")
            return Sent(failed={i: error for i, name in enumerate(of) if name == "web-3"})

        sink.otherwise = refuse
        await none_waits(journal)
        assert outcomes(journal) == {Outcome.DELIVERED: 5, Outcome.DEAD: 1}
        assert sink.arrived == [*web(0, 2, 4), *web(1, 5)]
    balanced(tmp_path)


@in_virtual_time
async def test_parked_ones_expire_with_their_events(tmp_path: Path) -> None:
    sink = RoutedSink(otherwise=closed("b"))
    async with opened(tmp_path) as journal, running(journal, sink, pace=PACE, max_age=100):
        await append(journal, spread(*range(6)))
        await settled(journal, 6)
        await asyncio.sleep(140)
        assert outcomes(journal) == {Outcome.DELIVERED: 3 + len(sink.own), Outcome.EXPIRED: 3}
        assert any("3 events expired" in message for message in sink.own.values())
    balanced(tmp_path)


@in_virtual_time
async def test_while_the_whole_sink_is_down_parked_ones_wait_too(tmp_path: Path) -> None:
    sink = RoutedSink(closed("b"), otherwise=retry())
    async with opened(tmp_path) as journal, running(journal, sink, pace=PACE):
        await append(journal, spread(0, 1))
        await settled(journal, 2)
        await asyncio.sleep(100)
        assert outcomes(journal) == {Outcome.DELIVERED: 1, Outcome.PARKED: 1}
        sink.otherwise = ok()
        await none_waits(journal)
        assert sink.arrived == web(0, 1)
    balanced(tmp_path)


@in_virtual_time
async def test_at_its_bound_the_runner_stops_reading_and_drops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parked_module, "PARKED_MOST", 10)
    sink = RoutedSink(otherwise=closed("b"))
    async with opened(tmp_path) as journal, running(journal, sink, config(count=4), pace=PACE):
        for n in range(60):
            await append(journal, spread(n))
        await asyncio.sleep(600)
        stopped = journal.readers["memory"].cursor
        assert stopped < 60
        assert 10 <= outcomes(journal)[Outcome.PARKED] < 14
        sink.otherwise = ok()
        await settled(journal, 60)
        await none_waits(journal)
        assert sorted(sink.arrived) == sorted(web(*range(60)))
        assert len(sink.arrived) == 60
    balanced(tmp_path)


@in_virtual_time
async def test_a_letter_that_is_damaged_on_the_disk_is_told_and_the_others_go(tmp_path: Path) -> None:
    sink = RoutedSink(otherwise=closed("b"))
    async with opened(tmp_path) as journal, running(journal, sink, pace=PACE):
        await append(journal, spread(*range(6)))
        await settled(journal, 6)
        await journal._writer.submit(
            lambda c: c.execute("UPDATE letter SET event = zeroblob(10) WHERE number = 3") and None
        )
        sink.otherwise = ok()
        await none_waits(journal)
        assert outcomes(journal)[Outcome.DROPPED] == 1
        assert sink.arrived[:5] == web(0, 2, 4, 1, 5)
        async with asyncio.timeout(3600):
            while not any("1 events dropped" in message for message in sink.own.values()):
                await asyncio.sleep(1)
    balanced(tmp_path)
