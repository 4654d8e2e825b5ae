"""Row Q5: whatever happened to the files, the journal opens, and nothing is lost in silence."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from eventer.errors import Corrupt, DiskRefused
from eventer.event import Outcome, decode_lines, encode_lines
from eventer.journal import Entry, Journal, ReaderRecord, StreamKey, StreamRecord
from eventer.journal.files import FILE
from eventer.journal.records import ClusterRecord
from tests.helpers.journals import KEY, append, everything, execute, failing, filled, killed, letter, numbered, opened
from tests.helpers.virtual import LoopClock, in_virtual_time

SEEDS = range(200)
OTHER = StreamKey("test", "events")


class Moment(msgspec.Struct, frozen=True):
    """The books at one moment."""

    streams: dict[StreamKey, StreamRecord]
    readers: dict[str, ReaderRecord]

    @classmethod
    def of(cls, journal: Journal) -> Moment:
        return cls(dict(journal.streams), dict(journal.readers))


class Past:
    """A journal with a past: files as a clean end, and as two kills, left them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.moments: list[Moment] = [Moment({}, {})]
        self.lines: list[bytes] = []

    async def live(self) -> None:
        directory = self.root / "live"
        async with opened(directory) as journal:
            await journal.set_cluster("prod", ClusterRecord(uid="u"))
            for name in ("ahead", "behind"):
                await journal.settle(name, ReaderRecord(origin=0, cursor=0))
                self.moments.append(Moment.of(journal))
            await self._append(journal, range(20))
            await journal.tidy()
        shutil.copytree(directory, self.root / "closed")
        async with opened(directory) as journal:
            await self._append(journal, range(20, 30))
            killed(directory, self.root / "early")
            await journal.tidy()
            await self._append(journal, range(30, 40))
            killed(directory, self.root / "killed")

    async def _append(self, journal: Journal, numbers: range) -> None:
        rng = random.Random(numbers.start)
        for number in numbers:
            key = KEY if number % 3 else OTHER
            before = journal.stream(key)
            # Bodies that do not compress, so that some rows take pages of their own.
            words = rng.randbytes(rng.choice([8, 40, 3000])).hex()
            events = numbered(*range(number * 10, number * 10 + 3), message=words)
            lines = encode_lines(events)
            record = msgspec.structs.replace(
                before, position=number, received=before.received + 3, appended=before.appended + 3
            )
            if number == numbers.start:
                self.moments.append(Moment.of(journal))
            changes = {event.entity: Entry(event.version, 1, number) for event in events}
            await journal.append(key, record, lines, changes)
            self.lines += lines
            self.moments.append(Moment.of(journal))
            if number % 5 == 0:
                reader = journal.readers["ahead"].moved({Outcome.DELIVERED: 6, Outcome.DEAD: 1}, b"state")
                await journal.settle("ahead", reader, [letter(events[0], reader.cursor - 1)])
                self.moments.append(Moment.of(journal))


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Past:
    past = Past(tmp_path_factory.mktemp("past"))
    asyncio.run(past.live())
    return past


# -- mutations ---------------------------------------------------------------------------------------


def _present(directory: Path, rng: random.Random) -> Path:
    return rng.choice([file for file in sorted(directory.glob(f"{FILE}*")) if file.stat().st_size])


def flip(directory: Path, rng: random.Random, past: Past) -> None:
    file = _present(directory, rng)
    data = bytearray(file.read_bytes())
    for _ in range(rng.choice([1, 1, 1, 2, 8])):
        at = rng.randrange(len(data))
        # The format's number alone cannot be told from the one of a newer version: that is refused.
        if not 60 <= at < 64:
            data[at] ^= 1 << rng.randrange(8)
    file.write_bytes(data)


