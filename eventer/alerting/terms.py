"""What all stages of alerting go by: its times, what the catalog says of an event, and what an event names."""

from __future__ import annotations

from typing import Protocol

import msgspec

from eventer.catalog import OTHER, Condition, Reason, Severity
from eventer.event import Event, Origin
from eventer.match import Meanings as Matched

__all__ = ["Meanings", "Timing", "container_of", "gone", "key_of", "node_of"]


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Times of alerting, in seconds."""

    wait: float = 10.0
    """From the first problem of a group to its first message, so that what belongs together comes together."""
    interval: float = 300.0
    """Least time between two messages of a group."""
    repeat: float = 4 * 3600.0
    """After which a group that goes on speaks again without news."""
    calm: float = 600.0
    """For which a problem must seem to be over. Longer than the five minutes to which the kubelet's back-off grows
    (https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy), with which a container that
    crashes is Started again and again."""
    quiet: float = 2700.0
    """After which a problem of which nothing tells the end is over. Once it has sent 25 Events about an object, a
    component sends one more every five minutes at most
    (https://github.com/kubernetes/client-go/blob/master/tools/record/events_cache.go); the scheduler, which writes
    series of the newer API, tells every 30 minutes that one goes on
    (https://github.com/kubernetes/client-go/blob/master/tools/events/event_broadcaster.go, refreshTime)."""
    stale: float = 900.0
    """Age at first sight from which on an event begins no problem of its own: a summary counts it."""


class Meanings(Matched, Protocol):
    """What alerting asks the catalog."""

    def of(self, event: Event) -> Reason | Condition | None:
        """Return what is known about an event."""
        ...

    @property
    def version(self) -> str:
        """Another one where anything else is known."""
        ...

    def meaning(self, event: Event) -> tuple[Severity, str]:
        """Return severity and family of an event."""
        ...


def container_of(event: Event) -> str:
    """Return the container that an event is about, if it is about one; see `eventer.event.problem_key`."""
    start = event.field_path.find("{")
    return "" if start < 0 else event.field_path[start + 1 :].rstrip("}")


def key_of(event: Event, family: str) -> str:
    """Name the problem that an event is about.

    Reasons of one family tell of one fault (ErrImagePull, ImagePullBackOff), as do an Event and a condition.
    """
    if family == OTHER:
        return event.problem
    container = container_of(event) if event.field_path else ""
    return f"{event.object}/{family}/{container}" if container else f"{event.object}/{family}"


def node_of(event: Event) -> str:
    """Return the node that an event is about or that its pod is on, as far as that is known.

    An Event tells only where its writer runs, and that of a controller not even this: then a look-up knows.
    """
    about = event.about
    return about.pod.node or event.node or about.node.name or (event.name if event.kind == "Node" else "")


def gone(event: Event) -> bool:
    """Whether an event says that its object exists no more."""
    return event.origin is Origin.NODE and event.reason == "NodeDeleted"
