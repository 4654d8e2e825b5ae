"""Nodes of a real control plane, played by kwok: what happens to them arrives once each, with state, length and labels."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest_asyncio

from tests.helpers.daemon import Daemon
from tests.helpers.process import until
from tests.real.conftest import MakeDaemon, MakePlane
from tests.real.controlplane import ControlPlane
from tests.real.rows import WATCH_TIMES, source

GRACE = "16s"
"""For which the control plane waits to hear of a node, in place of 50 s."""
NODE = {"annotations": {"kwok.x-k8s.io/node": "fake"}}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def playing(tmp_path_factory: Any) -> Any:
    plane = ControlPlane(
        tmp_path_factory.mktemp("nodes"), users=("reader",), controllers=True, kwok=True, node_grace=GRACE
    )
    # A lease is renewed every quarter of this: by itself every 10 s, of which one that is late is given up.
    plane.kwok.argv.append("--node-lease-duration-seconds=8")
    try:
        await plane.start()
        yield plane
    finally:
        await plane.stop()


async def join(plane: ControlPlane, name: str) -> None:
    """Make a node, and wait until it is ready."""
    await plane.api.create("/api/v1/nodes", {"metadata": {"name": name, **NODE}})

    async def ready() -> bool:
        return await status_of(plane, name, "Ready") == "True"

    await until(ready, f"{name} to be ready")


async def status_of(plane: ControlPlane, name: str, type_: str) -> str:
    node = await plane.api.request("GET", f"/api/v1/nodes/{name}")
    found = {each["type"]: each["status"] for each in node["status"].get("conditions", [])}
    return str(found.get(type_, ""))


async def patch(
    plane: ControlPlane,
    name: str,
    type_: str,
    status: str,
    reason: str,
    *,
    heard: datetime | None = None,
    since: datetime | None = None,
    writer: str = "node-problem-detector",
) -> None:
    """Write a condition as node-problem-detector does: a strategic merge patch of the status.

    Args:
        plane, name: where and of which node.
        type_, status, reason: of the condition.
        heard, since: when its writer was heard of last, and it became what it is; now, unless they are given.
        writer: who that is.
    """
    now = datetime.now(UTC)
    condition = {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": f"{type_} was checked",
        "lastTransitionTime": (since or now).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lastHeartbeatTime": (heard or now).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    await plane.api.request(
        "PATCH",
        f"/api/v1/nodes/{name}/status?fieldManager={writer}",
        {"status": {"conditions": [condition]}},
        content_type="application/strategic-merge-patch+json",
    )


def edges(daemon: Daemon, name: str) -> list[dict[str, Any]]:
    """Return the edges of a node that the file holds, in order."""
    file = daemon.directory / "archive.jsonl"
    lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    records = [json.loads(line) for line in lines]
    return [each for each in records if each["origin"] == "node" and each["name"] == name]


def states(daemon: Daemon, name: str, condition: str) -> list[tuple[str, str, str]]:
    return [
        (each.get("previous", ""), each.get("status", ""), each["state"])
        for each in edges(daemon, name)
        if each.get("condition") == condition
    ]


async def test_a_node_dies_flaps_and_is_deleted(playing: ControlPlane, daemons: MakeDaemon) -> None:
    daemon = daemons(sources=[source(playing) | {"labels": {"region": "here"}}])
    await daemon.start()
    await join(playing, "mortal")
    for _ in range(2):
        known = len(states(daemon, "mortal", "Ready"))
        playing.kwok.kill()
        await until(lambda n=known: len(states(daemon, "mortal", "Ready")) > n, "its death", timeout=90)
        playing.kwok.start()
        await until(lambda n=known: len(states(daemon, "mortal", "Ready")) > n + 1, "its return", timeout=90)
    await playing.api.delete("/api/v1/nodes/mortal")
    await until(lambda: edges(daemon, "mortal")[-1]["reason"] == "NodeDeleted", "its end")
    assert await daemon.term() == 0
    told = edges(daemon, "mortal")
    assert states(daemon, "mortal", "Ready") == [("True", "Unknown", "firing"), ("Unknown", "True", "resolved")] * 2
    assert Counter(
        each["reason"] for each in told if each["reason"].startswith("Node") and "condition" not in each
    ) == {
        "NodeAdded": 1,
        "NodeDeleted": 1,
    }
    ready = [each for each in told if each.get("condition") == "Ready"]
    assert all(each["duration"] >= 0 for each in ready)
    # kwok does not move the time of a transition, so a return is told at the time of its heartbeat.
    assert all(each["since"] == each["time"] for each in ready[::2])
    assert [each["component"] for each in ready] == ["kube-controller-manager", "kwok"] * 2
    assert {json.dumps(each["labels"]) for each in told} == {'{"region": "here"}'}
    assert len({each["id"] for each in told}) == len(told)
    # No taint is told that the control plane derives from a condition.
    assert [each["reason"] for each in told if each["reason"].startswith("Taint")] == []


async def test_a_condition_that_is_set_and_cleared_arrives_once_each_across_kill_9(
    playing: ControlPlane, daemons: MakeDaemon
) -> None:
    await join(playing, "checked")
    await patch(playing, "checked", "KernelDeadlock", "False", "KernelHasNoDeadlock")
    daemon = daemons(sources=[source(playing)])
    await daemon.start()
    for status, reason in (("True", "DockerHung"), ("False", "KernelHasNoDeadlock")):
        await patch(playing, "checked", "KernelDeadlock", status, reason)
        await until(
            lambda s=status: any(each[1] == s for each in states(daemon, "checked", "KernelDeadlock")),
            f"it to be {status}",
        )
        daemon.kill9()
        await daemon.start()
    for _ in range(3):  # heartbeats
        await patch_heartbeat(playing, "checked")
    await patch(playing, "checked", "KernelDeadlock", "True", "DockerHung")
    await until(lambda: len(states(daemon, "checked", "KernelDeadlock")) == 3, "the last one")
    assert await daemon.term() == 0
    assert states(daemon, "checked", "KernelDeadlock") == [
        ("False", "True", "firing"),
        ("True", "False", "resolved"),
        ("False", "True", "firing"),
    ]
    found = [each for each in edges(daemon, "checked") if each.get("condition") == "KernelDeadlock"]
    assert {each["component"] for each in found} == {"node-problem-detector"}
    assert all(each.get("duration", 0) >= 0 for each in found)  # none where all happened within a second
    assert daemon.journal().faults() == []


async def patch_heartbeat(plane: ControlPlane, name: str) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    await plane.api.request(
        "PATCH",
        f"/api/v1/nodes/{name}/status?fieldManager=node-problem-detector",
        {"status": {"conditions": [{"type": "KernelDeadlock", "lastHeartbeatTime": now}]}},
        content_type="application/strategic-merge-patch+json",
    )


async def test_a_detector_that_has_been_silent_for_17_days_is_told_once_across_kill_9(
    planes: MakePlane, daemons: MakeDaemon
) -> None:
    """Together with the doubt about what it had said, and then that it is heard of again, and says the same."""
    plane = await planes()
    # Of an object that is made with nothing in it, the API server does not note who writes to it.
    await plane.api.create("/api/v1/nodes", {"metadata": {"name": "deserted", "labels": {"pool": "batch"}}})
    days = [datetime.now(UTC) - timedelta(days=number) for number in range(21)]
    bad = ("KernelDeadlock", "True", "DockerHung")

    async def kubelet() -> None:
        await patch(plane, "deserted", "Ready", "True", "KubeletReady", since=days[20], writer="kubelet")

    await patch(plane, "deserted", "NetworkUnavailable", "False", "RouteCreated", heard=days[20], since=days[20])
    await patch(plane, "deserted", *bad, heard=days[17], since=days[18])
    await kubelet()
    daemon = daemons(sources=[source(plane)])
    await daemon.start()
    await until(lambda: len(edges(daemon, "deserted")) == 2, "the silence")
    daemon.kill9()
    await kubelet()
    await plane.compact()
    await daemon.start()
    await kubelet()
    await patch(plane, "deserted", *bad, since=days[18])
    await until(lambda: len(edges(daemon, "deserted")) == 4, "word of the detector")
    assert await daemon.term() == 0
    told = edges(daemon, "deserted")
    assert [(each["condition"], each["status"], each["state"]) for each in told] == [
        ("KernelDeadlock", "True", "unknown"),
        ("DetectorSilent", "True", "firing"),
        ("KernelDeadlock", "True", "firing"),
        ("DetectorSilent", "False", "resolved"),
    ]
    assert told[1]["component"] == "node-problem-detector"
    assert told[1]["since"] == days[17].strftime("%Y-%m-%dT%H:%M:%SZ")
    assert len({each["id"] for each in told}) == 4
    assert daemon.journal().faults() == []


async def test_w41_flaps_while_down(planes: MakePlane, daemons: MakeDaemon) -> None:
    """W41. Every change is told where history is there; where it is gone, the state with its latest time is.

    The API server has changes of nodes in memory as well, so history is gone only after its restart; of its time
    away 5 s stand for ten minutes.
    """
    plane = await planes()
    await plane.api.create("/api/v1/nodes", {"metadata": {"name": "flaps"}})
    await patch(plane, "flaps", "Ready", "True", "KubeletReady")
    daemon = daemons(sources=[source(plane)])
    await daemon.start()
    assert await daemon.term() == 0
    for status in ("True", "False", "True"):
        await patch(plane, "flaps", "NTPProblem", status, f"NTPIs{status}")
    await daemon.start()
    await until(lambda: len(states(daemon, "flaps", "NTPProblem")) == 3, "all three")
    assert await daemon.term() == 0
    for status in ("False", "True", "False"):
        await patch(plane, "flaps", "NTPProblem", status, f"NTPIs{status}")
    await plane.compact()
    plane.kill_apiserver()
    daemon.launch()
    await until(
        lambda: "Connect" in daemon.child.tail() or "No answer" in daemon.child.tail(), "word of its being away"
    )
    await plane.start_apiserver()
    await until(lambda: len(states(daemon, "flaps", "NTPProblem")) == 4, "the last state")
    await patch(plane, "flaps", "Ready", "False", "KubeletNotReady")
    await until(lambda: len(states(daemon, "flaps", "Ready")) == 1, "what comes later")
    assert await daemon.term() == 0
    assert states(daemon, "flaps", "NTPProblem") == [
        ("", "True", "firing"),
        ("True", "False", "resolved"),
        ("False", "True", "firing"),
        ("True", "False", "resolved"),
    ]
    assert len({each["id"] for each in edges(daemon, "flaps")}) == 5


async def test_w25_bookmarks_of_nodes(playing: ControlPlane, daemons: MakeDaemon) -> None:
    """W25, the half about nodes: watches of 3 to 5 s, at whose end the server sends a bookmark."""
    daemon = daemons(sources=[source(playing)], scaled=WATCH_TIMES)
    await daemon.start()

    async def marked() -> bool:
        return await daemon.metric("eventer_watch_bookmarks_total", scope="nodes") > 0

    await until(marked, "a bookmark of nodes", timeout=60)
    assert await daemon.metric("eventer_watch_bookmarks_total", scope="events") == 0
    assert await daemon.metric("eventer_watch_relists_total", scope="nodes") == 1
    assert await daemon.term() == 0
