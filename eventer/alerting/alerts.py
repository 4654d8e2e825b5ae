"""One notifier's alerting: batches of events and the time in, notifications and a state to store out.

Its memory is bounded. Beyond `GROUPS` groups, problems go into one of their own, without a name; beyond `PROBLEMS`
problems, events are counted in their group and not followed one by one. Either way each event is in the count of
some notification, or in that of what kept it from being told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from eventer.alerting import grouping, quota
from eventer.alerting.digest import fold
from eventer.alerting.inhibition import Inhibition, Inhibits
from eventer.alerting.muting import Muting
from eventer.alerting.notification import Notification, Why, worst
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
from eventer.alerting.state import Group, Old, Past, Problem, State, shift
from eventer.alerting.terms import Meanings, Timing, key_of
from eventer.alerting.thresholds import Thresholds, ripe_at
from eventer.catalog import Severity
from eventer.event import Event
from eventer.group import Quota, Threshold

__all__ = ["GROUPS", "MUTES", "PROBLEMS", "Alerts", "Plan"]

GROUPS: Final = 1_000
"""Groups at once: so many messages in a moment help nobody."""
PROBLEMS: Final = 10_000
"""Problems that are followed at once, about 1 KiB of memory each."""
MUTES: Final = 500
"""Names of what kept problems from being told under which events are counted; others count under their stage."""
THRESHOLD: Final = "threshold"
"""What events are counted under whose problem ended before it was worth telling."""
_OVERFLOW: Final = ""
"""Key of the group for what finds no room. No other key is empty."""


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


class Alerts:
    """What is open for one notifier, and what it was told.

    Args:
        wanted: which of some events may begin a problem; asked once per step.
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
        self._meanings = meanings
        self._plan = plan
        self._thresholds = Thresholds(plan.thresholds)
        self.books = msgspec.json.decode(stored, type=State) if stored is not None else State()
        self._inhibition = Inhibition(plan.inhibits, meanings, self.books.sources, quiet=plan.timing.quiet)
        self._mutes = (*plan.mutes, self._inhibition.mute)
        self._group_of: dict[str, str] = {}
        self._of_object: dict[str, dict[str, Problem]] = {}
        # Reasons that may end a problem; an object may have thousands, where somebody writes numbers into reasons.
        self._over: set[str] = set()
        self._due: dict[str, float] = {}  # in the order of the groups, which a restart keeps
        for name, group in self.books.groups.items():
            group.later = quota.later(plan.quota, self.books.spent, group, self.books.at)
            self._due[name] = grouping.due(group, plan.timing, self.books.at)
            for key, problem in group.problems.items():
                self._know(key, problem, name)

    def state(self) -> bytes:
        """Return what must be stored with the cursor, in one transaction with the notifications."""
        return msgspec.json.encode(self.books)

    @property
    def due(self) -> float:
        """When the next step is due if no event comes, seconds since 1970; infinity if never."""
        books = self.books
        return min(
            min(self._due.values(), default=math.inf),
            books.old.due(self._plan.timing) if books.old else math.inf,
            self._beat_at(),
        )

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
        for event, wanted in zip(events, self._wanted(events) if events else (), strict=True):
            open_of_it = self._of_object.get(event.object)
            if open_of_it is not None:
                self._take(event, open_of_it, now, wanted=wanted)
            else:
                self._first_of(event, now, wanted=wanted)
        late = [name for name, due in self._due.items() if due <= now]
        speaking = [(name, why) for name in late if (why := self._visit(name, now)) is not None]
        told = self._speak(speaking, now) if speaking else []
        if books.old is not None and books.old.due(self._plan.timing) <= now:
            told.append(self._summary(books.old, now))
        if self._beat_at() <= now:
            told.append(self._alive(now))
        elif books.beat is None:
            books.beat = now
        return told

    # -- objects that are gone -------------------------------------------------------------------

    def unheard(self, now: float) -> dict[str, Event]:
        """Return what was not heard of for a while, as Events by problem: their objects may exist no more."""
        return {
            key: event_of(problem)
            for of_it in self._of_object.values()
            for key, problem in of_it.items()
            if unheard(problem, now)
        }

    def vanished(self, keys: Iterable[str], now: float) -> None:
        """Note that the objects of problems exist no more; those that are not known any more are passed over."""
        for key in keys:
            name = self._group_of.get(key)
            problem = self.books.groups[name].problems[key] if name is not None else None
            if name is not None and problem is not None and unheard(problem, now):
                vanish(problem, now)
                self._look_at(name, end_at(problem, self._plan.timing))

    # -- events ----------------------------------------------------------------------------------

    def _take(self, event: Event, open_of_it: dict[str, Problem], now: float, *, wanted: bool) -> None:
        """Take an event about an object of which problems are known."""
        may_end = event.reason in self._over or event.state == "resolved" or event.kind == "Node"
        if ended := [key for key, problem in open_of_it.items() if may_end and ends(problem, event)]:
            for key in ended:
                seem_over(open_of_it[key], event, now)
                self._look_at(self._group_of[key], end_at(open_of_it[key], self._plan.timing))
            if not wanted or event.kind != "Node" or event.state:
                self._count(open_of_it[min(ended)], now)
                return
            # That a node is gone, or was restarted, is news of its own.
        severity, family = self._meanings.meaning(event)
        problem = open_of_it.get(key := key_of(event, family))
        if problem is None:
            self._first_of(event, now, wanted=wanted)
            return
        needs = problem.needs
        if event.state == "unknown" and event.condition in problem.conditions:
            problem.status = event.status
        elif event.state in {"", "firing"}:
            if severity != problem.severity:
                problem.severity = worst([problem.severity, severity])
            go_on(problem, event, now)
        self._count(problem, now)
        if needs is not None:
            self._look_at(self._group_of[key], ripe_at(needs, now))
        elif problem.events == 1 and not problem.told:  # the first of it since it was muted
            self._look_at(self._group_of[key], now)

    def _count(self, problem: Problem, now: float) -> None:
        """Count an event of a problem: as waiting, or as muted where that is known to last."""
        if problem.mute is not None and problem.mute.until > now and not problem.told:
            self._mute(1, problem.mute.by)
        else:
            problem.events += 1

    def _first_of(self, event: Event, now: float, *, wanted: bool) -> None:
        """Take an event of which no problem is known: one begins with it, or it concerns nobody."""
        if wanted and event.state not in {"resolved", "unknown"}:
            self._open(event, now)
        else:
            self.books.unmatched += 1

    def _open(self, event: Event, now: float) -> None:
        """Begin a problem with an event."""
        plan = self._plan
        if not event.state and now - event.time.timestamp() > plan.timing.stale:
            self.books.count_old(event.reason, now)
            return
        severity, family = self._meanings.meaning(event)
        name, group = self._group(event, severity, family)
        if len(self._group_of) >= plan.problems:
            self._untracked(event, group, severity, now)
        else:
            known = self._meanings.of(event)
            problem = begin(event, severity, family, known, now)
            problem.needs = self._thresholds.needs(event, known, now)
            go_on(problem, event, now)
            problem.events = 1
            key = key_of(event, family)
            if (before := self.books.past.get(key)) is not None:
                begin_again(problem, before, now)
            group.problems[key] = problem
            self._know(key, problem, name)
            grouping.hush(problem, self._mutes, now)
            if problem.mute is not None:
                self._mute(1, problem.mute.by)
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

    def _untracked(self, event: Event, group: Group, severity: Severity, now: float) -> None:
        """Count an event whose problem finds no room, unless nobody is to be told of it."""
        mute = next((mute for each in self._mutes if (mute := each(event, now)) is not None), None)
        if mute is not None:
            self._mute(1, mute.by)
            return
        group.untracked += 1
        group.untracked_last = now
        group.untracked_worst = worst([group.untracked_worst, severity])

    def _group(self, event: Event, severity: Severity, family: str) -> tuple[str, Group]:
        by = grouping.values(event, self._plan.by, severity, family)
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

    def _know(self, key: str, problem: Problem, name: str) -> None:
        self._group_of[key] = name
        self._of_object.setdefault(problem.object, {})[key] = problem
        self._over.update(problem.over)

    def _forget(self, key: str, problem: Problem) -> None:
        del self._group_of[key]
        of_it = self._of_object[problem.object]
        del of_it[key]
        if not of_it:
            del self._of_object[problem.object]

    # -- notifications ---------------------------------------------------------------------------

    def _visit(self, name: str, now: float) -> Why | None:
        """Find out whether a group speaks; what is over and not worth telling leaves it."""
        group, timing = self.books.groups[name], self._plan.timing
        grouping.lapse(group, timing, now)
        for problem in group.problems.values():
            grouping.hush(problem, self._mutes, now)
            if problem.mute is not None and not problem.told:
                self._mute(problem.events, problem.mute.by)
                problem.events = 0
        for key, problem in grouping.leave(group, every_end=self._plan.every_end):
            self._forget(key, problem)
            self._mute(problem.events, THRESHOLD)
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
            self._forget(key, problem)
            if len(past) < self._plan.problems:
                past[key] = Past(now, problem.relapses)
        if grouping.empty(group):
            del books.groups[name], self._due[name]
        else:
            self._due[name] = grouping.due(group, self._plan.timing, now)
        return note

    def _mute(self, events: int, by: str) -> None:
        """Count events of which nobody is told, under what keeps them from it."""
        muted = self.books.muted
        if events:
            if by not in muted and len(muted) >= MUTES:
                by = by.split(" ", 1)[0]
            muted[by] = muted.get(by, 0) + events

    def _summary(self, old: Old, now: float) -> Notification:
        self.books.old = None
        self.books.represented += old.events
        note = self._of_no_group(Why.SUMMARY, now)
        return msgspec.structs.replace(note, reasons=old.reasons, events=old.events)

    def _alive(self, now: float) -> Notification:
        self.books.beat = now
        going = sum(problem.told for group in self.books.groups.values() for problem in group.problems.values())
        return msgspec.structs.replace(self._of_no_group(Why.ALIVE, now), firing=going)

    def _of_no_group(self, why: Why, now: float) -> Notification:
        self.books.number += 1
        return Notification(number=self.books.number, why=why, at=now, group={}, severity="info", events=0)

    def _beat_at(self) -> float:
        beat, every = self.books.beat, self._plan.heartbeat
        return math.inf if beat is None or not every else beat + every
