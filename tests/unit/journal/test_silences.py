"""Silences in the journal: stored whole or not at all, found again, and damage to them found out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from eventer.errors import DiskRefused
from eventer.journal import SilenceRecord
from eventer.journal.files import FILE
from tests.helpers.journals import execute, failing, killed, opened
from tests.helpers.virtual import in_virtual_time

KEPT = Path(__file__).parents[2] / "data" / "journals"
ONE = SilenceRecord(match=[{"namespace": "shop"}], owner="ann", reason="works", begins=10.0, ends=20.0)
TWO = SilenceRecord(match=[{"reason": ["BackOff", "!/x/"]}], owner="bob", reason="too", begins=0.0, ends=5.5)


@in_virtual_time
async def test_what_was_stored_outlives_kill_9(tmp_path: Path) -> None:
    async with opened(tmp_path / "a") as journal:
        await journal.silences.change({"one": ONE, "two": TWO})
        await journal.silences.change({"two": ONE}, gone=["one"])
        assert journal.silences.records == {"two": ONE}
        copy = killed(tmp_path / "a", tmp_path / "b")
    async with opened(copy) as journal:
        assert journal.quarantined is None
        assert journal.silences.records == {"two": ONE}


@in_virtual_time
async def test_a_disk_that_refuses_leaves_all_as_it_was(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await journal.silences.change({"one": ONE})
        with failing(), pytest.raises(DiskRefused):
            await journal.silences.change({"two": TWO}, gone=["one"])
        assert journal.silences.records == {"one": ONE}
    async with opened(tmp_path) as journal:
        assert journal.silences.records == {"one": ONE}


@in_virtual_time
async def test_q6_the_silence_of_the_second_format_is_read(tmp_path: Path) -> None:
    shutil.copy(KEPT / "2.db", tmp_path / FILE)
    async with opened(tmp_path) as journal:
        assert journal.silences.records == {
            "4f9c2a": SilenceRecord(
                match=[{"namespace": "shop", "reason": ["BackOff", "!/^Fail/"], "labels": {"team": "a"}}],
                owner="ann",
                reason="the registry moves",
                begins=1_800_000_000.0,
                ends=1_800_007_200.0,
            )
        }


@in_virtual_time
async def test_q6_a_journal_of_the_first_format_gets_the_table(tmp_path: Path) -> None:
    shutil.copy(KEPT / "1.db", tmp_path / FILE)
    async with opened(tmp_path) as journal:
        assert not journal.silences.records
        await journal.silences.change({"one": ONE})


@pytest.mark.parametrize(
    "statement",
    ["UPDATE silence SET crc = crc + 1", "UPDATE silence SET name = 'two'", "UPDATE silence SET record = x'7b7d'"],
)
@in_virtual_time
async def test_q5_a_silence_that_was_changed_on_the_disk_is_damage(statement: str, tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await journal.silences.change({"one": ONE})
    execute(tmp_path, statement)
    async with opened(tmp_path) as journal:
        assert journal.quarantined is not None
        assert not journal.silences.records
