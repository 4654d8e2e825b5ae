"""Writers of conditions that fall silent: told once by the times that a Node holds, and not where nobody can tell."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventer.event import Event
from eventer.source.nodes_shapes import Condition
from eventer.source.nodes_silent import SILENT_AFTER, silence_of
from tests.helpers.sightings import NOW, Memory, condition, node, sighting

START = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = 60


def at(minutes: float) -> str:
    return (START + minutes * MINUTE).strftime("%Y-%m-%dT%H:%M:%SZ")


def beat(type_: str, heard: float, since: float = 0, status: str = "", **more: str | None) -> dict[str, Any]:
    status = status or ("True" if type_ == "Ready" else "False")
    return condition(type_, status, at(since), **{"lastHeartbeatTime": at(heard), **more})


def told(events: list[Event]) -> list[tuple[str, str, str]]:
    return [(each.condition, each.status, each.state) for each in events]


SILENT = ("DetectorSilent", "True", "firing")
HEARD = ("DetectorSilent", "False", "resolved")


@pytest.mark.parametrize(
    ("conditions", "silent"),
    [
        ((beat("Ready", 600), beat("KernelDeadlock", 584)), True),
        ((beat("Ready", 600), beat("OfOurOwn", 584)), True),
        ((beat("Ready", 600), beat("KernelDeadlock", 585)), False),
        # The kubelet alone is no measure of itself, and one that is late makes nobody else silent.
        ((beat("Ready", 600), beat("MemoryPressure", 600)), False),
        ((beat("Ready", 300), beat("KernelDeadlock", 600)), False),
        # Never renewed since it was set: its writer may be one who does not do so.
        ((beat("Ready", 600), beat("KernelDeadlock", 300, 300)), False),
        ((beat("Ready", 600), beat("KernelDeadlock", 300.1, 299.9)), False),
        ((beat("Ready", 600), beat("KernelDeadlock", 300, 301)), False),
        ((beat("Ready", 600), beat("NetworkUnavailable", 300)), False),
        ((beat("Ready", 600), beat("SufficientIP", 300)), False),
        # Nobody can tell.
        ((beat("KernelDeadlock", 300),), False),
        ((beat("Ready", 600, status="False"), beat("KernelDeadlock", 300)), False),
        ((beat("Ready", 600, status="Unknown"), beat("KernelDeadlock", 300)), False),
        ((beat("Ready", 600, 590), beat("KernelDeadlock", 300)), False),
        ((beat("Ready", 600, lastTransitionTime=None), beat("KernelDeadlock", 300)), False),
        ((beat("Ready", 600, lastHeartbeatTime=None), beat("KernelDeadlock", 300)), False),
        ((beat("Ready", 600, lastHeartbeatTime="soon"), beat("KernelDeadlock", 300)), False),
        ((beat("Ready", 600, lastHeartbeatTime="0001-01-01T00:00:00Z"), beat("KernelDeadlock", 300)), False),
        ((beat("Ready", 600), beat("KernelDeadlock", 300, lastHeartbeatTime=None)), False),
        ((beat("Ready", 600), beat("KernelDeadlock", 300, lastHeartbeatTime="")), False),
        ((beat("Ready", 600), beat("KernelDeadlock", 300, lastTransitionTime=None)), False),
        ((beat("Ready", 600), beat("KernelDeadlock", 300, lastHeartbeatTime="1")), False),
    ],
)
def test_who_is_silent(conditions: tuple[dict[str, Any], ...], silent: bool) -> None:
    events = Memory().see(node(*conditions))
    assert (SILENT in told(events)) is silent


def test_a_silence_is_told_once_with_who_since_when_and_what_was_said_last() -> None:
    owned = {"f:status": {"f:conditions": {'k:{"type":"KernelDeadlock"}': {"f:status": {}}}}}
    fields = [{"manager": "node-problem-detector", "operation": "Update", "time": at(0), "fieldsV1": owned}]
    memory = Memory()
    assert memory.see(node(beat("Ready", 10), beat("KernelDeadlock", 10), beat("NTPProblem", 10))) == []
    for heard in range(15, HOUR, 5):
        dead = (beat("KernelDeadlock", 10), beat("NTPProblem", 10))
        events = memory.see(node(beat("Ready", heard), *dead, version=heard, managedFields=fields))
        assert told(events) == ([SILENT] if heard == 30 else [])
        for event in events:
            assert (event.reason, event.type, event.component) == ("DetectorSilent", "Warning", "node-problem-detector")
            assert event.since == START + 10 * MINUTE
            assert event.message == (
                "node-problem-detector does not renew these conditions of the node any more, while its kubelet is heard "
                f"of, so what they say may not hold: since {at(10)}: KernelDeadlock (False, KernelDeadlockIsFalse), "
                "NTPProblem (False, NTPProblemIsFalse)."
            )
            assert event.entity == "u1/DetectorSilent"
    renewed = (beat("KernelDeadlock", HOUR, HOUR), beat("NTPProblem", HOUR))
    events = memory.see(node(beat("Ready", HOUR), *renewed, version=99))
    assert told(events) == [("KernelDeadlock", "False", "resolved"), HEARD]  # by its restart, the first
    assert (events[-1].type, events[-1].reason, events[-1].previous) == ("Normal", "DetectorHeard", "True")
    assert events[-1].duration is not None


def test_without_a_word_of_who_wrote_them_nobody_is_named() -> None:
    (event,) = Memory().see(node(beat("Ready", HOUR), beat("KernelDeadlock", 10)))
    assert event.component == ""
    assert event.message.startswith("Nobody renews these conditions of the node any more, ")


def test_what_is_trouble_and_newest_is_named_first_and_not_everything() -> None:
    many = [beat(f"Check{n:02}", 20) for n in range(12)]
    bad = beat("NTPProblem", 20, status="True", reason="NTPIsDown")
    events = Memory().see(node(beat("Ready", HOUR), beat("Abandoned", 10), *many, bad))
    message = events[-1].message
    assert f"since {at(20)}: NTPProblem (True, NTPIsDown), Check00 (" in message
    assert message.endswith("; and 4 more.")
    assert events[-1].since == START + 10 * MINUTE


def test_a_detector_that_dies_where_a_condition_was_left_behind_is_told_beside_it() -> None:
    """Detectors leave conditions on the node for ever that their configuration names no more."""
    memory = Memory()
    assert told(memory.see(node(beat("Ready", 100), beat("Abandoned", 10), beat("KernelDeadlock", 100)))) == [SILENT]
    assert memory.see(node(beat("Ready", 110), beat("Abandoned", 10), beat("KernelDeadlock", 100))) == []
    (event,) = memory.see(node(beat("Ready", 120), beat("Abandoned", 10), beat("KernelDeadlock", 100)))
    assert f"since {at(100)}: KernelDeadlock" in event.message
    assert f"since {at(10)}: Abandoned" in event.message
    assert memory.see(node(beat("Ready", 130), beat("Abandoned", 10), beat("KernelDeadlock", 130))) == []
    assert told(memory.see(node(beat("Ready", 140), beat("KernelDeadlock", 130)))) == [HEARD]
    assert memory.parts is not None
    assert sorted(memory.parts) == ["u1/:boot", "u1/KernelDeadlock", "u1/Ready"]


def test_who_is_heard_of_and_falls_silent_again_is_told_again_also_unseen() -> None:
    memory = Memory()
    assert told(memory.see(node(beat("Ready", HOUR), beat("KernelDeadlock", 10), version=1))) == [SILENT]
    assert told(memory.see(node(beat("Ready", 3 * HOUR), beat("KernelDeadlock", 2 * HOUR), version=2))) == [SILENT]


def test_trouble_of_which_nobody_knows_whether_it_lasts_is_unknown_until_it_is_heard_of_again() -> None:
    memory = Memory()
    bad = {"status": "True", "since": 5}
    assert told(memory.see(node(beat("Ready", 10), beat("KernelDeadlock", 10, **bad), version=1))) == [
        ("KernelDeadlock", "True", "firing")
    ]
    events = memory.see(node(beat("Ready", 30), beat("KernelDeadlock", 10, **bad), version=2))
    assert told(events) == [("KernelDeadlock", "True", "unknown"), SILENT]
    assert [each.time for each in events] == [NOW, NOW]  # when it was found out, not when it was heard of last
    # While the node is away, and until its detector could have come back, everything stays as it was.
    away = beat("Ready", 30, 40, "Unknown")
    back = [beat("Ready", heard, 100) for heard in (100, 110)]
    for version, ready in enumerate((away, *back), 3):
        events = memory.see(node(ready, beat("KernelDeadlock", 10, **bad), version=version))
        assert [each.condition for each in events] == ["Ready"] * (version < 5)
    events = memory.see(node(beat("Ready", 111, 100), beat("KernelDeadlock", 111, **bad), version=8))
    assert told(events) == [("KernelDeadlock", "True", "firing"), HEARD]
    assert len({each.id for each in events}) == 2
    assert memory.see(node(beat("Ready", 112, 100), beat("KernelDeadlock", 111, **bad), version=9)) == []


def test_a_detector_that_does_not_come_back_with_its_node_is_told_when_it_should_have_come() -> None:
    memory = Memory()
    memory.see(node(beat("Ready", 60), beat("KernelDeadlock", 60)))
    for heard, events in ((100, ["Ready"]), (105, []), (115, []), (116, ["DetectorSilent"]), (121, [])):
        found = memory.see(node(beat("Ready", heard, 100), beat("KernelDeadlock", 60), version=heard))
        assert [each.condition for each in found] == events


def test_a_17_day_old_heartbeat_at_first_sight_is_one_silence_and_no_trouble() -> None:
    """https://github.com/keiretsu-labs/kubernetes-manifests/pull/2731: such a condition was paged for days."""
    days = 24 * HOUR
    old = beat("KubeletUnhealthy", 3 * days, 2 * days, "True")
    events = Memory().see(node(beat("Ready", 20 * days), old))
    assert told(events) == [("KubeletUnhealthy", "True", "unknown"), SILENT]


