"""A pod without a volume: the next one goes on by the mirror. Whole daemons, against the fake API server.

A pod's end is a cancelled task and a state directory that is gone: nothing was settled or written in order.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter
from pathlib import Path

from eventer.demo.apiserver import ApiServer
from eventer.event import Outcome
from eventer.mirror.mirror import EVERY
from tests.helpers.inprocess import Site, StillClock
from tests.helpers.pods import NAME, die, exported, kept, names, note, position, revive
from tests.helpers.until import until


async def test_only_what_came_after_the_last_note_is_repeated(site: Site, server: ApiServer) -> None:
    async with site.running(StillClock()) as life:
        await exported(site, server, life, *(f"noted-{n}" for n in range(3)))
        server.create("later")
        await site.has("later")
        await life.settled("out")
        await die(site, life)
    site.out.unlink()
    server.create("meanwhile")
    server.requests.clear()
    async with site.running(StillClock()) as life:
        await site.has("later", "meanwhile")
        await life.settled("out")
    assert site.names() == ["later", "meanwhile"]
    assert "list" not in {request.kind for request in server.requests}
    assert site.balanced() == 2


async def test_a_stop_in_order_repeats_nothing(site: Site, server: ApiServer) -> None:
    async with site.running(StillClock()) as life:
        server.create("one")
        await site.has("one")
        await life.settled("out")
    shutil.rmtree(site.state)
    server.create("two")
    async with site.running(StillClock()) as life:
        await site.has("two")
    assert site.names() == ["one", "two"]


async def test_it_is_written_only_when_something_changed_and_never_sooner_than_promised(
    site: Site, server: ApiServer
) -> None:
    clock = StillClock()
    async with site.running(clock) as life:
        await exported(site, server, life, "one")
        written = len(server.configmaps.patches)
        for _ in range(3):
            await note(life)
        assert len(server.configmaps.patches) == written
        server.create("two")
        await site.has("two")
        clock.advance(EVERY * 0.9)
        await asyncio.sleep(0.05)
        assert len(server.configmaps.patches) == written
    assert len(server.configmaps.patches) == written + 1


async def test_each_sink_goes_on_where_it_was(site: Site, server: ApiServer) -> None:
    site.add_dead_sink("slow")
    async with site.running(StillClock()) as life:
        await exported(site, server, life, "one")
        assert position(server, "slow") == server.store.version - 1
        assert position(server, "out") == server.store.version
        await die(site, life)
    revive(site, "slow")
    server.create("two")
    async with site.running(StillClock()) as life:
        await life.settled("out", "slow")
        await until(lambda: names(site, "slow") == ["one", "two"], "all for the sink that had nothing")
        await until(lambda: site.names() == ["one", "two"], "only what is new for the other")
        await life.settled("out", "slow")
        assert life.journal.readers["out"].outcomes[Outcome.DUPLICATE] == 1
        assert Outcome.DUPLICATE not in life.journal.readers["slow"].outcomes
        assert life.journal.readers["out"].resumed is not None
        server.create("three")
        await site.has("one", "two", "three")
        await life.settled("out", "slow")
        assert life.journal.readers["out"].resumed is None, "it is over, and costs nothing any more"
    site.balanced()


async def test_what_was_settled_is_known_across_a_kill_in_the_middle_of_it(site: Site, server: ApiServer) -> None:
    """The journal is there then, half read: it knows itself what must not be sent again."""
    site.add_dead_sink("slow")
    async with site.running(StillClock()) as life:
        await exported(site, server, life, *(f"number-{n}" for n in range(3)))
        await die(site, life)
    out = site.document["sinks"].pop("out")
    site.document["sinks"] = {"out": {**out, "path": str(site.out) + ".d"}, "slow": site.document["sinks"]["slow"]}
    Path(str(site.out) + ".d").mkdir()
    async with site.running(StillClock()) as life:
        await until(lambda: life.journal.head == 3, "all to be read again")
        life.task.cancel()
        await asyncio.gather(life.task, return_exceptions=True)
    site.document["sinks"]["out"] = out
    server.configmaps.create(NAME)
    async with site.running(StillClock()) as life:
        await life.settled("out")
        assert life.journal.readers["out"].outcomes == {Outcome.DUPLICATE: 3}
    assert site.names() == ["number-0", "number-1", "number-2"]


async def test_history_that_is_gone_is_listed_and_nothing_is_sent_twice(site: Site, server: ApiServer) -> None:
    async with site.running(StillClock()) as life:
        await exported(site, server, life, *(f"before-{n}" for n in range(5)))
        await die(site, life)
    server.create("meanwhile")
    server.patch("before-3", count=7)
    server.compact()
    before = len(site.names())
    async with site.running(StillClock()) as life:
        await site.has("meanwhile")
        await life.settled("out")
        (stream,) = (each for key, each in life.view.streams.items() if key.scope == "events")
        await until(lambda: stream.status.audits, "the audit")
        assert (stream.status.relists, stream.status.audit_missed) == (1, 0)
    assert sorted(site.names()[before:]) == ["before-3", "meanwhile"]
    assert site.records()[-1].get("delta") is None or site.records()[-2].get("delta") is None
    site.balanced()


async def test_another_cluster_under_the_name_is_exported_whole(site: Site, server: ApiServer) -> None:
    async with site.running(StillClock()) as life:
        await exported(site, server, life, "one")
        await die(site, life)
    server.uid = "another"
    async with site.running(StillClock()) as life:
        await until(lambda: site.names() == ["one", "one"], "everything again")
        await life.settled("out")
        await note(life)
        assert kept(server)["clusters"]["prod"] == {"uid": "another", "epoch": 1}
    assert {record["version"] >> 48 for record in site.records()} == {0, 1}


async def test_a_journal_that_is_there_counts_more(site: Site, server: ApiServer) -> None:
    async with site.running(StillClock()) as life:
        server.create("one")
        await site.has("one")
        await life.settled("out")
    text = server.configmaps.data(NAME)["positions.json"]
    server.configmaps.create(NAME, data={"positions.json": text.replace('"instance":"', '"instance":"x')})
    server.requests.clear()
    async with site.running(StillClock()) as life:
        server.create("two")
        await site.has("two")
        await life.settled("out")
        assert life.journal.readers["out"].resumed is None
    assert site.names() == ["one", "two"]


async def test_parked_events_are_not_settled(site: Site, server: ApiServer) -> None:
    """A window of repeats holds the latest state back: it is delivered by the next pod."""
    site.document["sinks"]["out"]["repeats"] = "5m"
    async with site.running(StillClock()) as life:
        await exported(site, server, life, "one")
        first = position(server, "out")
        server.patch("one", count=2)
        await until(lambda: life.journal.readers["out"].outcomes.get(Outcome.PARKED), "the update to be held back")
        await exported(site, server, life, "two")
        assert position(server, "out") == first
        await die(site, life)
    async with site.running(StillClock()) as life:
        await until(lambda: Counter(site.names()) == {"one": 2, "two": 2}, "what was held back, and what came after it")
    assert [record["count"] for record in site.records()][-2] == 2


async def test_dead_letters_that_went_with_the_pod_are_told(site: Site, server: ApiServer) -> None:
    async with site.running(StillClock()) as life:
        await exported(site, server, life, "one")
        await die(site, life)
    document = kept(server) | {"sinks": {"out": 3}}
    server.configmaps.create(NAME, data={"positions.json": json.dumps(document)})
    async with site.running(StillClock()) as life:
        await until(lambda: site.records("eventer"), "the record")
        await life.settled("out")
    (record,) = site.records("eventer")
    assert record["reason"] == "GapDeadLetters"
    assert "3 of out" in record["message"]
    site.balanced()
