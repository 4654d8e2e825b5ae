"""What rules say of an event, in words: `explain` and the tests of `check` speak alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from eventer.config.document import Path, dotted
from eventer.config.route import Answer, Route
from eventer.config.words import one_of
from eventer.event import Event
from eventer.match import EVENT_FIELDS, Meanings, Part
from eventer.text import escape

__all__ = ["Place", "as_json", "headline", "place", "reason", "rule_line"]

_SHOWN: Final = 80
"""Characters of a text that a line repeats."""
_LISTED: Final = 5
"""Values of a rule that a reason repeats."""

Place = Callable[[Path], int | None]
"""The line in which the value at a path stands."""


def place(path: Path, line: Place) -> str:
    """Name a rule and its line: `filter[1] (line 7)`."""
    number = line(path)
    return dotted(path) if number is None else f"{dotted(path)} (line {number})"


def headline(event: Event) -> str:
    """Name an event on one line."""
    what = f"{event.type} {event.reason}".strip() or "an event"
    about = " of" if event.kind or event.name else ""
    about += f" {event.kind}" if event.kind else ""
    if event.name:
        about += " " + "/".join(part for part in (event.namespace, event.name) if part)
    elif event.namespace:
        about += f" in namespace {event.namespace}"
    cluster = f", cluster {event.cluster}" if event.cluster else ""
    text = f": {_cut(event.message)}" if event.message else ""
    return escape(f"{what}{about}{cluster}") + text


def reason(part: Part) -> str:
    """Say in words what one field of a rule says of an event, and why."""
    field, shown, by = escape(part.field), _cut(part.text), _cut(part.by)
    has = f"{field} is {shown}" if part.text else f"{field} is empty"
    if part.by.startswith("/") and part.by != part.text:
        found = f"{field} {shown or '(empty)'} matches {by}"
        return found if part.holds else f"{found}, which the rule excludes"
    if part.holds:
        return has if part.by else f"{has}, which is not {_values(part.refused)}"
    if part.by or part.text in part.refused:
        return f"{has}, which the rule excludes"
    wants = f"{has}; the rule wants {_values(part.wanted)}"
    if part.text.casefold() in {word.casefold() for word in part.wanted}:
        return f"{wants} (capitals count)"
    return wants


def rule_line(answer: Answer, path: Path, line: Place) -> str:
    """Write a rule with its place: `filter[1] (line 7) drop {type: Normal}`."""
    action = "" if path[0] != "filter" else "keep " if answer.keeps else "drop "
    return f"{place(path, line)} {action}{escape(str(answer.rule))}"


def as_json(event: Event, route: Route, line: Place, catalog: Meanings) -> dict[str, Any]:
    """Return the same for programs."""
    decider = route.decider
    severity, family = catalog.meaning(event)
    return {
        "event": {
            "id": event.id,
            **{field: getattr(event, field) for field in EVENT_FIELDS},
            "severity": severity,
            "family": family,
        },
        "own": route.own,
        "kept": route.kept,
        "decided_by": None if decider is None else dotted(("filter", decider.index)),
        "filter": [_answer(answer, ("filter", answer.index), line) for answer in route.asked],
        "sinks": [
            {
                "name": answer.name,
                "gets": answer.name in route.sinks,
                "matches": answer.matches,
                "unsure": answer.unsure,
                "match": [_answer(each, ("sinks", answer.name, "match", each.index), line) for each in answer.asked],
            }
            for answer in route.answers
        ],
    }


def _answer(answer: Answer, path: Path, line: Place) -> dict[str, Any]:
    action = {"action": "keep" if answer.keeps else "drop"} if path[0] == "filter" else {}
    return {
        "path": dotted(path),
        "line": line(path),
        "rule": str(answer.rule),
        **action,
        "matches": answer.matches,
        "fields": [
            {"field": part.field, "text": part.text, "holds": part.holds, "why": reason(part)} for part in answer.parts
        ],
    }


def _values(values: Sequence[str]) -> str:
    if len(values) > _LISTED:
        return f"{', '.join(map(_cut, values[:_LISTED]))} or one of {len(values) - _LISTED} more"
    return one_of(_cut(value) or '""' for value in values)


def _cut(text: str) -> str:
    return escape(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
