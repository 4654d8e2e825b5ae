"""Group commit, a disk that refuses, and callers that went away: memory says what the disk says."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import sqlite3
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventer.errors import Corrupt, DiskRefused
from eventer.event import Outcome, decode_lines, own_record
from eventer.journal import Entry, Journal, ReaderRecord, read_books, schema
from eventer.journal.records import ClusterRecord
from eventer.journal.writer import Writer
from tests.helpers.journals import KEY, append, everything, failing, letter, numbered, opened, small
from tests.helpers.virtual import BEGIN, in_virtual_time


class Gate:
    """Holds the writer's thread until it is opened, so that a group gathers."""

    def __init__(self, journal: Journal) -> None:
        self._open = threading.Event()
        self._inside = threading.Event()
        self.passed = journal._writer.submit(self._hold)

    def _hold(self, _: sqlite3.Connection) -> None:
        self._inside.set()
        assert self._open.wait(20)

    async def reached(self) -> None:
        await asyncio.to_thread(self._inside.wait, 20)

    def open(self) -> None:
        self._open.set()


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS])
@in_virtual_time
async def test_a_failed_commit_fails_and_nothing_of_it_happened(number: int, tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        lines = await append(journal, numbered(1))
        await journal.settle("a", small(Outcome.DELIVERED, 0))
        with failing(number=number):
            with pytest.raises(DiskRefused, match="The disk under the state directory refuses"):
                await append(journal, numbered(2))
            with pytest.raises(DiskRefused):
                await journal.settle("a", small(Outcome.DEAD, 1), [letter(*numbered(1))])
            with pytest.raises(DiskRefused):
                await journal.set_cluster("prod", ClusterRecord(epoch=3))
            with pytest.raises(DiskRefused):
                await journal.tidy()
        assert journal.commit_failures == 4
        assert not journal.damaged.is_set()
        assert journal.head == 1
        assert journal.cluster("prod") is None
        assert journal.readers["a"] == small(Outcome.DELIVERED, 0)
        assert await journal.letters() == {}
        lines += await append(journal, numbered(3))
        assert await everything(journal) == lines
    assert read_books(tmp_path).head == 2


@pytest.mark.parametrize("bad", [0, 3, 6])
async def test_one_operation_that_fails_undoes_its_group_and_tells_all_of_it(bad: int, tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        lines = await append(journal, numbered(1))
        gate = Gate(journal)
        await gate.reached()

        def refuse(_: sqlite3.Connection) -> None:
            raise OSError(errno.EIO, "bad sector")

        work: list[asyncio.Future[Any]] = []
        for place in range(7):
            if place == bad:
                work.append(journal._writer.submit(refuse))
            else:
                work.append(journal.settle(f"r{place}", ReaderRecord(origin=0, cursor=0)))
        gate.open()
        results = await asyncio.gather(*work, return_exceptions=True)
        await gate.passed
        assert [type(result) for result in results] == [DiskRefused] * 7
        assert journal.readers == {}
        assert journal.commit_failures == 1
        # The same calls, made again, work.
        for place in range(7):
            await journal.settle(f"r{place}", ReaderRecord(origin=0, cursor=0))
        assert await everything(journal) == lines
    assert len(read_books(tmp_path).readers) == 7


async def test_what_gathers_during_a_commit_goes_into_one(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        gate = Gate(journal)
        await gate.reached()
        seen: list[int] = []

        def count(connection: sqlite3.Connection) -> None:
            seen.append(connection.total_changes)

        work = []
        for _ in range(10):
            work += [journal._writer.submit(count), journal.set_cluster("prod", ClusterRecord())]
        tasks = [asyncio.ensure_future(each) for each in work]
        await asyncio.sleep(0)
        with failing(times=1):
            gate.open()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert len(seen) == 10  # all ran, and the one failure was of one commit
        assert journal.commit_failures == 1


@in_virtual_time
async def test_a_caller_that_went_away_does_not_part_memory_from_the_disk(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await append(journal, numbered(*range(5)))
        for number in range(1, 6):
            task = asyncio.create_task(journal.record(own_record(BEGIN, "GapBacklog", f"{number}")))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            settling = journal.settle("a", small(Outcome.DELIVERED, number))
            settling.cancel()
        await journal.record(own_record(BEGIN, "GapBacklog", "last"))
        stored = decode_lines(await everything(journal, 5))
        assert [event.message for event in stored] == ["1", "2", "3", "4", "5", "last"]
        assert len({event.id for event in stored}) == 6
        assert journal.readers["a"].cursor == 5
        books = journal.head, dict(journal.streams), dict(journal.readers)
    found = read_books(tmp_path)
    assert (found.head, found.streams, found.readers) == books


@in_virtual_time
async def test_changes_of_a_cancelled_append_are_known_all_the_same(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await append(journal, numbered(0))
        before = journal.stream(KEY)
        task = asyncio.create_task(journal.append(KEY, before, [], {"uid": Entry(7, 1, 1)}))
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await append(journal, numbered(1))
        assert await journal.ledger.look_up(KEY, ["uid"]) == {"uid": Entry(7, 1, 1)}


async def test_what_was_queued_is_committed_by_a_close(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        gate = Gate(journal)
        await gate.reached()
        work = [asyncio.ensure_future(append(journal, numbered(1)))]
        settling = [journal.settle(f"r{n}", ReaderRecord(origin=0, cursor=0)) for n in range(200)]
        closing = asyncio.ensure_future(journal.close())
        gate.open()
        await closing
        await asyncio.gather(*settling)
        for each in work:
            each.cancel()
    assert len(read_books(tmp_path).readers) == 200


async def test_it_outlives_a_loop_that_is_gone(tmp_path: Path) -> None:
    connection = schema.connect(tmp_path)

    async def leave() -> Writer:
        writer = Writer(connection, lambda _: None)
        writer.submit(lambda c: c.execute("CREATE TABLE t(x)"))
        return writer

    writer = await asyncio.to_thread(lambda: asyncio.run(leave()))
    writer._queue.put(None)
    await asyncio.to_thread(writer._thread.join, 20)
    assert not writer._thread.is_alive()
    connection.close()


@in_virtual_time
async def test_another_program_that_writes_is_waited_out_and_is_no_damage(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await append(journal, numbered(1))
        journal._writer._connection.execute("PRAGMA busy_timeout=1")
        other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DiskRefused, match="Another program holds the journal"):
            await append(journal, numbered(2))
        other.close()
        await append(journal, numbered(3))
        assert journal.head == 2
        assert not journal.damaged.is_set()


def _error(code: int, message: str = "words") -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(message)
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_FULL, DiskRefused),
        (sqlite3.SQLITE_IOERR, DiskRefused),
        (sqlite3.SQLITE_IOERR_FSYNC, DiskRefused),
        (sqlite3.SQLITE_READONLY, DiskRefused),
        (sqlite3.SQLITE_CANTOPEN, DiskRefused),
        (sqlite3.SQLITE_BUSY, DiskRefused),
        (sqlite3.SQLITE_LOCKED, DiskRefused),
        (sqlite3.SQLITE_CORRUPT, Corrupt),
        (sqlite3.SQLITE_CORRUPT_INDEX, Corrupt),
        (sqlite3.SQLITE_NOTADB, Corrupt),
        (sqlite3.SQLITE_ERROR, Corrupt),
        (sqlite3.SQLITE_CONSTRAINT, Corrupt),
    ],
)
def test_what_the_database_says_is_the_disk_s_refusal_or_damage(code: int, kind: type[Exception]) -> None:
    assert type(schema.translate(_error(code))) is kind


@in_virtual_time
async def test_a_record_is_never_stored_in_part(tmp_path: Path) -> None:
    """An append that fails in the middle of its statements leaves the row before it as the last one."""
    async with opened(tmp_path) as journal:
        await append(journal, numbered(1))
        before = journal.stream(KEY)
        bad = letter(*numbered(2))
        broken = msgspec.structs.replace(bad, attempts=1 << 70)  # no INTEGER of SQLite's
        with pytest.raises(OverflowError):
            await journal.append(KEY, before, [b"{}"], {"uid": Entry(1, 1, 1)}, [broken])
        assert journal.head == 1
        assert await journal.ledger.look_up(KEY, ["uid"]) == {}
        assert len(await everything(journal)) == 1
    assert read_books(tmp_path).head == 1
