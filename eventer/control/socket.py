"""The daemon's Unix socket, by which commands talk to it: in the state directory, for its owner alone.

Whoever may open it may read events and decide on letters, so it is never a TCP port; and because it lies
beside the journal, a command in the same pod finds the daemon without a word of configuration.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
import structlog
from aiohttp import web

from eventer.control.door import API, NAME, address
from eventer.errors import ConfigError, EventerError

__all__ = ["listen", "reply"]

BODY: Final = 64 << 20
"""Most bytes of one request: events that are given in are sent in parts far below it."""

log = structlog.get_logger()


def reply(value: object, *, status: int = 200) -> web.Response:
    """Return an answer in JSON."""
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


@contextlib.asynccontextmanager
async def listen(routes: Iterable[web.AbstractRouteDef], directory: Path) -> AsyncIterator[None]:
    """Answer commands for as long as the block runs.

    Where the file system takes no sockets, the daemon does its work all the same, and says that
    commands cannot reach it.

    Args:
        routes: what can be asked.
        directory: the state directory, locked by this process: a socket that is there is nobody's.
    """
    app = web.Application(client_max_size=BODY, middlewares=[_in_words])
    app.on_response_prepare.append(_name_version)
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=5.0, shutdown_timeout=1.0)
    await runner.setup()
    path = directory / NAME
    try:
        try:
            await web.SockSite(runner, _bound(path)).start()
        except OSError as error:
            reason = error.strerror or str(error)
            log.warning("no socket for commands, they cannot reach this daemon", path=str(path), reason=reason)
        yield
    finally:
        await runner.cleanup()
        path.unlink(missing_ok=True)


def _bound(path: Path) -> socket.socket:
    """Return a socket under this name. It listens only once nobody else may connect."""
    path.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX)
    try:
        with address(path) as name:
            made.bind(name)
        path.chmod(0o600)
    except BaseException:
        made.close()
        raise
    return made


_Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def _in_words(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Answer what went wrong with a sentence."""
    try:
        answer = await handler(request)
    except ConfigError as error:
        answer = reply({"error": str(error), "faults": error.faults}, status=422)
    except EventerError as error:
        answer = reply({"error": str(error)}, status=409)
    except web.HTTPException as error:
        answer = reply({"error": error.text or error.reason}, status=error.status)
    except Exception as error:
        if request.transport is None or request.transport.is_closing():
            raise  # who asked has gone away
        log.error("unexpected error in an answer to a command; this is a bug", asked=request.path, exc_info=error)  # noqa: TRY400
        answer = reply({"error": f"The daemon failed over it ({type(error).__name__}); its log says more."}, status=500)
    return answer


async def _name_version(_: web.Request, answer: web.StreamResponse) -> None:
    answer.headers["Eventer-API"] = API
