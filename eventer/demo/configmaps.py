"""The ConfigMaps of the fake API server: read, and changed by merge patches with optimistic locking.

What it says was taken from answers of a real one (kube-apiserver 1.35).
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from eventer.demo.http11 import Request, status_body

__all__ = ["ConfigMaps"]

_PATH: Final = re.compile(r"/api/v1/namespaces/([^/]+)/configmaps/([^/]+)")


class ConfigMaps:
    """All ConfigMaps of one server, by namespace and name.

    Attributes:
        patches: every body of a PATCH that was taken, in order.
    """

    def __init__(self) -> None:
        self._objects: dict[tuple[str, str], dict[str, Any]] = {}
        self._version = 100
        self.patches: list[dict[str, Any]] = []

    def create(self, name: str, namespace: str = "default", data: dict[str, str] | None = None) -> None:
        """Create one, or replace it."""
        self._version += 1
        meta = {"name": name, "namespace": namespace, "resourceVersion": str(self._version)}
        self._objects[namespace, name] = {"metadata": meta} | ({"data": dict(data)} if data is not None else {})

    def delete(self, name: str, namespace: str = "default") -> None:
        """Delete one."""
        del self._objects[namespace, name]

    def data(self, name: str, namespace: str = "default") -> dict[str, str]:
        """Return what one holds."""
        return dict(self._objects[namespace, name].get("data") or {})

    def answer(self, request: Request) -> tuple[int, bytes] | None:
        """Answer a request; None if it is for something else."""
        found = _PATH.fullmatch(request.path)
        if found is None:
            return None
        namespace, name = found.groups()
        held = self._objects.get((namespace, name))
        if held is None:
            return 404, status_body(404, "NotFound", f'configmaps "{name}" not found')
        if request.method == "PATCH":
            if request.headers.get("content-type") != "application/merge-patch+json":
                return 415, status_body(415, "UnsupportedMediaType", "the body of the request was in an unknown format")
            change = msgspec.json.decode(request.body)
            version = change.get("metadata", {}).get("resourceVersion")
            if version not in {None, held["metadata"]["resourceVersion"]}:
                words = (
                    f'Operation cannot be fulfilled on configmaps "{name}": the object has been modified; please apply '
                    "your changes to the latest version and try again"
                )
                return 409, status_body(409, "Conflict", words)
            self.patches.append(change)
            data = held.get("data", {}) | change.get("data", {})
            if data != held.get("data"):  # a real one writes nothing either where nothing changes
                self.create(name, namespace, data)
        elif request.method != "GET":
            return 405, status_body(405, "MethodNotAllowed", "the server does not allow this method on the resource")
        return 200, msgspec.json.encode({"kind": "ConfigMap", "apiVersion": "v1"} | self._objects[namespace, name])
