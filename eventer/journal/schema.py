"""The tables, and opening the file: pragmas, version, and the checks of every start.

A start never reads the whole file. It checks what would lose events in silence if it were wrong:
the small records (each with a checksum) and whether the books balance. Log bodies carry their own
checksums, which are checked when they are read.
"""

from __future__ import annotations

import secrets
import sqlite3
import zlib
from pathlib import Path
from typing import Final

import msgspec

from eventer.errors import Corrupt, DiskRefused, JournalError, Newer
from eventer.event import Outcome
from eventer.journal import letters, log, notes, sent, silences
from eventer.journal.codec import DICTIONARY, sealed, unsealed
from eventer.journal.files import FILE
from eventer.journal.ledger import Overlay, decode_facts
from eventer.journal.records import AlertingRecord, ClusterRecord, ReaderRecord, StreamKey, StreamRecord
from eventer.journal.silences import SilenceRecord

__all__ = ["FAILURES", "State", "connect", "load", "translate"]

VERSION: Final = 2
"""PRAGMA user_version. A minor version adds columns and tables only, so that the one before can
still open the file; a number above the next one is refused."""
READABLE: Final = VERSION + 1
"""One minor version ahead can be opened (a rollback of a deployment must work)."""

TABLES: Final = """
CREATE TABLE meta(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE cluster(name TEXT PRIMARY KEY, record BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE stream(
    id INTEGER PRIMARY KEY, cluster TEXT NOT NULL, scope TEXT NOT NULL,
    record BLOB NOT NULL, crc INTEGER NOT NULL, low INTEGER NOT NULL DEFAULT 0, low_crc INTEGER NOT NULL,
    UNIQUE(cluster, scope));
CREATE TABLE log(
    first INTEGER PRIMARY KEY, n INTEGER NOT NULL, stream INTEGER NOT NULL, at REAL NOT NULL,
    place INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE delta(
    seq INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL, crc INTEGER NOT NULL, facts BLOB NOT NULL);
CREATE TABLE ledger(
    cluster TEXT NOT NULL, entity TEXT NOT NULL, stream INTEGER NOT NULL, version INTEGER NOT NULL,
    count INTEGER NOT NULL, hash INTEGER NOT NULL, PRIMARY KEY(cluster, entity)) WITHOUT ROWID;
CREATE TABLE reader(name TEXT PRIMARY KEY, record BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE letter(
    id INTEGER PRIMARY KEY, reader TEXT NOT NULL, number INTEGER NOT NULL, state TEXT NOT NULL,
    entity TEXT NOT NULL, destination TEXT NOT NULL, at REAL NOT NULL, due REAL, attempts INTEGER NOT NULL,
    reason TEXT NOT NULL, answer TEXT NOT NULL, crc INTEGER NOT NULL, event BLOB NOT NULL, UNIQUE(reader, number));
CREATE INDEX letter_reader ON letter(reader, state);
"""
"""Of format 1; what later ones add is in `ADDED`."""
ADDED: Final = {2: notes.TABLES + silences.TABLES}
"""What a format has that the one before has not. Nothing else may change: see `VERSION`."""

LOG: Final = 5 << 20
"""Bytes of the write-ahead log, for which it has blocks at any time: 1,000 pages of 4 KiB, after which it is
copied into the database and begun anew, and a commit more."""

PRAGMAS: Final = (
    "journal_mode=WAL",
    "synchronous=FULL",
    f"journal_size_limit={LOG}",
    "cache_size=-4096",
    "temp_store=MEMORY",
    # Where SQLite was built to write zeros over what is deleted (Debian), each event would be written once more,
    # and a full disk would have no room for it.
    "secure_delete=OFF",
)

SMALL: Final = ("meta", "cluster", "stream", "reader", "delta", "alerting", "notifier", "silence")
"""Tables that every start checks whole. All others are found out when they are read."""

_DISK: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN})
_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})


FAILURES: Final = (sqlite3.Error, OSError, UnicodeDecodeError)
"""What working with a database can raise; the last where a message quotes a damaged schema."""


_BUGS: Final = (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError)
"""Wrong use of SQLite. It says nothing about the file, which must not be set aside for it."""


