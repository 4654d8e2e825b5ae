"""Events as documents: in which index, under which `_id`, in which layout; and all of a batch as one bulk body.

A document's index and `_id` come from the event alone, never from the clock, so a repeat meets its
first copy (https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk,
https://docs.opensearch.org/latest/api-reference/document-apis/bulk/).

    mode events        `create`, `_id` = `id`, in an index by the event's own time
    mode data-stream   `create`, `_id` = `id`
    mode latest        `index`, `_id` = `entity`, with the event's `version` as external version
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec

from eventer.about import NOTHING
from eventer.errors import Rejected
from eventer.event import EPOCH_SHIFT, Event
from eventer.layout import Column, Layout, core_event
from eventer.sink import Batch

__all__ = ["ECS_LACKS", "Bulk", "Documents", "LayoutName", "Mode", "check_index", "wildcard"]

Mode: TypeAlias = Literal["events", "data-stream", "latest"]
LayoutName: TypeAlias = Literal["eventer", "ecs", "kube-eventer"]

ID_LIMIT: Final = 512
"""Bytes of an `_id`; a longer one is refused with the whole request."""
NAME_LIMIT: Final = 200
"""Bytes of an index's name. The servers take 255; a data stream adds to it."""
ECS_VERSION: Final = "8.11.0"
ECS_LACKS: Final = (
    *("origin", "entity", "object", "problem", "action", "instance", "condition", "status", "state", "previous"),
    *("since", "duration", "cause", "about"),
)
"""Fields of an event for which there is none in ECS; they stand under `eventer`, where they are not empty."""
_EMPTY: Final = ("", None, NOTHING)

_DATE: Final = re.compile(r"\{(yyyy(?:[._-]?MM(?:[._-]?dd)?)?)\}")
_NAME: Final = re.compile(r"[a-z0-9.][a-z0-9._+-]*")
_encode: Final = msgspec.json.Encoder().encode


def check_index(index: str, mode: Mode) -> None:
    """Check the name or pattern of an index.

    The rules are those of
    https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-indices-create.

    Raises:
        ValueError: with the remedy.
    """
    dates = _DATE.findall(index)
    name = _DATE.sub("2026", index)
    if "{" in name or "}" in name or len(dates) > 1:
        raise ValueError("a date in a name is written {yyyy.MM.dd}, {yyyy.MM} or {yyyy}, once")
    if dates and mode != "events":
        raise ValueError(
            f"with `mode: {mode}` there is one name for all times; write one without a date, such as current-events"
            if mode == "latest"
            else "a data stream begins new indexes by itself; write a name without a date, such as logs-k8s.events-prod"
        )
    if not _NAME.fullmatch(name) or name in {".", ".."} or len(index) > NAME_LIMIT:
        raise ValueError(
            f"a name takes small letters, digits and . _ + -, begins with a letter or a digit, and has {NAME_LIMIT} "
            "characters at most; write for example events-{yyyy.MM.dd}"
        )


def wildcard(index: str) -> str:
    """Return the pattern that matches every name that an index pattern gives."""
    return _DATE.sub("*", index)


class _Head(msgspec.Struct):
    """What of an event's line is needed to address its document, as it stands there."""

    id: msgspec.Raw
    time: msgspec.Raw


class _LatestHead(msgspec.Struct):
    entity: msgspec.Raw
    version: int
    time: msgspec.Raw


_decode_head: Final = msgspec.json.Decoder(_Head).decode
_decode_latest: Final = msgspec.json.Decoder(_LatestHead).decode


class Bulk(msgspec.Struct):
    """A batch, ready to be sent."""

    body: bytes
    names: Callable[[int], str]
    """Index of the item with an index in the batch."""


class Documents:
    """Turns batches into bulk bodies.

    Args:
        index: name or pattern.
        fields: columns of documents of the user's own, in place of a layout; empty without.
    """

    def __init__(self, index: str, mode: Mode, layout: LayoutName, fields: Mapping[str, Column]) -> None:
        self._index = index
        self._latest = mode == "latest"
        self._address = _of_entity if self._latest else _of_event
        self._dated = _DATE.search(index) is not None
        self._document = _own(fields) if fields else {"ecs": _ecs, "kube-eventer": _kube_eventer}.get(layout)

    def bulk(self, batch: Batch) -> Bulk:
        """Make the body of a bulk request.

        Raises:
            Rejected: an event cannot be decoded.
        """
        lines, address = batch.lines, self._address
        pieces: list[bytes] = []
        last, prefix = b"", b""
        try:
            events = batch.events if self._document else None
            for place, line in enumerate(lines):
                key, time = address(line)
                if time[:10] != last:  # a batch has few days
                    last = time[:10]
                    prefix = self._prefix(last)
                if events is None:
                    # The line as it is, with one more field at its front.
                    pieces += prefix, key, b'"}}\n{"@timestamp":"', time, b'",', line[1:], b"\n"
                else:
                    assert self._document is not None
                    pieces += prefix, key, b'"}}\n', _encode(self._document(events[place])), b"\n"
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise Rejected("An event in the batch cannot be decoded.", reason="decode") from None
        return Bulk(b"".join(pieces), lambda place: self.name(address(lines[place])[1]))

    def names(self, batch: Batch) -> list[str]:
        """Return the index of each event."""
        if not self._dated:
            return [self._index] * len(batch)
        days = [self._address(line)[1][:10] for line in batch.lines]
        of = {day: self.name(day) for day in set(days)}  # a batch has few
        return [of[day] for day in days]

    def _prefix(self, day: bytes) -> bytes:
        """Return how the line before a document begins, up to its `_id` and the quote before it."""
        operation = "index" if self._latest else "create"
        return f'{{"{operation}":{{"_index":"{self.name(day)}","_id":"'.encode()

    def name(self, time: bytes) -> str:
        """Return the index for a time in RFC 3339 (UTC), or for the day with which it begins."""
        if not self._dated:
            return self._index
        day = time[:10].decode()
        parts = {"yyyy": day[:4], "MM": day[5:7], "dd": day[8:10]}
        return _DATE.sub(lambda found: re.sub("yyyy|MM|dd", lambda part: parts[part[0]], found[1]), self._index)


