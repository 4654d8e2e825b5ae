"""When a problem begins, goes on and ends.

The end of a bad condition is told by its source, that of an Event's problem by an opposite reason (BackOff, then
Started), or by nothing more being heard. Neither is believed at once. A container that crashes is Started before
each crash, and a condition may flap: what returns within `calm` was never over, and nobody is told twice.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

import msgspec

from eventer.about import NOTHING
from eventer.alerting import thresholds
from eventer.alerting.nodes import rebooted
from eventer.alerting.state import Past, Problem
from eventer.alerting.terms import Timing, container_of, gone, node_of
from eventer.catalog import Severity
from eventer.event import Event, problem_key
from eventer.text import shorten

__all__ = [
    "MESSAGE", "RELAPSE", "begin", "begin_again", "calm_of", "end_at", "ends", "event_of", "go_on", "seem_over",
    "unheard", "vanish",
]  # fmt: skip

MESSAGE: Final = 600
"""Bytes of a message that are kept of a problem: what a person reads of it on a phone."""

RELAPSE: Final = 3600.0
"""Seconds after its end in which a problem that comes back counts as the same one that flaps."""
UNHEARD: Final = 120.0
"""Seconds without a word after which it is asked whether a problem's object still exists."""
DELETED: Final = "Deleted"
"""What ended a problem whose object exists no more, in the place of a reason."""
RELAPSES: Final = 3
"""So often `calm` is doubled: a problem that flaps must be calm for 80 minutes at most."""


def begin(event: Event, severity: Severity, family: str, now: float) -> Problem:
    """Return a new problem, in which its first event is not counted yet."""
    first = event.since or event.first or event.time
    owner = event.about.owner
    return Problem(
        cluster=event.cluster,
        origin=event.origin,
        object=event.object,
        kind=event.kind,
        namespace=event.namespace,
        name=event.name,
        container=container_of(event),
        node=node_of(event),
        owner=f"{owner.kind} {owner.name}" if owner.name not in {"", event.name} else "",
        component=event.component,
        type=event.type,
        condition=event.condition,
        status=event.status,
        labels=event.labels,
        reason=event.cause or event.reason,
        reported=event.reason,
        severity=severity,
        family=family,
        since=min(first.timestamp(), now),
        last=now,
    )


def go_on(problem: Problem, event: Event, now: float, over: tuple[str, ...]) -> None:
    """Count an event that says that it goes on.

    Args:
        problem: the problem.
        event: the event.
        now: seconds since 1970.
        over: reasons of Events that say that what it tells of is over. Its last word counts, as far as there is one:
            what is attached by now may still not be mounted.
    """
    if over and over != problem.over:
        problem.over = over
        if problem.needs is not None:
            problem.needs.blind = False
    # Without a delta nobody knows how often it happened; at least once.
    occurrences = 1 if event.delta is None else event.delta
    problem.count += occurrences
    if problem.needs is not None:
        thresholds.go_on(problem.needs, occurrences, now)
    if event.about is not NOTHING:
        problem.about = msgspec.structs.replace(event.about, log="") if event.about.log else event.about
    problem.last = now
    problem.uid = event.uid or problem.uid
    problem.message = shorten(event.message, MESSAGE)
    if event.condition and event.state == "firing":
        # Its last word counts: Ready that is False, and Unknown, are two kinds of trouble.
        problem.condition, problem.status = event.condition, event.status
        if event.condition not in problem.conditions:
            problem.conditions.append(event.condition)
    if problem.calm is not None or problem.ended is not None:
        problem.returns += 1
    problem.calm = problem.ended = None
    problem.ended_by = ""
    if problem.needs is not None and thresholds.met(problem.needs, now):
        problem.needs = None  # a quota may keep its group from being looked at until it is so no more


def ends(problem: Problem, event: Event) -> bool:
    """Whether an event about the same object says that a problem, or one condition of it, is over."""
    if event.state:
        return event.state == "resolved" and event.condition in problem.conditions
    if event.kind == "Node" and event.reason != problem.reported and (gone(event) or rebooted(event, problem.family)):
        return True
    if event.reason not in problem.over:
        return False
    container = container_of(event)
    return not container or not problem.container or container == problem.container


def seem_over(problem: Problem, event: Event, now: float) -> None:
    """Note that it may be over from now on."""
    if gone(event) or rebooted(event, problem.family):
        problem.conditions.clear()
    elif event.condition in problem.conditions:
        problem.conditions.remove(event.condition)
    if not problem.conditions and problem.calm is None:
        problem.calm, problem.ended_by = now, event.reason


def begin_again(problem: Problem, before: Past, now: float) -> None:
    """Note that a problem was told to be over not long ago, and is back."""
    if now < before.ended + RELAPSE:
        problem.relapses = problem.returns = before.relapses + 1


def event_of(problem: Problem) -> Event:
    """Return a problem's latest state as an Event, for rules to be asked about; it is never stored nor sent."""
    return Event(
        id="",
        time=datetime.fromtimestamp(problem.last, UTC),
        cluster=problem.cluster,
        origin=problem.origin,
        type=problem.type,
        reason=problem.reported,
        message=problem.message,
        kind=problem.kind,
        namespace=problem.namespace,
        name=problem.name,
        count=problem.count,
        first=datetime.fromtimestamp(problem.since, UTC),
        component=problem.component,
        node=problem.node,
        uid=problem.uid,
        condition=problem.condition,
        status=problem.status,
        state="firing" if problem.conditions else "",
        cause="" if problem.reason == problem.reported else problem.reason,
        labels=problem.labels,
        entity="",
        version=0,
        object=problem.object,
        problem=problem_key(problem.object, problem.reported, ""),
        about=problem.about,
    )


def end_at(problem: Problem, timing: Timing) -> float:
    """Return when a problem is over if nothing more is heard; infinity if only its source can tell."""
    if problem.conditions:
        return math.inf
    return problem.last + timing.quiet if problem.calm is None else problem.calm + calm_of(problem, timing)


def calm_of(problem: Problem, timing: Timing) -> float:
    """Return the seconds for which a problem must seem to be over: the longer, the more often it came back lately.

    So what flaps more slowly than `calm` is soon one problem that goes on, and is told once.
    """
    return float(timing.calm * 2 ** min(problem.relapses, RELAPSES))


def unheard(problem: Problem, now: float) -> bool:
    """Whether nothing was heard of a problem for a while and nothing said that it is over: its object may be gone."""
    known = bool(problem.uid) and problem.kind != "Node" and not problem.conditions
    return known and problem.calm is None and problem.ended is None and problem.last + UNHEARD <= now


def vanish(problem: Problem, now: float) -> None:
    """Note that its object exists no more. One of the same name may come, so it only seems to be over."""
    problem.calm, problem.ended_by = now, DELETED
