"""An enricher over objects in memory, and events about them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from eventer.config.lookups import Lookups
from eventer.enrich.enricher import Enricher, Enrichment
from eventer.event import Event
from eventer.redaction import RedactRule
from eventer.sink import Batch
from tests.helpers.objects import MemoryApi, Objects
from tests.helpers.sinks import batch_of, make_event
from tests.helpers.virtual import LoopClock

__all__ = ["ALL", "Room", "event_of", "room"]

ALL = ("pod", "owner", "namespace", "node", "logs")


def event_of(made: dict[str, Any], number: int = 0, **changes: Any) -> Event:
    """Make an event about an object, as the scheduler reports it: it names no node."""
    meta = made["metadata"]
    about = {"kind": made["kind"], "api_version": made["apiVersion"], "namespace": meta.get("namespace", "")}
    about |= {"name": meta["name"], "uid": meta["uid"]}
    usual = {"component": "default-scheduler", "node": "", "field_path": "", "reason": "Scheduled"}
    return make_event(number, **about | usual | changes)


class Room:
    """Look-ups for one sink."""

    def __init__(self, objects: Objects, enrichment: Enrichment, enricher: Enricher) -> None:
        self.objects = objects
        self.enrichment = enrichment
        self.enricher = enricher

    async def __call__(self, *events: Event) -> list[Any]:
        """Return what the sink gets to know about each event, as it stands in its line."""
        batch = await self.enricher(batch_of(list(events)))
        assert [event.id for event in batch.events] == [event.id for event in events]
        read = Batch(batch.lines).events
        assert [event.about for event in read] == [event.about for event in batch.events]
        return [event.about for event in read]


@contextlib.asynccontextmanager
async def room(
    api: Objects, /, *wants: str, redact: list[RedactRule] | None = None, cluster: str = "prod", **settings: Any
) -> AsyncIterator[Room]:
    """Look up in one cluster for one sink."""
    enrichment = Enrichment(LoopClock())
    enrichment.use(Lookups(**settings), redact or [], {"out": frozenset(wants or ALL)})
    enricher = enrichment.of("out")
    assert enricher is not None
    async with enrichment.reading(cluster, MemoryApi(api)):
        yield Room(api, enrichment, enricher)
