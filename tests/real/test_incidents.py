"""Incidents of a real control plane, told by a real daemon to a robot: what people get of them, and what they do not.

The controller manager marks and evicts, makes pods and says so; the scheduler says where they go; kwok plays the nodes.
Of the kubelet only the images are missing, which kwok pulls none of: what it says of those is written by the test.
Sizes and times are scaled: 30 pods in place of 1,000, 20 in place of 200; a node is given up after 16 s in place of
50, its pods are evicted after 5 s in place of 300, and a group waits for 3 s in place of 10.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final

import pytest_asyncio

from eventer.journal import read_books
from eventer.journal.alerting import AlertingRecord
from tests.helpers.daemon import Daemon
from tests.helpers.process import until
from tests.helpers.robots import Robot, Robots
from tests.real.conftest import MakeDaemon
from tests.real.controlplane import ControlPlane
from tests.real.rows import source

GRACE: Final = "16s"
NAMESPACES: Final = 6
TOLERATIONS: Final = [
    {"key": f"node.kubernetes.io/{what}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}
    for what in ("unreachable", "not-ready")
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def plane(tmp_path_factory: Any) -> AsyncIterator[ControlPlane]:
    made = ControlPlane(tmp_path_factory.mktemp("incidents"), controllers=True, kwok=True, node_grace=GRACE)
    # Without leases, kwok writes a node's status every 35 s or so: less often than the control plane waits here.
    made.kwok.argv.append("--node-lease-duration-seconds=8")
    try:
        await made.start()
        for number in range(2):
            node = {"metadata": {"name": f"node-{number}", "annotations": {"kwok.x-k8s.io/node": "fake"}}}
            await made.api.create("/api/v1/nodes", node)
        for number in range(NAMESPACES):
            await made.api.create("/api/v1/namespaces", {"metadata": {"name": f"team-{number}"}})
        await until(lambda: _ready(made), "both nodes to be ready")
        await until(lambda: _accounts(made), "the namespaces to have the account without which no pod is let in")
        yield made
    finally:
        await made.stop()


async def _ready(plane: ControlPlane) -> bool:
    nodes = await plane.api.items("/api/v1/nodes")
    ready = [
        each
        for each in nodes
        if any(c["type"] == "Ready" and c["status"] == "True" for c in each.get("status", {}).get("conditions", []))
    ]
    return len(ready) == 2 and not any(each["spec"].get("taints") for each in nodes)


async def _accounts(plane: ControlPlane) -> bool:
    accounts = await plane.api.items("/api/v1/serviceaccounts?fieldSelector=metadata.name%3Ddefault")
    return {f"team-{number}" for number in range(NAMESPACES)} <= {each["metadata"]["namespace"] for each in accounts}


@pytest_asyncio.fixture(loop_scope="session")
async def robots() -> AsyncIterator[Robots]:
    async with Robots(time.time) as made:
        yield made


async def watching(plane: ControlPlane, daemons: MakeDaemon, robot: Robot) -> Daemon:
    """Start a daemon that tells a robot, with everything as it comes but for the group's times."""
    await until(lambda: _ready(plane), "both nodes to be ready", timeout=90)
    daemon = daemons(sources=[source(plane, start="now")])
    group = {"wait": "3s", "interval": "20s"}
    # The API server's own are in `default`: of Services whose addresses it repairs at its start, for one.
    match = [{"severity": ["warning", "critical"], "namespace": "!default"}]
    daemon.config["sinks"] = {
        "chat": {"kind": "dingtalk", "url": robot.url, "enrich": ["owner", "node"], "match": match, "group": group},
        "archive": daemon.file_sink(),
    }
    await daemon.start()
    return daemon


async def at_rest(daemon: Daemon) -> None:
    """Wait until nothing is read that waits for a message."""

    async def rests() -> bool:
        waiting = await daemon.metric("eventer_alerting_waiting_events", sink="chat")
        return waiting + await daemon.metric("eventer_alerting_pending", sink="chat") == 0

    await until(rests, "alerting to be at rest", timeout=90)


