"""What keeps a problem from being told: thresholds, what mutes it, a quota; and what becomes of its events."""

from __future__ import annotations

import math

import pytest

from eventer.alerting.muting import Mute
from eventer.alerting.notification import Why
from eventer.alerting.terms import Timing
from eventer.event import Event
from eventer.group import Quota, Threshold, When
from eventer.match import Rule
from eventer.values import Duration
from tests.helpers.alerting import START, Played, node, pod

OFTEN = Threshold(match=Rule.parse({"reason": "BackOff"}), when=When(count=3, within=Duration(600)))
LONG = Threshold(match=Rule.parse({}), lasts=Duration(300))


class Hush:
    """Mutes the problems with these names until the given times, in seconds after `START`."""

    def __init__(self, **names: float) -> None:
        self.names = names

    def __call__(self, event: Event, now: float) -> Mute | None:
        until = START + self.names.get(event.name, -math.inf)
        return Mute("silence", "quiet please", until) if now < until else None


# -- thresholds -----------------------------------------------------------------------------------


def test_what_must_happen_thrice_is_told_at_the_third_time_with_all_of_it() -> None:
    played = Played(thresholds=[OFTEN])
    for at in (0, 100):
        played.log += [pod("BackOff", at)]
        played.settle(at)
    played.run(500, since=100)
    assert played.told == []
    played.log += [pod("BackOff", 550)]
    assert played.settle(550) == []
    (note,) = played.settle(560)
    assert (note.why, note.events, note.items[0].count) == (Why.FIRST, 3, 3)


def test_one_event_that_tells_of_many_occurrences_counts_as_many() -> None:
    played = Played(thresholds=[OFTEN])
    event = pod("BackOff", 0)
    event.delta = 5
    played.log += [event]
    played.settle(0)
    assert [note.why for note in played.settle(10)] == [Why.FIRST]


def test_occurrences_too_far_apart_are_never_told_and_counted_as_held() -> None:
    played = Played(thresholds=[OFTEN])
    for at in (0, 400, 800, 1200):
        played.log += [pod("BackOff", at)]
        played.settle(at)
    played.run(10_000, since=1200)
    assert played.told == []
    assert played.books.muted == {"threshold": 4}
    assert played.books.groups == {}


def test_what_must_last_is_told_when_it_has_and_not_if_it_seems_over() -> None:
    played = Played(thresholds=[LONG])
    played.log += [pod("BackOff", 0, name="a"), pod("BackOff", 0, name="b"), pod("Started", 100, name="b")]
    played.settle(0)
    played.run(20_000)
    assert [(note.why, note.at - START, note.firing) for note in played.told] == [(Why.FIRST, 310, 1)]
    assert played.books.muted == {"threshold": 2}


def test_what_nothing_would_tell_the_end_of_must_be_heard_of_after_it_has_lasted() -> None:
    played = Played(thresholds=[LONG])
    for at in (0, 30, 60):
        played.log += [pod("Unhealthy", at, name="a"), pod("Unhealthy", at, name="b")]
        played.settle(at)
    played.run(400, since=60)
    played.log += [pod("Unhealthy", 400, name="b")]
    played.settle(400)
    played.run(1000, since=400)
    assert [(note.at - START, note.items[0].name, note.events) for note in played.told] == [(410, "b", 4)]


def test_what_the_catalog_knows_to_be_normal_for_a_while_is_told_when_it_lasts() -> None:
    played = Played()
    played.log += [pod("FailedScheduling", 0, name="a"), pod("FailedScheduling", 0, name="b")]
    played.settle(0)
    played.log += [pod("Scheduled", 100, name="a")]
    played.settle(100)
    played.run(400, since=100)
    assert [(note.at - START, [item.name for item in note.items]) for note in played.told] == [(310, ["b"])]


