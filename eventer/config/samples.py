"""Tests that a configuration brings for itself: sample events, and which sinks must get them.

A filter is a small program, and one that drops too much is noticed only when an event is missed. So it
can be tested like one (`eventer check --test`); the daemon reads this section and does nothing with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, Literal, Protocol, get_args

import msgspec
from msgspec import Meta

from eventer.event import Event, Origin, problem_key

__all__ = ["STATES", "STATUSES", "ConfigTest", "Named", "Sample", "to_event"]

_Status = Literal["True", "False", "Unknown"]
_State = Literal["firing", "resolved", "unknown"]
STATUSES: Final = get_args(_Status)
"""What a condition can be (https://kubernetes.io/docs/reference/node/node-status/#condition)."""
STATES: Final = get_args(_State)
"""What that can mean."""

_TIME: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""No rule looks at times."""


class Named(Protocol):
    """What a sample needs to know of a source."""

    @property
    def cluster(self) -> str | None:
        """Name of the cluster."""

    @property
    def labels(self) -> dict[str, str]:
        """Labels on every event of it."""


class Sample(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An event, in the fields that rules look at. What is left out is empty."""

    cluster: str | None = None
    """Cluster that it comes from; left out, that of the first source."""
    origin: Literal["event", "node", "eventer"] = "event"
    """`event` for a Kubernetes Event, `node` for a node's condition, `eventer` for what Eventer says
    about itself, which no filter drops."""
    type: str = ""
    """`Normal` or `Warning`."""
    reason: str = ""
    """One word, such as `BackOff`."""
    kind: str = ""
    """Kind of the object that the event is about, such as `Pod`."""
    namespace: str = ""
    """Its namespace."""
    name: str = ""
    """Its name."""
    component: str = ""
    """Who reports, such as `kubelet`."""
    node: str = ""
    """Node that the report comes from."""
    condition: str = ""
    """Condition of a node that it tells of, such as `Ready`."""
    status: Annotated[_Status | None, Meta(examples=['"True"'])] = None
    """What the condition is now, in quotes."""
    state: _State | None = None
    """Whether that is trouble."""
    message: str = ""
    """The text for people."""
    labels: dict[str, str] | None = None
    """Labels on the event; left out, those of its cluster's source."""


class ConfigTest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One test: an event, and either the sinks that get it or that it is filtered."""

    event: Annotated[Sample, Meta(examples=["{type: Warning, reason: BackOff, namespace: shop}"])]
    """The event, in the fields that rules look at. What is left out is empty."""
    sinks: Annotated[list[str] | None, Meta(examples=["[ops-chat, archive]"])] = None
    """The sinks that must get it: all of these and no others. `[]`: it is stored, and no sink wants it."""
    filtered: Annotated[bool, Meta(examples=["false"])] = False
    """True where the filter must drop it; then without `sinks`."""
    name: Annotated[str, Meta(examples=["crash loops of the shop reach the chat"])] = ""
    """What the test is about, for whoever reads that it failed."""

    def __post_init__(self) -> None:
        """Refuse a test that expects nothing, or two things."""
        if (self.sinks is None) != self.filtered:
            raise ValueError("a test expects either sinks or filtered: true; write for example `sinks: [archive]`")


def to_event(sample: Sample, sources: Sequence[Named]) -> Event:
    """Make the event that a sample describes.

    Args:
        sample: what is known of it.
        sources: of the configuration; they give a cluster's name and labels where the sample does not.
    """
    cluster = sample.cluster
    if cluster is None:
        cluster = (sources[0].cluster or "") if sources else ""
    labels = sample.labels
    if labels is None:
        labels = next((source.labels for source in sources if (source.cluster or "") == cluster), {})
    object_key = f"{cluster}/{sample.kind}/{sample.namespace}/{sample.name}"
    return Event(
        id="sample",
        time=_TIME,
        cluster=cluster,
        origin=Origin(sample.origin),
        type=sample.type,
        reason=sample.reason,
        message=sample.message,
        kind=sample.kind,
        namespace=sample.namespace,
        name=sample.name,
        count=1,
        component=sample.component,
        node=sample.node,
        condition=sample.condition,
        status=sample.status or "",
        state=sample.state or "",
        labels=dict(labels),
        entity="sample",
        version=1,
        object=object_key,
        problem=problem_key(object_key, sample.reason, ""),
    )
