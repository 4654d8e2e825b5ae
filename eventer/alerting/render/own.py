"""Words of one's own: templates of a user in place of a message's title, of what stands below it, or of both.

The template is the user's, and may use the markup of its chat program; what is filled in comes from strangers, and
is escaped whatever the template does with it. A template that fails on a notification costs its words, never the
message.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Final

import msgspec

from eventer.alerting.notification import Item, Notification, Why, part
from eventer.alerting.render.message import Message, View, compose
from eventer.alerting.samples import SAMPLES, sample
from eventer.catalog import Severity
from eventer.template import LIMIT, Labels, Words
from eventer.text import shorten

__all__ = ["OwnAnnotations", "OwnWords", "Problem", "alone"]

_TITLE: Final = 200
"""Bytes of a title."""
_BODY: Final = 16_000
"""Bytes of all the rest; what is too long for a chat program is shortened there."""
_GO: Final = "{% for problem in problems %}{{ problem.message }}{% endfor %}"
_GUARD: Final = (
    "templates see title, severity, why, group, firing, resolved, events, problems, parts and rest; a notification can "
    "name one problem, several or none: go through them by `{% for problem in problems %}...{% endfor %}`"
)
_GO_ALONE: Final = "{{ problem.message }}, {{ problem.labels.team }}"
_GUARD_ALONE: Final = (
    "annotations see problem, whose fields are named like `problem.message`, beside title, severity, why, group and "
    "parts; guard what may be missing by `{% if problem.ended %}` or `| default('', true)`"
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
        body: in the markup of the chat program, or plain text.
        plain: writes text of strangers as text there.
        html: the same as HTML, where a message has both.
        entities: writes text of strangers as text in HTML.
        names: what the three are called in the configuration.
        longest: bytes of a title.
        room: bytes of all the rest.

    Raises:
        ValueError: one of them cannot be compiled, or fails on an example; the message says which, and what to do.
    """

    def __init__(
        self,
        title: str,
        body: str,
        plain: Callable[[str], str] = str,
        *,
        html: str = "",
        entities: Callable[[str], str] = str,
        names: Sequence[str] = ("title", "body", "html"),
        longest: int = _TITLE,
        room: int = _BODY,
    ) -> None:
        examples = _examples() if title or body or html else {}
        self._title = self._body = self._html = None
        if title:
            check = _one_line(longest)
            self._title = _OneText(names[0], title, examples, check=check, limit=8 * longest)
        if body:
            self._body = _OneText(names[1], body, examples, limit=room, plain=plain)
        if html:
            self._html = _OneText(names[2], html, examples, limit=room, plain=entities)

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
            made = msgspec.structs.replace(made, title=self._title.fill(variables))
        if self._body is not None:
            body = self._body.fill(variables)
            made = msgspec.structs.replace(made, body=body, facts=(), problems=(), parts=(), rest=())
        if self._html is not None:
            made = msgspec.structs.replace(made, html=self._html.fill(variables))
        return made


class OwnAnnotations:
    """Templates for the annotations of alerts, each of which is of one problem.

    They are plain text: what is markup in it is up to whoever shows an alert.

    Args:
        texts: the templates, by the name of the annotation.

    Raises:
        ValueError: one of them cannot be compiled, or fails on an example; the message says which, and what to do.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        examples = _examples_alone() if texts else {}
        self._texts = {
            name: _OneText(f"annotations.{name}", text, examples, guard=_GUARD_ALONE, go=_GO_ALONE, limit=LIMIT)
            for name, text in texts.items()
        }

    def __call__(self, note: Notification, message: Message, zone: tzinfo) -> tuple[dict[str, str], list[str]]:
        """Return the annotations of one alert, and why others are missing, in a sentence each.

        Args:
            note: what is told, of one problem.
            message: it in the usual words.
            zone: of all times.
        """
        if not self._texts:
            return {}, []
        variables = _variables_alone(note, message, zone)
        found: dict[str, str] = {}
        faults = []
        for name, text in self._texts.items():
            try:
                found[name] = text.fill(variables)
            except ValueError as error:
                faults.append(str(error))
        return found, faults


class _OneText:
    """One template, and what it is called in the configuration."""

    def __init__(
        self,
        option: str,
        text: str,
        examples: Mapping[str, Mapping[str, object]],
        *,
        guard: str = _GUARD,
        go: str = _GO,
        check: Callable[[str], str] = str.strip,
        limit: int,
        plain: Callable[[str], str] = str,
    ) -> None:
        self._option = option
        try:
            self._words = Words(
                text, examples, guard, {"a problem": Problem}, go, check=check, limit=limit, plain=plain
            )
        except ValueError as error:
            raise ValueError(f"{option}: {error}") from None

    def fill(self, variables: Mapping[str, object]) -> str:
        """Fill it in.

        Raises:
            ValueError: it fails on these; the message says which it is.
        """
        try:
            return self._words.fill(variables)
        except ValueError as error:
            raise ValueError(
                f"The template `{self._option}` fails on a notification, which went out in the usual words: {error}."
            ) from None


def _one_line(longest: int) -> Callable[[str], str]:
    def check(text: str) -> str:
        title = " ".join(text.split())
        if not title:
            raise ValueError("the result is empty, and a message needs a title; write some words that are always there")
        return shorten(title, longest)

    return check


@functools.cache
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


@functools.cache
def _examples_alone() -> dict[str, Mapping[str, object]]:
    found: dict[str, Mapping[str, object]] = {}
    for name in SAMPLES:
        note = sample(name, "prod", 1_800_000_000.0)
        for item in note.items[:1]:
            told = alone(note, msgspec.structs.replace(item, labels=Labels()))
            found[f"the sample {name}"] = _variables_alone(told, compose(told, View()), UTC)
    return found


def alone(note: Notification, item: Item) -> Notification:
    """Return what a notification tells of one of its problems."""
    return part(
        note,
        severity=item.severity,
        items=[item],
        firing=int(item.ended is None),
        resolved=int(item.ended is not None),
        events=item.count,
        quieted=item.quieted,
    )


def _variables_alone(note: Notification, message: Message, zone: tzinfo) -> dict[str, object]:
    return _variables(note, message, note.items, zone) | {"problem": _problem(note.items[0], zone)}


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