def test_a_threshold_of_ones_own_goes_before_what_the_catalog_knows() -> None:
    played = Played(thresholds=[Threshold(match=Rule.parse({"reason": "FailedScheduling"}))])
    played.log += [pod("FailedScheduling", 0)]
    played.settle(0)
    assert [note.firing for note in played.settle(10)] == [1]


def test_a_condition_has_lasted_since_its_transition_whenever_it_was_seen_first() -> None:
    played = Played(by=("cluster",), thresholds=[LONG])
    event = node("Ready", "firing", 0)
    event.since = pod("BackOff", -299).time
    played.log += [event]
    assert played.settle(0) == []
    assert played.settle(1) == []
    assert [note.at - START for note in played.settle(11)] == [11]


def test_an_event_that_first_happened_long_ago_has_not_lasted_since_then() -> None:
    played = Played(thresholds=[LONG])
    event = pod("BackOff", 0)
    event.first = pod("BackOff", -80_000).time
    played.log += [event]
    played.settle(0)
    played.run(299)
    assert played.told == []


def test_the_first_threshold_that_matches_decides() -> None:
    at_once = Threshold(match=Rule.parse({"name": "a"}))
    played = Played(thresholds=[at_once, LONG])
    played.log += [pod("BackOff", 0, name="a"), pod("BackOff", 0, name="b")]
    played.settle(0)
    (note,) = played.settle(10)
    assert [item.name for item in note.items] == ["a"]
    assert note.events == 1


def test_what_is_held_opens_no_group_and_joins_one_that_speaks_later() -> None:
    played = Played(thresholds=[Threshold(match=Rule.parse({"name": "b"}), lasts=Duration(60))])
    played.log += [pod("BackOff", 0, name="b")]
    played.settle(0)
    played.log += [pod("BackOff", 30, name="a")]
    played.settle(30)
    played.run(400, since=30)
    assert [(note.why, note.at - START, note.firing) for note in played.told] == [
        (Why.FIRST, 40, 1),
        (Why.NEW, 340, 2),
    ]


# -- mutes ----------------------------------------------------------------------------------------


def test_what_is_muted_is_told_when_that_is_over_and_it_is_not() -> None:
    played = Played(mutes=[Hush(a=1000)])
    for at in (0, 400, 900):
        played.log += [pod("BackOff", at, name="a")]
        played.settle(at)
        played.run(at + 50, since=at)
    assert played.told == []
    assert played.books.suppressed == 3
    played.run(1500, since=950)
    (note,) = played.told
    assert (note.why, note.at - START, note.events, note.items[0].count) == (Why.FIRST, 1010, 0, 3)


def test_what_nothing_says_to_go_on_after_it_was_muted_is_never_told() -> None:
    played = Played(mutes=[Hush(a=1000, b=1000)])
    played.log += [pod("OOMKilling", 0, name=name) for name in "ab"]
    played.settle(0)
    played.run(1500)
    assert played.told == []
    played.log += [pod("OOMKilling", 1500, name="b")]
    played.settle(1500)
    played.run(20_000, since=1500)
    assert [(note.why, [item.name for item in note.items]) for note in played.told] == [
        (Why.FIRST, ["b"]),
        (Why.RESOLVED, ["b"]),
    ]


def test_what_ends_while_it_is_muted_is_never_told_and_its_events_are_counted() -> None:
    played = Played(mutes=[Hush(a=50_000)])
    played.log += [pod("BackOff", 0, name="a")]
    played.settle(0)
    played.log += [pod("BackOff", 100, name="a"), pod("Started", 200, name="a")]
    played.settle(200)
    played.run(60_000, since=200)
    assert played.told == []
    assert played.books.muted == {"silence quiet please": 3}
    assert played.books.groups == {}


def test_the_end_of_what_was_told_before_it_was_muted_is_told_after_that() -> None:
    played = Played(mutes=[hush := Hush()])
    played.log += [pod("BackOff", 0, name="a")]
    played.settle(0)
    played.settle(10)
    hush.names["a"] = 5000
    played.log += [pod("Started", 20, name="a")]
    played.settle(20)
    played.run(4999, since=20)
    assert [note.why for note in played.told] == [Why.FIRST]
    played.run(6000, since=4999)
    assert [(note.why, note.at - START) for note in played.told[1:]] == [(Why.RESOLVED, 5000)]


