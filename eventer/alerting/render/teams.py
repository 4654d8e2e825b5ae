"""An Adaptive Card, as a workflow of Microsoft Teams takes it.

Body: https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using; limit:
https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook. What strangers
wrote stands in a TextRun, which knows no Markdown (https://learn.microsoft.com/adaptive-cards/schema-explorer/text-run),
and not in a TextBlock or a FactSet, which do. All of them evaluate `{{DATE(...)}}`
(https://learn.microsoft.com/adaptive-cards/authoring-cards/text-features). A mention needs a TextBlock, and an entity
with the same text: https://learn.microsoft.com/microsoftteams/platform/task-modules-and-cards/cards/cards-format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from eventer.alerting.notification import Notification
from eventer.alerting.render.message import Mentions, Message, Part, Told, View, fit
from eventer.alerting.render.plain import APART, defuse

__all__ = ["KEPT", "LEAST", "LIMIT", "payload", "plain"]

LIMIT: Final = 28_000
"""Bytes of a request's body: 28 KB."""
KEPT: Final = 26_000
"""Bytes that are used of it: the workflow adds what it needs to post the card."""
LEAST: Final = 2_000
"""Bytes into which a card always fits."""
ACTIONS: Final = 6
"""Buttons in a row; more are not shown."""
_EVALUATED: Final = re.compile(r"\{(?=\{)|<")
_MARKDOWN: Final = re.compile(r"[\\*_\[\]`~{]")
_LISTED: Final = re.compile(r"^\s*(?:[-+]|\d+[.)])")
_STYLES: Final = {"critical": "attention", "warning": "warning", "info": "accent", "resolved": "good"}


def payload(note: Notification, view: View, most: int = KEPT) -> dict[str, Any]:
    """Put a notification into the body of a request.

    Args:
        note: what to tell.
        view: for whom; users are sign-in names, or object ids of Entra.
        most: bytes that the body may have; `LEAST` or more.
    """
    return fit(note, view, _write, lambda made: len(msgspec.json.encode(made)) <= most)


def _write(message: Message) -> dict[str, Any]:
    users = list(message.mentions.users)
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": list(_body(message)),
        "msteams": {"width": "Full", "entities": [_entity(user) for user in users]},
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _body(message: Message) -> Iterator[dict[str, Any]]:
    title = _rich(_run(message.title, weight="Bolder", size="Medium"))
    yield {"type": "Container", "style": _STYLES[message.colour], "bleed": True, "items": [title]}
    if message.body:
        yield {"type": "TextBlock", "wrap": True, "text": message.body}
    if message.facts:
        facts = [_rich(_run(f"{name}  ", isSubtle=True), _run(value)) for name, value in message.facts]
        yield _close(facts)
    if message.problems:
        yield _close([_problem(told) for told in message.problems])
    if message.rest:
        yield _close([_rich(_run(said, isSubtle=True)) for said in message.rest])
    for part in message.parts:
        yield _close(list(_part(part)))
    if message.mentions:
        yield {"type": "TextBlock", "wrap": True, "text": _called(message.mentions)}
    buttons = [{"type": "Action.OpenUrl", "title": _plain(link.name), "url": link.url} for link in message.links]
    for first in range(0, len(buttons), ACTIONS):
        yield {"type": "ActionSet", "actions": buttons[first : first + ACTIONS]}


def _problem(told: Told) -> dict[str, Any]:
    said = [_run(f": {told.message}", isSubtle=True)] if told.message else []
    return _rich(_run(f"{told.mark} {told.reason}", weight="Bolder"), _run(f" {told.name}{told.times}"), *said)


def _part(part: Part) -> Iterator[dict[str, Any]]:
    if part.code:
        yield _rich(_run(part.name, weight="Bolder"))
        code = _rich(_run(part.text, fontType="Monospace", size="Small"))
        yield {"type": "Container", "style": "emphasis", "spacing": "Small", "items": [code]}
    else:
        yield _rich(_run(f"{part.name}  ", weight="Bolder"), _run(part.text))


def _close(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what belongs together, with less room between than around."""
    for item in items[1:]:
        item["spacing"] = "Small"
    return {"type": "Container", "items": items}


def _rich(*runs: dict[str, Any]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": list(runs)}


def _run(text: str, **style: Any) -> dict[str, Any]:
    return {"type": "TextRun", "text": _plain(text), **style}


def _called(who: Mentions) -> str:
    return " ".join(f"<at>{user}</at>" for user in who.users)


def _entity(user: str) -> dict[str, Any]:
    return {"type": "mention", "text": f"<at>{user}</at>", "mentioned": {"id": user, "name": user}}


def _plain(text: str) -> str:
    """Return text of strangers as text within a TextRun: no function in it is evaluated, nobody is mentioned."""
    return _EVALUATED.sub(lambda match: match[0] + APART, defuse(text))


def plain(text: str) -> str:
    """Return text of strangers as text within the Markdown of a TextBlock."""
    text = _MARKDOWN.sub(lambda match: APART + match[0] + APART, _plain(text))
    return _LISTED.sub(lambda match: match[0] + APART, text)
