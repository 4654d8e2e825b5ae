"""How commands give events in: `eventer replay`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web

from eventer.config.types import Config
from eventer.control.patience import in_time
from eventer.control.view import View
from eventer.readmission import Admitted, Readmission

__all__ = ["routes"]

ROOM: Final = 2
"""What waits for sinks may fill this part of `state.max_size`, a half, before nothing more is taken: no event
of a cluster may have to go because of one that is repeated."""
_LARGEST: Final = 1 << 62


def routes(view: View, config: Callable[[], Config]) -> list[web.AbstractRouteDef]:
    """Return the routes: see each handler.

    Args:
        view: the daemon.
        config: returns the configuration as it is now.
    """
    readmission = Readmission(view.journal, config)

    async def post_append(request: web.Request) -> web.StreamResponse:
        """Take a portion of events, Eventer's own lines; `session` and `portion` name it. See `Readmission`."""
        try:
            session, number = int(request.query["session"]), int(request.query["portion"])
            if not (0 <= session < _LARGEST and 0 <= number < _LARGEST):
                raise ValueError("too large")
        except (KeyError, ValueError):
            raise web.HTTPBadRequest(text="session and portion are numbers") from None
        body = await request.read()
        return await in_time(request, take(session, number, body))

    async def take(session: int, number: int, body: bytes) -> Admitted:
        if view.journal.backlog > view.state.max_size // ROOM:
            return Admitted(wait="half of state.max_size waits for sinks that lag")
        return await readmission.take(session, number, [line for line in body.split(b"\n") if line])

    return [web.post("/v1/append", post_append)]
