"""Whoever waits for a log to grow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Growth"]


class Growth:
    """Wakes those who wait for a log's next item.

    Args:
        head: tells the offset after its last committed item.
    """

    def __init__(self, head: Callable[[], int]) -> None:
        self._head = head
        self._waiting: set[asyncio.Future[None]] = set()

    async def beyond(self, cursor: int) -> None:
        """Return as soon as there is an item at an offset."""
        while self._head() <= cursor:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(waiter)
            try:
                await waiter
            finally:
                self._waiting.discard(waiter)

    def grew(self) -> None:
        """Tell all that something was committed."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
