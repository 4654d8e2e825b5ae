"""A whole daemon within the test's own process, against the fake API server, seen as its users see it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from eventer.app import Daemon
from eventer.app.reload import ConfigFile
from eventer.clock import Clock
from eventer.config.load import load
from eventer.control.view import View
from eventer.demo.apiserver import ApiServer
from eventer.journal import Journal, read_books
from tests.helpers.fastclock import FastClock
from tests.helpers.journals import alerting_balanced
from tests.helpers.until import until

__all__ = ["Life", "Site", "StillClock"]


class StillClock(FastClock):
    """Time that only `advance` moves. A sleep ends soon, and costs nothing."""

    def __init__(self) -> None:
        super().__init__(speed=0.0)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0.001)


class Life:
    """One run of the daemon."""

    def __init__(self, site: Site, clock: Clock) -> None:
        self.views: list[View] = []
        """One for each journal: another one comes after damage."""
        self.url = ""
        self.daemon = Daemon(site.config(), clock, self._ready, ConfigFile(site.file, {}))
        self.task: asyncio.Task[None] = asyncio.create_task(self.daemon.run())

    def _ready(self, view: View, host: str, port: int) -> None:
        self.views.append(view)
        self.url = f"http://{host}:{port}"

    @property
    def view(self) -> View:
        """What the daemon shows now."""
        return self.views[-1]

    @property
    def journal(self) -> Journal:
        """The journal it has open now."""
        return self.view.journal

    async def get(self, path: str) -> tuple[int, str]:
        """GET a path of its HTTP port: status and text."""
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as answer:
            return answer.status, await answer.text()

    async def listening(self) -> None:
        """Wait until it answers; raise what it ended with if it ended instead."""
        await until(lambda: self.views or self.task.done(), "the port to be open")
        if self.task.done():
            await self.task

    async def watching(self) -> None:
        """Wait until it is ready and its watches are open."""

        def up() -> bool:
            streams = self.view.streams.values()
            return not self.view.not_ready() and all(stream.status.connected for stream in streams)

        await until(lambda: self.task.done() or up(), "watching")

    async def settled(self, *sinks: str) -> None:
        """Wait until these sinks have all that there is, and the books say so.

        What a file shows before that may be taken back, if the send is cut short.
        """
        await until(
            lambda: all(self.journal.readers[name].cursor == self.journal.head for name in sinks), "all to be settled"
        )

    async def stop(self) -> None:
        """End it in order, and wait for that."""
        self.daemon.stop()
        await self.task


class Site:
    """A directory with a configuration, and what the daemon makes there: state, and the file `out.jsonl`.

    Args:
        directory: the directory.
        server: the cluster that it reads.
        cluster: its name; None leaves it out.
        nodes: whether its nodes are read too; without them there is one stream.
    """

    def __init__(
        self, directory: Path, server: ApiServer, *, cluster: str | None = "prod", nodes: bool = False
    ) -> None:
        self.state = directory / "state"
        self.out = directory / "out.jsonl"
        self.file = directory / "eventer.yaml"
        self._directory = directory
        self._cluster = cluster
        self._nodes = nodes
        self.document: dict[str, Any] = {
            "sinks": {"out": {"kind": "file", "path": str(self.out)}},
            "state": {"path": str(self.state)},
            "server": {"listen": "127.0.0.1:0"},
        }
        self.read(server)

    def read(self, server: ApiServer) -> None:
        """Read this server from the next start on."""
        kubeconfig = server.write_kubeconfig(self._directory / "kubeconfig")
        settings = {"kubeconfig": str(kubeconfig), "nodes": self._nodes}
        self.document["sources"] = [{"kubernetes": settings} | ({"cluster": self._cluster} if self._cluster else {})]

    def add_dead_sink(self, name: str) -> None:
        """Add a sink that takes nothing: a file where a directory is."""
        path = self._directory / f"{name}.d"
        path.mkdir(exist_ok=True)
        self.document["sinks"][name] = {"kind": "file", "path": str(path)}

    def config(self) -> Any:
        self.write()
        return load(self.file, {}).config

    def write(self, text: str | None = None) -> None:
        """Write the configuration as it is now, or another text, in one step."""
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(self.document) if text is None else text)
        new.replace(self.file)

    @contextlib.asynccontextmanager
    async def running(self, clock: Clock | None = None, *, watching: bool = True) -> AsyncIterator[Life]:
        """Run the daemon; at the end of the block it is stopped in order, if it has not ended by itself.

        Args:
            clock: without one, sleeps take no time.
            watching: wait until it is ready; otherwise only until it answers.
        """
        life = Life(self, clock or FastClock())
        try:
            await life.listening()
            if watching:
                await life.watching()
            yield life
            if not life.task.done():
                await life.stop()
        finally:
            if not life.task.done():
                life.task.cancel()
                await asyncio.gather(life.task, return_exceptions=True)

    def records(self, origin: str = "event") -> list[dict[str, Any]]:
        """Return what the file holds of that origin, in order."""
        lines = self.out.read_bytes().split(b"\n")[:-1] if self.out.exists() else []
        return [record for line in lines if (record := json.loads(line))["origin"] == origin]

    def names(self) -> list[str]:
        """Names of the Events in the file, in order."""
        return [record["event"].removeprefix("default/") for record in self.records()]

    async def has(self, *names: str) -> None:
        """Wait until these Events are in the file."""
        await until(lambda: set(names) <= set(self.names()), f"{names} in the file")

    def balanced(self) -> int:
        """Check the books that an ended daemon left; return the head."""
        books = read_books(self.state)  # raises where they do not balance
        alerting_balanced(books)
        assert books.head == sum(record.appended for record in books.streams.values())
        for reader in books.readers.values():
            assert reader.cursor - reader.origin == sum(reader.outcomes.values())
        for stream in books.streams.values():
            assert stream.received == stream.poison + stream.seen + stream.filtered + stream.appended
        return books.head