async def ended(daemon: Daemon) -> AlertingRecord:
    """End the daemon; return what became of the events, when the books balance."""
    assert await daemon.term() == 0
    return read_books(daemon.state).alerting["chat"]


def said(daemon: Daemon, reason: str) -> int:
    """How many records with this reason the archive holds."""
    return daemon.archive.read_bytes().count(f'"reason":"{reason}"'.encode()) if daemon.archive.exists() else 0


def texts(robot: Robot) -> list[str]:
    return [each["markdown"]["text"] for each in robot.messages]


def deployment(name: str, replicas: int, image: str) -> dict[str, Any]:
    pod = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "app", "image": image}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": pod}
    return {"metadata": {"name": name}, "spec": spec}


async def pods_of(plane: ControlPlane, app: str) -> list[dict[str, Any]]:
    pods = await plane.api.items(f"/api/v1/namespaces/team-0/pods?labelSelector=app%3D{app}")
    return [each for each in pods if "deletionTimestamp" not in each["metadata"]]


async def rolled_out(plane: ControlPlane, name: str, replicas: int) -> None:
    async def done() -> bool:
        found = await plane.api.request("GET", f"/apis/apps/v1/namespaces/team-0/deployments/{name}")
        status = found.get("status", {})
        new = status.get("observedGeneration") == found["metadata"]["generation"]
        counts = [status.get(count, 0) for count in ("replicas", "updatedReplicas", "availableReplicas")]
        return new and counts == [replicas] * 3

    await until(done, f"{name} to have {replicas} replicas", timeout=60)


async def test_rollout_scale_down_and_drain_are_told_to_nobody(
    plane: ControlPlane, daemons: MakeDaemon, robots: Robots
) -> None:
    robot = robots.add("dingtalk", "normal")
    daemon = await watching(plane, daemons, robot)
    path = "/apis/apps/v1/namespaces/team-0/deployments"
    await plane.api.create(path, deployment("web", 12, "web:1"))
    await rolled_out(plane, "web", 12)
    await plane.api.merge(f"{path}/web", deployment("web", 12, "web:2"))
    await rolled_out(plane, "web", 12)
    await plane.api.merge(f"{path}/web", {"spec": {"replicas": 4}})
    await rolled_out(plane, "web", 4)
    await plane.api.merge("/api/v1/nodes/node-1", {"spec": {"unschedulable": True}})
    for pod in await pods_of(plane, "web"):
        if pod["spec"].get("nodeName") == "node-1":
            name = pod["metadata"]["name"]
            evict = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": "team-0"}}
            await plane.api.create(f"/api/v1/namespaces/team-0/pods/{name}/eviction", evict)
    await rolled_out(plane, "web", 4)
    await plane.api.merge("/api/v1/nodes/node-1", {"spec": {"unschedulable": None}})
    await until(lambda: said(daemon, "Uncordoned") == 1, "the end of the drain")
    await at_rest(daemon)
    record = await ended(daemon)
    assert said(daemon, "ScalingReplicaSet") >= 3
    assert texts(robot) == []
    assert (record.represented, record.opened) == (0, 0)
    await plane.api.delete(f"{path}/web")


