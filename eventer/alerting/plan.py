"""How one notifier's problems become messages: a configuration, as alerting goes by it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from eventer.alerting.inhibition import Inhibits
from eventer.alerting.muting import Muting
from eventer.alerting.nodes import inhibits
from eventer.alerting.silences import Silences
from eventer.alerting.terms import Timing
from eventer.alerting.windows import Windows
from eventer.config.inhibition import Inhibit
from eventer.group import GroupConfig, Quota, Threshold

__all__ = ["GROUPS", "PROBLEMS", "Plan", "plan_of"]

GROUPS: Final = 1_000
"""Groups at once: so many messages in a moment help nobody."""
PROBLEMS: Final = 10_000
"""Problems that are followed at once, about 1 KiB of memory each."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How one notifier's problems become messages."""

    by: Sequence[str]
    """Fields whose values problems told together have in common; see `grouping.FIELDS`."""
    timing: Timing = Timing()
    thresholds: Sequence[Threshold] = ()
    mutes: Sequence[Muting] = ()
    """What may keep a problem from being told, each asked when its group would speak."""
    inhibits: Sequence[Inhibits] = ()
    quota: Quota | None = None
    every_end: bool = False
    """Whether the end of everything told is told, also of what happened once and was never heard of again."""
    heartbeat: float = 0.0
    """Seconds between two messages that say that alerting works; 0 for none."""
    groups: int = GROUPS
    problems: int = PROBLEMS


def plan_of(group: GroupConfig, inhibit: Inhibit, silences: Silences, *, every_end: bool = False) -> Plan:
    """Return how a configuration wants problems to become messages; see `Plan`."""
    mutes: list[Muting] = [silences.mute]
    if group.quiet:
        mutes.append(Windows(group.quiet).mute)
    return Plan(
        by=group.by,
        timing=Timing(wait=group.wait, interval=group.interval, repeat=group.repeat, quiet=group.resolve_after),
        thresholds=group.thresholds,
        mutes=mutes,
        inhibits=inhibits(inhibit),
        quota=group.quota,
        every_end=every_end,
        heartbeat=group.heartbeat,
    )
