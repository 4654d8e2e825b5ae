"""The real journal without its threads, and what kill -9 leaves of it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import types
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from eventer.journal import journal, room, writer
from tests.simulation.loop import SimLoop

__all__ = ["left_behind", "without_threads"]


class _NoThread:
    """A thread that somebody else does the work of."""

    def __init__(self, **_: Any) -> None:
        pass

    def start(self) -> None:
        pass

    def is_alive(self) -> bool:
        return True


class SimWriter(writer.Writer):
    """Commits what has gathered, as the thread does; when it comes to that is the loop's dice."""

    def __init__(self, connection: sqlite3.Connection, failed: Callable[[Exception], None]) -> None:
        super().__init__(connection, failed)
        # What the disk has after a kill is the same with and without fsync, which costs half the time.
        connection.execute("PRAGMA synchronous=OFF")
        sim = asyncio.get_running_loop()
        assert isinstance(sim, SimLoop)
        self._sim = sim
        self._gathered: deque[Any] = deque()
        self._busy = False
        self._queue = types.SimpleNamespace(put=self._put)  # type: ignore[assignment]

    def _put(self, item: Any) -> None:
        self._gathered.append(item)
        if not self._busy:
            self._busy = True
            self._sim.call_later(self._sim.latency(), self._turn)

    def _turn(self) -> None:
        group = [self._gathered.popleft() for _ in range(min(writer.GROUP, len(self._gathered)))]
        results = self._commit(group)
        delay = self._sim.latency()
        self._sim.call_later(delay, self._resolve, results)
        # Not before the answer to this group: answers come in the order of commits.
        self._sim.call_later(delay + 1e-6, self._next)

    def _next(self) -> None:
        if self._gathered:
            self._turn()
        else:
            self._busy = False

    async def close(self) -> None:
        while self._busy:
            await asyncio.sleep(0.001)


@contextlib.contextmanager
def without_threads() -> Iterator[None]:
    """Let journals that are opened in the block commit on the loop, and reserve little room."""
    with (
        mock.patch.object(journal, "Writer", SimWriter),
        mock.patch.object(writer, "threading", types.SimpleNamespace(Thread=_NoThread)),
        mock.patch.object(room, "RESERVE", 4096),
        mock.patch.object(room, "BEYOND", 4096),
    ):
        yield


def left_behind(directory: Path, copy: Path) -> None:
    """Copy what kill -9 at this moment leaves of a state directory: what was written, committed or not."""
    copy.mkdir()
    for file in sorted(directory.iterdir()):
        if not file.name.endswith("-shm"):  # memory, not on the disk
            shutil.copyfile(file, copy / file.name)
