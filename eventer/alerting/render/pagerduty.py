"""Events as PagerDuty takes them: what opens an incident, what adds to it, and what ends it.

Fields and lengths: https://developer.pagerduty.com/docs/events-api-v2/trigger-events/. An incident is a group of
problems: events with one `dedup_key` belong together, so it is made of what the group has in common, and of nothing
that changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from eventer.alerting.notification import Item, Notification, Said, Why, part
from eventer.alerting.render.message import Message, View, compose, line
from eventer.alerting.render.own import OwnWords
from eventer.alerting.render.plain import defuse

__all__ = ["KEY", "Events", "dedup_key", "events", "own_words", "shown"]

KEY: Final = 255
"""Characters of a `dedup_key`."""
_SUMMARY: Final = 1_024
"""Characters of a summary."""
_SOURCE: Final = 255
"""Characters of the other words of an event; no length of them is documented."""
_FIELDS: Final = frozenset({"cluster", "namespace", "family", "kind", "name", "node", "reason", "type", "component"})
"""What groups are by, beside labels of the source."""
_NAMED: Final = 20
"""Problems that the details name; there is room for all."""


class Events(msgspec.Struct, frozen=True):
    """What to send for a notification."""

    made: Sequence[dict[str, Any]] = ()
    """The events, without the routing key."""
    note: str = ""
    """What a person should know of it."""
    defaulted: bool = False
    """Whether the user's own words are missing somewhere, because their template failed."""


def own_words(summary: str) -> OwnWords:
    """Return words of the user's own for summaries.

    Raises:
        ValueError: see `OwnWords`.
    """
    return OwnWords(summary, "", names=("summary",), longest=4 * _SUMMARY)


def events(note: Notification, view: View) -> Events:
    """Return what to send for a notification.

    One event for each group: mostly one, of a digest as many as there are groups in it. A summary of old events makes
    none, for nobody is to be called for what is long over.

    Args:
        note: what to tell.
        view: language and zone of the details, and links.
    """
    several = note.folded or note.groups
    if note.why in {Why.SUMMARY, Why.ALIVE} or (several and not note.said):
        usual = msgspec.structs.replace(view, own=None)
        said = f"No incident is opened for a summary: {compose(note, usual).title}" if note.events else ""
        return Events(note=said)
    made: list[dict[str, Any]] = []
    faults: list[str] = []
    defaulted = False
    for each in [_of(said, note) for said in note.said] if several else [note]:
        message = compose(each, view, _NAMED) if each.goes_on else None
        made.append(_event(each, message))
        if message is not None:
            faults += message.faults
            defaulted |= message.defaulted
    return Events(made=made, note=" ".join(dict.fromkeys(faults)), defaulted=defaulted)


def shown(told: Events) -> dict[str, Any]:
    """Return events as the text of a message."""
    lines = [told.note] if told.note else []
    for event in told.made:
        payload = event.get("payload", {})
        lines.append(payload.get("summary", f"{event['event_action']} {event['dedup_key']}"))
        for name, value in payload.get("custom_details", {}).items():
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            lines.append(f"  {name}: {text}")
    return {"msgtype": "text", "text": {"content": "\n".join(lines)}}


def dedup_key(group: Mapping[str, str]) -> str:
    """Return what the events of one group have in common; no value in it can make it that of another group."""
    key = f"eventer:{msgspec.json.encode(dict(group)).decode()}"
    return key if len(key) <= KEY else f"eventer:{hashlib.sha256(key.encode()).hexdigest()}"


def _event(note: Notification, message: Message | None) -> dict[str, Any]:
    """Return the event for one group.

    Args:
        note: the group's last word.
        message: it in words; None where all is over.
    """
    key = {"dedup_key": dedup_key(note.group)}
    if message is None:
        return {"event_action": "resolve"} | key
    going = [item for item in note.items if item.ended is None]
    payload = {
        "summary": _short(defuse(message.title)),
        "source": _source(note, going),
        "severity": note.severity,
        "timestamp": datetime.fromtimestamp(min((item.since for item in going), default=note.at), UTC).isoformat(),
        "component": _common(going, "name"),
        "group": _common(going, "namespace"),
        "class": _common(going, "reason") or _common(going, "family"),
        "custom_details": _details(note, message),
    }
    links = [{"href": link.url, "text": defuse(link.name)} for link in message.links]
    return {
        "event_action": "trigger",
        "client": "Eventer",
        "payload": {name: value for name, value in payload.items() if value},
        **({"links": links} if links else {}),
        **key,
    }


def _short(summary: str) -> str:
    return summary if len(summary) <= _SUMMARY else f"{summary[: _SUMMARY - 1]}…"


def _details(note: Notification, message: Message) -> dict[str, Any]:
    """Say what a message says; PagerDuty shows the names in the order of the alphabet."""
    details: dict[str, Any] = {name: defuse(value) for name, value in message.facts}
    details |= {part.name: defuse(part.text) for part in message.parts}
    if message.problems:
        details["problems"] = [defuse(line(told)) for told in message.problems]
    if message.rest:
        details["more"] = [defuse(said) for said in message.rest]
    labels = {name: value for item in note.items[:1] for name, value in item.labels.items()}
    if labels and all(item.labels == labels for item in note.items):
        details["labels"] = {defuse(name): defuse(value) for name, value in labels.items()}
    return details


def _source(note: Notification, going: list[Item]) -> str:
    words = [_common(going, field) for field in ("cluster", "namespace", "name")] if going else []
    return defuse("/".join(filter(None, words or note.group.values())))[:_SOURCE] or "Eventer"


def _common(items: list[Item], field: str) -> str:
    """Return what all of these have in a field; empty where they differ."""
    values = {getattr(item, field) for item in items}
    return defuse(values.pop())[:_SOURCE] if len(values) == 1 else ""


def _of(said: Said, digest: Notification) -> Notification:
    """Return the last word of one group in a digest as a notification, with those of its problems that it names."""
    return part(
        digest,
        why=Why.NEW if said.firing else Why.RESOLVED,
        group=said.group,
        severity=said.severity,
        items=[item for item in digest.items if _belongs(item, said.group)],
        firing=said.firing,
        resolved=0,
        quieted=None,  # nobody counted whose it was
    )


def _belongs(item: Item, group: Mapping[str, str]) -> bool:
    return all(
        (getattr(item, field) if field in _FIELDS else item.labels.get(field, "")) == value
        for field, value in group.items()
        if field != "severity"  # a problem's can be another one than when its group began
    )