def test_one_that_is_muted_is_not_in_the_message_of_its_group() -> None:
    played = Played(mutes=[Hush(a=50_000)])
    played.log += [pod("BackOff", 0, name="a"), pod("BackOff", 1, name="b")]
    played.settle(1)
    played.run(1000, since=1)
    (note,) = played.told
    assert ([item.name for item in note.items], note.firing, note.events) == (["b"], 1, 1)


def test_when_all_that_was_told_is_over_that_is_told_though_something_muted_goes_on() -> None:
    played = Played(mutes=[Hush(a=50_000)])
    played.log += [pod("BackOff", 0, name="a"), pod("BackOff", 1, name="b"), pod("Started", 2, name="b")]
    played.settle(2)
    played.run(1500, since=2)
    assert [note.why for note in played.told] == [Why.FIRST, Why.RESOLVED]


def test_a_repeat_is_not_told_while_it_is_muted() -> None:
    played = Played(by=("cluster",), mutes=[hush := Hush()])
    played.log += [node("Ready", "firing", 0)]
    played.settle(0)
    played.settle(10)
    hush.names["n1"] = 50_000
    played.run(49_999, since=10)
    assert [note.why for note in played.told] == [Why.FIRST]
    played.run(51_000, since=49_999)
    assert played.told[1].why is Why.REPEAT


def test_a_change_of_what_mutes_is_heard_of_at_once() -> None:
    played = Played(mutes=[hush := Hush(a=50_000)])
    played.log += [pod("BackOff", 0, name="a")]
    played.settle(0)
    played.settle(10)
    hush.names.clear()
    assert played.alerts.due > START + 12
    played.alerts.ask_again()
    played.settle(12)
    assert [note.why for note in played.settle(22)] == [Why.FIRST]


def test_what_finds_no_room_is_muted_one_by_one() -> None:
    played = Played(problems=1, mutes=[Hush(b=50_000)])
    played.log += [pod("BackOff", 0, name=name) for name in "abc"]
    played.settle(0)
    (note,) = played.settle(10)
    assert (note.events, note.untracked, played.books.suppressed) == (2, 1, 1)


def test_names_of_mutes_are_counted_one_by_one_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventer.alerting.state.MUTES", 1)
    names = iter(["one", "two", "three"])
    played = Played(problems=0, mutes=[lambda *_: Mute("silence", next(names))])
    played.log += [pod("BackOff", 0, name=name) for name in "abc"]
    played.settle(0)
    assert played.books.muted == {"silence one": 1, "silence": 2}


def test_of_several_mutes_the_longest_is_named() -> None:
    def for_ever(event: Event, now: float) -> Mute:
        return Mute("inhibition", "node down")

    played = Played(mutes=[Hush(a=1000), for_ever])
    played.log += [pod("BackOff", 0, name="a")]
    played.settle(0)
    played.settle(10)
    assert played.books.muted == {"inhibition node down": 1}


# -- quota ----------------------------------------------------------------------------------------


def quota(messages: int, per: list[str], within: float = 3600) -> Quota:
    return Quota(messages=messages, within=Duration(within), per=per)


def test_beyond_a_quota_groups_wait_and_are_told_in_one_message() -> None:
    played = Played(by=("namespace", "name"), quota=quota(2, ["namespace"]))
    for at, name in enumerate("abcde"):
        played.log += [pod("BackOff", at, name=name), pod("BackOff", at, name=name, namespace="other")]
        played.settle(at)
        played.settle(at)
    played.run(3000, since=4)
    first = [note for note in played.told if note.at < START + 1000]
    assert [(note.why, note.group["namespace"]) for note in first] == [
        (Why.FIRST, "shop"),
        (Why.FIRST, "other"),
        (Why.FIRST, "shop"),
        (Why.FIRST, "other"),
    ]
    played.run(4000, since=3000)
    later = [note for note in played.told if note.why is Why.QUOTA]
    assert [(note.groups, note.firing + note.resolved, note.group) for note in later[:2]] == [
        (3, 3, {"namespace": "shop"}),
        (3, 3, {"namespace": "other"}),
    ]


