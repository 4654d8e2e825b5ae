"""Eventer's own troubles reach the sinks that work, and people, once; so does their end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from eventer.app.alarms import AGAIN, BLOCKED, FAILING, Alarms
from eventer.control.view import View
from eventer.delivery.runner import Health
from eventer.delivery.sender import Status
from eventer.demo.apiserver import ApiServer
from eventer.journal.records import StreamKey
from tests.helpers.farside import Answer, FarSide
from tests.helpers.inprocess import Life, Site, StillClock
from tests.helpers.journals import failing, opened
from tests.helpers.until import until


def records(site: Site) -> list[dict[str, Any]]:
    """What Eventer said of itself."""
    lines = site.out.read_text(encoding="utf-8").splitlines() if site.out.exists() else []
    return [event for event in map(json.loads, lines) if event["origin"] == "eventer"]


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventer.app.alarms.LOOK", 0.001)


async def looked() -> None:
    """Let it look some times."""
    for _ in range(20):
        await asyncio.sleep(0.002)


async def unhealthy(life: Life, name: str, health: Health) -> None:
    await until(lambda: life.view.runners[name].status.health is health, f"{name} to be {health}")


@pytest.mark.parametrize(
    ("status", "health", "after"),
    [
        pytest.param(401, Health.BLOCKED, BLOCKED, id="blocked"),
        pytest.param(503, Health.RETRYING, FAILING, id="it may end by itself, so later"),
    ],
)
async def test_a_sink_that_takes_nothing_is_told_to_the_others(
    site: Site, server: ApiServer, status: int, health: Health, after: float
) -> None:
    clock = StillClock()
    async with FarSide() as far:
        far.answer = Answer(status=status)
        site.document["sinks"]["dead"] = {"kind": "webhook", "url": far.url}
        async with site.running(clock) as life:
            server.create("one")
            await unhealthy(life, "dead", health)
            await looked()
            clock.advance(after - 1)
            await looked()
            assert records(site) == []
            clock.advance(2)
            await until(lambda: records(site), "the record")
            await looked()
            (record,) = records(site)
            assert (record["reason"], record["name"], record["type"]) == ("SinkFailing", "dead", "Warning")
            assert "The sink dead takes nothing, and 1 wait for it: " in record["message"]
    site.balanced()


async def test_what_lasts_is_told_again_and_its_end_once(tmp_path: Path) -> None:
    clock = StillClock()
    status = Status(health=Health.BLOCKED, error="who are you?")
    async with opened(tmp_path, clock) as journal:
        parts = SimpleNamespace(runners={"dead": SimpleNamespace(status=status, pending=1)}, streams={})
        task = asyncio.create_task(Alarms(journal, cast("View", parts), clock).run())
        try:
            await looked()
            for told in range(1, 4):
                clock.advance(AGAIN + 1)
                await until(lambda told=told: journal.head == told, "the record")  # type: ignore[misc]
            for health in (Health.STOPPED, Health.OPENING):  # as a reload replaces it: nobody knows yet
                status.health = health
                await looked()
            assert journal.head == 3
            status.health = Health.OK
            await until(lambda: journal.head == 4, "its end")
            await looked()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        piece = await journal.read(0, 10, 1 << 20)
    reasons = [json.loads(line)["reason"] for line in piece.lines]
    assert reasons == ["SinkFailing"] * 3 + ["SinkRecovered"]


async def test_a_cluster_that_cannot_be_read_is_told(site: Site, server: ApiServer) -> None:
    clock = StillClock()
    async with site.running(clock):
        await server.stop()
        await looked()
        clock.advance(FAILING + 1)
        await until(lambda: records(site), "the record")
        (record,) = records(site)
        assert (record["reason"], record["cluster"], record["kind"]) == ("SourceFailing", "prod", "Eventer")


async def test_a_notifier_is_told_whatever_its_rules_say(site: Site, server: ApiServer) -> None:
    clock = StillClock()
    async with FarSide() as dead, FarSide() as far:
        dead.answer = Answer(status=401)
        site.document["sinks"]["dead"] = {"kind": "webhook", "url": dead.url}
        site.document["sinks"]["chat"] = {
            "kind": "webhook",
            "url": far.url,
            "format": "single",
            "match": [{"namespace": "shop"}],
            "group": {"wait": "0s"},
        }
        async with site.running(clock) as life:
            server.create("one")
            await unhealthy(life, "dead", Health.BLOCKED)
            await looked()
            clock.advance(BLOCKED + 1)
            await until(lambda: far.requests, "the message")
        (message,) = [json.loads(request.body) for request in far.requests]
        assert [item["reason"] for item in message["items"]] == ["SinkFailing"]
        assert message["severity"] == "critical"


def stream(**status: Any) -> SimpleNamespace:
    """A stream in some state."""
    return SimpleNamespace(
        subject=SimpleNamespace(what=status.pop("what", "events")),
        status=SimpleNamespace(**({"blocked": "", "connected": True, "last_error": "no route"} | status)),
    )


async def told_of(
    tmp_path: Path, clock: StillClock, parts: SimpleNamespace, *moments: Callable[[], None], records: int = 0
) -> list[str]:
    """Look at some parts through moments, until there are so many records; return the reasons of them."""
    async with opened(tmp_path, clock) as journal:
        task = asyncio.create_task(Alarms(journal, cast("View", parts), clock).run())
        try:
            for moment in moments:
                await looked()
                moment()
            await until(lambda: journal.head >= records, "the records")
            await looked()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        piece = await journal.read(0, 10, 1 << 20)
    return [json.loads(line)["reason"] for line in piece.lines]


async def test_what_works_in_between_fails_anew(tmp_path: Path) -> None:
    clock, status = StillClock(), Status(health=Health.BLOCKED, error="who are you?")
    parts = SimpleNamespace(runners={"dead": SimpleNamespace(status=status, pending=1)}, streams={})
    moments: list[Callable[[], None]] = []
    for health in (Health.OK, Health.BLOCKED, Health.OK):
        moments += [partial(clock.advance, BLOCKED - 5), partial(setattr, status, "health", health)]
    assert await told_of(tmp_path, clock, parts, *moments) == []


@pytest.mark.parametrize(
    ("status", "seconds", "told"),
    [
        ({"blocked": "no rights"}, BLOCKED + 1, ["SourceFailing"]),
        ({"blocked": "no rights", "what": "nodes"}, FAILING + 1, []),
        ({"connected": False}, BLOCKED + 1, []),
        ({"connected": False, "what": "nodes"}, FAILING + 1, ["SourceFailing"]),
        ({}, FAILING + 1, []),
    ],
)
async def test_what_is_not_read_is_told_after_a_while(
    status: dict[str, Any], seconds: float, told: list[str], tmp_path: Path
) -> None:
    clock = StillClock()
    parts = SimpleNamespace(runners={}, streams={StreamKey("prod", "events"): stream(**status)})
    assert await told_of(tmp_path, clock, parts, lambda: clock.advance(seconds), records=len(told)) == told


async def test_a_record_that_the_disk_refuses_is_made_when_it_can_be(tmp_path: Path) -> None:
    clock, status = StillClock(), Status(health=Health.BLOCKED, error="who are you?")
    parts = SimpleNamespace(runners={"dead": SimpleNamespace(status=status, pending=1)}, streams={})
    with ExitStack() as refusing:
        refusing.enter_context(failing())
        moments = (partial(clock.advance, BLOCKED + 1), refusing.close)
        told = await told_of(tmp_path, clock, parts, *moments, records=1)
    assert told == ["SinkFailing"]
