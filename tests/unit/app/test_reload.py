"""Row S25: the configuration is read again while the daemon runs. What is bad in it changes nothing."""

from __future__ import annotations

import asyncio
import json
import os
from copy import deepcopy
from pathlib import Path

import pytest

from eventer.control.report import ConfigReport
from eventer.demo.apiserver import ApiServer
from eventer.errors import DiskRefused
from eventer.event import Outcome
from eventer.journal import Journal, read_books
from tests.helpers.farside import Answer, FarSide
from tests.helpers.inprocess import Life, Site
from tests.helpers.until import until


async def reload(life: Life, site: Site, text: str | None = None) -> ConfigReport:
    """Write the configuration, or another text, and have it read."""
    site.write(text)
    async with asyncio.timeout(30):
        return await life.daemon.reload.asked()


def bodies(far: FarSide) -> list[bytes]:
    return [request.body for request in far.requests]


# -- what a reload changes ---------------------------------------------------------------------------


async def test_s25_a_sink_is_added_and_the_others_go_on_untouched(site: Site, server: ApiServer) -> None:
    async with FarSide() as far, site.running() as life:
        server.create("before")
        await site.has("before")
        await life.settled("out")
        runner = life.view.runners["out"]
        site.document["sinks"]["hook"] = {"kind": "webhook", "url": far.url}
        report = await reload(life, site)
        assert report.results == {"taken": 1, "unchanged": 0, "refused": 0}
        assert life.view.runners["out"] is runner
        assert [*life.view.runners] == ["out", "hook"]
        server.create("after")
        await until(lambda: len(bodies(far)) == 1, "the event at the new sink")
        assert b"after" in bodies(far)[0]
        assert b"before" not in bodies(far)[0]
        await site.has("before", "after")
    assert site.names() == ["before", "after"]
    assert site.balanced() == 2


async def test_s25_a_changed_sink_goes_on_where_it_stopped(site: Site, server: ApiServer) -> None:
    async with FarSide() as old, FarSide() as new:
        site.document["sinks"] = {"hook": {"kind": "webhook", "url": old.url}}
        async with site.running() as life:
            server.create("no-1")
            await until(lambda: bodies(old), "the first event")
            old.answer = Answer(503)
            server.create("no-2")
            await until(lambda: len(bodies(old)) > 1, "a refused send")
            site.document["sinks"]["hook"]["url"] = new.url
            await reload(life, site)
            server.create("no-3")
            await until(lambda: b"no-3" in b"".join(bodies(new)), "the third event")
            await life.settled("hook")
        arrived = b"".join(bodies(new))
        assert b"no-2" in arrived
        assert b"no-1" not in arrived
    assert site.balanced() == 3
    assert read_books(site.state).readers["hook"].outcomes == {Outcome.DELIVERED: 3}


async def test_s25_another_filter_holds_from_the_next_event_on(site: Site, server: ApiServer) -> None:
    async with site.running() as life:
        server.create("one", reason="Pulled")
        await site.has("one")
        stream = next(iter(life.view.streams.values()))
        site.document["filter"] = [{"drop": {"reason": "Pulled"}}]
        await reload(life, site)
        assert next(iter(life.view.streams.values())) is stream  # the watch was not touched
        server.create("two", reason="Pulled")
        server.create("three", reason="Killing")
        await site.has("three")
    assert site.names() == ["one", "three"]
    (books,) = (record for key, record in read_books(site.state).streams.items() if key.cluster)
    assert (books.received, books.filtered, books.appended) == (3, 1, 2)


async def test_s25_a_source_that_changes_loses_and_repeats_nothing(site: Site, server: ApiServer) -> None:
    async with site.running() as life:
        server.create("before")
        await site.has("before")
        site.document["sources"][0]["labels"] = {"region": "here"}
        await reload(life, site)
        server.create("after")
        await site.has("after")
        await life.watching()
        assert len(life.view.streams) == 1
    assert [(record["event"], record.get("labels")) for record in site.records()] == [
        ("default/before", None),
        ("default/after", {"region": "here"}),
    ]
    assert site.balanced() == 2
    await until(lambda: server.watching == 0, "its connections to be closed")


