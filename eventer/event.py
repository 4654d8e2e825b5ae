"""The one record that flows through Eventer, and the closed sets of what can become of it.

A Kubernetes Event, a node condition and Eventer's own records (gaps) are all an `Event`: one
flat struct. Nothing past the decoder sees a Kubernetes object. An Event is encoded once, to
one JSON line, and that line is what the journal stores and what sinks without a layout send.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from eventer.about import NOTHING, About

__all__ = [
    "EPOCH_SHIFT",
    "Arrivals",
    "Event",
    "Origin",
    "Outcome",
    "Part",
    "Roll",
    "Sighting",
    "decode_lines",
    "encode_lines",
    "own_record",
    "problem_key",
    "version_of",
]

EPOCH_SHIFT: Final = 48
"""Bits of `Event.version` below the epoch. etcd revisions stay far under 2^48 (at 10,000 writes
a second that is nine centuries), and 15 bits of epoch are left in a signed 64-bit integer."""


class Origin(StrEnum):
    """Where an Event comes from; a field of the match language."""

    EVENT = "event"
    NODE = "node"
    EVENTER = "eventer"


class Outcome(StrEnum):
    """What became of one event at one reader: exactly one of these, counted once.

    The invariant `cursor - origin = sum of all outcomes` holds after every settle.
    `PARKED` and `DEAD` also equal the rows of the letters table. A notification is counted in the same way at its
    notifier, and only one of those may be `FOLDED`: another one stands for it.
    """

    UNMATCHED = "unmatched"
    COALESCED = "coalesced"
    DELIVERED = "delivered"
    FOLDED = "folded"
    DUPLICATE = "duplicate"
    SUPPRESSED = "suppressed"
    EXPIRED = "expired"
    DROPPED = "dropped"
    PARKED = "parked"
    DEAD = "dead"


class Event(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """One occurrence, flat. Field order is the order of keys in the JSON line.

    Fields without a default are always in the line; the others only where they say something.
    """

    # gc=False: an Event cannot be part of a reference cycle, and the collector would otherwise
    # walk every one that waits in a batch.

    id: str
    """Names this occurrence; equal ids are the same occurrence (cluster, epoch, uid, version)."""
    time: datetime
    """When it last happened: series.lastObservedTime, lastTimestamp, eventTime or creation."""
    cluster: str
    origin: Origin
    type: str
    reason: str
    message: str
    """Valid text, capped at 16 KiB (head and tail kept)."""
    kind: str
    """Kind of the object that the event is about; so are `namespace` and `name`."""
    namespace: str
    """Empty for objects that live in no namespace (a Node)."""
    name: str
    count: int
    """Total so far, as the API tells it. Do not sum it: sum `delta`."""
    delta: int | None = None
    """Occurrences new with this record; None when unknown. This is what may be summed."""
    first: datetime | None = None
    """When it first happened, where the API tells."""
    component: str = ""
    """Who reports (kubelet, default-scheduler, ...)."""
    instance: str = ""
    """Which one of them, where the API tells."""
    node: str = ""
    action: str = ""
    uid: str = ""
    """uid of the object that the event is about; may be missing or nonsense."""
    api_version: str = ""
    field_path: str = ""
    event: str = ""
    """namespace/name of the Event object itself, for kubectl."""
    condition: str = ""
    """Type of the node condition that it tells of (`Ready`, `KernelDeadlock`...)."""
    status: str = ""
    """What that condition is now: True, False or Unknown; empty where it is there no longer."""
    state: str = ""
    """Whether that is trouble: `firing`, `resolved`, or `unknown` where whoever checks it cannot tell."""
    previous: str = ""
    """What the condition was before; empty where that is not known."""
    since: datetime | None = None
    """Since when the condition is what it is now."""
    duration: float | None = None
    """Seconds for which it was what it was before (of a taint, a cordon, a node: for which there was one)."""
    cause: str = ""
    """The reason of the condition, where an Event on a node tells it in its message only."""
    labels: dict[str, str] = {}
    """Static labels of the source, from the configuration."""
    entity: str
    """What a latest-state store overwrites, and within which order is promised."""
    version: int
    """epoch * 2^48 + resourceVersion; rises per entity."""
    object: str
    """cluster/kind/namespace/name. Never the uid, which may be missing."""
    problem: str
    """What people are told about: object, reason and container."""
    about: About = NOTHING
    """What was looked up for a sink that asks for it; never stored."""


Part = tuple[int, int]
"""What the ledger is to know of a part of an object: a number of the source's own, and a hash of the part."""


