"""A mirror that cannot be had, that two write, and a journal in memory: told in words, and nothing is lost for it."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from typing import Any

import pytest

from eventer.demo.apiserver import ApiServer, status_body
from eventer.demo.faults import Fault
from eventer.journal import files
from eventer.mirror.mirror import WAIT, YIELD
from tests.helpers.inprocess import Life, Site, StillClock
from tests.helpers.pods import NAME, die, exported, kept, note, position, said
from tests.helpers.until import until

# -- a mirror that cannot be had -------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00", '{"format": 9}', "null", '{"streams": 5}'])
async def test_garbage_costs_repeats_and_nothing_else(
    site: Site, server: ApiServer, logged: list[Any], text: str
) -> None:
    """What the cluster holds is exported, whatever `start` says: it may never have been."""
    site.document["sources"][0]["kubernetes"]["start"] = "now"
    server.configmaps.create(NAME, data={"positions.json": text, "other": "stays"})
    server.create("before")
    async with site.running(StillClock()) as life:
        await site.has("before")
        await life.settled("out")
        await note(life)
        assert position(server, "out") == server.store.version
    assert said(logged, "mirror of no use, everything is exported again")
    assert server.configmaps.data(NAME)["other"] == "stays"


async def test_no_mirror_yet_is_a_first_start(site: Site, server: ApiServer) -> None:
    site.document["sources"][0]["kubernetes"]["start"] = "now"
    server.create("before")
    async with site.running(StillClock()):
        server.create("after")
        await site.has("after")
    assert site.names() == ["after"]


async def test_without_the_configmap_it_says_how_to_make_it_and_goes_on(
    site: Site, server: ApiServer, logged: list[Any]
) -> None:
    server.configmaps.delete(NAME)
    async with site.running(StillClock()) as life:
        await exported(site, server, life, "one")
        await note(life)
        status = life.view.mirror
        assert status is not None
        assert status.failures >= 2
        assert "kubectl -n default create configmap eventer" in status.error
        server.configmaps.create(NAME)
        life.view.clock.advance(60)  # type: ignore[attr-defined]
        await until(lambda: not status.error, "the mirror to be written")
        assert position(server, "out") == server.store.version
    assert len(said(logged, "mirror is not written")) == 1, "told once"
    assert said(logged, "mirror is written again")


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_a_start_waits_for_the_mirror_and_then_exports_everything(
    site: Site, server: ApiServer, logged: list[Any], status: int
) -> None:
    site.document["sources"][0]["kubernetes"]["start"] = "now"
    server.create("before")
    body = status_body(status, "Refused", "configmaps is refused")
    server.faults.add("configmap", Fault(status=status, body=body), times=None)
    clock = StillClock()
    life = Life(site, clock)
    try:
        await until(lambda: said(logged, "mirror cannot be read, the start waits"), "a try")
        assert "watch" not in {request.kind for request in server.requests}
        clock.advance(WAIT)
        await site.has("before")
        await life.listening()
        # Killed now, it must not take what it has not listed for the past.
        life.task.cancel()
        await asyncio.gather(life.task, return_exceptions=True)
        server.create("meanwhile")
        async with site.running(clock):
            await site.has("meanwhile")
    finally:
        life.task.cancel()
        await asyncio.gather(life.task, return_exceptions=True)
    if status == 403:
        assert said(logged, "Grant the verbs get and patch on the ConfigMap default/eventer")


async def test_a_start_goes_on_as_soon_as_the_mirror_answers(site: Site, server: ApiServer) -> None:
    async with site.running(StillClock()) as life:
        await exported(site, server, life, "one")
        await die(site, life)
    server.faults.add("configmap", Fault(status=503, body=status_body(503, "Busy", "later")), times=5)
    async with site.running(StillClock()):
        server.create("two")
        await site.has("two")
    assert site.names() == ["one", "two"]


async def test_a_start_that_waits_can_be_stopped_and_has_read_nothing(site: Site, server: ApiServer) -> None:
    server.faults.add("configmap", Fault(status=503, body=status_body(503, "Busy", "later")), times=None)
    life = Life(site, StillClock())
    await until(lambda: [request for request in server.requests if request.kind == "configmap"], "a try")
    life.daemon.stop()
    await life.task
    assert {request.kind for request in server.requests} == {"configmap"}
    assert site.balanced() == 0


async def test_it_is_seen_in_metrics_and_health(site: Site, server: ApiServer) -> None:
    clock = StillClock()
    async with site.running(clock) as life:
        await exported(site, server, life, "one")
        _, page = await life.get("/metrics")
        assert "eventer_mirror_writes_total 1.0" in page
        assert "eventer_mirror_failures_total 0.0" in page
        assert "eventer_mirror_age_seconds 0.0" in page
        server.configmaps.delete(NAME)
        await exported(site, server, life, "two")
        clock.advance(5)
        _, page = await life.get("/metrics")
        assert "eventer_mirror_failures_total 1.0" in page
        assert "eventer_mirror_conflicts_total 0.0" in page
        assert "eventer_mirror_age_seconds 0.0" not in page
        health = json.loads((await life.get("/healthz"))[1])
        assert health["status"] == "degraded"
        assert "create configmap" in health["mirror"]["error"]
        assert (await life.get("/readyz"))[0] == 200


# -- a journal in memory -----------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "told"), [("16MiB", False), ("1000000GiB", True)])
async def test_a_start_says_what_memory_does_not_promise(
    site: Site, server: ApiServer, logged: list[Any], monkeypatch: pytest.MonkeyPatch, size: str, told: bool
) -> None:
    monkeypatch.setattr("eventer.config.place.SHARED", str(site.state.parent))
    site.document["state"] = {"path": "memory", "max_size": size}
    async with site.running(StillClock()):
        server.create("one")
        await site.has("one")
    (line,) = [line for line in logged if line["event"] == "the journal is in memory"]
    assert "what waits for sinks is lost" in line["promise"]
    found = [line for line in logged if line["event"] == "state.max_size is more than there is room for"]
    assert bool(found) == told
    assert all(line["fits"] < line["max_size"] for line in found)


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="there is no file system in memory here")
async def test_any_directory_in_memory_is_told_and_a_disk_is_not(
    site: Site, server: ApiServer, logged: list[Any]
) -> None:
    async with site.running(StillClock()):
        pass
    assert bool(said(logged, "the journal is in memory")) == files.in_memory(site.state)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as shared:
        site.document["state"]["path"] = f"{shared}/state"
        async with site.running(StillClock()):
            pass
    assert said(logged, "the journal is in memory", "dead letters are lost")


# -- two daemons -----------------------------------------------------------------------------------


async def test_two_daemons_on_one_mirror_are_told_and_do_not_fight(
    site: Site, server: ApiServer, logged: list[Any]
) -> None:
    clock = StillClock()
    async with site.running(clock) as life:
        status = life.view.mirror
        assert status is not None
        await exported(site, server, life, "one")
        other = json.dumps(kept(server) | {"instance": "another"})
        server.configmaps.create(NAME, data={"positions.json": other})
        server.create("two")
        await site.has("two")
        await life.settled("out")
        for _ in range(5):
            await note(life)
            assert server.configmaps.data(NAME)["positions.json"] == other, "it is left alone"
        assert status.conflicts == 1
        assert said(logged, "Another Eventer writes the mirror default/eventer as well", "Stop one of them")
        assert not said(logged, "Traceback")
        # The other one goes away.
        clock.advance(YIELD)
        await until(lambda: not status.error, "the mirror to be taken over")
        assert position(server, "out") == server.store.version
        assert kept(server)["instance"] != "another"


async def test_an_answer_that_was_lost_is_no_other_daemon(site: Site, server: ApiServer) -> None:
    async with site.running(StillClock()) as life:
        status = life.view.mirror
        assert status is not None
        await exported(site, server, life, "one")
        text = server.configmaps.data(NAME)["positions.json"]
        server.configmaps.create(NAME, data={"positions.json": text, "by": "hand"})  # the same text, another version
        await exported(site, server, life, "two")
        assert (status.conflicts, status.error) == (0, "")
        assert position(server, "out") == server.store.version
        assert server.configmaps.data(NAME)["by"] == "hand"
