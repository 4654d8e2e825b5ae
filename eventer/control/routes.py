"""What commands may ask of the daemon as a whole, and of its log of events."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from aiohttp import web

from eventer.control.socket import reply
from eventer.control.status import status
from eventer.control.view import View

__all__ = ["routes"]

AT_ONCE: Final = 2_000
SIZE: Final = 256 << 10
"""Events, and bytes of them, in one piece of an answer."""
SIGN: Final = 3.0
"""Seconds after which an answer that has nothing to say says that it lives."""


def routes(view: View) -> list[web.AbstractRouteDef]:
    """Return the routes: see each handler."""

    async def get_status(_: web.Request) -> web.Response:
        """Everything; see `eventer.control.report`."""
        return reply(await status(view))

    async def post_reload(_: web.Request) -> web.Response:
        """Read the configuration again, and say what came of it."""
        return reply(await view.reload())

    async def get_events(request: web.Request) -> web.StreamResponse:
        """Lines of events as they are stored, oldest first; an empty line is a sign of life.

        Query: `last`, how many of those that are there already; or `since`, a time of append (seconds since
        1970) from which on; neither, none. `follow=1` goes on with what comes.
        """
        journal = view.journal
        query = request.query
        try:
            last, since = int(query.get("last", 0)), float(query.get("since", "inf"))
        except ValueError:
            raise web.HTTPBadRequest(text="last and since are numbers") from None
        end = None if query.get("follow") else journal.head
        cursor = max(await journal.oldest(), journal.head - last)
        if "since" in query:
            cursor = await journal.offset_at(since)
        answer = web.StreamResponse(headers={"Content-Type": "application/jsonl"})
        await answer.prepare(request)
        with contextlib.suppress(ConnectionResetError):  # whoever asked has seen enough
            while end is None or cursor < end:
                if cursor >= journal.head:
                    try:
                        async with asyncio.timeout(SIGN):
                            await journal.grown(cursor)
                    except TimeoutError:
                        await answer.write(b"\n")
                    continue
                piece = await journal.read(cursor, AT_ONCE, SIZE)
                cursor = piece.end
                if piece.lines:
                    await answer.write(b"\n".join(piece.lines) + b"\n")
        return answer

    return [
        web.get("/v1/status", get_status),
        web.post("/v1/reload", post_reload),
        web.get("/v1/events", get_events),
    ]
