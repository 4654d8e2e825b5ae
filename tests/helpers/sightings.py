"""Nodes as the API has them, decoded, and what the ledger would remember of one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from eventer.event import Event, Part, Sighting
from eventer.source.nodes import NodeDecoder

__all__ = ["NOW", "T0", "T1", "Memory", "condition", "decoder", "line", "node", "sighting"]

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
T0 = "2026-01-01T00:00:00Z"
T1 = "2026-01-01T01:00:00Z"


def decoder() -> NodeDecoder:
    return NodeDecoder("prod", 0, {"region": "here"}, lambda: NOW)


def condition(type_: str = "Ready", status: str = "True", since: str | None = T0, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": type_,
        "status": status,
        "reason": f"{type_}Is{status}",
        "lastHeartbeatTime": T0,
        "message": "m",
    }
    return made | ({"lastTransitionTime": since} if since is not None else {}) | more


def node(*conditions: dict[str, Any], version: int = 7, spec: Any = None, **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "n1", "uid": "u1", "resourceVersion": str(version), "creationTimestamp": T0} | metadata,
        "spec": spec or {},
        "status": {"conditions": list(conditions), "nodeInfo": {"bootID": "b1"}},
    }


def line(body: Any, kind: str = "MODIFIED") -> bytes:
    return json.dumps({"type": kind, "object": body}).encode() + b"\n"


def sighting(body: Any, kind: str = "MODIFIED") -> Sighting:
    (found,) = decoder().block(line(body, kind)).arrivals.sightings
    return found


class Memory:
    """What the ledger would know of one node."""

    def __init__(self) -> None:
        self.parts: dict[str, Part] | None = None
        self.digest: int | None = None

    def see(self, body: Any, *, new: bool = False, after: float | None = None) -> list[Event]:
        found = sighting(body)
        if found.digest == self.digest:
            return []
        self.digest = found.digest
        events, learnt = found.compare(self.parts, new=new, after=after)
        self.parts = self.parts or {}
        for name, part in learnt.items():
            if part is None:
                del self.parts[name]
            else:
                self.parts[name] = part
        return events
