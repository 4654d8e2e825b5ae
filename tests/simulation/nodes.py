"""Nodes of the simulated cluster: what happens to them, and what must have been told of it when all is at rest.

The same equations as for Events: the last state of each condition, each single change that no list can have folded,
and that a node is gone. That nothing comes twice, and the books, are judged for all events alike.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from eventer.clock import Clock
from eventer.event import Event
from eventer.source.spoken import state_of
from tests.simulation.api import Api

__all__ = ["PATH", "NodeWork", "untold"]

PATH = "/api/v1/nodes"
TYPES = ("Ready", "MemoryPressure", "KernelDeadlock")
STATUSES = ("True", "False", "Unknown")


@dataclass(frozen=True)
class Edge:
    """One change of a condition, which must be told unless a list came after it."""

    version: int
    id: str
    """Of its event; where its time had not moved, the version follows."""
    well: bool
    """It is of type Normal."""


class NodeWork:
    """Writes Nodes, and keeps book."""

    def __init__(self, api: Api, clock: Clock, dice: random.Random, cluster: str) -> None:
        self.edges: list[Edge] = []
        self.gone: set[str] = set()
        """uids of nodes that were deleted."""
        self._nodes = api.server.nodes
        self._nodes.now = lambda: clock.now() + self._ahead
        self._ahead = timedelta()
        """By which the writers' clocks are ahead: what they do in hours happens in seconds here."""
        self._dice = dice
        self._cluster = cluster
        self._made = 0

    @property
    def version(self) -> int:
        """Of the last write."""
        return self._nodes.store.version

    @property
    def alive(self) -> list[dict[str, Any]]:
        """The nodes that there are."""
        return [*self._nodes.store.objects.values()]

    async def run(self, count: int) -> None:
        """Make so many writes, most of which change nothing."""
        for _ in range(count):
            self._operate()
            await asyncio.sleep(self._dice.choice((0.0, 0.0, 0.1, 0.4, self._dice.random())))
        for _, name in sorted(self._nodes.store.objects):
            if self._dice.random() < 0.5:
                await self._last_words(name)

    async def _last_words(self, name: str) -> None:
        """Let a node be ready for long, so that at the end it is known who is silent on it."""
        self._change(name, "Ready", "True", "")
        for silent in ((), *self._dice.choices(((), TYPES[1:], TYPES[2:]), k=2)):
            self._ahead += timedelta(minutes=40)
            self._nodes.heartbeat(name, silent=silent)
            await asyncio.sleep(self._dice.choice((0.0, 0.4)))

    def _operate(self) -> None:
        dice = self._dice
        names = sorted(name for _, name in self._nodes.store.objects)
        chance = dice.random()
        if not names or (chance < 0.15 and len(names) < 4):
            self._create(next(name for name in "vwxyz" if name not in names))
            return
        name = dice.choice(names)
        if dice.random() < 0.3:
            self._ahead += timedelta(minutes=dice.choice((1, 5, 16, 40)))
        if chance < 0.4:
            self._nodes.heartbeat(name, silent=dice.choice(((), TYPES[1:], TYPES[2:], TYPES[:1])))
        elif chance < 0.85:
            self._change(name, dice.choice(TYPES), dice.choice(STATUSES), dice.choice(("", "", "Other")))
        elif chance < 0.93:
            self._nodes.spec(name, unschedulable=dice.random() < 0.5)
        else:
            self.gone.add(self._nodes.get(name)["metadata"]["uid"])
            self._nodes.delete(name)

    def _create(self, name: str) -> None:
        self._made += 1
        uid = f"n{self._made:03d}"
        created = self._nodes.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        metadata = {"name": name, "uid": uid, "creationTimestamp": created}
        status = {"conditions": [], "nodeInfo": {"bootID": f"boot of {uid}"}}
        self._nodes.store.put({"metadata": metadata, "spec": {}, "status": status})

    def _change(self, name: str, type_: str, status: str, reason: str) -> None:
        before = _conditions(self._nodes.get(name)).get(type_)
        node = self._nodes.condition(name, type_, status, reason)
        after = _conditions(node)[type_]
        # One that appears and is well is no change.
        if after != before and (before is not None or state_of(type_, status) != "resolved"):
            id_ = "/".join((self._cluster, node["metadata"]["uid"], type_, *after))
            self.edges.append(Edge(self.version, id_, state_of(type_, status) == "resolved"))


def _conditions(node: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    return {
        each["type"]: (each["status"], each["reason"], each["lastTransitionTime"])
        for each in node["status"]["conditions"]
    }


def _silent(node: dict[str, Any]) -> bool | None:
    """Whether somebody has renewed a condition, and does so no more; None where nobody can tell."""
    times = {
        each["type"]: [datetime.fromisoformat(each[name]) for name in ("lastHeartbeatTime", "lastTransitionTime")]
        for each in node["status"]["conditions"]
    }
    if "Ready" not in times or _conditions(node)["Ready"][0] != "True":
        return None
    heard, since = times["Ready"]
    late = heard.replace(second=0) - timedelta(minutes=15)
    if since >= late:
        return None
    return any(beat < late and set_ < beat.replace(second=0) - timedelta(minutes=1) for beat, set_ in times.values())


def untold(work: NodeWork, arrived: list[Event], listed: int | None, *, normal: bool) -> list[str]:
    """Return what of the nodes should have come to a far side, and has not.

    Args:
        arrived: what came there.
        listed: highest version at which a list of nodes began, before which changes may be folded; None where not
            every single change must have come.
        normal: whether it wants more than warnings.
    """
    missing: list[str] = []
    newest: dict[str, Event] = {}
    for event in arrived:
        if event.origin == "node" and (event.entity not in newest or newest[event.entity].version < event.version):
            newest[event.entity] = event
    for node in work.alive:
        uid = node["metadata"]["uid"]
        for type_, (status, reason, _) in _conditions(node).items():
            last = newest.get(f"{uid}/{type_}")
            if state_of(type_, status) == "resolved" and (last is None or not normal):
                continue
            if last is None or (last.status, last.reason) != (status, reason):
                missing.append(f"{uid} {type_} is {status} {reason}: {last and (last.id, last.status, last.reason)}")
        last, silent = newest.get(f"{uid}/DetectorSilent"), _silent(node)
        if silent is not None and (normal or silent) and (last is not None and last.state == "firing") != silent:
            missing.append(f"{uid} is {'' if silent else 'not '}silent: {last and (last.id, last.state)}")
        last = newest.get(f"{uid}/Unschedulable")
        if normal and (last is not None and last.state == "firing") != bool(node["spec"].get("unschedulable")):
            missing.append(f"{uid} {node['spec']}: {last and (last.id, last.state)}")
        if any(event.uid == uid and event.reason == "NodeDeleted" for event in newest.values()):
            missing.append(f"{uid} is there, and was told to be gone")
    known = {event.uid for event in newest.values()}
    told = {event.uid for event in newest.values() if event.reason == "NodeDeleted"}
    if normal:
        missing += [f"{uid} is gone, and nothing says so" for uid in sorted(work.gone & known - told)]
    if listed is not None:
        ids = {event.id for event in arrived}
        missing += [
            f"the change {edge.id} of version {edge.version}"
            for edge in work.edges
            if edge.version > listed and (normal or not edge.well) and not ids & {edge.id, f"{edge.id}/{edge.version}"}
        ]
    return missing
