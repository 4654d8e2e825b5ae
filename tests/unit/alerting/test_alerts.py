"""Who is told what and when: lifecycle of problems, groups and their times, limits of memory."""

from __future__ import annotations

import math

import pytest

from eventer.alerting.notification import ITEMS, Why
from eventer.alerting.terms import Timing
from tests.helpers.alerting import START, Played, node, pod


def test_problems_of_a_group_wait_for_each_other_and_are_told_in_one_message() -> None:
    played = Played()
    played.log += [pod("BackOff", 0, name="a")]
    assert played.settle(0) == []
    assert played.alerts.due == START + 10
    played.log += [pod("BackOff", 5, name="b"), pod("OOMKilling", 5, name="a")]
    assert played.settle(5) == []
    notes = played.settle(10)
    assert [(note.why, note.group["family"], note.firing) for note in notes] == [(Why.FIRST, "crash", 2)]
    assert {item.name for item in notes[0].items} == {"a", "b"}
    assert [note.group["family"] for note in played.settle(15)] == ["memory"]


def test_g2_a_new_problem_waits_for_the_interval_and_a_repeated_one_says_nothing() -> None:
    played = Played()
    played.log += [pod("BackOff", 0, name="a")]
    played.settle(0)
    played.settle(10)
    played.log += [pod("BackOff", 20, name="a"), pod("BackOff", 20, name="b")]
    assert played.settle(20) == []
    assert played.settle(309) == []
    (note,) = played.settle(310)
    assert (note.why, note.firing, note.events) == (Why.NEW, 2, 2)
    assert next(item.count for item in note.items if item.name == "a") == 2


def test_two_reasons_of_one_family_are_one_problem() -> None:
    played = Played()
    played.log += [pod("BackOff", 0), pod("Unhealthy", 1)]
    played.settle(1)
    (note,) = played.settle(11)
    assert (note.firing, note.events) == (1, 2)


def test_an_opposite_reason_ends_a_problem_once_it_has_been_calm() -> None:
    played = Played()
    played.log += [pod("BackOff", 0, container="web")]
    played.settle(0)
    played.settle(10)
    played.log += [pod("Started", 400, container="web")]
    assert played.settle(400) == []
    assert played.settle(999) == []
    (note,) = played.settle(1000)
    assert (note.why, note.firing, note.resolved, note.severity) == (Why.RESOLVED, 0, 1, "info")
    assert note.items[0].ended == START + 400
    assert played.books.groups == {}
    assert played.alerts.due == math.inf


def test_that_all_is_over_waits_for_the_interval_as_well() -> None:
    played = Played(timing=Timing(calm=20))
    played.log += [pod("BackOff", 0), pod("Started", 15)]
    played.settle(15)
    played.run(1000, since=15)
    assert [(note.why, note.at - START) for note in played.told] == [(Why.FIRST, 25), (Why.RESOLVED, 325)]


def test_what_returns_before_its_end_was_told_was_never_over() -> None:
    played = Played(timing=Timing(calm=20))
    played.log += [pod("BackOff", 0)]
    played.settle(0)
    played.settle(10)
    played.log += [pod("Started", 15)]
    played.settle(15)
    played.settle(40)
    played.log += [pod("BackOff", 100)]
    played.settle(100)
    played.run(1000, since=100)
    assert [note.why for note in played.told] == [Why.FIRST]
    (problem,) = next(iter(played.books.groups.values())).problems.values()
    assert (problem.ended, problem.returns) == (None, 1)


def test_the_start_of_another_container_ends_nothing() -> None:
    played = Played()
    played.log += [pod("BackOff", 0, container="web"), pod("Started", 1, container="proxy")]
    played.settle(1)
    assert played.books.unmatched == 1
    (problem,) = next(iter(played.books.groups.values())).problems.values()
    assert problem.calm is None


def test_what_nobody_ends_is_over_after_quiet() -> None:
    played = Played()
    for at in (0, 100):
        played.log += [pod("OOMKilling", at)]
        played.settle(at)
        played.run(at + 90, since=at)
    played.run(10_000, since=190)
    assert [(note.why, note.at - START) for note in played.told] == [(Why.FIRST, 10), (Why.RESOLVED, 2800)]
    assert played.told[1].items[0].ended == START + 100


@pytest.mark.parametrize("every_end", [False, True])
def test_what_happened_in_a_moment_has_no_end_to_tell_people_of(every_end: bool) -> None:
    played = Played(every_end=every_end)
    played.log += [pod("OOMKilling", 0), pod("OOMKilling", 5)]
    played.settle(5)
    played.run(10_000, since=5)
    assert [note.why for note in played.told] == [Why.FIRST, Why.RESOLVED][: 1 + every_end]
    assert played.books.groups == {}


def test_what_flaps_slowly_becomes_one_problem_that_goes_on() -> None:
    played = Played()
    at = 0.0
    while at < 3600:
        played.log += [pod("BackOff", at)]
        played.settle(at)
        played.run(at + 660, since=at)
        played.log += [pod("Started", at + 660)]
        played.settle(at + 660)
        played.run(at + 1320, since=at + 660)
        at += 1320
    played.run(86_400, since=at)
    assert [note.why for note in played.told] == [Why.FIRST, Why.RESOLVED, Why.FIRST, Why.RESOLVED]
    assert played.told[-1].items[0].returns > 1


