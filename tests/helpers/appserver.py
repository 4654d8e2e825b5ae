"""What servers that play a service by aiohttp share: their life, and requests that are left without answer."""

from __future__ import annotations

import abc
import asyncio
from typing import Self

from aiohttp import web

__all__ = ["AppServer"]


class AppServer(abc.ABC):
    """Use it with `async with`. Clear `answering` to leave requests without answer.

    Args:
        port: to listen on; 0 takes any.
    """

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.answering = asyncio.Event()
        self.answering.set()
        self.came = asyncio.Event()
        """Set by a request, before it is answered."""
        self._runner: web.AppRunner | None = None

    @property
    def base(self) -> str:
        """Its address, without a path."""
        return f"http://127.0.0.1:{self.port}"

    @abc.abstractmethod
    def route(self, router: web.UrlDispatcher) -> None:
        """Say what answers which path."""

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 << 20)
        self.route(app.router)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        self.answering.set()
        await self._runner.cleanup()