def test_a_kubelet_that_is_away_makes_nobody_silent_and_ends_no_silence() -> None:
    memory = Memory()
    assert told(memory.see(node(beat("Ready", HOUR), beat("KernelDeadlock", 10), version=1))) == [SILENT]
    assert memory.see(node(beat("KernelDeadlock", 10), version=2)) == []
    assert memory.see(node(beat("Ready", HOUR, lastHeartbeatTime=None), beat("KernelDeadlock", 10), version=3)) == []
    assert told(memory.see(node(beat("KernelDeadlock", 90), version=4))) == [HEARD]


def test_a_node_that_is_deleted_takes_its_silence_along() -> None:
    memory = Memory()
    body = node(beat("Ready", HOUR), beat("KernelDeadlock", 10))
    memory.see(body)
    (event,), learnt = sighting(body, "DELETED").compare(memory.parts, new=False, after=None)
    assert event.reason == "NodeDeleted"
    assert set(learnt.values()) == {None}
    assert f"u1/:silent:{at(10)}" in learnt


def test_while_all_are_heard_of_their_heartbeats_leave_the_digest_as_it_is() -> None:
    assert sighting(node(beat("Ready", 10), beat("KernelDeadlock", 10))).digest == (
        sighting(node(beat("Ready", HOUR), beat("KernelDeadlock", HOUR - 10))).digest
    )


