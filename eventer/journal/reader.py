"""One thread that owns the reading connection: look-ups, a backlog, and what housekeeping looks at.

WAL lets it read while a commit is under way (https://www.sqlite.org/wal.html#concurrency).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from eventer import failpoint
from eventer.errors import Corrupt
from eventer.journal import schema

__all__ = ["Reader"]

CACHE: Final = "PRAGMA cache_size=-1024"
"""KiB of pages. What is read for is spread over all of the file, and the system has its pages in memory anyway; four
times as many were filled by each fold's count of the ledger, for nothing."""

_T = TypeVar("_T")


class Reader:
    """Runs queries one after the other.

    Args:
        directory: the state directory.
        failed: told on the event loop of damage that was found.

    Raises:
        JournalError: the database cannot be opened.
    """

    def __init__(self, directory: Path, failed: Callable[[Exception], None]) -> None:
        self._failed = failed
        self._connection = schema.connect(directory)
        self._connection.execute(CACHE)
        self._thread = ThreadPoolExecutor(1, "journal-reader")

    async def run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run work on the thread and return its result.

        Raises:
            JournalError: what SQLite or the system raised in it.
        """

        def run() -> _T:
            try:
                failpoint.hit("journal.read")
                return work(self._connection)
            except schema.FAILURES as error:
                raise schema.translate(error) from error

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, run)
        except Corrupt as error:
            self._failed(error)
            raise

    def run_unattended(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Let the thread run work that raises nothing, and wait for nothing."""
        asyncio.get_running_loop().run_in_executor(self._thread, work, self._connection)

    def close(self) -> None:
        """End the thread after what it is at, and let go of the file."""
        self._thread.shutdown(wait=True)
        self._connection.close()
