"""What alerting goes by changes while problems go on: the clock, the plan, what mutes; and what one object may cost."""

from __future__ import annotations

from typing import ClassVar

import pytest

from eventer.alerting import quota
from eventer.alerting.alerts import Alerts
from eventer.alerting.muting import Mute
from eventer.alerting.nodes import inhibits
from eventer.alerting.notification import Why
from eventer.alerting.problems import ends
from eventer.alerting.state import Problem
from eventer.alerting.terms import Timing
from eventer.catalog import Catalog, Reason
from eventer.catalog.changes import CatalogChanges, ReasonChange
from eventer.config.inhibition import Inhibit
from eventer.event import Event, Origin
from eventer.group import Quota, Threshold, When
from eventer.match import Rule
from eventer.values import Duration
from tests.helpers.alerting import START, Played, Words, node, pod

OFTEN = Threshold(match=Rule.parse({"reason": "BackOff"}), when=When(count=3, within=Duration(600)))
LONG = Threshold(match=Rule.parse({}), lasts=Duration(300))
ONE = Quota(messages=1, within=Duration(86_400), per=[])
DAYS = pytest.mark.parametrize("by", [-86_400.0, 86_400.0])


def mute_n1(event: Event, now: float) -> Mute | None:
    return Mute("silence", "for a moment", START + 50) if event.name == "n1" and now < START + 50 else None


# -- the clock ------------------------------------------------------------------------------------


@DAYS
@pytest.mark.parametrize("restarts", [False, True])
def test_what_must_last_lasts_as_long_when_the_clock_is_set(by: float, restarts: bool) -> None:
    played = Played(thresholds=[LONG])
    played.log += [pod("BackOff", 0)]
    played.settle(0)
    played.alerts.shift(by)
    played.settle(by)
    if restarts:
        played.restart(thresholds=[LONG])
    played.run(by + 600, since=by)
    assert [note.at - START - by for note in played.told] == [310]


@DAYS
def test_a_clock_that_was_set_is_no_sign_that_something_goes_on(by: float) -> None:
    played = Played(thresholds=[LONG])
    played.log += [pod("Unhealthy", 0)]
    played.settle(0)
    played.alerts.shift(by)
    played.settle(by)
    played.restart(thresholds=[LONG])
    played.run(by + 2000, since=by)
    assert played.told == []


def test_the_end_of_what_lasted_is_told_though_the_clock_was_set_back() -> None:
    played = Played(timing=Timing(repeat=900))
    for at in (0, 600):
        played.log += [pod("OOMKilling", at)]
        played.settle(at)
        played.run(at + 500, since=at)
    assert [note.why for note in played.told] == [Why.FIRST, Why.REPEAT]
    played.alerts.shift(-86_400)
    played.run(0, since=1100 - 86_400)
    assert played.told[-1].why is Why.RESOLVED


def test_every_time_that_is_remembered_moves_with_the_clock() -> None:
    both = []
    for by in (0.0, 7_200.0):
        played = Played(
            by=("cluster", "name"), heartbeat=10_000, quota=Quota(messages=1, within=Duration(5_000), per=["cluster"])
        )
        played.log += [pod("BackOff", 0, name="a"), pod("Started", 5, name="a"), pod("Odd", 5, name="b")]
        played.log += [pod("Odd", -2_000, name="c")]
        played.settle(5)
        played.settle(15)
        played.log += [pod("BackOff", 20, name="d")]
        played.settle(20)
        played.run(2_000, since=20)
        played.log += [pod("Odd", -2_000, name="c")]
        played.settle(2_000)
        played.alerts.shift(by)
        played.settle(2_000 + by)
        played.log += [pod("BackOff", 2_100 + by, name="a")]
        played.settle(2_100 + by)
        played.run(40_000 + by, since=2_100 + by)
        both.append([(note.why, note.at - by * (note.at > START + 2_000), note.events) for note in played.told])
    assert both[0] == both[1]


@DAYS
def test_what_mutes_does_so_as_long_when_the_clock_is_set(by: float) -> None:
    until = START + 50

    def hush(event: Event, now: float) -> Mute | None:
        return Mute("silence", "hush", until) if now < until else None

    played = Played(mutes=[hush])
    played.log += [pod("BackOff", 0)]
    played.settle(0)
    played.alerts.shift(by)
    until += by
    assert played.books.at == START + by
    played.run(by + 200, since=by)
    assert [note.at - START - by for note in played.told] == [60]


@DAYS
def test_what_was_over_just_before_the_clock_was_set_is_known_to_have_been(by: float) -> None:
    played = Played()
    played.log += [pod("BackOff", 0), pod("Started", 1)]
    played.settle(1)
    played.run(700, since=1)
    played.alerts.shift(by)
    played.log += [pod("BackOff", by + 700)]
    played.settle(by + 700)
    played.run(by + 720, since=by + 700)
    assert [(note.why, note.items[0].returns) for note in played.told] == [
        (Why.FIRST, 0),
        (Why.RESOLVED, 0),
        (Why.FIRST, 1),
    ]


