"""One key of one ConfigMap, read and written with optimistic locking.

The object must be there: a right to create cannot be bound to a name, so we ask for none. What others put beside our
key stays as it is (https://kubernetes.io/docs/reference/using-api/api-concepts/#patch-and-apply).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from eventer.errors import ConfigError, Fault, Refused
from eventer.source.answers import Unreadable
from eventer.source.kube import Answer, Cluster

__all__ = ["ConfigMapKey", "own_namespace"]

DEADLINE: Final = 10.0
"""Seconds for one request."""
ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Where a pod finds its namespace
(https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/#directly-accessing-the-rest-api)."""


class _Metadata(msgspec.Struct):
    resource_version: str = msgspec.field(name="resourceVersion")


class _ConfigMap(msgspec.Struct):
    metadata: _Metadata
    data: dict[str, str] | None = None


_decoder = msgspec.json.Decoder(_ConfigMap)


class ConfigMapKey:
    """The text under one key.

    Args:
        cluster: where it is.
        namespace, name: which ConfigMap.
        key: which key of its data.
    """

    def __init__(self, cluster: Cluster, namespace: str, name: str, key: str) -> None:
        self._cluster = cluster
        self._path = f"/api/v1/namespaces/{quote(namespace, safe='')}/configmaps/{quote(name, safe='')}"
        self._key = key
        self.shown = f"{namespace}/{name}"
        """The ConfigMap, as people name it."""
        self._remedies = {
            403: f"Grant the verbs get and patch on the ConfigMap {self.shown}.",
            404: f"Create it: kubectl -n {namespace} create configmap {name}",
        }

    async def read(self) -> tuple[str | None, str]:
        """Return the text, None if the key is not there, and the resourceVersion of the ConfigMap.

        Raises:
            SourceError: as `Cluster.get`, with what to do where a person must help.
        """
        try:
            found = _decode(await self._cluster.get(self._path, deadline=DEADLINE))
        except Refused as error:
            raise self._told(error) from None
        return (found.data or {}).get(self._key), found.metadata.resource_version

    async def write(self, text: str, version: str) -> str:
        """Put a text under the key, if the ConfigMap has that resourceVersion still; return the new one.

        Raises:
            Refused: 409 if it has another one.
            SourceError: as `Cluster.patch`, with what to do where a person must help.
        """
        change = {"metadata": {"resourceVersion": version}, "data": {self._key: text}}
        try:
            return _decode(await self._cluster.patch(self._path, change, deadline=DEADLINE)).metadata.resource_version
        except Refused as error:
            raise self._told(error) from None

    def _told(self, error: Refused) -> Refused:
        remedy = self._remedies.get(error.status)
        if remedy is None:
            return error
        return Refused(error.status, f"{str(error).rstrip('.')}. {remedy}", error.after, error.cause)


def own_namespace() -> str:
    """Return the namespace of the pod that we run in.

    Raises:
        ConfigError: we run in none.
    """
    try:
        return ACCOUNT.read_text(encoding="utf-8").strip()
    except OSError:
        where = "the pod has no service account" if "KUBERNETES_SERVICE_HOST" in os.environ else "this is no pod"
        message = f"{where}, so the namespace of the ConfigMap is not known"
        remedy = "write it, for example `mirror: {configmap: eventer, namespace: monitoring}`"
        raise ConfigError([Fault(path="state.mirror.namespace", message=message, remedy=remedy)]) from None


def _decode(answer: Answer) -> _ConfigMap:
    try:
        return _decoder.decode(answer.body)
    except (msgspec.MsgspecError, ValueError):
        raise Unreadable("The answer is no ConfigMap.", bytes(answer.body)) from None
