"""A whole daemon that looks up, over HTTP: what a sink gets, what the others get, and what a restart and a reload change."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.inprocess import Site
from tests.helpers.objects import ObjectServer
from tests.helpers.until import until


@pytest.fixture
async def server() -> AsyncIterator[ObjectServer]:
    server = ObjectServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def site(tmp_path: Path, server: ObjectServer) -> Site:
    site = Site(tmp_path, server)
    site.document["sources"][0]["kubernetes"]["nodes"] = False
    site.document["sinks"] = {
        "out": {"kind": "file", "path": str(site.out), "enrich": ["pod", "owner", "namespace"]},
        "plain": {"kind": "file", "path": str(tmp_path / "plain.jsonl")},
    }
    site.document["lookups"] = {"timeout": "200ms"}
    return site


def pod(server: ObjectServer, name: str) -> dict[str, Any]:
    objects = server.objects
    objects.add("Namespace", "shop", labels={"team": "shop"})
    deployment = objects.add("Deployment", "web", api="apps/v1")
    replicas = objects.add("ReplicaSet", "web-1", api="apps/v1", owner=deployment)
    made = objects.add("Pod", name, owner=replicas, node="n1", labels={"app": "web"})
    return {"kind": "Pod", "namespace": "shop", "name": name, "uid": made["metadata"]["uid"], "apiVersion": "v1"}


async def test_one_sink_gets_more_and_the_other_the_lines_as_they_are(server: ObjectServer, site: Site) -> None:
    about = pod(server, "web-1-x")
    async with site.running() as life:
        for number in range(20):
            server.create(f"e{number}", namespace="shop", involvedObject=about)
        await until(lambda: len(site.records()) == 20, "20 events")
        await life.settled("out", "plain")
        _, metrics = await life.get("/metrics")
        assert 'eventer_enriched_events_total{result="ok",sink="out"} ' in metrics
    for record in site.records():
        assert record["about"]["enriched"] == "ok"
        assert record["about"]["owner"]["name"] == "web"
        assert record["about"]["namespace"] == {"labels": {"team": "shop"}}
        assert record["about"]["pod"] == {"node": "n1", "phase": "Running", "labels": {"app": "web"}}
    plain = site.out.with_name("plain.jsonl").read_text()
    assert plain.count("\n") == 20 and '"about"' not in plain
    assert len(server.objects.gets("/pods/")) == 1
    site.balanced()


async def test_what_is_never_answered_goes_out_late(server: ObjectServer, site: Site) -> None:
    about = pod(server, "web-1-x")
    server.objects.slow.append((re.compile("/pods/"), 3600.0))
    async with site.running() as life:
        server.create("e1", namespace="shop", involvedObject=about)
        await site.has("shop/e1")
        await life.settled("out", "plain")
    (record,) = site.records()
    assert record["about"]["enriched"] == "late"
    assert sorted(record["about"]["unknown"]) == ["owner", "pod"]
    assert record["about"]["namespace"] == {"labels": {"team": "shop"}}
    site.balanced()


async def test_the_last_words_of_a_long_log_go_with_the_event(server: ObjectServer, site: Site) -> None:
    about = pod(server, "web-1-x")
    server.objects.logs["/api/v1/namespaces/shop/pods/web-1-x/log"] = (
        b"x" * 15_000 + b"\n"
    ) * 30 + b"panic: no memory\n"
    site.document["sinks"]["out"]["enrich"] = ["logs"]
    site.document["lookups"] = {"timeout": "10s"}
    async with site.running() as life:
        server.create("e", namespace="shop", involvedObject=about, reason="BackOff")
        await until(site.records, "the event")
        await life.settled("out", "plain")
    (record,) = site.records()
    assert record["about"]["enriched"] == "ok"
    assert record["about"]["log"].endswith("\npanic: no memory") and len(record["about"]["log"]) <= 2048
    site.balanced()


async def test_a_reload_begins_and_ends_look_ups(server: ObjectServer, site: Site) -> None:
    about = pod(server, "web-1-x")
    async with site.running() as life:
        server.create("e1", namespace="shop", involvedObject=about)
        await site.has("shop/e1")
        for wants in ([], ["owner"]):
            site.document["sinks"]["out"]["enrich"] = wants
            site.write()
            before = life.daemon.reload.report.results["taken"]
            life.daemon.reload.ask()
            await until(lambda before=before: life.daemon.reload.report.results["taken"] > before, "the reload")
            name = f"e-{len(wants)}"
            server.create(name, namespace="shop", involvedObject=about)
            await site.has(f"shop/{name}")
    records = site.records()
    assert "pod" in records[0]["about"]
    assert "about" not in records[1]
    assert set(records[2]["about"]) == {"enriched", "owner"}
    site.balanced()


async def test_events_that_wait_are_looked_up_when_they_are_sent(server: ObjectServer, site: Site) -> None:
    about = pod(server, "web-1-x")
    site.out.mkdir()
    async with site.running() as life:
        server.create("e1", namespace="shop", involvedObject=about)
        await life.settled("plain")
        assert not server.objects.gets("/pods/")
    site.out.rmdir()
    async with site.running():
        await site.has("shop/e1")
        await asyncio.sleep(0)
    assert site.records()[0]["about"]["owner"]["kind"] == "Deployment"
    site.balanced()
