"""Nodes of the fake API server, changed as kubelet, control plane and problem detectors change real ones."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from eventer.demo.store import EventStore

__all__ = ["Nodes"]


class Nodes:
    """The nodes of one cluster.

    Args:
        now: the clock of those who write conditions.
    """

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.store = EventStore()
        """What the API serves. Its versions are its own, where a real cluster has one count for all kinds."""
        self.now = now

    def add(self, name: str, conditions: Mapping[str, str] | None = None, **spec: Any) -> dict[str, Any]:
        """Create a node, which gets a uid and a boot ID of its own.

        Args:
            name: of the node.
            conditions: status of each condition; by default it is ready.
            spec: fields of its spec.
        """
        metadata = {"name": name, "uid": str(uuid.uuid4()), "creationTimestamp": self._time()}
        status = {"conditions": [], "nodeInfo": {"bootID": str(uuid.uuid4())}}
        node = {"metadata": metadata, "spec": spec, "status": status}
        for type_, state in (conditions if conditions is not None else {"Ready": "True"}).items():
            node = self._with(node, type_, state, "", "kubelet")
        return self.store.put(node)

    def get(self, name: str) -> dict[str, Any]:
        """Return a node."""
        return self.store.objects["", name]

    def condition(
        self, name: str, type_: str, status: str, reason: str = "", *, writer: str = "node-problem-detector"
    ) -> dict[str, Any]:
        """Set a condition; the time of its transition moves if its status does."""
        return self.store.put(self._with(self.get(name), type_, status, reason, writer))

    def heartbeat(self, name: str, *, silent: Collection[str] = ()) -> dict[str, Any]:
        """Write a node again with nothing new but the time of its heartbeats.

        Args:
            name: of the node.
            silent: conditions whose writers are not heard of.
        """
        node = self.get(name)
        now = self._time()
        conditions = [
            each if each["type"] in silent else each | {"lastHeartbeatTime": now}
            for each in node["status"]["conditions"]
        ]
        return self.store.put({**node, "status": {**node["status"], "conditions": conditions}})

    def spec(self, name: str, **fields: Any) -> dict[str, Any]:
        """Change fields of the spec: `unschedulable`, `taints`."""
        node = self.get(name)
        return self.store.put({**node, "spec": {**node["spec"], **fields}})

    def reboot(self, name: str) -> dict[str, Any]:
        """Give a node another boot ID."""
        node = self.get(name)
        return self.store.put({**node, "status": {**node["status"], "nodeInfo": {"bootID": str(uuid.uuid4())}}})

    def delete(self, name: str) -> None:
        """Delete a node."""
        self.store.delete(name, "")

    def _with(self, node: dict[str, Any], type_: str, status: str, reason: str, writer: str) -> dict[str, Any]:
        now = self._time()
        conditions = {each["type"]: each for each in node["status"]["conditions"]}
        old = conditions.get(type_)
        moved = old is None or old["status"] != status
        conditions[type_] = {
            "type": type_,
            "status": status,
            "reason": reason or f"{type_}Is{status}",
            "message": f"{type_} is {status}",
            "lastHeartbeatTime": now,
            "lastTransitionTime": now if old is None or moved else old["lastTransitionTime"],
        }
        owned: dict[str, Any] = {"f:status": {"f:conditions": {f'k:{{"type":"{type_}"}}': {"f:status": {}}}}}
        fields = [each for each in node["metadata"].get("managedFields", []) if each["fieldsV1"] != owned]
        fields.append({"manager": writer, "operation": "Update", "time": now, "fieldsV1": owned})
        return {
            **node,
            "metadata": {**node["metadata"], "managedFields": fields},
            "status": {**node["status"], "conditions": list(conditions.values())},
        }

    def _time(self) -> str:
        return self.now().strftime("%Y-%m-%dT%H:%M:%SZ")
