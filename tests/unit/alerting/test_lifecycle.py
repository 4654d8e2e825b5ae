"""Turns that a problem takes between its begin and its end: what counts, what is told, and when it is looked at."""

from __future__ import annotations

import math

import pytest

from eventer.alerting.muting import Mute
from eventer.alerting.notification import Why
from eventer.alerting.problems import calm_of
from eventer.alerting.state import Problem, State
from eventer.alerting.terms import Timing
from eventer.catalog import Reason
from eventer.event import Event
from eventer.group import Quota, Threshold, When
from eventer.match import Rule
from eventer.values import Duration
from tests.helpers.alerting import START, Played, Words, node, pod
from tests.helpers.fleet import Fleet


class Hush:
    """Mutes all problems until a time, in seconds after `START`."""

    def __init__(self, until: float = -math.inf) -> None:
        self.until = START + until

    def __call__(self, event: Event, now: float) -> Mute | None:
        return Mute("silence", "hush", self.until) if now < self.until else None


def of_node(reason: str, at: float) -> Event:
    """Trouble of the node itself, which is no condition."""
    event = node("Ready", "", at)
    event.type, event.reason, event.condition, event.problem = "Warning", reason, "", f"{event.object}/{reason}"
    return event


def test_what_was_muted_and_comes_again_is_told_after_the_wait() -> None:
    played = Played(mutes=[Hush(until=50)])
    played.log += [pod("OOMKilling", 0)]
    played.settle(0)
    played.run(100)
    played.log += [pod("OOMKilling", 100)]
    played.settle(100)
    played.run(200, since=100)
    assert [(note.why, note.at - START, note.events) for note in played.told] == [(Why.FIRST, 110, 1)]


def test_what_was_muted_and_comes_again_is_news_of_a_group_that_spoke() -> None:
    played = Played(by=("cluster",), mutes=[hush := Hush(until=50)])
    played.log += [of_node("Rebooted", 0), node("Ready", "firing", 0)]
    played.settle(0)
    hush.until = 0
    played.alerts.ask_again()
    played.settle(1)
    played.run(20, since=1)
    played.log += [of_node("Rebooted", 20)]
    played.settle(20)
    played.run(400, since=20)
    assert [(note.why, note.at - START, note.firing) for note in played.told] == [
        (Why.FIRST, 11, 1),
        (Why.NEW, 311, 2),
    ]


def test_what_happens_to_a_told_problem_while_it_is_muted_is_in_the_next_message() -> None:
    played = Played(mutes=[hush := Hush()], timing=Timing(repeat=600))
    played.log += [pod("BackOff", 0)]
    played.settle(0)
    played.settle(10)
    hush.until = START + 1000
    played.run(700, since=10)
    played.log += [pod("BackOff", 705)]
    played.settle(705)
    played.run(1100, since=705)
    assert [(note.why, note.events) for note in played.told] == [(Why.FIRST, 1), (Why.REPEAT, 1)]
    assert played.books.suppressed == 0


def test_what_seems_over_while_it_is_muted_is_not_told_when_that_ends_first() -> None:
    played = Played(mutes=[Hush(until=100)])
    played.log += [pod("BackOff", 0), pod("Started", 30)]
    played.settle(30)
    played.run(5000, since=30)
    assert played.told == []
    assert played.books.groups == {}


def test_that_a_node_is_gone_ends_what_was_wrong_with_it_and_is_news() -> None:
    played = Played(by=("cluster",))
    played.log += [node("Ready", "firing", 0)]
    played.settle(0)
    played.settle(10)
    played.log += [of_node("NodeDeleted", 20)]
    played.settle(20)
    played.run(400, since=20)
    assert {item.reason for item in played.told[-1].items} == {"ReadyChanged", "NodeDeleted"}
    assert (played.told[-1].why, played.told[-1].events) == (Why.NEW, 1)


@pytest.mark.parametrize("state", ["resolved", "unknown"])
def test_a_state_that_is_told_twice_is_no_sign_that_it_goes_on(state: str) -> None:
    played = Played()
    for event in (node("Ready", "firing", 0), node("Ready", "resolved", 20), node("Ready", state, 30)):
        played.log += [event]
        played.settle(event.time.timestamp() - START)
    played.run(10_000, since=30)
    assert [note.why for note in played.told] == [Why.FIRST, Why.RESOLVED]
    assert (played.told[1].items[0].ended, played.told[1].items[0].returns) == (START + 20, 0)


