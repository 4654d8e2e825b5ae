"""Rows Q3, Q4, Q10: a disk that is full, refuses, or is slow. What is owed to the past is done, nothing new is taken.

The limit here is SQLite's own (`max_page_count`), and the system says that there is no room; on a disk of
16 MiB the same is done by real/test_disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from eventer.errors import DiskRefused
from eventer.event import Outcome, own_record
from eventer.journal import Journal, ReaderRecord, StreamKey
from eventer.journal.files import FILE
from eventer.journal.journal import HOUSE_EVERY, PROVE_EVERY, SLOW, STUCK
from eventer.journal.room import RESERVE
from eventer.journal.schema import LOG
from tests.helpers.intakes import state, taking, watched
from tests.helpers.journals import KEY, append, balanced, everything, failing, numbered, opened, slow, small
from tests.helpers.virtual import BEGIN, in_virtual_time

SITE = StreamKey("prod", "events/shop")


class Disk:
    """Says how much may lie in the state directory, the room that is kept included."""

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.size = 1 << 40
        self._allocate = os.posix_fallocate
        patch.setattr(os, "posix_fallocate", self.allocate)

    def allocate(self, fd: int, offset: int, length: int) -> None:
        used = sum(file.stat().st_size for file in self.directory.iterdir())
        if used - os.fstat(fd).st_size + max(length, os.fstat(fd).st_size) > self.size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._allocate(fd, offset, length)

    @property
    def free(self) -> int:
        return self.size - sum(file.stat().st_size for file in self.directory.iterdir())

    @contextlib.contextmanager
    def full(self, journal: Journal) -> Iterator[None]:
        """Let nothing grow any more."""
        execute = journal._writer._connection.execute
        (pages,) = execute("PRAGMA page_count").fetchone()
        before = self.size
        self.size -= self.free
        execute(f"PRAGMA max_page_count={pages}")
        try:
            yield
        finally:
            execute("PRAGMA max_page_count=4294967294")
            self.size = before


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(tmp_path, monkeypatch)


async def _refuse(journal: Journal) -> None:
    """Append until the disk refuses."""
    with contextlib.suppress(DiskRefused):
        for number in range(100_000, 101_000):
            await append(journal, numbered(number, message=os.urandom(8000).hex()))
    assert journal.trouble


@in_virtual_time
async def test_q3_a_full_disk_takes_no_events_but_cursors_and_gap_records(tmp_path: Path, disk: Disk) -> None:
    async with opened(tmp_path) as journal:
        await journal.settle("a", ReaderRecord(origin=0, cursor=0))
        lines = await append(journal, numbered(*range(100)))
        with disk.full(journal):
            await _refuse(journal)
            lines = await everything(journal)
            assert "is full" in journal.trouble
            failures = journal.commit_failures
            for key in (KEY, SITE):  # nothing is tried for any stream, which would use up what is kept
                with pytest.raises(DiskRefused, match="reading goes on when"):
                    await append(journal, numbered(1), key)
            with pytest.raises(DiskRefused):
                await journal.make_room()
            assert journal.commit_failures == failures
            for cursor in range(1, 90):
                await journal.settle("a", small(Outcome.DELIVERED, cursor))
            await journal.record(own_record(BEGIN, "GapBacklog", "words"))
            assert journal.commit_failures == failures
            with pytest.raises(DiskRefused):
                await journal.tidy()
            assert await everything(journal) != lines
            lines = await everything(journal, 89)
            assert journal.readers["a"].cursor == 89
        await journal.tidy()
        assert journal.trouble == ""
        lines += await append(journal, numbered(1))
        assert await everything(journal, 89) == lines
        await journal.settle("a", small(Outcome.DELIVERED, journal.head))
    balanced(tmp_path)


@in_virtual_time
async def test_q3_the_disk_comes_free_by_what_sinks_have_passed(tmp_path: Path, disk: Disk) -> None:
    """Nothing else lies on it, and a file with holes is of no use to it: the database must become shorter."""
    async with opened(tmp_path) as journal:
        await journal.settle("a", ReaderRecord(origin=0, cursor=0))
        for number in range(300):
            await append(journal, numbered(number, message=os.urandom(8000).hex()))
        disk.size = disk.size - disk.free + (1 << 20)
        with failing(number=errno.ENOSPC, times=1), pytest.raises(DiskRefused):
            await append(journal, numbered(1))
        with pytest.raises(DiskRefused):
            await journal.make_room()  # two more MiB are wanted than there are
        length = (tmp_path / FILE).stat().st_size
        await journal.settle("a", small(Outcome.DELIVERED, journal.head))
        await journal.tidy()
        assert journal.trouble == ""
        assert (tmp_path / FILE).stat().st_size < length - (1 << 20)
        await append(journal, numbered(2))
    balanced(tmp_path)


@in_virtual_time
async def test_q3_a_start_on_a_full_disk_drains_and_takes_events_when_there_is_room(tmp_path: Path, disk: Disk) -> None:
    disk.size = RESERVE
    async with opened(tmp_path) as journal:
        assert "is full" in journal.trouble
        await journal.settle("a", ReaderRecord(origin=0, cursor=0))
        with pytest.raises(DiskRefused):
            await append(journal, numbered(1))
        disk.size = 1 << 30
        await append(journal, numbered(1))
        assert journal.trouble == ""
    async with opened(tmp_path) as journal:
        assert journal.head == 1
        assert journal.trouble == ""


@in_virtual_time
async def test_q3_room_is_kept_while_it_runs_and_between_two_runs(tmp_path: Path) -> None:
    reserve, log = tmp_path / "reserve", tmp_path / f"{FILE}-wal"
    async with opened(tmp_path) as journal:
        await append(journal, numbered(1))
        assert reserve.stat().st_size == RESERVE
        assert log.stat().st_size == LOG
        assert log.stat().st_blocks * 512 >= LOG  # not a hole
    assert not log.exists()
    assert reserve.stat().st_blocks * 512 >= RESERVE + LOG


@in_virtual_time
async def test_q3_a_log_that_grew_is_cut_back(tmp_path: Path) -> None:
    """Or its next copy would need more than the reserve."""
    async with opened(tmp_path) as journal:
        journal._writer._connection.execute("PRAGMA wal_autocheckpoint=0")
        while (tmp_path / f"{FILE}-wal").stat().st_size <= LOG:
            await append(journal, numbered(1, message=os.urandom(200_000).hex()))
        journal._writer._connection.execute("PRAGMA wal_autocheckpoint=1000")
        for number in range(3):
            await append(journal, numbered(number))
        assert (tmp_path / f"{FILE}-wal").stat().st_size <= LOG


# -- row Q4 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.ENOSPC])
@in_virtual_time
async def test_q4_nothing_is_acknowledged_and_it_goes_on_by_itself(number: int, tmp_path: Path) -> None:
    async with taking(tmp_path) as (intake, journal):
        keeping = asyncio.create_task(journal.keep_house())
        await intake.take(watched(state("a", 11)))
        await intake.flush()
        with failing(number=number):
            await intake.take(watched(state("b", 12)))
            await intake.failed()  # without another call: the watch may be quiet for minutes
            with pytest.raises(DiskRefused, match="The disk under the state directory refuses"):
                await intake.flush()
            with pytest.raises(DiskRefused):
                await intake.flush()  # no watch is opened meanwhile
            assert intake.position == 11
            await asyncio.sleep(10 * HOUSE_EVERY)
            assert journal.trouble
            assert journal.head == 1
        await asyncio.sleep(2 * HOUSE_EVERY)
        assert journal.trouble == ""
        await intake.take(watched(state("b", 12)))
        await intake.flush()
        assert (journal.head, intake.position) == (2, 12)
        keeping.cancel()
    balanced(tmp_path)


@in_virtual_time
async def test_q4_a_disk_that_went_away_is_seen_where_nothing_happens(tmp_path: Path) -> None:
    """Once a minute something is written that nobody needs. A commit of nothing would not reach the disk."""
    written = tmp_path / f"{FILE}-wal"
    async with opened(tmp_path) as journal:
        await append(journal, numbered(1))
        keeping = asyncio.create_task(journal.keep_house())
        await asyncio.sleep(2 * HOUSE_EVERY)
        before = written.read_bytes()
        await asyncio.sleep(PROVE_EVERY / 2)
        assert written.read_bytes() == before
        await asyncio.sleep(PROVE_EVERY)
        assert written.read_bytes() != before
        with failing():
            await asyncio.sleep(2 * HOUSE_EVERY)
            assert "The disk under the state directory refuses" in journal.trouble
        await asyncio.sleep(2 * HOUSE_EVERY)
        assert journal.trouble == ""
        keeping.cancel()


def test_q4_a_directory_on_a_read_only_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class ReadOnly:
        f_flag = os.ST_RDONLY

    async def start() -> None:
        async with opened(tmp_path):
            pass

    monkeypatch.setattr(os, "statvfs", lambda _: ReadOnly)
    with pytest.raises(DiskRefused, match=r"mounted read-only. Mount a volume there that can be written"):
        asyncio.run(start())


@in_virtual_time
async def test_q4_that_the_disk_takes_writes_again_is_said_once_whoever_finds_it(tmp_path: Path) -> None:
    """Streams that want to append and the housekeeping look at the same time."""
    async with opened(tmp_path) as journal:
        with capture_logs() as said:
            with failing(times=1), pytest.raises(DiskRefused):
                await append(journal, numbered(1))
            await asyncio.gather(*(journal.make_room() for _ in range(3)))
        assert [line["event"] for line in said if line["event"].startswith("disk ")] == [
            "disk refuses, reading is paused",
            "disk takes writes again, reading goes on",
        ]
        assert journal.trouble == ""


# -- row Q10 -----------------------------------------------------------------------------------------


@in_virtual_time
async def test_q10_commits_of_half_a_second_hold_nobody_up(tmp_path: Path) -> None:
    """200 events a second for 20 seconds, one at a time, and a reader that settles each second."""
    async with taking(tmp_path) as (intake, journal):
        loop = asyncio.get_running_loop()
        longest = 0.0
        keeping = asyncio.create_task(journal.keep_house())
        settling: list[asyncio.Future[None]] = []
        with slow(0.5) as commits:
            began = loop.time()
            for number in range(4000):
                await asyncio.sleep(0.005)
                before = loop.time()
                await intake.take(watched(state(f"{number}", 11 + number)))
                longest = max(longest, loop.time() - before)
                if number % 200 == 199:
                    settling.append(journal.settle("a", small(Outcome.DELIVERED, journal.head)))
                assert journal.trouble == ""
            await intake.flush()
            lasted = loop.time() - began
        assert journal.head == 4000
        assert lasted < 20 + 3 * 0.5  # the one under way, one that had gathered, its own
        assert len(commits) <= lasted / 0.5 + 1
        assert longest == 0.0  # the watch is read as if nothing were
        keeping.cancel()
        await asyncio.gather(*settling)
    balanced(tmp_path)


async def _silent(journal: Journal, seconds: float) -> None:
    """Wait until a commit, of whatever it is, has taken so long."""
    while journal._writer.silent < seconds:
        await asyncio.sleep(HOUSE_EVERY)


async def _calm(journal: Journal) -> None:
    """Wait until what was begun while the disk was slow has come to its end."""
    while journal.trouble:
        await asyncio.sleep(HOUSE_EVERY)


@in_virtual_time
async def test_q10_one_commit_of_minutes_is_no_reason_for_a_restart_but_is_told(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        clock = journal._clock
        keeping = asyncio.create_task(journal.keep_house())
        with slow(300):
            appending = asyncio.create_task(append(journal, numbered(1)))
            await _silent(journal, SLOW + 1)
            assert "has not answered for 1" in journal.trouble
            await _silent(journal, 200)
            assert clock.monotonic() - journal.beat <= 2 * HOUSE_EVERY
            await appending
        await _calm(journal)
        with slow(STUCK + 100):
            appending = asyncio.create_task(append(journal, numbered(2)))
            await _silent(journal, STUCK + 70)
            assert clock.monotonic() - journal.beat > 60
            await appending
        await _calm(journal)
        await asyncio.sleep(2 * HOUSE_EVERY)
        assert clock.monotonic() - journal.beat <= 2 * HOUSE_EVERY
        keeping.cancel()
    balanced(tmp_path)
