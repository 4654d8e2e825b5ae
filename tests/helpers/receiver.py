"""An HTTP destination under the test's control: keeps what it is sent, and fails as told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self

import msgspec
from aiohttp import web

from tests.helpers.oracle import Sight, read_lines
from tests.helpers.process import free_port

__all__ = ["Receiver"]


class Receiver:
    """Takes POSTs of one event, an array of events or JSON lines.

    Use it with `async with`. Set `status` to answer with that (what came is then not kept), clear
    `answering` to leave requests without answer.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/events"
        self.status = 200
        self.answering = asyncio.Event()
        self.answering.set()
        self.requests = 0
        """How many came, with whatever answer."""
        self.sights: list[Sight] = []
        """What was accepted, in the order of arrival."""
        self.refuses: Callable[[Sight], bool] = lambda _: False
        """Which events it can never take: a request with one of them is answered with 422."""
        self.on_request: Callable[[], None] | None = None
        """Called when a request has come, before it is answered."""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/events", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        self.answering.set()
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests += 1
        if self.on_request is not None:
            self.on_request()
        await self.answering.wait()
        if self.status >= 300:
            return web.Response(status=self.status, text="refused by the test")
        if body.lstrip().startswith(b"["):
            sights = msgspec.json.decode(body, type=list[Sight])
        else:
            sights = read_lines(line for line in body.splitlines() if line)
        if any(map(self.refuses, sights)):
            return web.Response(status=422, text="no mapping for this")
        self.sights += sights
        return web.Response(status=self.status)
