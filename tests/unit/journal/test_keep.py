"""What stays in the log though every reader has it: for a time, in little room, and never at anybody's cost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventer.event import Outcome
from eventer.journal import Journal, ReaderRecord, log
from tests.helpers.journals import append, everything, failing, numbered, small
from tests.helpers.virtual import LoopClock, in_virtual_time

HOUR = 3600.0


@contextlib.asynccontextmanager
async def keeping(
    directory: Path, clock: LoopClock, *, keep: float = HOUR, max_size: int = 1 << 30
) -> AsyncIterator[Journal]:
    with Journal.open(directory, max_size=max_size, keep=keep, clock=clock) as journal:
        try:
            yield journal
        finally:
            await journal.close()


async def settle(journal: Journal, upto: int, name: str = "a") -> None:
    await journal.settle(name, small(Outcome.DELIVERED, upto))


async def stored(journal: Journal) -> int:
    return int(
        await journal._on_reader(lambda c: c.execute("SELECT coalesce(sum(length(body)), 0) FROM log").fetchone()[0])
    )


@in_virtual_time
async def test_it_stays_for_its_time_and_goes_then(tmp_path: Path) -> None:
    async with keeping(tmp_path, LoopClock()) as journal:
        lines = await append(journal, numbered(0, 1, 2))
        await asyncio.sleep(HOUR / 2)
        lines += await append(journal, numbered(3, 4))
        await settle(journal, 5)
        await journal.tidy()
        assert await journal.oldest() == 0
        journal._ring._rows.clear()
        assert await everything(journal) == lines
        assert await journal.offset_at(journal.now - 60) == 3
        await asyncio.sleep(HOUR / 2 + 1)
        await journal.tidy()
        assert await journal.oldest() == 3
        await asyncio.sleep(HOUR)
        await journal.tidy()
        assert await stored(journal) == 0
        assert await journal.oldest() == 5


@in_virtual_time
async def test_what_waits_is_not_touched_however_old(tmp_path: Path) -> None:
    async with keeping(tmp_path, LoopClock()) as journal:
        await append(journal, numbered(0))
        await append(journal, numbered(1, 2))
        await settle(journal, 1)
        await asyncio.sleep(10 * HOUR)
        await journal.tidy()
        assert await journal.oldest() == 1
        await settle(journal, 2)  # the row that holds a cursor stays whole
        await journal.tidy()
        assert await journal.oldest() == 1
        assert journal.backlog == await stored(journal) > 0


@in_virtual_time
async def test_it_is_no_backlog_also_after_a_restart(tmp_path: Path) -> None:
    clock = LoopClock()
    async with keeping(tmp_path, clock) as journal:
        await append(journal, numbered(*range(50)))
        await settle(journal, 50)
        await journal.tidy()
        assert journal.backlog == 0 < await stored(journal)
        before = await stored(journal)
        await append(journal, numbered(*range(50, 60)))
        assert journal.backlog == await stored(journal) - before
        assert (await journal.books()).waiting["a"].bytes == journal.backlog
    async with keeping(tmp_path, clock) as journal:
        waits = await stored(journal) - before
        assert journal.backlog == waits  # before any round of housekeeping
        await journal.tidy()
        assert journal.backlog == waits
    async with keeping(tmp_path, clock, keep=0.0) as journal:
        await journal.tidy()
        assert await stored(journal) == journal.backlog == waits


async def fill(journal: Journal, rows: int, first: int = 0) -> None:
    for row in range(first, first + rows):
        await append(journal, numbered(*range(row * 50, row * 50 + 50)))


@in_virtual_time
async def test_it_takes_no_more_than_a_quarter(tmp_path: Path) -> None:
    async with keeping(tmp_path, LoopClock(), max_size=100_000) as journal:
        await settle(journal, 0)
        await fill(journal, 40)
        total = await stored(journal)
        assert 50_000 < total < 100_000
        await settle(journal, 2000)
        await journal.tidy()
        row = total / 40
        assert 25_000 - 2 * row < await stored(journal) <= 25_000
        lines = await everything(journal, await journal.oldest())
        assert b"web-1999" in lines[-1], "the newest is kept"


@in_virtual_time
async def test_it_goes_before_anybody_must_let_go(tmp_path: Path) -> None:
    async with keeping(tmp_path, LoopClock(), max_size=100_000) as journal:
        await settle(journal, 0)
        await fill(journal, 10)
        await settle(journal, 500)
        await journal.tidy()
        kept = await stored(journal)
        assert kept > 10_000
        row = kept / 10
        filled = int(95_000 / row)
        await fill(journal, filled, 10)
        await journal.tidy()
        assert journal.shed_to == 0
        assert 90_000 < journal.backlog < 100_000
        assert await stored(journal) <= 100_000
        await fill(journal, int(10_000 / row), 10 + filled)
        await journal.tidy()
        assert await stored(journal) == journal.backlog > 100_000, "nothing is kept any more"
        assert journal.shed_to > 500
        freed = (journal.shed_to - 500) / 50 * row
        assert journal.backlog - freed == pytest.approx(90_000, abs=2 * row)


@in_virtual_time
async def test_what_is_kept_is_not_counted_when_laggards_let_go(tmp_path: Path) -> None:
    """The offset that is named frees what waits, not what is kept before it."""
    async with keeping(tmp_path, LoopClock(), max_size=1 << 30) as journal:
        await settle(journal, 0)
        await fill(journal, 20)
        await settle(journal, 500)
        await journal.tidy()
        size = journal.backlog // 10
        found = await journal._on_reader(lambda c: log.shed(c, 500, 3 * size))
        assert found in {650, 700}
        assert await journal._on_reader(lambda c: log.shed(c, 0, 3 * size)) in {150, 200}


@in_virtual_time
async def test_on_a_full_disk_it_goes_at_once(tmp_path: Path) -> None:
    async with keeping(tmp_path, LoopClock()) as journal:
        await append(journal, numbered(*range(50)))
        await settle(journal, 50)
        await journal.tidy()
        assert await stored(journal) > 0
        journal._room.refuse("full")
        await journal.tidy()
        assert await stored(journal) == 0


@in_virtual_time
async def test_a_sink_that_begins_with_the_oldest_gets_it(tmp_path: Path) -> None:
    async with keeping(tmp_path, LoopClock()) as journal:
        await append(journal, numbered(0))
        await settle(journal, 1)
        await journal.tidy()
        start = await journal.oldest()
        await journal.settle("b", ReaderRecord(origin=start, cursor=start))
        assert len((await journal.read(start, 10, 1000)).lines) == 1
        await asyncio.sleep(2 * HOUR)
        await journal.tidy()
        assert await journal.oldest() == 0, "from now on it waits"


@in_virtual_time
async def test_damage_to_what_everybody_has_is_no_gap(tmp_path: Path) -> None:
    async with keeping(tmp_path, LoopClock()) as journal:
        await append(journal, numbered(0, 1))
        await append(journal, numbered(2))
        await settle(journal, 2)
        journal._ring._rows.clear()
        await journal._writer.submit(lambda c: c.execute("UPDATE log SET body = zeroblob(9)") and None)
        assert (await journal.read(0, 10, 1000)).lost == 2
        assert journal.head == 3
        assert (await journal.read(2, 10, 1000)).lost == 1
        assert journal.head == 4, "this one was waited for"


@in_virtual_time
async def test_a_disk_that_refuses_leaves_the_figures_right(tmp_path: Path) -> None:
    async with keeping(tmp_path, LoopClock(), keep=1.0) as journal:
        await append(journal, numbered(*range(50)))
        await settle(journal, 50)
        await asyncio.sleep(2)
        with failing(), contextlib.suppress(Exception):
            await journal.tidy()
        assert journal.backlog == 0 < await stored(journal)
        await journal.tidy()
        assert journal.backlog == await stored(journal) == 0


@in_virtual_time
async def test_a_clock_that_jumps_ahead_costs_what_is_kept_and_nothing_else(tmp_path: Path) -> None:
    clock = LoopClock()
    async with keeping(tmp_path, clock) as journal:
        await append(journal, numbered(0))
        await append(journal, numbered(1))
        await settle(journal, 1)
        clock.skew = 50 * 365 * 86_400.0
        await journal.tidy()
        assert await journal.oldest() == 1