def test_a_quota_for_all_together() -> None:
    played = Played(by=("name",), quota=quota(1, [], 600))
    played.log += [pod("BackOff", 0, name=name) for name in "abc"]
    played.settle(0)
    (note,) = played.settle(10)
    assert (note.why, note.groups, note.firing, note.events) == (Why.QUOTA, 3, 3, 3)


# -- heartbeat and the clock ----------------------------------------------------------------------


def test_a_heartbeat_comes_at_its_interval_and_says_how_much_goes_on() -> None:
    played = Played(by=("cluster",), heartbeat=3600.0, timing=Timing(repeat=1e9))
    played.log += [node("Ready", "firing", 0)]
    played.settle(0)
    played.run(8000)
    assert [(note.why, note.at - START, note.firing, note.events) for note in played.told] == [
        (Why.FIRST, 10, 1, 1),
        (Why.ALIVE, 3600, 1, 0),
        (Why.ALIVE, 7200, 1, 0),
    ]


def test_without_one_there_is_no_heartbeat() -> None:
    played = Played()
    played.settle(0)
    assert played.alerts.due == math.inf


@pytest.mark.parametrize("by", [-86_400.0, 86_400.0])
def test_a_clock_that_was_set_ends_nothing_and_delays_nothing(by: float) -> None:
    played = Played(thresholds=[Threshold(match=Rule.parse({"name": "b"}), when=When(count=2, within=Duration(60)))])
    played.log += [pod("BackOff", 0, name="a"), pod("BackOff", 0, name="b")]
    played.settle(0)
    played.alerts.shift(by)
    assert [note.firing for note in played.settle(by + 10)] == [1]
    played.log += [pod("BackOff", by + 15, name="b"), pod("Started", by + 15, name="a")]
    played.settle(by + 15)
    assert [note.why for note in played.settle(by + 309)] == []
    assert [note.why for note in played.settle(by + 310)] == [Why.NEW]
    played.run(by + 1299, since=by + 310)
    played.alerts.shift(-by)
    played.run(2715, since=1299)
    assert [note.why for note in played.told] == [Why.FIRST, Why.NEW, Why.RESOLVED]


def test_the_end_of_a_node_ends_all_that_was_wrong_with_it() -> None:
    played = Played(by=("cluster",))
    gone = node("Ready", "", 60)
    gone.reason, gone.condition = "NodeDeleted", ""
    played.log += [node("Ready", "firing", 0), node("NetworkUnavailable", "firing", 0), gone]
    played.settle(60)
    played.run(10_000, since=60)
    assert [note.why for note in played.told] == [Why.FIRST, Why.RESOLVED]
    assert played.told[1].items[0].ended_by == "NodeDeleted"


def test_a_node_that_is_gone_again_and_again_is_one_problem() -> None:
    played = Played(by=("cluster",))
    for at in range(0, 900, 300):
        played.log += [node("Ready", "firing", at), gone := node("Ready", "", at + 60)]
        gone.reason, gone.condition = "NodeDeleted", ""
        played.settle(at + 60)
    played.run(20_000, since=700)
    assert played.books.groups == {}
    assert sum(note.events for note in played.told) == 6


def test_a_condition_is_not_counted_for_it_happens_once() -> None:
    often = Threshold(match=Rule.parse({}), when=When(count=3, within=Duration(600)))
    played = Played(by=("cluster",), thresholds=[often])
    played.log += [node("Ready", "firing", 0)]
    played.settle(0)
    assert [note.firing for note in played.settle(10)] == [1]
