"""Nodes of the Kubernetes API in, edges out: an Event for each change of a condition, and nothing for a heartbeat.

A Node is no event. It is written again every few minutes by each of those who watch over it, and more than 95 %
of these writes change nothing but the time of a heartbeat. So a line becomes a `Sighting`, which knows a digest of
what counts; intake asks the ledger whether that has changed, and only then what of it. What counts:

    conditions     status, reason and lastTransitionTime of each; not its message
    taints         but for those that Kubernetes derives from conditions and from a cordon: they are told already
    cordon         spec.unschedulable
    boot           status.nodeInfo.bootID, which the kernel makes anew at each start
    heartbeats     only where they have stopped: see `nodes_silent`
    the Node       that it has come, and that it is gone

The server can leave nothing of this out: no field selector of Nodes helps, and metadata alone holds no conditions
(https://github.com/kubernetes/kubernetes, pkg/apis/core/v1/conversion.go).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

import msgspec

from eventer.event import Arrivals, Event, Part, version_of
from eventer.source import shapes
from eventer.source.envelope import Envelope, identity, metadata_of
from eventer.source.nodes_edges import About, Edges, in_trouble
from eventer.source.nodes_shapes import Condition, Metadata, Node, NodeLine, Spec, Status, Taint
from eventer.source.nodes_silent import silence_of

__all__ = ["DERIVED", "NodeDecoder"]

DERIVED: Final = frozenset(
    f"node.kubernetes.io/{name}"
    for name in (
        "disk-pressure",
        "memory-pressure",
        "network-unavailable",
        "not-ready",
        "pid-pressure",
        "unreachable",
        "unschedulable",
    )
)
"""Taints that the control plane sets by conditions and by a cordon
(https://kubernetes.io/docs/reference/labels-annotations-taints/)."""

# Parts that are no condition; no type of one begins with a colon.
_TAINT: Final = "/:taint:"
_CORDON: Final = "/:cordon"
_BOOT: Final = "/:boot"
_SILENT: Final = "/:silent:"
"""Followed by the last heartbeat of conditions that nobody renews: until another one comes, it is the same silence."""
_DOUBTED: Final = "doubted"
"""In the hash of a condition that is trouble and whose writer is silent."""


class NodeDecoder(Envelope):
    """Decodes Nodes into sightings.

    Args:
        cluster, epoch, labels: as those of `Envelope`.
        now: tells the API server's time.
    """

    def __init__(self, cluster: str, epoch: int, labels: Mapping[str, str], now: Callable[[], datetime]) -> None:
        super().__init__(NodeLine, Node, cluster, epoch, labels)
        self._edges = Edges(cluster, labels, now)
        self._roll = NodeRoll(self._edges)

    def items(self, items: Sequence[msgspec.Raw]) -> Arrivals:
        """Decode items of a list; see `Envelope.items`. One decoder takes the items of one list."""
        arrivals = super().items(items)
        self._roll.entities.update(sighting.entity for sighting in arrivals.sightings)
        for raw in arrivals.poison:
            # It exists, though it cannot be read. Where not even its name can be, nothing may be said to be gone.
            metadata = metadata_of(b'{"object":%s}' % raw)
            name = self._called(metadata) if metadata is not None else ""
            self._roll.entities.add(name)
            self._roll.whole = self._roll.whole and bool(name)
        arrivals.roll = self._roll
        return arrivals

    def _take(self, arrivals: Arrivals, kind: str, body: Any, metadata: shapes.Metadata | None) -> bool:
        uid, version = identity(metadata)
        if metadata is None or version is None or not self._called(metadata):
            return False
        if body is None:
            if kind != "DELETED":
                return False
            body = Node(metadata=Metadata(name=metadata.name, uid=uid, created=metadata.created))
        arrivals.sightings.append(NodeSighting(self._edges, body, version_of(self.epoch, version), kind))
        return True

    def _state(self, uid: str, version: int) -> str:
        # A Node that cannot be read is one thing, however often its heartbeats bring it.
        del version
        return uid

    def _called(self, metadata: shapes.Metadata) -> str:
        # With its name, which must be known when a Node is found to be gone.
        return f"node/{metadata.uid}/{metadata.name}" if metadata.uid and metadata.name else ""


class NodeRoll:
    """The Nodes that a list has shown; see `Roll`."""

    def __init__(self, edges: Edges) -> None:
        self.entities: set[str] = set()
        self.whole = True
        self._edges = edges

    def __contains__(self, entity: str) -> bool:
        return not self.whole or entity in self.entities

    def missing(self, entity: str, version: int) -> tuple[str, Event]:
        """Return what the names of its parts begin with, and the event that says that it is gone."""
        _, uid, name = entity.split("/", 2)
        return uid, self._edges.deleted(About(name, uid, version))


class NodeSighting:
    """One version of a Node; see `Sighting`."""

    __slots__ = ("_edges", "_node", "_silence", "added", "digest", "entity", "gone", "parts", "version")

    def __init__(self, edges: Edges, node: Node, version: int, kind: str) -> None:
        self._edges = edges
        self._node = node
        metadata = node.metadata or Metadata()
        self.parts = metadata.uid or ""
        self.entity = f"node/{metadata.uid}/{metadata.name}"
        self.version = version
        self.added = kind == "ADDED"
        self.gone = kind == "DELETED"
        spec, status = node.spec or Spec(), node.status or Status()
        conditions = status.conditions or ()
        self._silence = found, sure = silence_of(conditions)
        stopped = None if found is None else [each.heartbeat for each in found]
        self.digest = _hash(
            [(each.type, each.status, each.reason, each.since) for each in conditions],
            [(each.key, each.value, each.effect) for each in spec.taints or () if each.key not in DERIVED],
            spec.unschedulable is True,
            status.info.boot if status.info is not None else None,
            # Left out while all are heard of, whether for long or not: then nothing follows from it.
            *(() if stopped == [] else (sure, stopped)),
        )

    def compare(
        self, known: Mapping[str, Part] | None, *, new: bool, after: float | None
    ) -> tuple[list[Event], dict[str, Part | None]]:
        """Tell what has changed; see `Sighting.compare`."""
        edges, metadata = self._edges, self._node.metadata or Metadata()
        about = About(
            metadata.name or "", self.parts, self.version, metadata.created, metadata.deleted, metadata.fields
        )
        before = known or {}
        if self.gone:
            return [edges.deleted(about)], dict.fromkeys(before)
        events = [edges.added(about)] if new else []
        learnt: dict[str, Part | None] = {}
        now = set()
        for part, hash_, content in self._now(before):
            now.add(part)
            was = before.get(part)
            if was is None or was[1] != hash_:
                event, number = self._edge(about, content, was, first=known is None, after=after)
                learnt[part] = number, hash_
                if event is not None:
                    events.append(event)
        for part, was in before.items():
            # A boot ID that is not told for a while is not another one.
            if part not in now and not part.endswith(_BOOT) and not part.startswith(f"{self.parts}{_SILENT}"):
                learnt[part] = None
                event = self._end(about, part, was)
                if event is not None:
                    events.append(event)
        event = self._silences(about, before, learnt)
        return (events if event is None else [*events, event]), learnt

    def _silences(self, about: About, before: Mapping[str, Part], learnt: dict[str, Part | None]) -> Event | None:
        """Return the event for conditions that nobody renews any more, or for that all are renewed again.

        A silence is known by the heartbeat after which it began, and lasts for as long as a condition has that.
        """
        name = f"{self.parts}{_SILENT}"
        known = {part for part in before if part.startswith(name)}
        found, sure = self._silence
        standing = found if found is not None else (self._node.status or Status()).conditions
        now = {f"{name}{each.heartbeat}" for each in standing or ()}
        if not sure:
            now &= known
        learnt.update(dict.fromkeys(known - now))
        learnt.update(dict.fromkeys(now - known, (0, 0)))
        if now - known:
            return self._edges.silent(about, found or ())
        if known and not now:
            return self._edges.heard(about, min(known).removeprefix(name))
        return None

    def _now(self, before: Mapping[str, Part]) -> Iterator[tuple[str, int, Condition | Taint | str | None]]:
        """Yield the parts that the Node has now: name, hash of what makes an edge when it changes, content."""
        node, uid = self._node, self.parts
        spec, status = node.spec or Spec(), node.status or Status()
        for each in status.conditions or ():
            part = f"{uid}/{each.type}"
            yield part, _condition_hash(each, doubted=self._doubted(each, before.get(part))), each
        for taint in spec.taints or ():
            if taint.key not in DERIVED:
                yield f"{uid}{_TAINT}{taint.key}:{taint.effect}", _hash(taint.value), taint
        if spec.unschedulable is True:
            yield f"{uid}{_CORDON}", 0, None
        boot = status.info.boot if status.info is not None else None
        if boot:
            yield f"{uid}{_BOOT}", _hash(boot), boot

    def _doubted(self, condition: Condition, was: Part | None) -> bool:
        """Whether a condition is trouble, and its writer silent: it may be over, and nobody would say so."""
        found, sure = self._silence
        if found is not None and condition not in found:
            return False
        if not sure:  # as it was
            return was is not None and was[1] == _condition_hash(condition, doubted=True)
        return in_trouble(condition)

    def _edge(
        self,
        about: About,
        content: Condition | Taint | str | None,
        was: Part | None,
        *,
        first: bool,
        after: float | None,
    ) -> tuple[Event | None, int]:
        """Return the event for a part that is new or has changed, if it is one, and the part's number."""
        edges = self._edges
        if isinstance(content, Condition):
            return edges.condition(about, content, was, after, doubted=self._doubted(content, was))
        if isinstance(content, Taint):
            # Most nodes with a taint were made with it.
            return (None, 0) if first else edges.taint(about, content, was)
        if content is None:
            return edges.cordon(about)
        return (edges.boot(about, content) if was is not None else None), 0

    def _end(self, about: About, part: str, was: Part) -> Event | None:
        """Return the event for a part that is gone, if that is one."""
        edges, name = self._edges, part[len(self.parts) :]
        if name.startswith(_TAINT):
            return edges.taint_gone(about, name.removeprefix(_TAINT), was)
        if name == _CORDON:
            return edges.cordon_gone(about, was)
        return edges.condition_gone(about, name[1:], was)


def _condition_hash(condition: Condition, *, doubted: bool) -> int:
    content = condition.status, condition.reason, condition.since
    return _hash(*content, _DOUBTED) if doubted else _hash(*content)


def _hash(*content: Any) -> int:
    """Return a hash that is the same in every process."""
    return int.from_bytes(blake2b(msgspec.json.encode(content), digest_size=8).digest(), "big", signed=True)
