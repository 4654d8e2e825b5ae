"""A fleet of nodes whose changes come from the real edges, told through alerting with the catalog that is shipped."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from eventer.about import About, NodeFacts, PodFacts
from eventer.alerting.alerts import Alerts
from eventer.alerting.nodes import inhibits
from eventer.alerting.notification import Notification, Why
from eventer.alerting.plan import Plan
from eventer.catalog import shipped
from eventer.config.inhibition import Inhibit
from eventer.event import Event, Origin, Part, problem_key
from eventer.match import Rule, Verdicts
from eventer.source.nodes_edges import About as Version
from eventer.source.nodes_edges import Edges
from eventer.source.nodes_shapes import Condition, Taint
from tests.helpers.sightings import Memory

START = 1_800_000_000.0
_TROUBLE = Rule.parse({"severity": ["warning", "critical"]})


class Fleet:
    """Nodes, what happens to them, and what one notifier is told of it. Times are seconds after `START`.

    Args:
        inhibit: the configuration.
        zones: the zone of each node, by its name; look-ups know them.
        keeps_open: whether the notifier is one that holds alerts open.
    """

    def __init__(
        self, inhibit: Inhibit | None = None, zones: dict[str, str] | None = None, *, keeps_open: bool = False
    ) -> None:
        self._now = 0.0
        self._edges = Edges("prod", {}, lambda: _time(self._now))
        self._parts: dict[str, Part] = {}
        self._uids: dict[str, str] = {}
        self._nodes: dict[str, Memory] = {}
        self._numbers = itertools.count(1)
        self._waiting: list[tuple[float, int, Event]] = []
        self._zones = zones or {}
        self._verdicts = Verdicts([_TROUBLE])
        self._plan = Plan(
            by=("cluster", "namespace", "family"), inhibits=inhibits(inhibit or Inhibit()), every_end=keeps_open
        )
        self.alerts = self._made(None)
        self.told: list[tuple[float, Notification]] = []

    def _made(self, stored: bytes | None) -> Alerts:
        return Alerts(lambda events: [at >= 0 for at in self._verdicts(events)], shipped(), self._plan, stored)

    # -- what happens ----------------------------------------------------------------------------

    def condition(self, at: float, name: str, condition: str, status: str, reason: str = "Because") -> None:
        self._now = at
        part = f"{name}/{condition}"
        stamp = _time(at).strftime("%Y-%m-%dT%H:%M:%SZ")
        content = Condition(type=condition, status=status, reason=reason, message=reason, since=stamp, heartbeat=stamp)
        event, number = self._edges.condition(self._version(name), content, self._parts.get(part), 0.0)
        self._parts[part] = number, 0
        self._add(at, event)

    def seen(self, at: float, node: dict[str, Any]) -> None:
        """A node as the API shows it at that time, whatever has changed of it."""
        memory = self._nodes.setdefault(node["metadata"]["name"], Memory())
        for event in memory.see(node):
            self._add(at, event)

    def unreachable(self, at: float, name: str) -> None:
        """The node controller hears nothing of it: all that the kubelet writes turns Unknown at once."""
        for type_ in ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure"):
            self.condition(at, name, type_, "Unknown", "NodeStatusUnknown")
        self.event(at, "Node", name, "NodeNotReady", component="node-controller", normal=True)

    def back(self, at: float, name: str) -> None:
        self.condition(at, name, "Ready", "True", "KubeletReady")
        for type_ in ("MemoryPressure", "DiskPressure", "PIDPressure"):
            self.condition(at, name, type_, "False", "KubeletHasSufficient")
        self.event(at, "Node", name, "NodeReady", normal=True)

    def taint(self, at: float, name: str, key: str, *, gone: bool = False) -> None:
        self._now = at
        version = self._version(name)
        if gone:
            self._add(at, self._edges.taint_gone(version, f"{key}:NoSchedule", (0, 0)))
        else:
            self._add(at, self._edges.taint(version, Taint(key=key, effect="NoSchedule"), None)[0])

    def cordon(self, at: float, name: str, *, gone: bool = False) -> None:
        self._now = at
        version = self._version(name)
        self._add(at, self._edges.cordon_gone(version, (0, 0)) if gone else self._edges.cordon(version)[0])

    def boot(self, at: float, name: str) -> None:
        self._now = at
        self._add(at, self._edges.boot(self._version(name), f"boot-{at}"))
        self.event(at, "Node", name, "Rebooted")

    def added(self, at: float, name: str) -> None:
        self._now = at
        self._uids[name] = f"{name}-{next(self._numbers)}"
        self._add(at, self._edges.added(self._version(name)))

    def deleted(self, at: float, name: str) -> None:
        self._now = at
        self._add(at, self._edges.deleted(self._version(name)))
        self._parts = {part: known for part, known in self._parts.items() if not part.startswith(f"{name}/")}

    def event(
        self,
        at: float,
        kind: str,
        name: str,
        reason: str,
        *,
        component: str = "kubelet",
        normal: bool = False,
        node: str = "",
        looked_up: str = "",
        meaning: tuple[str, str, str] = ("", "", ""),
    ) -> None:
        """An Event of the API; a kubelet's names its node, and a look-up that of a pod.

        Args:
            meaning: condition, status and state, where the Event tells of one.
        """
        namespace = "shop" if kind != "Node" else ""
        object_key = f"prod/{kind}/{namespace}/{name}"
        condition, status, state = meaning
        self._add(
            at,
            Event(
                id=f"{object_key}/{reason}/{at}", time=_time(at), cluster="prod", origin=Origin.EVENT, type="Normal" if normal else "Warning",
                reason=reason, message=f"{reason} of {name}", kind=kind, namespace=namespace, name=name, count=1,
                delta=1, component=component, node=node, entity=f"{object_key}/{reason}", version=1,
                condition=condition, status=status, state=state, object=object_key,
                problem=problem_key(object_key, reason, ""),
                about=About(enriched="ok", pod=PodFacts(node=looked_up)) if looked_up else About(),
            ),
        )  # fmt: skip

    # -- what is told ----------------------------------------------------------------------------

    def play(self, until: float) -> list[str]:
        """Let it happen until then; return what was told since the last call, in short."""
        before = len(self.told)
        self.alerts = self._made(self.alerts.state())  # what counts must be in what is stored
        while True:
            at = min(self._waiting[0][0] if self._waiting else until + 1, self.alerts.due - START)
            if at > until:
                break
            events = []
            while self._waiting and self._waiting[0][0] <= at:
                events.append(heapq.heappop(self._waiting)[2])
            self.told += [(at, note) for note in self.alerts.step(events, START + at)]
        return [short for _, note in self.told[before:] for short in _short(note)]

    @property
    def spoken(self) -> list[Notification]:
        """Messages that tell of more than an end."""
        return [note for _, note in self.told if note.why is not Why.RESOLVED]

    def _add(self, at: float, event: Event | None) -> None:
        if event is None:
            return
        if event.kind == "Node" and event.name in self._zones:
            facts = NodeFacts(name=event.name, zone=self._zones[event.name], pool="batch")
            event = msgspec.structs.replace(event, about=About(enriched="ok", node=facts))
        heapq.heappush(self._waiting, (at, next(self._numbers), event))

    def _version(self, name: str) -> Version:
        return Version(name, self._uids.setdefault(name, name), next(self._numbers), _time(self._now))


def _short(note: Notification) -> Iterator[str]:
    for item in note.items:
        yield f"{item.name} {item.family} {'over' if item.ended is not None else 'bad'}"


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(START + at, UTC)