@DAYS
def test_what_keeps_others_quiet_is_over_as_late_when_the_clock_is_set(by: float) -> None:
    def crash(at: float) -> Event:
        event = pod("BackOff", at)
        event.node = "n1"
        return event

    played = Played(by=("kind",), inhibits=inhibits(Inhibit()), timing=Timing(repeat=1e6))
    down = node("Ready", "", 0)
    down.type, down.origin, down.reason, down.condition = "Warning", Origin.EVENT, "NodeNotReady", ""
    played.log += [down, crash(0)]
    played.settle(0)
    played.run(2000)
    played.alerts.shift(by)
    for at in (by + 2000, by + 2690, by + 2800):
        played.log += [crash(at)]
        played.settle(at)
        played.run(at + 90, since=at)
    played.run(by + 4000, since=by + 2890)
    told = [(note.why, note.at - START - by) for note in played.told if note.group["kind"] == "Pod"]
    assert told == [(Why.FIRST, 2830)]  # asked at each full minute


# -- the plan -------------------------------------------------------------------------------------


def test_groups_of_a_plan_by_other_fields_are_others_though_the_values_are_the_same() -> None:
    played = Played(by=("namespace",))
    played.log += [pod("BackOff", 0)]
    played.settle(0)
    played.settle(10)
    played.restart(("name",))
    played.log += [pod("BackOff", 20, name="shop", namespace="other"), pod("Started", 20)]
    played.settle(20)
    played.run(1000, since=20)
    assert [(note.why, note.group) for note in played.told] == [
        (Why.FIRST, {"namespace": "shop"}),
        (Why.FIRST, {"name": "shop"}),
        (Why.RESOLVED, {"namespace": "shop"}),
    ]


@pytest.mark.parametrize(
    ("after", "at"),
    [
        (None, 31),
        (Quota(messages=2, within=Duration(86_400), per=[]), 31),
        (Quota(messages=1, within=Duration(600), per=[]), 610),
        (Quota(messages=1, within=Duration(86_400), per=["name"]), 31),
        (ONE, 86_410),
    ],
)
def test_what_waits_for_a_quota_goes_by_the_new_one_after_a_reload(after: Quota | None, at: float) -> None:
    played = Played(by=("name",), quota=ONE)
    played.log += [node("Ready", "firing", 0, name="a")]
    played.settle(0)
    played.settle(10)
    played.log += [node("Ready", "firing", 20, name="b")]
    played.settle(20)
    played.settle(30)
    played.restart(("name",), quota=after)
    played.run(90_000, since=31)
    assert next(note.at - START for note in played.told[1:] if "b" in {item.name for item in note.items}) == at


NINE = Threshold(match=Rule.parse({}), when=When(count=9, within=Duration(900)))


@pytest.mark.parametrize(
    ("before", "event"),
    [
        (LONG, pod("Unhealthy", 0)),
        (LONG, pod("BackOff", 0)),
        (LONG, node("Ready", "firing", 0)),
        (NINE, pod("Unhealthy", 0)),
        (NINE, pod("BackOff", 0)),
    ],
)
def test_what_is_held_is_told_when_its_threshold_is_gone(before: Threshold, event: Event) -> None:
    played = Played(thresholds=[before])
    played.log += [event]
    played.settle(0)
    played.run(100)
    assert played.told == []
    played.restart()
    played.run(200, since=100)
    assert [(note.why, note.at - START, note.events) for note in played.told] == [(Why.FIRST, 110, 1)]


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (Threshold(match=Rule.parse({}), lasts=Duration(120)), [130]),
        (Threshold(match=Rule.parse({}), lasts=Duration(900)), [910]),
        (Threshold(match=Rule.parse({}), when=When(count=2, within=Duration(600))), [110]),
        (Threshold(match=Rule.parse({}), when=When(count=4, within=Duration(600))), []),
        (Threshold(match=Rule.parse({}), when=When(count=2, within=Duration(30))), []),
        (Threshold(match=Rule.parse({"reason": "Other"}), when=When(count=9, within=Duration(600))), [110]),
    ],
)
def test_what_is_held_is_judged_by_the_thresholds_of_now(after: Threshold, told: list[float]) -> None:
    played = Played(thresholds=[OFTEN], timing=Timing(quiet=1e5, repeat=1e6))
    for at in (0, 100):
        played.log += [pod("BackOff", at)]
        played.settle(at)
    played.restart(thresholds=[after], timing=Timing(quiet=1e5, repeat=1e6))
    played.run(5000, since=100)
    assert [note.at - START for note in played.told] == told


