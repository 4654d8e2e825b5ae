"""Row S25: a reload in the midst of sends. Each ends in one outcome, and nothing that was confirmed is sent again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from eventer.app.reload import ConfigFile, Reload
from eventer.config.types import Config
from eventer.delivery.runner import Health
from eventer.demo.apiserver import ApiServer
from eventer.errors import DiskRefused
from eventer.event import Outcome
from eventer.journal import Journal, read_books
from tests.helpers.farside import FarSide
from tests.helpers.fastclock import FastClock
from tests.helpers.inprocess import Site
from tests.helpers.until import until


class Gate(FarSide):
    """Answers while it is open."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = asyncio.Event()
        self.before = self.opened.wait


async def test_s25_a_send_under_way_is_finished_before_the_sink_is_replaced(site: Site, server: ApiServer) -> None:
    async with Gate() as far:
        site.document["sinks"] = {"hook": {"kind": "webhook", "url": far.url}}
        async with site.running() as life:
            server.create("ev-1")
            await until(lambda: far.requests, "the send")
            old = life.view.runners["hook"]
            site.document["sinks"]["hook"]["timeout"] = "9s"
            site.write()
            reloading = asyncio.create_task(life.daemon.reload.asked())
            await until(old._stop.is_set, "the stop")
            far.opened.set()
            assert (await reloading).results["taken"] == 1
            assert life.view.runners["hook"] is not old
            server.create("ev-2")
            await until(lambda: len(far.requests) == 2, "the next event")
            await life.settled("hook")
        assert [b"ev-1" in request.body for request in far.requests] == [True, False]
    assert site.balanced() == 2
    assert read_books(site.state).readers["hook"].outcomes == {Outcome.DELIVERED: 2}


async def test_s25_a_disk_that_refuses_while_another_sink_is_still_sending(
    site: Site, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    drained, asked = Journal.drained, 0

    async def refused_at_first(self: Journal) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise DiskRefused("The disk is full.")
        await drained(self)

    monkeypatch.setattr(Journal, "drained", refused_at_first)
    async with FarSide() as far, Gate() as slow:
        site.document["sinks"] = {
            "quick": {"kind": "webhook", "url": far.url},
            "slow": {"kind": "webhook", "url": slow.url},
        }
        async with site.running() as life:
            server.create("ev-1")
            await until(lambda: slow.requests, "the send")
            await life.settled("quick")
            quick = life.view.runners["quick"]
            sinks: dict[str, dict[str, Any]] = site.document["sinks"]
            for options in sinks.values():
                options["timeout"] = "9s"
            site.write()
            reloading = asyncio.create_task(life.daemon.reload.asked())
            await until(lambda: quick.status.health is Health.STOPPED, "the end of the one that is idle")
            for _ in range(100):  # turns enough to be refused and to begin anew, if it does not wait for the other
                await asyncio.sleep(0.001)
            slow.opened.set()
            async with asyncio.timeout(30):
                assert (await reloading).results["taken"] == 1
            assert asked > 1
            server.create("ev-2")
            await life.watching()
            await until(lambda: len(slow.requests) == len(far.requests) == 2, "the next event")
            await life.settled("quick", "slow")
    assert site.balanced() == 2
    for record in read_books(site.state).readers.values():
        assert record.outcomes == {Outcome.DELIVERED: 2}


async def test_s25_a_disk_that_refuses_while_a_sink_is_forgotten_and_events_come(
    site: Site, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was free to go when it was stopped. What comes while the disk refuses is not owed to it."""
    remove, asked = Journal.remove_reader, 0

    async def refused_at_first(self: Journal, name: str) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            head = self.head
            server.create("ev-2")
            await self.grown(head)
            raise DiskRefused("The disk is full.")
        await remove(self, name)

    monkeypatch.setattr(Journal, "remove_reader", refused_at_first)
    async with FarSide() as far:
        site.document["sinks"]["hook"] = {"kind": "webhook", "url": far.url}
        async with site.running() as life:
            server.create("ev-1")
            await life.settled("hook", "out")
            del site.document["sinks"]["hook"]
            site.write()
            async with asyncio.timeout(30):
                report = await life.daemon.reload.asked()
            assert report.results == {"taken": 1, "unchanged": 0, "refused": 0}
            assert asked == 2
            assert [*life.view.runners] == ["out"]
            await site.has("ev-1", "ev-2")
    assert {*read_books(site.state).readers} == {"out"}
    assert site.balanced() == 2


async def test_s25_a_change_that_damage_interrupts_is_taken_by_the_life_that_follows(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventer.app.reload.LOOK_EVERY", 0.01)
    begun: list[Config] = []
    interrupted = asyncio.Event()

    async def follow(config: Config) -> None:
        begun.append(config)
        if len(begun) == 1:
            interrupted.set()
            await asyncio.Event().wait()

    reload = Reload(ConfigFile(site.file, {}), site.config(), follow, FastClock())
    site.document["filter"] = [{"drop": {"reason": "Pulled"}}]
    site.write()
    first = asyncio.create_task(reload.run())
    await interrupted.wait()
    first.cancel()
    await asyncio.wait([first])
    second = asyncio.create_task(reload.run())
    await until(lambda: reload.report.results["taken"] == 1, "the change to be taken")
    second.cancel()
    await asyncio.wait([second])
    assert begun[0] == begun[1] == reload.config


async def test_a_stream_that_is_cancelled_from_within_ends_the_daemon_and_does_not_stand_still(
    site: Site, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cancelled(_: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr("eventer.app.reading.Stream.run", cancelled)
    with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match="was cancelled from within"), flatten_subgroups=True):
        async with site.running(watching=False) as life:
            await until(life.task.done, "its end")
            await life.task
