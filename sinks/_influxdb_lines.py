"""Events as points of InfluxDB, in line protocol: which tags, which fields, at which time.

What makes a point itself are measurement, tags and time; a second one with the same takes the place of
the first, in silence (https://docs.influxdata.com/influxdb/v2/write-data/best-practices/duplicate-points/).
Kubernetes tells times in whole seconds, so the nanoseconds come from the hash of the event's `id`: what is
sent again meets its first copy, and different events of one second stay apart.

Tags are what a server keeps an index of, one series for each combination. So they are fields of few values,
and each is capped; everything else is a field of the point.

Escapes are those of https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from operator import attrgetter
from typing import Any, Final, Literal, TypeAlias

import msgspec

from eventer.errors import Rejected
from eventer.event import Event
from eventer.layout import Column, Layout
from eventer.sink import Batch

__all__ = ["MORE", "TAGS", "LayoutName", "Lines", "check_names", "default_tags", "escaped", "nanoseconds"]

LayoutName: TypeAlias = Literal["eventer", "kube-eventer"]

SECOND: Final = 1_000_000_000
EARLIEST: Final = -9_223_372_036
LATEST: Final = 9_223_372_035
"""Seconds since 1970 between which every nanosecond is a time that InfluxDB has: years 1677 to 2262."""
LONGEST_TAG: Final = 256
"""Characters of a tag's value; the name of an object may have 253."""
MORE: Final = "(more)"
"""Stands for the value of a tag that has as many as it may have."""
REMEMBERED: Final = 20_000
"""Combinations of tags that are kept encoded."""

TAGS: Final = ("cluster", "origin", "type", "reason", "kind", "namespace", "component", "node", "condition", "status")
"""Fields of an event of which there are few values in a cluster; labels of the source are, too."""
_USUAL: Final = ("cluster", "namespace", "kind", "type", "reason", "component")
_OTHERS: Final = (
    *("action", "api_version", "cause", "event", "field_path", "instance", "message", "name", "object", "previous"),
    *("problem", "state", "uid", "entity", "id"),
)
_KUBE_EVENTER: Final = {"cluster": "cluster_name", "namespace": "namespace_name", "node": "hostname"}
"""How kube-eventer calls them
(https://github.com/AliyunContainerService/kube-eventer/blob/master/sinks/influxdb/influxdb.go)."""
_RESERVED: Final = frozenset({"time", "_time", "_measurement", "_field"})
_UNWANTED: Final = re.compile(r"[\x00-\x1f\x7f\\]")
"""What the value of a tag cannot hold: a line break ends the point, a backslash escapes what follows it."""
_MARKS: Final = str.maketrans({",": r"\,", "=": r"\=", " ": r"\ "})


def default_tags(layout: LayoutName) -> tuple[str, ...]:
    """Return the tags of a layout, where none are chosen."""
    return (*_USUAL, "node") if layout == "kube-eventer" else _USUAL


def escaped(name: str) -> str:
    """Return a measurement, a tag or the name of a field as it stands in a line."""
    return _UNWANTED.sub("_", name).translate(_MARKS)


def check_names(tags: Sequence[str], columns: Mapping[str, Column], layout: LayoutName) -> None:
    """Check tags, and the names of the user's own fields.

    Raises:
        ValueError: with the remedy.
    """
    for tag in tags:
        label = tag.removeprefix("labels.")
        if tag not in TAGS and (label == tag or not label):
            raise ValueError(
                f"tags: {tag[:60]!r} can be no tag, for each of its values would be a series of its own; it is a field "
                f"of the point. Write some of {', '.join(TAGS)} or labels.NAME"
            )
        if label != tag and (label in {*TAGS, *_OTHERS, "count", "delta", "version", "last", "first"} | _RESERVED):
            raise ValueError(f"tags: a label named {label!r} would hide a field of that name; leave it out")
    if len(set(tags)) < len(tags):
        raise ValueError("tags: one of them stands there twice; leave the second out")
    named = {_tag_name(tag, layout) for tag in tags}
    for name in columns:
        if name in _RESERVED or not name or _UNWANTED.search(name):
            raise ValueError(f"fields: InfluxDB knows no field named {name[:60]!r}; take another name")
        if name in named:
            raise ValueError(f"fields: {name[:60]!r} is the name of a tag, too; take another one, or choose other tags")


