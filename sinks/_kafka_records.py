"""Events as Kafka records: topic, key, value, headers and time of each event of one send."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

import msgspec

from eventer.errors import Rejected, SinkError
from eventer.event import Event, encode_lines
from eventer.layout import Column, Layout, core_event
from eventer.sink import Batch
from eventer.text import shorten
from sinks._cloudevents import Head as Attributes
from sinks._cloudevents import attributes
from sinks._kafka_options import TopicName
from sinks._kafka_producer import Record

__all__ = ["Form", "KeyName", "LayoutName", "Load"]

KeyName: TypeAlias = Literal["object", "entity", "id", "none"]
LayoutName: TypeAlias = Literal["eventer", "kube-eventer"]

_LEAST: Final = 256
"""Bytes that are left of a message when the event is cut a second time."""
_JSON: Final = ("content-type", b"application/json")
_OVERHEAD: Final = 256
"""Bytes of a record beside key, value and id: lengths, names of headers, the head of the batch."""
_CLOUDEVENTS_OVERHEAD: Final = 2048


class _Head(msgspec.Struct):
    """What every send needs of an event's line; the rest is not decoded."""

    id: str
    time: str
    object: str
    entity: str


class Form:
    """How events become records; made once from the options.

    Args:
        columns: columns of values of the user's own, in place of a layout; empty without.
    """

    def __init__(
        self, topic: TopicName, key: KeyName, layout: LayoutName, columns: Mapping[str, Column], *, cloudevents: bool
    ) -> None:
        self.topic = topic
        self.key = key
        self.cloudevents = cloudevents
        self.lines: Callable[[Sequence[Event]], list[bytes]] | None = None
        """Writes the values; None where they are the lines as they are."""
        if columns:
            self.lines = Layout(columns).lines
        elif layout == "kube-eventer":
            self.lines = _kube_eventer
        self.decode_heads = msgspec.json.Decoder(_Head).decode
        self.decode_attributes = msgspec.json.Decoder(Attributes).decode


class Load:
    """The events of one send, and what became of each.

    Args:
        now: wall clock in milliseconds. A time after it is not passed on: Kafka refuses what lies in the
            future (message.timestamp.after.max.ms), and a pod can write any time into an Event.

    Raises:
        Rejected: an event cannot be decoded.
    """

    def __init__(self, batch: Batch, form: Form, now: int) -> None:
        self._form = form
        self._now = now
        self._batch = batch
        try:
            self.heads = [form.decode_heads(line) for line in batch.lines]
            self.objects = [head.object.encode() for head in self.heads]
            events = batch.events if form.lines or not form.topic.fixed else []
            self._values: list[bytes] = list(batch.lines) if form.lines is None else form.lines(events)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise Rejected("An event in the batch cannot be decoded.", reason="decode") from None
        self.failed: dict[int, SinkError] = {}
        self.delivered: set[int] = set()
        self.duplicates = 0
        self._cuts: dict[int, int] = {}
        self.topics: list[str] = [form.topic.fixed] * len(batch)
        for index, event in enumerate(events if not form.topic.fixed else ()):
            try:
                self.topics[index] = form.topic.of(event)
            except ValueError as error:
                self.failed[index] = Rejected(f"The topic's template fails on this event: {error}.", reason="template")

    def __len__(self) -> int:
        return len(self._batch)

    @property
    def open(self) -> Sequence[int]:
        """Indexes of what is neither delivered nor failed."""
        if not self.delivered and not self.failed:
            return range(len(self._batch))
        return [i for i in range(len(self._batch)) if i not in self.delivered and i not in self.failed]

    def size(self, index: int) -> int:
        """Return about how many bytes one event has as a batch of its own, before compression."""
        head = self.heads[index]
        return (
            len(self._values[index])
            + 4 * (len(head.id) + len(head.object))
            + (_CLOUDEVENTS_OVERHEAD if self._form.cloudevents else _OVERHEAD)
        )

    def records(self, indexes: Iterable[int]) -> Iterator[Record]:
        """Make records of events, as they are asked for."""
        heads, values, form, now = self.heads, self._values, self._form, self._now
        keys: Sequence[bytes | None] = self.objects
        if form.key != "object":
            keys = [None if form.key == "none" else getattr(head, form.key).encode() for head in heads]
        times: dict[str, int] = {}
        for index in indexes:
            head = heads[index]
            id_ = head.id
            headers = [("event-id", id_.encode()), _JSON]
            if form.cloudevents:
                found = attributes(form.decode_attributes(self._batch.lines[index]))
                del found["datacontenttype"]
                headers += [(f"ce_{name}", value.encode()) for name, value in found.items()]
            time = times.get(head.time)
            if time is None:  # events of one moment are many
                time = times[head.time] = max(min(_milliseconds(head.time), now), 0)
            yield id_, time, keys[index], values[index], headers

    def cut(self, index: int, most: int) -> bool:
        """Shorten the message of an event so that it has about `most` bytes; what was cut stands in the text.

        Returns:
            False where that cannot be done, or was done twice already.
        """
        cuts = self._cuts[index] = self._cuts.get(index, 0) + 1
        (event,) = self._batch.part(index, index + 1).events
        length = len(event.message.encode())
        room = length - max(self.size(index) - most, 1)
        # The second time no sum is trusted: escapes make some characters six times as long.
        limit = max(room, _LEAST) if cuts == 1 else _LEAST
        if cuts > 2 or length <= _LEAST:
            return False
        short = msgspec.structs.replace(event, message=shorten(event.message, limit))
        lines = self._form.lines or encode_lines
        (self._values[index],) = lines([short])
        return self.size(index) <= most or self.cut(index, most)


def _milliseconds(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp() * 1000)


def _kube_eventer(events: Sequence[Event]) -> list[bytes]:
    """Write events as kube-eventer's sink `kafka` does: the whole object is a text within the JSON."""
    return [msgspec.json.encode(_point(event)) for event in events]


def _point(event: Event) -> dict[str, Any]:
    tags = {"eventID": event.entity, "hostname": event.node}
    if event.kind == "Pod":
        tags |= {"pod_id": event.uid, "pod_name": event.name}
    return {
        "EventValue": msgspec.json.format(msgspec.json.encode(core_event(event)), indent=1).decode(),
        "EventTimestamp": event.time,
        "EventTags": event.labels | tags,
    }
