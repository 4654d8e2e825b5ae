"""Event objects in versions, as etcd under an API server keeps them: what the fake server serves.

Every write takes the next version and is one line of history; history can be compacted, and the whole
can be set back to an earlier state, as when etcd is restored from a backup. Objects are kept in the shape
of core/v1; the shape of events.k8s.io/v1 is made from it when somebody asks.
"""

from __future__ import annotations

import copy
import itertools
import uuid
from bisect import bisect_right
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

import msgspec

__all__ = ["KINDS", "Change", "Compacted", "EventStore", "Group"]

Group: TypeAlias = Literal["core", "events", "nodes"]
Key: TypeAlias = tuple[str, str]

_RENAMED: Final = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}


KINDS: Final[Mapping[Group, str]] = {"core": "Event", "events": "Event", "nodes": "Node"}


class Compacted(Exception):
    """The version asked for is no longer in history."""


class Change:
    """One write: what happened and the object after it (before it, if it was deleted)."""

    __slots__ = ("_lines", "before", "namespace", "object", "type", "version")

    def __init__(
        self, version: int, type_: str, namespace: str, obj: dict[str, Any], before: dict[str, Any] | None = None
    ) -> None:
        self.version = version
        self.type = type_
        self.namespace = namespace
        self.object = obj
        self.before = before
        """The object before the write, None if there was none."""
        self._lines: dict[Group, bytes] = {}

    def line(self, group: Group) -> bytes:
        """Return the watch line, encoded once per group."""
        line = self._lines.get(group)
        if line is None:
            line = b'{"type":"%s","object":%s}\n' % (self.type.encode(), encode(self.object, group, kind=True))
            self._lines[group] = line
        return line


def encode(obj: Mapping[str, Any], group: Group, *, kind: bool) -> bytes:
    """Encode one object; items of a list carry no kind."""
    head = {"kind": KINDS[group], "apiVersion": "events.k8s.io/v1" if group == "events" else "v1"} if kind else {}
    if group == "events":  # where empty text is left out
        obj = {_RENAMED.get(name, name): value for name, value in obj.items() if value != ""}
    return msgspec.json.encode({**head, **obj})


