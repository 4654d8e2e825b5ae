"""The tables of events and letters, as functions over a connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from eventer.errors import Corrupt
from eventer.journal.codec import pack, unpack
from eventer.journal.records import Letter, Slice
from eventer.journal.ring import Stored, gather

__all__ = ["TRIM", "add", "add_letters", "read", "shed", "total", "trim", "used"]

TRIM: Final = 500
"""Rows removed in one commit; more would hold appends for longer than a few milliseconds."""


def add(
    connection: sqlite3.Connection, dictionary: bytes, head: int, stream: int, at: float, lines: Sequence[bytes]
) -> tuple[int, int]:
    """Append one row behind the last one.

    Args:
        head: offset to begin at when the log is empty, because all of it was settled.

    Returns:
        The offset of its first event, and the bytes of its body.
    """
    last = connection.execute("SELECT first + n FROM log ORDER BY first DESC LIMIT 1").fetchone()
    first = int(last[0]) if last else head
    body, crc = pack(lines, first, at, dictionary)
    connection.execute("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?)", (first, len(lines), stream, at, crc, body))
    return first, len(body)


def read(connection: sqlite3.Connection, dictionary: bytes, cursor: int, head: int, count: int, room: int) -> Slice:
    """Return events from `cursor` on; damaged or missing ones as `Slice.lost`, alone.

    The row that holds the cursor is found by its key; looking for `first + n > cursor` instead
    would walk every row before it.
    """
    rows: list[Stored] = []
    end, left = cursor, room
    query = connection.execute(
        "SELECT first, n, at, crc, body FROM log "
        "WHERE first >= coalesce((SELECT max(first) FROM log WHERE first <= ?1), ?1) ORDER BY first",
        (cursor,),
    )
    try:
        for first, n, at, crc, body in query:
            if first > end:
                break
            try:
                lines = unpack(body, crc, first, n, at, dictionary)
            except Corrupt:
                break
            if first + n <= cursor:  # the row before one that is missing
                continue
            rows.append(Stored(first, at, lines, len(body)))
            end = first + n
            left -= sum(map(len, lines))
            if end - cursor >= count or left <= 0:
                break
    finally:
        query.close()
    if rows:
        return gather(cursor, rows, count, room)
    # Where events can be read again. How many the damaged row held is not asked: that may be damaged too.
    (following,) = connection.execute("SELECT min(first) FROM log WHERE first > ?", (cursor,)).fetchone()
    return Slice(first=cursor, lines=[], lost=(head if following is None else min(following, head)) - cursor)


def trim(connection: sqlite3.Connection, settled: int) -> tuple[int, int]:
    """Remove rows that every reader has passed, at most `TRIM` of them; return how many, and their bytes."""
    sizes = connection.execute(
        "DELETE FROM log WHERE first IN "
        "(SELECT first FROM log WHERE first < ?1 AND first + n <= ?1 ORDER BY first LIMIT ?2) RETURNING length(body)",
        (settled, TRIM),
    ).fetchall()
    return len(sizes), sum(size for (size,) in sizes)


def total(connection: sqlite3.Connection, head: int) -> int:
    """Return the bytes of all bodies before `head`. Walks the whole table: once, after a start."""
    row = connection.execute("SELECT coalesce(sum(length(body)), 0) FROM log WHERE first < ?", (head,)).fetchone()
    return int(row[0])


def used(connection: sqlite3.Connection) -> int:
    """Return the bytes of the database in use: log, ledger and letters."""
    pages, free, page = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * page)


def shed(connection: sqlite3.Connection, excess: int) -> int:
    """Return the offset up to which events must go to free at least `excess` bytes of bodies."""
    offset = 0
    for first, n, length in connection.execute("SELECT first, n, length(body) FROM log ORDER BY first"):
        offset = first + n
        excess -= length
        if excess <= 0:
            break
    return offset


def add_letters(connection: sqlite3.Connection, reader: str, letters: Sequence[Letter], at: float) -> None:
    """Store letters of a reader."""
    connection.executemany(
        "INSERT INTO letter(reader, state, entity, at, attempts, reason, answer, event) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [(reader, x.state, x.entity, at, x.attempts, x.reason, x.answer, x.event) for x in letters],
    )
