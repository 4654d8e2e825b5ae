"""Which problems are told together, and whether a group speaks now: a pure decision with a named reason."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from eventer.alerting.common import in_common
from eventer.alerting.muting import Muting
from eventer.alerting.notification import ITEMS, REASONS, Item, Notification, Why, rank, worst
from eventer.alerting.problems import end_at, event_of
from eventer.alerting.quieted import quieted
from eventer.alerting.state import Group, Problem
from eventer.alerting.terms import Timing, node_of
from eventer.alerting.thresholds import met, ripe_at
from eventer.event import Event
from eventer.group import looked_up

__all__ = ["FIELDS", "decide", "due", "empty", "hush", "lapse", "leave", "notification", "reopen", "spoke", "values"]

ASK: Final = 60.0
"""Seconds after which what keeps a problem from being told is asked again, whatever it said."""

MOMENT: Final = 60.0
"""Seconds within which all that is heard of a problem tells of one moment."""
FIELDS: Final = ("cluster", "namespace", "family", "severity", "kind", "name", "node", "reason", "type", "component")
"""What problems may be grouped by. Any other name is one of `eventer.group.LOOKED`, or a label of the source."""


def values(event: Event, by: Sequence[str], severity: str, family: str) -> dict[str, str]:
    """Return what an event has in the fields that it is grouped by; what is not known is empty."""
    return {field: _value(event, field, severity, family) for field in by}


def _value(event: Event, field: str, severity: str, family: str) -> str:
    if field == "severity":
        return severity
    if field == "family":
        return family
    if field == "node":
        return node_of(event)
    if field in FIELDS:
        text: str = getattr(event, field)
        return text
    about = event.about
    match looked_up(field):
        case ("owner", _):
            return f"{about.owner.kind} {about.owner.name}".strip()
        case ("zone", _):
            return about.node.zone
        case ("pool", _):
            return about.node.pool
        case ("namespace.labels", label):
            return about.namespace.labels.get(label, "")
        case ("node.labels", label):
            return about.node.labels.get(label, "")
        case ("pod.labels", label):
            return about.pod.labels.get(label, "")
    return event.labels.get(field, "")


def lapse(group: Group, timing: Timing, now: float) -> None:
    """End the problems whose time is over, and find those that lack nothing any more to be told."""
    for problem in group.problems.values():
        if problem.ended is None and (end := end_at(problem, timing)) <= now:
            # What went quiet was over when it was last seen, as far as anybody knows.
            problem.ended = problem.last if problem.calm is None else problem.calm
            assert end >= problem.ended
        if problem.ended is None and problem.calm is not None and problem.mute is not None and not problem.told:
            problem.ended = problem.calm  # nobody was told that it began, so nobody could be told twice
        if problem.needs is not None and problem.ended is None and problem.calm is None and met(problem.needs, now):
            problem.needs = None
    if group.untracked_last is not None and group.untracked_last + timing.quiet <= now:
        group.untracked_last, group.untracked_worst = None, "info"


def hush(problem: Problem, mutes: Sequence[Muting], now: float) -> None:
    """Ask what keeps a problem from being told now. Of several, the one that does so longest is named.

    What was answered holds for a while, and for all problems until the same moment: a node that is down mutes a
    thousand, which are then asked about together.
    """
    if problem.mute is not None and now < problem.mute.until:
        return
    event = event_of(problem)
    said = [mute for each in mutes if (mute := each(event, now)) is not None]
    longest = max(said, key=lambda mute: mute.until, default=None)
    if longest is not None:
        longest = msgspec.structs.replace(longest, until=min(longest.until, (now // ASK + 1) * ASK))
    problem.mute = longest


def leave(group: Group, *, every_end: bool) -> list[tuple[str, Problem]]:
    """Take out the problems that are over and of whose end nobody is to be told, and return them with their keys.

    Args:
        group: of which they are.
        every_end: whether the end of all that was told is to be told.
    """
    gone = [
        (key, each)
        for key, each in group.problems.items()
        if each.ended is not None and _silent(each, every_end=every_end)
    ]
    for key, _ in gone:
        del group.problems[key]
    if any(problem.told for _, problem in gone) and group.untracked_last is None:
        group.ongoing = any(problem.told for problem in group.problems.values())
    return gone


def _silent(problem: Problem, *, every_end: bool) -> bool:
    """Whether nobody is to be told of the end of a problem that is over."""
    if not problem.told:
        return not problem.speaks or not problem.events
    # What happened in a moment, and has no end that anything would tell (a reboot, a process killed), is no news again.
    # A clock that was set moves `last` alone; then nobody knows, and the end is told.
    once = abs(problem.last - problem.since) <= MOMENT and not problem.ended_by and not problem.condition
    return once and not problem.events and not every_end


def reopen(group: Group, now: float) -> None:
    """Begin the wait of a group that has something to tell for the first time, or call it off."""
    if group.sent is None:
        group.opened = (now if group.opened is None else group.opened) if _news(group) else None


def decide(group: Group, timing: Timing, now: float) -> Why:
    """Say whether a group speaks, and why; call `lapse`, `hush` and `reopen` before."""
    if group.sent is None:
        if group.opened is None:
            return Why.NOTHING
        return Why.FIRST if now >= group.opened + timing.wait else Why.WAITS
    news = _news(group)
    if news or _over(group):
        if now < group.sent + timing.interval:
            return Why.WAITS
        return Why.NEW if news else Why.RESOLVED
    return Why.REPEAT if _lasts(group) and now >= group.sent + timing.repeat else Why.NOTHING


def due(group: Group, timing: Timing, now: float) -> float:
    """Return the next time at which `lapse`, `hush` or `decide` may say something else, if no event comes.

    It may lie in the past, where the decision is already another one than it was.
    """
    times = []
    for problem in group.problems.values():
        if problem.ended is None:
            times.append(end_at(problem, timing))
            if problem.needs is not None and problem.calm is None:
                times.append(ripe_at(problem.needs, now))
        if problem.mute is not None:
            times.append(problem.mute.until)
    if group.untracked_last is not None:
        times.append(group.untracked_last + timing.quiet)
    if group.sent is None:
        if group.opened is not None:
            times.append(group.opened + timing.wait)
        elif _news(group):  # stored between `Alerts.ask_again` and the step after it
            times.append(now)
    elif _news(group) or _over(group):
        times.append(group.sent + timing.interval)
    elif _lasts(group):
        times.append(group.sent + timing.repeat)
    return max(group.later, min(times, default=math.inf))


def empty(group: Group) -> bool:
    """Whether nothing is left of a group, and nobody waits to hear that it is over."""
    return not group.problems and not group.untracked and group.untracked_last is None and not group.ongoing


def _news(group: Group) -> bool:
    """Whether there is something that people may be told of and were not."""
    return group.untracked > 0 or any(problem.speaks and not problem.told for problem in group.problems.values())


def _over(group: Group) -> bool:
    """Whether all is over of what people were told of, and not told yet that it is."""
    return (
        group.ongoing
        and group.untracked_last is None
        and all(problem.ended is not None and problem.speaks for problem in group.problems.values() if problem.told)
    )


def _lasts(group: Group) -> bool:
    """Whether something goes on that people were told of and may be told of again."""
    return group.untracked_last is not None or any(
        problem.ended is None and problem.speaks and not problem.once
        for problem in group.problems.values()
        if problem.told
    )


def notification(group: Group, why: Why, number: int, now: float) -> Notification:
    """Put into words' order what a group has to say."""
    spoken = [problem for problem in group.problems.values() if problem.speaks]
    firing = [problem for problem in spoken if problem.ended is None]
    resolved = [problem for problem in spoken if problem.ended is not None]
    # What is news comes before what is known, within the same severity.
    told = sorted(firing, key=lambda p: (rank(p.severity), p.told, -p.last)) + resolved
    severities = [problem.severity for problem in firing]
    if group.untracked_last is not None:
        severities.append(group.untracked_worst)
    return Notification(
        number=number,
        why=why,
        at=now,
        group=group.by,
        severity=worst(severities),
        items=[_item(problem) for problem in told[:ITEMS]],
        firing=len(firing),
        resolved=len(resolved),
        unnamed=max(0, len(told) - ITEMS),
        reasons=dict(Counter(problem.reason for problem in firing).most_common(REASONS)),
        events=group.untracked + sum(problem.events for problem in spoken),
        untracked=group.untracked,
        shared=in_common(firing),
        quieted=quieted(spoken),
    )


def spoke(group: Group, now: float) -> list[tuple[str, Problem]]:
    """Note that a group's notification was made; return the problems with which that is done, and their keys."""
    group.sent = now
    group.untracked = 0
    done = []
    for key, problem in group.problems.items():
        if problem.speaks:
            problem.told, problem.events = True, 0
            if problem.ended is not None:
                done.append((key, problem))
    for key, _ in done:
        del group.problems[key]
    group.ongoing = group.untracked_last is not None or any(problem.told for problem in group.problems.values())
    return done


def _item(problem: Problem) -> Item:
    return Item(
        cluster=problem.cluster,
        kind=problem.kind,
        namespace=problem.namespace,
        name=problem.name,
        container=problem.container,
        node=problem.node,
        owner=problem.owner,
        component=problem.component,
        type=problem.type,
        condition=problem.condition,
        status=problem.status,
        labels=problem.labels,
        reason=problem.reason,
        severity=problem.severity,
        family=problem.family,
        message=problem.message,
        count=problem.count,
        since=problem.since,
        last=problem.last,
        ended=problem.ended,
        ended_by=problem.ended_by,
        returns=problem.returns,
        quieted=quieted([problem]),
    )
