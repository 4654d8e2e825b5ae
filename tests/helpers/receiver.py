"""An HTTP destination under the test's control: keeps what it is sent, and fails as told."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from aiohttp import web

from tests.helpers.appserver import AppServer
from tests.helpers.oracle import Sight, read_lines
from tests.helpers.process import free_port

__all__ = ["Receiver"]


class Receiver(AppServer):
    """Takes POSTs of one event, an array of events or JSON lines.

    Set `status` to answer with that; what came is then not kept.
    """

    def __init__(self) -> None:
        super().__init__(free_port())
        self.url = f"{self.base}/events"
        self.status = 200
        self.requests = 0
        """How many came, with whatever answer."""
        self.sights: list[Sight] = []
        """What was accepted, in the order of arrival."""
        self.refuses: Callable[[Sight], bool] = lambda _: False
        """Which events it can never take: a request with one of them is answered with 422."""
        self.on_request: Callable[[], None] | None = None
        """Called when a request has come, before it is answered."""

    def route(self, router: web.UrlDispatcher) -> None:
        router.add_post("/events", self._take)

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.came.set()
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
