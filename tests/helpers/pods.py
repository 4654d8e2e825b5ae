"""Pods that come and go, in one process: what their mirror holds, and how one ends without a warning."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any, Final

from eventer.demo.apiserver import ApiServer
from eventer.mirror.mirror import EVERY
from tests.helpers.inprocess import Life, Site, StillClock
from tests.helpers.until import until

__all__ = ["NAME", "die", "exported", "kept", "names", "note", "position", "revive", "said"]

NAME: Final = "eventer"
"""Of the ConfigMap."""


def said(logged: list[Any], *words: str) -> list[Any]:
    return [line for line in logged if all(word in json.dumps(line, default=str) for word in words)]


def kept(server: ApiServer) -> dict[str, Any]:
    return dict(json.loads(server.configmaps.data(NAME)["positions.json"]))


def position(server: ApiServer, sink: str) -> int | None:
    """How far the mirror says that a sink has settled everything."""
    (stream,) = (each for each in kept(server)["streams"] if each["scope"] == "events")
    found = stream["sinks"].get(sink)
    return found and int(found["position"])


async def note(life: Life) -> None:
    """Let so much time pass that a note is written, if there is anything new."""
    status = life.view.mirror
    assert status is not None
    clock = life.view.clock
    assert isinstance(clock, StillClock)
    before = status.current, status.failures
    clock.advance(EVERY)
    await until(lambda: (status.current, status.failures) != before, "the mirror to be looked at")


async def exported(site: Site, server: ApiServer, life: Life, *events: str) -> None:
    """Have Events exported by the sink `out`, and that noted."""
    for event in events:
        server.create(event)
    await site.has(*events)
    await life.settled("out")
    await note(life)


async def die(site: Site, life: Life) -> None:
    """End a daemon as its pod ends without a warning, with everything that is on its disk."""
    life.task.cancel()
    await asyncio.gather(life.task, return_exceptions=True)
    shutil.rmtree(site.state)


def revive(site: Site, name: str) -> None:
    """Let a dead sink take events."""
    path = Path(site.document["sinks"][name]["path"])
    path.rmdir()


def names(site: Site, sink: str) -> list[str]:
    path = Path(site.document["sinks"][sink]["path"])
    lines = [json.loads(line) for line in path.read_bytes().splitlines()] if path.is_file() else []
    return [line["event"].removeprefix("default/") for line in lines if line["origin"] == "event"]
