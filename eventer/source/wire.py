"""Bytes of the Kubernetes API in, `Event`s out: the only place that knows what an Event looks like there.

It is pure, so that everything the API can say is testable without a connection. Decoding goes straight
into structs that name only the fields we use (`shapes`); the rest (half of a line is managedFields) is
skipped unread. A whole block is decoded at once; only when that fails is it taken line by line, so that one bad
line costs its neighbours nothing.

core/v1 and events.k8s.io/v1 are two views of the same stored object with other field names
(https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/). Two
structs give them the same attribute names, so the rest of this module cannot tell them apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec

from eventer.errors import Broken, SourceError
from eventer.event import EPOCH_SHIFT, Arrivals, Event, Origin, problem_key, version_of
from eventer.source import shapes
from eventer.source.answers import Unreadable, error_of
from eventer.text import shorten

__all__ = ["MESSAGE_CAP", "POISON_CAP", "Api", "Block", "Decoder", "Listing", "Page", "uid_of"]

Api: TypeAlias = Literal["core", "events"]

MESSAGE_CAP: Final = 16 << 10
"""Bytes of a message that are kept. The API takes up to etcd's request limit of 1.5 MB."""
POISON_CAP: Final = 64 << 10
"""Bytes of an undecodable line that are kept as a dead letter."""


class Block(msgspec.Struct, kw_only=True):
    """What one block of a watch held, up to the first line that ends the watch."""

    arrivals: Arrivals
    lines: int = 0
    """Lines of events and bookmarks understood or kept as poison."""
    bookmarks: int = 0
    error: SourceError | None = None
    """What an ERROR line said. Nothing after it is read."""
    garbage: bytes | None = None
    """A line that is no watch line at all. What follows it cannot be trusted and is not read; the
    position stays before it, so nothing is lost by asking again."""


class Page(msgspec.Struct, kw_only=True):
    """One page of a list, items still encoded, so that a huge page is decoded piece by piece."""

    version: int
    """resourceVersion of the whole list; the same on every page of a consistent one."""
    more: str
    """Token for the next page; empty on the last."""
    items: list[msgspec.Raw]


class Listing(msgspec.Struct, kw_only=True):
    """One page of a metadata-only list."""

    version: int
    more: str
    entries: list[tuple[str, int]]
    """(uid, resourceVersion) of each object that has both."""


_UNDECODABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)
"""What decoding hostile bytes raises: bad JSON, bad UTF-8 (a ValueError), nesting beyond the stack."""
_KNOWN: Final = frozenset({"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"})


