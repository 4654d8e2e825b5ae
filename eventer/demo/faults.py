"""How the fake API server fails when told to: one fault for one coming request, or for all."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

__all__ = ["Body", "Fault", "Faults"]


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What goes wrong with one request. Without a field set, nothing does."""

    before: Callable[[], Awaitable[Any]] | None = None
    """Awaited before the answer begins: compact between two pages, wait for a test..."""
    status: int | None = None
    """Answer with this status, `headers` and `body` instead."""
    headers: Mapping[str, str] = {}
    body: bytes = b""
    raw: bytes | None = None
    """Send exactly these bytes instead, head included, and close."""
    freeze_head: bool = False
    """Accept the request and never answer."""
    inject: bytes = b""
    """Begin the body of a watch with this."""
    end: bool = False
    """End a watch cleanly right after its head (and `inject`)."""
    cut_after: int | None = None
    """Cut the connection after so many bytes of a watch's body: a killed server."""
    tear_after: int | None = None
    """End the body properly after so many bytes: a proxy that gives up within a line."""
    freeze_after: int | None = None
    """Send so many bytes of the body and then nothing, until the client closes or `Faults.thaw`."""
    drip: int | None = None
    """Send the body in pieces of so many bytes."""


class Faults:
    """Faults that wait for their request."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, list[tuple[Fault, int | None]]] = defaultdict(list)
        self._thawed = asyncio.Event()
        self.frozen_now = 0
        """Requests that hang in a freeze at the moment."""

    def add(self, kind: str, fault: Fault, *, times: int | None = 1) -> None:
        """Let a fault hit the next requests of a kind (`Request.kind`), after those added before.

        Args:
            kind: watch, list, probe, audit, namespace or other.
            fault: what goes wrong.
            times: how many requests it hits; None for all from then on.
        """
        self._waiting[kind].append((fault, times))

    def clear(self) -> None:
        """Forget all faults that wait."""
        self._waiting.clear()

    def take(self, kind: str) -> Fault:
        """Return what hits this request."""
        waiting = self._waiting[kind]
        if not waiting:
            return Fault()
        fault, times = waiting[0]
        if times is not None:
            if times > 1:
                waiting[0] = (fault, times - 1)
            else:
                waiting.pop(0)
        return fault

    def thaw(self) -> None:
        """Let everything that is frozen go on."""
        self._thawed.set()
        self._thawed = asyncio.Event()

    async def frozen(self, reader: asyncio.StreamReader) -> None:
        """Hang until `thaw`, or until the client closes the connection."""
        self.frozen_now += 1
        waits = {asyncio.create_task(self._thawed.wait()), asyncio.create_task(_until_closed(reader))}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.frozen_now -= 1
            for wait in waits:
                wait.cancel()


async def _until_closed(reader: asyncio.StreamReader) -> None:
    while not reader.at_eof():  # noqa: ASYNC110 - the watch reads from it already, and only one may
        await asyncio.sleep(0.01)


class Body:
    """The chunked body of a watch, one chunk per line as the real server sends it, with a fault in it."""

    def __init__(self, writer: asyncio.StreamWriter, fault: Fault, freeze: Callable[[], Awaitable[None]]) -> None:
        self.ended = False
        self._writer = writer
        self._fault = fault
        self._freeze = freeze
        self._sent = 0
        limits = (fault.cut_after, fault.tear_after, fault.freeze_after)
        self._limit = next((limit for limit in limits if limit is not None), None)

    async def send(self, lines: Sequence[bytes]) -> None:
        """Send lines, or as much of them as the fault allows."""
        if self._limit is None and not self._fault.drip:
            self._writer.write(b"".join([b"%x\r\n%s\r\n" % (len(line), line) for line in lines]))
            await self._writer.drain()
            return
        for line in lines:
            if self.ended:
                return
            await self._carefully(line)

    async def _carefully(self, line: bytes) -> None:
        allowed = len(line) if self._limit is None else min(len(line), self._limit - self._sent)
        size = self._fault.drip or allowed or 1
        for start in range(0, allowed, size):
            piece = line[start : min(start + size, allowed)]
            self._writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await self._writer.drain()
            await asyncio.sleep(0)
        self._sent += allowed
        if self._limit is None or self._sent < self._limit:
            return
        if self._fault.freeze_after is not None:
            await self._freeze()
            self._limit = None
            await self._carefully(line[allowed:])
            return
        if self._fault.tear_after is not None:
            await self.end()
        self.ended = True
        if self._fault.cut_after is not None:
            self._writer.transport.abort()

    async def end(self) -> bool:
        """End the body as HTTP wants it; return that the connection can be used again."""
        if not self.ended:
            self.ended = True
            self._writer.write(b"0\r\n\r\n")
            await self._writer.drain()
        return True
