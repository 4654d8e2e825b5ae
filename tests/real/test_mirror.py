"""A pod without a volume: killed, its state gone, the next one goes on by the ConfigMap.

Notes are written every second in place of every ten. What may be repeated is told exactly: what a sink got beyond the
position that the ConfigMap had for it when the pod died.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.daemon import Daemon
from tests.helpers.farside import Answer, FarSide
from tests.helpers.kubeapi import Refusal
from tests.helpers.oracle import Sight
from tests.helpers.process import until
from tests.helpers.receiver import Receiver
from tests.helpers.writer import Writer
from tests.real.conftest import MakeDaemon
from tests.real.controlplane import ControlPlane
from tests.real.rows import end_well, settled, source, truth_of, webhook, write

QUICK = {"eventer.mirror.mirror:EVERY": 1.0, "eventer.mirror.mirror:WAIT": 5.0}
NAME = "positions"
NEEDED = [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [NAME], "verbs": ["get", "patch"]}]


class Mirrored:
    """A daemon without a volume in a namespace of its own, and the ConfigMap that it has rights on."""

    def __init__(self, plane: ControlPlane, name: str, daemon: Daemon) -> None:
        self.plane = plane
        self.daemon = daemon
        self.path = f"/api/v1/namespaces/{name}/configmaps"

    async def kept(self) -> dict[str, Any]:
        """Return the document, empty if there is none yet."""
        data = (await self.plane.api.request("GET", f"{self.path}/{NAME}")).get("data", {})
        return dict(json.loads(data.get("positions.json", "{}")))

    async def position(self, sink: str) -> int:
        """Return how far the sink has settled everything, as the ConfigMap says."""
        streams = (await self.kept()).get("streams", [])
        return max((int(each["sinks"][sink]["position"]) for each in streams if sink in each["sinks"]), default=0)

    async def noted(self, sink: str, version: int) -> None:
        """Wait until the ConfigMap has a position for the sink that is as high."""

        async def there() -> bool:
            return await self.position(sink) >= version

        await until(there, f"a note that {sink} has settled {version}")

    def die(self) -> None:
        """Kill the process, and take away everything that it had."""
        self.daemon.kill9()
        shutil.rmtree(self.daemon.state)


async def mirrored(plane: ControlPlane, daemons: MakeDaemon, name: str, **options: Any) -> Mirrored:
    await plane.namespace(name)
    daemon = daemons(
        sources=[source(plane, namespaces=[name])],
        state={"mirror": {"configmap": NAME, "namespace": name}},
        env={"KUBECONFIG": str(plane.kubeconfig(user="reader"))},
        scaled=QUICK,
        **options,
    )
    made = Mirrored(plane, name, daemon)
    await plane.api.create(made.path, {"metadata": {"name": NAME}})
    await plane.grant("reader", NEEDED, namespace=name)
    return made


def beyond(sights: Sequence[Sight], position: int) -> set[str]:
    """Return what a sink got that the note did not know of."""
    return {sight.id for sight in sights if sight.origin == "event" and sight.resource_version > position}


@pytest.mark.parametrize("compacted", [False, True], ids=["watch", "list"])
async def test_pods_die_under_load_and_only_what_was_not_noted_comes_twice(
    plane: ControlPlane, daemons: MakeDaemon, compacted: bool
) -> None:
    """Three pods in a row; with their history gone as well, which the next one lists."""
    name = f"mirror-{'list' if compacted else 'watch'}"
    pods = await mirrored(plane, daemons, name)
    writer = Writer(plane.api, seed=9, namespaces=(name,))
    stop = asyncio.Event()
    allowed: set[str] = set()
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.run(rate=100, stop=stop))
        for _ in range(3):
            pods.daemon.launch()
            await pods.noted("archive", await plane.revision())
            before = writer.acknowledged
            await until(lambda before=before: writer.acknowledged > before + 50, "more writes", every=0.01)  # type: ignore[misc]
            pods.daemon.child.kill()
            allowed |= beyond(pods.daemon.sights(), await pods.position("archive"))
            shutil.rmtree(pods.daemon.state)
            if compacted:
                await plane.compact()
        stop.set()
    await pods.daemon.start()
    truth = await truth_of(plane, writer, name)
    verdict = await end_well(pods.daemon, truth, repeats=len(allowed))
    assert set(verdict.repeats) <= allowed
    assert max(verdict.repeats.values(), default=0) <= 3
    assert verdict.records > len(allowed), "or nothing was known to have been settled"


async def test_a_sink_that_was_down_gets_its_events_from_the_next_pod(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """The other sink passes over them, and counts them."""
    pods = await mirrored(plane, daemons, "mirror-down")
    writer = Writer(plane.api, seed=10, namespaces=("mirror-down",))
    async with Receiver() as receiver:
        pods.daemon.config["sinks"]["hook"] = webhook(receiver.url)
        receiver.status = 503
        await pods.daemon.start()
        await write(writer, 40)
        await settled(writer.truth, pods.daemon.sights)
        await pods.noted("archive", max(truth.version for truth in writer.truth.values()))
        before = len(pods.daemon.sights())
        known = await pods.position("archive")
        pods.die()
        receiver.status = 200
        await write(writer, 10)
        await pods.daemon.start()
        truth = await truth_of(plane, writer, "mirror-down")
        hook = await settled(truth, lambda: receiver.sights, exact=True)
        assert hook.faults() == []
        again = len(beyond(pods.daemon.sights()[:before], known))

        async def passed() -> bool:
            metric = "eventer_reader_events_total"
            return await pods.daemon.metric(metric, sink="archive", outcome="duplicate") == before - again

        await until(passed, "the other sink to pass over what it had")
        await end_well(pods.daemon, truth, exact=True, repeats=again)
        assert pods.daemon.journal().outcome("archive", "duplicate") == before - again


async def test_a_stop_in_order_and_a_new_pod_repeat_nothing(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """An upgrade, with writes between the two."""
    pods = await mirrored(plane, daemons, "mirror-order")
    writer = Writer(plane.api, seed=11, namespaces=("mirror-order",))
    await pods.daemon.start()
    await write(writer, 30)
    await settled(writer.truth, pods.daemon.sights)
    assert await pods.daemon.term() == 0
    shutil.rmtree(pods.daemon.state)
    await write(writer, 30)
    await pods.daemon.start()
    await end_well(pods.daemon, await truth_of(plane, writer, "mirror-order"), exact=True)


async def test_the_state_in_memory_is_found_again_by_the_next_process(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """A container that is restarted in its pod goes on, and said at both starts what it does not promise."""
    await plane.namespace("mirror-memory")
    writer = Writer(plane.api, seed=12, namespaces=("mirror-memory",))
    # A part of /dev/shm that nobody else has.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as shared:
        scaled = {"eventer.config.place:SHARED": shared}
        daemon = daemons(sources=[source(plane, namespaces=["mirror-memory"])], state={"path": "memory"}, scaled=scaled)
        daemon.state = Path(shared) / f"eventer-{os.getuid()}"
        await daemon.start()
        await write(writer, 20)
        await settled(writer.truth, daemon.sights)
        daemon.kill9()
        await write(writer, 20)
        await daemon.start()
        await end_well(daemon, await truth_of(plane, writer, "mirror-memory"), exact=True)
    assert [line["event"] for line in daemon.log()].count("the journal is in memory") == 2


async def test_the_rights_are_no_wider_than_one_configmap(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """With `get` and `patch` on it alone everything above works; another one cannot even be read."""
    pods = await mirrored(plane, daemons, "mirror-rights")
    await plane.api.create(pods.path, {"metadata": {"name": "other"}})
    reader = plane.client("reader")
    try:
        await reader.request("GET", f"{pods.path}/{NAME}")
        for method, path, body in (
            ("GET", f"{pods.path}/other", None),
            ("GET", pods.path, None),
            ("POST", pods.path, {"metadata": {"name": "more"}}),
            ("DELETE", f"{pods.path}/{NAME}", None),
            ("PUT", f"{pods.path}/{NAME}", {"metadata": {"name": NAME}}),
        ):
            with pytest.raises(Refusal, match="forbidden"):
                await reader.request(method, path, body)
    finally:
        await reader.close()


async def test_pods_die_and_each_problem_is_told_once_or_again_but_never_not(
    plane: ControlPlane, daemons: MakeDaemon
) -> None:
    """Three pods in a row, the last while the chat is away; their history is compacted. What was noted is not told again."""
    name = "mirror-told"
    pods = await mirrored(plane, daemons, name)
    writer = Writer(plane.api, seed=13, namespaces=(name,))
    async with FarSide() as far:
        group = {"by": ["name"], "wait": "0s"}
        pods.daemon.config["sinks"]["chat"] = {
            "kind": "webhook", "url": far.url, "format": "single", "group": group, "match": [{"kind": "Pod"}],
        }  # fmt: skip

        def told() -> set[str]:
            notes = [json.loads(request.body) for request in far.requests]
            return {item["name"] for note in notes for item in note.get("items", ()) if "ended" not in item}

        async def tell(*problems: str) -> int:
            """Return the version of the last Event."""
            for problem in problems:
                made = await plane.api.create(f"/api/v1/namespaces/{name}/events", _about(name, problem))
            return int(made["metadata"]["resourceVersion"])

        await pods.daemon.start()
        for life in range(2):
            noted = {f"life{life}-noted{n}" for n in range(5)}
            last = await tell(*noted)
            await until(lambda noted=noted: noted <= told(), "what is to be noted")  # type: ignore[misc]
            await pods.noted("chat", last)
            if life == 1:
                far.answer = Answer(503)
            late = {f"life{life}-late{n}" for n in range(5)}
            await tell(*late)
            await write(writer, 10)
            if life == 0:
                await until(lambda late=late: late <= told(), "what comes late")  # type: ignore[misc]
            pods.die()
            await plane.compact()
            far.answer = Answer()
            far.requests.clear()
            await tell(f"life{life}-meanwhile")
            await pods.daemon.start()
            wanted = {f"life{life}-meanwhile"} | (late if life == 1 else set())
            await until(lambda wanted=wanted: wanted <= told(), "what nobody was told")  # type: ignore[misc]
            assert not told() & noted
        await end_well(pods.daemon, await truth_of(plane, writer, name), repeats=len(pods.daemon.sights()))


def _about(namespace: str, problem: str) -> dict[str, Any]:
    return {
        "metadata": {"generateName": "told-"},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": problem},
        "type": "Warning", "reason": "BackOff", "message": "Back-off restarting failed container", "count": 1,
        "firstTimestamp": _now(), "lastTimestamp": _now(), "source": {"component": "kubelet"},
    }  # fmt: skip


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
