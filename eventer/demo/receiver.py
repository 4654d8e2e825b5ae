"""The far side of the demo's webhook: it takes events on loopback, dies when told to, and comes back on its port."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final

import msgspec
from aiohttp import web

__all__ = ["Receiver"]

BODY: Final = 16 << 20
"""Most bytes of one request; a batch is 1 MiB."""


class _Posted(msgspec.Struct):
    id: str
    origin: str


class Receiver:
    """A small HTTP server.

    Args:
        came: called with the id of each Kubernetes Event that was taken, before it is confirmed.
    """

    def __init__(self, came: Callable[[str], None]) -> None:
        self._came = came
        self._decoder = msgspec.json.Decoder(list[_Posted])
        self._runner: web.AppRunner | None = None
        # Bound and never listening: while nobody serves, the port stays ours, and connections are refused.
        self._holder = _bound(0)
        self.port: int = self._holder.getsockname()[1]
        self.taken = 0
        """Events taken so far, repeats included."""

    @property
    def url(self) -> str:
        """Where it takes events."""
        return f"http://127.0.0.1:{self.port}/in"

    @property
    def up(self) -> bool:
        """Whether it listens."""
        return self._runner is not None

    async def start(self) -> None:
        """Listen."""
        app = web.Application(client_max_size=BODY)
        app.add_routes([web.post("/in", self._take)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.SockSite(self._runner, _bound(self.port)).start()

    async def stop(self) -> None:
        """Die: connections end, new ones are refused."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def close(self) -> None:
        """Die and give the port back."""
        await self.stop()
        self._holder.close()

    async def _take(self, request: web.Request) -> web.Response:
        for event in self._decoder.decode(await request.read()):
            self.taken += 1
            if event.origin == "event":
                self._came(event.id)
        return web.Response(text="ok")


def _bound(port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", port))
    return made