async def test_s25_a_sink_without_debts_is_removed(site: Site, server: ApiServer) -> None:
    async with FarSide() as far:
        site.document["sinks"]["hook"] = {"kind": "webhook", "url": far.url}
        async with site.running() as life:
            server.create("one")
            await site.has("one")
            del site.document["sinks"]["hook"]
            assert (await reload(life, site)).faults == []
            assert len(bodies(far)) == 1
            assert [*life.view.runners] == ["out"]
            server.create("two")
            await site.has("two")
    assert {*read_books(site.state).readers} == {"out"}
    assert site.balanced() == 2


async def test_s25_a_dead_sink_is_removed_only_where_that_is_allowed(site: Site, server: ApiServer) -> None:
    site.add_dead_sink("dead")
    async with site.running() as life:
        server.create("one")
        await site.has("one")
        runner = life.view.runners["dead"]
        del site.document["sinks"]["dead"]
        report = await reload(life, site)
        assert [fault.path for fault in report.faults] == ["sinks.dead"]
        assert "1 events wait" in report.faults[0].message
        assert life.view.runners["dead"] is runner
        site.document["state"]["discard"] = ["dead"]
        report = await reload(life, site)
        assert report.results == {"taken": 1, "unchanged": 0, "refused": 1}
        assert [*life.view.runners] == ["out"]
    assert {*read_books(site.state).readers} == {"out"}


async def test_s25_what_cannot_change_while_it_runs_is_named_and_the_rest_is_taken(
    site: Site, server: ApiServer
) -> None:
    async with site.running() as life:
        site.document["server"]["listen"] = "127.0.0.1:1"
        site.document["filter"] = [{"drop": {"reason": "Pulled"}}]
        report = await reload(life, site)
        assert report.waiting == ["server.listen"]
        server.create("one", reason="Pulled")
        server.create("two", reason="Killing")
        await site.has("two")
        assert (await life.get("/livez"))[0] == 200
        _, text = await life.get("/metrics")
        assert "eventer_config_waiting_options 1.0" in text
    assert site.names() == ["two"]


# -- what is bad ---------------------------------------------------------------------------------------

