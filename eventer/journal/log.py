"""The table of events, as functions over a connection.

`place` counts the bytes of all bodies stored before a row, since the log began. So the bytes that wait are
the difference of two rows, however many lie between: no start and no round of housekeeping walks the log.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from eventer.errors import Corrupt
from eventer.journal.codec import pack, unpack
from eventer.journal.records import Slice
from eventer.journal.ring import Stored, gather

__all__ = [
    "TRIM",
    "add",
    "kept_from",
    "offset_at",
    "passed",
    "read",
    "shed",
    "trim",
    "used",
    "waiting",
    "waiting_from",
]

TRIM: Final = 500
"""Rows removed in one commit; more would hold appends for longer than a few milliseconds."""


_PLACE: Final = "coalesce(CAST(place AS INTEGER), 0)"
_END: Final = "coalesce(CAST(place AS INTEGER) + length(body), 0)"
"""Damage can change a column's type as well."""


def add(
    connection: sqlite3.Connection, dictionary: bytes, head: int, stream: int, at: float, lines: Sequence[bytes]
) -> tuple[int, int]:
    """Append one row behind the last one.

    Args:
        head: offset to begin at when the log is empty, because all of it was settled.

    Returns:
        The offset of its first event, and the bytes of its body.
    """
    last = connection.execute(f"SELECT first + n, {_END} FROM log ORDER BY first DESC LIMIT 1").fetchone()  # noqa: S608
    first, place = last or (head, 0)
    body, crc = pack(lines, first, at, dictionary)
    connection.execute(
        "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?)", (first, len(lines), stream, at, place, crc, body)
    )
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
    """Remove rows that lie before an offset, at most `TRIM` of them; return how many, and their bytes."""
    sizes = connection.execute(
        "DELETE FROM log WHERE first IN "
        "(SELECT first FROM log WHERE first < ?1 AND first + n <= ?1 ORDER BY first LIMIT ?2) RETURNING length(body)",
        (settled, TRIM),
    ).fetchall()
    return len(sizes), sum(size for (size,) in sizes)


def waiting(connection: sqlite3.Connection) -> int:
    """Return the bytes of all bodies in the log."""
    begin = connection.execute(f"SELECT {_PLACE} FROM log ORDER BY first LIMIT 1").fetchone()  # noqa: S608
    if begin is None:
        return 0
    end = connection.execute(f"SELECT {_END} FROM log ORDER BY first DESC LIMIT 1").fetchone()  # noqa: S608
    # A flipped bit here must not make a small backlog look like one to be let go of.
    return min(max(0, int(end[0]) - int(begin[0])), used(connection))


def waiting_from(connection: sqlite3.Connection, cursor: int) -> tuple[float | None, int]:
    """Return when the event at `cursor` was appended (None if there is none yet), and the bytes from its row on."""
    row = f"SELECT CAST(at AS REAL), {_PLACE}, {_END}, first + CAST(n AS INTEGER) FROM log"  # noqa: S608
    last = connection.execute(f"{row} ORDER BY first DESC LIMIT 1").fetchone()
    if last is None or last[3] <= cursor:
        return None, 0
    at, place, *_ = connection.execute(f"{row} WHERE first <= ? ORDER BY first DESC LIMIT 1", (cursor,)).fetchone() or (
        connection.execute(f"{row} ORDER BY first LIMIT 1").fetchone()
    )
    return at, max(0, last[2] - place)


def offset_at(connection: sqlite3.Connection, at: float) -> int | None:
    """Return the offset of the first row appended at a time (seconds since 1970) or later; None if there is none.

    Halves the range of offsets: times rise with them but where the clock was set back.
    """
    low, end = connection.execute("SELECT (SELECT min(first) FROM log), (SELECT max(first) FROM log)").fetchone()
    if low is None:
        return None
    row = "SELECT first, CAST(at AS REAL) FROM log WHERE first >= ? ORDER BY first LIMIT 1"
    if connection.execute(row, (end,)).fetchone()[1] < at:
        return None
    while low < end:
        middle = (low + end) // 2
        first, time = connection.execute(row, (middle,)).fetchone()
        if time < at:
            low = first + 1
        else:
            end = middle
    return int(connection.execute(row, (low,)).fetchone()[0])


def used(connection: sqlite3.Connection) -> int:
    """Return the bytes of the database in use: log, ledger and letters."""
    pages, free, page = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * page)


def passed(connection: sqlite3.Connection, settled: int) -> int:
    """Return the bytes of bodies before the row that holds an offset: of what every reader has passed."""
    # One statement with both would walk the table (https://www.sqlite.org/optoverview.html#minmax).
    begin = connection.execute(f"SELECT {_PLACE} FROM log ORDER BY first LIMIT 1").fetchone()  # noqa: S608
    row = connection.execute(
        f"SELECT first + CAST(n AS INTEGER), {_PLACE}, {_END} FROM log WHERE first <= ? ORDER BY first DESC LIMIT 1",  # noqa: S608
        (settled,),
    ).fetchone()
    if begin is None or row is None:
        return 0
    # A flipped bit here must not make a large backlog look like none.
    return min(max(0, int(row[2] if row[0] <= settled else row[1]) - int(begin[0])), used(connection))


def kept_from(connection: sqlite3.Connection, settled: int, since: float, most: int) -> int:
    """Return the offset up to which what every reader has passed may go.

    Args:
        settled: offset that every reader has reached.
        since: time of append (seconds since 1970) from which on events are kept.
        most: bytes of bodies that may be kept.
    """
    young = offset_at(connection, since)
    (low,) = connection.execute("SELECT min(first) FROM log").fetchone()
    if low is None or young is None:
        return settled
    excess = passed(connection, settled) - most
    fits = low if excess <= 0 else _behind(connection, low, settled, excess)
    return min(settled, max(young, fits))


def shed(connection: sqlite3.Connection, settled: int, excess: int) -> int:
    """Return the offset up to which events must go to free at least `excess` bytes of bodies.

    Args:
        settled: offset that every reader has reached; what lies before is not counted.
        excess: bytes.
    """
    low, end = connection.execute(
        "SELECT (SELECT coalesce((SELECT max(first) FROM log WHERE first <= ?), (SELECT min(first) FROM log))), "
        "(SELECT max(first) FROM log)",
        (settled,),
    ).fetchone()
    return 0 if low is None else _behind(connection, low, end, excess)


def _behind(connection: sqlite3.Connection, low: int, end: int, size: int) -> int:
    """Return the offset behind as many rows from the one at `low` on as hold at least `size` bytes of bodies.

    Halves the range of offsets: `place` rises with them, and an index for it would cost each append.
    """
    (begin,) = connection.execute(f"SELECT {_PLACE} FROM log WHERE first = ?", (low,)).fetchone()  # noqa: S608
    row = f"SELECT first + CAST(n AS INTEGER), {_END} FROM log WHERE first <= ? ORDER BY first DESC LIMIT 1"  # noqa: S608
    while low < end:
        middle = (low + end) // 2
        if connection.execute(row, (middle,)).fetchone()[1] - begin < size:
            low = middle + 1
        else:
            end = middle
    return int(connection.execute(row, (low,)).fetchone()[0])
