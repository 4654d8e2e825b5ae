"""The table of letters: events that a reader has passed and that are not settled by that.

A letter is *dead* (it can never be delivered; a person decides) or *parked* (it is delivered later,
by itself). Its number is the offset of the event in the log, which is unique per reader and keeps the
order; letters of intake, lines that are no event, are numbered by their count.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Sequence
from typing import Final

from eventer.event import Outcome
from eventer.journal.records import Letter, ParkedLetter

__all__ = ["change", "count", "dead", "drop", "forget", "lines", "oldest", "page", "park", "parked"]

_ROW: Final = "number, entity, destination, at, due, attempts"
"""Columns of a `ParkedLetter`."""
_AT_ONCE: Final = 500
"""Numbers in one statement; SQLite takes 32,766 (https://www.sqlite.org/limits.html)."""


def change(connection: sqlite3.Connection, reader: str, letters: Sequence[Letter], gone: Sequence[int] = ()) -> None:
    """Remove the letters with these numbers, then store others; one with a known number replaces it."""
    if gone:
        drop(connection, reader, gone)
    if letters:
        connection.executemany(
            "INSERT OR REPLACE INTO letter"
            "(reader, number, state, entity, destination, at, due, attempts, reason, answer, crc, event) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    reader,
                    x.number,
                    x.state,
                    x.entity,
                    x.destination,
                    x.at,
                    x.due,
                    x.attempts,
                    x.reason,
                    x.answer,
                    zlib.crc32(x.event),
                    x.event,
                )
                for x in letters
            ],
        )


def forget(connection: sqlite3.Connection, reader: str) -> None:
    """Remove all letters of a reader."""
    connection.execute("DELETE FROM letter WHERE reader = ?", (reader,))


def count(connection: sqlite3.Connection) -> dict[tuple[str, Outcome], int]:
    """Count the letters by (reader, state)."""
    rows = connection.execute("SELECT reader, state, count(*) FROM letter GROUP BY reader, state")
    return {(reader, Outcome(state)): n for reader, state, n in rows}


def oldest(connection: sqlite3.Connection) -> dict[str, float]:
    """Return when the oldest parked event of each reader was appended, seconds since 1970."""
    rows = connection.execute("SELECT reader, min(at) FROM letter WHERE state = ? GROUP BY reader", (Outcome.PARKED,))
    return dict(rows.fetchall())


def parked(connection: sqlite3.Connection, reader: str) -> list[ParkedLetter]:
    """Return what must be known of a reader's parked letters while it runs, in order of their numbers."""
    rows = connection.execute(
        f"SELECT {_ROW} FROM letter WHERE reader = ? AND state = ? ORDER BY number",  # noqa: S608 - columns
        (reader, Outcome.PARKED),
    )
    return [ParkedLetter(*row) for row in rows]


def dead(connection: sqlite3.Connection, reader: str, numbers: Sequence[int]) -> list[ParkedLetter]:
    """Return what must be known of those letters that are dead among these numbers, in order of their numbers."""
    found: list[ParkedLetter] = []
    for start in range(0, len(numbers), _AT_ONCE):
        asked = numbers[start : start + _AT_ONCE]
        marks = ",".join("?" * len(asked))
        rows = connection.execute(
            f"SELECT {_ROW} FROM letter WHERE reader = ? AND state = ? AND number IN ({marks})",  # noqa: S608 - marks
            (reader, Outcome.DEAD, *asked),
        )
        found += [ParkedLetter(*row) for row in rows]
    return sorted(found)


def park(connection: sqlite3.Connection, reader: str, numbers: Sequence[int], at: float) -> None:
    """Let dead letters wait again, from a time on (seconds since 1970): their age begins anew."""
    if numbers:
        connection.executemany(
            "UPDATE letter SET state = ?, at = ?, due = NULL WHERE reader = ? AND number = ?",
            [(Outcome.PARKED, at, reader, number) for number in numbers],
        )


def drop(connection: sqlite3.Connection, reader: str, numbers: Sequence[int]) -> int:
    """Remove letters by number; return how many there were."""
    removed = connection.executemany(
        "DELETE FROM letter WHERE reader = ? AND number = ?", [(reader, number) for number in numbers]
    )
    return max(0, removed.rowcount)


def page(connection: sqlite3.Connection, after: tuple[str, int], most: int, reader: str | None = None) -> list[Letter]:
    """Return dead letters behind one of them, by reader and number; of one that is damaged, without its event."""
    rows = connection.execute(
        "SELECT reader, number, entity, destination, at, due, attempts, reason, answer, crc, event FROM letter "
        "WHERE (reader, number) > (?, ?) AND state = ? AND reader = coalesce(?, reader) "
        "ORDER BY reader, number LIMIT ?",
        (*after, Outcome.DEAD, reader, most),
    )
    return [
        Letter(
            reader=name,
            number=number,
            state=Outcome.DEAD,
            reason=reason,
            answer=answer,
            entity=entity,
            destination=destination,
            at=at,
            due=due,
            attempts=attempts,
            event=event if isinstance(event, bytes) and zlib.crc32(event) == crc else b"",
        )
        for name, number, entity, destination, at, due, attempts, reason, answer, crc, event in rows
    ]


def lines(connection: sqlite3.Connection, reader: str, numbers: Sequence[int]) -> dict[int, bytes]:
    """Return the encoded events of letters by number; one that is damaged is not in it."""
    found: dict[int, bytes] = {}
    for start in range(0, len(numbers), _AT_ONCE):
        asked = numbers[start : start + _AT_ONCE]
        marks = ",".join("?" * len(asked))
        rows = connection.execute(
            f"SELECT number, crc, event FROM letter WHERE reader = ? AND number IN ({marks})",  # noqa: S608 - marks
            (reader, *asked),
        )
        found |= {number: event for number, crc, event in rows if isinstance(event, bytes) and zlib.crc32(event) == crc}
    return found
