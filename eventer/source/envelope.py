"""What watches and lists of the Kubernetes API have in common, whatever objects they hold.

Lines and pages are framed in the same way for all kinds; `wire` knows Events, `nodes` knows Nodes. All of it is
pure, so that everything the API can say is testable without a connection. One bad line costs its neighbours nothing.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from eventer.errors import Broken, SourceError
from eventer.event import EPOCH_SHIFT, Arrivals, version_of
from eventer.source import shapes
from eventer.source.answers import Unreadable, error_of

__all__ = ["POISON_CAP", "UNDECODABLE", "Block", "Envelope", "Listing", "Page", "identity", "metadata_of", "uid_of"]

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
    """What the ledger calls it, and resourceVersion, of each object that has both."""


UNDECODABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)
"""What decoding hostile bytes raises: bad JSON, bad UTF-8 (a ValueError), nesting beyond the stack."""
_KNOWN: Final = frozenset({"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"})


class Envelope(ABC):
    """Decodes what lines of a watch and pages of a list have in common, whatever objects are in them.

    Args:
        line, item: what a line of a watch and an item of a list look like.
        cluster: name that goes into every event and key.
        epoch: the cluster's epoch; a decoder lives no longer than it.
        labels: static labels of the source, on every event.
    """

    def __init__(self, line: Any, item: Any, cluster: str, epoch: int, labels: Mapping[str, str]) -> None:
        self.epoch = epoch
        self._cluster = cluster
        self._labels = dict(labels)
        self._line: msgspec.json.Decoder[Any] = msgspec.json.Decoder(line)
        self._item: msgspec.json.Decoder[Any] = msgspec.json.Decoder(item)

    @abstractmethod
    def _take(self, arrivals: Arrivals, kind: str, body: Any, metadata: shapes.Metadata | None) -> bool:
        """Take one object; return False where it is none of those expected, and is kept as poison.

        Args:
            arrivals: where it goes.
            kind: type of the line (ADDED, MODIFIED or DELETED); empty for an item of a list.
            body: the object; None where only its metadata can be read.
            metadata: that of the object; None where not even that can be read.
        """

    @abstractmethod
    def _called(self, metadata: shapes.Metadata) -> str:
        """Return what the ledger calls an object; empty for one without uid."""

    def block(self, data: bytes) -> Block:
        """Decode whole lines of a watch. Raises nothing: what is wrong is in the result."""
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
            metadata = line.metadata if line is not None else metadata_of(raw)
            _, version = identity(metadata)
            if version is not None:
                arrivals.position = version
            if kind == "BOOKMARK":
                block.bookmarks += 1
            elif not self._take(arrivals, kind, line, metadata):
                self._poison(arrivals, raw, metadata)
        return block

    def _decode_line(self, raw: bytes) -> tuple[str, Any]:
        """Return the type and, where it can be read, the object of one line; ("", None) for garbage."""
        for data in _attempts(raw):
            try:
                line = self._line.decode(data)
            except UNDECODABLE:
                continue
            return line.type, line.object
        kind = ""
        for data in _attempts(raw):
            try:
                kind = msgspec.json.decode(data, type=shapes.Kind).type
                break
            except UNDECODABLE:
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
            except UNDECODABLE:
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
            taken = False
            for attempt in _attempts(data):
                try:
                    body = self._item.decode(attempt)
                except UNDECODABLE:
                    continue
                taken = self._take(arrivals, "", body, body.metadata)
                break
            if not taken:
                self._poison(arrivals, data, metadata_of(b'{"object":%s}' % data))
        return arrivals

    def _poison(self, arrivals: Arrivals, raw: bytes, metadata: shapes.Metadata | None) -> None:
        raw = raw[:POISON_CAP]
        arrivals.poison.append(raw)
        uid, version = identity(metadata)
        if uid and version is not None:
            arrivals.called[raw] = self._state(uid, version)

    def _state(self, uid: str, version: int) -> str:
        """Return what tells a state of an object that cannot be read from other states and objects."""
        return f"{uid}/{version_of(self.epoch, version)}"

    def listing(self, body: bytes | bytearray) -> Listing:
        """Decode one page of a metadata-only list.

        Raises:
            Unreadable: the body is no such list.
            Broken: its resourceVersion is no integer.
        """
        try:
            answer = msgspec.json.decode(body, type=shapes.MetadataList)
        except UNDECODABLE:
            raise Unreadable("The answer to a metadata-only list is no list.", bytes(body[:POISON_CAP])) from None
        version, more = _frame(answer.metadata)
        entries: list[tuple[str, int]] = []
        for item in answer.items or []:
            _, at = identity(item.metadata)
            name = self._called(item.metadata) if item.metadata is not None else ""
            if name and at is not None:
                entries.append((name, at))
        return Listing(version=version, more=more, entries=entries)


def identity(metadata: shapes.Metadata | None) -> tuple[str, int | None]:
    """Return (uid, resourceVersion); the version is None where it is no integer that fits our keys."""
    if metadata is None:
        return "", None
    try:
        version = int(metadata.version or "")
    except ValueError:
        return metadata.uid or "", None
    return metadata.uid or "", version if 0 <= version < 1 << EPOCH_SHIFT else None


def metadata_of(raw: bytes) -> shapes.Metadata | None:
    """Read the metadata of a line whose object as a whole cannot be read, to know the position after it."""
    for data in _attempts(raw):
        try:
            return msgspec.json.decode(data, type=shapes.MetadataLine).object.metadata
        except UNDECODABLE:
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
        except UNDECODABLE:
            continue
    return Unreadable("The watch ended with an ERROR line that holds no Status.", raw[:POISON_CAP])


def uid_of(body: bytes | bytearray) -> str | None:
    """Return the uid of one object, None where the body holds none."""
    try:
        return identity(msgspec.json.decode(body, type=shapes.Versioned).metadata)[0] or None
    except UNDECODABLE:
        return None
