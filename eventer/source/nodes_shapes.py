"""What a Node looks like in the API's JSON, as far as we read it; see `shapes`."""

from __future__ import annotations

import msgspec
from msgspec import field

from eventer.source import shapes

__all__ = ["Condition", "Metadata", "Node", "NodeLine", "Spec", "Status", "Taint"]


class Condition(msgspec.Struct, gc=False):
    """One condition. Its times stay text: only those of an edge are looked at."""

    type: str | None = None
    status: str | None = None
    reason: str | None = None
    message: str | None = None
    heartbeat: str | None = field(name="lastHeartbeatTime", default=None)
    since: str | None = field(name="lastTransitionTime", default=None)


class Taint(msgspec.Struct, gc=False):
    """One taint."""

    key: str | None = None
    value: str | None = None
    effect: str | None = None
    added: str | None = field(name="timeAdded", default=None)


class Spec(msgspec.Struct, gc=False):
    """What is wanted of a Node."""

    unschedulable: bool | None = None
    taints: list[Taint] | None = None


class Info(msgspec.Struct, gc=False):
    """What a Node says of its system."""

    boot: str | None = field(name="bootID", default=None)


class Status(msgspec.Struct, gc=False):
    """What a Node says of itself, and what others say of it."""

    conditions: list[Condition] | None = None
    info: Info | None = field(name="nodeInfo", default=None)


class Metadata(shapes.Metadata, gc=False):
    """Metadata, with who wrote what: half of the line, left encoded until there is an edge."""

    fields: msgspec.Raw = field(name="managedFields", default=msgspec.Raw(b"null"))
    deleted: str | None = field(name="deletionTimestamp", default=None)


class Node(msgspec.Struct, gc=False):
    """core/v1 Node."""

    metadata: Metadata | None = None
    spec: Spec | None = None
    status: Status | None = None


class NodeLine(msgspec.Struct, gc=False):
    """A watch line of Nodes."""

    type: str
    object: Node
