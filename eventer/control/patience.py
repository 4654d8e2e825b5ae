"""Answers that may take long: while they do, the daemon says that it lives."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any, Final

import msgspec
from aiohttp import web

from eventer.control.socket import reply
from eventer.errors import EventerError

__all__ = ["SIGN", "in_time"]

SIGN: Final = 3.0
"""Seconds between signs of life; below the patience of commands."""


async def in_time(request: web.Request, work: Awaitable[Any]) -> web.StreamResponse:
    """Answer with what some work returns, which goes on even if nobody waits for it any more.

    Blanks before the JSON keep the command waiting. What fails after the first of them is in the
    answer under `error`, since its status is sent by then.
    """
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be there to be told
    done, _ = await asyncio.wait({task}, timeout=SIGN)
    if done:
        return reply(task.result())
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    await answer.prepare(request)
    while not done:
        await answer.write(b"\n")
        done, _ = await asyncio.wait({task}, timeout=SIGN)
    result: Any
    try:
        result = task.result()
    except EventerError as error:
        result = {"error": str(error)}
    with contextlib.suppress(ConnectionError):
        await answer.write(msgspec.json.encode(result))
    return answer