class EventStore:
    """A versioned collection of Event objects."""

    def __init__(self, version: int = 1000) -> None:
        self.version = version
        self.compacted = 0
        """Watches and lists below this version are gone."""
        self.objects: dict[Key, dict[str, Any]] = {}
        self.history: list[Change] = []
        self.listeners: set[Callable[[], None]] = set()
        self._numbers = itertools.count(1)
        self._snapshots: dict[int, list[tuple[Key, dict[str, Any]]]] = {}

    def create(
        self,
        name: str = "",
        namespace: str = "default",
        *,
        about: str = "web-0",
        kind: str = "Pod",
        fields: Mapping[str, Any] | None = None,
        **values: Any,
    ) -> dict[str, Any]:
        """Create an Event.

        Args:
            name: of the Event; made up if empty.
            namespace: of the Event and of the object that it is about.
            about, kind: the object that it is about.
            fields: further fields of the Event under their API names.
            values: the same, as keywords: `reason`, `message`, `count`...

        Returns:
            The object as stored.
        """
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        obj = {
            "metadata": {
                "name": name or f"{about}.{next(self._numbers):016x}",
                "namespace": namespace,
                "uid": str(uuid.uuid4()),
                "creationTimestamp": now,
            },
            "involvedObject": {"kind": kind, "namespace": namespace, "name": about, "apiVersion": "v1"},
            "reason": "BackOff",
            "message": "Back-off restarting failed container",
            "source": {"component": "kubelet", "host": "node-1"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "type": "Warning",
            "eventTime": None,
            "reportingComponent": "kubelet",
            "reportingInstance": "node-1",
            **(fields or {}),
            **values,
        }
        return self._write("ADDED", obj)

    def patch(self, name: str, namespace: str = "default", **values: Any) -> dict[str, Any]:
        """Change fields of an Event, as a recorder does at a repeat (`count`, `lastTimestamp`...)."""
        return self._write("MODIFIED", {**self.objects[namespace, name], **values})

    def delete(self, name: str, namespace: str = "default") -> None:
        """Delete an Event, as its expiry would."""
        self._write("DELETED", self.objects[namespace, name])

    def apply(self, line: bytes) -> None:
        """Take a recorded core/v1 watch line; its version is kept where it lies above the current one.

        Bookmarks are skipped: they change nothing.
        """
        recorded = msgspec.json.decode(line)
        obj = recorded["object"]
        if recorded["type"] == "BOOKMARK":
            return
        version = int(obj["metadata"]["resourceVersion"])
        obj = {name: value for name, value in obj.items() if name not in {"kind", "apiVersion"}}
        self._write(recorded["type"], obj, version if version > self.version else None)

    def put(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Write a whole object; it is new if none of its name is there."""
        key = (obj["metadata"].get("namespace") or "", obj["metadata"]["name"])
        return self._write("MODIFIED" if key in self.objects else "ADDED", dict(obj))

    def advance(self, by: int = 1) -> None:
        """Let the version rise without a change of events, as writes of other kinds do."""
        self.version += by

    def _write(self, type_: str, obj: dict[str, Any], version: int | None = None) -> dict[str, Any]:
        self.version = version or self.version + 1
        obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.version)}}
        key = (obj["metadata"].get("namespace") or "", obj["metadata"]["name"])
        before = self.objects.get(key)
        if type_ == "DELETED":
            self.objects.pop(key, None)
        else:
            self.objects[key] = obj
        self.history.append(Change(self.version, type_, key[0], obj, before))
        for listener in tuple(self.listeners):
            listener()
        return obj

    def compact(self) -> None:
        """Forget all history, as etcd does every five minutes by default for what is older than that."""
        self.compacted = self.version
        self.history.clear()
        self._snapshots = {at: items for at, items in self._snapshots.items() if at >= self.compacted}

    def save(self) -> EventStore:
        """Return a backup for `restore`."""
        backup = EventStore(self.version)
        backup.compacted = self.compacted
        backup.objects = copy.copy(self.objects)
        backup.history = copy.copy(self.history)
        return backup

    def restore(self, backup: EventStore) -> None:
        """Go back to a backup: objects, history and the version itself."""
        self.version = backup.version
        self.compacted = backup.compacted
        self.objects = copy.copy(backup.objects)
        self.history = copy.copy(backup.history)
        self._snapshots.clear()

    def after(self, version: int) -> int:
        """Return the index in `history` of the first change above a version.

        Raises:
            Compacted: the version is no longer in history.
        """
        if version < self.compacted:
            raise Compacted
        return bisect_right(self.history, version, key=lambda change: change.version)

    def page(
        self,
        namespace: str | None,
        limit: int,
        version: int | None,
        start: Key,
        matches: Callable[[dict[str, Any]], bool] = lambda _: True,
    ) -> tuple[int, list[dict[str, Any]], Key | None, int]:
        """Return one page of a list: its version, its items, where the next begins, how many remain.

        Args:
            namespace: scope; None for all.
            limit: most items; 0 for all.
            version: of the first page, on a later one; None for now.
            start: key after which the page begins.
            matches: tells which objects are asked for.

        Raises:
            Compacted: the version is no longer in history.
        """
        if version is None:
            version = self.version
            items = sorted(self.objects.items())
        else:
            if version < self.compacted or version not in self._snapshots:
                raise Compacted
            items = self._snapshots[version]
        rest = [
            item
            for item in items
            if item[0] > start and (namespace is None or item[0][0] == namespace) and matches(item[1])
        ]
        if not limit or len(rest) <= limit:
            return version, [obj for _, obj in rest], None, 0
        while len(self._snapshots) >= 8 and version not in self._snapshots:
            self._snapshots.pop(min(self._snapshots))
        self._snapshots[version] = items
        return version, [obj for _, obj in rest[:limit]], rest[limit - 1][0], len(rest) - limit
