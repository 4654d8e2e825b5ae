"""The probes: ready when there is a position and it may read, alive while the loops make progress."""

from __future__ import annotations

import asyncio
import json

import pytest

from eventer.control.view import LIVE_WITHIN
from eventer.demo.apiserver import ApiServer, status_body
from eventer.demo.faults import Fault
from eventer.event import Outcome
from eventer.journal import read_books
from tests.helpers.farside import FarSide
from tests.helpers.inprocess import Site, StillClock
from tests.helpers.until import until


@pytest.fixture
def house_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    """No round of housekeeping but those that are asked for."""
    monkeypatch.setattr("eventer.journal.journal.HOUSE_EVERY", 1e6)


@pytest.fixture
def house_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventer.journal.journal.HOUSE_EVERY", 0.002)


# -- /readyz ---------------------------------------------------------------------------------------


async def test_ready_says_what_is_missing_until_the_list_is_in(site: Site, server: ApiServer) -> None:
    server.faults.add("list", Fault(freeze_head=True))
    async with site.running(watching=False) as life:
        await until(lambda: server.faults.frozen_now, "the list")
        assert await life.get("/readyz") == (503, "prod events: not listed yet.\n")
        server.faults.thaw()
        await life.watching()
        assert await life.get("/readyz") == (200, "ok\n")


async def test_ready_names_the_right_that_is_missing(site: Site, server: ApiServer) -> None:
    words = 'events is forbidden: User "eventer" cannot list resource "events"'
    for kind in ("list", "probe"):
        server.faults.add(kind, Fault(status=403, body=status_body(403, "Forbidden", words)), times=None)
    async with site.running(watching=False) as life:
        await until(lambda: any(stream.status.blocked for stream in life.view.streams.values()), "the refusal")
        status, text = await life.get("/readyz")
        assert status == 503
        assert text.startswith("prod events: ")
        assert "forbidden" in text.lower()
        server.faults.clear()
        await until(lambda: server.watching, "the watch")
        server.create("first")  # after a failure a watch is believed when it brings something
        await life.watching()
        assert (await life.get("/readyz"))[0] == 200


async def test_a_right_that_is_taken_away_makes_it_unready_again(site: Site, server: ApiServer) -> None:
    async with site.running() as life:
        for kind in ("watch", "probe"):
            server.faults.add(
                kind, Fault(status=403, body=status_body(403, "Forbidden", "events is forbidden")), times=None
            )
        server.cut()
        (stream,) = life.view.streams.values()
        await until(lambda: stream.status.blocked, "the refusal")
        status, text = await life.get("/readyz")
        assert (status, text) == (503, f"prod events: {stream.status.blocked}\n")


async def test_each_of_several_namespaces_must_be_ready(site: Site, server: ApiServer) -> None:
    site.document["sources"][0]["kubernetes"]["namespaces"] = ["a", "b"]
    server.faults.add("list", Fault(freeze_head=True))
    async with site.running(watching=False) as life:
        await until(lambda: server.faults.frozen_now, "one list to hang")
        await until(lambda: [s.status.listed for s in life.view.streams.values()].count(True) == 1, "the other one")
        status, text = await life.get("/readyz")
        assert status == 503
        assert text.count("\n") == 1
        server.faults.thaw()
        await life.watching()
        assert (await life.get("/readyz"))[0] == 200


async def test_a_dead_sink_does_not_make_it_unready(site: Site, server: ApiServer) -> None:
    site.add_dead_sink("dead")
    server.create("first")
    async with site.running() as life:
        await until(lambda: life.view.runners["dead"].status.error, "the failure")
        assert await life.get("/readyz") == (200, "ok\n")


class Gated(FarSide):
    """Takes a request only once `gate` is open."""

    gate: asyncio.Event

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        await self.gate.wait()
        return await super().exchange(reader, writer)


async def test_it_is_not_ready_any_more_while_it_finishes_what_is_in_flight(site: Site, server: ApiServer) -> None:
    async with Gated() as far:
        far.gate = asyncio.Event()
        site.document["sinks"]["slow"] = {"kind": "webhook", "url": far.url}
        server.create("first")
        async with site.running() as life:
            await until(lambda: far.open, "the send")
            life.daemon.stop()
            await until(lambda: life.view.stopping, "the beginning of the end")
            assert await life.get("/readyz") == (503, "stopping\n")
            assert (await life.get("/livez"))[0] == 200
            far.gate.set()
            await life.task
        assert len(far.requests) == 1
    assert read_books(site.state).readers["slow"].outcomes == {Outcome.DELIVERED: 1}


# -- /livez ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("house_stuck")
async def test_it_is_stuck_when_the_journal_was_not_kept_for_a_minute(site: Site) -> None:
    clock = StillClock()
    async with site.running(clock) as life:
        clock.advance(LIVE_WITHIN - 0.1)
        assert await life.get("/livez") == (200, "ok\n")
        clock.advance(0.1)
        assert await life.get("/livez") == (503, "stuck\n")
        life.journal._untidy.set()
        await until(lambda: life.journal.beat == clock.monotonic(), "a round")
        assert await life.get("/livez") == (200, "ok\n")


@pytest.mark.usefixtures("house_busy")
async def test_it_lives_with_a_dead_sink_and_a_dead_api_server(site: Site, server: ApiServer) -> None:
    site.add_dead_sink("dead")
    server.create("first")
    clock = StillClock()
    async with site.running(clock) as life:
        await until(lambda: life.view.runners["dead"].status.error, "the failure of the sink")
        await server.stop()
        (stream,) = life.view.streams.values()
        await until(lambda: not stream.status.connected, "the failure of the server")
        clock.advance(3600.0)
        await until(lambda: life.journal.beat == clock.monotonic(), "a round")
        assert await life.get("/livez") == (200, "ok\n")


# -- /healthz --------------------------------------------------------------------------------------


async def test_health_is_one_page_for_a_person(site: Site, server: ApiServer) -> None:
    server.create("first")
    async with site.running() as life:
        await site.has("first")
        await until(lambda: life.journal.readers["out"].cursor == 1, "the books")
        status, text = await life.get("/healthz")
        found = json.loads(text)
        assert found.pop("journal")["head"] == 1
        assert (status, found) == (
            200,
            {
                "status": "ok",
                "not_ready": [],
                "streams": {"prod events": {"connected": True, "position": server.store.version, "error": ""}},
                "sinks": {"out": {"state": "ok", "pending": 0, "error": ""}},
            },
        )


async def test_health_says_what_is_wrong_with_a_sink_and_stays_200(site: Site, server: ApiServer) -> None:
    site.add_dead_sink("dead")
    server.create("first")
    async with site.running() as life:
        await site.has("first")
        await until(lambda: life.view.runners["dead"].status.error, "the failure")
        status, text = await life.get("/healthz")
    found = json.loads(text)
    assert (status, found["status"]) == (200, "degraded")  # a page for people: probes have their own
    assert found["sinks"]["dead"]["pending"] == 1
    assert found["sinks"]["dead"]["error"]
    assert found["not_ready"] == []


async def test_health_says_what_is_wrong_with_a_cluster(site: Site, server: ApiServer) -> None:
    async with site.running() as life:
        await server.stop()
        (stream,) = life.view.streams.values()
        await until(lambda: not stream.status.connected, "the failure")
        found = json.loads((await life.get("/healthz"))[1])
    assert found["status"] == "degraded"
    assert found["streams"]["prod events"]["connected"] is False
    assert found["streams"]["prod events"]["error"]


async def test_nothing_else_is_answered(site: Site) -> None:
    async with site.running() as life:
        assert (await life.get("/"))[0] == 404
