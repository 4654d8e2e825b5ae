"""One notifier's alerting: batches of events and the time in, notifications and a state to store out.

Its memory is bounded. Beyond `Plan.groups`, problems go into a group of their own, without a name; beyond
`Plan.problems`, events are counted in their group and not followed one by one. Either way each event is in the count
of some notification, or in that of what kept it from being told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from eventer.alerting import grouping, quota
from eventer.alerting.digest import fold
from eventer.alerting.inhibition import Inhibition
from eventer.alerting.known import Known
from eventer.alerting.meant import Asked, Meant
from eventer.alerting.muting import Mute
from eventer.alerting.nodes import once
from eventer.alerting.notification import Notification, Why, worst
from eventer.alerting.plan import Plan
from eventer.alerting.problems import (
    RELAPSE,
    begin,
    begin_again,
    end_at,
    ends,
    event_of,
    go_on,
    seem_over,
    unheard,
    vanish,
)
from eventer.alerting.state import Group, Past, Problem, State, shift
from eventer.alerting.terms import Meanings
from eventer.alerting.thresholds import Thresholds, ripe_at
from eventer.alerting.ungrouped import due, ungrouped
from eventer.event import Event

__all__ = ["Alerts"]

THRESHOLD: Final = "threshold"
"""What events are counted under whose problem ended before it was worth telling."""
_OVERFLOW: Final = ""
"""Key of the group for what finds no room. No other key is empty."""


class Alerts:
    """What is open for one notifier, and what it was told.

    Args:
        wanted: which of some events may begin a problem; asked of those for which it makes a difference.
        meanings: the catalog.
        plan: how problems become messages.
        stored: what `state` returned with the last step that was stored; None to begin.
    """

    def __init__(
        self,
        wanted: Callable[[Sequence[Event]], Sequence[bool]],
        meanings: Meanings,
        plan: Plan,
        stored: bytes | None = None,
    ) -> None:
        self._wanted = wanted
        self._meant = Asked(meanings)
        self._plan = plan
        self._thresholds = Thresholds(plan.thresholds)
        self.books = msgspec.json.decode(stored, type=State) if stored is not None else State()
        self._inhibition = Inhibition(plan.inhibits, meanings, self.books.sources, quiet=plan.timing.quiet)
        self._mutes = (*plan.mutes, self._inhibition.mute)
        self._known = Known()
        self._quiet: list[tuple[str, str, str, str]] = []  # as `Known.keep_quiet` takes it
        self._due: dict[str, float] = {}  # in the order of the groups, which a restart keeps
        self._judge(meanings)
        for name, group in self.books.groups.items():
            group.later = quota.later(plan.quota, self.books.spent, group, self.books.at)
            self._due[name] = grouping.due(group, plan.timing, self.books.at)
            for key, problem in group.problems.items():
                self._known.add(key, problem, name)

    def _judge(self, meanings: Meanings) -> None:
        """Judge what is held by the thresholds of now, where those that it was held by were others."""
        books = self.books
        if books.judged == (judged := self._thresholds.identity(meanings)):
            return
        books.judged = judged
        for group in books.groups.values():
            for problem in group.problems.values():
                if problem.needs is not None:
                    event = event_of(problem)
                    problem.needs = self._thresholds.again(problem.needs, event, meanings.of(event))

    def state(self) -> bytes:
        """Return what must be stored with the cursor, in one transaction with the notifications."""
        return msgspec.json.encode(self.books)

    @property
    def due(self) -> float:
        """When the next step is due if no event comes, seconds since 1970; infinity if never."""
        plan = self._plan
        return min(min(self._due.values(), default=math.inf), due(self.books, plan.timing, plan.heartbeat))

    def shift(self, seconds: float) -> None:
        """Move all times: the clock was set, and what was to last so long is to last as long by the new one."""
        shift(self.books, seconds)
        self._due = {name: due + seconds for name, due in self._due.items()}

    def ask_again(self) -> None:
        """Have it asked anew with the next step what keeps problems from being told: the answers may have changed."""
        for name, group in self.books.groups.items():
            for problem in group.problems.values():
                if problem.mute is not None:
                    problem.mute, self._due[name] = None, -math.inf

    def step(self, events: Sequence[Event], now: float) -> list[Notification]:
        """Take the next events of the log and return what is to be told now.

        Args:
            events: in the order of the log; may be empty, where only time has passed.
            now: seconds since 1970.
        """
        books = self.books
        books.at = now
        books.taken += len(events)
        self._inhibition.see(events, now)
        of_object = self._known.of_object
        for event, wanted in zip(events, self._asked(events), strict=True):
            open_of_it = of_object.get(event.object)
            if open_of_it is not None:
                self._take(event, open_of_it, now, wanted=wanted)
            else:
                self._first_of(event, None, now, wanted=wanted)
        late = [name for name, due in self._due.items() if due <= now]
        speaking = [(name, why) for name in late if (why := self._visit(name, now)) is not None]
        self._known.keep_quiet(self._quiet)
        self._quiet.clear()
        told = self._speak(speaking, now) if speaking else []
        return told + ungrouped(books, self._plan.timing, self._plan.heartbeat, now)

    # -- objects that are gone -------------------------------------------------------------------

    def unheard(self, now: float) -> dict[str, Event]:
        """Return what was not heard of for a while, as Events by problem: their objects may exist no more."""
        return self._known.unheard(now)

    def vanished(self, keys: Iterable[str], now: float) -> None:
        """Note that the objects of problems exist no more; those that are not known any more are passed over."""
        for key in keys:
            problem = self._known.find(key)
            if problem is not None and unheard(problem, now):
                vanish(problem, now)
                self._look_at(self._known.group_of[key], end_at(problem, self._plan.timing))

    # -- events ----------------------------------------------------------------------------------

    def _asked(self, events: Sequence[Event]) -> Sequence[bool | None]:
        """Return which events are wanted; None for those with which that seems to make no difference.

        Of most events in a storm a problem is known, which they belong to whether they are wanted or not.
        """
        of_object = self._known.of_object
        if not of_object:
            return self._wanted(events)
        new = [event.object not in of_object for event in events]
        verdicts = iter(self._wanted([event for event, is_new in zip(events, new, strict=True) if is_new]))
        return [next(verdicts) if is_new else None for is_new in new]

    def _take(self, event: Event, open_of_it: dict[str, Problem], now: float, *, wanted: bool | None) -> None:
        """Take an event about an object of which problems are known.

        Args:
            event: the event.
            open_of_it: the problems, by their keys.
            now: seconds since 1970.
            wanted: whether it may begin a problem; None if nobody was asked yet.
        """
        may_end = event.reason in self._known.over or event.state == "resolved" or event.kind == "Node"
        if ended := [key for key, problem in open_of_it.items() if may_end and ends(problem, event)]:
            for key in ended:
                seem_over(open_of_it[key], event, now)
                self._look_at(self._known.group_of[key], end_at(open_of_it[key], self._plan.timing))
            if event.kind != "Node" or event.state or not self._wants(event, wanted=wanted):
                self._count(open_of_it[min(ended)], now)
                return
            # That a node is gone, or was restarted, is news of its own.
        meant = self._meant(event)
        problem = open_of_it.get(key := meant.key)
        if problem is None:
            self._first_of(event, meant, now, wanted=wanted)
            return
        needs = problem.needs
        if event.state == "unknown" and event.condition in problem.conditions:
            problem.status = event.status
        elif event.state in {"", "firing"}:
            if meant.severity != problem.severity:
                problem.severity = worst([problem.severity, meant.severity])
            if meant.over != problem.over:
                self._known.over.update(meant.over)
            go_on(problem, event, now, meant.over)
        self._count(problem, now)
        if needs is not None:
            self._look_at(self._known.group_of[key], ripe_at(needs, now))
        elif problem.events == 1 and not problem.told:  # the first of it since it was muted
            self._look_at(self._known.group_of[key], now)

    def _count(self, problem: Problem, now: float) -> None:
        """Count an event of a problem: as waiting, or as muted where that is known to last."""
        if problem.mute is not None and problem.mute.until > now and not problem.told:
            self.books.count_muted(1, problem.mute.by)
        else:
            problem.events += 1

    def _first_of(self, event: Event, meant: Meant | None, now: float, *, wanted: bool | None) -> None:
        """Take an event of which no problem is known: one begins with it, or it concerns nobody."""
        if event.state not in {"resolved", "unknown"} and self._wants(event, wanted=wanted):
            self._open(event, meant, now)
        else:
            self.books.unmatched += 1

    def _wants(self, event: Event, *, wanted: bool | None) -> bool:
        return self._wanted([event])[0] if wanted is None else wanted

    def _open(self, event: Event, meant: Meant | None, now: float) -> None:
        """Begin a problem with an event."""
        plan = self._plan
        if not event.state and now - event.time.timestamp() > plan.timing.stale:
            self.books.count_old(event.reason, now)
            return
        meant = meant or self._meant(event)
        name, group = self._group(event, meant)
        if len(self._known) >= plan.problems:
            self._untracked(event, group, meant, now)
        else:
            problem = begin(event, meant.severity, meant.family, now)
            problem.once = once(meant.family) and not plan.every_end
            problem.needs = self._thresholds.needs(event, meant.known, now)
            go_on(problem, event, now, meant.over)
            problem.events = 1
            key = meant.key
            if (before := self.books.past.get(key)) is not None:
                begin_again(problem, before, now)
            group.problems[key] = problem
            self._known.add(key, problem, name)
            grouping.hush(problem, self._mutes, now)
            if problem.mute is not None:
                self._hushed(1, problem.mute, event, key)
                problem.events = 0
                self._look_at(name, problem.mute.until)
                return
            if problem.needs is not None:
                self._look_at(name, min(ripe_at(problem.needs, now), end_at(problem, plan.timing)))
                return
        if group.sent is not None:
            self._look_at(name, group.sent + plan.timing.interval)
            return
        if group.opened is None:
            group.opened = now
        self._look_at(name, group.opened + plan.timing.wait)

    def _untracked(self, event: Event, group: Group, meant: Meant, now: float) -> None:
        """Count an event whose problem finds no room, unless nobody is to be told of it."""
        mute = next((mute for each in self._mutes if (mute := each(event, now)) is not None), None)
        if mute is not None:
            self._hushed(1, mute, event, meant.key)
            return
        group.untracked += 1
        group.untracked_last = now
        group.untracked_worst = worst([group.untracked_worst, meant.severity])

    def _group(self, event: Event, meant: Meant) -> tuple[str, Group]:
        by = grouping.values(event, self._plan.by, meant.severity, meant.family)
        name = msgspec.json.encode(list(by.values())).decode()
        groups = self.books.groups
        if name in groups and groups[name].by.keys() != by.keys():  # of another plan, by other fields
            name = msgspec.json.encode(by).decode()
        if name not in groups and len(groups) >= self._plan.groups:
            name, by = _OVERFLOW, {}
        if name not in groups:
            groups[name], self._due[name] = Group(by=by), math.inf
        return name, groups[name]

    def _look_at(self, name: str, at: float) -> None:
        """Have a group looked at by then; too early costs a look, and what is due is found out there."""
        self._due[name] = max(self.books.groups[name].later, min(self._due[name], at))

    # -- notifications ---------------------------------------------------------------------------

    def _visit(self, name: str, now: float) -> Why | None:
        """Find out whether a group speaks; what is over and not worth telling leaves it."""
        group, timing = self.books.groups[name], self._plan.timing
        grouping.lapse(group, timing, now)
        for key, problem in group.problems.items():
            grouping.hush(problem, self._mutes, now)
            if problem.mute is not None and not problem.told:
                self._hushed(problem.events, problem.mute, problem, key)
                problem.events = 0
        for key, problem in grouping.leave(group, every_end=self._plan.every_end):
            self._known.drop(key)
            self.books.count_muted(problem.events, THRESHOLD)
        if grouping.empty(group):
            del self.books.groups[name], self._due[name]
            return None
        grouping.reopen(group, now)
        why = grouping.decide(group, timing, now)
        if why in {Why.WAITS, Why.NOTHING}:
            self._due[name] = grouping.due(group, timing, now)
            return None
        return why

    def _speak(self, speaking: Sequence[tuple[str, Why]], now: float) -> list[Notification]:
        """Make the messages of groups; those of one quota share one where there may not be as many."""
        limit = self._plan.quota
        if limit is None:
            return [self._note(name, why, now) for name, why in speaking]
        told = []
        sharing: dict[str, list[tuple[str, Why]]] = {}
        for name, why in speaking:
            sharing.setdefault(quota.key_of(limit, self.books.groups[name].by), []).append((name, why))
        spent = self.books.spent
        for key, groups in sharing.items():
            free = quota.free(limit, spent, key, now)
            if free <= 0:
                for name, _ in groups:
                    self._due[name] = self.books.groups[name].later = quota.free_at(limit, spent, key)
                continue
            first = self.books.number
            notes = [self._note(name, why, now) for name, why in groups]
            if len(notes) > free:
                self.books.number = first + 1
                both = {"number": first + 1, "why": Why.QUOTA, "folded": 0, "groups": len(notes)}
                notes = [msgspec.structs.replace(fold(notes), **both)]
            for _ in notes:
                quota.spend(limit, spent, key, now)
            told += notes
        return told

    def _note(self, name: str, why: Why, now: float) -> Notification:
        books = self.books
        group = books.groups[name]
        books.number += 1
        note = grouping.notification(group, why, books.number, now)
        books.represented += note.events
        past = books.past
        for key in [key for key, before in past.items() if before.ended + RELAPSE <= now]:
            del past[key]
        for key, problem in grouping.spoke(group, now):
            self._known.drop(key)
            if len(past) < self._plan.problems:
                past[key] = Past(now, problem.relapses)
        if grouping.empty(group):
            del books.groups[name], self._due[name]
        else:
            self._due[name] = grouping.due(group, self._plan.timing, now)
        return note

    def _hushed(self, events: int, mute: Mute, about: Event | Problem, key: str) -> None:
        """Count events of a problem of which nobody is told, and note what keeps it quiet, if that is a problem too."""
        self.books.count_muted(events, mute.by)
        if mute.source:
            self._quiet.append((mute.source, about.kind, about.object, key))
