"""Room on a full disk, so that what has been delivered can still be settled and told.

A commit needs room even where it only moves a cursor: the write-ahead log grows until it is copied into
the database, and the copy may make the database longer. So the log gets the blocks of its usual length at
the start, and a file `reserve` holds what the next copy may need. When the disk refuses, the reserve is
given up for a copy at once, and no stream may append. Sinks go on, their cursors move, gap records are
written, all in blocks that the journal owns. What sinks have passed becomes free *within* the database,
which is then made shorter: a disk that holds nothing but the journal comes free by itself. Streams append
again when log and reserve are whole, with something beyond.

It is a promise of the file system, not a certainty: another program may take the reserve in the moment in
which it is given up, and where every block is written to a new place (btrfs, ZFS) a rewrite needs room too.

A disk that fails or has become read-only is met in the same way, for who knows what it takes next: nothing
new until a commit has worked, and everything that is owed to the past.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import structlog

from eventer.errors import DiskRefused
from eventer.journal import files, schema
from eventer.journal.ledger import Submit

__all__ = ["Room", "probe"]

RESERVE: Final = schema.LOG
"""Bytes by which a copy may make the database longer: all that the log holds."""
BEYOND: Final = 2 << 20
"""Bytes that must be free besides before streams append again, or they would stop again at once."""
SHRINK: Final = 200
"""Free pages given back in one transaction: moving each takes room in the log."""

FULL: Final = (
    "The disk under the state directory is full. Sinks go on; reading goes on when "
    f"{RESERVE + BEYOND >> 20} MiB are free."
)

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

Read = Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]]
log = structlog.get_logger()


class Room:
    """Whether streams may append, and the blocks kept in one state directory.

    Args:
        directory: the state directory, locked.

    Attributes:
        refused: why streams may not append, in words; empty while they may.
    """

    def __init__(self, directory: Path) -> None:
        self._reserve = directory / "reserve"
        self._database = directory / files.FILE
        self._log = directory / f"{files.FILE}-wal"
        self._open = -1
        self.refused = ""

    def begin(self) -> None:
        """Take the room at a start, when the database is open.

        Raises:
            OSError: the disk refuses, and not for want of room.
        """
        # Held until the end: closing any descriptor of the database lets go of the locks that SQLite
        # holds on it in this process (https://www.sqlite.org/howtocorrupt.html, 2.2).
        self._open = os.open(self._database, os.O_RDWR | os.O_CLOEXEC)
        self.release()
        try:
            if not self._take(0):
                self.refuse(FULL)
        except OSError:
            os.close(self._open)
            raise

    def end(self) -> None:
        """Keep the room for the next start, when the database is closed and its log removed."""
        os.close(self._open)
        with contextlib.suppress(OSError):
            _allocate(self._reserve, schema.LOG + RESERVE)

    def refuse(self, why: str) -> None:
        """Note that the disk has refused. Whoever notes it lets `yield_reserve` run in a thread."""
        if not self.refused:
            log.error("disk refuses, reading is paused", reason=why)
        self.refused = why

    def release(self) -> None:
        """Give the reserve up."""
        with contextlib.suppress(OSError):
            os.truncate(self._reserve, 0)

    def yield_reserve(self, connection: sqlite3.Connection) -> None:
        """Use the reserve to copy the write-ahead log into the database, and keep what is left of it."""
        with contextlib.suppress(sqlite3.Error, OSError):
            (pages,), (size,) = (
                connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size")
            )
            self.release()
            # At once, or another program would have it before the copy comes to that.
            _grow(self._open, pages * size)
            any(_allocate(self._reserve, RESERVE >> n) for n in range(4))
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    async def regain(self, read: Read, submit: Submit) -> None:
        """Try to take writes again; with too little room, make the database shorter by what is free in it.

        Args:
            read: runs work on the reader's thread, outside of any transaction.
            submit: runs an operation on the writer.

        Raises:
            DiskRefused: not yet.
        """
        while not await read(self._again):
            if not await submit(_shrink):
                raise DiskRefused(FULL)
        await submit(probe)
        if self.refused:  # by now another caller may have found the same
            self.refused = ""
            log.warning("disk takes writes again, reading goes on")

    def _again(self, connection: sqlite3.Connection) -> bool:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return self._take(BEYOND)

    def _take(self, beyond: int) -> bool:
        if not _allocate(self._log, schema.LOG):
            return False
        kept = self._reserve.stat().st_size if self._reserve.exists() else 0
        if not _allocate(self._reserve, RESERVE + beyond):
            os.truncate(self._reserve, kept)  # or what it has would be given away with each try
            return False
        os.truncate(self._reserve, RESERVE)
        return True


def _allocate(path: Path, size: int) -> bool:
    """Give a file blocks up to a size; False if there is no room. What it holds is not touched.

    A log with zeros at its end is a log: it ends where a checksum does not fit
    (https://www.sqlite.org/fileformat2.html#the_write_ahead_log). Unlike a look at the free blocks,
    this knows of quotas and of blocks that are kept for root.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        return _grow(fd, size)
    finally:
        os.close(fd)


def _grow(fd: int, size: int) -> bool:
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        return False
    return True


def _shrink(connection: sqlite3.Connection) -> bool:
    """Make the database shorter by some of its free pages; return whether it could be."""
    (before,) = connection.execute("PRAGMA freelist_count").fetchone()
    connection.execute(f"PRAGMA incremental_vacuum({SHRINK})").fetchall()
    return bool(connection.execute("PRAGMA freelist_count").fetchone()[0] < before)


def probe(connection: sqlite3.Connection) -> None:
    """Write something that differs each time: SQLite does not write what is there already."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('probe', randomblob(8))")
