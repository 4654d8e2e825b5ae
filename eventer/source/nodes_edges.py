"""What each change of a Node becomes: an Event with the state it is in, the one it was in, and since when.

The ledger keeps one number and one hash of each part of a Node. In the number of a condition are its status and its
lastTransitionTime, so that an edge knows what was before it, also after a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec

from eventer.event import Event, Origin, Part, problem_key
from eventer.source.nodes_owner import condition_path, owner
from eventer.source.nodes_shapes import Condition, Taint
from eventer.source.spoken import state_of
from eventer.text import shorten

__all__ = ["MESSAGE_CAP", "About", "Edges", "in_trouble"]

MESSAGE_CAP: Final = 16 << 10
"""Bytes of a message that are kept, as of an Event's."""

_STATUSES: Final = ("", "True", "False", "Unknown")
_BITS: Final = 3
"""For a status: those above, and one more for what the API does not know but takes."""

_SILENT: Final = "DetectorSilent"
"""Told like a condition of the Node, though the API has none: that nobody renews some of its conditions."""
_NAMED: Final = 10
"""Conditions that are named of those."""

_NOBODY: Final = msgspec.Raw(b"null")


class About(NamedTuple):
    """The Node that a change is of, at one version."""

    name: str
    uid: str
    version: int
    created: datetime | None = None
    deleted: str | None = None
    fields: msgspec.Raw = _NOBODY
    """Its managedFields, encoded."""


