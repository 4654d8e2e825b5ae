"""What is kept quiet by a problem is counted for those who are told of it, in every dialect and whatever is killed."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import msgspec
import pytest

from eventer.alerting import known
from eventer.alerting.inhibition import Inhibits
from eventer.alerting.muting import Mute
from eventer.alerting.nodes import inhibits
from eventer.alerting.notification import Notification, Quieted, Why
from eventer.alerting.render import alertmanager, dingtalk, feishu, pagerduty, slack, teams, wecom
from eventer.alerting.render.mail import mail
from eventer.alerting.render.message import View, compose
from eventer.alerting.render.terminal import terminal
from eventer.alerting.state import State
from eventer.alerting.terms import Timing
from eventer.config.inhibition import Inhibit
from eventer.event import Event
from eventer.match import Rule
from tests.helpers.alerting import START, Played, node, pod
from tests.helpers.fleet import Fleet
from tests.helpers.notes import SHANGHAI, item, leaves, note

NODES: dict[str, Any] = {"by": ("cluster", "kind"), "inhibits": inhibits(Inhibit())}


def on(event: Event, name: str = "n1") -> Event:
    return msgspec.structs.replace(event, node=name)


def of_nodes(played: Played) -> list[tuple[Why, Quieted | None]]:
    return [(each.why, each.quieted) for each in played.told if each.group["kind"] == "Node"]


# -- what is counted ------------------------------------------------------------------------------


def test_a_node_that_dies_says_how_much_it_keeps_quiet_and_its_end_how_much_it_was() -> None:
    fleet = Fleet()
    fleet.unreachable(0, "n1")
    for n in range(300):
        fleet.event(n / 20, "Pod", f"web-{n}", "NodeNotReady", component="node-controller")
        fleet.event(300 + n / 20, "Pod", f"web-{n}", "FailedMount", node="n1")
    fleet.event(400, "Pod", "other", "FailedMount", node="n2")
    fleet.back(9000, "n1")
    fleet.play(20_000)
    told = [each for _, each in fleet.told if each.items[0].kind == "Node"]
    assert [each.why for each in told] == [Why.FIRST, Why.RESOLVED]
    assert told[0].quieted is not None
    assert 190 <= told[0].quieted.pods <= 201  # those of the first ten seconds
    # What was quiet long ago, and is forgotten as a problem, counts too.
    assert told[1].quieted == told[1].items[0].quieted == Quieted(problems=600, objects=300, pods=300)
    assert [each.quieted for _, each in fleet.told if each.items[0].kind == "Pod"] == [None]


def test_a_problem_is_counted_once_however_often_it_is_seen_asked_about_and_forgotten() -> None:
    played = Played(**NODES)
    played.log += [node("Ready", "firing", 0)]
    played.settle(0)
    for at in (1, 100, 200, 9000):
        played.run(at, since=at - 1)
        played.log += [on(pod("BackOff", at)), on(pod("OOMKilling", at)), on(pod("BackOff", at, name="b"))]
        played.settle(at)
        played.alerts.ask_again()
    played.run(20_000, since=9000)
    assert of_nodes(played)[-1] == (Why.REPEAT, Quieted(problems=3, objects=2, pods=2))


def test_what_people_were_told_of_before_is_not_kept_from_them() -> None:
    played = Played(**NODES, timing=Timing(repeat=1000))
    played.log += [on(pod("BackOff", 0))]
    played.settle(0)
    played.settle(10)
    played.log += [node("Ready", "firing", 20), on(pod("OOMKilling", 20))]
    played.settle(20)
    played.settle(30)
    played.run(1200, since=30)
    assert of_nodes(played) == [(why, Quieted(problems=1, objects=1, pods=1)) for why in (Why.FIRST, Why.REPEAT)]


def test_what_a_longer_silence_covers_is_counted_for_that_alone() -> None:
    silence = Mute("silence", "ours", START + 1e6)
    played = Played(**NODES, mutes=[lambda event, _: silence if event.name == "b" else None])
    played.log += [node("Ready", "firing", 0), node("Ready", "resolved", 0)]
    played.log += [on(pod("BackOff", 0, name=name)) for name in "ab"]
    played.settle(0)
    played.run(2000)
    assert of_nodes(played)[-1] == (Why.RESOLVED, Quieted(problems=1, objects=1, pods=1))


def test_a_pod_that_follows_from_one_and_then_from_another_is_one_in_the_message_of_both() -> None:
    rule = Inhibits(
        name="any", sources=(Rule.parse({"condition": ["Ready"]}),), targets=(Rule.parse({"kind": "Pod"}),), equal=("cluster",)
    )  # fmt: skip
    played = Played(by=("cluster", "kind"), inhibits=[rule], timing=Timing(repeat=1500, quiet=1e6))
    played.log += [node("Ready", "firing", 0), pod("BackOff", 0), node("Ready", "firing", 0, name="n2")]
    played.settle(0)
    played.settle(10)
    played.log += [node("Ready", "resolved", 20)]
    played.settle(20)
    played.log += [pod("BackOff", 700), node("Ready", "firing", 700)]
    played.settle(700)
    played.run(2000, since=700)
    (why, quieted), last = of_nodes(played)[-1], played.told[-1]
    assert (why, quieted) == (Why.REPEAT, Quieted(problems=1, objects=1, pods=1))
    assert all(each.quieted in {None, quieted} for each in last.items)


def test_any_inhibition_is_told_with_what_it_keeps_quiet() -> None:
    rule = Inhibits(
        name="x", sources=(Rule.parse({"reason": "OOMKilling"}),), targets=(Rule.parse({"kind": "Node"}),), equal=("cluster",)
    )  # fmt: skip
    played = Played(by=("cluster", "kind"), inhibits=[rule])
    played.log += [pod("OOMKilling", 0), node("Ready", "firing", 1, name="n1"), node("Ready", "firing", 1, name="n2")]
    played.settle(1)
    (told,) = played.settle(20)
    assert (told.items[0].reason, told.quieted) == ("OOMKilling", Quieted(problems=2, objects=2))


def test_what_is_seen_in_one_batch_before_the_problem_that_keeps_it_quiet_is_counted() -> None:
    played = Played(**NODES)
    played.log += [on(pod("BackOff", 0)), node("Ready", "firing", 0)]
    played.settle(0)
    played.settle(10)
    assert of_nodes(played) == [(Why.FIRST, Quieted(problems=1, objects=1, pods=1))]


def test_what_finds_no_room_as_a_problem_is_counted_too() -> None:
    played = Played(**NODES, problems=1)
    played.log += [node("Ready", "firing", 0), *(on(pod("BackOff", 0, name=name)) for name in "aabc")]
    played.settle(0)
    played.settle(10)
    assert of_nodes(played) == [(Why.FIRST, Quieted(problems=3, objects=3, pods=3))]


def test_beyond_what_is_remembered_it_says_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "QUIETED", 2)
    played = Played(by=("cluster", "kind"), inhibits=inhibits(Inhibit()), timing=Timing(repeat=1000))
    played.log += [node("Ready", "firing", 0, name=name) for name in ("n1", "n2")]
    played.log += [on(pod("BackOff", 0, name=f"a{n}")) for n in range(5)]
    played.log += [on(pod("BackOff", 0, name=f"b{n}"), "n2") for n in range(5)]
    played.settle(0)
    (told,) = played.settle(10)
    assert [each.quieted for each in told.items] == [
        Quieted(problems=3, objects=2, pods=2, more=True),
        Quieted(problems=1, objects=1, more=True),
    ]
    # A restart knows how full it is; what is over makes room.
    played.restart(**NODES, timing=Timing(repeat=1000))
    played.log += [on(pod("BackOff", 20, name="c"), "n2")]
    played.settle(20)
    assert sum(len(keys) for keys in _kept(played, "n2").values()) == 0
    played.log += [node("Ready", "resolved", 30, name="n1")]
    played.settle(30)
    played.run(2000, since=30)
    assert _kept(played, "n2") == {"Pod": {"prod/Pod/shop/b0/crash": 16, "prod/Pod/shop/b1/crash": 16}}


def _kept(played: Played, name: str) -> dict[str, dict[str, int]]:
    problems = [each for group in played.books.groups.values() for each in group.problems.values()]
    return next(each.quieted for each in problems if each.name == name)


def test_a_state_that_knows_nothing_of_it_goes_on_to_count() -> None:
    played = Played(**NODES)
    played.log += [node("Ready", "firing", 0), on(pod("BackOff", 0))]
    played.settle(0)
    stored = msgspec.json.decode(played.alerts.state())
    for group in stored["groups"].values():
        for problem in group["problems"].values():
            problem.pop("quieted", None)
            if "mute" in problem:
                del problem["mute"]["source"]
    played._stored = msgspec.json.encode(stored)
    assert msgspec.json.decode(played._stored, type=State).groups.keys() == played.books.groups.keys()
    played.restart(**NODES)
    played.log += [on(pod("BackOff", 1, name="b"))]
    played.settle(10)
    assert of_nodes(played) == [(Why.FIRST, Quieted(problems=1, objects=1, pods=1))]
    played.run(20_000, since=10)  # what was known is asked about again within a minute
    assert of_nodes(played)[-1] == (Why.REPEAT, Quieted(problems=2, objects=2, pods=2))


# -- what people read -----------------------------------------------------------------------------


def _dialects(told: Notification, view: View) -> dict[str, list[str]]:
    sent = {
        "dingtalk": dingtalk.payload(told, view),
        "kube-eventer": dingtalk.payload(told, view, "kube-eventer"),
        "text": dingtalk.payload(told, view, "text"),
        "feishu": feishu.payload(told, view),
        "slack": slack.payload(told, view),
        "teams": teams.payload(told, view),
        "wecom": wecom.payload(told, view),
        "mail": msgspec.to_builtins(mail(compose(told, view))),
        "html": {"html": mail(compose(told, view)).html},
        "terminal": {"text": terminal(compose(told, view), colour=False)},
        "pagerduty": msgspec.to_builtins(pagerduty.events(told, view)),
        "alertmanager": msgspec.to_builtins(
            alertmanager.alerts(told, view, alertmanager.Own(), START, START + 900).made
        ),
    }
    return {name: list(leaves(body)) for name, body in sent.items()}


SOME = Quieted(problems=1006, objects=1000, pods=1000)


@pytest.mark.parametrize(
    ("quieted", "english", "chinese"),
    [
        (
            SOME,
            "kept quiet: 1006 problems of 1000 pods, which follow from this",
            "由此引起而未单独通知：1000 个 Pod 的 1006 个问题",
        ),
        (
            Quieted(problems=37, objects=21, pods=20, more=True),
            "kept quiet: at least 37 problems of 21 objects, which follow from this",
            "由此引起而未单独通知：至少 21 个对象的 37 个问题",
        ),
        (
            Quieted(problems=1, objects=1, pods=1),
            "kept quiet: 1 problem of 1 pod, which follows from this",
            "由此引起而未单独通知：1 个 Pod 的 1 个问题",
        ),
    ],
)
def test_every_dialect_says_what_is_kept_quiet(quieted: Quieted, english: str, chinese: str) -> None:
    down = item(kind="Node", namespace="", name="n1", quieted=quieted)
    for given in ({}, {"why": Why.RESOLVED}):
        told = note(msgspec.structs.replace(down, ended=START + 1390 if given else None), quieted=quieted, **given)
        for view, said in ((View(zone=UTC), english), (View(language="zh", zone=SHANGHAI), chinese)):
            for name, texts in _dialects(told, view).items():
                ends = name == "pagerduty" and given  # an end has no words there
                assert any(said in text for text in texts) is not bool(ends), name


def test_of_several_each_alert_says_its_own() -> None:
    items = [item(kind="Node", namespace="", name=f"n{n}", quieted=Quieted(problems=n, objects=n)) for n in (2, 3)]
    told = note(*items, quieted=Quieted(problems=5, objects=5))
    made = alertmanager.alerts(told, View(), alertmanager.Own(), START, START + 900).made
    assert [alert.annotations["description"].rpartition("\n")[2].split(",")[0] for alert in made] == [
        "kept quiet: 2 problems of 2 objects",
        "kept quiet: 3 problems of 3 objects",
    ]
    assert compose(told, View()).rest == ["kept quiet: 5 problems of 5 objects, which follow from this"]
