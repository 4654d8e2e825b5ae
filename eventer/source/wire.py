"""Bytes of the Kubernetes API in, `Event`s out: the only place that knows what an Event looks like there.

Decoding goes straight into structs that name only the fields we use (`shapes`); the rest (half of a line is
managedFields) is skipped unread. A whole block is decoded at once; only when that fails is it taken line by line.

core/v1 and events.k8s.io/v1 are two views of the same stored object with other field names
(https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/). Two
structs give them the same attribute names, so the rest of this module cannot tell them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

from eventer.event import EPOCH_SHIFT, Arrivals, Event, Origin, problem_key, version_of
from eventer.source import shapes
from eventer.source.envelope import UNDECODABLE, Block, Envelope, identity
from eventer.source.spoken import Meaning, meaning_of
from eventer.text import shorten

__all__ = ["MESSAGE_CAP", "Api", "Decoder"]

Api: TypeAlias = Literal["core", "events"]

MESSAGE_CAP: Final = 16 << 10
"""Bytes of a message that are kept. The API takes up to etcd's request limit of 1.5 MB."""


class Decoder(Envelope):
    """Decodes Events, and gives them their keys.

    Args:
        api: which of the two groups is read.
        cluster, epoch, labels: as those of `Envelope`.
    """

    def __init__(self, api: Api, cluster: str, epoch: int, labels: Mapping[str, str]) -> None:
        line: Any = shapes.CoreLine if api == "core" else shapes.NewLine
        item: Any = shapes.CoreEvent if api == "core" else shapes.NewEvent
        super().__init__(line, item, cluster, epoch, labels)
        self._prefix = f"{cluster}/{epoch}/"

    def block(self, data: bytes) -> Block:
        """Decode whole lines of a watch, all at once if nothing is wrong with them; see `Envelope.block`."""
        try:
            lines: list[shapes.AnyLine] = self._line.decode_lines(data)
        except UNDECODABLE:
            return super().block(data)
        events: list[Event] = []
        added: list[bool] = []
        gone: list[str] = []
        position = None
        bookmarks = 0
        for line in lines:
            kind = line.type
            if kind == "ADDED" or kind == "MODIFIED":  # noqa: PLR1714 - per event: two comparisons, no tuple
                event = self._event(line.object)
                if event is None:
                    return super().block(data)
                events.append(event)
                added.append(kind == "ADDED")
                position = event.version
                continue
            uid, version = identity(line.object.metadata)
            if version is None or (kind == "DELETED" and not uid) or kind not in {"DELETED", "BOOKMARK"}:
                return super().block(data)
            if kind == "DELETED":
                gone.append(uid)
            else:
                bookmarks += 1
            position = version
        if position is not None:
            position &= (1 << EPOCH_SHIFT) - 1
        arrivals = Arrivals(events=events, added=added, gone=gone, position=position, epoch=self.epoch, size=len(data))
        return Block(arrivals=arrivals, lines=len(lines), bookmarks=bookmarks)

    def _take(self, arrivals: Arrivals, kind: str, body: Any, metadata: shapes.Metadata | None) -> bool:
        if kind == "DELETED":
            uid, version = identity(metadata)
            if not uid or version is None:
                return False
            arrivals.gone.append(uid)
            return True
        event = self._event(body) if body is not None else None
        if event is None:
            return False
        arrivals.events.append(event)
        arrivals.added.append(kind == "ADDED")
        return True

    def _called(self, metadata: shapes.Metadata) -> str:
        return metadata.uid or ""

    def _event(self, body: shapes.AnyEvent) -> Event | None:
        """Flatten one object; None when it has no uid, no integer version or no time at all."""
        metadata = body.metadata
        if metadata is None:
            return None
        uid, version = identity(metadata)
        if not uid or version is None:
            return None
        series = body.series
        if series is None:
            count, time = body.count, body.last or body.time or metadata.created
        else:
            count = series.count if series.count is not None else body.count
            time = series.last or body.last or body.time or metadata.created
        if time is None:
            return None
        about = body.about or _NOTHING
        source = body.source or _NOBODY
        kind = about.kind or ""
        namespace = about.namespace or ""
        name = about.name or ""
        reason = body.reason or ""
        message = body.message or ""
        host = source.host or ""
        field_path = about.field_path or ""
        object_key = f"{self._cluster}/{kind}/{namespace}/{name}"
        meaning = (meaning_of(reason, message) if kind == "Node" else None) or _NO_MEANING
        return Event(
            id=f"{self._prefix}{uid}/{version}",
            time=time,
            cluster=self._cluster,
            origin=_EVENT,
            type=body.type or "",
            reason=reason,
            message=message if len(message) * 4 <= MESSAGE_CAP else shorten(message, MESSAGE_CAP),
            kind=kind,
            namespace=namespace,
            name=name,
            count=count if count is not None and count > 0 else 1,
            first=body.first or body.time,
            component=source.component or body.component or "",
            instance=body.instance or host,
            node=host or (name if kind == "Node" else ""),
            action=body.action or "",
            uid=about.uid or "",
            api_version=about.api_version or "",
            field_path=field_path,
            event=f"{metadata.namespace or ''}/{metadata.name or ''}",
            condition=meaning.condition,
            status=meaning.status,
            state=meaning.state,
            cause=meaning.cause,
            labels=self._labels,
            entity=uid,
            version=version_of(self.epoch, version),
            object=object_key,
            problem=problem_key(object_key, reason, field_path),
        )


_EVENT: Final = Origin.EVENT  # per event: a look-up of a global, not of an enum's member
_NO_MEANING: Final = Meaning("", "", "", "")
_NOTHING: Final = shapes.Reference()
_NOBODY: Final = shapes.Reporter()
