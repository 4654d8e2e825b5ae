"""Repeats: the first state at once, the latest always, and each one in exactly one count."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from eventer.delivery import repeats as repeats_module
from eventer.event import Event, Outcome
from tests.helpers.journals import append, balanced, killed, numbered, opened, web
from tests.helpers.memory_sink import MemorySink, config, ok, outcomes, retry, running, settled
from tests.helpers.virtual import LoopClock, in_virtual_time

START = datetime(2026, 1, 1, tzinfo=UTC)


def state(n: int, entity: str = "e", **changes: object) -> list[Event]:
    """The n-th state of an entity: counted up, the same words."""
    return numbered(
        n, **{"entity": entity, "version": n, "count": n + 1, "time": START + timedelta(seconds=n), "message": "same"}
        | changes
    )  # fmt: skip


@in_virtual_time
async def test_the_first_goes_at_once_and_the_latest_at_the_end_of_the_window(tmp_path: Path) -> None:
    sink = MemorySink()
    loop = asyncio.get_running_loop()
    async with opened(tmp_path) as journal, running(journal, sink, config(repeats="5m")):
        began = loop.time()
        for n in range(10):
            await append(journal, state(n, name=f"web-{n}"))
            await asyncio.sleep(10)
        assert sink.arrived == web(0)
        assert outcomes(journal) == {Outcome.DELIVERED: 1, Outcome.COALESCED: 8, Outcome.PARKED: 1}
        await asyncio.sleep(300)
        assert sink.arrived == web(0, 9)
        assert 299 < sink.times[1] - began < 302
        assert outcomes(journal) == {Outcome.DELIVERED: 2, Outcome.COALESCED: 8}
        await asyncio.sleep(100)  # still within the window that the second one began
        await append(journal, state(10))
        await asyncio.sleep(50)
        assert sink.arrived == web(0, 9)
        await asyncio.sleep(300)
        assert sink.arrived == web(0, 9, 10)
        await asyncio.sleep(1000)
        await append(journal, state(11))
        await settled(journal, 12)
        assert sink.arrived == web(0, 9, 10, 11)
    balanced(tmp_path)


@in_virtual_time
async def test_repeats_within_one_read_leave_the_first_and_the_last(tmp_path: Path) -> None:
    sink = MemorySink()
    async with opened(tmp_path) as journal, running(journal, sink, config(repeats="1m")):
        await append(journal, [*state(0), *state(1, "other"), *state(2), *state(3), *state(4, "other"), *state(5)])
        await settled(journal, 6)
        assert sink.arrived == web(0, 1)
        await asyncio.sleep(70)
        assert sink.arrived == web(0, 1, 4, 5)
        assert outcomes(journal) == {Outcome.DELIVERED: 4, Outcome.COALESCED: 2}
    balanced(tmp_path)


@in_virtual_time
async def test_what_is_held_back_survives_a_kill_and_goes_when_it_was_due(tmp_path: Path) -> None:
    sink = MemorySink()
    clock = LoopClock()
    async with opened(tmp_path / "a", clock) as journal, running(journal, sink, config(repeats="5m"), stop=False):
        await append(journal, state(0))
        await settled(journal, 1)
        await append(journal, state(1))
        await settled(journal, 2)
        await asyncio.sleep(100)
        copy = killed(tmp_path / "a", tmp_path / "b")
    again = MemorySink()
    async with opened(copy, clock) as journal, running(journal, again, config(repeats="5m")):
        await append(journal, state(2))
        await settled(journal, 3)
        await asyncio.sleep(150)
        assert again.arrived == []
        await asyncio.sleep(60)
        assert again.arrived == web(2)
        assert outcomes(journal) == {Outcome.DELIVERED: 2, Outcome.COALESCED: 1}
    balanced(copy)


@in_virtual_time
async def test_what_is_held_back_when_the_option_is_taken_away_still_goes(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        async with running(journal, MemorySink(), config(repeats="5m")):
            await append(journal, [*state(0), *state(1)])
            await settled(journal, 2)
        sink = MemorySink()
        async with running(journal, sink, config()):
            await append(journal, state(2))
            await asyncio.sleep(400)
            assert sink.arrived == web(2)
    balanced(tmp_path)


@pytest.mark.parametrize("newer", [False, True])
@in_virtual_time
async def test_a_sink_that_is_down_at_the_end_of_the_window_gets_it_later(newer: bool, tmp_path: Path) -> None:
    sink = MemorySink()
    async with opened(tmp_path) as journal, running(journal, sink, config(repeats="1m")):
        await append(journal, [*state(0), *state(1)])
        await settled(journal, 2)
        sink.otherwise = retry()
        await asyncio.sleep(200)
        if newer:
            await append(journal, state(2))
        assert sink.arrived == web(0)
        sink.otherwise = ok()
        await asyncio.sleep(200)
        assert sink.arrived == (web(0, 1, 2) if newer else web(0, 1))
        assert not outcomes(journal)[Outcome.PARKED]
    balanced(tmp_path)


@in_virtual_time
async def test_changes_leaves_out_what_only_counts(tmp_path: Path) -> None:
    sink = MemorySink()
    async with opened(tmp_path) as journal, running(journal, sink, config(repeats="changes")):
        same = {"name": "web-0", "object": "prod/Pod/shop/web-0", "problem": "prod/Pod/shop/web-0/BackOff/web"}
        await append(journal, [*state(0, **same), *state(1, **same), *state(2, **same)])
        await append(journal, state(3, **same | {"message": "something else"}))
        await append(journal, [*state(4, **same | {"message": "something else"}), *state(5, "other")])
        await settled(journal, 6)
        assert sink.arrived == ["web-0", "web-0", "web-5"]
        assert outcomes(journal) == {Outcome.DELIVERED: 3, Outcome.COALESCED: 3}
    balanced(tmp_path)


@pytest.mark.parametrize("option", ["1h", "changes"])
@in_virtual_time
async def test_more_events_than_are_remembered_cost_an_update_too_many_and_lose_none(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats_module, "REMEMBERED", 5)
    sink = MemorySink()
    async with opened(tmp_path) as journal, running(journal, sink, config(repeats=option)):
        for n in range(40):
            await append(journal, state(n, f"e{n % 10}", name=f"of-e{n % 10}"))
            await settled(journal, n + 1)
        await asyncio.sleep(3700)
        assert {*sink.arrived} == {f"of-e{n}" for n in range(10)}
        assert not outcomes(journal)[Outcome.PARKED]
    balanced(tmp_path)