async def test_a_bad_image_is_one_message_for_all_pods_of_the_deployment(
    plane: ControlPlane, daemons: MakeDaemon, robots: Robots
) -> None:
    robot = robots.add("dingtalk", "image")
    daemon = await watching(plane, daemons, robot)
    await plane.api.create("/apis/apps/v1/namespaces/team-0/deployments", deployment("bad", 20, "bad:no-such-tag"))
    await rolled_out(plane, "bad", 20)
    pods = await pods_of(plane, "bad")
    written = [kubelet(plane, pod, reason, text) for pod in pods for reason, text in (
        ("Failed", 'Failed to pull image "bad:no-such-tag": not found'), ("Failed", "Error: ErrImagePull"),
        ("Failed", "Error: ImagePullBackOff"))]  # fmt: skip
    await asyncio.gather(*written)
    await until(lambda: bool(robot.messages), "a message")
    await until(lambda: said(daemon, "Failed") == 60, "all Events")
    await at_rest(daemon)
    record = await ended(daemon)
    assert 1 <= len(robot.messages) <= 2, texts(robot)
    assert "20" in texts(robot)[-1], "the number of pods"
    assert "Deployment bad" in texts(robot)[-1]
    assert record.represented == 60
    await plane.api.delete("/apis/apps/v1/namespaces/team-0/deployments/bad")


async def kubelet(plane: ControlPlane, pod: dict[str, Any], reason: str, text: str) -> None:
    """Write what the kubelet says of a container that it cannot pull the image of."""
    meta = pod["metadata"]
    now = f"{datetime.now(UTC):%FT%TZ}"
    about = {
        "kind": "Pod", "apiVersion": "v1", "name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"],
        "fieldPath": "spec.containers{app}",
    }  # fmt: skip
    body = {
        "metadata": {"generateName": f"{meta['name']}."}, "involvedObject": about, "type": "Warning", "reason": reason,
        "message": text, "count": 1, "firstTimestamp": now, "lastTimestamp": now,
        "source": {"component": "kubelet", "host": pod["spec"]["nodeName"]},
    }  # fmt: skip
    await plane.api.create(f"/api/v1/namespaces/{meta['namespace']}/events", body)


async def test_a_node_that_dies_with_its_pods_is_one_message(
    plane: ControlPlane, daemons: MakeDaemon, robots: Robots
) -> None:
    """What its pods come to is followed, and nobody is told: the node is the reason. kill -9 changes nothing."""
    for number in range(30):
        spec = {
            "nodeName": "node-0", "tolerations": TOLERATIONS, "containers": [{"name": "app", "image": "app:1"}],
        }  # fmt: skip
        body = {"metadata": {"name": f"app-{number}", "labels": {"app": "doomed"}}, "spec": spec}
        await plane.api.create(f"/api/v1/namespaces/team-{number % NAMESPACES}/pods", body)

    async def running() -> bool:
        pods = await plane.api.items("/api/v1/pods?labelSelector=app%3Ddoomed")
        return len(pods) == 30 and all(pod["status"]["phase"] == "Running" for pod in pods)

    await until(running, "30 pods to run", timeout=60)
    robot = robots.add("dingtalk", "node")
    daemon = await watching(plane, daemons, robot)
    plane.kwok.kill()
    alive = asyncio.create_task(kept_alive(plane, "node-1"))
    try:
        await until(lambda: bool(robot.messages), "a message", timeout=90)
        daemon.kill9()
        await daemon.start()
        await until(lambda: said(daemon, "TaintManagerEviction") >= 30, "the evictions", timeout=90)
        await until(lambda: said(daemon, "NodeNotReady") >= 31, "all pods to be marked", timeout=90)
        await at_rest(daemon)
    finally:
        alive.cancel()
        plane.kwok.start()
    record = await ended(daemon)
    assert len(robot.messages) == 1, "\n\n".join(texts(robot))
    assert "node-0" in texts(robot)[0]
    assert "node-1" not in texts(robot)[0]
    assert record.suppressed >= 60, "of 30 pods, marked and evicted"


async def kept_alive(plane: ControlPlane, name: str) -> None:
    """Renew a node's lease, as its kubelet would: where all nodes are gone, the control plane evicts nothing."""
    while True:
        renewed = {"spec": {"renewTime": f"{datetime.now(UTC):%FT%T.%fZ}"}}
        await plane.api.merge(f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}", renewed)
        await asyncio.sleep(2)