def _of_event(line: bytes) -> tuple[bytes, bytes]:
    """Return what stands between the quotes of `_id` in a document's first line, and between those of its time."""
    # They are the first two fields of a line (`Event`). Cut out, they cost a third of what decoding costs. Where an id
    # has a quote in it, that is escaped, and what follows is no comma before the next quote and `time` behind it.
    parts = line.split(b'"', 8)
    if len(parts) == 9 and parts[1] == b"id" and parts[4] == b"," and parts[5] == b"time":
        key, time = parts[3], parts[7]
    else:
        head = _decode_head(line)
        key, time = bytes(head.id)[1:-1], bytes(head.time)[1:-1]
    return (_shortened(key) if len(key) > ID_LIMIT else key), time


def _of_entity(line: bytes) -> tuple[bytes, bytes]:
    """Return the same for a document of the latest state; its version goes along, between the same quotes."""
    head = _decode_latest(line)
    key = bytes(head.entity)[1:-1]
    key = _shortened(key) if len(key) > ID_LIMIT else key
    return b'%b","version":%d,"version_type":"external' % (key, head.version), bytes(head.time)[1:-1]


def _shortened(name: bytes) -> bytes:
    """Return an `_id`, as it stands in JSON: the hash of a name that is too long, though not by its escapes alone."""
    whole: str = msgspec.json.decode(b'"%b"' % name)
    if len(whole.encode()) <= ID_LIMIT:
        return name
    return hashlib.sha256(whole.encode()).hexdigest().encode()


# -- layouts -------------------------------------------------------------------------------------


def _own(fields: Mapping[str, Column]) -> Callable[[Event], dict[str, Any]]:
    layout = Layout(fields)
    if "@timestamp" in fields:
        return layout.document
    return lambda event: {"@timestamp": event.time, **layout.document(event)}


def _ecs(event: Event) -> dict[str, Any]:
    """Return an event in the fields of Elastic's own module for Kubernetes.

    https://www.elastic.co/docs/reference/ecs/ecs-field-reference and
    https://www.elastic.co/docs/reference/beats/metricbeat/exported-fields-kubernetes, with what
    they have no field for under `eventer`.
    """
    namespace, _, name = event.event.rpartition("/")
    document: dict[str, Any] = {
        "@timestamp": event.time,
        "ecs": {"version": ECS_VERSION},
        "message": event.message,
        "event": _full(
            id=event.id,
            kind="event",
            module="kubernetes",
            dataset="kubernetes.event",
            action=event.reason,
            provider=event.component,
            start=event.first,
        ),
        "log": {"level": "warning" if event.type == "Warning" else "info"},
        "orchestrator": _full(
            type="kubernetes",
            cluster={"name": event.cluster},
            namespace=event.namespace,
            resource=_full(type=event.kind.lower(), name=event.name, id=event.uid),
        ),
        "kubernetes": _full(
            namespace=event.namespace,
            node={"name": event.node} if event.node else None,
            event=_full(
                type=event.type,
                reason=event.reason,
                message=event.message,
                timestamp=_full(first_occurrence=event.first, last_occurrence=event.time),
                metadata=_full(
                    name=name,
                    namespace=namespace,
                    uid=event.entity,
                    resource_version=str(event.version & (1 << EPOCH_SHIFT) - 1),
                ),
                involved_object=_full(
                    kind=event.kind,
                    name=event.name,
                    namespace=event.namespace,
                    uid=event.uid,
                    api_version=event.api_version,
                    field_path=event.field_path,
                ),
                source=_full(component=event.component, host=event.node),
            ),
        ),
        "eventer": {name: value for name in ECS_LACKS if (value := getattr(event, name)) not in _EMPTY},
    }
    document["kubernetes"]["event"]["count"] = event.count
    document["eventer"]["version"] = event.version
    if event.delta is not None:
        document["eventer"]["delta"] = event.delta
    if event.labels:
        document["labels"] = event.labels
    return document


def _kube_eventer(event: Event) -> dict[str, Any]:
    """Return an event in the fields of kube-eventer's sink `elasticsearch`, and the time that data streams want.

    https://github.com/AliyunContainerService/kube-eventer/blob/master/sinks/elasticsearch/driver.go
    """
    core = core_event(event)
    tags = {"eventID": event.entity, "cluster_name": event.cluster, "hostname": event.node}
    if event.kind == "Pod":
        tags |= {"pod_id": event.uid, "pod_name": event.name}
    return {
        "@timestamp": event.time,
        "Count": event.count,
        "Metadata": core["metadata"],
        "InvolvedObject": core["involvedObject"],
        "Source": core["source"],
        "FirstOccurrenceTimestamp": core["firstTimestamp"],
        "LastOccurrenceTimestamp": event.time,
        "Message": event.message,
        "Reason": event.reason,
        "Type": event.type,
        "EventTags": event.labels | tags,
    }


def _full(**values: Any) -> dict[str, Any]:
    """Leave out what is empty; numbers, of which 0 says something, do not come through here."""
    return {name: value for name, value in values.items() if value}