def overwrite(directory: Path, rng: random.Random, past: Past) -> None:
    file = _present(directory, rng)
    data = bytearray(file.read_bytes())
    page = rng.randrange(1, max(2, len(data) // 4096)) * 4096
    data[page : page + 4096] = rng.choice([bytes(4096), rng.randbytes(4096)])
    file.write_bytes(data)


def truncate(directory: Path, rng: random.Random, past: Past) -> None:
    file = _present(directory, rng)
    with file.open("r+b") as opened_:
        opened_.truncate(rng.choice([0, rng.randrange(file.stat().st_size)]))


def foreign_database(directory: Path, rng: random.Random, past: Past) -> None:
    (directory / FILE).unlink()
    with contextlib.closing(sqlite3.connect(directory / FILE)) as connection:
        connection.execute("CREATE TABLE reader(name, record, crc)")
        connection.execute(f"PRAGMA user_version={rng.choice([0, 1])}")
        connection.commit()


def foreign_text(directory: Path, rng: random.Random, past: Past) -> None:
    (directory / FILE).write_bytes(rng.choice([b"# a note\n", b"\0", b"SQLite format 3\0" + rng.randbytes(5000)]))


def missing(directory: Path, rng: random.Random, past: Past) -> None:
    for file in sorted(directory.glob(f"{FILE}*")):
        if rng.random() < 0.6:
            file.unlink()


def foreign_wal(directory: Path, rng: random.Random, past: Past) -> None:
    other = rng.choice(["early", "killed"])
    shutil.copy(past.root / other / f"{FILE}-wal", directory)


def old_main_file(directory: Path, rng: random.Random, past: Past) -> None:
    shutil.copy(past.root / rng.choice(["early", "closed", "killed"]) / FILE, directory)


MUTATIONS: list[Callable[[Path, random.Random, Past], None]] = [
    *[flip] * 8,
    *[overwrite] * 3,
    *[truncate] * 3,
    foreign_database,
    foreign_text,
    missing,
    foreign_wal,
    old_main_file,
]


# -- what must hold ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@in_virtual_time
async def test_q5_any_damage_is_survived_and_told(seed: int, past: Past, tmp_path: Path) -> None:
    rng = random.Random(seed)
    directory = tmp_path / "state"
    shutil.copytree(past.root / rng.choice(["closed", "early", "killed", "killed"]), directory)
    rng.choice(MUTATIONS)(directory, rng, past)
    async with opened(directory) as journal:
        kept = journal.quarantined
        if kept is None:
            await _nothing_lost_in_silence(journal, past)
    if kept is not None:
        assert kept.exists() and kept.parent == directory
        async with opened(directory) as journal:  # it does not end in a loop of quarantines
            assert journal.quarantined is None
            assert await everything(journal) == []
            await _works(journal)


async def _nothing_lost_in_silence(journal: Journal, past: Past) -> None:
    assert Moment.of(journal) in past.moments  # as it was at some moment: no position ahead of its events
    head = journal.head
    try:
        for reader in dict(journal.readers).values():
            cursor = reader.cursor
            while cursor < head:
                piece = await journal.read(cursor, min(7, head - cursor), 1 << 20)
                assert piece.end > cursor
                assert piece.lines == past.lines[cursor : cursor + len(piece.lines)]
                if piece.lost:
                    assert piece.end <= head
                    gaps = decode_lines(await everything(journal, head))
                    assert f"{piece.lost} stored events" in [gap.message for gap in gaps][-1]
                cursor = piece.end
        entities = [f"uid-{n}" for n in range(400)]
        for entity, entry in (await journal.ledger.look_up(KEY, entities)).items():
            assert entity in entities and isinstance(entry.version, int)
        await asyncio.sleep(60)
        await journal.tidy()
        await journal.letters()
        await _works(journal)
    except Corrupt:
        assert journal.damaged.is_set()  # the daemon sets it aside and begins anew


async def _works(journal: Journal) -> None:
    before = journal.head
    lines = await append(journal, numbered(1, 2, 3))
    assert (await everything(journal, before))[-3:] == lines
    await journal.settle("new", ReaderRecord(origin=before, cursor=before))


# -- single kinds of damage --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        "body = x'00'",
        "body = substr(body, 1, length(body) - 1)",
        "body = 'text'",
        "n = 1",
        "n = 10000000",
        "n = 'two'",
        "at = at + 1",
        "at = 'noon'",
        "crc = crc + 1",
        "first = first + 1",
    ],
)
@in_virtual_time
async def test_a_damaged_row_is_lost_alone_and_leaves_one_gap_record(change: str, tmp_path: Path) -> None:
    lines = await filled(tmp_path)
    execute(tmp_path, f"UPDATE log SET {change} WHERE first = 4")
    async with opened(tmp_path) as journal:
        assert journal.quarantined is None
        cursor, lost = 0, 0
        readable: list[bytes] = []
        while cursor < 12:
            piece = await journal.read(cursor, 12 - cursor, 1 << 20)
            readable += piece.lines
            lost += piece.lost
            cursor = piece.end
        assert cursor == 12
        assert lost == 2
        assert readable == lines[:4] + lines[6:]
        await journal.read(4, 100, 1 << 20)  # another reader comes by
        gaps = decode_lines(await everything(journal, 12))
        assert {gap.reason for gap in gaps} == {"GapDamaged"}
        assert sum(int(gap.message.split()[0]) for gap in gaps) == 2