def nanoseconds(event: Event) -> int:
    """Return the time of a point: the second of the event, and within it a place that comes from its id.

    Raises:
        Rejected: no InfluxDB has such a time.
    """
    seconds = int(event.time.timestamp() // 1)
    if not EARLIEST < seconds < LATEST:
        raise Rejected(
            f"The event says that it happened in the year {event.time.year}; InfluxDB knows 1678 to 2261.",
            reason="time",
        )
    place = int.from_bytes(blake2b(event.id.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
    return seconds * SECOND + place % SECOND


class Lines:
    """Makes points of events.

    Args:
        measurement: what the points are of.
        layout: `eventer` or `kube-eventer`.
        tags: fields of an event, or labels, that become tags.
        most: values that a tag may have, of those seen since the start.
        columns: fields of the user's own, in place of a layout; empty without.
    """

    def __init__(
        self, measurement: str, layout: LayoutName, tags: Sequence[str], most: int, columns: Mapping[str, Column]
    ) -> None:
        self._measurement = escaped(measurement)
        self._names = sorted(tags, key=lambda tag: _tag_name(tag, layout))  # in this order servers need not sort them
        self._keys = [escaped(_tag_name(tag, layout)) for tag in self._names]
        self._tags = [_getter(tag) for tag in self._names]
        self._most = most
        self._seen: list[set[str]] = [set() for _ in tags]
        self._heads: dict[tuple[str, ...], tuple[str, str]] = {}
        if columns:
            self._fields = _own(columns)
        else:
            self._fields = _kube_eventer if layout == "kube-eventer" else _flat(tags)
        self.full: set[str] = set()
        """Tags that have as many values as they may have, and were asked to have more."""

    def of(self, batch: Batch) -> tuple[list[str], list[int], dict[int, Rejected]]:
        """Return a line for each event, their times, and which events cannot be a point.

        Lines and times are those of the others, in their order.

        Raises:
            Rejected: an event cannot be decoded.
        """
        lines: list[str] = []
        times: list[int] = []
        failed: dict[int, Rejected] = {}
        heads, tags, fields = self._heads, self._tags, self._fields
        try:
            for place, event in enumerate(batch.events):
                try:
                    time = nanoseconds(event)
                except Rejected as error:
                    failed[place] = error
                    continue
                values = tuple([get(event) for get in tags])
                head = heads.get(values) or self._head(values)
                lines.append(f"{head[0]} {fields(event)}{head[1]} {time}")
                times.append(time)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise Rejected("An event in the batch cannot be decoded.", reason="decode") from None
        return lines, times, failed

    def _head(self, values: tuple[str, ...]) -> tuple[str, str]:
        """Encode measurement and tags, and name the values that did not get a series of their own."""
        pieces = [self._measurement]
        capped: list[str] = []
        for name, key, value, seen in zip(self._names, self._keys, values, self._seen, strict=True):
            told = _UNWANTED.sub(" ", value[:LONGEST_TAG]).strip()
            if not told:
                continue
            if told not in seen:
                if len(seen) >= self._most:
                    capped.append(f"{name}={told}")
                    self.full.add(name)
                    told = MORE
                else:
                    seen.add(told)
            pieces.append(f"{key}={told.translate(_MARKS)}")
        if len(self._heads) >= REMEMBERED:
            self._heads.clear()
        head = ",".join(pieces), f",capped={_text('; '.join(capped))}" if capped else ""
        self._heads[values] = head
        return head


def _tag_name(tag: str, layout: LayoutName) -> str:
    name = tag.removeprefix("labels.")
    return _KUBE_EVENTER.get(name, name) if layout == "kube-eventer" else name


def _getter(tag: str) -> Callable[[Event], str]:
    if tag.startswith("labels."):
        label = tag.removeprefix("labels.")
        return lambda event: event.labels.get(label, "")
    return attrgetter(tag)


def _text(value: str) -> str:
    """Return a text as a field; line breaks may stand in it as they are."""
    value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{value}"'


# -- layouts -------------------------------------------------------------------------------------


def _flat(tags: Sequence[str]) -> Callable[[Event], str]:
    """Return what makes fields of an event: all that it has and that is no tag."""
    names = [name for name in (*_OTHERS, *TAGS) if name not in tags and name not in {"id", "message", "entity"}]
    get = attrgetter(*names)
    labelled = {tag.removeprefix("labels.") for tag in tags if tag.startswith("labels.")}
    keys = [escaped(name) for name in names]

    def fields(event: Event) -> str:
        made = [f"id={_text(event.id)}", f"message={_text(event.message)}", f"last={_text(_time(event.time))}"]
        made += [f"entity={_text(event.entity)}", f"count={event.count}i", f"version={event.version}i"]
        if event.delta is not None:
            made.append(f"delta={event.delta}i")
        made += [f"{key}={_text(value)}" for key, value in zip(keys, get(event), strict=True) if value]
        if event.first is not None:
            made.append(f"first={_text(_time(event.first))}")
        if event.since is not None:
            made.append(f"since={_text(_time(event.since))}")
        if event.duration is not None:
            made.append(f"duration={float(event.duration)!r}")
        if event.labels:
            made += [
                f"labels.{escaped(name)}={_text(value)}"
                for name, value in event.labels.items()
                if value and name not in labelled
            ]
        return ",".join(made)

    return fields


def _kube_eventer(event: Event) -> str:
    """Return the fields of kube-eventer's sink `influxdb` with `withfields=true`, and those that make sums right.

    `uid`, `object_name` and `pod_id` are tags there, which makes a series for each event; here they are fields.
    """
    made = [f"message={_text(event.message)}", f"uid={_text(event.entity)}", f"object_name={_text(event.name)}"]
    made += [f"id={_text(event.id)}", f"count={event.count}i"]
    if event.delta is not None:
        made.append(f"delta={event.delta}i")
    if event.kind == "Pod" and event.uid:
        made.append(f"pod_id={_text(event.uid)}")
    made += [f"labels.{escaped(name)}={_text(value)}" for name, value in event.labels.items() if value]
    return ",".join(made)


def _own(columns: Mapping[str, Column]) -> Callable[[Event], str]:
    document = Layout(columns).document
    keys = {name: escaped(name) for name in columns}
    own_id = "id" not in columns

    def fields(event: Event) -> str:
        made = [f"id={_text(event.id)}"] if own_id else []
        made += [f"{keys[name]}={_value(value)}" for name, value in document(event).items()]
        return ",".join(made) or 'id=""'

    return fields


def _value(value: Any) -> str:
    """Return a value as a field. One column has one type for ever, which is what InfluxDB wants."""
    if type(value) is str:
        return _text(value)
    if isinstance(value, datetime):
        return _text(_time(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}i"
    return repr(value) if isinstance(value, float) else _text(str(value))


def _time(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")
