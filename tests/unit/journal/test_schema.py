"""What a start finds out before it trusts a file: its format, its small records, its books."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import msgspec
import pytest

from eventer.errors import Newer
from eventer.journal import Entry
from eventer.journal.files import FILE
from eventer.journal.records import ClusterRecord
from tests.helpers.journals import KEY, append, everything, execute, filled, numbered, opened
from tests.helpers.virtual import in_virtual_time


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE reader SET crc = crc + 1",
        "UPDATE reader SET name = 'b'",
        "UPDATE reader SET record = 'text'",
        "UPDATE stream SET record = x'7b7d'",
        "UPDATE stream SET scope = 'other'",
        "UPDATE stream SET low = 99",
        "UPDATE cluster SET name = 'other'",
        "UPDATE delta SET facts = x'5b5d'",
        "UPDATE delta SET stream = 99",
        "UPDATE meta SET value = x'00' WHERE name = 'dictionary'",
        "DELETE FROM meta WHERE name = 'dictionary'",
        "DELETE FROM stream",
        "DELETE FROM log WHERE first = 10",
        "UPDATE log SET n = 'many' WHERE first = 10",
        "INSERT INTO log SELECT 12, n, stream, at, place, crc, body FROM log WHERE first = 10",
        "DELETE FROM log",
    ],
)
@in_virtual_time
async def test_small_records_that_contradict_each_other_are_found_at_the_start(statement: str, tmp_path: Path) -> None:
    await filled(tmp_path)
    async with opened(tmp_path) as journal:
        await journal.set_cluster("prod", ClusterRecord(uid="u", epoch=1))
        record = msgspec.structs.replace(journal.stream(KEY), epoch=1)
        await journal.append(KEY, record, [], {"uid-1": Entry(1, 1, 1)})
    execute(tmp_path, statement)
    changed = (tmp_path / FILE).read_bytes()
    async with opened(tmp_path) as journal:
        assert journal.quarantined is not None
        assert journal.quarantined.read_bytes() == changed
        assert journal.head == 0


@in_virtual_time
async def test_q6_a_newer_format_is_refused_with_what_to_do(tmp_path: Path) -> None:
    await filled(tmp_path)
    execute(tmp_path, "PRAGMA user_version=4")
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(Newer, match=r"format 4; this one reads up to 3.*Run that version, or give this one"):
        async with opened(tmp_path):
            pass
    assert (tmp_path / FILE).read_bytes() == before
    assert not list(tmp_path.glob("*.damaged-*"))


@in_virtual_time
async def test_q6_one_version_ahead_can_be_opened_for_a_rollback(tmp_path: Path) -> None:
    lines = await filled(tmp_path)
    execute(tmp_path, "ALTER TABLE log ADD COLUMN later TEXT", "PRAGMA user_version=3")
    async with opened(tmp_path) as journal:
        assert await everything(journal) == lines


@in_virtual_time
async def test_a_schema_that_is_no_text_is_damage(tmp_path: Path) -> None:
    await filled(tmp_path)
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE letter(", b"CREATE TABLE \xe1\xe1\xe1\xe1\xe1\xe1)"))
    async with opened(tmp_path) as journal:
        assert journal.quarantined is not None
        assert await append(journal, numbered(1))


@in_virtual_time
async def test_rows_that_a_damaged_page_hides_are_missed(tmp_path: Path) -> None:
    """A page says how many cells it has; one that says fewer hides readers, and with them what they wait for."""
    await filled(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'reader'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    data = bytearray((tmp_path / FILE).read_bytes())
    assert data[(page - 1) * size + 4] == 1  # https://www.sqlite.org/fileformat2.html#b_tree_pages
    data[(page - 1) * size + 4] = 0
    (tmp_path / FILE).write_bytes(data)
    async with opened(tmp_path) as journal:
        assert journal.quarantined is not None
