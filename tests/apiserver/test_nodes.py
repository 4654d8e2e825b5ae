"""Nodes, from the fake API server to a file: each change once, heartbeats never, and restarts change nothing of that."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from eventer.demo.apiserver import ApiServer, status_body
from eventer.demo.faults import Fault
from eventer.journal import read_books
from tests.helpers.edges import NODES, stored, told
from tests.helpers.fastclock import FastClock
from tests.helpers.inprocess import Site
from tests.helpers.until import until


@pytest.fixture
def site(tmp_path: Path, server: ApiServer) -> Site:
    return Site(tmp_path, server, nodes=True)


def by_reason(site: Site) -> dict[str, dict[str, Any]]:
    return {record["reason"]: record for record in site.records("node")}


# -- what is told --------------------------------------------------------------------------------------------


async def test_the_first_list_tells_what_is_already_bad_and_nothing_else(site: Site, server: ApiServer) -> None:
    server.nodes.add("well", {"Ready": "True", "MemoryPressure": "False"})
    server.nodes.add("ill", {"Ready": "True", "DiskPressure": "True", "KernelDeadlock": "Unknown"})
    server.nodes.add("out", {"Ready": "False"}, unschedulable=True, taints=[{"key": "gpu", "effect": "NoSchedule"}])
    async with site.running() as life:
        await stored(life, server)
    assert sorted(told(site)) == [
        ("ill", "DiskPressure", "True", "firing"),
        ("ill", "KernelDeadlock", "Unknown", "unknown"),
        ("out", "Cordoned", "", "firing"),
        ("out", "Ready", "False", "firing"),
    ]
    site.balanced()


async def test_an_edge_says_what_was_before_since_when_how_long_and_who(site: Site, server: ApiServer) -> None:
    site.document["sources"][0]["labels"] = {"region": "here"}
    server.nodes.add("n1", {"Ready": "True"})
    async with site.running() as life:
        await stored(life, server)
        start = server.nodes.now().replace(microsecond=0)
        server.nodes.now = lambda: start
        server.nodes.condition("n1", "KernelDeadlock", "False", "KernelHasNoDeadlock")
        await stored(life, server)
        server.nodes.now = lambda: start.replace(year=start.year + 1)
        server.nodes.condition("n1", "KernelDeadlock", "True", "DockerHung")
        await stored(life, server)
    (edge,) = site.records("node")
    length = (start.replace(year=start.year + 1) - start).total_seconds()
    stamp = start.replace(year=start.year + 1).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert {
        "origin": "node", "type": "Warning", "kind": "Node", "name": "n1", "node": "n1", "reason": "DockerHung",
        "condition": "KernelDeadlock", "status": "True", "previous": "False", "state": "firing", "since": stamp,
        "time": stamp, "duration": length, "component": "node-problem-detector", "labels": {"region": "here"},
        "delta": 1,
    }.items() <= edge.items()  # fmt: skip


async def test_each_change_of_status_reason_or_time_is_one_edge_and_a_heartbeat_none(
    site: Site, server: ApiServer
) -> None:
    server.nodes.add("n1", {"Ready": "True"})
    async with site.running() as life:
        await stored(life, server)
        for status, reason in (("False", "A"), ("False", "B"), ("True", "C"), ("False", "A"), ("True", "C")):
            server.nodes.condition("n1", "Ready", status, reason)
            for _ in range(5):
                server.nodes.heartbeat("n1")
        await stored(life, server)
        record = life.journal.stream(NODES)
    edges = [(each["reason"], each["status"], each["previous"], each["state"]) for each in site.records("node")]
    assert edges == [
        ("A", "False", "True", "firing"),
        ("B", "False", "False", "firing"),
        ("C", "True", "False", "resolved"),
        ("A", "False", "True", "firing"),
        ("C", "True", "False", "resolved"),
    ]
    assert len({each["id"] for each in site.records("node")}) == 5  # also where all happens within a second
    assert record.received == record.seen + record.appended
    assert record.appended == 5


async def test_taints_cordons_and_boots(site: Site, server: ApiServer) -> None:
    server.nodes.add("n1")
    derived = {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}
    async with site.running() as life:
        await stored(life, server)
        server.nodes.spec("n1", taints=[derived])
        server.nodes.spec("n1", taints=[derived, {"key": "team", "value": "a", "effect": "NoSchedule"}])
        server.nodes.spec("n1", taints=[{"key": "team", "value": "b", "effect": "NoSchedule"}])
        server.nodes.spec("n1", taints=[])
        server.nodes.spec("n1", unschedulable=True)
        server.nodes.spec("n1", unschedulable=False)
        server.nodes.reboot("n1")
        await stored(life, server)
    assert [(each["reason"], each.get("state", "")) for each in site.records("node")] == [
        ("TaintAdded", "firing"),
        ("TaintChanged", "firing"),
        ("TaintRemoved", "resolved"),
        ("Cordoned", "firing"),
        ("Uncordoned", "resolved"),
        ("Rebooted", ""),
    ]
    assert by_reason(site)["TaintRemoved"]["duration"] >= 0
    assert by_reason(site)["Uncordoned"]["duration"] >= 0


async def test_nodes_come_go_and_come_again_under_their_name(site: Site, server: ApiServer) -> None:
    server.nodes.add("old")
    async with site.running() as life:
        await stored(life, server)
        server.nodes.add("new", {"Ready": "False"})
        server.nodes.condition("new", "Ready", "True")
        server.nodes.delete("new")
        server.nodes.add("new", {"Ready": "True"})
        await stored(life, server)
    assert told(site) == [
        ("new", "NodeAdded", "", ""),
        ("new", "Ready", "False", "firing"),
        ("new", "Ready", "True", "resolved"),
        ("new", "NodeDeleted", "", ""),
        ("new", "NodeAdded", "", ""),
    ]
    uids = [each["uid"] for each in site.records("node")]
    assert (len(set(uids[:4])), uids[4] in uids[:4]) == (1, False)


@pytest.mark.parametrize("unseen", [False, True])
async def test_a_node_that_goes_while_it_is_ill_is_told_to_be_gone_by_the_name_of_its_object(
    site: Site, server: ApiServer, unseen: bool
) -> None:
    """Once, and its conditions get no end of their own: whoever follows them ends them by their object."""
    server.nodes.add("ill", {"Ready": "False", "DiskPressure": "True"}, unschedulable=True)
    server.nodes.add("well")
    async with site.running() as life:
        await stored(life, server)
        if not unseen:
            server.nodes.delete("ill")
            await stored(life, server)
    if unseen:
        server.nodes.delete("ill")
        server.nodes.store.compact()
    async with site.running() as life:
        await stored(life, server)
    *bad, gone = site.records("node")
    assert sorted(each["reason"] for each in bad) == ["Cordoned", "DiskPressureIsTrue", "ReadyIsFalse"]
    assert (gone["reason"], gone["kind"], gone.get("state", "")) == ("NodeDeleted", "Node", "")
    assert {each["object"] for each in (*bad, gone)} == {"prod/Node//ill"}
    assert len({each["uid"] for each in (*bad, gone)}) == 1
    site.balanced()


async def test_a_condition_that_is_removed_while_bad_is_over(site: Site, server: ApiServer) -> None:
    node = server.nodes.add("n1", {"Ready": "True", "KernelDeadlock": "True"})
    async with site.running() as life:
        await stored(life, server)
        conditions = [each for each in node["status"]["conditions"] if each["type"] == "Ready"]
        server.nodes.store.put({**node, "status": {**node["status"], "conditions": conditions}})
        await stored(life, server)
    over = site.records("node")[-1]
    assert (over["reason"], over["condition"], over["previous"], over["state"]) == (
        "ConditionRemoved",
        "KernelDeadlock",
        "True",
        "resolved",
    )


# -- bad days ------------------------------------------------------------------------------------------------


async def test_w41_what_changed_while_down_is_told_once_with_the_right_times(site: Site, server: ApiServer) -> None:
    """Flapped and back is told as the new time of its transition; who is gone and who is new are told as well."""
    for name in ("flaps", "falls", "goes", "stays"):
        server.nodes.add(name, {"Ready": "True"})
    async with site.running() as life:
        await stored(life, server)
    start = server.nodes.now().replace(microsecond=0)
    for step, status in enumerate(("False", "True", "False", "True"), 1):
        at = start.replace(year=start.year + step)
        server.nodes.now = lambda at=at: at
        server.nodes.condition("flaps", "Ready", status)
        if step == 1:
            server.nodes.condition("falls", "Ready", status)
    server.nodes.delete("goes")
    server.nodes.add("comes")
    server.nodes.heartbeat("stays")
    server.nodes.store.compact()
    for _ in range(2):  # the second start has nothing to add
        async with site.running() as life:
            await stored(life, server)
    assert Counter(told(site)) == Counter(
        [
            ("flaps", "Ready", "True", "resolved"),
            ("falls", "Ready", "False", "firing"),
            ("goes", "NodeDeleted", "", ""),
            ("comes", "NodeAdded", "", ""),
        ]
    )
    times = {each["name"]: each["time"][:4] for each in site.records("node")}
    assert (times["flaps"], times["falls"]) == (str(start.year + 4), str(start.year + 1))
    site.balanced()


async def test_a_watch_that_goes_on_after_a_restart_tells_every_single_change(site: Site, server: ApiServer) -> None:
    server.nodes.add("n1", {"Ready": "True"})
    async with site.running() as life:
        await stored(life, server)
    for status in ("False", "True", "False"):
        server.nodes.condition("n1", "Ready", status)
    async with site.running() as life:
        await stored(life, server)
    assert [(each["status"], each["previous"]) for each in site.records("node")] == [
        ("False", "True"),
        ("True", "False"),
        ("False", "True"),
    ]


async def test_w41_the_server_away_while_conditions_change(site: Site, server: ApiServer) -> None:
    """Ten minutes, on a clock that does not wait."""
    server.nodes.add("n1", {"Ready": "True"})
    server.nodes.add("n2", {"Ready": "True"})
    async with site.running() as life:
        await stored(life, server)
        stream = life.view.streams[NODES]
        for kind in ("nodes-watch", "nodes-list", "nodes-probe"):
            server.faults.add(kind, Fault(status=503), times=None)
        server.cut()
        await until(lambda: not stream.status.connected, "the failure")
        server.nodes.condition("n1", "Ready", "False")
        server.nodes.condition("n2", "Ready", "False")
        server.nodes.condition("n2", "Ready", "True")
        server.nodes.store.compact()
        life.daemon._clock.advance(600.0)  # type: ignore[attr-defined]
        server.faults.clear()
        await stored(life, server)
    edges = told(site)
    assert edges.count(("n1", "Ready", "False", "firing")) == 1
    assert [each for each in edges if each[2] == "False" and each[0] == "n2"] == []
    assert [record["reason"] for record in site.records("eventer")] == []  # nodes do not expire: no gap


async def test_without_the_right_events_flow_and_the_status_says_which(site: Site, server: ApiServer) -> None:
    server.nodes.add("n1", {"Ready": "False"})
    words = 'nodes is forbidden: User "eventer" cannot list resource "nodes"'
    for kind in ("nodes-list", "nodes-probe"):
        server.faults.add(kind, Fault(status=403, body=status_body(403, "Forbidden", words)), times=None)
    server.create("first")
    async with site.running(watching=False) as life:
        await site.has("first")
        await until(lambda: any(stream.status.blocked for stream in life.view.streams.values()), "the refusal")
        await until(lambda: not life.view.not_ready(), "to be ready all the same")
        page = json.loads((await life.get("/healthz"))[1])
        assert page["status"] == "degraded"
        assert 'cannot list resource "nodes"' in page["streams"]["prod nodes"]["error"]
        assert "Grant the verbs list and watch on nodes" in page["streams"]["prod nodes"]["error"]
        server.faults.clear()
        await stored(life, server)
    assert told(site) == [("n1", "Ready", "False", "firing")]


async def test_w25_bookmarks_of_nodes_move_the_position_and_nothing_else(site: Site, server: ApiServer) -> None:
    server.bookmarks, server.time_scale = True, 0.001
    server.nodes.add("n1")
    async with site.running(FastClock(speed=1000.0)) as life:
        await stored(life, server)
        server.nodes.store.advance(100)  # writes of other kinds
        await stored(life, server)
        assert life.view.streams[NODES].status.bookmarks >= 1
        assert life.journal.stream(NODES).received == 1
    assert told(site) == []


async def test_a_node_that_cannot_be_read_is_a_dead_letter_and_not_a_node_that_is_gone(
    site: Site, server: ApiServer
) -> None:
    server.nodes.add("odd")
    server.nodes.add("well", {"Ready": "True"})
    async with site.running() as life:
        await stored(life, server)
        for status in ("none", "still none"):
            server.nodes.store.put({**server.nodes.get("odd"), "status": {"conditions": status}})
        await stored(life, server)
    async with site.running() as life:
        server.nodes.condition("well", "Ready", "False")
        server.nodes.store.compact()
        server.cut()
        await stored(life, server)
        assert life.journal.stream(NODES).poison == 1  # once, though each heartbeat and each list brings it
    site.balanced()
    assert told(site) == [("well", "Ready", "False", "firing")]


async def test_the_audit_finds_nothing_missing(site: Site, server: ApiServer) -> None:
    for number in range(20):
        server.nodes.add(f"n{number}")
    async with site.running() as life:
        await stored(life, server)
        status = life.view.streams[NODES].status
        await until(lambda: status.audits, "the audit")
        assert status.audit_missed == 0


# -- many ----------------------------------------------------------------------------------------------------


async def test_ten_thousand_updates_with_twenty_changes_are_twenty_events(site: Site, server: ApiServer) -> None:
    for number in range(1000):
        server.nodes.add(f"n{number}")
    async with site.running() as life:
        await stored(life, server)
        for number in range(10_000 - 20):
            server.nodes.heartbeat(f"n{number % 1000}")
            if number % 499 == 7:
                server.nodes.condition(f"n{number % 1000}", "Ready", "False", "KubeletNotReady")
        await until(lambda: life.journal.stream(NODES).position == server.nodes.store.version, "all nodes", within=60)
        await life.settled("out")
        books = life.journal.stream(NODES)
    assert len(site.records("node")) == 20
    assert (books.received - books.seen, books.appended) == (20, 20)
    site.balanced()


async def test_five_thousand_nodes_are_listed_once_and_known_after_a_restart(site: Site, server: ApiServer) -> None:
    for number in range(5000):
        server.nodes.add(f"n{number}", {"Ready": "False" if number % 1000 == 0 else "True"})
    for _ in range(2):
        async with site.running() as life:
            await stored(life, server)
    assert len(site.records("node")) == 5
    assert read_books(site.state).streams[NODES].appended == 5
