"""Enrichment of batches: what sinks are given to call before they match and before they send.

A batch waits for its look-ups no longer than the time box. Nothing that happens here can lose an event: whatever
goes wrong, the batch comes back as long as it was, with markers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

import msgspec
import structlog

from eventer.about import NOTHING, About, Enriched
from eventer.clock import Clock
from eventer.config.lookups import Lookups
from eventer.enrich.lookups import Cluster, Question
from eventer.enrich.port import Api
from eventer.event import Event, encode_lines
from eventer.observe.metrics import ENRICHED
from eventer.redaction import Redaction, RedactRule
from eventer.sink import Batch

__all__ = ["Enricher", "Enrichment"]

ABSENT: Final = 30.0
"""Seconds for which a cluster that could not be waited for is not waited for again."""
_BY_NAME: Final = frozenset({"pod", "owner"})
"""What is looked up of an object itself."""
_OWN: Final = About(enriched=Enriched.OK)
"""Eventer's own records are about no object."""

log = structlog.get_logger()


class Enrichment:
    """Look-ups in all clusters that are read."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._clusters: dict[str, list[Cluster]] = {}
        self._grown = asyncio.Event()
        self._absent: dict[str, float] = {}
        self._redaction = Redaction([])
        self._wants: Mapping[str, frozenset[str]] = {}
        self.settings = Lookups()

    def use(self, settings: Lookups, redact: Sequence[RedactRule], wants: Mapping[str, frozenset[str]]) -> None:
        """Look up by these settings from now on.

        Args:
            redact: what is taken out of logs.
            wants: what each sink has under `enrich`.
        """
        self.settings = settings
        self._redaction = Redaction(redact)
        self._wants = wants
        for clusters in self._clusters.values():
            for cluster in clusters:
                cluster.settle(self.wanted)

    @property
    def wanted(self) -> frozenset[str]:
        """What any sink wants."""
        return frozenset().union(*self._wants.values())

    def of(self, sink: str) -> Enricher | None:
        """Return what enriches for a sink; None if that wants nothing."""
        wants = self._wants.get(sink)
        return Enricher(self, sink, wants) if wants else None

    def existence(self, sink: str) -> Enricher | None:
        """Return what finds out for a sink whether objects exist, if it wants anything by which that is known."""
        wants = self._wants.get(sink, frozenset()) & _BY_NAME
        return Enricher(self, sink, wants) if wants else None

    @contextlib.asynccontextmanager
    async def reading(self, name: str, api: Api) -> AsyncIterator[None]:
        """Look up in a cluster for as long as the block lasts."""
        async with Cluster(api, self._clock, lambda: self.settings, self._clean, name) as new:
            new.settle(self.wanted)
            self._clusters.setdefault(name, []).append(new)
            self._absent.pop(name, None)
            self._grown.set()
            self._grown = asyncio.Event()
            try:
                yield
            finally:
                self._clusters[name].remove(new)
                if not self._clusters[name]:
                    del self._clusters[name]

    def _clean(self, text: str) -> str:
        return self._redaction.text(text)

    def forbidden(self) -> dict[str, list[str]]:
        """Return the rights that are missing, by cluster: `get on pods`."""
        found = {name: sorted(set().union(*(each.forbidden for each in all_))) for name, all_ in self._clusters.items()}
        return {name: rights for name, rights in found.items() if rights}

    def cluster(self, name: str) -> Cluster | None:
        """Return a cluster, if it is there."""
        return self._clusters[name][-1] if name in self._clusters else None

    async def awaited(self, name: str) -> None:
        """Wait until a cluster is there: at a start events wait in the journal before it is reached."""
        now = self._clock.monotonic()
        if self._absent.get(name, 0.0) > now:
            return
        try:
            while name not in self._clusters:
                await self._grown.wait()
        except asyncio.CancelledError:
            if len(self._absent) > 1000:
                self._absent.clear()
            self._absent[name] = now + ABSENT
            raise


class Enricher:
    """Enriches for one sink.

    Args:
        wants: what is looked up.
    """

    def __init__(self, enrichment: Enrichment, sink: str, wants: frozenset[str]) -> None:
        self._enrichment = enrichment
        self._sink = sink
        self._wants = wants
        self._nothing = About(enriched=Enriched.FAILED, unknown=sorted(wants))

    async def __call__(self, batch: Batch) -> Batch:
        """Return the batch with what was looked up in it: in the lines, and as `Event.about`."""
        events = batch.events
        try:
            abouts = await self._look_up(events)
        except Exception as error:  # noqa: BLE001 - whatever it is, the events go out
            self._tell(error)
            abouts = [self._nothing] * len(events)
        lines: list[bytes] = []
        enriched: list[Event] = []
        encoded: dict[int, bytes] = {}
        for line, event, about in zip(batch.lines, events, abouts, strict=True):
            new = msgspec.structs.replace(event, about=about)
            enriched.append(new)
            if event.about is not NOTHING:  # from another Eventer, which had looked up something
                lines.append(encode_lines([new])[0])
                continue
            # `about` is the last field, and all events of one object share it: it is encoded once for them.
            tail = encoded.get(id(about))
            if tail is None:
                tail = encoded[id(about)] = b',"about":' + msgspec.json.encode(about) + b"}"
            lines.append(line[:-1] + tail)
        return Batch(lines, enriched)

    def count(self, batch: Batch) -> None:
        """Count how the look-ups for a batch that is sent have ended."""
        for state, n in Counter(event.about.enriched for event in batch.events).items():
            ENRICHED.labels(sink=self._sink, result=state).inc(n)

    def _tell(self, error: Exception) -> None:
        log.error("unexpected error in a look-up; this is a bug", sink=self._sink, exc_info=error)

    async def _look_up(self, events: Sequence[Event]) -> list[About]:
        """Return what is known of each event's object when all is, or when the time is up."""
        wants = self._wants
        clusters = {name: self._enrichment.cluster(name) for name in {event.cluster for event in events}}
        try:
            async with asyncio.timeout(self._enrichment.settings.timeout):
                for name in [name for name, cluster in clusters.items() if cluster is None and name]:
                    await self._enrichment.awaited(name)
                    clusters[name] = self._enrichment.cluster(name)
                asked: dict[tuple[str, Question], Cluster] = {}
                for event in events:
                    cluster = clusters[event.cluster]
                    if cluster is not None:
                        asked[event.cluster, cluster.question(event, wants)] = cluster
                missing = [(each, cluster) for (_, each), cluster in asked.items() if cluster.about(each, wants)[1]]
                await asyncio.gather(*(cluster.find(each, wants) for each, cluster in missing))
        except TimeoutError:
            pass
        found: dict[tuple[str, Question], About] = {}
        abouts: list[About] = []
        for event in events:
            cluster = clusters[event.cluster]
            if cluster is None:
                abouts.append(self._nothing if event.cluster else _OWN)
                continue
            question = cluster.question(event, wants)
            about = found.get((event.cluster, question))
            if about is None:
                about = found[event.cluster, question] = cluster.about(question, wants, last=True)[0]
            abouts.append(about)
        return abouts
