"""A TCP proxy that misbehaves on request: what networks do, and no server can be told to do.

It moves bytes and knows nothing of them, so it stands before TLS as well as before plain HTTP.
Faults are switched while connections are open, and a test can wait until one has struck.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from enum import StrEnum
from typing import Self

from tests.helpers.process import free_port, until

__all__ = ["Mode", "Proxy"]

_CHUNK = 65_536


class Mode(StrEnum):
    """How the proxy treats connections, old and new."""

    PASS = "pass"
    FREEZE = "freeze"
    """Nothing is forwarded and nothing is closed: a half-open connection, a frozen peer."""
    REFUSE = "refuse"
    """New connections are reset at once; open ones go on."""
    DROP_ANSWER = "drop answer"
    """Requests arrive; the first byte of the answer resets the connection instead of passing."""


class Proxy:
    """Forwards loopback connections to one upstream.

    Args:
        port: where the upstream listens on 127.0.0.1.
        listener: listening socket to use (of another network namespace); else a free port.
    """

    def __init__(self, port: int, *, listener: socket.socket | None = None) -> None:
        self.upstream = port
        self._listener = listener
        self.port = free_port() if listener is None else listener.getsockname()[1]
        self.delay = 0.0
        """Seconds that each block of bytes waits, both ways."""
        self.drip = 0.0
        """Seconds after each single byte of an answer; 0 forwards blocks whole."""
        self.forget_after = 0.0
        """Seconds without a byte after which a connection is forgotten as by a middle box: what comes later
        on it, its end included, goes nowhere, and nobody is told. 0: never."""
        self.forgotten = 0
        """Connections on which something has come since they were forgotten."""
        self.connections = 0
        """How many were accepted so far."""
        self.sent = 0
        """Bytes towards the upstream so far."""
        self.answered = 0
        """Bytes towards clients so far."""
        self.dropped = 0
        """Answers swallowed so far by `Mode.DROP_ANSWER`."""
        self._mode = Mode.PASS
        self._open = asyncio.Event()
        self._open.set()
        self._budget: int | None = None
        self._then = Mode.PASS
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._last = 0.0
        self._stopped = asyncio.Event()

    @property
    def idle(self) -> float:
        """Seconds since any connection had a byte."""
        return asyncio.get_running_loop().time() - self._last

    @property
    def mode(self) -> Mode:
        """How it behaves now; may be set at any time."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._mode = mode
        if mode is Mode.FREEZE:
            self._open.clear()
        else:
            self._open.set()

    def cut_after(self, count: int) -> None:
        """Let `count` more bytes of answers through, then end the connection that carried the last, once."""
        self._budget, self._then = count, Mode.PASS

    def freeze_after(self, count: int) -> None:
        """Let `count` more bytes of answers through, then freeze; `frozen` waits for it."""
        self._budget, self._then = count, Mode.FREEZE

    async def frozen(self, timeout: float = 60.0) -> None:
        """Wait until `freeze_after` has struck."""
        await until(lambda: self._mode is Mode.FREEZE, "the proxy to freeze", timeout=timeout)

    def cut(self) -> None:
        """Reset all open connections (RST, not an orderly end)."""
        for writer in list(self._writers):
            _reset(writer)

    async def start(self) -> None:
        """Listen."""
        if self._listener is not None:
            self._server = await asyncio.start_server(self._serve, sock=self._listener)
        else:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """Close the listener and every connection."""
        if self._server is not None:
            self._server.close()
        self._stopped.set()
        self.cut()
        # Frozen ones go on to find their connection closed. Cancelling them instead would have the
        # event loop report each one.
        self._open.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        if self._mode is Mode.REFUSE:
            _reset(writer)
            return
        self._writers.add(writer)
        try:
            await self._open.wait()
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        except OSError:
            self._writers.discard(writer)
            _reset(writer)
            return
        self._writers.add(up_writer)
        flow = _Flow()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(flow, reader, up_writer, answer=False))
                group.create_task(self._pump(flow, up_reader, writer, answer=True))
        except* (OSError, ConnectionError):
            pass
        finally:
            for each in (writer, up_writer):
                self._writers.discard(each)
                if not each.is_closing():
                    _reset(each)

    async def _pump(
        self, flow: _Flow, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answer: bool
    ) -> None:
        while True:
            block = await reader.read(_CHUNK)
            self._last = asyncio.get_running_loop().time()
            if flow.gone(self.forget_after):
                self.forgotten += flow.count()
                await self._stopped.wait()
                return
            if not block:
                break
            if self.delay:
                await asyncio.sleep(self.delay)
            await self._open.wait()
            if answer:
                if self._mode is Mode.DROP_ANSWER:
                    self.dropped += 1
                    raise ConnectionResetError
                await self._answer(block, writer)
            else:
                self.sent += len(block)
                writer.write(block)
                await writer.drain()
        if writer.can_write_eof():
            with contextlib.suppress(OSError):
                writer.write_eof()

    async def _answer(self, block: bytes, writer: asyncio.StreamWriter) -> None:
        if self._budget is not None and len(block) >= self._budget:
            head, block = block[: self._budget], block[self._budget :]
            self._budget = None
            await self._write(head, writer)
            if self._then is Mode.PASS:
                # A plain close sends what is buffered first, so that it is exactly that many bytes.
                self._writers.discard(writer)
                writer.close()
                raise ConnectionResetError
            self.mode = self._then
            await self._open.wait()
        elif self._budget is not None:
            self._budget -= len(block)
        await self._write(block, writer)

    async def _write(self, block: bytes, writer: asyncio.StreamWriter) -> None:
        self.answered += len(block)
        if not self.drip:
            writer.write(block)
            await writer.drain()
            return
        for index in range(len(block)):
            writer.write(block[index : index + 1])
            await writer.drain()
            await asyncio.sleep(self.drip)


class _Flow:
    """What a middle box knows of one connection."""

    def __init__(self) -> None:
        self._last = asyncio.get_running_loop().time()
        self._gone = False
        self._counted = False

    def gone(self, after: float) -> bool:
        """Note that something has come; return whether the connection was forgotten before that."""
        now = asyncio.get_running_loop().time()
        self._gone = self._gone or (after > 0 and now - self._last > after)
        self._last = now
        return self._gone

    def count(self) -> int:
        """Return 1 the first time, then 0."""
        first, self._counted = not self._counted, True
        return int(first)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection so that the other side sees a reset."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        # A linger time of zero makes the kernel send RST instead of FIN.
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
