"""Alerts as Prometheus' Alertmanager takes them: one for each problem.

To Alertmanager an alert is its labels: with one value that changes, it is another alert. So labels say what a problem
is, annotations say how it stands (https://prometheus.io/docs/alerting/latest/clients/). An alert goes on until its
`endsAt`, which is moved on by posting it again: what nobody posts any more ends by itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

import msgspec

from eventer.alerting.notification import Item, Notification, Why
from eventer.alerting.render.message import Message, View, compose
from eventer.alerting.render.own import OwnAnnotations, alone
from eventer.alerting.render.words import heading, left_out, name_of, times, title
from eventer.text import escape, shorten

__all__ = ["LABEL", "OURS", "Alert", "Alerts", "Own", "alerts", "shown"]

LABEL: Final = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
"""What every version takes as the name of a label or an annotation; two underscores in front are Prometheus' own
(https://prometheus.io/docs/concepts/data_model/)."""
OURS: Final = (
    *("alertname", "severity", "cluster", "namespace", "kind", "name", "node", "container", "reason", "family"),
)
"""Labels that Eventer sets."""
_VALUE: Final = 512
"""Bytes of a label's value. It is cut at a place that depends on nothing but the value."""
_WRONG: Final = re.compile(r"[^a-zA-Z0-9_]")
_ALIVE: Final = "EventerHeartbeat"
_REST: Final = "EventerMoreProblems"
_OLD: Final = "EventerOldEvents"


class Alert(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={"starts_at": "startsAt", "ends_at": "endsAt", "url": "generatorURL"},
):
    """One alert, as it is posted (https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml)."""

    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: str
    ends_at: str
    url: str = ""
    """Where to look."""

    @property
    def what(self) -> str:
        """What it tells, in a few words."""
        return self.annotations.get("summary", self.labels["alertname"])


class Own(msgspec.Struct, frozen=True):
    """What the user puts on alerts."""

    labels: Mapping[str, str] = {}
    """On each alert."""
    annotations: OwnAnnotations = OwnAnnotations({})
    """On each alert of a problem, before ours."""


class Alerts(msgspec.Struct, frozen=True):
    """What to post for a notification."""

    made: Sequence[Alert]
    note: str
    """What a person should know of it; mostly nothing."""
    defaulted: bool
    """Whether annotations of the user's own are missing somewhere, because their template failed."""


def alerts(note: Notification, view: View, own: Own, now: float, until: float) -> Alerts:
    """Return the alerts that a notification tells of.

    Problems that it counts and does not name become one alert together: those that go on are posted by themselves as
    soon as their group speaks again, and those that are over end when nobody posts them any more.

    Args:
        note: what to tell.
        view: language and zone of the annotations, and links.
        own: labels and annotations of the user.
        now: seconds since 1970.
        until: when an alert is to end that is not posted again, seconds since 1970.
    """
    faults: list[str] = []
    failed: list[str] = []
    made = []
    for item in note.items:
        message = compose(alone(note, msgspec.structs.replace(item, ended=None)), view)  # what it means stays the same
        mine, why = own.annotations(*_as_it_is(item, note, message, view), view.zone)
        made.append(_problem(item, message, view, own.labels, mine, now, until))
        faults += message.faults
        failed += why
    named = sum(item.ended is None for item in note.items)
    if note.why is Why.ALIVE:
        made.append(_other(_ALIVE, note, view, own.labels, now, until))
    elif note.why is Why.SUMMARY:
        made.append(_other(_OLD, note, view, own.labels, now, until))
    elif note.firing > named or note.untracked:
        made.append(_other(_REST, note, view, own.labels, now, until))
    return Alerts(made, " ".join(dict.fromkeys([*faults, *failed])), bool(failed))


def shown(note: Notification, told: Alerts, view: View) -> tuple[Message, dict[str, Any]]:
    """Return alerts as a message for people, and as the text of one."""
    lines = []
    for alert in told.made:
        lines.append(", ".join(f"{name}={value}" for name, value in alert.labels.items()))
        lines += [f"  {name}: {escape(text)}" for name, text in alert.annotations.items()]
    usual = compose(note, view)
    message = Message(title=usual.title, colour=usual.colour, body="\n".join(lines), faults=[told.note])
    return message, {"msgtype": "text", "text": {"content": f"{usual.title}\n{message.body}"}}


def _as_it_is(item: Item, note: Notification, message: Message, view: View) -> tuple[Notification, Message]:
    """Return what templates are to see of a problem: also that it is over."""
    told = alone(note, item)
    if item.ended is not None:
        over = compose(told, view)
        message = msgspec.structs.replace(message, title=over.title, colour=over.colour)
    return told, message


def _problem(
    item: Item,
    message: Message,
    view: View,
    own: Mapping[str, str],
    mine: Mapping[str, str],
    now: float,
    until: float,
) -> Alert:
    labels = {
        "alertname": item.reason,
        "severity": item.severity,
        "cluster": item.cluster,
        "namespace": item.namespace,
        "kind": item.kind,
        "name": item.name,
        "node": item.node,
        "container": item.container,
        "reason": item.reason,
        "family": item.family,
    }
    said = {part.name: part.text for part in message.parts}
    means, remedy, causes, command, runbook = (
        heading(word, view.language) for word in ("means", "remedy", "causes", "command", "runbook")
    )
    links = {link.name: link.url for link in message.links}
    url = next(iter(links.values()), "") if view.links else ""
    about = [item.message, said.get(means, ""), *(f"{word}: {said[word]}" for word in (remedy, causes) if word in said)]
    about += message.rest
    annotations = links | {
        "summary": f"{item.reason} · {name_of(item)}{times(item)}",
        "description": "\n".join(filter(None, about)),
        "message": item.message,
        "count": str(item.count),
        "first_seen": _moment(item.since, view.zone),
        "last_seen": _moment(item.last, view.zone),
        "owner": item.owner,
        "component": item.component,
        "meaning": said.get(means, ""),
        "remedy": said.get(remedy, said.get(causes, "")),
        "command": said.get(command, ""),
        "runbook_url": links.pop(runbook, ""),
        **mine,
    }
    since = min(item.since, now)
    return Alert(
        labels=_labels(item.labels, labels, own),
        annotations={name: text for name, text in annotations.items() if text},
        starts_at=_moment(since, UTC),
        ends_at=_moment(until if item.ended is None else max(since, min(item.ended, now)), UTC),
        url=url,
    )


def _other(name: str, note: Notification, view: View, own: Mapping[str, str], now: float, until: float) -> Alert:
    """Return the alert for what is told by number."""
    labels = {"alertname": name, "severity": note.severity}
    said = left_out(note, note.items, view.language)
    annotations = {"summary": title(note, view.language), "description": "\n".join(said)}
    return Alert(
        labels=_labels(note.group, labels, own),
        annotations={name: text for name, text in annotations.items() if text},
        starts_at=_moment(min(note.at, now), UTC),
        ends_at=_moment(until, UTC),
    )


def _labels(given: Mapping[str, str], ours: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Put labels together: those of the user before ours, and ours before those of the source or the group."""
    found = {_name(name): value for name, value in given.items()} | dict(ours) | dict(own)
    return {name: shorten(value, _VALUE) for name, value in found.items() if value}


def _name(name: str) -> str:
    """Return a name of which every version takes, as Prometheus makes one of a label of Kubernetes."""
    made = _WRONG.sub("_", name).lstrip("_") or "label"
    return f"_{made}" if made[0].isdigit() else made


def _moment(at: float, zone: tzinfo) -> str:
    return datetime.fromtimestamp(at, zone).isoformat(timespec="milliseconds" if zone is UTC else "seconds")
