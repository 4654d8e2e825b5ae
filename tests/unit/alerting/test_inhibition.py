"""What keeps what quiet: sources and their ends, what source and target have in common, a memory with bounds."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eventer.about import About, NodeFacts, PodFacts
from eventer.alerting.inhibition import Inhibition, Inhibits, Sources
from eventer.catalog import shipped
from eventer.event import Event
from eventer.match import Rule
from tests.helpers.alerting import START, node, pod

QUIET, CALM = 1800.0, 600.0


def rule(source: dict[str, Any], target: dict[str, Any], *equal: str, name: str = "rule") -> Inhibits:
    return Inhibits(name=name, sources=(Rule.parse(source),), targets=(Rule.parse(target),), equal=equal)


HERE = rule({"kind": "Node", "condition": "Ready"}, {"kind": "Pod"}, "cluster", "node", name="node down")
SHOP = rule({"kind": "Pod", "reason": "BackOff"}, {"reason": "Unhealthy"}, "cluster", "namespace")


class Stage:
    """Inhibition between two settles, with times counted from `START`."""

    def __init__(self, *rules: Inhibits, most: int = 100) -> None:
        self._rules = rules
        self._most = most
        self.memory = Sources()
        self._made()

    def _made(self) -> None:
        self.stage = Inhibition(self._rules, shipped(), self.memory, quiet=QUIET, calm=CALM, most=self._most)

    def restart(self, *rules: Inhibits) -> None:
        self._rules = rules or self._rules
        self.memory = msgspec.json.decode(msgspec.json.encode(self.memory), type=Sources)
        self._made()

    def see(self, at: float, *events: Event) -> None:
        self.stage.see(events, START + at)

    def until(self, event: Event, at: float) -> float | None:
        """Until when it is quiet; None if it is told."""
        mute = self.stage.mute(event, START + at)
        assert mute is None or (mute.stage == "inhibition" and mute.until > START + at)
        return None if mute is None else mute.until - START


def on(event: Event, name: str) -> Event:
    return msgspec.structs.replace(event, node=name)


def test_what_is_on_the_node_is_quiet_and_nothing_else() -> None:
    stage = Stage(HERE)
    stage.see(0, node("Ready", "firing", 0, name="n1"))
    assert stage.until(on(pod("BackOff", 1), "n1"), 1) == math.inf
    assert stage.until(on(pod("BackOff", 1), "n2"), 1) is None
    assert stage.until(pod("BackOff", 1), 1) is None  # nobody knows where it is
    assert stage.until(node("DiskPressure", "firing", 1, name="n1"), 1) is None
    elsewhere = msgspec.structs.replace(on(pod("BackOff", 1), "n1"), cluster="test")
    assert stage.until(elsewhere, 1) is None


def test_a_look_up_knows_on_which_node_a_pod_is() -> None:
    stage = Stage(HERE)
    stage.see(0, node("Ready", "firing", 0, name="n1"))
    for about in (About(pod=PodFacts(node="n1")), About(node=NodeFacts(name="n1"))):
        assert stage.until(msgspec.structs.replace(pod("FailedMount", 1), about=about), 1) == math.inf
    # An Event of a kubelet that had the pod before says less than the pod itself.
    moved = msgspec.structs.replace(on(pod("BackOff", 1), "n2"), about=About(pod=PodFacts(node="n1")))
    assert stage.until(moved, 1) == math.inf


def test_a_condition_is_over_when_its_source_says_so_and_it_stays_so() -> None:
    stage = Stage(HERE)
    stage.see(0, node("Ready", "firing", 0))
    stage.see(86_400, node("Ready", "unknown", 86_400))
    assert stage.until(on(pod("BackOff", 86_400), "n1"), 86_400) == math.inf
    stage.see(90_000, node("Ready", "resolved", 90_000))
    assert stage.until(on(pod("BackOff", 90_001), "n1"), 90_001) == 90_000 + CALM
    # It flaps: nothing was over.
    stage.see(90_100, node("Ready", "firing", 90_100))
    assert stage.until(on(pod("BackOff", 90_101), "n1"), 95_000) == math.inf


def test_what_was_last_seen_while_it_lasted_follows_from_it_and_what_is_seen_again_is_told() -> None:
    stage = Stage(HERE)
    stage.see(0, node("Ready", "firing", 0))
    stage.see(1000, node("Ready", "resolved", 1000))
    lost, crashes = on(pod("BackOff", 900), "n1"), on(pod("BackOff", 1700), "n1")
    assert stage.until(lost, 1700) == 1000 + CALM + QUIET
    assert stage.until(crashes, 1700) is None
    # A condition is not seen again: it goes on without a word.
    wrong = msgspec.structs.replace(lost, state="firing", condition="Ready")
    assert stage.until(wrong, 1700) is None
    assert stage.until(lost, 1000 + CALM + QUIET) is None


def test_an_event_keeps_others_quiet_until_its_opposite_or_until_no_more_is_heard() -> None:
    stage = Stage(SHOP)
    stage.see(0, pod("BackOff", 0))
    assert stage.until(pod("Unhealthy", 5, name="web"), 5) == QUIET
    assert stage.until(pod("Unhealthy", 5, name="web", namespace="bank"), 5) is None
    stage.see(300, pod("BackOff", 300))
    assert stage.until(pod("Unhealthy", 301, name="web"), 301) == 300 + QUIET
    assert stage.until(pod("Unhealthy", 2200, name="web"), 2200) is None
    stage.see(3000, pod("BackOff", 3000))
    stage.see(3100, pod("Started", 3100))
    assert stage.until(pod("Unhealthy", 3101, name="web"), 3101) == 3100 + CALM
    stage.see(3200, pod("BackOff", 3200))
    assert stage.until(pod("Unhealthy", 3201, name="web"), 3201) == 3200 + QUIET


def test_a_source_of_several_reasons_is_over_by_the_opposite_of_the_last() -> None:
    stage = Stage(rule({"family": "volume_mount"}, {"reason": "Unhealthy"}, "cluster", "namespace"))
    for at, reason in enumerate(("Faulted", "FailedAttachVolume", "FailedMount", "SuccessfulAttachVolume")):
        stage.see(at, pod(reason, at))
    assert stage.until(pod("Unhealthy", 5), 5) == 2 + QUIET
    stage.see(10, pod("Started", 10))
    assert stage.until(pod("Unhealthy", 11), 11) == 10 + CALM


def test_an_event_that_was_over_before_it_was_seen_keeps_nothing_quiet() -> None:
    stage = Stage(SHOP)
    stage.see(3600, pod("BackOff", 0))
    assert stage.memory.sources == []


def test_a_node_that_is_gone_keeps_quiet_what_went_with_it() -> None:
    stage = Stage(HERE)
    stage.see(0, node("Ready", "firing", 0))
    stage.see(100, msgspec.structs.replace(node("Ready", "", 100), condition="", reason="NodeDeleted"))
    assert stage.until(on(pod("BackOff", 50), "n1"), 2400) == 100 + CALM + QUIET
    assert stage.until(on(pod("BackOff", 2300), "n1"), 2400) is None


def test_two_conditions_of_one_fault_are_one_source_that_lasts_as_long_as_either() -> None:
    down = rule({"kind": "Node", "condition": ["Ready", "NetworkUnavailable"]}, {"kind": "Pod"}, "cluster", "node")
    stage = Stage(down)
    stage.see(0, node("Ready", "firing", 0), node("NetworkUnavailable", "firing", 0))
    stage.see(10, node("Ready", "resolved", 10))
    assert stage.until(on(pod("BackOff", 11), "n1"), 11) == math.inf
    stage.see(20, node("NetworkUnavailable", "resolved", 20))
    assert stage.until(on(pod("BackOff", 21), "n1"), 21) == 20 + CALM


def test_a_source_never_keeps_itself_quiet_nor_one_of_its_kind() -> None:
    stage = Stage(rule({"kind": "Node", "condition": "Ready"}, {"kind": "Node"}, "cluster"))
    events = [node("Ready", "firing", 0, name=name) for name in ("n1", "n2")]
    stage.see(0, *events)
    assert [stage.until(event, 1) for event in events] == [None, None]
    assert stage.until(node("DiskPressure", "firing", 1, name="n3"), 1) == math.inf  # as with Alertmanager
    stage = Stage(rule({"kind": "Node", "condition": "Ready"}, {"condition": "!Ready"}, "cluster"))
    stage.see(0, *events)
    assert [stage.until(event, 1) for event in events] == [None, None]
    assert stage.until(node("DiskPressure", "firing", 1, name="n3"), 1) == math.inf


def test_what_is_not_known_is_in_common_with_nothing() -> None:
    stage = Stage(rule({"reason": "BackOff"}, {"reason": "Unhealthy"}, "team"))
    stage.see(0, pod("BackOff", 0))
    assert stage.until(pod("Unhealthy", 1), 1) is None
    stage.see(0, msgspec.structs.replace(pod("BackOff", 0), labels={"team": "shop"}))
    assert stage.until(pod("Unhealthy", 1), 1) is None
    assert stage.until(msgspec.structs.replace(pod("Unhealthy", 1), labels={"team": "shop"}), 1) is not None


def test_it_is_remembered_over_a_restart_and_forgotten_with_its_rule() -> None:
    stage = Stage(HERE, SHOP)
    stage.see(0, node("Ready", "firing", 0), pod("BackOff", 0))
    stage.restart()
    assert stage.until(on(pod("Unhealthy", 1), "n1"), 1) == math.inf
    stage.see(100, node("Ready", "resolved", 100))
    assert stage.until(on(pod("Failed", 101), "n1"), 101) == 100 + CALM
    stage.restart(SHOP)
    stage.see(102)
    assert [source.rule for source in stage.memory.sources] == [SHOP.id]
    assert stage.until(on(pod("Failed", 103), "n1"), 103) is None


def test_what_finds_no_room_is_counted_and_what_is_over_makes_room() -> None:
    stage = Stage(HERE, most=2)
    stage.see(0, *(node("Ready", "firing", 0, name=f"n{n}") for n in range(5)))
    assert (len(stage.memory.sources), stage.memory.unfit) == (2, 3)
    assert stage.until(on(pod("BackOff", 1), "n4"), 1) is None  # told rather than lost
    stage.see(10, *(node("Ready", "resolved", 10, name=f"n{n}") for n in range(5)))
    later = 10 + CALM + QUIET + 60
    stage.see(later, node("Ready", "firing", later, name="n4"))
    assert stage.until(on(pod("BackOff", later), "n4"), later) == math.inf
    assert (len(stage.memory.sources), stage.memory.unfit) == (1, 3)


def test_a_rule_that_has_had_its_time_keeps_nothing_quiet() -> None:
    stage = Stage(msgspec.structs.replace(HERE, at_most=900.0))
    stage.see(0, node("Ready", "firing", 0))
    began = msgspec.structs.replace(on(pod("BackOff", 500), "n1"), first=datetime.fromtimestamp(START + 100, UTC))
    assert stage.until(began, 500) == 1000
    assert stage.until(began, 1000) == 1000 + QUIET  # nobody says that it goes on
    again = msgspec.structs.replace(began, time=datetime.fromtimestamp(START + 1001, UTC))
    assert stage.until(again, 1001) is None
    assert stage.until(msgspec.structs.replace(began, state="firing", condition="Ready"), 1000) is None


_NAMES = st.sampled_from(["n1", "n2"])
_STEPS = st.tuples(
    _NAMES,
    st.sampled_from(["firing", "resolved", "firing", "resolved", "unknown", "gone", "restart"]),
    st.integers(0, 900),  # an Event holds no more than microseconds
)


@settings(deadline=None)
@given(st.lists(_STEPS, max_size=20))
@example([("n1", "firing", 0), ("n1", "resolved", 0), ("n1", "resolved", int(CALM))])
def test_who_is_quiet_follows_from_the_last_word_of_each_node(steps: list[tuple[str, str, int]]) -> None:
    stage = Stage(HERE)
    now = 0.0
    bad: dict[str, bool] = {}
    over: dict[str, float] = {}
    for name, word, later in steps:
        now += later
        if word == "restart":
            stage.restart()
        elif word == "gone":
            stage.see(
                now, msgspec.structs.replace(node("Ready", "", now, name=name), condition="", reason="NodeDeleted")
            )
        else:
            stage.see(now, node("Ready", word, now, name=name))
        if word in {"resolved", "gone"} and bad.get(name):
            over[name], bad[name] = now, False
        if word == "firing":
            bad[name] = True
        for each in ("n1", "n2"):
            last = over.get(each, -math.inf) + CALM
            expected = math.inf if bad.get(each) else last if last > now else None
            found = stage.until(on(pod("BackOff", now), each), now)
            assert found == expected or (found is not None and expected is not None and abs(found - expected) < 1e-3)