def test_what_comes_back_after_an_hour_is_another_problem() -> None:
    played = Played()
    for at in (0.0, 6000.0):
        played.log += [pod("BackOff", at), pod("Started", at + 1)]
        played.settle(at + 1)
        played.run(at + 6000, since=at + 1)
    assert [(note.why, note.items[0].returns) for note in played.told] == [(Why.FIRST, 0), (Why.RESOLVED, 0)] * 2
    assert len(played.books.past) == 1


def test_a_condition_lasts_until_its_source_says_otherwise_however_quiet_it_is() -> None:
    played = Played(by=("cluster",))
    played.log += [node("Ready", "firing", 0)]
    played.settle(0)
    played.run(86_400)
    assert [note.why for note in played.told] == [Why.FIRST] + [Why.REPEAT] * 5
    played.log += [node("Ready", "resolved", 86_400)]
    played.settle(86_400)
    played.run(100_000, since=86_400)
    assert played.told[-1].why is Why.RESOLVED
    assert played.told[-1].items[0].ended == START + 86_400


def test_a_problem_lasts_as_long_as_one_of_its_conditions_is_bad() -> None:
    played = Played()
    played.log += [node("Ready", "firing", 0), node("NetworkUnavailable", "firing", 1), pod("Unhealthy", 1)]
    played.log += [node("Ready", "resolved", 2)]
    played.settle(2)
    problem = played.books.groups['["prod","","node-down"]'].problems["prod/Node//n1/node-down"]
    assert (problem.conditions, problem.calm) == (["NetworkUnavailable"], None)


def test_that_all_is_well_again_concerns_nobody_who_was_not_told_of_trouble() -> None:
    played = Played()
    played.log += [node("Ready", "resolved", 0), node("Ready", "unknown", 1), pod("Started", 2), pod("Scheduled", 3)]
    assert played.settle(3) == []
    assert played.books.unmatched == 4


def test_a_crash_loop_of_six_hours_is_told_at_most_three_times_and_its_end_once() -> None:
    played = Played()
    at = 0.0
    while at < 6 * 3600:  # run, crash, back-off of five minutes, start
        played.log += [pod("BackOff", at, container="web"), pod("Started", at + 300, container="web")]
        for moment in (at, at + 300):
            played.settle(moment)
        at += 310
    played.run(at + 86_400, since=at)
    whys = [note.why for note in played.told]
    assert whys[-1] is Why.RESOLVED
    assert len(whys[:-1]) <= 3
    assert played.told[-1].items[0].returns > 0


def test_a_condition_that_flaps_for_an_hour_is_told_at_most_twice_and_its_end_once() -> None:
    played = Played()
    for minute in range(60):
        played.log += [node("Ready", "resolved" if minute % 2 else "firing", minute * 60)]
        played.settle(minute * 60)
    played.run(86_400, since=3600)
    whys = [note.why for note in played.told]
    assert whys[-1] is Why.RESOLVED
    assert len(whys[:-1]) <= 2


def test_old_events_of_a_first_install_are_one_summary_but_an_old_condition_is_a_problem() -> None:
    played = Played(by=("cluster",))
    played.log += [pod("BackOff", -at, name=f"p{at}") for at in range(1000, 3600, 10)] + [
        node("Ready", "firing", -9999)
    ]
    played.settle(0)
    played.run(100)
    summary, first = sorted(played.told, key=lambda note: note.why is Why.FIRST)
    assert (summary.why, summary.events, summary.reasons) == (Why.SUMMARY, 260, {"BackOff": 260})
    assert (first.events, first.items[0].since) == (1, START - 9999)


def test_an_old_event_of_a_problem_that_is_known_counts_there() -> None:
    played = Played()
    played.log += [pod("BackOff", 0)]
    played.settle(0)
    played.log += [pod("BackOff", -5000)]
    played.settle(1)
    assert played.books.old is None
    assert next(iter(played.books.groups.values())).waiting == 2


@pytest.mark.parametrize("kinds", [1, 2000])
def test_memory_has_a_bound_and_every_event_is_in_the_count_of_a_message(kinds: int) -> None:
    played = Played(groups=20, problems=100)
    played.log += [pod("BackOff", 0, name=f"p{n}", namespace=f"ns{n % kinds}") for n in range(10_000)]
    played.settle(0)
    played.run(86_400)
    assert sum(note.events for note in played.told) == 10_000
    assert sum(note.untracked for note in played.told) == 9_900
    assert all(len(note.items) <= ITEMS for note in played.told)
    assert len(played.told) <= 2 * 21
    assert played.books.groups == {}
    assert len(played.alerts.state()) < 200


def test_what_finds_no_room_keeps_its_severity() -> None:
    played = Played(by=("cluster",), problems=1)
    played.log += [pod("BackOff", 0), pod("OOMKilling", 1)]
    played.settle(1)
    (note,) = played.settle(11)
    assert (note.severity, note.firing, note.untracked) == ("critical", 1, 1)


def test_a_label_of_the_source_can_be_grouped_by() -> None:
    played = Played(by=("region",))
    events = [pod("BackOff", 0, name=name) for name in ("a", "b")]
    events[0].labels = {"region": "cn-shanghai"}
    played.log += events
    played.settle(0)
    assert [note.group for note in played.settle(10)] == [{"region": "cn-shanghai"}, {"region": ""}]
