"""How problems become messages, as it is configured: which are told together, which are worth it, and when."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from eventer.event import Event, Origin
from eventer.match import Meanings, Rule
from eventer.quiet import Quiet
from eventer.values import Duration

__all__ = ["LOOKED", "GroupConfig", "Quota", "Threshold", "When", "looked_up", "own_trouble"]

LOOKED: Final = {
    "owner": "owner",
    "zone": "node",
    "pool": "node",
    "namespace.labels": "namespace",
    "node.labels": "node",
    "pod.labels": "pod",
}
"""Fields to group by that only look-ups bring, the last three with a label's name behind a dot; and what a sink's
`enrich` must have for them."""


_LEAST_HEARTBEAT: Final = 60.0
"""Seconds."""


def looked_up(field: str) -> tuple[str, str] | None:
    """Return which of `LOOKED` a field to group by is, and the label that it names; None if it is none of them."""
    for name in LOOKED:
        if field == name:
            return (name, "") if "." not in name else None
        if "." in name and field.startswith(name + ".") and len(field) > len(name) + 1:
            return name, field[len(name) + 1 :]
    return None


def own_trouble(event: Event, meanings: Meanings) -> bool:
    """Whether an event tells of trouble of Eventer's own: that concerns whoever relies on being told, by any rules."""
    return event.origin is Origin.EVENTER and meanings.meaning(event)[0] != "info"


class When(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How often something must happen."""

    count: Annotated[int, Meta(ge=2, le=1000)]
    """So many occurrences, from 2 to 1000."""
    within: Duration
    """In so much time."""

    def __post_init__(self) -> None:
        """Refuse what never comes true."""
        if self.within <= 0:
            raise ValueError("within: occurrences need some time to come in; write for example 10m")


class Threshold(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, rename={"lasts": "for"}):
    """What must be before a problem is told. Without `when` and `for` it is told at once."""

    match: Rule
    """Which problems: the event with which one begins."""
    when: When | None = None
    """How often it must happen first; without, once. Only of Events: a condition of a node happens once, and lasts."""
    lasts: Duration = Duration(0)
    """How long it must go on first."""


class Quota(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How many messages there may be; what is beyond them is told together in the next one."""

    messages: Annotated[int, Meta(ge=1, le=1000, examples=["10"])]
    """Messages, from 1 to 1000."""
    within: Duration = Duration(3600)
    """In so much time."""
    per: Annotated[list[str], Meta(max_length=8)] = msgspec.field(default_factory=lambda: ["namespace"])
    """For each value of these fields, which must be among those of `by`; `[]` for all together."""

    def __post_init__(self) -> None:
        """Refuse what is no limit."""
        if self.within <= 0:
            raise ValueError("within: messages are counted in some time; write for example 1h")


class GroupConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which problems are told together, and when."""

    by: Annotated[list[str], Meta(min_length=1, max_length=8)] = msgspec.field(
        default_factory=lambda: ["cluster", "namespace", "family"]
    )
    """What problems in one message have in common: `cluster`, `namespace`, `family` (the fault that several
    reasons tell of), `severity`, `kind`, `name`, `node`, `reason`, `type`, `component`, the name of a label of the
    source, or, with `enrich`, `owner`, `zone`, `pool`, `namespace.labels.NAME`, `node.labels.NAME` and
    `pod.labels.NAME`."""
    wait: Duration = Duration(10)
    """From a group's first problem to its first message, so that what belongs together comes together."""
    interval: Duration = Duration(300)
    """Least time between two messages of a group: what is new meanwhile waits for the next one."""
    repeat: Duration = Duration(4 * 3600)
    """After which a group whose problems go on is told again, though nothing is new."""
    resolve_after: Duration = Duration(2700)
    """After which a problem of which nothing more is heard counts as over, where nothing tells its end.
    Components of Kubernetes repeat an Event about what goes on every five minutes or so, the scheduler every 30."""
    thresholds: list[Threshold] = []
    """What must be before a problem is told: of these, the first that matches decides. Where none does, what belongs
    to normal operation for a while, such as a probe that fails while a pod starts, must last longer than the catalog
    says (docs/catalog.md), and all else is told at once."""
    quiet: list[Quiet] = []
    """Times at which nobody is told; what goes on after them is told then."""
    quota: Quota | None = None
    """How many messages there may be, for example for a namespace in an hour."""
    heartbeat: Duration = Duration(0)
    """After which it is told that all is well with Eventer itself, again and again, so that silence means
    something; `0s` for never."""

    def __post_init__(self) -> None:
        """Refuse what would tell nothing, or everything twice."""
        if not all(self.by) or len(set(self.by)) < len(self.by):
            raise ValueError("by: each field is named once; write for example [cluster, namespace, family]")
        if self.interval <= 0:
            raise ValueError("interval: without one, a group speaks with each event; write for example 5m")
        if self.repeat < self.interval:
            raise ValueError(
                "repeat: a group that repeats itself waits at least for its interval; write for example 4h"
            )
        if self.resolve_after <= 0:
            raise ValueError("resolve_after: a problem lasts longer than nothing; write for example 30m")
        if self.quota is not None and (other := [field for field in self.quota.per if field not in self.by]):
            raise ValueError(f"quota.per: {', '.join(other)} is not among the fields of by; name it there as well")
        if 0 < self.heartbeat < _LEAST_HEARTBEAT:
            raise ValueError("heartbeat: nobody reads one so often; write for example 24h, or 0s for none")

    @property
    def rules(self) -> list[tuple[str, Rule]]:
        """All rules in it, and where they stand in the sink."""
        return [(f"group.thresholds[{index}].match", each.match) for index, each in enumerate(self.thresholds)]

    @property
    def looked_up(self) -> list[tuple[str, tuple[str, str]]]:
        """Fields of `by` that only look-ups bring; see `looked_up`."""
        return [(field, found) for field in self.by if (found := looked_up(field)) is not None]

    def bind(self, catalog: Meanings) -> None:
        """Have the rules ask a catalog for what events mean."""
        for threshold in self.thresholds:
            threshold.match = threshold.match.by(catalog)
        for window in self.quiet:
            window.match = [rule.by(catalog) for rule in window.match]
