"""The chat of the demo: a far side that shows what a person on call would be told of the stream beside it."""

from __future__ import annotations

from collections import deque
from typing import Final

from aiohttp import web

from eventer.alerting.notification import decode
from eventer.alerting.render.message import View, compose

__all__ = ["GROUP", "Chat"]

SHOWN: Final = 1_000
"""Messages kept for showing."""
GROUP: Final = {"wait": "1s", "interval": "15s"}
"""How problems become messages: as ever, in a demo's time."""


class Chat:
    """A small HTTP server that takes notifications, one in each request.

    Attributes:
        messages: what stands in the chat, the newest last: of each message its title, which a lock screen shows.
    """

    def __init__(self) -> None:
        self.messages: deque[str] = deque(maxlen=SHOWN)
        self._view = View()
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Listen; return the address."""
        app = web.Application()
        app.add_routes([web.post("/chat", self._take)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/chat"

    async def close(self) -> None:
        """Close it."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        self.messages.append(compose(decode(await request.read()), self._view).title)
        return web.Response(text="ok")
