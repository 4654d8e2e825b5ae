"""Words of one's own: templates of a user in place of a message's title, of what stands below it, or of both.

The template is the user's, and may use the markup of its chat program; what is filled in comes from strangers, and
is escaped whatever the template does with it. A template that fails on a notification costs its words, never the
message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Final

import msgspec

from eventer.alerting.notification import Item, Notification, Why
from eventer.alerting.render.message import Message, View, compose
from eventer.alerting.samples import SAMPLES, sample
from eventer.catalog import Severity
from eventer.template import Labels, Words
from eventer.text import shorten

__all__ = ["OwnWords", "Problem"]

_TITLE: Final = 200
"""Bytes of a title."""
_BODY: Final = 16_000
"""Bytes of all the rest; what is too long for a chat program is shortened there."""
_GO: Final = "{% for problem in problems %}{{ problem.message }}{% endfor %}"
_GUARD: Final = (
    "templates see title, severity, why, group, firing, resolved, events, problems, parts and rest; a notification can "
    "name one problem, several or none: go through them by `{% for problem in problems %}...{% endfor %}`"
)


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One problem, as templates see it."""

    cluster: str
    kind: str
    namespace: str
    name: str
    container: str
    node: str
    owner: str
    component: str
    reason: str
    severity: Severity
    family: str
    message: str
    labels: Mapping[str, str]
    count: int
    returns: int
    since: datetime
    last: datetime
    ended: datetime | None


class OwnWords:
    """Templates for the title and what stands below it; an empty one changes nothing.

    Args:
        title: plain text.
        body: in the markup of the chat program.
        plain: writes text of strangers as text there.

    Raises:
        ValueError: one of them cannot be compiled, or fails on an example; the message says which, and what to do.
    """

    def __init__(self, title: str, body: str, plain: Callable[[str], str] = str) -> None:
        self._title = _compiled("title", title, _one_line, 8 * _TITLE, str)
        self._body = _compiled("body", body, str.strip, _BODY, plain)

    def __call__(self, note: Notification, message: Message, named: Sequence[Item], zone: tzinfo) -> Message:
        """Return the message in these words.

        Args:
            note: what is told.
            message: it in the usual words.
            named: problems that it names.
            zone: of all times.

        Raises:
            ValueError: a template fails; the message says which.
        """
        variables = _variables(note, message, named, zone)
        made = message
        if self._title is not None:
            made = msgspec.structs.replace(made, title=_fill("title", self._title, variables))
        if self._body is not None:
            body = _fill("body", self._body, variables)
            made = msgspec.structs.replace(made, body=body, facts=(), problems=(), parts=(), rest=())
        return made


def _compiled(
    what: str, text: str, check: Callable[[str], str], limit: int, plain: Callable[[str], str]
) -> Words | None:
    if not text:
        return None
    try:
        return Words(text, _examples(), _GUARD, {"a problem": Problem}, _GO, check=check, limit=limit, plain=plain)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None


def _fill(what: str, words: Words, variables: Mapping[str, object]) -> str:
    try:
        return words.fill(variables)
    except ValueError as error:
        raise ValueError(
            f"The template `{what}` fails on a notification, which went out in the usual words: {error}."
        ) from None


def _one_line(text: str) -> str:
    title = " ".join(text.split())
    if not title:
        raise ValueError("the result is empty, and a message needs a title; write some words that are always there")
    return shorten(title, _TITLE)


def _examples() -> dict[str, Mapping[str, object]]:
    told = {f"the sample {name}": sample(name, "prod", 1_800_000_000.0) for name in SAMPLES}
    told["a summary of old events, which names no problem"] = Notification(
        number=1, why=Why.SUMMARY, at=1_800_000_000.0, group={}, severity="info", events=3, reasons={"BackOff": 3}
    )
    return {
        what: _variables(
            note,
            compose(note, View()),
            [msgspec.structs.replace(item, labels=Labels()) for item in note.items],
            UTC,
        )
        for what, note in told.items()
    }


def _variables(note: Notification, message: Message, named: Sequence[Item], zone: tzinfo) -> dict[str, object]:
    return {
        "title": message.title,
        "severity": message.colour,
        "why": note.why.value,
        "group": Labels(note.group),
        "firing": note.firing,
        "resolved": note.resolved,
        "events": note.events,
        "problems": [_problem(item, zone) for item in named],
        "parts": [{"name": part.name, "text": part.text} for part in message.parts],
        "rest": list(message.rest),
    }


def _problem(item: Item, zone: tzinfo) -> Problem:
    def moment(at: float) -> datetime:
        return datetime.fromtimestamp(at, zone)

    return Problem(
        cluster=item.cluster,
        kind=item.kind,
        namespace=item.namespace,
        name=item.name,
        container=item.container,
        node=item.node,
        owner=item.owner,
        component=item.component,
        reason=item.reason,
        severity=item.severity,
        family=item.family,
        message=item.message,
        labels=item.labels,
        count=item.count,
        returns=item.returns,
        since=moment(item.since),
        last=moment(item.last),
        ended=None if item.ended is None else moment(item.ended),
    )