class Decoder:
    """Decodes what one stream reads, and gives its events their keys.

    Args:
        api: which of the two groups is read.
        cluster: name that goes into every event and key.
        epoch: the cluster's epoch; a decoder lives no longer than it.
        labels: static labels of the source, on every event.
    """

    def __init__(self, api: Api, cluster: str, epoch: int, labels: Mapping[str, str]) -> None:
        self.epoch = epoch
        self._cluster = cluster
        self._prefix = f"{cluster}/{epoch}/"
        self._labels = dict(labels)
        self._line: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
            shapes.CoreLine if api == "core" else shapes.NewLine
        )
        self._item: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
            shapes.CoreEvent if api == "core" else shapes.NewEvent
        )

    def block(self, data: bytes) -> Block:
        """Decode whole lines of a watch. Raises nothing: what is wrong is in the result."""
        try:
            lines: list[shapes.AnyLine] = self._line.decode_lines(data)
        except _UNDECODABLE:
            return self._line_by_line(data)
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
                    return self._line_by_line(data)
                events.append(event)
                added.append(kind == "ADDED")
                position = event.version
                continue
            uid, version = _identity(line.object.metadata)
            if version is None or (kind == "DELETED" and not uid) or kind not in {"DELETED", "BOOKMARK"}:
                return self._line_by_line(data)
            if kind == "DELETED":
                gone.append(uid)
            else:
                bookmarks += 1
            position = version
        if position is not None:
            position &= (1 << EPOCH_SHIFT) - 1
        arrivals = Arrivals(events=events, added=added, gone=gone, position=position, epoch=self.epoch, size=len(data))
        return Block(arrivals=arrivals, lines=len(lines), bookmarks=bookmarks)

    def _line_by_line(self, data: bytes) -> Block:
        arrivals = Arrivals(events=[], added=[], epoch=self.epoch, size=len(data))
        block = Block(arrivals=arrivals)
        for raw in data.split(b"\n"):
            if not raw.strip():
                continue
            kind, line = self._decode_line(raw)
            if kind == "ERROR":
                block.error = _stream_error(raw)
                break
            if kind not in _KNOWN:
                block.garbage = raw[:POISON_CAP]
                break
            block.lines += 1
            uid, version = _identity(line.metadata if line is not None else _metadata_in(raw))
            if version is not None:
                arrivals.position = version
            if kind == "BOOKMARK":
                block.bookmarks += 1
                continue
            event = None
            if kind != "DELETED":
                event = self._event(line) if line is not None else None
            elif uid and version is not None:
                arrivals.gone.append(uid)
                continue
            if event is None:
                arrivals.poison.append(raw[:POISON_CAP])
                continue
            arrivals.events.append(event)
            arrivals.added.append(kind == "ADDED")
        return block

    def _decode_line(self, raw: bytes) -> tuple[str, shapes.AnyEvent | None]:
        """Return the type and, where it can be read, the object of one line; ("", None) for garbage."""
        for data in _attempts(raw):
            try:
                line: shapes.AnyLine = self._line.decode(data)
            except _UNDECODABLE:
                continue
            return line.type, line.object
        kind = ""
        for data in _attempts(raw):
            try:
                kind = msgspec.json.decode(data, type=shapes.Kind).type
                break
            except _UNDECODABLE:
                continue
        return kind, None

    def page(self, body: bytes | bytearray) -> Page:
        """Decode the frame of one page of a list.

        Raises:
            Unreadable: the body is no list.
            Broken: its resourceVersion is no integer.
        """
        for data in _attempts(body):
            try:
                answer = msgspec.json.decode(data, type=shapes.List)
            except _UNDECODABLE:
                continue
            version, more = _frame(answer.metadata)
            return Page(version=version, more=more, items=answer.items or [])
        raise Unreadable("The answer to a list is no list.", bytes(body[:POISON_CAP]))

    def items(self, items: Sequence[msgspec.Raw]) -> Arrivals:
        """Decode items of a list. The position is left to the caller, who knows which page is the last."""
        arrivals = Arrivals(events=[], added=[], epoch=self.epoch, listed=True)
        for raw in items:
            data = bytes(raw)
            arrivals.size += len(data)
            event = None
            for attempt in _attempts(data):
                try:
                    event = self._event(self._item.decode(attempt))
                    break
                except _UNDECODABLE:
                    continue
            if event is None:
                arrivals.poison.append(data[:POISON_CAP])
            else:
                arrivals.events.append(event)
        arrivals.added = [False] * len(arrivals.events)
        return arrivals

    def listing(self, body: bytes | bytearray) -> Listing:
        """Decode one page of a metadata-only list.

        Raises:
            Unreadable: the body is no such list.
            Broken: its resourceVersion is no integer.
        """
        try:
            answer = msgspec.json.decode(body, type=shapes.MetadataList)
        except _UNDECODABLE:
            raise Unreadable("The answer to a metadata-only list is no list.", bytes(body[:POISON_CAP])) from None
        version, more = _frame(answer.metadata)
        entries: list[tuple[str, int]] = []
        for item in answer.items or []:
            uid, at = _identity(item.metadata)
            if uid and at is not None:
                entries.append((uid, at))
        return Listing(version=version, more=more, entries=entries)

    def _event(self, body: shapes.AnyEvent) -> Event | None:
        """Flatten one object; None when it has no uid, no integer version or no time at all."""
        metadata = body.metadata
        if metadata is None:
            return None
        uid, version = _identity(metadata)
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
            labels=self._labels,
            entity=uid,
            version=version_of(self.epoch, version),
            object=object_key,
            problem=problem_key(object_key, reason, field_path),
        )


_EVENT: Final = Origin.EVENT  # per event: a look-up of a global, not of an enum's member
_NOTHING: Final = shapes.Reference()
_NOBODY: Final = shapes.Reporter()


def _identity(metadata: shapes.Metadata | None) -> tuple[str, int | None]:
    """Return (uid, resourceVersion); the version is None where it is no integer that fits our keys."""
    if metadata is None:
        return "", None
    try:
        version = int(metadata.version or "")
    except ValueError:
        return metadata.uid or "", None
    return metadata.uid or "", version if 0 <= version < 1 << EPOCH_SHIFT else None


def _metadata_in(raw: bytes) -> shapes.Metadata | None:
    """Read the metadata of a line whose object as a whole cannot be read, to know the position after it."""
    for data in _attempts(raw):
        try:
            return msgspec.json.decode(data, type=shapes.MetadataLine).object.metadata
        except _UNDECODABLE:
            continue
    return None


def _frame(metadata: shapes.ListMetadata | None) -> tuple[int, str]:
    try:
        return int((metadata and metadata.version) or ""), (metadata and metadata.more) or ""
    except ValueError:
        raise Broken("The answer to a list has no integer resourceVersion.") from None


def _attempts(raw: bytes | bytearray) -> Iterator[bytes | bytearray]:
    """Yield the bytes as they are and then, if asked for more, with their text repaired.

    msgspec refuses invalid UTF-8 and lone surrogates; the standard library reads both. The API server
    sends neither, but a proxy or a fork might, and one broken character is no reason to lose an event.
    """
    yield raw
    try:
        text = json.dumps(json.loads(raw.decode("utf-8", "replace")), ensure_ascii=False)
    except (ValueError, RecursionError):
        return
    yield text.encode("utf-8", "replace")


def _stream_error(raw: bytes) -> SourceError:
    for data in _attempts(raw):
        try:
            return error_of(msgspec.json.decode(data, type=shapes.ErrorLine).object)
        except _UNDECODABLE:
            continue
    return Unreadable("The watch ended with an ERROR line that holds no Status.", raw[:POISON_CAP])


def uid_of(body: bytes | bytearray) -> str | None:
    """Return the uid of one object, None where the body holds none."""
    try:
        return _identity(msgspec.json.decode(body, type=shapes.Versioned).metadata)[0] or None
    except _UNDECODABLE:
        return None
