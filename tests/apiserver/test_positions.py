"""Positions of several streams in one process: two clusters, two namespaces each, two epochs."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from eventer.app import Daemon
from eventer.clock import SystemClock
from eventer.config.load import load
from eventer.control.view import View
from eventer.demo.apiserver import ApiServer
from eventer.demo.store import EventStore
from eventer.event import EPOCH_SHIFT
from eventer.journal import StreamKey, read_books
from eventer.source.settings import StreamSettings
from tests.helpers.until import until


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between two probes and before reconnects, in hundredths of seconds."""

    def settings(**values: object) -> StreamSettings:
        return StreamSettings(**{"confirm": 0.02, "jitter": 0.02, "backoff": (0.02, 0.1), **values})

    monkeypatch.setattr("eventer.app.reading.StreamSettings", settings)


@asynccontextmanager
async def running(tmp_path: Path, servers: dict[str, ApiServer]) -> AsyncIterator[View]:
    """A daemon that reads the namespaces a and b of each server into one file."""
    config = {
        "sources": [
            {
                "cluster": name,
                "kubernetes": {
                    "kubeconfig": str(server.write_kubeconfig(tmp_path / f"{name}.kubeconfig")),
                    "namespaces": ["a", "b"],
                },
            }
            for name, server in servers.items()
        ],
        "sinks": {"out": {"kind": "file", "path": str(tmp_path / "out.jsonl")}},
        "state": {"path": str(tmp_path / "state")},
        "server": {"listen": "127.0.0.1:0"},
    }
    file = tmp_path / "eventer.yaml"
    file.write_text(json.dumps(config))
    views: list[View] = []
    daemon = Daemon(load(file, {}).config, SystemClock(), lambda view, *_: views.append(view))
    task = asyncio.create_task(daemon.run())
    await until(lambda: views or task.done(), "running")
    if task.done():
        await task
    view = views[0]
    await until(lambda: len(view.streams) == 4 and all(s.status.connected for s in view.streams.values()), "watching")
    yield view
    daemon.stop()
    await task


def records(tmp_path: Path) -> list[dict[str, object]]:
    file = tmp_path / "out.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def seen(tmp_path: Path) -> Counter[tuple[object, object, object]]:
    """How often each (cluster, Event, count) is in the file."""
    return Counter((r["cluster"], r["event"], r["count"]) for r in records(tmp_path) if r["origin"] == "event")


async def test_each_stream_keeps_its_own_position_through_restart_and_rollback(tmp_path: Path) -> None:
    servers = {"east": ApiServer(), "west": ApiServer()}
    for server in servers.values():
        await server.start()
        for namespace in ("a", "b"):
            server.create("first", namespace)
    expected = Counter({(c, f"{n}/first", 1): 1 for c in servers for n in ("a", "b")})
    async with running(tmp_path, servers):
        await until(lambda: seen(tmp_path) == expected, "all first ones")
        backup = EventStore()
        backup.restore(servers["east"].store)
        for server in servers.values():
            for number in range(5):
                server.create(f"later-{number}", "a")
        expected += Counter({(c, f"a/later-{i}", 1): 1 for c in servers for i in range(5)})
        await until(lambda: seen(tmp_path) == expected, "the later ones")

    # East goes back to before the later ones, and on from there; west only goes on.
    servers["east"].restore(backup)
    servers["east"].create("after-restore", "b")
    servers["east"].patch("first", "a", count=2)
    servers["west"].create("meanwhile", "b")
    expected += Counter({("east", "b/after-restore", 1): 1, ("east", "a/first", 2): 1, ("west", "b/meanwhile", 1): 1})
    async with running(tmp_path, servers) as view:
        await until(lambda: not expected - seen(tmp_path), "what came while down")
        # A stream whose own position the rollback left valid learns of the epoch with its next line.
        servers["east"].create("again", "b")
        expected += Counter({("east", "b/again", 1): 1})
        epochs = {
            StreamKey(cluster, f"events/{namespace}"): int(cluster == "east")
            for cluster in servers
            for namespace in ("a", "b")
        }
        await until(lambda: {key: view.journal.stream(key).epoch for key in view.streams} == epochs, "the new epoch")
        await until(lambda: not expected - seen(tmp_path), "the last one")
    assert seen(tmp_path) == expected  # nothing missing, and nothing that was known came again
    west = [request.kind for request in servers["west"].requests]
    assert west.count("list") - west.count("probe") <= 4 + 2  # one list a stream, and audits
    last: dict[object, int] = {}
    for record in records(tmp_path):
        version = record["version"]
        assert isinstance(version, int)
        assert version > last.get(record["entity"], -1)
        last[record["entity"]] = version
        if (record["event"], record["count"]) == ("a/first", 2):
            assert version >> EPOCH_SHIFT == 1
    books = read_books(tmp_path / "state")
    assert books.readers["out"].cursor == books.head == sum(expected.values())
    for server in servers.values():
        await server.stop()
