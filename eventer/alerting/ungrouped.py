"""Messages that are of no group: a summary of what was old when it was seen first, and that alerting works."""

from __future__ import annotations

import math

import msgspec

from eventer.alerting.notification import Notification, Why
from eventer.alerting.state import State
from eventer.alerting.terms import Timing

__all__ = ["due", "ungrouped"]


def due(books: State, timing: Timing, heartbeat: float) -> float:
    """Return when the next one is due, seconds since 1970; infinity if none is.

    Args:
        books: what alerting remembers.
        timing: of the summary.
        heartbeat: seconds between two that say that alerting works; 0 for none.
    """
    return min(books.old.due(timing) if books.old else math.inf, _beat_at(books, heartbeat))


def ungrouped(books: State, timing: Timing, heartbeat: float, now: float) -> list[Notification]:
    """Make those that are due, and note that in the books; see `due`."""
    told = []
    if books.old is not None and books.old.due(timing) <= now:
        old, books.old = books.old, None
        books.represented += old.events
        told.append(msgspec.structs.replace(_note(books, Why.SUMMARY, now), reasons=old.reasons, events=old.events))
    if _beat_at(books, heartbeat) <= now:
        books.beat = now
        going = sum(problem.told for group in books.groups.values() for problem in group.problems.values())
        told.append(msgspec.structs.replace(_note(books, Why.ALIVE, now), firing=going))
    elif books.beat is None:
        books.beat = now
    return told


def _note(books: State, why: Why, now: float) -> Notification:
    books.number += 1
    return Notification(number=books.number, why=why, at=now, group={}, severity="info", events=0)


def _beat_at(books: State, heartbeat: float) -> float:
    return math.inf if books.beat is None or not heartbeat else books.beat + heartbeat
