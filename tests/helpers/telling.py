"""Pods that tell people of problems: what people got, and when alerting has decided on everything."""

from __future__ import annotations

import json
from typing import Any

from eventer.demo.apiserver import ApiServer
from tests.helpers.farside import FarSide
from tests.helpers.inprocess import Life, Site, StillClock
from tests.helpers.until import until

__all__ = ["about", "bad", "decided", "notes", "notify", "passed"]


def notify(site: Site, far: FarSide, **group: Any) -> None:
    site.document["sinks"]["chat"] = {
        "kind": "webhook", "url": far.url, "format": "single", "group": {"wait": "0s", "by": ["name"]} | group,
    }  # fmt: skip


def bad(server: ApiServer, name: str, **values: Any) -> None:
    server.create(name, **({"about": name, "type": "Warning", "reason": "BackOff", "message": "again"} | values))


def notes(far: FarSide) -> list[dict[str, Any]]:
    return [json.loads(request.body) for request in far.requests]


def about(far: FarSide) -> list[tuple[str, list[str]]]:
    """Why each message was sent, and of which objects it tells."""
    return [(each["why"], [item["name"] for item in each["items"]]) for each in notes(far)]


async def decided(life: Life, server: ApiServer, *, waiting: int = 0) -> None:
    """Wait until alerting has stored what it makes of everything, and all is told but what waits in groups."""
    journal, clock = life.journal, life.view.clock
    assert isinstance(clock, StillClock)

    def done() -> bool:
        clock.advance(0.02)  # what told nothing is stored after a second
        read = [stream for stream in journal.streams.values() if stream.position == server.store.version]
        reader, notifier = journal.alerting.readers["chat"], journal.alerting.notifiers["chat"]
        return (
            bool(read)
            and reader.cursor == journal.head
            and reader.waiting == waiting
            and notifier.cursor == reader.opened
        )

    await until(done, "everything to be decided on and told")


async def passed(life: Life, seconds: float) -> None:
    clock = life.view.clock
    assert isinstance(clock, StillClock)
    clock.advance(seconds)
