"""What commands may ask of dead letters, and decide on them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from aiohttp import web

from eventer.control.dead import encode
from eventer.control.patience import in_time
from eventer.control.view import View
from eventer.delivery.desk import Decided, Decision, decide
from eventer.errors import EventerError
from eventer.journal.notes import LETTERS

__all__ = ["routes"]

AT_ONCE: Final = 200
"""Letters in one look at the file: it is looked at by the same thread as look-ups and backlogs."""


_Number = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
"""What a number of a letter can be; a larger one is more than the journal can even be asked for."""


def routes(view: View) -> list[web.AbstractRouteDef]:
    """Return the routes: see each handler."""

    async def get_letters(request: web.Request) -> web.StreamResponse:
        """Dead letters as lines of JSON, by sink and number; `sink` names one. See `eventer.control.dead`."""
        answer = web.StreamResponse(headers={"Content-Type": "application/jsonl"})
        await answer.prepare(request)
        after = ("", -1)
        while letters := await view.journal.dead_letters(after, AT_ONCE, request.query.get("sink")):
            await answer.write(b"".join(encode(letter) + b"\n" for letter in letters))
            after = (letters[-1].reader, letters[-1].number)
        return answer

    async def post_decision(request: web.Request) -> web.StreamResponse:
        """Retry or drop the letters that the body names, as sink: numbers; says what became of each sink's."""
        try:
            decision = Decision(request.match_info["decision"])
            named = msgspec.json.decode(await request.read(), type=dict[str, list[_Number]])
        except (ValueError, msgspec.MsgspecError):
            raise web.HTTPBadRequest(text="this is no decision on letters") from None
        return await in_time(request, _decide(view, decision, named))

    return [web.get("/v1/letters", get_letters), web.post("/v1/letters/{decision}", post_decision)]


async def _decide(view: View, decision: Decision, named: Mapping[str, list[int]]) -> dict[str, Decided]:
    async def one(name: str, numbers: list[int]) -> Decided:
        if name.startswith("intake:"):
            return await decide(view.journal, name, decision, numbers)
        runner = view.runners.get(name.removeprefix(LETTERS))
        if runner is None or runner.letters != name:
            raise EventerError(f"There is no sink {name} at this moment. Look at eventer status, and ask again.")
        return await runner.desk.ask(decision, numbers)

    results = await asyncio.gather(*(one(*each) for each in named.items()), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return {name: result for name, result in zip(named, results, strict=True) if isinstance(result, Decided)}
