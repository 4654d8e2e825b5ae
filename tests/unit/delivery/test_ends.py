"""Stops, kills and a disk that refuses: what was settled is settled, all else is sent again."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from eventer.delivery.runner import Health, Runner
from eventer.errors import Corrupt
from eventer.event import Outcome, own_record
from eventer.journal import read_books
from tests.helpers.journals import append, balanced, failing, killed, numbered, opened, web
from tests.helpers.memory_sink import (
    MemorySink,
    bad,
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
from tests.helpers.virtual import BEGIN, in_virtual_time


@pytest.mark.parametrize("moment", [0.0, 0.5, 5.0])
@in_virtual_time
async def test_a_cancelled_runner_closes_its_sink_and_leaves_no_task_behind(moment: float, tmp_path: Path) -> None:
    sink = MemorySink(ok(), slow(3), otherwise=retry(100))
    async with opened(tmp_path) as journal:
        async with running(journal, sink, config(count=1), stop=False):
            await append(journal, numbered(0, 1, 2))
            with failing():
                await asyncio.sleep(moment)
                assert not moment or journal.commit_failures
        await asyncio.sleep(100)
        assert asyncio.all_tasks() == {asyncio.current_task()}
    balanced(tmp_path)


# -- the sink's state --------------------------------------------------------------------------------


@in_virtual_time
async def test_a_sink_is_opened_with_the_state_of_its_last_settled_send(tmp_path: Path) -> None:
    first = MemorySink(ok(state=b"1"), ok(state=b"2"), ok(), otherwise=retry())
    async with opened(tmp_path) as journal, running(journal, first, config(count=1)):
        await append(journal, numbered(0, 1, 2))
        await settled(journal, 3)
    second = MemorySink()
    async with opened(tmp_path) as journal, running(journal, second):
        await append(journal, numbered(3))
        await settled(journal, 4)
    assert (first.opened, second.opened) == ([None], [b"2"])


@in_virtual_time
async def test_a_state_that_opening_returns_is_kept_before_the_first_send(tmp_path: Path) -> None:
    sink = MemorySink(otherwise=hang())
    sink.opening = [b"begun"]
    async with opened(tmp_path) as journal, running(journal, sink, stop=False):
        await append(journal, numbered(0))
        await asyncio.sleep(1)
        assert sink.sent
        assert journal.readers["memory"].state == b"begun"


@in_virtual_time
async def test_the_state_of_a_part_is_kept_with_the_cursor_that_passes_it(tmp_path: Path) -> None:
    """web-1 arrived with an answer that had a state; it is settled by a later answer that has none."""
    sink = MemorySink(partly({"web-0": retry()}, state=b"holds web-1"), rejected())
    async with opened(tmp_path) as journal, running(journal, sink):
        await append(journal, numbered(0, 1))
        await settled(journal, 2)
        assert outcomes(journal) == {Outcome.DEAD: 1, Outcome.DELIVERED: 1}
        assert journal.readers["memory"].state == b"holds web-1"


@in_virtual_time
async def test_a_state_never_runs_ahead_of_nothing(tmp_path: Path) -> None:
    """Until the cursor moves the old state stands: a file is cut there, and all of it is sent again."""
    sink = MemorySink(ok(state=b"old"), partly({"web-1": retry()}, state=b"new"), otherwise=retry())
    async with opened(tmp_path) as journal, running(journal, sink, stop=False):
        await append(journal, numbered(0))
        await settled(journal, 1)
        await append(journal, numbered(1, 2))
        await asyncio.sleep(10)
        record = journal.readers["memory"]
        assert (record.cursor, record.state) == (1, b"old")


# -- a disk that refuses -----------------------------------------------------------------------------


@in_virtual_time
async def test_a_settle_that_is_refused_is_repeated_and_the_events_are_not_sent_again(tmp_path: Path) -> None:
    sink = MemorySink(otherwise=bad("web-1"))
    async with opened(tmp_path) as journal:
        async with running(journal, sink):
            await append(journal, numbered(0, 1, 2))
            with failing():
                await asyncio.sleep(60)
                assert journal.readers["memory"].cursor == 0
                assert journal.commit_failures > 5
            await settled(journal, 3)
        assert sink.arrived == web(0, 2)
        assert outcomes(journal) == {Outcome.DELIVERED: 2, Outcome.DEAD: 1}
        assert await journal.letters() == {("memory", Outcome.DEAD): 1}
    balanced(tmp_path)


@in_virtual_time
async def test_while_settles_are_refused_at_most_two_batches_run_ahead(tmp_path: Path) -> None:
    sink = MemorySink()
    async with opened(tmp_path) as journal, running(journal, sink, config(count=1)):
        await append(journal, numbered(*range(10)))
        with failing():
            await asyncio.sleep(60)
            ahead = len(sink.sent) - journal.readers["memory"].cursor
            assert ahead <= 2
        await settled(journal, 10)
        assert sink.arrived == web(*range(10))


@in_virtual_time
async def test_a_disk_that_cannot_be_read_stops_the_runner_for_a_while_and_not_for_ever(tmp_path: Path) -> None:
    sink = MemorySink()
    sink.opening = [retry(10)]
    async with opened(tmp_path) as journal, running(journal, sink) as runner:
        journal._ring._capacity = 1
        good, journal._reader._connection = journal._reader._connection, _Refusing()
        try:
            await asyncio.gather(*(journal.record(own_record(BEGIN, "GapDamaged", f"{n}")) for n in range(3)))
            await asyncio.sleep(30)  # only the last is in the ring, so the first cannot be read
            assert not sink.sent
            assert (runner.status.health, runner.status.reason) == (Health.RETRYING, "disk")
        finally:
            journal._reader._connection = good
        await settled(journal, 3)
        assert list(sink.own.values()) == ["0", "1", "2"]
        assert runner.status.health is Health.OK


class _Refusing:
    """A connection under which the disk is gone. None can be had here: this says what SQLite would."""

    def execute(self, *_: Any) -> Any:
        raise OSError(5, "Input/output error")


@in_virtual_time
async def test_damage_ends_the_runner_so_that_the_daemon_can_begin_anew(tmp_path: Path) -> None:
    sink = MemorySink()
    async with opened(tmp_path) as journal:
        runner = Runner("memory", sink, config(), journal, journal._clock, max_age=60)
        await runner.begin()
        task = asyncio.create_task(runner.run())
        journal._writer._connection.execute("DROP TABLE reader")
        for number in range(2):
            await append(journal, numbered(number))
            await asyncio.sleep(1)
        assert journal.damaged.is_set()
        with pytest.raises(Corrupt):
            await task
        assert sink.closed == 1


# -- kill -9 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", [*range(12)])
@in_virtual_time
async def test_after_a_kill_at_most_two_batches_are_repeated(moment: int, tmp_path: Path) -> None:
    sink = MemorySink(otherwise=slow(1))
    async with opened(tmp_path / "a") as journal, running(journal, sink, config(count=2), stop=False):
        await append(journal, numbered(*range(20)))
        await asyncio.sleep(moment * 0.97)
        directory = killed(tmp_path / "a", tmp_path / "b")
        before = list(sink.arrived)
    again = MemorySink()
    async with opened(directory) as journal, running(journal, again, config(count=2)):
        await settled(journal, 20)
    balanced(directory)
    assert set(before) | set(again.arrived) == set(web(*range(20)))
    assert len(set(before) & set(again.arrived)) <= 4
    assert again.arrived == sorted(again.arrived, key=lambda name: int(name[4:]))


@in_virtual_time
async def test_s1_a_dead_sink_costs_the_others_nothing(tmp_path: Path) -> None:
    dead, hanging, well = MemorySink(otherwise=retry()), MemorySink(otherwise=hang()), MemorySink()
    loop = asyncio.get_running_loop()
    async with opened(tmp_path) as journal:
        async with (
            running(journal, dead, name="dead", stop=False),
            running(journal, hanging, name="hanging", stop=False),
            running(journal, well, name="well"),
        ):
            for number in range(100):
                await append(journal, numbered(number))
                began = loop.time()
                await asyncio.sleep(3)
                assert well.sent[-1] == web(number)
                assert well.times[-1] == began  # nobody's waiting has delayed it
        assert [journal.readers[name].cursor for name in ("dead", "hanging", "well")] == [0, 0, 100]
    balanced(tmp_path)


@in_virtual_time
async def test_a_new_sink_begins_at_the_head_or_with_the_oldest_that_is_kept(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        async with running(journal, MemorySink(otherwise=retry()), name="old", stop=False):
            await append(journal, numbered(0, 1))
        head, oldest = MemorySink(), MemorySink()
        options = config()
        options.start = "oldest"
        async with running(journal, head, name="head"), running(journal, oldest, options, name="oldest"):
            await append(journal, numbered(2))
            await settled(journal, 3, "head")
            await settled(journal, 3, "oldest")
    assert (head.arrived, oldest.arrived) == (web(2), web(0, 1, 2))
    records = read_books(tmp_path).readers
    assert (records["head"].origin, records["oldest"].origin) == (2, 0)
    balanced(tmp_path)


@in_virtual_time
async def test_own_cancellation_is_not_mistaken_for_the_sink_s(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5), running(journal, MemorySink(otherwise=hang()), stop=False):
                await append(journal, numbered(0))
                await asyncio.sleep(100)
        assert journal.readers["memory"].cursor == 0
