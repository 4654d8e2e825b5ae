"""An HTTP far side that answers by script, byte for byte: also wrongly, slowly or not at all.

`Receiver` (beside this file) is a server as it should be; this one plays what goes wrong below and
beside HTTP, which a real server library would not send.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self

__all__ = ["Answer", "FarSide", "Request"]


@dataclass
class Request:
    """What came."""

    method: str
    target: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


@dataclass
class Answer:
    """What goes back."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    """These bytes in place of a proper answer."""
    cut: int | None = None
    """Close the connection after so many bytes of the answer."""
    drip: bytes = b""
    """Begin with these bytes and never stop sending: one byte at a time."""
    hang: bool = False
    """Take the request and say nothing."""

    def data(self) -> bytes:
        if self.raw is not None:
            return self.raw
        lines = [f"HTTP/1.1 {self.status} Scripted", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


class FarSide:
    """Use it with `async with`. Answers come from `script`, then from `fault`, then from `respond`."""

    def __init__(self, tls: ssl.SSLContext | None = None, *, at: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self.host, self._port = at
        self.requests: list[Request] = []
        self.script: deque[Answer] = deque()
        self.answer = Answer()
        self.fault: Answer | None = None
        """Answer to everything, as long as it is set."""
        self.came = asyncio.Event()
        """Set when a request is there in full."""
        self.gone = asyncio.Event()
        """Set when a client has gone away before its answer was complete."""
        self.before: Callable[[], Awaitable[object]] | None = None
        """Awaited before each answer."""
        self.connections = 0
        self.open = 0
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self.host, self._port, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._tls else 'http'}://{self.host}:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def then(self, *answers: Answer) -> None:
        """Script the next answers."""
        self.script.extend(answers)

    def reply(self, request: Request) -> Answer:
        """Return the answer to a request for which there is none in the script."""
        return self.fault or self.respond(request)

    def respond(self, request: Request) -> Answer:
        """Return `answer`. Override it to play a server."""
        return self.answer

    async def abort(self) -> None:
        """Reset all connections. As `before`: each, once its request is there."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.connections += 1
        self.open += 1
        try:
            while await self.exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        except asyncio.CancelledError:
            pass  # the server is closed; asyncio would report a handler that ends cancelled
        finally:
            self.open -= 1
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
                await writer.wait_closed()

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Take a request and answer it; False ends the connection. Override it to speak no HTTP."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = dict(_header(line) for line in head[1:] if line)
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        request = Request(method, target, headers, body)
        self.requests.append(request)
        self.came.set()
        if self.before is not None:
            await self.before()
        answer = self.script.popleft() if self.script else self.reply(request)
        if answer.hang:
            await self._wait_gone(reader)
            return False
        data = answer.data()
        if answer.drip:
            await self._drip(answer.drip, reader, writer)
            return False
        writer.write(data if answer.cut is None else data[: answer.cut])
        await writer.drain()
        return answer.cut is None and answer.raw is None

    async def _drip(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        gone = asyncio.ensure_future(self._wait_gone(reader))
        while not gone.done():
            writer.write(b"x")
            await asyncio.wait([gone], timeout=0.01)  # the pace of the drip

    async def _wait_gone(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await reader.read(1)
        self.gone.set()


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip()
