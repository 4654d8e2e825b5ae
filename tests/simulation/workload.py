"""What happens in the cluster, and the truth about it: which objects exist, and what they say."""

from __future__ import annotations

import asyncio
import copy
import random
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from eventer.clock import Clock
from eventer.demo.store import EventStore
from tests.simulation.api import Api
from tests.simulation.far import BAD

__all__ = ["Change", "Truth", "Workload"]

NAMESPACES = ("a", "b")


@dataclass
class Truth:
    """One object as it is now."""

    uid: str
    name: str
    namespace: str
    type: str
    message: str
    count: int
    version: int
    """Of its content; a change of metadata alone is none."""


@dataclass(frozen=True)
class Change:
    """One change of content, which must be delivered unless a list came after it."""

    id_tail: str
    """uid and version, as in the event's id."""
    version: int
    namespace: str
    type: str


class Workload:
    """Writes Events, and keeps book."""

    def __init__(self, api: Api, clock: Clock, dice: random.Random) -> None:
        self.alive: dict[str, Truth] = {}
        self.changes: list[Change] = []
        self.restores = 0
        self.quiet = asyncio.Event()
        """Cleared for as long as nothing may be written."""
        self.quiet.set()
        self._store = api.store
        self._api = api
        self._clock = clock
        self._dice = dice
        self._made = 0

    async def run(self, count: int) -> None:
        """Make so many changes, in bursts and pauses."""
        while count > 0:
            await self.quiet.wait()
            for _ in range(min(count, self._dice.choice((1, 1, 3, 12)))):
                self._operate()
                count -= 1
            await asyncio.sleep(self._dice.choice((0.01, 0.1, 0.5, 2.0 * self._dice.random())))

    def _operate(self) -> None:
        dice = self._dice.random()
        names = [*self.alive]
        old = self.alive[self._dice.choice(names[-12:])] if names else None
        if old is None or dice < 0.45:
            self._create()
        elif dice < 0.85:
            old.count += self._dice.choice((1, 1, 2, 5))
            if self._dice.random() < 0.2:
                old.message = f"{old.name} says {old.count}"
            self._note(
                old, self._store.patch(old.name, old.namespace, count=old.count, message=old.message, **self._now())
            )
        elif dice < 0.90:
            metadata = self._store.objects[old.namespace, old.name]["metadata"]
            self._store.patch(old.name, old.namespace, metadata={**metadata, "labels": {"x": str(self._store.version)}})
        elif dice < 0.96:
            self._store.delete(old.name, old.namespace)
            del self.alive[old.uid]
        elif dice < 0.98:
            self._store.advance(self._dice.randrange(1, 50))
        else:  # an object without uid, which no Event can be
            self._made += 1
            metadata = {"name": f"none{self._made}", "namespace": self._dice.choice(NAMESPACES)}
            self._store.create(fields={"metadata": metadata}, **self._now())

    def _now(self) -> dict[str, Any]:
        # To the second only, as Kubernetes has it; two states can have the same time.
        now = (self._clock.now() - timedelta(microseconds=self._clock.now().microsecond)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"firstTimestamp": now, "lastTimestamp": now}

    def _create(self) -> None:
        self._made += 1
        dice = self._dice
        truth = Truth(
            uid=f"u{self._made:04d}",
            name=f"e{self._made:04d}",
            namespace=dice.choice(NAMESPACES),
            type=dice.choice(("Warning", "Normal")),
            message=BAD if dice.random() < 0.03 else f"first words of {self._made}",
            count=dice.choice((1, 1, 4)),
            version=0,
        )
        metadata = {"name": truth.name, "namespace": truth.namespace, "uid": truth.uid}
        metadata["creationTimestamp"] = "2026-03-01T12:00:00Z"
        fields = {"metadata": metadata, "type": truth.type, "message": truth.message, "count": truth.count}
        self._note(truth, self._store.create(namespace=truth.namespace, fields=fields, **self._now()))

    def _note(self, truth: Truth, stored: dict[str, Any]) -> None:
        truth.version = int(stored["metadata"]["resourceVersion"])
        self.alive[truth.uid] = truth
        self.changes.append(Change(f"{truth.uid}/{truth.version}", truth.version, truth.namespace, truth.type))

    def backup(self) -> tuple[EventStore, dict[str, Truth]]:
        return self._store.save(), copy.deepcopy(self.alive)

    def restore(self, backup: tuple[EventStore, dict[str, Truth]]) -> None:
        """Set the cluster back, as from a backup of etcd."""
        self.restores += 1
        self._api.restore(backup[0])
        self.alive = copy.deepcopy(backup[1])
        self.changes.clear()
