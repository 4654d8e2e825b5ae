"""Any events at any times, killed between any two steps: nothing is told twice, nothing is missing from the counts."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from eventer.alerting.muting import Mute
from eventer.alerting.nodes import inhibits
from eventer.alerting.notification import Why
from eventer.config.inhibition import Inhibit
from eventer.event import Event
from eventer.group import Quota, Threshold, When
from eventer.match import Rule
from eventer.values import Duration
from tests.helpers.alerting import START, Played, node, pod

_EVENTS = st.one_of(
    st.tuples(st.sampled_from(["BackOff", "Started", "OOMKilling", "Odd"]), st.sampled_from("abc"), st.just("")),
    st.tuples(
        st.sampled_from(["Ready", "NetworkUnavailable"]),
        st.just("n1"),
        st.sampled_from(["firing", "resolved", "unknown"]),
    ),
    st.tuples(st.sampled_from(["NodeDeleted", "Cordoned", "Rebooted"]), st.just("n1"), st.just("node")),
)


def _nights(event: Event, now: float) -> Mute | None:
    """Every second hour, of some only."""
    hour, passed = divmod(now - START, 3600.0)
    return None if hour % 2 or event.name == "a" else Mute("window", "nights", now + 3600.0 - passed)


_QUOTA = Quota(messages=2, within=Duration(5_000), per=["cluster"])
PLANS: tuple[dict[str, Any], ...] = (
    {},
    {"thresholds": [Threshold(match=Rule.parse({"reason": "BackOff"}), when=When(count=2, within=Duration(900)))]},
    {"thresholds": [Threshold(match=Rule.parse({}), lasts=Duration(400))], "heartbeat": 9_000.0},
    {"quota": _QUOTA},
    {"mutes": [_nights]},
    {"mutes": [_nights], "quota": Quota(messages=1, per=[]), "groups": 9},
    {"inhibits": inhibits(Inhibit()), "by": ("namespace",), "problems": 9},
    {"inhibits": inhibits(Inhibit()), "mutes": [_nights], "every_end": True, "quota": _QUOTA},
    {
        "inhibits": inhibits(Inhibit()),
        "thresholds": [Threshold(match=Rule.parse({}), when=When(count=2, within=Duration(900)), lasts=Duration(400))],
        "by": ("node",),
    },
)


def _whole(plan: int) -> dict[str, Any]:
    return {"by": ("cluster", "name"), "groups": 2, "problems": 3} | PLANS[plan]


class Killed(RuleBasedStateMachine):
    """Two of the same: one is killed again and again before it stores a step, the other never is."""

    @initialize(plan=st.sampled_from(range(len(PLANS))))
    def begin(self, plan: int) -> None:
        self.now = 0.0
        self.both = self.killed, self.calm = [Played(**_whole(plan)) for _ in range(2)]
        self.quiet: list[dict[str, float]] = [{}, {}]

    def _event(self, what: tuple[str, str, str]) -> Event:
        name, about, state = what
        if state == "node":
            event = node("Ready", "", self.now, name=about)
            event.reason, event.condition, event.problem = name, "", f"{event.object}/{name}"
            event.type = "Normal" if name == "Cordoned" else "Warning"
            return event
        if state:
            return node(name, state, self.now, name=about)
        event = pod(name, self.now, name=about)
        event.node = "n1" if about != "c" else ""
        return event

    @rule(what=st.lists(_EVENTS, max_size=5), old=st.booleans())
    def happen(self, what: list[tuple[str, str, str]], old: bool) -> None:
        for each in what:
            event = self._event(each)
            if old:
                event.time = pod("Odd", self.now - 2000).time
            for played in self.both:
                played.log.append(event)

    @rule(seconds=st.sampled_from([0.0, 3.0, 10.0, 300.0, 700.0, 2000.0, 20_000.0]), kills=st.integers(0, 3))
    def pass_time(self, seconds: float, kills: int) -> None:
        self.now += seconds
        for _ in range(kills):
            assert self.killed.settle(self.now, killed=True) == []
        early = [played.cursor == len(played.log) and played.alerts.due > START + self.now for played in self.both]
        told = [played.settle(self.now) for played in self.both]
        assert told[0] == told[1]
        assert not (any(early) and told[0]), "nobody would have looked in time"
        self._check_quiet()

    @rule(hours=st.sampled_from([-30.0, -1.0, 1.0, 30.0]))
    def set_clock(self, hours: float) -> None:
        """As the reader does it: all times move, and the next step is by the new time."""
        self.now += hours * 3600
        for played in self.both:
            played.alerts.shift(hours * 3600)
        told = [played.settle(self.now) for played in self.both]
        assert told[0] == told[1]
        self._check_quiet(moved=True)

    @rule()
    def ask_again(self) -> None:
        for played in self.both:
            played.alerts.ask_again()
        told = [played.settle(self.now) for played in self.both]
        assert told[0] == told[1]
        self._check_quiet()

    @rule(plan=st.sampled_from(range(len(PLANS))))
    def reload(self, plan: int) -> None:
        for played in self.both:
            played.restart(**_whole(plan))
            if "thresholds" not in PLANS[plan]:  # of these events the catalog takes none to be normal
                problems = [each for group in played.books.groups.values() for each in group.problems.values()]
                assert not any(problem.needs for problem in problems)

    @invariant()
    def a_message_is_due_or_none_is_owed(self) -> None:
        books = self.calm.books
        problems = [problem for group in books.groups.values() for problem in group.problems.values()]
        # A condition that holds, and did not come as often as a threshold asks, waits for its source.
        held = sum(problem.events for problem in problems if problem.needs is not None and problem.conditions)
        if self.calm.cursor == len(self.calm.log) and books.waiting > held:
            assert self.calm.alerts.due < float("inf")

    def _check_quiet(self, *, moved: bool = False) -> None:
        """What is kept quiet is counted where people are told, as soon as it is asked about; not if times moved."""
        for played, before in zip(self.both, self.quiet, strict=True):
            groups = played.books.groups.values()
            problems = {key: problem for group in groups for key, problem in group.problems.items()}
            for key, problem in problems.items():
                mute = problem.mute
                if mute is not None and mute.source in problems and not problem.told and not moved:
                    # What was asked about before, and is kept quiet by what has come back, is asked within a minute.
                    assert before.get(key) == mute.until or key in problems[mute.source].quieted[problem.kind]
            before.clear()
            before |= {key: problem.mute.until for key, problem in problems.items() if problem.mute is not None}

    def teardown(self) -> None:
        """When all is quiet, all that began has ended and was told."""
        for condition in ("Ready", "NetworkUnavailable"):
            self.calm.log.append(node(condition, "resolved", self.now))
        self.calm.settle(self.now)
        self.calm.run(self.now + 2 * 86_400, since=self.now)
        books = self.calm.books
        assert (books.groups, books.old, books.waiting) == ({}, None, 0)
        spoken = [note for note in self.calm.told if note.why is not Why.SUMMARY]
        # What was muted can be told for the first time with none of its events left to count. That what was not
        # followed is quiet names nothing.
        bare = {Why.ALIVE, Why.RESOLVED, Why.REPEAT, Why.QUOTA}
        assert all(note.events or note.firing or note.resolved or note.why in bare for note in spoken)


TestKilled = Killed.TestCase
TestKilled.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
