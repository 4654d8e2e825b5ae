"""A fake API server, and streams that read it into targets in memory."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from eventer.demo.apiserver import ApiServer
from eventer.source import subjects
from eventer.source.kube import Cluster
from eventer.source.settings import StreamSettings, StreamStatus
from eventer.source.watch import Stream
from eventer.source.wire import Api
from tests.helpers.authorities import few_authorities, one_authority
from tests.helpers.fastclock import FastClock
from tests.helpers.target import MemoryTarget
from tests.helpers.until import until

__all__ = ["few_authorities", "one_authority"]

LATER = 1e9
"""Seconds: never, in a test."""


class World:
    """One fake server, a client of it, and the streams under test, on a clock that does not wait."""

    def __init__(self, server: ApiServer, cluster: Cluster) -> None:
        self.server = server
        self.cluster = cluster
        self.clock = FastClock()
        server.now = self.clock.true
        self.tasks: list[asyncio.Task[None]] = []
        self.target = MemoryTarget(self.clock)
        self.status = StreamStatus()

    def run(
        self,
        target: MemoryTarget | None = None,
        *,
        namespace: str | None = None,
        api: Api = "core",
        selector: str = "",
        audit: bool = False,
        **settings: Any,
    ) -> StreamStatus:
        """Start a stream; without `audit` none is due. `settings` are those of StreamSettings."""
        settings.setdefault("audit_pause", 0.0)
        settings.setdefault("short", 0.3)
        target = target or self.target
        stream = Stream(
            cluster=self.cluster,
            subject=subjects.events("prod", {}, namespace=namespace, api=api, selector=selector),
            target=target,
            clock=self.clock,
            settings=StreamSettings(**settings),
            rng=random.Random(1),
        )
        if not audit:
            stream._audits.due = LATER
        if target is self.target:
            self.status = stream.status
        self.tasks.append(asyncio.create_task(stream.run()))
        return stream.status

    async def arrived(self, *names: str, target: MemoryTarget | None = None) -> None:
        """Wait until these Events, by name, were received, and see that none was received twice."""
        target = target or self.target
        await until(lambda: set(names) <= set(target.names()), f"{names} in {target.names()[-5:]}")
        ids = [event.id for event in target.events]
        assert len(ids) == len(set(ids))

    async def watching(self) -> None:
        """Wait until the stream is up and its watch is open."""
        await until(lambda: self.server.watching and self.status.connected, "watching")

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self.tasks.clear()

    def kinds(self) -> list[str]:
        """Kinds of all requests so far."""
        return [request.kind for request in self.server.requests]

    def positions(self) -> list[int]:
        """From which versions was watched, in order."""
        return [int(r.query["resourceVersion"]) for r in self.server.requests if r.kind == "watch"]


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    server = ApiServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def cluster(server: ApiServer, tmp_path: Path) -> AsyncIterator[Cluster]:
    cluster = await Cluster.connect(server.write_kubeconfig(tmp_path / "kubeconfig"))
    yield cluster
    await cluster.close()


@pytest.fixture
async def world(server: ApiServer, cluster: Cluster) -> AsyncIterator[World]:
    world = World(server, cluster)
    yield world
    await world.stop()
