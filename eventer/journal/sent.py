"""When far sides were sent to last, for those that bear few requests: known after kill -9, and worth little else.

It is kept beside the journal's own description, under a name for each far side. What is damaged counts as unknown.
"""

from __future__ import annotations

import asyncio
import sqlite3
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

__all__ = ["SentTimes", "load"]

NAME: Final = "sent:"
OLD: Final = 3600.0
"""Seconds after which nobody asks any more."""


def load(meta: Mapping[str, Any]) -> dict[str, list[float]]:
    """Read what is kept, by far side: seconds since 1970."""
    found: dict[str, list[float]] = {}
    for name, value in meta.items():
        if name.startswith(NAME) and isinstance(value, bytes) and zlib.crc32(value[4:]).to_bytes(4, "big") == value[:4]:
            found[name.removeprefix(NAME)] = msgspec.json.decode(value[4:], type=list[float])
    return found


class SentTimes:
    """Keeps such times in one journal.

    Args:
        known: what was loaded.
        submit: runs operations; see `eventer.journal.writer.Writer`.
        now: seconds since 1970.
    """

    def __init__(
        self, known: Mapping[str, Sequence[float]], submit: Callable[..., asyncio.Future[Any]], now: float
    ) -> None:
        self.known = known
        self._submit = submit
        self._old = [(NAME + key,) for key, times in known.items() if max(times, default=0.0) < now - OLD]

    async def keep(self, key: str, times: Sequence[float]) -> None:
        """Store when requests to a far side began, seconds since 1970.

        Raises:
            JournalError: nothing of it happened.
        """
        body = msgspec.json.encode([round(at, 3) for at in times])

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM meta WHERE name = ?", self._old)
            row = (NAME + key, zlib.crc32(body).to_bytes(4, "big") + body)
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", row)

        await self._submit(write, lambda _: self._old.clear())