def translate(error: sqlite3.Error | OSError | UnicodeDecodeError) -> Exception:
    """Turn what SQLite or the system raised into our tree; a bug of ours stays what it is.

    Whatever else is neither the disk's refusal nor known damage is damage too: an operation that
    SQLite cannot run (a missing table, a constraint that does not hold) means that the file is not ours.
    """
    if isinstance(error, _BUGS):
        return error
    if isinstance(error, OSError):
        return DiskRefused(f"The disk under the state directory refuses: {error.strerror or error}.")
    # The low byte is the primary code: https://www.sqlite.org/rescode.html
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code in _DISK:
        return DiskRefused(f"The disk under the state directory refuses: {error}.")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return DiskRefused(f"Another program holds the journal: {error}. Only read it with `mode=ro`.")
    if code in _DAMAGE:
        return Corrupt(f"The journal is damaged: {error}.")
    return Corrupt(f"The journal does not have the expected content: {error}.")


def connect(directory: Path) -> sqlite3.Connection:
    """Open the database, making it with mode 0600 if there is none.

    synchronous=FULL: a commit is on the disk when it returns (https://www.sqlite.org/pragma.html#pragma_synchronous);
    flat out it costs nothing visible, because commits are grouped.

    Raises:
        JournalError: it cannot be opened.
    """
    path = directory / FILE
    try:
        path.touch(mode=0o600)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=64)
    except FAILURES as error:
        raise translate(error) from error
    try:
        if not path.stat().st_size:
            # Lets `room` give free pages back to the disk. Only before the first page, and it writes.
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
    except FAILURES as error:
        connection.close()
        raise translate(error) from error
    return connection


class State(msgspec.Struct):
    """Everything small that the journal keeps in memory."""

    instance: str
    """Random name of this journal; part of the ids of own records."""
    dictionary: bytes
    clusters: dict[str, ClusterRecord]
    streams: dict[StreamKey, StreamRecord]
    stream_ids: dict[StreamKey, int]
    low: dict[StreamKey, int]
    readers: dict[str, ReaderRecord]
    overlays: dict[StreamKey, Overlay]
    head: int
    alerting: dict[str, AlertingRecord]
    notifiers: dict[str, ReaderRecord]
    silences: dict[str, SilenceRecord]
    sent: dict[str, list[float]]
    """When far sides were sent to last; see `sent`."""
    stored: int = 0
    """Bytes of bodies in the log."""
    passed: int = 0
    """Bytes of those that every reader has passed."""

    @property
    def settled(self) -> int:
        """Offset that every reader has reached, alerting included."""
        readers: list[ReaderRecord | AlertingRecord] = [*self.readers.values(), *self.alerting.values()]
        return min((each.cursor for each in readers), default=self.head)


def load(connection: sqlite3.Connection, *, known: bool = False) -> State:
    """Read the small records of a database, laying the tables first if it is new.

    Args:
        connection: from `connect`.
        known: a journal was made here before, so that an empty database is one that lost its content.

    Raises:
        Newer: made by a version that this one cannot read.
        Corrupt: the file is damaged, or the books do not balance.
        DiskRefused: it cannot be read.
    """
    try:
        return _load(connection, known=known)
    except (JournalError, MemoryError):
        raise
    except FAILURES as error:
        raise translate(error) from error
    except Exception as error:
        # Flipped bits change types and texts as well as numbers: what cannot be read is damaged.
        raise Corrupt(f"The journal does not have the expected content: {type(error).__name__}.") from error


