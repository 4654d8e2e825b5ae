"""Rows about size: very many Events that exist already, and very many at once. Memory is bounded, nothing is lost."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest_asyncio

from eventer.demo.apiserver import ApiServer
from tests.helpers.daemon import Daemon
from tests.helpers.process import until
from tests.helpers.proxy import Mode, Proxy
from tests.helpers.writer import Truth, read_truth
from tests.real.conftest import MakeDaemon, MakePlane
from tests.real.rows import end_well, scale, settled, source

MICRO = "%Y-%m-%dT%H:%M:%S.%fZ"
MEMORY = 256 << 20
"""Bytes that a daemon may have had resident at most, whatever the cluster holds."""


def event(number: int, namespace: str, *, age: timedelta) -> dict[str, Any]:
    """An Event of the usual size: 900 bytes as JSON, half of it managedFields that nobody reads."""
    stamp = (datetime.now(UTC) - age).strftime("%Y-%m-%dT%H:%M:%SZ")
    fields = {"f:count": {}, "f:firstTimestamp": {}, "f:involvedObject": {}, "f:lastTimestamp": {}, "f:message": {}}
    managed = [{"manager": "kubelet", "operation": "Update", "apiVersion": "v1", "time": stamp, "fieldsV1": fields}]
    return {
        "metadata": {
            "name": f"planted-{number:06d}",
            "namespace": namespace,
            "uid": str(uuid.UUID(int=number + 1)),
            "creationTimestamp": stamp,
            "managedFields": managed,
        },
        "involvedObject": {"kind": "Pod", "namespace": namespace, "name": f"web-{number % 500}", "apiVersion": "v1"},
        "reason": "BackOff",
        "message": f"Back-off restarting failed container web in pod web-{number % 500} ({number})",
        "source": {"component": "kubelet", "host": f"node-{number % 20}"},
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1 + number % 3,
        "type": "Warning",
    }


def truth_of(events: list[dict[str, Any]]) -> dict[str, Truth]:
    """What of planted Events the daemon must show: each of them, at whatever version."""
    items = (item["metadata"] | {"resourceVersion": "0"} for item in events)
    return {item["uid"]: read_truth({"metadata": item}) for item in items}


async def test_w34_very_many_exist_at_the_first_start(planes: MakePlane, daemons: MakeDaemon) -> None:
    """W34. 50,000 at the first start, with each policy; then twice as many in a list that knows half of them."""
    plane = await planes()
    await plane.namespace("many")  # in `default` the API server itself may write some
    old = [event(number, "many", age=timedelta(hours=2)) for number in range(25_000)]
    young = [event(number, "many", age=timedelta(minutes=5)) for number in range(25_000, 50_000)]
    later = [event(number, "many", age=timedelta(minutes=1)) for number in range(50_000, 100_000)]
    await plane.plant(old + young)
    for start, expected in (("now", []), ("1h", young), ("all", old + young)):
        daemon = daemons(sources=[source(plane, namespaces=["many"], start=start)])
        await daemon.start(timeout=120)
        await settled(truth_of(expected), daemon.sights, timeout=120)
        books = await daemon.books()
        assert books.intake_total("received") == 50_000
        assert books.intake_total("appended") == len(expected)
        assert books.intake_total("seen") == 50_000 - len(expected)
        _measured(daemon, f"first start, {start}")
        assert await daemon.term() == 0
        assert daemon.journal().faults() == []
    await plane.plant(later)
    await plane.compact()
    await daemon.start(timeout=120)
    await settled(truth_of(later), daemon.sights, timeout=120)
    _measured(daemon, "list of 100,000, half of them known")
    await end_well(daemon, truth_of(old + young + later))
    assert len(daemon.sights()) == 100_000


def _measured(daemon: Daemon, what: str) -> None:
    peak = daemon.peak()
    print(f"{what}: {peak / (1 << 20):.0f} MiB at most")
    assert peak < MEMORY, what


@pytest_asyncio.fixture(loop_scope="session")
async def fake() -> AsyncIterator[ApiServer]:
    server = ApiServer()
    await server.start()
    yield server
    await server.stop()


async def test_w35_flood(fake: ApiServer, daemons: MakeDaemon, tmp_path: Path) -> None:
    """W35. 2,000 changes a second, for 10 s in place of 60; the fake server, for no real one takes so many.

    In the middle the connection hangs for some seconds, so that the lag shows.
    """
    rate, seconds = 2000, scale(10, 60)

    def write() -> None:
        made = fake.create(firstTimestamp=None, lastTimestamp=None, eventTime=datetime.now(UTC).strftime(MICRO))
        fake.patch(made["metadata"]["name"], count=2)

    async def flood(changes: int) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for done in range(0, changes, 20):
            for _ in range(10):
                write()
            await asyncio.sleep(max(0.0, began + done / rate - loop.time()))

    async def lag() -> float:
        return await daemon.metric("eventer_watch_lag_seconds")

    async with Proxy(fake.port) as proxy:
        direct, fake.port = fake.port, proxy.port
        kubeconfig = fake.write_kubeconfig(tmp_path / "kubeconfig")
        fake.port = direct
        settings = {"kubeconfig": str(kubeconfig), "nodes": False}  # the position below is that of Events
        daemon = daemons(sources=[{"cluster": "flood", "kubernetes": settings}])
        await daemon.start()
        write()
        await flood(rate * seconds // 2)
        proxy.mode = Mode.FREEZE
        await flood(rate * seconds // 2)
        await asyncio.sleep(3)  # the last one written is that old then; dates of answers are whole seconds
        proxy.mode = Mode.PASS

        async def caught_up() -> bool:
            return await daemon.metric("eventer_watch_position") == fake.store.version

        await until(caught_up, "the daemon to catch up", timeout=120)
        assert await lag() >= 2.0
        _measured(daemon, f"{len(fake.store.history)} changes")

        async def prompt() -> bool:
            write()
            return await lag() < 1.0

        await until(prompt, "the lag to fall", every=0.2)
        truth = {item["metadata"]["uid"]: read_truth(item) for item in fake.store.objects.values()}
        verdict = await end_well(daemon, truth, exact=True)
        assert verdict.records == len(fake.store.history), "each change, not only the last states"
