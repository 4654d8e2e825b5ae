"""Nodes decoded: what counts as a change, what an edge says, and whose a condition is."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventer.source.envelope import POISON_CAP
from eventer.source.nodes import DERIVED
from tests.helpers.sightings import NOW, T0, T1, Memory, condition, decoder, line, node, sighting


@pytest.mark.parametrize(
    "same",
    [
        node(condition(lastHeartbeatTime=T1), version=9),
        node(condition(message="another"), version=9),
        node(condition(), version=9, labels={"a": "b"}, managedFields=[{"manager": "x"}]),
        node(condition(), spec={"taints": [{"key": key, "effect": "NoSchedule"} for key in sorted(DERIVED)]}),
        node(condition(), spec={"unschedulable": False, "podCIDR": "10.0.0.0/24"}),
    ],
)
def test_what_counts_for_nothing_leaves_the_digest_as_it_is(same: dict[str, Any]) -> None:
    assert sighting(same).digest == sighting(node(condition())).digest


@pytest.mark.parametrize(
    "other",
    [
        node(condition(status="False")),
        node(condition(reason="Another")),
        node(condition(since=T1)),
        node(condition(), condition("KernelDeadlock", "False")),
        node(),
        node(condition(), spec={"unschedulable": True}),
        node(condition(), spec={"taints": [{"key": "team", "effect": "NoSchedule"}]}),
        {**node(condition()), "status": {"conditions": [condition()], "nodeInfo": {"bootID": "b2"}}},
    ],
)
def test_what_counts_changes_the_digest(other: dict[str, Any]) -> None:
    assert sighting(other).digest != sighting(node(condition())).digest


@pytest.mark.parametrize(
    ("type_", "status", "state"),
    [
        ("Ready", "True", "resolved"),
        ("Ready", "False", "firing"),
        ("Ready", "Unknown", "firing"),
        ("MemoryPressure", "True", "firing"),
        ("MemoryPressure", "Unknown", "unknown"),
        ("KernelReady", "False", "firing"),
        ("KernelReady", "True", "resolved"),
        ("SufficientIP", "False", "firing"),
        ("ReadonlyFilesystem", "False", "resolved"),
        ("OfOurOwn", "True", "firing"),
    ],
)
def test_the_state_is_by_the_polarity_of_the_condition(type_: str, status: str, state: str) -> None:
    memory = Memory()
    other = "False" if status != "False" else "True"
    memory.see(node(condition(type_, other)))
    (edge,) = memory.see(node(condition(type_, status, T1)))
    assert (edge.state, edge.status, edge.previous) == (state, status, other)
    assert edge.type == ("Normal" if state == "resolved" else "Warning")


def test_an_edge_says_how_long_it_was_what_it_was() -> None:
    memory = Memory()
    assert memory.see(node(condition())) == []
    (edge,) = memory.see(node(condition(status="False", since=T1), version=8))
    assert (edge.duration, edge.since, edge.time) == (3600.0, datetime(2026, 1, 1, 1, tzinfo=UTC), edge.since)
    assert edge.id == "prod/u1/Ready/False/ReadyIsFalse/2026-01-01T01:00:00Z"
    assert (edge.entity, edge.object, edge.labels) == ("u1/Ready", "prod/Node//n1", {"region": "here"})


def test_a_writer_that_does_not_move_the_time_still_makes_edges_of_their_own() -> None:
    memory = Memory()
    ids = [
        event.id
        for version, status in enumerate(("False", "True", "False", "True"), 7)
        for event in memory.see(node(condition(status=status), version=version))
    ]
    assert (len(ids), len(set(ids))) == (4, 4)


def test_restarted_detectors_write_the_same_status_anew() -> None:
    """node-problem-detector does so at each start, of all its conditions: a change of the time alone is told."""
    memory = Memory()
    memory.see(node(condition("KernelDeadlock", "False")))
    (edge,) = memory.see(node(condition("KernelDeadlock", "False", T1)))
    assert (edge.previous, edge.status, edge.state, edge.duration) == ("False", "False", "resolved", None)


def test_a_condition_comes_and_is_well_is_no_edge_and_is_trouble_is_one() -> None:
    memory = Memory()
    memory.see(node(condition()))
    assert memory.see(node(condition(), condition("KernelDeadlock", "False"))) == []
    (edge,) = memory.see(node(condition(), condition("KernelDeadlock", "False"), condition("NTPProblem", "True")))
    assert (edge.condition, edge.previous, edge.duration) == ("NTPProblem", "", None)


def test_where_what_was_seen_is_lost_what_is_well_since_then_is_told() -> None:
    (edge,) = Memory().see(
        node(condition(since=T1), condition("MemoryPressure", "False", T0)),
        after=datetime(2026, 1, 1, 0, 30, tzinfo=UTC).timestamp(),
    )
    assert (edge.condition, edge.state) == ("Ready", "resolved")


def test_a_boot_id_that_is_not_told_for_a_while_is_no_boot() -> None:
    memory = Memory()
    memory.see(node(condition()))
    silent = {**node(condition()), "status": {"conditions": [condition()]}}
    assert memory.see(silent) == []
    assert memory.see(node(condition())) == []
    (edge,) = memory.see({**node(condition()), "status": {"conditions": [condition()], "nodeInfo": {"bootID": "b2"}}})
    assert edge.reason == "Rebooted"


def test_a_new_node_tells_that_it_came() -> None:
    (edge,) = Memory().see(node(condition()), new=True)
    assert (edge.reason, edge.time) == ("NodeAdded", datetime(2026, 1, 1, tzinfo=UTC))


def test_the_owner_is_who_wrote_the_status_last() -> None:
    def managed(manager: str, time: str, type_: str = "Ready", part: str = "f:status") -> dict[str, Any]:
        fields = {"f:status": {"f:conditions": {f'k:{{"type":"{type_}"}}': {part: {}}}}}
        return {"manager": manager, "operation": "Update", "time": time, "fieldsV1": fields}

    body = node(
        condition(status="False"),
        managedFields=[
            managed("kubelet", T0),
            managed("kube-controller-manager", T1),
            managed("npd", "2026-01-01T02:00:00Z", "KernelDeadlock"),
            managed("calico", "2026-01-01T02:00:00Z", "Ready", "f:message"),
        ],
    )
    (edge,) = Memory().see(body)
    assert edge.component == "kube-controller-manager"


@pytest.mark.parametrize(
    "fields", [None, [], "no", [{"manager": None}], [{"manager": "x", "fieldsV1": {"f:status": 1}}]]
)
def test_without_a_word_of_who_wrote_it_there_is_an_edge_without_owner(fields: Any) -> None:
    (edge,) = Memory().see(node(condition(status="False"), managedFields=fields))
    assert edge.component == ""


@pytest.mark.parametrize(
    "bad",
    [
        {"metadata": {"name": "n1", "resourceVersion": "7"}},
        {"metadata": {"uid": "u1", "resourceVersion": "7"}},
        {"metadata": {"name": "n1", "uid": "u1", "resourceVersion": "x"}},
        {"metadata": {"name": "n1", "uid": "u1", "resourceVersion": "7"}, "status": {"conditions": "none"}},
        {"metadata": {"name": "n1", "uid": "u1", "resourceVersion": "7"}, "spec": {"taints": [1]}},
    ],
)
def test_what_is_no_node_is_kept_and_costs_its_neighbours_nothing(bad: dict[str, Any]) -> None:
    block = decoder().block(line(node(condition())) + line(bad) + line(node(condition(), version=9)))
    assert len(block.arrivals.sightings) == 2
    assert [len(raw) <= POISON_CAP for raw in block.arrivals.poison] == [True]
    assert block.arrivals.position == 9


def test_a_deleted_node_is_gone_even_if_the_rest_of_it_cannot_be_read() -> None:
    bad = {"metadata": {"name": "n1", "uid": "u1", "resourceVersion": "7"}, "status": 1}
    (found,) = decoder().block(line(bad, "DELETED")).arrivals.sightings
    (edge,), learnt = found.compare({"u1/Ready": (1, 1)}, new=False, after=None)
    assert (edge.reason, edge.time, learnt) == ("NodeDeleted", NOW, {"u1/Ready": None})


def test_a_bookmark_moves_the_position() -> None:
    block = decoder().block(line({"kind": "Node", "metadata": {"resourceVersion": "12"}}, "BOOKMARK"))
    assert (block.bookmarks, block.arrivals.position, block.arrivals.sightings) == (1, 12, [])


def test_the_roll_knows_who_is_missing() -> None:
    reader = decoder()
    roll = reader.items([json.dumps(node(condition())).encode()]).roll  # type: ignore[list-item]
    assert roll is not None
    assert ("node/u1/n1" in roll, "node/u2/n2" in roll) == (True, False)
    head, event = roll.missing("node/u2/n2", 99)
    assert (head, event.reason, event.name, event.version) == ("u2", "NodeDeleted", "n2", 99)
    reader.items([b'{"metadata": {}}'])  # type: ignore[list-item]
    assert "node/u2/n2" in roll  # nobody may be called gone while one cannot be told by name


@given(
    st.lists(st.tuples(st.sampled_from(["True", "False", "Unknown", "?"]), st.integers(0, 4)), min_size=1, max_size=8)
)
def test_whatever_is_written_each_difference_is_one_edge_with_an_id_of_its_own(steps: list[tuple[str, int]]) -> None:
    memory, ids = Memory(), set()
    memory.see(node(condition(), version=1))
    last = ("True", T0)
    for version, (status, hour) in enumerate(steps, 2):
        since = f"2026-01-01T0{hour}:00:00Z"
        events = memory.see(node(condition(status=status, reason="R", since=since), version=version))
        assert len(events) == ((status, since) != last or version == 2)
        last = (status, since)
        for event in events:
            assert event.id not in ids
            ids.add(event.id)
            assert event.duration is None or event.duration >= 0