TIMES = st.integers(0, 90 * 60).map(lambda seconds: seconds / 60)


@given(
    ready=st.tuples(TIMES, TIMES, st.sampled_from(["True", "True", "False", "Unknown"])),
    others=st.lists(
        st.tuples(st.sampled_from(["KernelDeadlock", "NetworkUnavailable", "X"]), TIMES, TIMES), max_size=4
    ),
)
def test_what_the_text_of_times_says_is_what_the_times_say(
    ready: tuple[float, float, str], others: list[tuple[str, float, float]]
) -> None:
    heard, since, status = ready
    found, sure = silence_of(
        [Condition("Ready", status, heartbeat=at(heard), since=at(since))]
        + [Condition(type_, "False", heartbeat=at(beat), since=at(set_)) for type_, beat, set_ in others]
    )
    assert found is not None
    whole, late = int(heard), SILENT_AFTER / MINUTE
    silent = [
        (type_, at(beat))
        for type_, beat, set_ in others
        if type_ != "NetworkUnavailable" and beat < whole - late and set_ < int(beat) - 1
    ]
    assert [(each.type, each.heartbeat) for each in found] == silent
    assert sure == (status == "True" and since < whole - late)


@given(st.lists(st.tuples(st.integers(1, 20), st.booleans(), st.sampled_from(["True", "False"])), max_size=12))
def test_edges_of_silence_alternate_and_say_what_is_so(steps: list[tuple[int, bool, str]]) -> None:
    """A detector that comes and goes under a kubelet that goes on, with a status that changes as it likes."""
    memory = Memory()
    now, heard, since, status = HOUR, HOUR, 0, "False"
    said = "False"
    memory.see(node(beat("Ready", now), beat("KernelDeadlock", heard, since, status), version=1))
    for version, (minutes, speaks, wanted) in enumerate(steps, 2):
        now += minutes
        if speaks:
            heard, since, status = now, since if wanted == status else now, wanted
        events = memory.see(node(beat("Ready", now), beat("KernelDeadlock", heard, since, status), version=version))
        silence = [each for each in events if each.condition == "DetectorSilent"]
        is_silent = now - heard > 15 and heard - since > 1
        assert [each.status for each in silence] == ([] if said == str(is_silent) else [str(is_silent)])
        said = str(is_silent)
        trouble = {"KernelDeadlock": "unknown" if is_silent else "firing"} if status == "True" else {}
        for each in events:
            if each.condition == "KernelDeadlock":
                assert each.state == trouble.get("KernelDeadlock", "resolved")
