"""What must be before a problem is told: that it happens so often, or lasts so long."""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from eventer.alerting.terms import Meanings
from eventer.catalog import Condition, Reason
from eventer.event import Event
from eventer.group import Threshold
from eventer.match import Verdicts

__all__ = ["Needs", "Thresholds", "go_on", "met", "patience", "ripe_at"]


class Needs(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a problem lacks until people are told of it. Times are seconds since 1970."""

    count: int = 1
    """Occurrences."""
    within: float = 0.0
    """Seconds in which they must come."""
    lasts: float = 0.0
    """Seconds for which it must go on."""
    since: float
    """From when on it counts as going on."""
    seen: float
    """When something last said that it does."""
    blind: bool = False
    """Whether nothing would tell its end: then it goes on only as long as it is heard of."""
    recent: list[float] = []
    """When the last occurrences came, `count` at most."""


class Thresholds:
    """Which problems need what.

    The first threshold that matches the event with which a problem begins decides; without one, what the catalog
    knows to belong to normal operation for a while must last longer than that.

    Args:
        thresholds: as configured.
    """

    def __init__(self, thresholds: Sequence[Threshold]) -> None:
        self._thresholds = thresholds
        self._verdicts = Verdicts([threshold.match for threshold in thresholds])

    def needs(self, event: Event, known: Reason | Condition | None, now: float) -> Needs | None:
        """Return what a problem needs that begins with an event; None if it is told at once.

        A condition lasts since its last transition, so that a restart does not begin to count anew; an Event's
        problem since it happened, for the Event's first occurrence can be days ago.
        """
        index = self._verdicts([event])[0] if self._thresholds else -1
        threshold = self._thresholds[index] if index >= 0 else None
        # A condition happens once, and then lasts: there is nothing to count.
        when = threshold.when if threshold is not None and not event.condition else None
        lasts = float(threshold.lasts) if threshold is not None else patience(known)
        if when is None and not lasts:
            return None
        return Needs(
            count=when.count if when else 1,
            within=float(when.within) if when else 0.0,
            lasts=lasts,
            since=min((event.since or event.time).timestamp(), now),
            seen=now,
            blind=not event.condition and not (isinstance(known, Reason) and known.opposite),
        )

    def again(self, held: Needs, event: Event, known: Reason | Condition | None) -> Needs | None:
        """Return what a problem needs that was held by other thresholds; None if it is told now.

        Args:
            held: what it lacked by those.
            event: it, as an Event.
            known: what the catalog says of it.
        """
        needs = self.needs(event, known, held.seen)
        if needs is None:
            return None
        # Where nobody counted, it is known to have come once.
        recent = (held.recent or [held.seen])[-needs.count :] if needs.count > 1 else []
        return msgspec.structs.replace(needs, since=held.since, seen=held.seen, recent=recent)

    def identity(self, meanings: Meanings) -> str:
        """Name all that decides what a problem needs: for what is stored, to tell when another configuration came."""
        text = [f"{each.match} {each.when} {each.lasts}" for each in self._thresholds]
        return blake2b(f"{text} {meanings.version}".encode(), digest_size=6).hexdigest()


def patience(known: Reason | Condition | None) -> float:
    """Return the seconds for which something belongs to normal operation, as far as the catalog knows."""
    return float(known.patience) if isinstance(known, Reason) else 0.0


def go_on(needs: Needs, occurrences: int, now: float) -> None:
    """Count occurrences that came just now."""
    needs.seen = now
    if needs.count > 1:
        recent = [at for at in needs.recent if at > now - needs.within] + [now] * min(occurrences, needs.count)
        needs.recent = recent[-needs.count :]


def met(needs: Needs, now: float) -> bool:
    """Whether a problem that goes on has become one that is told."""
    return now >= ripe_at(needs, now)


def ripe_at(needs: Needs, now: float) -> float:
    """Return when a problem is told if it goes on and nothing more comes; infinity if something must come."""
    if needs.count > 1 and sum(at > now - needs.within for at in needs.recent) < needs.count:
        return math.inf
    ripe = needs.since + needs.lasts
    return math.inf if needs.blind and needs.seen < ripe else ripe
