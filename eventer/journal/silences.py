"""The silences that people make by command: a small table, since nothing else would know of them after a restart.

What a rule says is kept as it was written: what it means is for those who ask it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import msgspec

from eventer.journal.codec import sealed, unsealed

__all__ = ["TABLES", "SilenceRecord", "SilenceTable", "silences"]

TABLES: Final = """
CREATE TABLE silence(name TEXT PRIMARY KEY, record BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
"""


class SilenceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One silence. Times are seconds since 1970."""

    match: list[dict[str, Any]]
    """Rules, as `eventer.match.Rule.parse` takes them."""
    owner: str
    reason: str
    begins: float
    """0 where it was on at once."""
    ends: float


def silences(connection: sqlite3.Connection) -> dict[str, SilenceRecord]:
    """Read all of them, by name."""
    return {
        name: unsealed(body, crc, SilenceRecord, "silence", name)
        for name, body, crc in connection.execute("SELECT name, record, crc FROM silence")
    }


class SilenceTable:
    """The silences of one journal.

    Args:
        kept: those that are stored, by name.
        submit: runs operations; see `eventer.journal.writer.Writer`.
    """

    def __init__(self, kept: Mapping[str, SilenceRecord], submit: Callable[..., asyncio.Future[Any]]) -> None:
        self.records = kept
        self._submit = submit

    def change(self, new: Mapping[str, SilenceRecord], gone: Collection[str] = ()) -> asyncio.Future[None]:
        """Store some and remove others, in one transaction.

        The returned future raises JournalError when nothing of it happened.
        """

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM silence WHERE name = ?", [(name,) for name in gone])
            connection.executemany(
                "INSERT OR REPLACE INTO silence VALUES (?, ?, ?)",
                [(name, *sealed(record, name)) for name, record in new.items()],
            )

        def then(_: object) -> None:
            kept = {name: record for name, record in self.records.items() if name not in gone}
            self.records = kept | dict(new)

        return self._submit(write, then)
