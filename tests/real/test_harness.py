"""The harness itself: a judge that cannot find a planted fault proves nothing about the daemon."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.helpers.kubeapi import KubeApi, Refusal
from tests.helpers.process import Child, until
from tests.helpers.proxy import Mode, Proxy
from tests.helpers.writer import Writer, survey
from tests.real import netns
from tests.real.conftest import MakePlane
from tests.real.controlplane import ControlPlane


async def _watch_status(plane: ControlPlane, version: int) -> int:
    """Watch Events from a version and return the code of the first ERROR line, or 0."""
    watch = KubeApi(plane.url, plane.ca_file, "token-admin")
    try:
        text = await watch.text(f"/api/v1/events?watch=1&timeoutSeconds=1&resourceVersion={version}")
    finally:
        await watch.close()
    first = json.loads(text.splitlines()[0]) if text else {}
    return int(first["object"]["code"]) if first.get("type") == "ERROR" else 0


async def test_writer_knows_what_the_api_holds(plane: ControlPlane) -> None:
    await plane.namespace("written")
    writer = Writer(plane.api, seed=7, namespaces=("written",))
    await writer.run(rate=500, count=120)
    assert writer.unanswered == 0
    stored = await survey(plane.api, "written")
    alive = writer.alive
    assert stored.keys() == alive.keys()
    assert {(t.uid, t.version, t.count) for t in stored.values()} == {
        (t.uid, t.version, t.count) for t in alive.values()
    }
    assert any(t.count > 1 and t.series for t in alive.values())
    assert any(t.count > 1 and not t.series for t in alive.values())
    assert any(t.deleted for t in writer.truth.values())


async def test_compaction_makes_old_versions_gone(plane: ControlPlane) -> None:
    truth = await Writer(plane.api, seed=8).create()
    assert await _watch_status(plane, truth.version) == 0
    await Writer(plane.api, seed=9).create()
    await plane.compact()
    await Writer(plane.api, seed=10).create()
    assert await _watch_status(plane, truth.version - 1) == 410


async def test_user_has_only_what_is_granted(plane: ControlPlane) -> None:
    reader = plane.client("reader")
    try:
        with pytest.raises(Refusal, match="403"):
            await reader.items("/api/v1/events")
        await plane.grant("reader", [{"apiGroups": [""], "resources": ["events"], "verbs": ["list"]}])

        async def allowed() -> bool:
            try:
                await reader.items("/api/v1/events")
            except Refusal:
                return False
            return True

        await until(allowed, "the grant to be known")
    finally:
        await reader.close()


async def test_restored_backup_takes_versions_back(planes: MakePlane, tmp_path: Path) -> None:
    plane = await planes()
    writer = Writer(plane.api)
    kept = await writer.create()
    await plane.backup(tmp_path / "backup")
    lost = await writer.create()
    await plane.restore(tmp_path / "backup")
    stored = await survey(plane.api)
    assert kept.uid in stored
    assert lost.uid not in stored
    assert await plane.revision() < lost.version + 100


async def test_frozen_and_killed_apiserver_comes_back(planes: MakePlane) -> None:
    plane = await planes()
    plane.freeze()
    impatient = plane.client("admin", timeout=0.3)
    with pytest.raises(TimeoutError):
        await impatient.text("/readyz")
    await impatient.close()
    plane.thaw()
    await plane.ready()
    plane.kill_apiserver()
    with pytest.raises((aiohttp.ClientError, OSError)):
        await plane.api.text("/readyz")
    await plane.start_apiserver()
    plane.kill_etcd()
    plane.start_etcd()
    await plane.ready()
    await Writer(plane.api).create()


async def test_two_control_planes_live_side_by_side(planes: MakePlane) -> None:
    first, second = await asyncio.gather(planes(), planes())
    truth = await Writer(first.api).create()
    assert truth.uid in await survey(first.api)
    assert truth.uid not in await survey(second.api)


async def test_real_controllers_write_events(planes: MakePlane) -> None:
    plane = await planes(controllers=True, kwok=True)
    node = {"metadata": {"name": "node-1", "annotations": {"kwok.x-k8s.io/node": "fake"}}}
    await plane.api.create("/api/v1/nodes", node)
    container = {"name": "web", "image": "web:1"}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    deployment = {"metadata": {"name": "web"}, "spec": spec}
    await plane.api.create("/apis/apps/v1/namespaces/default/deployments", deployment)

    async def scheduled() -> bool:
        events = await plane.api.items("/api/v1/namespaces/default/events")
        return {"ScalingReplicaSet", "SuccessfulCreate", "Scheduled"} <= {event["reason"] for event in events}

    await until(scheduled, "Events of deployment, replica set and scheduler")


async def test_proxy_passes_tls_and_freezes_after_a_count(plane: ControlPlane) -> None:
    async with Proxy(plane.port) as proxy:
        through = KubeApi(f"https://127.0.0.1:{proxy.port}", plane.ca_file, "token-admin", timeout=5)
        assert await through.text("/readyz") == "ok"
        proxy.freeze_after(50)
        with pytest.raises(TimeoutError):
            await through.text("/readyz")
        await proxy.frozen()
        proxy.mode = Mode.PASS
        assert await through.text("/readyz") == "ok"
        await through.close()


@pytest.mark.skipif(bool(netns.unavailable()), reason=netns.unavailable() or "available")
async def test_swallowed_connection_is_silent_and_heals(tmp_path: Path) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    script = (
        "import socket, sys\n"
        "s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
        "f = s.makefile('rwb', buffering=0)\n"
        "for word in (b'one\\n', b'two\\n'):\n"
        "    f.write(word)\n"
        "    print(f.readline().decode().strip(), flush=True)\n"
        "    open(sys.argv[2]).read()\n"
    )
    with netns.Namespace() as namespace:
        listener = namespace.listener()
        port = listener.getsockname()[1]
        server = await asyncio.start_server(greet, sock=listener)
        gate = tmp_path / "gate"
        os.mkfifo(gate)
        client = Child("client", [sys.executable, "-c", script, port, gate], tmp_path, netns=namespace.path)
        client.start()
        await until(lambda: client.tail() == "one", "the first answer")
        assert namespace.established(port) == 1
        namespace.swallow()
        await asyncio.to_thread(gate.write_text, "go on")
        await until(lambda: namespace.unanswered(port) == len("two\n"), "the bytes to vanish")
        assert namespace.established(port) == 1
        namespace.heal()
        await until(lambda: client.tail().endswith("two"), "the second answer")
        client.kill()
        server.close()