@in_virtual_time
async def test_rows_that_are_gone_are_lost_and_counted(tmp_path: Path) -> None:
    lines = await filled(tmp_path)
    execute(tmp_path, "DELETE FROM log WHERE first IN (0, 4, 6)")
    async with opened(tmp_path) as journal:
        assert (await journal.read(0, 100, 1 << 20)).lost == 2
        assert (await journal.read(2, 100, 1 << 20)).lines == lines[2:4]
        assert (await journal.read(4, 100, 1 << 20)).lost == 4
        assert (await journal.read(5, 100, 1 << 20)).lost == 3
        assert (await journal.read(8, 4, 1 << 20)).lines == lines[8:]


@in_virtual_time
async def test_the_gap_of_a_damaged_row_is_told_later_if_the_disk_refuses_now(tmp_path: Path) -> None:
    await filled(tmp_path)
    execute(tmp_path, "UPDATE log SET crc = 0 WHERE first = 4")
    async with opened(tmp_path) as journal:
        with failing(), pytest.raises(DiskRefused):
            await journal.read(4, 100, 1 << 20)
        assert journal.head == 12
        assert (await journal.read(4, 100, 1 << 20)).lost == 2
        (gap,) = decode_lines(await everything(journal, 12))
        assert gap.reason == "GapDamaged"


@pytest.mark.parametrize("after", ["close", "kill"])
@pytest.mark.parametrize("loss", ["emptied", "removed"])
@in_virtual_time
async def test_a_journal_that_vanished_is_told_and_not_taken_for_a_first_start(
    loss: str, after: str, tmp_path: Path
) -> None:
    directory = tmp_path / "state"
    async with opened(directory) as journal:
        assert journal.quarantined is None
        await append(journal, numbered(1))
        if after == "kill":
            directory = killed(directory, tmp_path / "copy")
    wal = directory / f"{FILE}-wal"
    log = wal.read_bytes() if wal.exists() else None
    if loss == "emptied":
        (directory / FILE).write_bytes(b"")
    else:
        (directory / FILE).unlink()
    async with opened(directory) as journal:
        assert journal.quarantined is not None and journal.quarantined.exists()
        assert journal.head == 0
        await _works(journal)
    if log is not None:  # what is left is for a person to look at
        assert Path(f"{journal.quarantined}-wal").read_bytes() == log


@in_virtual_time
async def test_a_start_that_died_before_it_was_through_is_no_damage(tmp_path: Path) -> None:
    tmp_path.joinpath("lock").write_text("4711\n")
    tmp_path.joinpath(FILE).touch()
    async with opened(tmp_path) as journal:
        assert journal.quarantined is None


@in_virtual_time
async def test_only_the_last_damaged_file_is_kept(tmp_path: Path) -> None:
    kept = []
    clock = LoopClock()
    for _ in range(3):
        await asyncio.sleep(1)
        async with opened(tmp_path, clock):
            pass
        (tmp_path / FILE).write_bytes(b"nonsense" * 1000)
        async with opened(tmp_path, clock) as journal:
            kept.append(journal.quarantined)
    assert [path.exists() for path in kept if path] == [False, False, True]


@in_virtual_time
async def test_damage_found_while_running_is_told_to_whoever_waits_for_it(tmp_path: Path) -> None:
    await filled(tmp_path)
    async with opened(tmp_path) as journal:
        execute(tmp_path, "ALTER TABLE letter RENAME TO other")
        waiting = asyncio.ensure_future(journal.damaged.wait())
        with pytest.raises(Corrupt):
            await journal.settle("a", ReaderRecord(origin=0, cursor=0), [letter(*numbered(1))])
        await waiting
        assert journal.readers["a"].cursor == 0
    async with opened(tmp_path, damaged=True) as journal:
        assert journal.quarantined is not None
        await _works(journal)


@in_virtual_time
async def test_damage_found_by_reading_is_told_as_well(tmp_path: Path) -> None:
    await filled(tmp_path)
    async with opened(tmp_path) as journal:
        execute(tmp_path, "ALTER TABLE letter RENAME TO other")
        with pytest.raises(Corrupt):
            await journal.letters()
        assert journal.damaged.is_set()