BAD = {
    "yaml": "sources: [",
    "empty": "",
    "unknown key": "sources: [{}]\nsinks: {out: {kind: stdout}}\nfilters: []\n",
    "unknown kind": "sources: [{}]\nsinks: {out: {kind: nope}}\n",
    "template": "sources: [{}]\nsinks: {out: {kind: webhook, url: 'http://127.0.0.1:1/', template: '{{ event.'}}\n",
    "no secret": "sources: [{}]\nsinks: {out: {kind: webhook, url: 'http://127.0.0.1:1/', auth: {bearer_file: none}}}\n",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
async def test_s25_a_bad_file_changes_nothing_and_is_said(site: Site, server: ApiServer, text: str) -> None:
    async with site.running() as life:
        server.create("before")
        await site.has("before")
        parts = (life.view.runners["out"], [*life.view.streams.values()])
        report = await reload(life, site, text)
        assert report.faults
        assert all(fault.message and fault.remedy for fault in report.faults)
        assert report.refused is not None
        assert (life.view.runners["out"], [*life.view.streams.values()]) == parts
        _, metrics = await life.get("/metrics")
        assert "eventer_config_last_reload_successful 0.0" in metrics
        assert 'eventer_config_reloads_total{result="refused"} 1.0' in metrics
        server.create("after")
        await site.has("after")
        report = await reload(life, site)
        assert (report.refused, report.faults) == (None, [])
        assert report.results["unchanged"] == 1
    assert site.names() == ["before", "after"]
    assert site.balanced() == 2


async def test_s25_a_cluster_that_cannot_be_asked_changes_nothing(
    site: Site, server: ApiServer, tmp_path: Path
) -> None:
    """No kubeconfig is there: neither that source nor the sink that comes with it is taken."""
    async with site.running() as life:
        good = site.document
        site.document = deepcopy(good)
        site.document["sources"].append({"cluster": "other", "kubernetes": {"kubeconfig": str(tmp_path / "none")}})
        site.document["sinks"]["second"] = {"kind": "stdout"}
        (fault,) = (await reload(life, site)).faults
        assert fault.path == "sources[1].kubernetes"
        assert str(tmp_path / "none") in fault.message
        assert fault.remedy
        assert [*life.view.runners] == ["out"]
        server.create("one")
        await site.has("one")
        site.document = good
        assert (await reload(life, site)).faults == []
    assert site.balanced() == 1


async def test_s25_a_file_that_is_gone_changes_nothing(site: Site, server: ApiServer) -> None:
    async with site.running() as life:
        site.file.unlink()
        async with asyncio.timeout(30):
            report = await life.daemon.reload.asked()
        assert "no such file" in report.faults[0].message
        server.create("after")
        await site.has("after")


# -- when it is read -------------------------------------------------------------------------------------


async def test_s25_a_changed_file_is_read_without_a_word(
    site: Site, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventer.app.reload.LOOK_EVERY", 0.01)
    async with site.running() as life:
        report = life.daemon.reload.report
        site.document["filter"] = [{"drop": {"reason": "Pulled"}}]
        site.write()
        await until(lambda: report.results["taken"] == 1, "the change to be taken")
        site.write("sinks: [")
        await until(lambda: report.results["refused"] == 1, "the bad file to be refused")
        await asyncio.sleep(0.1)
        assert report.results["refused"] == 1  # once, not at each look
        site.write()
        await until(lambda: report.refused is None, "the good file")


async def test_s25_a_secret_in_a_file_needs_no_reload(site: Site, server: ApiServer, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("first")
    async with FarSide() as far:
        site.document["sinks"]["hook"] = {"kind": "webhook", "url": far.url, "auth": {"bearer_file": str(secret)}}
        async with site.running() as life:
            runner = life.view.runners["hook"]
            server.create("one")
            await until(lambda: len(bodies(far)) == 1, "the first event")
            secret.write_text("second")
            report = await reload(life, site)
            assert report.results["unchanged"] == 1
            server.create("two")
            await until(lambda: len(bodies(far)) == 2, "the second event")
            assert life.view.runners["hook"] is runner
        assert [request.headers["authorization"] for request in far.requests] == ["Bearer first", "Bearer second"]


# -- bad days --------------------------------------------------------------------------------------------


async def test_s25_while_the_cluster_is_down(site: Site, server: ApiServer) -> None:
    async with FarSide() as far, site.running() as life:
        server.create("before")
        await site.has("before")
        await life.settled("out")
        await server.stop()
        await until(lambda: not any(s.status.connected for s in life.view.streams.values()), "the outage")
        site.document["sinks"]["hook"] = {"kind": "webhook", "url": far.url}
        site.document["sources"][0]["labels"] = {"region": "here"}
        assert (await reload(life, site)).faults == []
        await server.start(server.port)
        server.create("after")
        await site.has("after")
        await until(lambda: b"after" in b"".join(bodies(far)), "the event at the new sink")
    assert site.names() == ["before", "after"]
    assert site.balanced() == 2


async def test_s25_a_disk_that_refuses_delays_it(
    site: Site, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FarSide() as far, site.running() as life:
        real = Journal.settle
        refused = []

        def settle(self, name, *args, **options):
            if name == "hook" and len(refused) < 3:
                refused.append(name)
                raise DiskRefused("The disk is full.")
            return real(self, name, *args, **options)

        monkeypatch.setattr(Journal, "settle", settle)
        site.document["sinks"]["hook"] = {"kind": "webhook", "url": far.url}
        assert (await reload(life, site)).results["taken"] == 1
        assert len(refused) == 3
        server.create("one")
        await until(lambda: bodies(far), "the event")
    assert site.balanced() == 1


async def test_s25_a_hundred_times_under_load(site: Site, server: ApiServer) -> None:
    """Every reload replaces one sink, adds or removes another, and changes filter and source in turn."""
    async with FarSide() as far:
        site.document["sinks"]["hook"] = {"kind": "webhook", "url": far.url}
        async with site.running() as life:
            tasks = descriptors = 0
            for turn in range(100):
                for number in range(5):
                    server.create(f"{turn}-{number}")
                site.document["sinks"]["hook"]["timeout"] = f"{10 + turn % 3}s"
                site.document["filter"] = [{"drop": {"reason": f"Never{turn % 5}"}}]
                site.document["sources"][0]["labels"] = {"turn": str(turn // 10)}
                if turn % 2:
                    site.document["sinks"].pop("extra", None)
                    site.document["state"]["discard"] = ["extra"]
                else:
                    site.document["sinks"]["extra"] = {"kind": "webhook", "url": far.url + "/extra"}
                    site.document["state"].pop("discard", None)
                report = await reload(life, site)
                assert report.faults == []
                if turn == 9:
                    tasks, descriptors = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
            assert report.results["taken"] == 100
            expected = [f"{turn}-{number}" for turn in range(100) for number in range(5)]
            await site.has(*expected)
            await life.watching()
            await life.settled("out", "hook")
            await until(lambda: len(asyncio.all_tasks()) <= tasks + 3, "no task to be left")
            await until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors + 5, "no descriptor to be left")
    assert sorted(site.names()) == sorted(expected)  # each once
    assert site.balanced() == 500
    readers = read_books(site.state).readers
    assert readers["hook"].outcomes == {Outcome.DELIVERED: 500}


async def test_s25_a_secrets_file_that_went_away_with_its_option(site: Site, server: ApiServer, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("first")
    async with FarSide() as far:
        site.document["sinks"]["hook"] = {"kind": "webhook", "url": far.url, "auth": {"bearer_file": str(secret)}}
        async with site.running() as life:
            other = tmp_path / "other"
            secret.rename(other)
            site.document["sinks"]["hook"]["auth"] = {"bearer_file": str(other)}
            assert (await reload(life, site)).results["taken"] == 1
            server.create("one")
            await until(lambda: far.requests, "the event")
            assert far.requests[0].headers["authorization"] == "Bearer first"


async def test_s25_a_sink_that_cannot_be_made_changes_nothing(
    site: Site, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site.running() as life:

        def broken(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr("sinks.webhook.Sink", broken)
        site.document["sinks"]["hook"] = {"kind": "webhook", "url": "http://127.0.0.1:9/"}
        site.document["lookups"] = {"timeout": "1s"}
        looking_up = life.daemon._sinks._enrichment.settings
        (fault,) = (await reload(life, site)).faults
        assert "ZeroDivisionError" in fault.message
        assert [*life.view.runners] == ["out"]
        assert life.daemon._sinks._enrichment.settings is looking_up
        server.create("one")
        await site.has("one")


async def test_s25_a_config_map_is_changed_by_another_link(
    site: Site, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the kubelet does it: the file is a link into `..data`, which is a link to a directory with a date."""
    monkeypatch.setattr("eventer.app.reload.LOOK_EVERY", 0.01)
    mount = site.file.parent

    def publish(version: str) -> None:
        (mount / version).mkdir()
        (mount / version / "eventer.yaml").write_text(json.dumps(site.document))
        (mount / "..new").symlink_to(version)
        (mount / "..new").replace(mount / "..data")

    publish("..2026_11_20")
    site.file.symlink_to("..data/eventer.yaml")
    monkeypatch.setattr(Site, "write", lambda *_: None)
    async with site.running() as life:
        site.document["filter"] = [{"drop": {"reason": "Pulled"}}]
        publish("..2026_11_21")
        await until(lambda: life.daemon.reload.report.results["taken"] == 1, "the change to be taken")
