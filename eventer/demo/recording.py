"""A recorded stream of Events, written into the fake API server again as if it happened now.

The recording is the first 50 seconds of a real control plane's watch (kube-apiserver 1.35; a crash-looping
pod, a missing image, failing probes, pods without a node), without managedFields: 401 Events in 606
changes. It is never at its end: it begins again with new objects, and those of the round before expire
meanwhile, as a real cluster's do.
"""

from __future__ import annotations

import gzip
import time
from collections import deque
from datetime import UTC, datetime
from importlib import resources
from typing import Any, Final

import msgspec

from eventer.demo.apiserver import ApiServer

__all__ = ["Replay"]

FILE: Final = "recording.jsonl.gz"
_STAMPS: Final = ("firstTimestamp", "lastTimestamp", "eventTime")
_BORN: Final = ("firstTimestamp", "eventTime")
"""Times that an update of an Event does not change."""


class Line(msgspec.Struct, frozen=True):
    """One recorded watch line."""

    type: str
    object: dict[str, Any]


class Replay:
    """Writes the recording into a server, one change at a time.

    Args:
        server: where to.
    """

    def __init__(self, server: ApiServer) -> None:
        packed = resources.files("eventer.demo").joinpath(FILE).read_bytes()
        self._lines = msgspec.json.Decoder(Line).decode_lines(gzip.decompress(packed))
        self._server = server
        self._next = 0
        self._names: dict[tuple[str, str], str] = {}
        """Recorded (namespace, name) -> name in this round: each round has objects of its own."""
        self._expiring: deque[tuple[str, str]] = deque()
        self.round = 1

    def write(self) -> dict[str, Any]:
        """Make the next change, and return the object as the server keeps it."""
        if self._next == len(self._lines):
            self._expiring.extend((namespace, name) for (namespace, _), name in self._names.items())
            self._names.clear()
            self._next = 0
            self.round += 1
        if self._expiring:
            namespace, name = self._expiring.popleft()
            self._server.delete(name, namespace)
        line = self._lines[self._next]
        self._next += 1
        metadata = line.object["metadata"]
        namespace, recorded = metadata["namespace"], metadata["name"]
        fields = _now(line.object)
        if line.type == "ADDED":
            # Recorders name an Event after its object and the nanosecond at which they made it.
            name = self._names[namespace, recorded] = f"{recorded.rpartition('.')[0]}.{time.time_ns():x}"
            return self._server.create(name, namespace, fields=fields)
        for field in _BORN:
            fields.pop(field, None)
        return self._server.patch(self._names[namespace, recorded], namespace, **fields)


def _now(recorded: dict[str, Any]) -> dict[str, Any]:
    """Return an Event's own fields, with its times moved to this moment."""
    now = datetime.now(UTC)
    second, micro = now.strftime("%Y-%m-%dT%H:%M:%SZ"), now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    fields = {name: value for name, value in recorded.items() if name not in {"kind", "apiVersion", "metadata"}}
    for field in _STAMPS:
        if fields.get(field):
            fields[field] = micro if field == "eventTime" else second
    if fields.get("series"):
        fields["series"] = {**fields["series"], "lastObservedTime": micro}
    return fields
