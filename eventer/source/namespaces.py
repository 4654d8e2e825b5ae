"""Which namespaces have the labels that a source asks for."""

from __future__ import annotations

from typing import Final

import msgspec

from eventer.source.answers import Unreadable
from eventer.source.kube import Cluster

__all__ = ["METADATA_ONLY", "selected"]

METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables"""
PAGE: Final = 500


class _Metadata(msgspec.Struct):
    name: str


class _Item(msgspec.Struct):
    metadata: _Metadata


class _ListMetadata(msgspec.Struct, rename="camel"):
    more: str = msgspec.field(default="", name="continue")


class _List(msgspec.Struct):
    metadata: _ListMetadata
    items: list[_Item]


async def selected(cluster: Cluster, selector: str) -> list[str]:
    """Return the names of the namespaces that a label selector selects, in order.

    Raises:
        SourceError: the list could not be read as a whole.
    """
    params = {"labelSelector": selector, "limit": str(PAGE)}
    names: list[str] = []
    while True:
        answer = await cluster.get("/api/v1/namespaces", params, accept=METADATA_ONLY)
        try:
            page = msgspec.json.decode(answer.body, type=_List)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise Unreadable("The list of namespaces cannot be read.", bytes(answer.body[:200])) from None
        names += [item.metadata.name for item in page.items]
        if not page.metadata.more:
            return sorted(names)
        params["continue"] = page.metadata.more
