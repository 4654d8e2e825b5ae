"""The books of a journal at one moment: for /metrics, for tests, and for a person after a crash."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from eventer.errors import DiskRefused
from eventer.event import Outcome
from eventer.journal import files, letters, log, notes, schema
from eventer.journal.codec import unsealed
from eventer.journal.records import AlertingRecord, Letter, ReaderRecord, StreamKey, StreamRecord

__all__ = ["Books", "Waiting", "read_books", "read_dead_letters", "snapshot"]


class Waiting(NamedTuple):
    """What waits for one reader, parked letters included."""

    since: float | None
    """When the oldest event of it was appended, seconds since 1970; None if nothing waits."""
    bytes: int
    """Bytes of bodies in the log from its cursor on, to the row."""


class Books(msgspec.Struct, kw_only=True):
    """All counters of a journal at one moment."""

    head: int
    streams: dict[StreamKey, StreamRecord]
    readers: dict[str, ReaderRecord]
    letters: dict[tuple[str, Outcome], int]
    waiting: dict[str, Waiting]
    alerting: dict[str, AlertingRecord] = {}
    """By notifier, what became of events."""
    notifiers: dict[str, ReaderRecord] = {}
    """By notifier, what became of the notifications made of them."""
    told: dict[str, Waiting] = {}
    """By notifier, what waits of those."""


def snapshot(connection: sqlite3.Connection) -> Books:
    """Read the books in one transaction: what one commit changed is seen together, or not at all.

    Args:
        connection: in autocommit mode.

    Raises:
        Corrupt: a record is damaged.
        sqlite3.Error: it cannot be read.
    """
    connection.execute("BEGIN")
    try:
        streams = {
            StreamKey(cluster, scope): unsealed(body, crc, StreamRecord, "stream", cluster, scope)
            for cluster, scope, body, crc in connection.execute("SELECT cluster, scope, record, crc FROM stream")
        }
        readers = {
            name: unsealed(body, crc, ReaderRecord, "sink", name)
            for name, body, crc in connection.execute("SELECT name, record, crc FROM reader")
        }
        parked = letters.oldest(connection)
        waiting = {}
        for name, reader in readers.items():
            since, size = log.waiting_from(connection, reader.cursor)
            waiting[name] = Waiting(min((at for at in (since, parked.get(name)) if at is not None), default=None), size)
        told = {}
        notified = notes.notifiers(connection)
        for name in notified:
            ages = (notes.oldest(connection, name), parked.get(notes.LETTERS + name))
            since = min((at for at in ages if at is not None), default=None)
            told[name] = Waiting(since, notes.sizes(connection, name))
        return Books(
            head=sum(stream.appended for stream in streams.values()),
            streams=streams,
            readers=readers,
            letters=letters.count(connection),
            waiting=waiting,
            alerting=notes.alerting(connection),
            notifiers=notified,
            told=told,
        )
    finally:
        connection.execute("ROLLBACK")


def read_books(directory: Path) -> Books:
    """Read the books of a state directory that no daemon has open; they are checked while they are read.

    Raises:
        Locked: a daemon has it open; ask that daemon's /metrics.
        Corrupt: a record is damaged, or the books do not balance.
    """
    with _opened(directory) as connection:
        return snapshot(connection)


def read_dead_letters(directory: Path, name: str | None = None) -> list[Letter]:
    """Read the dead letters of a state directory that no daemon has open, intake's among them.

    Args:
        directory: the state directory.
        name: of the one reader to look at; None for all.

    Raises:
        Locked, Corrupt: as `read_books`.
        DiskRefused: there is no journal.
    """
    if files.empty(directory):
        raise DiskRefused(
            f"There is no journal in {directory}: no daemon has run there. Name its directory with --state."
        )
    with _opened(directory) as connection:
        found: list[Letter] = []
        while more := letters.page(connection, (found[-1].reader, found[-1].number) if found else ("", -1), 1000, name):
            found += more
        return found


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[sqlite3.Connection]:
    with files.lock(directory):
        connection = schema.connect(directory)
        try:
            schema.load(connection)
            yield connection
        except schema.FAILURES as error:
            raise schema.translate(error) from error
        finally:
            connection.close()
