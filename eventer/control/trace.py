"""Where one Event went: its occurrences that the journal still holds, and what became of each at every sink."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from aiohttp import web

from eventer.alerting.quieted import quieted_by
from eventer.alerting.render.words import kept_quiet
from eventer.control.report import Traced
from eventer.control.view import View
from eventer.event import Outcome, decode_lines
from eventer.journal.trace import Kept

__all__ = ["routes"]

AT_ONCE: Final = 2_000
SIZE: Final = 1 << 20
"""Events, and bytes of them, looked at before others get their turn."""


def routes(view: View) -> list[web.AbstractRouteDef]:
    """Return the route."""

    async def get_trace(request: web.Request) -> web.StreamResponse:
        """One `Traced` a line, in order of the log; an empty line after each piece that was looked at.

        Query: `uid`, of an Event, or of the object that it is about.
        """
        uid = request.query.get("uid", "")
        if not uid:
            raise web.HTTPBadRequest(text="uid is missing")
        journal = view.journal
        answer = web.StreamResponse(headers={"Content-Type": "application/jsonl"})
        await answer.prepare(request)
        mark, found = uid.encode(), set[str]()
        quieted = await _quieted(view)
        letters = {(letter.reader, letter.number): letter for letter in await journal.kept(uid)}
        cursor, end = await journal.oldest(), journal.head
        while cursor < end:
            piece = await journal.read(cursor, AT_ONCE, SIZE)
            for offset, line in enumerate(piece.lines, piece.first):
                if mark in line:
                    (event,) = decode_lines([line])
                    if uid not in {event.entity, event.uid}:
                        continue
                    if event.entity not in found:
                        found.add(event.entity)
                        letters |= {(kept.reader, kept.number): kept for kept in await journal.kept(event.entity)}
                    at = piece.appended(offset - piece.first)
                    sinks = {name: _state(view, name, offset, letters) for name in view.runners}
                    quiet = {name: said[event.object] for name, said in quieted.items() if event.object in said}
                    traced = Traced(offset=offset, at=at, event=msgspec.Raw(line), sinks=sinks, quieted=quiet)
                    await answer.write(_line(traced))
            cursor = piece.end
            await answer.write(b"\n")
        begin = await journal.oldest()
        for (name, number), kept in sorted(letters.items()):
            if number < begin and kept.event:
                sinks = {name: _state(view, name, number, letters)}
                await answer.write(_line(Traced(offset=number, at=None, event=msgspec.Raw(kept.event), sinks=sinks)))
        return answer

    return [web.get("/v1/trace", get_trace)]


def _line(traced: Traced) -> bytes:
    return msgspec.json.encode(traced) + b"\n"


async def _quieted(view: View) -> dict[str, dict[str, str]]:
    """Return, for each sink that notifies, what the problems of objects keep quiet, in words."""
    found = {}
    for name in view.journal.alerting.readers:
        stored = await view.journal.alerting.remembered(name)
        kept = quieted_by(stored) if stored is not None else {}
        found[name] = {about: sentence for about, each in kept.items() for sentence in kept_quiet(each, "en")}
    return found


def _state(view: View, name: str, offset: int, letters: Mapping[tuple[str, int], Kept]) -> str:
    """Say what became of an event at a sink, as far as the journal knows: it counts outcomes, and keeps letters."""
    kept = letters.get((name, offset))
    if kept is not None:
        why = f": {kept.reason}. {kept.answer}".rstrip(". ") if kept.reason else ""
        words = {Outcome.DEAD: "a dead letter", Outcome.PARKED: "parked, to be sent later"}
        return f"{words.get(kept.state, str(kept.state))}{why}"
    journal = view.journal
    reader = journal.readers.get(name) or journal.alerting.readers[name]
    if offset < reader.origin:
        return "came before this sink began"
    return "waits" if offset >= reader.cursor else "passed"
