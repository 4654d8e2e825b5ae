"""The body of an open watch, read piece by piece as it arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import aiohttp

from eventer.errors import Broken
from eventer.source.answers import date_of, words

__all__ = ["READ_SIZE", "Reads", "Stalled"]

READ_SIZE: Final = 256 << 10
"""Most bytes of one read. It bounds what is decoded at once, and with it latency and memory."""


class Stalled(Broken):
    """Nothing was read within the deadline although the connection looks alive."""


class Reads:
    """The body of an open watch, read piece by piece."""

    def __init__(self, response: aiohttp.ClientResponse, idle: float) -> None:
        self._response = response
        self._idle = idle
        self.date = date_of(response.headers)
        """The server's clock when it answered, None where it tells none."""

    async def read(self) -> bytes:
        """Return what has arrived, at most 256 KiB; empty at a clean end.

        Raises:
            Stalled: nothing came for the idle deadline.
            Broken: the connection is lost, was cut within a chunk, or `close` was called.
        """
        try:
            async with asyncio.timeout(self._idle):
                return await self._response.content.read(READ_SIZE)
        except TimeoutError:
            raise Stalled(f"The watch was silent for {self._idle:.0f} s, longer than the server promised.") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Broken(f"The watch was cut: {words(error)}.") from None

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Leave what arrives within the block to the system: taken together, it wakes us once, not line by line.

        Only where nothing is left to be read: aiohttp, which has paused what is not read in time, is resumed by it.
        """
        connection = self._response.connection
        transport = connection.transport if connection is not None else None
        if transport is not None:
            transport.pause_reading()
        yield
        if transport is not None:  # and the block did not raise, by which the watch is over
            transport.resume_reading()

    def close(self) -> None:
        """Close the socket, so that a `read` under way ends at once."""
        self._response.close()