def test_an_unknown_condition_that_is_trouble_by_its_type_begins_nothing() -> None:
    played = Played()
    event = node("Ready", "unknown", 0)
    event.type = "Warning"
    played.log += [event]
    played.settle(0)
    assert played.books.unmatched == 1


def test_the_worst_that_was_said_of_a_problem_is_its_severity(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = Reason(names=("Odd",), severity="critical", family="crash")
    monkeypatch.setattr(Words, "reasons", Words.reasons | {"Odd": odd})
    played = Played()
    played.log += [pod("BackOff", 0), pod("Odd", 1), pod("BackOff", 2)]
    played.settle(2)
    assert [note.severity for note in played.settle(12)] == ["critical"]


def test_the_time_of_the_last_step_is_remembered() -> None:
    played = Played()
    played.settle(7)
    assert played.books.at == START + 7


def test_problems_that_are_over_are_remembered_up_to_the_limit() -> None:
    played = Played(by=("cluster",), problems=3, timing=Timing(calm=5))
    for at in (0.0, 400.0, 800.0):
        played.log += [pod("BackOff", at, name=f"p{at}-{number}") for number in range(2)]
        played.log += [pod("Started", at, name=f"p{at}-{number}") for number in range(2)]
        played.settle(at)
        played.run(at + 399, since=at)
    assert len(played.books.past) == 3


def test_news_of_a_group_that_a_quota_keeps_quiet_asks_for_no_look_before_that_ends() -> None:
    played = Played(by=("name",), quota=Quota(messages=1, within=Duration(3600), per=[]))
    for at, name in ((0, "a"), (20, "b")):
        played.log += [pod("BackOff", at, name=name)]
        played.settle(at)
        played.settle(at + 10)
    played.log += [pod("Odd", 40, name="b")]
    played.settle(40)
    played.alerts._due.pop('["a"]')
    assert played.alerts.due == START + 3610
    played.alerts.shift(100)
    played.log += [pod("OOMKilling", 150, name="b")]
    played.settle(150)
    played.alerts._due.pop('["a"]', None)
    assert played.alerts.due == START + 3710


def test_what_must_come_often_and_last_must_still_be_heard_of_at_the_end() -> None:
    both = Threshold(
        match=Rule.parse({"reason": "Unhealthy"}), when=When(count=2, within=Duration(900)), lasts=Duration(300)
    )
    played = Played(thresholds=[both])
    for at in (0, 100, 290):
        played.log += [pod("Unhealthy", at)]
        played.settle(at)
    played.run(310, since=290)
    assert played.told == []
    played.log += [pod("Unhealthy", 320)]
    played.settle(320)
    assert [note.events for note in played.settle(330)] == [4]


def test_what_ended_after_it_was_muted_and_before_it_could_be_told_is_never_told() -> None:
    played = Played(mutes=[Hush(until=100)], timing=Timing(quiet=105))
    played.log += [pod("BackOff", 0)]
    played.settle(0)
    played.run(5000)
    assert played.told == []
    assert played.books.groups == {}


def test_a_problem_was_over_when_that_was_told_first() -> None:
    played = Played()
    for event in (pod("BackOff", 0), pod("Started", 20), pod("Started", 500)):
        played.log += [event]
        played.settle(event.time.timestamp() - START)
    played.run(5000, since=500)
    assert [(note.at - START, note.items[0].ended) for note in played.told] == [(20, None), (620, START + 20)]


def test_what_flaps_must_be_calm_for_eighty_minutes_at_most() -> None:
    played = Played()
    played.log += [pod("BackOff", 0)]
    played.settle(0)
    (group,) = played.books.groups.values()
    (problem,) = group.problems.values()
    problem.relapses = 9
    assert calm_of(problem, Timing()) == 80 * 60


def test_nothing_began_later_than_now() -> None:
    played = Played()
    played.log += [pod("BackOff", 500)]
    played.settle(0)
    (note,) = played.settle(10)
    assert note.items[0].since == START


def test_the_same_news_of_a_node_again_does_not_end_itself() -> None:
    played = Played()
    for at in (0.0, 100.0):
        played.log += [of_node("NodeDeleted", at)]
        played.settle(at)
    (group,) = played.books.groups.values()
    (problem,) = group.problems.values()
    assert (problem.count, problem.calm, problem.returns) == (2, None, 0)


def test_it_is_over_by_the_opposite_of_what_it_was_last() -> None:
    fleet = Fleet()
    for at, reason in ((0, "FailedAttachVolume"), (10, "FailedMount"), (60, "SuccessfulAttachVolume")):
        fleet.event(at, "Pod", "web", reason, normal=reason.startswith("S"))
    fleet.play(60)
    (problem,) = _problems(fleet.alerts.books)
    assert (problem.over, problem.calm) == (("Started",), None)
    fleet.event(70, "Pod", "web", "Started", normal=True)
    fleet.play(70)
    (problem,) = _problems(fleet.alerts.books)
    assert (problem.calm, problem.ended_by) == (START + 70, "Started")


@pytest.mark.parametrize("order", [("BackOff", "Unhealthy"), ("Unhealthy", "BackOff")])
@pytest.mark.parametrize("restarts", [False, True])
def test_what_has_an_opposite_is_over_by_it_whichever_came_first(order: tuple[str, str], restarts: bool) -> None:
    played = Played(thresholds=[Threshold(match=Rule.parse({}), lasts=Duration(300))])
    played.log += [pod(reason, at) for at, reason in enumerate(order)]
    played.settle(1)
    if restarts:
        played.restart(thresholds=[Threshold(match=Rule.parse({}), lasts=Duration(300))])
    (problem,) = _problems(played.books)
    assert problem.needs is not None
    assert not problem.needs.blind
    played.run(400, since=1)
    played.log += [pod("Started", 400)]
    played.settle(400)
    played.run(2000, since=400)
    assert [(note.why, note.at - START) for note in played.told] == [(Why.FIRST, 310), (Why.RESOLVED, 1000)]


def _problems(books: State) -> list[Problem]:
    return [problem for group in books.groups.values() for problem in group.problems.values()]


# -- what finds no room ---------------------------------------------------------------------------


def test_that_what_is_not_followed_is_quiet_is_told_once_it_is() -> None:
    played = Played(problems=0)
    for at in (0.0, 200.0):
        played.log += [pod("OOMKilling", at)]
        played.settle(at)
        played.run(at + 199, since=at)
    played.run(20_000, since=399)
    assert [(note.why, note.at - START, note.events, note.severity) for note in played.told] == [
        (Why.FIRST, 10, 1, "critical"),
        (Why.NEW, 310, 1, "critical"),
        (Why.RESOLVED, 2900, 0, "info"),
    ]
    assert played.books.groups == {}


def test_the_severity_of_what_is_not_followed_is_forgotten_when_it_is_quiet() -> None:
    played = Played(by=("cluster",), problems=1, timing=Timing(repeat=1e6))
    played.log += [node("Ready", "firing", 0), pod("OOMKilling", 0)]
    played.settle(0)
    played.run(5000)
    played.log += [node("Ready", "resolved", 5000)]
    played.settle(5000)
    played.run(5300, since=5000)
    played.log += [pod("BackOff", 5300)]
    played.settle(5300)
    played.run(6000, since=5300)
    played.log += [pod("BackOff", 6000, name="other")]
    played.settle(6000)
    assert [(note.at - START, note.severity) for note in played.told] == [
        (10, "critical"),
        (5300, "critical"),
        (6000, "warning"),
    ]


def test_that_something_ended_by_itself_leaves_open_what_is_not_followed() -> None:
    played = Played(by=("cluster",), problems=1)
    for at in (0.0, 1000.0):
        played.log += [pod("OOMKilling", at, name="b")] if at else [pod("OOMKilling", at, name=name) for name in "ab"]
        played.settle(at)
        played.run(at + 999, since=at)
    played.run(20_000, since=1999)
    assert [(note.why, note.at - START) for note in played.told] == [
        (Why.FIRST, 10),
        (Why.NEW, 1000),
        (Why.RESOLVED, 3700),
    ]
