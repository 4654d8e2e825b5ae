"""What was looked up about the object of an event: a side record, never part of what the journal stores.

It is made after the journal, for the sinks that ask (`enrich:`), by `eventer.enrich`. Nothing of it is changed once
it is made, so that all events of one object share it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

__all__ = ["MUTE", "NOTHING", "About", "Enriched", "NamespaceFacts", "NodeFacts", "Owner", "PodFacts"]


MUTE: Final = "eventer.io/mute"
"""The annotation that asks for silence; see `eventer.alerting.silences`."""


class Enriched(StrEnum):
    """How the look-ups for one event ended. Of several, the one that comes last here is told."""

    OK = "ok"
    UNKNOWN = "unknown"
    """The event does not say which object it is about: it has no uid."""
    GONE = "gone"
    """The object does not exist any more, or another one has its name."""
    FORBIDDEN = "forbidden"
    """The API server refuses to show it: a right is missing."""
    FAILED = "failed"
    """The API server could not be asked, or its answer was no use."""
    LATE = "late"
    """The answer did not come within the time box."""


class PodFacts(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, gc=False):
    """A pod."""

    node: str = ""
    phase: str = ""
    """At the time of the look-up, which may be a minute ago."""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    """Those that `lookups.annotations` names."""


class Owner(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, gc=False):
    """What stands at the top of the chain of controllers; the object itself, if nothing owns it."""

    kind: str = ""
    name: str = ""
    api_version: str = ""
    chain: list[str] = []
    """`Kind/name` of each object on the way, from the owner of the event's object to the top."""


class NamespaceFacts(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, gc=False):
    """The namespace of the object."""

    labels: dict[str, str] = {}


class NodeFacts(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, gc=False):
    """The node that the object is, or that the pod is on."""

    name: str = ""
    labels: dict[str, str] = {}
    zone: str = ""
    """`topology.kubernetes.io/zone`."""
    pool: str = ""
    """The node pool, by the label of the cloud that has it."""


class About(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, gc=False):
    """All that was looked up for one event. What was not asked for, or not found, is empty."""

    enriched: str = ""
    """One of `Enriched`; empty where nothing was looked up."""
    pod: PodFacts = PodFacts()
    owner: Owner = Owner()
    namespace: NamespaceFacts = NamespaceFacts()
    node: NodeFacts = NodeFacts()
    log: str = ""
    """The last lines that the container wrote."""
    mutes: list[str] = []
    """What the annotation `eventer.io/mute` says, each behind the `Kind/name` of what has it: the object, what owns it,
    its namespace."""
    unknown: list[str] = []
    """Of what was asked for, what is not known: `owner`, `namespace`, `node`, `pod`, `logs`."""


NOTHING: Final = About()
"""Nothing was looked up."""
