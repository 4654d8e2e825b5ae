"""What becomes of an event at a sink that notifies: what each stage of alerting would say of it."""

from __future__ import annotations

from datetime import datetime

import msgspec

from eventer.alerting import grouping, quota
from eventer.alerting.nodes import inhibits
from eventer.alerting.silences import Silences
from eventer.alerting.silencing import configured
from eventer.alerting.terms import key_of
from eventer.alerting.thresholds import Needs, Thresholds
from eventer.alerting.windows import Windows
from eventer.catalog import Catalog, Reason
from eventer.cli.figures import duration
from eventer.config.types import Config
from eventer.event import Event
from eventer.group import GroupConfig
from eventer.text import escape

__all__ = ["Told", "lines", "told"]


class Told(msgspec.Struct, kw_only=True, frozen=True):
    """What each stage says of an event that begins a problem now."""

    problem: str
    """What people are told about."""
    ends: str
    """How its end is known, in words."""
    needs: Needs | None
    """What it lacks to be told."""
    silence: str
    """Name of the silence of the configuration that covers it now; empty where none does."""
    window: str
    """Name of the quiet time that it falls into now; empty where it falls into none."""
    inhibited: list[str]
    """Rules by which other problems would keep it quiet while they last."""
    inhibits: list[str]
    """Rules by which it would keep others quiet while it lasts."""
    group: dict[str, str]
    """What the problems that are told together have in common."""
    quota: str
    """What its messages are counted under; empty without a quota."""


def told(event: Event, group: GroupConfig, config: Config, catalog: Catalog, now: datetime) -> Told:
    """Ask the stages of alerting about an event, as if it began a problem.

    Args:
        event: that the sink wants.
        group: how the sink's problems become messages.
        config: all else.
        catalog: what it means.
        now: the time, for silences and windows.
    """
    at = now.timestamp()
    severity, family = catalog.meaning(event)
    known = catalog.of(event)
    silences = Silences()
    silences.replace(configured(config))
    silence, window = silences.mute(event, at), Windows(group.quiet).mute(event, at)
    rules = inhibits(config.inhibit)
    could = [rule.name for rule in rules if any(target.by(catalog).matches(event) for target in rule.targets)]
    does = [rule.name for rule in rules if any(source.by(catalog).matches(event) for source in rule.sources)]
    opposite = known.opposite if isinstance(known, Reason) else ()
    by = grouping.values(event, group.by, severity, family)
    if event.condition:
        ends = f"when the condition {event.condition} is well again"
    elif opposite:
        ends = f"by {' or '.join(opposite)}, or when nothing is heard of it for {duration(group.resolve_after)}"
    else:
        ends = f"when nothing is heard of it for {duration(group.resolve_after)}"
    return Told(
        problem=key_of(event, family),
        ends=ends,
        needs=Thresholds(group.thresholds).needs(event, known, at),
        silence=silence.name if silence is not None else "",
        window=window.name if window is not None else "",
        inhibited=[*dict.fromkeys(could)],
        inhibits=[*dict.fromkeys(does)],
        group=by,
        quota="" if group.quota is None else quota.key_of(group.quota, by),
    )


def lines(said: Told, group: GroupConfig) -> list[str]:
    """Write it for people."""
    needs = said.needs
    wait = []
    if needs is not None and needs.count > 1:
        wait.append(f"after {needs.count} occurrences within {duration(needs.within)}")
    if needs is not None and needs.lasts:
        wait.append(f"when it lasts {duration(needs.lasts)}")
    quiet = [
        *([f"now, by the silence {said.silence}"] if said.silence else []),
        *([f"now, by the quiet time {said.window}"] if said.window else []),
        *([f"while another problem lasts: {', '.join(said.inhibited)}"] if said.inhibited else []),
    ]
    by = ", ".join(f"{field} {escape(value) or 'unknown'}" for field, value in said.group.items())
    limit = "" if group.quota is None else f"; at most {group.quota.messages} in {duration(group.quota.within)}"
    times = (
        f"{duration(group.wait)} after the first of them, then every {duration(group.interval)} if there is news, and "
        f"again after {duration(group.repeat)}{limit}"
    )
    return [
        f"problem:  {escape(said.problem)}",
        f"over:     {said.ends}",
        f"told:     {' and '.join(wait) or 'at once'}",
        f"quiet:    {'; '.join(quiet) or 'never'}",
        *([f"keeps:    others quiet that follow from it: {', '.join(said.inhibits)}"] if said.inhibits else []),
        f"together: {by}",
        f"          {times}",
    ]
