"""A cluster whose components write Events as the real ones do: which reasons, how often, and what they leave out.

What tells people apart is the rhythm, and it is client-go's. A recorder counts up the Event that says the same,
folds messages that differ after ten of them, and sends of one component about one object 25 Events at once and one
more every five minutes; what it leaves out is in the next one's count:
https://github.com/kubernetes/client-go/blob/master/tools/record/events_cache.go
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from eventer.about import About, NamespaceFacts, NodeFacts, Owner, PodFacts
from eventer.event import Event, Origin, Part, encode_lines, problem_key
from eventer.sink import Batch
from eventer.source.nodes_edges import About as Node
from eventer.source.nodes_edges import Edges
from eventer.source.nodes_shapes import Condition

__all__ = ["CLUSTER", "Cluster", "Known", "Pod"]

CLUSTER: Final = "prod"
_OF_NO_UID: Final = frozenset({"TaintManagerEviction"})
"""What names its object by namespace and name alone: nothing can be looked up for it
(https://github.com/kubernetes/kubernetes, pkg/controller/tainteviction)."""
BURST: Final = 25
REFILL: Final = 300.0
SERIES: Final = 1800.0
"""Between two updates of a series."""
SERIES_ENDS: Final = 360.0
"""After which what happens again is a new Event."""
SIMILAR: Final = 10
"""Messages of one reason about one object that are told apart within ten minutes."""
_OF_THE_POD: Final = frozenset({"FailedMount", "FailedCreatePodSandBox", "NetworkNotReady", "Evicted"})
"""What the kubelet says of a pod as a whole, not of a container."""


@dataclass(frozen=True)
class Pod:
    """A pod, and what a look-up would find of it."""

    name: str
    namespace: str
    node: str
    owner: str
    team: str = ""

    @property
    def key(self) -> str:
        return f"{CLUSTER}/Pod/{self.namespace}/{self.name}"

    def about(self) -> About:
        return About(
            enriched="ok",
            pod=PodFacts(node=self.node, phase="Running"),
            owner=Owner(kind="Deployment", name=self.owner),
            namespace=NamespaceFacts(labels={"team": self.team} if self.team else {}),
            node=NodeFacts(name=self.node),
        )


@dataclass
class _Spoken:
    """One Event object."""

    uid: str
    first: float
    count: int = 0
    sent: int = 0


@dataclass
class _Bucket:
    left: float = BURST
    at: float = 0.0


@dataclass
class Cluster:
    """Writes what its components say. Times are seconds after `begin`, the wall clock of that moment."""

    begin: datetime
    events: list[tuple[float, Event]] = field(default_factory=list)
    """When each can be read, and what it is. Sorted by `stream`."""
    pods: dict[str, Pod] = field(default_factory=dict)
    """By their key, what look-ups find."""
    _versions: itertools.count[int] = field(default_factory=lambda: itertools.count(1000))
    _spoken: dict[tuple[str, ...], _Spoken] = field(default_factory=dict)
    _buckets: dict[tuple[str, str], _Bucket] = field(default_factory=dict)
    _series: dict[tuple[str, str], tuple[float, int]] = field(default_factory=dict)
    """By pod and reason, when it was said last and how often in a row."""
    _similar: dict[tuple[str, ...], dict[str, float]] = field(default_factory=dict)
    _conditions: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)
    _cordons: dict[str, int] = field(default_factory=dict)

    def pod(self, name: str, namespace: str = "shop", *, node: str = "n1", owner: str = "web", team: str = "") -> Pod:
        """Make a pod, so that look-ups find it."""
        made = Pod(name, namespace, node, owner, team)
        self.pods[made.key] = made
        return made

    def stream(self) -> list[tuple[float, Event]]:
        """Return all that was written, in order of time."""
        return sorted(self.events, key=lambda each: each[0])

    # -- who speaks ------------------------------------------------------------------------------

    def kubelet(self, at: float, pod: Pod, reason: str, message: str = "", *, bad: bool = False) -> None:
        """The kubelet of a pod's node, about its container `app`."""
        path = "" if reason in _OF_THE_POD else "spec.containers{app}"
        self._pod(at, pod, reason, message, bad=bad, component="kubelet", node=pod.node, path=path)

    def controller(
        self, at: float, pod: Pod, reason: str, message: str, *, component: str = "node-controller", bad: bool = False
    ) -> None:
        """A controller about a pod. It does not say on which node that is."""
        self._pod(at, pod, reason, message, bad=bad, component=component, node="", path="")

    def scheduler(self, at: float, pod: Pod, reason: str, message: str, *, bad: bool = False) -> None:
        """The scheduler, which records in the newer way: the first, the second, and of a series one in 30 minutes.

        https://github.com/kubernetes/client-go/blob/master/tools/events/event_broadcaster.go
        """
        last = self._series.get((pod.key, reason), (-math.inf, 0))
        number = last[1] + 1 if at - last[0] < SERIES_ENDS else 1
        self._series[pod.key, reason] = at, number
        if number <= 2 or at // SERIES > last[0] // SERIES:
            self._pod(at, pod, reason, message, bad=bad, component="default-scheduler", node="", path="")

    def about(
        self, at: float, kind: str, name: str, reason: str, message: str, *, component: str, bad: bool = False,
        namespace: str = "shop",
    ) -> None:  # fmt: skip
        """A component about any other object; `namespace` is empty for a node."""
        node = name if kind == "Node" and component == "kubelet" else ""
        self._say(at, kind, namespace, name, reason, message, bad=bad, component=component, node=node, path="")

    def condition(self, at: float, node: str, type_: str, status: str, reason: str, message: str = "") -> None:
        """A writer of a node's conditions; nothing is told if it is so already. At the beginning all is well."""
        what = (node, type_)
        good = "True" if type_ == "Ready" else "False"
        was, number = self._conditions.setdefault(what, (good, self._edge(0, node, type_, good, reason, message)[1]))
        if was != status:
            event, number = self._edge(at, node, type_, status, reason, message, (number, 0))
            assert event is not None
            self._conditions[what] = status, number
            self.events.append((at, event))

    def cordon(self, at: float, node: str) -> None:
        """Somebody closes a node to new pods."""
        event, self._cordons[node] = self._edges_at(at).cordon(self._node(node))
        self.events.append((at, event))

    def uncordon(self, at: float, node: str) -> None:
        """It is open again."""
        self.events.append((at, self._edges_at(at).cordon_gone(self._node(node), (self._cordons.pop(node), 0))))

    def boot(self, at: float, node: str) -> None:
        """The system of a node has begun anew."""
        self.events.append((at, self._edges_at(at).boot(self._node(node), f"boot-{at}")))

    def _edge(
        self, at: float, node: str, type_: str, status: str, reason: str, message: str, was: Part | None = None
    ) -> tuple[Event | None, int]:
        now = Condition(type=type_, status=status, reason=reason, message=message, since=f"{self._time(at):%FT%TZ}")
        return self._edges_at(at).condition(self._node(node), now, was, None)

    def _edges_at(self, at: float) -> Edges:
        return Edges(CLUSTER, {}, lambda: self._time(at))

    def _node(self, name: str) -> Node:
        return Node(name, f"uid-of-{name}", next(self._versions))

    # -- client-go's recorder --------------------------------------------------------------------

    def _pod(
        self, at: float, pod: Pod, reason: str, message: str, *, bad: bool, component: str, node: str, path: str
    ) -> None:
        said = message or f"{reason} of {pod.name}"
        self._say(at, "Pod", pod.namespace, pod.name, reason, said, bad=bad, component=component, node=node, path=path)

    def _say(
        self, at: float, kind: str, namespace: str, name: str, reason: str, message: str, *, bad: bool,
        component: str, node: str, path: str,
    ) -> None:  # fmt: skip
        key = f"{CLUSTER}/{kind}/{namespace}/{name}"
        type_ = "Warning" if bad else "Normal"
        alike = (component, node, key, path, type_, reason)
        texts = self._similar.setdefault(alike, {})
        for text in [text for text, last in texts.items() if at - last > 2 * REFILL]:
            del texts[text]
        texts[message] = at
        combined = len(texts) > SIMILAR
        if combined:
            message = f"(combined from similar events): {message}"
        number = next(self._versions)
        spoken = self._spoken.setdefault((*alike, "" if combined else message), _Spoken(f"uid-{number}", at))
        spoken.count += 1
        if not self._passes(component + node, key, at):
            return
        delta, spoken.sent = spoken.count - spoken.sent, spoken.count
        made = Event(
            id=f"{CLUSTER}/0/{spoken.uid}/{number}", time=self._time(at), cluster=CLUSTER, origin=Origin.EVENT,
            type=type_, reason=reason, message=message, kind=kind, namespace=namespace, name=name, count=spoken.count,
            delta=delta, first=self._time(spoken.first), component=component, node=node, field_path=path,
            entity=spoken.uid, version=number, object=key, problem=problem_key(key, reason, path),
            uid="" if reason in _OF_NO_UID else f"uid of {key}",
        )  # fmt: skip
        self.events.append((at, made))

    def _passes(self, source: str, key: str, at: float) -> bool:
        bucket = self._buckets.setdefault((source, key), _Bucket(at=at))
        bucket.left = min(float(BURST), bucket.left + (at - bucket.at) / REFILL)
        bucket.at = at
        if bucket.left < 1:
            return False
        bucket.left -= 1
        return True

    def _time(self, at: float) -> datetime:
        # The API keeps whole seconds of most Events.
        return (self.begin + timedelta(seconds=at)).astimezone(UTC).replace(microsecond=0)


class Known:
    """Look-ups that find what there is, at once."""

    def __init__(self, cluster: Cluster) -> None:
        self._pods = cluster.pods

    async def __call__(self, batch: Batch) -> Batch:
        events = [self.enriched(event) for event in batch.events]
        return Batch(encode_lines(events), events)

    def count(self, batch: Batch) -> None:
        """Nobody asks these tests' look-ups for figures."""

    def enriched(self, event: Event) -> Event:
        """Return an event with what there is to know of its object."""
        if event.kind == "Node":
            return msgspec.structs.replace(event, about=About(enriched="ok", node=NodeFacts(name=event.name)))
        pod = self._pods.get(event.object) if event.uid else None
        return event if pod is None else msgspec.structs.replace(event, about=pod.about())
