"""The second log where files are old, damaged, or were written by a version that does not know it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from eventer.errors import Corrupt
from eventer.event import Outcome, decode_lines
from eventer.journal import AlertingRecord, Journal, Letter, ReaderRecord, read_books
from eventer.journal.files import FILE
from tests.helpers.journals import append, balanced, execute, numbered, opened
from tests.helpers.virtual import in_virtual_time

KEPT = Path(__file__).parents[2] / "data" / "journals"


async def fill(journal: Journal) -> None:
    """Four events, of which alerting has read three and made three notifications; one of them was told."""
    await journal.alerting.begin("chat", 0)
    await append(journal, numbered(0, 1, 2, 3))
    record = AlertingRecord(origin=0, cursor=3, represented=2, waiting=1, opened=3)
    await journal.alerting.settle("chat", record, [b"one", b"two", b"three"], b"state")
    await journal.alerting.log("chat").settle("chat", ReaderRecord(origin=0, cursor=0).moved({Outcome.DELIVERED: 1}))


async def changed(directory: Path, *statements: str) -> None:
    """Leave a journal that was filled, and then changed on the disk."""
    async with opened(directory) as journal:
        await fill(journal)
    execute(directory, *statements)


@in_virtual_time
async def test_q6_a_journal_without_a_second_log_gets_one(tmp_path: Path) -> None:
    shutil.copy(KEPT / "1.db", tmp_path / FILE)
    async with opened(tmp_path) as journal:
        assert not journal.alerting.readers
        assert await journal.alerting.begin("chat", 5) == AlertingRecord(origin=5, cursor=5)
        assert journal.readers["archive"].cursor == 12
    balanced(tmp_path)
    assert read_books(tmp_path).notifiers == {"chat": ReaderRecord(origin=0, cursor=0)}


@in_virtual_time
async def test_q6_the_second_log_of_the_second_format_is_read(tmp_path: Path) -> None:
    shutil.copy(KEPT / "2.db", tmp_path / FILE)
    async with opened(tmp_path) as journal:
        reader = journal.alerting.readers["oncall"]
        assert reader == AlertingRecord(origin=0, cursor=18, represented=9, unmatched=6, dropped=1, waiting=2, opened=5)
        assert await journal.alerting.remembered("oncall") == b"what it remembers"
        notes = journal.alerting.log("oncall")
        assert journal.alerting.notifiers["oncall"].outcomes == {
            Outcome.DELIVERED: 1,
            Outcome.FOLDED: 1,
            Outcome.DEAD: 1,
        }
        assert (await notes.read(3, 10, 1000)).lines == [b'{"number":4}', b'{"number":5}']
        (dead,) = await notes.dead("oncall", [2])
        assert dead.entity == "oncall/2"
        assert await notes.letter_lines("oncall", [2]) == {2: b'{"number":3}'}


@in_virtual_time
async def test_q6_what_a_version_without_alerting_has_trimmed_is_missed_and_told(tmp_path: Path) -> None:
    await changed(tmp_path, "DELETE FROM log", "PRAGMA user_version=2")
    async with opened(tmp_path) as journal:
        assert journal.quarantined is None
        piece = await journal.read(3, 10, 1000)
        assert (piece.lines, piece.lost) == ([], 1)
        (told,) = decode_lines((await journal.read(4, 10, 10_000)).lines)
        assert told.reason == "GapDamaged"


@in_virtual_time
async def test_what_alerting_has_not_read_is_not_trimmed(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await fill(journal)
        await append(journal, numbered(4))
        await journal.tidy()
        assert [event.name for event in decode_lines((await journal.read(3, 10, 10_000)).lines)] == ["web-3", "web-4"]


@in_virtual_time
async def test_a_damaged_notification_is_missed_and_told(tmp_path: Path) -> None:
    await changed(tmp_path, "UPDATE notification SET body = x'00' WHERE number = 1")
    async with opened(tmp_path) as journal:
        notes = journal.alerting.log("chat")
        assert (await notes.read(1, 10, 1000)).lost == 1
        assert (await notes.read(2, 10, 1000)).lines == [b"three"]
        (told,) = decode_lines((await journal.read(4, 10, 10_000)).lines)
        assert told.message == "1 notifications for chat are damaged on the disk and lost."


@in_virtual_time
async def test_notifications_that_are_gone_are_missed_as_far_as_was_asked(tmp_path: Path) -> None:
    await changed(tmp_path, "DELETE FROM notification WHERE number = 1")
    async with opened(tmp_path) as journal:
        notes = journal.alerting.log("chat")
        assert (await notes.read(1, 1, 1000)).lost == 1
        assert (await notes.read(1, 10, 1000)).lost == 1
        assert (await notes.read(2, 10, 1000)).lines == [b"three"]


@in_virtual_time
async def test_a_damaged_memory_of_alerting_is_a_damaged_journal(tmp_path: Path) -> None:
    await changed(tmp_path, "UPDATE alerting_state SET state = x'00'")
    async with opened(tmp_path) as journal:
        with pytest.raises(Corrupt, match="What alerting remembered for chat fails its checksum"):
            await journal.alerting.remembered("chat")
        assert journal.damaged.is_set()


@in_virtual_time
async def test_a_store_and_a_notifier_of_one_name_share_no_letters(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await fill(journal)
        await journal.settle("chat", ReaderRecord(origin=0, cursor=0).moved({Outcome.DEAD: 1}), [_letter(0)])
        notes = journal.alerting.log("chat")
        await notes.settle("chat", journal.alerting.notifiers["chat"].moved({Outcome.DEAD: 1}), [_letter(1)])
        assert [each.number for each in await notes.dead("chat", [0, 1])] == [1]
        assert [each.number for each in await journal.dead("chat", [0, 1])] == [0]
        await journal.remove_reader("chat")
    balanced(tmp_path)
    assert read_books(tmp_path).letters == {("notifications:chat", Outcome.DEAD): 1}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE alerting SET crc = crc + 1",
        "UPDATE alerting SET name = 'other'",
        "UPDATE notifier SET record = x'7b7d'",
        "DELETE FROM notifier",
        "DELETE FROM alerting",
        "INSERT INTO letter SELECT 9, 'notifications:chat', 0, 'dead', '', '', 1, NULL, 1, '', '', 0, x''",
    ],
)
@in_virtual_time
async def test_books_that_contradict_each_other_are_found_at_the_start(statement: str, tmp_path: Path) -> None:
    await changed(tmp_path, statement)
    async with opened(tmp_path) as journal:
        assert journal.quarantined is not None


def _letter(number: int) -> Letter:
    return Letter(number=number, state=Outcome.DEAD, reason="bad", entity="e", at=1.0, event=b"{}")
