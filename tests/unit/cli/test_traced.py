"""`eventer explain --uid`: what became of an event, asked of the daemon that has it."""

from __future__ import annotations

import asyncio
import json

import pytest

from eventer.cli import main
from eventer.clock import SystemClock
from eventer.demo.apiserver import ApiServer
from tests.helpers.farside import Answer, FarSide
from tests.helpers.inprocess import Site
from tests.helpers.until import until

pytestmark = pytest.mark.usefixtures("quiet")


async def explain(site: Site, *words: str) -> int:
    return await asyncio.to_thread(main, ["explain", "-c", str(site.file), *words])


async def test_each_sink_says_what_became_of_it(
    site: Site, server: ApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    async with FarSide() as far:
        far.answer = Answer(400, b"no such field")
        site.add_dead_sink("dead")
        site.document["sinks"]["picky"] = {"kind": "webhook", "url": far.url}
        site.document["sinks"]["other"] = {
            "kind": "file",
            "path": str(site.state.parent / "o"),
            "match": [{"reason": "X"}],
        }
        # The fake API server has no such object, but the Event names one without a uid: it may be wanted.
        site.document["sinks"]["asks"] = {
            "kind": "file",
            "path": str(site.state.parent / "a"),
            "enrich": ["owner"],
            "match": [{"owner": "Deployment/web"}],
        }
        async with site.running() as life:
            uid = server.create("one")["metadata"]["uid"]
            server.create("two")
            await until(lambda: life.journal.readers["picky"].cursor == 2, "the dead letters")
            await life.settled("out", "other", "asks")
            assert await explain(site, "--uid", uid) == 0
            text = capsys.readouterr().out
            assert await explain(site, "--uid", uid, "--output", "json") == 0
            (found,) = json.loads(capsys.readouterr().out)["events"]
    assert text.count("what became of it") == 1
    assert "sink picky: gets it" in text
    end = text.partition("what became of it")[2]
    assert "out: sent" in end
    assert "other: passed over: not wanted" in end
    assert "asks: sent, or replaced by a newer update (repeats), or not wanted by what was looked up" in end
    assert "dead: waits for its turn" in end
    assert "picky: a dead letter: refused_data. no such field" in end
    assert found["sinks_now"]["dead"] == "waits"
    assert found["sinks_now"]["out"] == "passed"


async def test_what_a_problem_keeps_quiet_is_told_by_number(
    site: Site, server: ApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    async with FarSide() as far:
        site.document["sinks"]["chat"] = {"kind": "webhook", "url": far.url, "group": {}}
        async with site.running(SystemClock()) as life:  # by a faster one the Events would be old
            about = {"kind": "Node", "name": "n1", "uid": "n1"}
            source = {"component": "node-controller"}
            server.create("down", involvedObject=about, reason="NodeNotReady", type="Normal", source=source)
            for name in ("web-0", "web-1"):
                about = {"kind": "Pod", "namespace": "shop", "name": name, "uid": name}
                source = {"component": "kubelet", "host": "n1"}
                server.create(name, involvedObject=about, reason="BackOff", type="Warning", source=source)
            await until(lambda: life.journal.alerting.readers["chat"].cursor == 3, "alerting")
            assert await explain(site, "--uid", "n1") == 0
            text = capsys.readouterr().out
            assert await explain(site, "--uid", "n1", "--output", "json") == 0
            (node,) = json.loads(capsys.readouterr().out)["events"]
            assert await explain(site, "--uid", "web-0", "--output", "json") == 0
            (pod,) = json.loads(capsys.readouterr().out)["events"]
    said = "kept quiet: 2 problems of 2 pods, which follow from this"
    assert f"  chat: sent, or replaced by a newer update (repeats)\n    {said}" in text
    assert (node["quieted_now"], pod["quieted_now"]) == ({"chat": said}, {})


async def test_every_occurrence_of_an_object_is_found_in_order(
    site: Site, server: ApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    site.add_dead_sink("dead")
    subject = {"kind": "Pod", "namespace": "default", "name": "web-0", "uid": "pod-uid"}
    async with site.running() as life:
        server.create("one", involvedObject=subject, message="number 1")
        server.create("two", involvedObject=subject, message="number 2")
        server.create("three", message="number 3")
        server.patch("one", count=2, message="number 4")
        await until(lambda: life.journal.head == 4, "all of them")
        assert await explain(site, "--uid", "pod-uid", "--output", "json") == 0
        found = json.loads(capsys.readouterr().out)["events"]
    assert [each["event"]["message"] for each in found] == ["number 1", "number 2", "number 4"]


async def test_what_is_not_there_is_said(site: Site, server: ApiServer, capsys: pytest.CaptureFixture[str]) -> None:
    async with site.running():
        assert await explain(site, "--uid", "nobody") == 1
        assert "holds no event of nobody any more" in capsys.readouterr().err
    assert await explain(site, "--uid", "nobody") == 1
    assert "No daemon runs on" in capsys.readouterr().err
    assert await explain(site, "--uid", "nobody", "--sample", "reason=x") == 2
