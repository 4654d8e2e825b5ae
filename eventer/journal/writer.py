"""One thread that owns the writing connection: group commit.

Whatever operations have gathered while a commit was under way go into the next one together, so
that under load one fsync serves many appends and settles. One operation that fails undoes its
group, and all callers of the group are told and may try again.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from eventer import failpoint
from eventer.journal.schema import FAILURES, translate
from eventer.observe.metrics import COMMIT_SECONDS

__all__ = ["Operation", "Writer"]

Operation = Callable[[sqlite3.Connection], Any]
"""Runs inside the transaction, on the writer's thread; what it returns reaches the caller."""

GROUP: Final = 64
"""Most operations in one commit; bounds how much one failure makes others repeat."""

Then = Callable[[Any], object]
_Waiting = tuple[Operation, Then | None, asyncio.Future[Any]]


class Writer:
    """Runs operations in order, several to a commit.

    Args:
        connection: from `schema.connect`; no other thread may write with it.
        failed: told on the event loop of each commit that failed.
    """

    _unanswered = 0
    _answered = 0.0

    def __init__(self, connection: sqlite3.Connection, failed: Callable[[Exception], None]) -> None:
        self._connection = connection
        self._failed = failed
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    def submit(self, operation: Operation, then: Then | None = None) -> asyncio.Future[Any]:
        """Queue an operation; the future is done when it is on the disk.

        Args:
            operation: what to do in the transaction.
            then: called on the event loop with the operation's result once it is committed, also
                when the caller was cancelled meanwhile: what memory says must follow the disk.

        The future raises JournalError when the commit failed; then nothing of it happened.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        if not self._unanswered:
            self._answered = asyncio.get_running_loop().time()
        self._unanswered += 1
        self._queue.put((operation, then, future))
        return future

    @property
    def silent(self) -> float:
        """For how many seconds something has waited without any commit coming to its end."""
        return asyncio.get_running_loop().time() - self._answered if self._unanswered > 0 else 0.0

    async def close(self) -> None:
        """Run what is queued, then end the thread."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        stop = False
        while not stop:
            first = self._queue.get()
            if first is None:
                return
            group = [first]
            while len(group) < GROUP:
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
                if item is None:
                    stop = True
                    break
                group.append(item)
            results = self._commit(group)
            try:
                self._loop.call_soon_threadsafe(self._resolve, results)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return

    def _commit(self, group: list[_Waiting]) -> list[tuple[_Waiting, Any]]:
        connection = self._connection
        began = time.perf_counter()
        try:
            connection.execute("BEGIN IMMEDIATE")
            results = [(item, item[0](connection)) for item in group]
            failpoint.hit("journal.commit")
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - told to every caller of the group
            failure = translate(error) if isinstance(error, FAILURES) else error
            if not self._undone():
                failure = translate(sqlite3.OperationalError("a failed transaction cannot be undone"))
            return [(item, failure) for item in group]
        COMMIT_SECONDS.observe(time.perf_counter() - began)
        failpoint.hit("journal.committed")
        return results

    def _undone(self) -> bool:
        """Roll back. After some errors (a full disk) SQLite has done so itself."""
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            return False
        return True

    def _resolve(self, results: list[tuple[_Waiting, Any]]) -> None:
        self._unanswered -= len(results)
        self._answered = asyncio.get_running_loop().time()
        if isinstance(results[0][1], Exception):
            self._failed(results[0][1])
        for (_, then, future), result in results:
            failed = isinstance(result, Exception)
            if then is not None and not failed:
                then(result)
            if future.cancelled():
                continue
            if failed:
                future.set_exception(result)
            else:
                future.set_result(result)
