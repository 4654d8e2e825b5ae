"""What commands may ask of silences: `eventer silence`."""

from __future__ import annotations

from typing import TypeVar

import msgspec
import structlog
from aiohttp import web

from eventer.alerting.requests import Ended, SilenceReport, Wanted
from eventer.alerting.silencing import Silencing
from eventer.control.patience import in_time

__all__ = ["routes"]

_T = TypeVar("_T")

log = structlog.get_logger()


def routes(silencing: Silencing) -> list[web.AbstractRouteDef]:
    """Return the routes: see each handler."""

    async def get_silences(request: web.Request) -> web.StreamResponse:
        """All silences; see `Silencing.reports`."""
        return await in_time(request, silencing.reports())

    async def post_silence(request: web.Request) -> web.StreamResponse:
        """Make the silence that the body asks for; see `eventer.alerting.silencing.Wanted`."""
        return await in_time(request, add(await _read(request, Wanted)))

    async def post_expire(request: web.Request) -> web.StreamResponse:
        """End the silences whose ids the body lists, and say what became of each."""
        return await in_time(request, expire(await _read(request, list[str])))

    async def add(wanted: Wanted) -> SilenceReport:
        made = await silencing.add(wanted)
        log.info("silence added", silence=made.id, owner=made.owner, reason=made.reason, until=str(made.ends))
        return made

    async def expire(names: list[str]) -> Ended:
        done = await silencing.expire(names)
        if done.ended:
            log.info("silences ended", silences=done.ended)
        return done

    return [
        web.get("/v1/silences", get_silences),
        web.post("/v1/silences", post_silence),
        web.post("/v1/silences/expire", post_expire),
    ]


async def _read(request: web.Request, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except msgspec.MsgspecError:
        raise web.HTTPBadRequest(text="this asks for no silence") from None