def test_what_nobody_counted_has_come_once() -> None:
    played = Played(thresholds=[LONG])
    played.log += [pod("BackOff", 0), pod("BackOff", 0)]
    played.settle(0)
    played.restart(thresholds=[OFTEN])
    for at in (1, 2):
        assert played.told == []
        played.log += [pod("BackOff", at)]
        played.settle(at)
        played.settle(at + 20)
    assert [note.events for note in played.told] == [4]


def test_a_restart_with_the_same_thresholds_judges_nothing_anew() -> None:
    first = Threshold(match=Rule.parse({"message": "/^it begins/"}), lasts=Duration(300))
    told = []
    for restarts in (0, 3):
        played = Played(thresholds=[first], timing=Timing(repeat=1e6))
        for at, message in ((0, "it begins"), (50, "it goes on")):
            event = pod("BackOff", at)
            event.message = message
            played.log += [event]
            played.settle(at)
        for _ in range(restarts):
            played.restart(thresholds=[first], timing=Timing(repeat=1e6))
        played.run(2000, since=50)
        told.append([note.at for note in played.told])
    assert told == [[START + 310]] * 2


def test_what_a_changed_catalog_calls_normal_no_more_is_told() -> None:
    class Changed(Words):
        version = "2"
        reasons: ClassVar = {
            "FailedScheduling": Reason(names=("FailedScheduling",), severity="warning", family="scheduling")
        }

    played = Played()
    played.log += [pod("FailedScheduling", 0)]
    played.settle(0)
    wanted, _, plan = played._made
    played._made = wanted, Changed(), plan
    played.alerts = Alerts(*played._made, played._stored)
    played.run(100, since=5)
    assert [note.at - START for note in played.told] == [15]
    catalogs = [Catalog(), Catalog(CatalogChanges(reasons={"BackOff": ReasonChange(patience=Duration(9))}))]
    assert catalogs[0].version == Catalog().version != catalogs[1].version


# -- what mutes, and what is held -----------------------------------------------------------------


def test_what_was_to_be_asked_again_is_asked_after_a_restart() -> None:
    played = Played(by=("cluster",), mutes=[mute_n1])
    played.log += [node("Ready", "firing", 0)]
    played.settle(0)
    played.alerts.ask_again()
    played._stored = played.alerts.state()
    played.restart(("cluster",), mutes=[mute_n1])
    played.run(1000)
    assert [note.why for note in played.told] == [Why.FIRST]


def test_what_came_often_enough_is_told_though_a_quota_kept_its_group_quiet_then() -> None:
    played = Played(by=("name",), thresholds=[OFTEN], quota=Quota(messages=1, within=Duration(3600), per=[]))
    for at, name in ((0, "b"), (20, "a")):
        played.log += [pod("OOMKilling", at, name=name)]
        played.settle(at)
        played.settle(at + 10)
    for at in (100, 110, 120):
        played.log += [pod("BackOff", at, name="a")]
        played.settle(at)
    played.run(20_000, since=120)
    assert {item.reason for item in played.told[1].items} == {"OOMKilling", "BackOff"}
    assert played.books.muted == {}


@pytest.mark.parametrize("steps", [1, 2])
def test_what_came_often_enough_is_told_though_it_seems_over_in_the_same_batch(steps: int) -> None:
    played = Played(thresholds=[OFTEN])
    for events in ([pod("BackOff", 0)] * 3, [pod("Started", 0)]):
        played.log += events
        if steps == 2:
            played.settle(0)
    played.settle(0)
    played.run(2000)
    assert [note.why for note in played.told] == [Why.FIRST, Why.RESOLVED]


# -- cost -----------------------------------------------------------------------------------------


def test_problems_of_one_object_are_not_all_looked_at_for_each_event(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0

    def counted(problem: Problem, event: Event) -> bool:
        nonlocal looked
        looked += 1
        return ends(problem, event)

    monkeypatch.setattr("eventer.alerting.alerts.ends", counted)
    played = Played()
    played.log += [pod(f"Failed{number}", 0) for number in range(1000)]
    played.settle(0)
    assert looked == 0
    played.log += [pod("BackOff", 1), pod("Started", 2)]
    played.settle(2)
    assert looked == 1001


def test_what_was_spent_is_forgotten_when_it_counts_no_more_and_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "MOST", 3)
    limit = Quota(messages=2, within=Duration(100), per=["name"])
    spent: dict[str, list[float]] = {}
    for at, key in enumerate("abca"):
        quota.spend(limit, spent, key, float(at))
    assert spent == {"b": [1.0], "c": [2.0], "a": [0.0, 3.0]}
    quota.spend(limit, spent, "d", 4.0)
    assert list(spent) == ["c", "a", "d"]
    quota.spend(limit, spent, "d", 102.5)
    assert spent == {"a": [0.0, 3.0], "d": [4.0, 102.5]}
    quota.spend(limit, spent, "a", 104.0)
    assert spent == {"d": [4.0, 102.5], "a": [104.0]}
