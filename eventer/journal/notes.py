"""The tables of alerting: its readers of the event log, and the second log, which they write.

Each notifier has a log of its own, whose offsets count its notifications. What it has passed is removed in
the transaction in which it passes: unlike events, nobody else reads it.

These tables came with format 2 of the file. A version that does not know them leaves them as they are, and may
trim events that alerting has not read; it finds that out, and counts them. That is why its readers are not in
the table of the others.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from eventer.errors import Corrupt
from eventer.event import Outcome
from eventer.journal import letters
from eventer.journal.codec import sealed, unsealed
from eventer.journal.records import AlertingRecord, Carried, Letter, ReaderRecord, Slice

__all__ = [
    "LETTERS",
    "TABLES",
    "alerting",
    "begin",
    "carried",
    "change",
    "check",
    "forget",
    "go_on",
    "move",
    "notifiers",
    "oldest",
    "read",
    "rest",
    "settle",
    "sizes",
]

TABLES: Final = """
CREATE TABLE alerting(name TEXT PRIMARY KEY, record BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE alerting_state(name TEXT PRIMARY KEY, crc INTEGER NOT NULL, state BLOB NOT NULL);
CREATE TABLE notifier(name TEXT PRIMARY KEY, record BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE notification(
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, number INTEGER NOT NULL, at REAL NOT NULL,
    crc INTEGER NOT NULL, body BLOB NOT NULL, UNIQUE(name, number));
"""

LETTERS: Final = "notifications:"
"""Before a notifier's name where its letters are kept: one may have been a store once, with letters of its own."""


def alerting(connection: sqlite3.Connection) -> dict[str, AlertingRecord]:
    """Read the records of alerting's readers."""
    return {
        name: unsealed(body, crc, AlertingRecord, "alerting of", name)
        for name, body, crc in connection.execute("SELECT name, record, crc FROM alerting")
    }


def notifiers(connection: sqlite3.Connection) -> dict[str, ReaderRecord]:
    """Read the records of the second log's readers."""
    return {
        name: unsealed(body, crc, ReaderRecord, "notifier", name)
        for name, body, crc in connection.execute("SELECT name, record, crc FROM notifier")
    }


def check(
    readers: Mapping[str, AlertingRecord],
    notified: Mapping[str, ReaderRecord],
    head: int,
    kept: Mapping[tuple[str, Outcome], int],
) -> None:
    """Refuse books that contradict each other.

    Args:
        readers: of the event log.
        notified: readers of the second log.
        head: of the event log.
        kept: counts of letters.

    Raises:
        Corrupt: some record is from another time.
    """
    if readers.keys() != notified.keys():
        raise Corrupt("A notifier has only one half of its books.")
    for name, reader in readers.items():
        record = notified[name]
        if not reader.balanced or reader.cursor > head:
            raise Corrupt(f"The books of alerting for {name} do not balance.")
        if record.cursor - record.origin != sum(record.outcomes.values()) or not (
            0 == record.origin <= record.cursor <= reader.opened
        ):
            raise Corrupt(f"The books of notifier {name} do not balance.")
        for state in (Outcome.DEAD, Outcome.PARKED):
            if kept.get((LETTERS + name, state), 0) != record.outcomes.get(state, 0):
                raise Corrupt(f"The letters of notifier {name} are not those in its books.")


def begin(connection: sqlite3.Connection, name: str, reader: AlertingRecord, notifier: ReaderRecord) -> None:
    """Store the first records of a notifier."""
    change(connection, name, reader)
    connection.execute("INSERT INTO notifier VALUES (?, ?, ?)", (name, *sealed(notifier, name)))


def change(connection: sqlite3.Connection, name: str, reader: AlertingRecord) -> None:
    """Store the record of alerting's reader."""
    connection.execute("INSERT OR REPLACE INTO alerting VALUES (?, ?, ?)", (name, *sealed(reader, name)))


def move(
    connection: sqlite3.Connection, name: str, reader: AlertingRecord, bodies: Sequence[bytes], at: float, state: bytes
) -> None:
    """Store what alerting made of events: its record, the notifications, and what it remembers now.

    Args:
        bodies: encoded notifications, the last of which `reader.opened` counts.
        at: seconds since 1970.
        state: compressed.
    """
    change(connection, name, reader)
    first = reader.opened - len(bodies)
    connection.executemany(
        "INSERT INTO notification(name, number, at, crc, body) VALUES (?, ?, ?, ?, ?)",
        [(name, number, at, _crc(name, number, at, body), body) for number, body in enumerate(bodies, first)],
    )
    row = (name, zlib.crc32(state), state)
    connection.execute("INSERT OR REPLACE INTO alerting_state(name, crc, state) VALUES (?, ?, ?)", row)


def rest(connection: sqlite3.Connection, name: str) -> bytes | None:
    """Return what alerting remembered last; None if it never began.

    Raises:
        Corrupt: it is damaged, and with it nobody knows what was told.
    """
    row = connection.execute("SELECT crc, state FROM alerting_state WHERE name = ?", (name,)).fetchone()
    if row is None:
        return None
    if not isinstance(row[1], bytes) or zlib.crc32(row[1]) != row[0]:
        raise Corrupt(f"What alerting remembered for {name} fails its checksum.")
    return row[1]


def carried(connection: sqlite3.Connection, name: str) -> Carried | None:
    """Return what of a notifier can go on in another journal; None while it has not been told everything.

    Raises:
        Corrupt: some of it is damaged.
    """
    # One statement, so that all of it is of one moment.
    row = connection.execute(
        "SELECT a.record, a.crc, n.record, n.crc, s.crc, s.state FROM alerting a JOIN notifier n USING (name) "
        "LEFT JOIN alerting_state s USING (name) WHERE name = ?",
        (name,),
    ).fetchone()
    if row is None:
        return None
    reader = unsealed(row[0], row[1], AlertingRecord, "alerting of", name)
    notifier = unsealed(row[2], row[3], ReaderRecord, "notifier", name)
    if notifier.cursor < reader.opened or notifier.outcomes.get(Outcome.PARKED):
        return None
    state = row[5] or b""
    if not isinstance(state, bytes) or zlib.crc32(state) != (row[4] or 0):
        raise Corrupt(f"What alerting remembered for {name} fails its checksum.")
    return Carried(alerting=msgspec.structs.replace(reader, resumed=None), notifier=notifier, state=state)


def go_on(connection: sqlite3.Connection, name: str, found: Carried) -> None:
    """Store what goes on here from another journal."""
    change(connection, name, found.alerting)
    connection.execute("INSERT OR REPLACE INTO notifier VALUES (?, ?, ?)", (name, *sealed(found.notifier, name)))
    if found.state:
        row = (name, zlib.crc32(found.state), found.state)
        connection.execute("INSERT OR REPLACE INTO alerting_state(name, crc, state) VALUES (?, ?, ?)", row)


def settle(
    connection: sqlite3.Connection,
    name: str,
    notifier: ReaderRecord,
    kept: tuple[Sequence[Letter], Sequence[int], Sequence[int], float],
    instead: bytes | None,
) -> None:
    """Store what became of notifications, and remove those that are passed.

    Args:
        kept: letters that are new or change, numbers of those to remove and to park, and since when those wait.
        instead: what takes the place of the first one that is not passed.
    """
    connection.execute("INSERT OR REPLACE INTO notifier VALUES (?, ?, ?)", (name, *sealed(notifier, name)))
    new, gone, again, at = kept
    letters.change(connection, LETTERS + name, new, gone)
    letters.park(connection, LETTERS + name, again, at)
    connection.execute("DELETE FROM notification WHERE name = ? AND number < ?", (name, notifier.cursor))
    if instead is not None:
        number = notifier.cursor
        place = (name, number)
        row = connection.execute("SELECT at FROM notification WHERE name = ? AND number = ?", place).fetchone()
        connection.execute(
            "UPDATE notification SET crc = ?, body = ? WHERE name = ? AND number = ?",
            (_crc(name, number, row[0], instead), instead, *place),
        )


def read(connection: sqlite3.Connection, name: str, cursor: int, head: int, count: int, size: int) -> Slice:
    """Return notifications from `cursor` on, at least one if there is; damaged or missing ones as `lost`, alone."""
    lines: list[bytes] = []
    rows: list[tuple[int, float]] = []
    query = connection.execute(
        "SELECT number, at, crc, body FROM notification WHERE name = ? AND number BETWEEN ? AND ? ORDER BY number",
        (name, cursor, min(head, cursor + count) - 1),
    )
    left = size
    following = min(head, cursor + count)
    try:
        for number, at, crc, body in query:
            good = isinstance(body, bytes) and isinstance(at, float) and _crc(name, number, at, body) == crc
            if number != cursor + len(lines) or not good or (lines and left < len(body)):
                following = number + (number == cursor)
                break
            lines.append(body)
            rows.append((1, at))
            left -= len(body)
    finally:
        query.close()
    if lines:
        return Slice(first=cursor, lines=lines, rows=rows)
    return Slice(first=cursor, lines=[], lost=min(following, head) - cursor)


def oldest(connection: sqlite3.Connection, name: str) -> float | None:
    """Return since when the oldest notification waits, seconds since 1970; None if none waits."""
    row = connection.execute(
        "SELECT CAST(at AS REAL) FROM notification WHERE name = ? ORDER BY number LIMIT 1", (name,)
    ).fetchone()
    return None if row is None else float(row[0])


def sizes(connection: sqlite3.Connection, name: str) -> int:
    """Return the bytes of the notifications that wait."""
    row = connection.execute(
        "SELECT coalesce(sum(length(body)), 0) FROM notification WHERE name = ?", (name,)
    ).fetchone()
    return int(row[0])


def forget(connection: sqlite3.Connection, name: str) -> None:
    """Remove everything of a notifier."""
    for table in ("alerting", "alerting_state", "notifier", "notification"):
        connection.execute(f"DELETE FROM {table} WHERE name = ?", (name,))  # noqa: S608 - one of ours
    letters.forget(connection, LETTERS + name)


def _crc(name: str, number: int, at: float, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(f"{name}\0{number}\0{at!r}".encode()))