class Sighting(Protocol):
    """One version of an object that is no event itself, but changes of its parts are (a Node)."""

    @property
    def entity(self) -> str:
        """What the ledger calls the object."""
        ...

    @property
    def parts(self) -> str:
        """What the names of its parts in the ledger begin with, up to the first slash."""
        ...

    @property
    def version(self) -> int:
        """As `Event.version`."""
        ...

    @property
    def digest(self) -> int:
        """Hash over all parts: equal digests are the same state."""
        ...

    @property
    def added(self) -> bool:
        """The watch said that the object is new."""
        ...

    @property
    def gone(self) -> bool:
        """The watch said that the object is deleted; this is its last state."""
        ...

    def compare(
        self, known: Mapping[str, Part] | None, *, new: bool, after: float | None
    ) -> tuple[list[Event], dict[str, Part | None]]:
        """Tell what has changed since the object was seen last.

        Args:
            known: its parts as they were; None if that is not known.
            new: it came to be while its like were watched, and was not there before.
            after: where nothing is known, what is well is told if it is so since later than this (seconds since
                1970): it was seen, but what was seen is lost. None if it was never seen.

        Returns:
            An event for each change, and what is known of the parts that changed; None for those that are gone.
        """
        ...


class Roll(Protocol):
    """All objects that a list has shown so far, to find those that were deleted unseen."""

    def __contains__(self, entity: str) -> bool:
        """Whether the object exists, as far as the list could be read."""
        ...

    def missing(self, entity: str, version: int) -> tuple[str, Event]:
        """Return what the names of its parts begin with, and the event that says that it is gone.

        Args:
            entity: known, and not in the list.
            version: that of the list, as `Event.version`.
        """
        ...


class Arrivals(msgspec.Struct, kw_only=True):
    """What a source hands to intake: one block of a watch, or one page of a list.

    `events` and `added` run in parallel and in stream order; `gone` is applied after them (a
    deleted uid never comes back, so the order inside one block does not matter).
    """

    events: list[Event]
    epoch: int = 0
    """The cluster's epoch in which this was read; goes into the stream's record with a whole list."""
    added: list[bool]
    """True where the watch said ADDED; False for MODIFIED and for list items."""
    gone: list[str] = []
    """Entities that the watch said are DELETED. They are never exported, only forgotten."""
    sightings: list[Sighting] = []
    """In stream order; a source has these or events."""
    roll: Roll | None = None
    """With pages of a list of objects that are told when they are gone; whole with the last page."""
    first: bool = False
    """True for the list with which a stream begins: what it shows was there before."""
    poison: list[bytes] = []
    """Raw lines or objects that are no event (no uid, not decodable); kept as dead letters, once each."""
    called: dict[bytes, str] = {}
    """What tells one of `poison` from others, where that can be read; else its bytes do, which a list has otherwise."""
    position: int | None = None
    """resourceVersion that the stream has reached with this block; None inside a list."""
    listed: bool = False
    """True for list pages: known items are not counted as received."""
    seen_before: datetime | None = None
    """With a start policy: items older than this are marked as seen and not exported."""
    partial: bool = False
    """True where only a selection is read: an object unknown may have been exported when it was last in it."""
    size: int = 0
    """Bytes read for this block; what intake's bounds are in."""


def version_of(epoch: int, resource_version: int) -> int:
    """Join epoch and resourceVersion so that order survives an etcd rollback."""
    return epoch << EPOCH_SHIFT | resource_version


def problem_key(object_key: str, reason: str, field_path: str) -> str:
    """Name what people are told about: the object, the reason and, if any, the container.

    A field path reads like `spec.containers{web}`; only the name in braces matters.
    """
    start = field_path.find("{")
    if start < 0:
        return f"{object_key}/{reason}"
    return f"{object_key}/{reason}/{field_path[start + 1 :].rstrip('}')}"


def own_record(now: datetime, reason: str, message: str, *, cluster: str = "", name: str = "eventer") -> Event:
    """Make one of Eventer's own records, such as a gap. The journal gives it its keys.

    Args:
        now: wall clock, UTC.
        reason: one word, beginning with what it is about (`GapDamaged`).
        message: a sentence for people.
        cluster: which cluster it is about; empty for all.
        name: which part of Eventer it is about.
    """
    object_key = f"{cluster}/Eventer//{name}"
    return Event(
        id="",
        time=now,
        cluster=cluster,
        origin=Origin.EVENTER,
        type="Warning",
        reason=reason,
        message=message,
        kind="Eventer",
        namespace="",
        name=name,
        count=1,
        component="eventer",
        entity="",
        version=0,
        object=object_key,
        problem=problem_key(object_key, reason, ""),
    )


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Event)


def encode_lines(events: list[Event]) -> list[bytes]:
    """Encode each event to one JSON line, without the line break."""
    encode = _encoder.encode
    return [encode(event) for event in events]


def decode_lines(lines: list[bytes]) -> list[Event]:
    """Decode what `encode_lines` wrote.

    Raises:
        msgspec.DecodeError: the line was not written by `encode_lines`.
    """
    decode = _decoder.decode
    return [decode(line) for line in lines]
