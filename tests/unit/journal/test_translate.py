"""What SQLite's errors mean for the file: refused, damaged, or none of its business."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from eventer.errors import Corrupt
from eventer.journal import files
from eventer.journal.schema import translate

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def raised(statement: str, *values: object) -> sqlite3.Error:
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute(statement, values)
    except sqlite3.Error as error:
        return error
    finally:
        connection.close()
    raise AssertionError("it did not fail")


@pytest.mark.parametrize("error", [raised("SELECT ?", {"code": 5}), raised("SELECT ?")])
def test_wrong_use_of_sqlite_is_no_damage(error: sqlite3.Error) -> None:
    assert translate(error) is error


def test_a_missing_table_is_damage() -> None:
    assert isinstance(translate(raised("SELECT * FROM log")), Corrupt)


def test_a_kill_while_setting_aside_does_not_cost_what_was_set_aside(tmp_path: Path) -> None:
    (tmp_path / files.FILE).write_bytes(b"evidence")
    kept = files.quarantine(tmp_path, NOW)
    (tmp_path / files.FILE).touch()  # a new one was just begun, and nothing was in it yet
    assert files.quarantine(tmp_path, NOW.replace(day=3)) == kept
    assert kept.read_bytes() == b"evidence"
    assert not (tmp_path / files.FILE).exists()
    (tmp_path / files.FILE).write_bytes(b"damaged again")
    again = files.quarantine(tmp_path, NOW.replace(day=4))
    assert again.read_bytes() == b"damaged again"
    assert files.set_aside(tmp_path) == again
