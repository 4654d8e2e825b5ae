"""What the Kubernetes API's JSON looks like, as far as we read it.

Every optional field may be null: Go's encoder writes null for a nil pointer, and clients of the API may
send it. Fields that are not named here are skipped unread by the decoder. `gc=False` because none of
these can be part of a reference cycle, and thousands of them live for a moment at a time.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta, field

__all__ = [
    "AnyEvent",
    "AnyLine",
    "CoreEvent",
    "CoreLine",
    "ErrorLine",
    "Kind",
    "List",
    "ListMetadata",
    "Metadata",
    "MetadataLine",
    "MetadataList",
    "NewEvent",
    "NewLine",
    "Reference",
    "Reporter",
    "Status",
    "Versioned",
]

Int: TypeAlias = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Time: TypeAlias = Annotated[datetime, Meta(tz=True)]


class Metadata(msgspec.Struct, gc=False):
    """Name, identity and age of any object."""

    name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    version: str | None = field(name="resourceVersion", default=None)
    created: Time | None = field(name="creationTimestamp", default=None)


class Reference(msgspec.Struct, gc=False):
    """What an Event is about."""

    kind: str | None = None
    namespace: str | None = None
    name: str | None = None
    uid: str | None = None
    api_version: str | None = field(name="apiVersion", default=None)
    field_path: str | None = field(name="fieldPath", default=None)


class Reporter(msgspec.Struct, gc=False):
    """Who wrote an Event, in the older form."""

    component: str | None = None
    host: str | None = None


class Series(msgspec.Struct, gc=False):
    """Repeats, as the newer event recorders count them."""

    count: Int | None = None
    last: Time | None = field(name="lastObservedTime", default=None)


class CoreEvent(msgspec.Struct, gc=False):
    """core/v1 Event."""

    metadata: Metadata | None = None
    about: Reference | None = field(name="involvedObject", default=None)
    type: str | None = None
    reason: str | None = None
    message: str | None = None
    source: Reporter | None = None
    count: Int | None = None
    first: Time | None = field(name="firstTimestamp", default=None)
    last: Time | None = field(name="lastTimestamp", default=None)
    time: Time | None = field(name="eventTime", default=None)
    series: Series | None = None
    action: str | None = None
    component: str | None = field(name="reportingComponent", default=None)
    instance: str | None = field(name="reportingInstance", default=None)


class NewEvent(msgspec.Struct, gc=False):
    """events.k8s.io/v1 Event, under the attribute names of `CoreEvent`."""

    metadata: Metadata | None = None
    about: Reference | None = field(name="regarding", default=None)
    type: str | None = None
    reason: str | None = None
    message: str | None = field(name="note", default=None)
    source: Reporter | None = field(name="deprecatedSource", default=None)
    count: Int | None = field(name="deprecatedCount", default=None)
    first: Time | None = field(name="deprecatedFirstTimestamp", default=None)
    last: Time | None = field(name="deprecatedLastTimestamp", default=None)
    time: Time | None = field(name="eventTime", default=None)
    series: Series | None = None
    action: str | None = None
    component: str | None = field(name="reportingController", default=None)
    instance: str | None = field(name="reportingInstance", default=None)


AnyEvent: TypeAlias = CoreEvent | NewEvent


class CoreLine(msgspec.Struct, gc=False):
    """A watch line of core/v1."""

    type: str
    object: CoreEvent


class NewLine(msgspec.Struct, gc=False):
    """A watch line of events.k8s.io/v1."""

    type: str
    object: NewEvent


AnyLine: TypeAlias = CoreLine | NewLine


class Versioned(msgspec.Struct, gc=False):
    """Any object, of which only the metadata is read."""

    metadata: Metadata | None = None


class Cause(msgspec.Struct, gc=False):
    """One cause within a Status."""

    reason: str | None = None


class Details(msgspec.Struct, gc=False):
    """Details of a Status."""

    causes: list[Cause] | None = None
    retry_after: float | None = field(name="retryAfterSeconds", default=None)


class Status(msgspec.Struct, gc=False):
    """The API's own description of a failure: the body of an answer, or the object of an ERROR line."""

    kind: str | None = None
    message: str | None = None
    reason: str | None = None
    code: Int | None = None
    details: Details | None = None


class ErrorLine(msgspec.Struct, gc=False):
    """A watch line of type ERROR."""

    object: Status


class ListMetadata(msgspec.Struct, gc=False):
    """Version of a list and token of its next page."""

    version: str | None = field(name="resourceVersion", default=None)
    more: str | None = field(name="continue", default=None)


class List(msgspec.Struct, gc=False):
    """A list, its items left encoded."""

    metadata: ListMetadata | None = None
    items: list[msgspec.Raw] | None = None


class MetadataList(msgspec.Struct, gc=False):
    """A list of which only the items' metadata is read."""

    metadata: ListMetadata | None = None
    items: list[Versioned] | None = None


class Kind(msgspec.Struct, gc=False):
    """A watch line of which only the type is read."""

    type: str


class MetadataLine(msgspec.Struct, gc=False):
    """A watch line of which only the object's metadata is read."""

    object: Versioned
