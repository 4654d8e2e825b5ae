"""What the journal promises its callers, one promise a test. Sequences of them are in test_model."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventer.event import Outcome, decode_lines, own_record, version_of
from eventer.journal import Entry, Journal, ReaderRecord, StreamKey, StreamRecord, ledger, log
from eventer.journal.journal import FOLD_EVERY, HOUSE_EVERY
from eventer.journal.records import OWN
from tests.helpers.journals import KEY, append, everything, killed, numbered, opened, small
from tests.helpers.virtual import BEGIN, LoopClock, in_virtual_time


@in_virtual_time
async def test_a_reader_that_waits_is_woken_by_the_next_event(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        waiting = [asyncio.create_task(journal.grown(n)) for n in (0, 0, 1, 2)]
        await asyncio.sleep(10)
        assert not any(task.done() for task in waiting)
        await append(journal, numbered(1, 2))
        await asyncio.sleep(0)
        assert [task.done() for task in waiting] == [True, True, True, False]
        waiting[3].cancel()
        await append(journal, numbered(3))  # one that went away hinders nobody


@pytest.mark.parametrize("cursor", [0, 1, 5, 29, 30])
@pytest.mark.parametrize("count", [1, 3, 1000])
@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
@in_virtual_time
async def test_ring_and_disk_give_the_same_lines(cursor: int, count: int, size: int, tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        lines = []
        for row in range(10):
            lines += await append(journal, numbered(*range(row * 3, row * 3 + 3)))
        ring = await everything(journal, cursor, count=count, size=size)
        journal._ring._rows.clear()
        disk = await everything(journal, cursor, count=count, size=size)
        assert ring == disk == lines[cursor:]


@in_virtual_time
async def test_a_line_larger_than_the_limit_goes_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        lines = await append(journal, numbered(1) + numbered(2, message="x" * 100_000) + numbered(3))
        for _ in ("ring", "disk"):
            first = await journal.read(0, 10, 5000)
            second = await journal.read(1, 10, 5000)
            assert [first.lines, second.lines] == [lines[:1], lines[1:2]]
            journal._ring._rows.clear()


@in_virtual_time
async def test_rows_tell_when_they_were_appended_across_a_restart(tmp_path: Path) -> None:
    clock = LoopClock()
    async with opened(tmp_path, clock) as journal:
        await append(journal, numbered(1, 2))
        await asyncio.sleep(90)
        await append(journal, numbered(3))
        rows = (await journal.read(1, 10, 1 << 20)).rows
    async with opened(tmp_path, clock) as journal:
        assert (await journal.read(1, 10, 1 << 20)).rows == rows
    assert [(n, at - BEGIN.timestamp()) for n, at in rows] == [(1, 0.0), (1, 90.0)]


@in_virtual_time
async def test_own_records_have_keys_of_their_own_that_go_on_after_a_restart(tmp_path: Path) -> None:
    for _ in range(2):
        async with opened(tmp_path) as journal:
            await asyncio.gather(*(journal.record(own_record(BEGIN, "GapDamaged", f"{n}")) for n in range(3)))
            assert journal.stream(OWN) == StreamRecord(received=journal.head, appended=journal.head)
    async with opened(tmp_path) as journal:
        events = decode_lines(await everything(journal))
    assert [event.message for event in events] == ["0", "1", "2"] * 2
    assert len({event.id for event in events}) == 6
    assert [event.version for event in events] == [1, 2, 3, 4, 5, 6]
    assert len({event.id.split("/")[0] for event in events}) == 1


@in_virtual_time
async def test_two_journals_number_their_own_records_apart(tmp_path: Path) -> None:
    ids = []
    for name in ("a", "b"):
        async with opened(tmp_path / name) as journal:
            await journal.record(own_record(BEGIN, "GapDamaged", ""))
            ids += [event.id for event in decode_lines(await everything(journal))]
    assert len(set(ids)) == 2


# -- trimming and the cap ----------------------------------------------------------------------------


@in_virtual_time
async def test_the_log_is_trimmed_behind_the_slowest_reader_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "TRIM", 2)
    async with opened(tmp_path) as journal:
        lines = []
        for row in range(10):
            lines += await append(journal, numbered(*range(row * 3, row * 3 + 3)))
        await journal.settle("fast", small(Outcome.DELIVERED, 30))
        await journal.settle("slow", small(Outcome.DELIVERED, 16))
        await journal.tidy()
        assert await journal.oldest() == 15  # the row that holds the slow one's cursor stays whole
        journal._ring._rows.clear()
        assert await everything(journal, 16) == lines[16:]
        await journal.settle("slow", small(Outcome.DELIVERED, 30))
        await journal.tidy()
        assert await journal.oldest() == 30
        assert journal.backlog == 0
    async with opened(tmp_path) as journal:  # an empty log goes on where it ended
        assert journal.head == 30
        more = await append(journal, numbered(99))
        assert await everything(journal, 30) == more


async def _fill(journal: Journal, rows: int) -> None:
    for row in range(rows):
        await append(journal, numbered(*range(row * 50, row * 50 + 50)))


@in_virtual_time
async def test_over_the_cap_readers_are_told_up_to_where_to_let_go(tmp_path: Path) -> None:
    async with opened(tmp_path, max_size=20_000) as journal:
        await journal.settle("a", ReaderRecord(origin=0, cursor=0))
        await _fill(journal, 5)
        await journal.tidy()
        assert 0 < journal.backlog < 20_000
        assert journal.shed_to == 0
        each = journal.backlog / 5
        await _fill(journal, 45)
        await journal.tidy()
        left = (journal.head - journal.shed_to) / 50 * each
        assert 16_000 < left < 20_000  # 90 % of the cap, give or take a row
        reader = journal.readers["a"]
        await journal.settle("a", reader.moved({Outcome.DROPPED: journal.shed_to}))
        await journal.tidy()
        assert journal.shed_to == 0
        assert journal.backlog <= 20_000


@in_virtual_time
async def test_the_backlog_is_counted_once_after_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await journal.settle("a", ReaderRecord(origin=0, cursor=0))
        await _fill(journal, 3)
        await journal.tidy()
        counted = journal.backlog
    async with opened(tmp_path) as journal:
        await _fill(journal, 3)  # before the first round of housekeeping
        await journal.tidy()
        assert counted * 1.9 < journal.backlog < counted * 2.1
        stored = await journal._on_reader(
            lambda c: c.execute("SELECT coalesce(sum(length(body)), 0) FROM log").fetchone()[0]
        )
        assert journal.backlog == stored


@in_virtual_time
async def test_a_large_ledger_makes_nobody_let_go(tmp_path: Path) -> None:
    async with opened(tmp_path, max_size=20_000) as journal:
        await journal.settle("a", ReaderRecord(origin=0, cursor=0))
        await append(journal, numbered(1))
        changes = {f"uid-{n:036}": Entry(n, 1, n) for n in range(3000)}
        await journal.append(KEY, journal.stream(KEY), [], changes)
        await asyncio.sleep(FOLD_EVERY)
        await journal.tidy()
        assert journal.used > 100_000
        assert journal.shed_to == 0


@in_virtual_time
async def test_housekeeping_goes_on_after_a_refusal_and_shows_that_it_lives(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await append(journal, numbered(1))
        keeping = asyncio.create_task(journal.keep_house())
        journal._writer._connection.execute("PRAGMA query_only=1")  # SQLite says READONLY to each write
        await asyncio.sleep(HOUSE_EVERY * 5.5)
        assert journal.commit_failures >= 4
        assert journal._clock.monotonic() - journal.beat < 2 * HOUSE_EVERY
        journal._writer._connection.execute("PRAGMA query_only=0")
        await asyncio.sleep(HOUSE_EVERY * 2)
        assert await journal.oldest() == 1
        keeping.cancel()


# -- the ledger --------------------------------------------------------------------------------------


async def _know(journal: Journal, key: StreamKey, position: int | None, **versions: int | None) -> None:
    record = msgspec.structs.replace(journal.stream(key), position=position)
    changes = {uid: None if version is None else Entry(version, 1, 1) for uid, version in versions.items()}
    await journal.append(key, record, [], changes)


@in_virtual_time
async def test_what_is_evicted_lies_under_the_mark_and_the_newest_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "CAPACITY", 100)
    monkeypatch.setattr(ledger, "SLICE", 7)
    async with opened(tmp_path) as journal:
        await _know(journal, KEY, 1000, **{f"u{n}": n for n in range(1, 151)})
        await asyncio.sleep(FOLD_EVERY)
        await journal.tidy()
        found = await journal.ledger.look_up(KEY, [f"u{n}" for n in range(1, 151)])
        assert len(found) == 90
        assert journal.ledger.low(KEY) == 60
        assert all(entry.version > 60 for entry in found.values())
    async with opened(tmp_path) as journal:
        assert journal.ledger.low(KEY) == 60


@pytest.mark.parametrize(("position", "low"), [(None, 0), (20, 20)])
@in_virtual_time
async def test_what_lies_above_the_position_is_never_evicted(
    position: int | None, low: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a list the position is behind: entries above it say what is stored already."""
    monkeypatch.setattr(ledger, "CAPACITY", 100)
    async with opened(tmp_path) as journal:
        await _know(journal, KEY, position, **{f"u{n}": n for n in range(1, 151)})
        await asyncio.sleep(FOLD_EVERY)
        await journal.tidy()
        assert journal.ledger.low(KEY) == low
        found = await journal.ledger.look_up(KEY, [f"u{n}" for n in range(1, 151)])
        assert len(found) == 150 - low


