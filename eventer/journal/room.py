"""Room on a full disk, so that what has been delivered can still be settled and told.

A commit needs room even where it only moves a cursor: the write-ahead log grows until it is copied into
the database, and the copy may make the database longer. So a file of `RESERVE` bytes lies beside it. When
the disk refuses, the file is given up and no stream may append; sinks go on, their cursors move, gap
records are written. What they have passed becomes free *within* the database, which is then made shorter,
so that a disk which holds nothing but the journal comes free by itself. Streams may append again when the
file is there in full, with something beyond it.

It is a promise of the file system, not a certainty: another program may take the room that was given up,
and on a file system that writes every block to a new place (btrfs, ZFS) a rewrite needs room as well.

A disk that fails or has become read-only is met in the same way, for who knows what it will take next:
nothing new until a commit has worked, and everything that is owed to the past.
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
from eventer.journal.ledger import Submit

__all__ = ["Room", "probe"]

FILE: Final = "reserve"
RESERVE: Final = 8 << 20
"""Bytes: a write-ahead log of its usual length (1,000 pages of 4 KiB), and as much of the database."""
BEYOND: Final = 4 << 20
"""Bytes that must be free beside the reserve before streams append again, or they would stop again at once."""
SHRINK: Final = 500
"""Free pages given back in one transaction: 2 MiB, because moving a page needs room in the log."""

FULL: Final = (
    "The disk under the state directory is full. Sinks go on; reading goes on when "
    f"{RESERVE + BEYOND >> 20} MiB are free."
)

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

Read = Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]]
log = structlog.get_logger()


class Room:
    """Whether streams may append, and the reserve of one state directory.

    Args:
        directory: the state directory, locked.

    Attributes:
        refused: why streams may not append, in words; empty while they may.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self.refused = ""

    def begin(self) -> None:
        """Make the reserve at a start.

        Raises:
            OSError: the disk refuses, and not for want of room.
        """
        if not self._hold(0):
            self.refuse(FULL)

    def refuse(self, why: str) -> None:
        """Note that the disk has refused. Whoever notes it lets `release` run in a thread."""
        if not self.refused:
            log.error("disk refuses, reading is paused", reason=why)
        self.refused = why

    def release(self, connection: sqlite3.Connection | None = None) -> None:
        """Give the reserve up, and copy the write-ahead log into the database while there is room for that."""
        with contextlib.suppress(OSError):
            os.truncate(self._path, 0)
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

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
        self.refused = ""
        log.warning("disk takes writes again, reading goes on")

    def _again(self, connection: sqlite3.Connection) -> bool:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return self._hold(BEYOND)

    def _hold(self, beyond: int) -> bool:
        """Make the reserve, or keep it; False, and none of it, if there is no room for it and `beyond`."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # Unlike a look at the free blocks, this knows of quotas and of blocks kept for root.
            os.posix_fallocate(fd, 0, RESERVE + beyond)
            os.ftruncate(fd, RESERVE)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            os.ftruncate(fd, 0)
            return False
        finally:
            os.close(fd)
        return True


def _shrink(connection: sqlite3.Connection) -> bool:
    """Make the database shorter by some of its free pages; return whether it could be."""
    (before,) = connection.execute("PRAGMA freelist_count").fetchone()
    connection.execute(f"PRAGMA incremental_vacuum({SHRINK})").fetchall()
    return bool(connection.execute("PRAGMA freelist_count").fetchone()[0] < before)


def probe(connection: sqlite3.Connection) -> None:
    """Write something that differs each time: SQLite does not write what is there already."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('probe', randomblob(8))")