class Edges:
    """Makes the Events of the Nodes of a cluster.

    Args:
        cluster: name that goes into every event and key.
        labels: static labels of the source.
        now: tells the API server's time, for what the API has no time of.
    """

    def __init__(self, cluster: str, labels: Mapping[str, str], now: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._labels = dict(labels)
        self._now = now

    def condition(
        self, about: About, now: Condition, was: Part | None, after: float | None, *, doubted: bool = False
    ) -> tuple[Event | None, int]:
        """Return the edge of a condition, and the number by which it is known.

        One that is new is told if it is trouble: that all is well from the beginning is no change. That it is well
        since later than `after` (seconds since 1970) is one. Where it is `doubted`, because its writer is silent,
        nobody knows whether the trouble lasts.
        """
        type_, status, reason = now.type or "", now.status or "", now.reason or ""
        since = _time(now.since)
        state = "unknown" if doubted else state_of(type_, status)
        previous, before = _unpack(was[0]) if was is not None else ("", None)
        # The latest time that was ever told: writers that quarrel, or whose clocks do, go back and come again.
        number = _pack(status, max((time for time in (since, before) if time is not None), default=None))
        if was is None and state == "resolved" and (after is None or since is None or since.timestamp() <= after):
            return None, number
        # Where its writer does not move the time, or moves it back, two edges would have one id.
        moved = before is None or (since is not None and since.replace(microsecond=0) > before)
        found = self._now() if doubted else _time(now.heartbeat)
        time = (since if moved else found) or since or about.created
        lasted = (time - before).total_seconds() if time and before and time >= before and previous != status else None
        name = f"{status}/{reason}/{now.since or ''}"
        event = self._event(
            about,
            type_,
            name if moved else f"{name}/{about.version}",
            time=time,
            reason=reason or type_,
            message=shorten(now.message or "", MESSAGE_CAP),
            state=state,
            component=owner(about.fields, condition_path(type_)),
            condition=type_,
            status=status,
            previous=previous,
            since=since,
            duration=lasted,
        )
        return event, number

    def condition_gone(self, about: About, type_: str, was: Part) -> Event | None:
        """Return the edge of a condition that the Node has no longer; None if all was well with it."""
        previous, before = _unpack(was[0])
        if state_of(type_, previous) == "resolved":
            return None
        return self._ended(
            about,
            type_,
            before,
            reason="ConditionRemoved",
            message=f"The node has no condition {type_} any more. It was {previous or 'something unknown'}.",
            condition=type_,
            previous=previous,
        )

    def silent(self, about: About, conditions: Sequence[Condition]) -> Event:
        """Return the edge of a Node of which these conditions are not renewed any more; the latest are named first."""
        ranked = sorted(conditions, key=lambda each: (not in_trouble(each), each.type or ""))
        ranked.sort(key=lambda each: each.heartbeat or "", reverse=True)
        groups: dict[str, list[str]] = {}
        for each in ranked[:_NAMED]:
            said = f"{each.type or ''} ({each.status or ''}, {each.reason or ''})"
            groups.setdefault(each.heartbeat or "", []).append(said)
        named = "; ".join(f"since {at}: {', '.join(said)}" for at, said in groups.items())
        rest = f"; and {len(ranked) - _NAMED} more" if len(ranked) > _NAMED else ""
        writer = owner(about.fields, condition_path(ranked[0].type or ""))
        message = (
            f"{writer or 'Nobody'} {'does not renew' if writer else 'renews'} these conditions of the node any more, "
            f"while its kubelet is heard of, so what they say may not hold: {named}{rest}."
        )
        return self._event(
            about,
            _SILENT,
            f"{about.version}",
            reason=_SILENT,
            message=shorten(message, MESSAGE_CAP),
            state="firing",
            component=writer,
            condition=_SILENT,
            status="True",
            since=_time(ranked[-1].heartbeat),
        )

    def heard(self, about: About, since: str) -> Event:
        """Return the edge of a Node all of whose conditions are renewed; those that were not were last at `since`."""
        return self._ended(
            about,
            _SILENT,
            _time(since),
            reason="DetectorHeard",
            message="All conditions of the node are renewed again, or those that were not are gone.",
            condition=_SILENT,
            status="False",
            previous="True",
        )

    def taint(self, about: About, now: Taint, was: Part | None) -> tuple[Event, int]:
        """Return the edge of a taint, and the number by which it is known: since when it is there."""
        since = _time(now.added) or self._now()
        text = _taint(now.key, now.effect, now.value)
        event = self._event(
            about,
            f"Taint/{_taint(now.key, now.effect)}",
            f"{text}/{about.version}",
            time=since if was is None else None,
            reason="TaintAdded" if was is None else "TaintChanged",
            message=f"The node has the taint {text}.",
            state="firing",
            component=owner(about.fields, ("f:spec", "f:taints")),
            since=since,
        )
        return event, int(since.timestamp()) if was is None else was[0]

    def taint_gone(self, about: About, name: str, was: Part) -> Event:
        """Return the edge of a taint that was removed; `name` is its key and effect."""
        message = f"The node has the taint {name} no longer."
        return self._ended(about, f"Taint/{name}", _seconds(was[0]), reason="TaintRemoved", message=message)

    def cordon(self, about: About) -> tuple[Event, int]:
        """Return the edge of a cordon, and the number by which it is known: since when it is there."""
        now = self._now()
        event = self._event(
            about,
            "Unschedulable",
            f"{about.version}",
            reason="Cordoned",
            message="The node is cordoned: it takes no new pods.",
            type="Normal",
            state="firing",
            component=owner(about.fields, ("f:spec", "f:unschedulable")),
            since=now,
        )
        return event, int(now.timestamp())

    def cordon_gone(self, about: About, was: Part) -> Event:
        """Return the edge of a cordon that is over."""
        message = "The node takes new pods again."
        return self._ended(about, "Unschedulable", _seconds(was[0]), reason="Uncordoned", message=message)

    def boot(self, about: About, boot: str) -> Event:
        """Return the edge of a start of the system of a Node."""
        message = f"The node has booted: its boot ID is {shorten(boot, 100)}, and was another before."
        return self._event(about, "Boot", boot, reason="Rebooted", message=message, type="Warning")

    def added(self, about: About) -> Event:
        """Return the edge of a Node that has come to be."""
        message = f"The node {about.name} has joined the cluster."
        return self._event(
            about, "Node", "added", time=about.created, reason="NodeAdded", message=message, since=about.created
        )

    def deleted(self, about: About) -> Event:
        """Return the edge of a Node that is gone, and all its conditions with it."""
        time = _time(about.deleted) or self._now()
        return self._event(
            about,
            "Node",
            "deleted",
            time=time,
            reason="NodeDeleted",
            message=f"The node {about.name} is gone from the cluster, and with it what was wrong with it.",
            duration=_between(about.created, time),
        )

    def _ended(self, about: About, what: str, since: datetime | None, **fields: Any) -> Event:
        now = self._now()
        lasted = _between(since, now)
        return self._event(about, what, f"gone/{about.version}", time=now, state="resolved", duration=lasted, **fields)

    def _event(self, about: About, what: str, occurrence: str, **fields: Any) -> Event:
        """Make an Event.

        Args:
            about: the Node.
            what: the part of it, whose edges are one problem, and one entity.
            occurrence: tells this edge from all others of that part.
            fields: more of the Event; without `time`, it is now.
        """
        fields.setdefault("state", "")
        fields.setdefault("type", "Normal" if fields["state"] in {"", "resolved"} else "Warning")
        fields["time"] = fields.get("time") or self._now()
        object_key = f"{self._cluster}/Node//{about.name}"
        return Event(
            id=f"{self._cluster}/{about.uid}/{what}/{occurrence}",
            cluster=self._cluster,
            origin=Origin.NODE,
            kind="Node",
            namespace="",
            name=about.name,
            node=about.name,
            uid=about.uid,
            api_version="v1",
            count=1,
            delta=1,
            labels=self._labels,
            entity=f"{about.uid}/{what}",
            version=about.version,
            object=object_key,
            problem=problem_key(object_key, what, ""),
            **fields,
        )


def in_trouble(condition: Condition) -> bool:
    """Whether a condition has the status that is trouble for its type."""
    return state_of(condition.type or "", condition.status or "") == "firing"


def _taint(key: str | None, effect: str | None, value: str | None = None) -> str:
    return f"{key or ''}{f'={value}' if value else ''}:{effect or ''}"


def _time(text: str | None) -> datetime | None:
    """Read a time of the API; None where it is none."""
    if not text:
        return None
    try:
        time = msgspec.convert(text, datetime)
    except msgspec.MsgspecError:
        return None
    return time if time.tzinfo is not None else None


def _between(start: datetime | None, end: datetime) -> float | None:
    return None if start is None else max(0.0, (end - start).total_seconds())


def _seconds(number: int) -> datetime | None:
    return datetime.fromtimestamp(number, UTC) if number > 0 else None


def _pack(status: str, since: datetime | None) -> int:
    code = _STATUSES.index(status) if status in _STATUSES else len(_STATUSES)
    return (max(0, int(since.timestamp())) if since is not None else 0) << _BITS | code


def _unpack(number: int) -> tuple[str, datetime | None]:
    code = number & (1 << _BITS) - 1
    return _STATUSES[code] if code < len(_STATUSES) else "", _seconds(number >> _BITS)
