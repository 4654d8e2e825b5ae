"""What alerting remembers. It is stored with the cursor, so it is the only truth about what was told."""

from __future__ import annotations

from typing import Final

import msgspec

from eventer.about import NOTHING, About
from eventer.alerting.inhibition import Sources
from eventer.alerting.muting import Mute
from eventer.alerting.notification import REASONS
from eventer.alerting.terms import Timing
from eventer.alerting.thresholds import Needs
from eventer.catalog import Severity
from eventer.event import Origin

__all__ = ["MUTES", "Group", "Old", "Past", "Problem", "State", "shift"]

MUTES: Final = 500
"""Names of what kept problems from being told under which events are counted; others count under their stage."""
_REST: Final = "…"
"""Stands for all reasons of old events beyond the first `REASONS`."""


class Problem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Something that is wrong with one object. All times are seconds since 1970."""

    cluster: str
    origin: Origin = Origin.EVENT
    object: str
    kind: str
    namespace: str = ""
    name: str
    uid: str = ""
    """Of the object, as it was named last."""
    container: str = ""
    node: str = ""
    owner: str = ""
    component: str = ""
    type: str = "Warning"
    condition: str = ""
    status: str = ""
    labels: dict[str, str] = {}
    reason: str
    """What it is called; of an Event that only tells of a condition's reason, that one."""
    reported: str
    """Reason of the event with which it began."""
    severity: Severity
    family: str
    message: str = ""
    about: About = NOTHING
    """What was looked up last about the object."""
    over: tuple[str, ...] = ()
    """Reasons of Events that say that it is over: of what it is now, where its reasons have several."""
    conditions: list[str] = []
    """Conditions of the object that are bad because of it: it lasts as long as one of them is."""
    count: int = 0
    since: float
    last: float
    """When alerting last saw it."""
    calm: float | None = None
    """Since when everything says that it is over; what comes back soon was never over."""
    ended: float | None = None
    ended_by: str = ""
    """Reason of the event that told its end; empty where nothing more was heard."""
    told: bool = False
    """Whether it was in a message."""
    returns: int = 0
    """How often it seemed to be over and was not."""
    relapses: int = 0
    """How often people were told lately that it is over, before it came back."""
    events: int = 0
    """Events of it that are in no message yet."""
    needs: Needs | None = None
    """What it lacks to be told; None if nothing, and from then on."""
    mute: Mute | None = None
    """What keeps it from being told now."""
    once: bool = False
    """Whether people are told of it once, and not again because it goes on."""
    quieted: dict[str, dict[str, int]] = {}
    """What it kept quiet since it began, by the kind of the objects: keys of problems, and how many characters of each
    are the object."""
    quieted_more: bool = False
    """Whether it kept more quiet than there was room to remember."""

    @property
    def blind(self) -> bool:
        """Whether nothing would tell its end: that it goes on is known only when it is heard of."""
        return not self.condition and not self.over

    @property
    def speaks(self) -> bool:
        """Whether people may be told of it. What was muted and nothing says to go on after that is no news."""
        if self.needs is not None or self.mute is not None:
            return False
        return self.told or self.events > 0 or not self.blind


class Past(msgspec.Struct, array_like=True):
    """A problem that people know to be over. Stored as a list: new fields go to the end."""

    ended: float
    """When that was told, seconds since 1970."""
    relapses: int = 0


class Group(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Problems that are told together."""

    by: dict[str, str]
    opened: float | None = None
    """When the first came of which people may be told; None before that."""
    sent: float | None = None
    """When it last spoke."""
    later: float = 0.0
    """Before which a quota leaves it no message, seconds since 1970."""
    ongoing: bool = False
    """Whether people were told of something, and not yet that it is over."""
    problems: dict[str, Problem] = {}
    untracked: int = 0
    """Events in no message yet whose problem is not followed."""
    untracked_last: float | None = None
    """When the last such one came; None if all is quiet since."""
    untracked_worst: Severity = "info"

    @property
    def waiting(self) -> int:
        """Events that are in no message yet."""
        return self.untracked + sum(problem.events for problem in self.problems.values())


class Old(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Events that were old when they were seen first, until they are told in one summary."""

    opened: float
    last: float
    events: int = 0
    reasons: dict[str, int] = {}

    def due(self, timing: Timing) -> float:
        """Return when it is told: when no more such events come, but not for ever."""
        return min(self.last + timing.wait, self.opened + timing.interval)


class State(msgspec.Struct, kw_only=True, omit_defaults=True):
    """All of it.

    `taken = represented + unmatched + suppressed + waiting` after every step, where `waiting` is what the groups
    and the summary still hold.
    """

    taken: int = 0
    represented: int = 0
    """Events that are in the count of some notification."""
    unmatched: int = 0
    """Events that concern nobody."""
    muted: dict[str, int] = {}
    """Events of problems of which nobody was told, by what kept them from it: a stage, and its name for it."""
    number: int = 0
    """Notifications made."""
    groups: dict[str, Group] = {}
    old: Old | None = None
    past: dict[str, Past] = {}
    """Problems that were over lately, by their keys."""
    spent: dict[str, list[float]] = {}
    """When messages were made that count for a quota, by what the quota is for."""
    beat: float | None = None
    """When it last said that it lives."""
    sources: Sources = msgspec.field(default_factory=Sources)
    """What keeps quiet about other problems."""
    judged: str = ""
    """By which thresholds what is held was judged; see `Thresholds.identity`."""
    at: float = 0.0
    """The time of the last step, seconds since 1970."""

    @property
    def suppressed(self) -> int:
        """Events of problems of which nobody was told."""
        return sum(self.muted.values())

    @property
    def waiting(self) -> int:
        """Events that the next notifications will stand for."""
        return self.taken - self.represented - self.unmatched - self.suppressed

    def count_muted(self, events: int, by: str) -> None:
        """Count events of which nobody is told, under what keeps them from it."""
        if events:
            if by not in self.muted and len(self.muted) >= MUTES:
                by = by.split(" ", 1)[0]
            self.muted[by] = self.muted.get(by, 0) + events

    def count_old(self, reason: str, now: float) -> None:
        """Count an event that was old when it was seen first."""
        old = self.old = self.old or Old(opened=now, last=now)
        old.last = now
        old.events += 1
        reason = reason if reason in old.reasons or len(old.reasons) < REASONS else _REST
        old.reasons[reason] = old.reasons.get(reason, 0) + 1


def shift(state: State, seconds: float) -> None:
    """Move all times by which alerting goes, in place; those at which something happened are Events' own."""
    for group in state.groups.values():
        group.opened, group.sent, group.untracked_last = (
            None if at is None else at + seconds for at in (group.opened, group.sent, group.untracked_last)
        )
        group.later += seconds
        for problem in group.problems.values():
            problem.last += seconds
            problem.calm, problem.ended = (None if at is None else at + seconds for at in (problem.calm, problem.ended))
            if problem.needs is not None:
                problem.needs.recent = [at + seconds for at in problem.needs.recent]
                problem.needs.since += seconds
                problem.needs.seen += seconds
            if problem.mute is not None:
                problem.mute = msgspec.structs.replace(problem.mute, until=problem.mute.until + seconds)
    if state.old is not None:
        state.old.opened += seconds
        state.old.last += seconds
    state.spent = {key: [at + seconds for at in spent] for key, spent in state.spent.items()}
    state.beat = None if state.beat is None else state.beat + seconds
    for past in state.past.values():
        past.ended += seconds
    for source in state.sources.sources:
        source.last += seconds
        source.ended = None if source.ended is None else source.ended + seconds
    state.at += seconds