def _load(connection: sqlite3.Connection, *, known: bool) -> State:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > READABLE:
        raise Newer(
            f"The journal was written by a newer Eventer (format {version}; this one reads up to {READABLE}). "
            "Run that version, or give this one a state.path of its own."
        )
    if version < 0:
        raise Corrupt("The journal's format is no number of ours.")
    if version == 0 and known:
        raise Corrupt("The journal has lost its content.")
    if version < VERSION:
        _lay(connection, version)
    for table in SMALL:
        # A damaged page can hide rows from a query; this sees it.
        for (fault,) in connection.execute(f"PRAGMA integrity_check({table})"):
            if fault != "ok":
                raise Corrupt(f"The table {table} is damaged: {fault}")
    meta = dict(connection.execute("SELECT name, value FROM meta"))
    if not {"instance", "dictionary"} <= meta.keys() or zlib.crc32(meta["dictionary"]) != meta.get("dictionary_crc"):
        raise Corrupt("The journal's own description is incomplete.")
    state = State(
        instance=str(meta["instance"]),
        dictionary=meta["dictionary"],
        clusters={
            name: unsealed(body, crc, ClusterRecord, "cluster", name)
            for name, body, crc in connection.execute("SELECT name, record, crc FROM cluster")
        },
        streams={},
        stream_ids={},
        low={},
        readers={
            name: unsealed(body, crc, ReaderRecord, "sink", name)
            for name, body, crc in connection.execute("SELECT name, record, crc FROM reader")
        },
        overlays={},
        head=0,
        alerting=notes.alerting(connection),
        notifiers=notes.notifiers(connection),
        silences=silences.silences(connection),
        sent=sent.load(meta),
    )
    for id_, cluster, scope, body, crc, low, low_crc in connection.execute(
        "SELECT id, cluster, scope, record, crc, low, low_crc FROM stream"
    ):
        key = StreamKey(cluster, scope)
        if sealed(low, *key)[1] != low_crc:
            raise Corrupt(f"The low-water mark of the stream {cluster} {scope} fails its checksum.")
        state.stream_ids[key] = id_
        state.low[key] = low
        state.streams[key] = unsealed(body, crc, StreamRecord, "stream", *key)
        state.head += state.streams[key].appended
    _check_books(connection, state)
    _load_deltas(connection, state)
    state.stored = log.waiting(connection)
    state.passed = log.passed(connection, state.settled)
    return state


def _lay(connection: sqlite3.Connection, version: int) -> None:
    """Bring a database from a format to this one, in one transaction; 0 is an empty one."""
    if not version and connection.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
        raise Corrupt("The file is a database of another program.")
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not version:
            _execute(connection, TABLES)
            connection.executemany(
                "INSERT INTO meta VALUES (?, ?)",
                [
                    ("instance", secrets.token_hex(4)),
                    ("dictionary", DICTIONARY),
                    ("dictionary_crc", zlib.crc32(DICTIONARY)),
                ],
            )
        for later in range(version + 1, VERSION + 1):
            _execute(connection, ADDED.get(later, ""))
        connection.execute(f"PRAGMA user_version={VERSION}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _execute(connection: sqlite3.Connection, statements: str) -> None:
    for statement in statements.split(";\n"):
        connection.execute(statement)


def _load_deltas(connection: sqlite3.Connection, state: State) -> None:
    """Take the changes that were not folded before the last stop back into memory."""
    keys = {id_: key for key, id_ in state.stream_ids.items()}
    for seq, stream, crc, facts in connection.execute("SELECT seq, stream, crc, facts FROM delta ORDER BY seq"):
        if stream not in keys or zlib.crc32(facts) != crc:
            raise Corrupt("A batch of the ledger's changes fails its checksum.")
        overlay = state.overlays.setdefault(keys[stream], Overlay())
        overlay.gathering.update(decode_facts(facts))
        overlay.last_seq = seq


def _check_books(connection: sqlite3.Connection, state: State) -> None:
    """Refuse a file whose counters contradict each other: some record of it is from another time."""
    for key, stream in state.streams.items():
        if stream.received != stream.poison + stream.seen + stream.filtered + stream.appended:
            raise Corrupt(f"The books of stream {key.cluster} {key.scope} do not balance.")
        cluster = state.clusters.get(key.cluster)
        if stream.epoch > (cluster.epoch if cluster else 0):
            raise Corrupt(f"The stream {key.cluster} {key.scope} is in an epoch that its cluster has not reached.")
    last = connection.execute("SELECT first, n FROM log ORDER BY first DESC LIMIT 1").fetchone()
    if last is not None and sum(last) != state.head:
        raise Corrupt(f"The log ends at {sum(last)}, its books at {state.head}.")
    kept = letters.count(connection)
    for name, reader in state.readers.items():
        if any(kept.get((name, each), 0) != reader.outcomes.get(each, 0) for each in (Outcome.DEAD, Outcome.PARKED)):
            raise Corrupt(f"The letters of sink {name} are not those in its books.")
        if reader.cursor - reader.origin != sum(reader.outcomes.values()) or not (
            0 <= reader.origin <= reader.cursor <= state.head
        ):
            raise Corrupt(f"The books of sink {name} do not balance.")
        if last is None and reader.cursor != state.head:
            raise Corrupt(f"Events that sink {name} has not settled are gone from the log.")
    notes.check(state.alerting, state.notifiers, state.head, kept)
