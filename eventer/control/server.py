"""The daemon's HTTP port: metrics and health, read only, no event's content."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import msgspec
from aiohttp import web

from eventer.control.metrics import Metrics
from eventer.control.view import View
from eventer.errors import EventerError, JournalError

__all__ = ["serve"]

MOST: Final = 64
"""Connections at once; probes and scrapes of a whole cluster's monitoring need a handful."""


@contextlib.asynccontextmanager
async def serve(view: View, host: str, port: int) -> AsyncIterator[tuple[str, int]]:
    """Answer on one port for as long as the block runs.

    Args:
        view: what is shown.
        host: address to listen on; empty for all.
        port: 0 for any free one.

    Yields:
        The address and port that were bound.

    Raises:
        EventerError: the port cannot be had.
    """
    metrics = Metrics(view)

    async def get_metrics(_: web.Request) -> web.Response:
        try:
            body = await metrics.render()
        except JournalError as error:
            return web.Response(status=503, text=f"{error}\n")
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def get_live(_: web.Request) -> web.Response:
        return web.Response(text="ok\n") if view.live() else web.Response(status=503, text="stuck\n")

    async def get_ready(_: web.Request) -> web.Response:
        reasons = view.not_ready()
        return web.Response(status=503, text="\n".join(reasons) + "\n") if reasons else web.Response(text="ok\n")

    async def get_health(_: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(view.health()), content_type="application/json")

    app = web.Application(client_max_size=1024)
    app.add_routes(
        [
            web.get("/metrics", get_metrics),
            web.get("/livez", get_live),
            web.get("/readyz", get_ready),
            web.get("/healthz", get_health),
        ]
    )
    # Probes and scrapes are short; what stays open longer than this is not one of them.
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=30.0, shutdown_timeout=1.0)
    await runner.setup()
    listening: asyncio.Server | None = None
    try:
        try:
            listening = await asyncio.get_running_loop().create_server(_Door(runner), host or None, port, backlog=MOST)
        except OSError as error:
            raise EventerError(
                f"Cannot listen on {host or '*'}:{port} ({error.strerror or error}). Set server.listen to a free port."
            ) from error
        address = listening.sockets[0].getsockname()
        yield str(address[0]), int(address[1])
    finally:
        if listening is not None:
            listening.close()
        await runner.cleanup()
        metrics.close()


class _Door:
    """Lets connections in, so many at once: beyond that the oldest one has to go.

    The port has no authentication. Whoever opens connections and says nothing must neither use up the
    descriptors that reading and sending need, nor keep a probe, which is over in a moment, from its answer.
    """

    def __init__(self, runner: web.AppRunner) -> None:
        assert runner.server is not None
        self._server = runner.server

    def __call__(self) -> asyncio.Protocol:
        connections = self._server.connections
        if len(connections) >= MOST:
            oldest = connections[0].transport
            if oldest is not None:
                oldest.abort()
        return self._server()