@in_virtual_time
async def test_another_configuration_s_stream_does_not_bring_old_versions_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All namespaces by one stream, then one namespace by its own: the same objects, before anything is folded."""
    monkeypatch.setattr(ledger, "FOLD_AT", 3)
    namespace = StreamKey("prod", "events/shop")
    async with opened(tmp_path / "a") as journal:
        await _know(journal, KEY, 5, a=5, b=5, c=5)
        directory = killed(tmp_path / "a", tmp_path / "b")
    async with opened(directory) as journal:
        await _know(journal, namespace, 6, a=6, b=None, d=6, e=6)
        expected = {"a": Entry(6, 1, 1), "c": Entry(5, 1, 1)}
        assert await journal.ledger.look_up(namespace, ["a", "b", "c"]) == expected
        await journal.tidy()
        assert await journal.ledger.look_up(namespace, ["a", "b", "c"]) == expected
        await _know(journal, namespace, 7, a=7)
        await asyncio.sleep(FOLD_EVERY)
        await journal.tidy()
        assert (await journal.ledger.look_up(namespace, ["a"]))["a"].version == 7


@in_virtual_time
async def test_changes_that_come_faster_than_they_are_folded_wait_in_the_table_and_not_in_memory(
    tmp_path: Path,
) -> None:
    """No housekeeping runs here: whoever appends folds."""
    async with opened(tmp_path) as journal:
        most = 0
        for start in range(0, 40_000, 2000):
            await _know(journal, KEY, start, **{f"u{n}": n for n in range(start, start + 2000)})
            most = max(most, journal.ledger.unfolded(KEY))
        assert ledger.FOLD_AT < most < ledger.HELD + 2000
        asked = [f"u{n}" for n in range(0, 40_000, 97)]
        assert len(await journal.ledger.look_up(KEY, asked)) == len(asked)


def test_a_fold_that_is_cancelled_at_its_end_forgets_nothing_that_came_after_it() -> None:
    overlay = ledger.Overlay()
    overlay.gathering = {"a": Entry(1, 1, 1), "c": Entry(1, 1, 1)}
    overlay.begin()
    cancelled = overlay.folding
    overlay.gathering = {"b": Entry(2, 1, 1), "c": None}
    overlay.begin()
    overlay.end(cancelled)
    assert overlay.folding == {"a": Entry(1, 1, 1), "b": Entry(2, 1, 1), "c": None}
    overlay.end(overlay.folding)
    assert not len(overlay)


@in_virtual_time
async def test_what_is_folded_while_the_table_is_read_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path) as journal:
        await _know(journal, KEY, 1, **{"node/a": 1, "node/b": 1, "nodes/c": 1})
        read = journal.ledger._read

        async def slowly(work: Any) -> Any:
            result = await read(work)
            monkeypatch.undo()
            await journal.ledger.fold(KEY, journal.streams)
            return result

        monkeypatch.setattr(journal.ledger, "_read", slowly)
        assert (await journal.ledger.under(KEY, {"node"})).keys() == {"node/a", "node/b"}
        assert not journal.ledger.unfolded(KEY)
        assert (await journal.ledger.under(KEY, {"node"})).keys() == {"node/a", "node/b"}


@in_virtual_time
async def test_clusters_do_not_know_of_each_other(tmp_path: Path) -> None:
    other = StreamKey("test", "events")
    async with opened(tmp_path) as journal:
        await _know(journal, KEY, 5, a=5)
        assert await journal.ledger.look_up(other, ["a"]) == {}
        await asyncio.sleep(FOLD_EVERY)
        await journal.tidy()
        assert await journal.ledger.look_up(other, ["a"]) == {}
        assert await journal.ledger.look_up(KEY, ["a"]) == {"a": Entry(5, 1, 1)}


@in_virtual_time
async def test_numbers_at_the_end_of_their_range_are_kept(tmp_path: Path) -> None:
    entry = Entry(version_of(32_767, (1 << 48) - 1), (1 << 63) - 1, -(1 << 63))
    async with opened(tmp_path) as journal:
        await journal.append(KEY, journal.stream(KEY), [], {"uid '\"\ud7ff": entry})
        await asyncio.sleep(FOLD_EVERY)
        await journal.tidy()
        assert await journal.ledger.look_up(KEY, ["uid '\"\ud7ff"]) == {"uid '\"\ud7ff": entry}
