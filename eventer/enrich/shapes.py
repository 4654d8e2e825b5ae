"""What look-ups read of the objects of Kubernetes: metadata, and of a pod where it runs and how far it is."""

from __future__ import annotations

import sys
from typing import Final, NamedTuple

import msgspec

from eventer.about import MUTE
from eventer.text import shorten

__all__ = [
    "METADATA", "Line", "Listed", "Metadata", "Object", "OwnerReference", "Ref", "Resources", "interned", "muted",
]  # fmt: skip

METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
"""Metadata alone, where the server can; the rest of an object would be thrown away here
(https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables)."""

_MOST: Final = 200
"""Bytes of the annotation that asks for silence: a time, and a few words."""


class Ref(NamedTuple):
    """One object, as an event or an owner reference names it."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str
    """Empty where it is not known: then the object is taken by its name."""
    whole: bool = False
    """Whether more than its metadata is wanted."""

    @property
    def group(self) -> str:
        """Its API group; empty for the core."""
        group, slash, _ = self.api_version.rpartition("/")
        return group if slash else ""

    @property
    def shown(self) -> str:
        """Kind/name."""
        return f"{self.kind}/{self.name}"


class OwnerReference(msgspec.Struct, rename="camel", gc=False):
    """Who owns an object."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None


class Metadata(msgspec.Struct, rename="camel"):
    """Metadata of an object, as far as anybody asks for it."""

    name: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[OwnerReference] | None = None


class _Spec(msgspec.Struct, rename="camel"):
    node_name: str | None = None


class _Status(msgspec.Struct):
    phase: str | None = None


class Object(msgspec.Struct):
    """An object, or its metadata alone. Spec and status are read of pods, and may be anything elsewhere."""

    metadata: Metadata
    spec: msgspec.Raw = msgspec.Raw(b"{}")
    status: msgspec.Raw = msgspec.Raw(b"{}")

    def placed(self) -> tuple[str, str]:
        """Return node and phase of a pod.

        Raises:
            msgspec.MsgspecError: it is no pod.
        """
        spec = msgspec.json.decode(self.spec, type=_Spec)
        status = msgspec.json.decode(self.status, type=_Status)
        return spec.node_name or "", status.phase or ""


class _ListMetadata(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    more: str = msgspec.field(default="", name="continue")


class _Item(msgspec.Struct):
    metadata: Metadata


class Listed(msgspec.Struct):
    """One page of a list."""

    metadata: _ListMetadata
    items: list[_Item] | None
    """The API server writes null for none."""


class _Change(msgspec.Struct):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    code: int = 0
    """Of a Status, which an ERROR line has."""


class Line(msgspec.Struct):
    """One line of a watch."""

    type: str
    object: _Change


class _Resource(msgspec.Struct):
    name: str
    kind: str
    namespaced: bool


class Resources(msgspec.Struct):
    """What discovery says of one version of an API group."""

    resources: list[_Resource]


def muted(annotations: dict[str, str] | None) -> str:
    """Return what the annotation says that asks for silence; what nobody could read of it is cut off."""
    return shorten(annotations.get(MUTE, ""), _MOST) if annotations else ""


def interned(labels: dict[str, str] | None) -> dict[str, str]:
    """Return labels that share their texts with all others: 5,000 nodes have the same thirty."""
    return {sys.intern(key): sys.intern(value) for key, value in labels.items()} if labels else {}
