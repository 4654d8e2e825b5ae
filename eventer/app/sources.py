"""Which clusters are read: one task for each source, started and ended until they are what a configuration says."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import msgspec
import structlog

from eventer.app.reading import Reading, streams_of
from eventer.app.tasks import end, lasting
from eventer.clock import Backoff, Clock
from eventer.config.sources import Source
from eventer.config.types import Config
from eventer.control.view import View
from eventer.enrich.enricher import Enrichment
from eventer.errors import ConfigError, JournalError, SourceError
from eventer.journal import Journal
from eventer.journal.records import ClusterRecord
from eventer.source.kube import Cluster, identify

__all__ = ["Sources"]

log = structlog.get_logger()


class _Running(msgspec.Struct, eq=False):
    source: Source
    task: asyncio.Task[None]
    reading: Reading | None = None
    """None while it is not known which cluster it is."""


class Sources:
    """The clusters that one life of the daemon reads.

    Args:
        group: their tasks run in it.
        view: shows their streams.
        directory: the state directory.
        enrichment: looks up in the clusters that are read.
    """

    def __init__(
        self,
        journal: Journal,
        view: View,
        clock: Clock,
        group: asyncio.TaskGroup,
        directory: Path,
        enrichment: Enrichment,
    ) -> None:
        self._journal = journal
        self._view = view
        self._clock = clock
        self._group = group
        self._directory = directory
        self._enrichment = enrichment
        self._running: list[_Running] = []
        self._connected: list[tuple[Source, Cluster]] = []
        """Clients of sources that are not read yet."""
        self._config: Config
        self._naming = asyncio.Lock()

    async def connect(self, config: Config) -> None:
        """Make the clients of the sources that are new in a configuration. Nothing is sent yet.

        Before `follow`, so that a configuration with which no cluster can be asked changes nothing.

        Raises:
            ConfigError: a source has no usable kubeconfig.
        """
        wanted = [source for source in config.sources if source not in [each.source for each in self._running]]
        await self._drop([each for each in self._connected if each[0] not in wanted])
        for source in wanted:
            if source not in [known for known, _ in self._connected]:
                settings = source.kubernetes
                try:
                    client = await Cluster.connect(settings.kubeconfig, settings.context)
                except ConfigError as error:
                    place = f"sources[{config.sources.index(source)}]."
                    raise ConfigError(
                        [msgspec.structs.replace(fault, path=place + fault.path) for fault in error.faults]
                    ) from None
                self._connected.append((source, client))

    async def follow(self, config: Config) -> None:
        """Read the clusters of a configuration, by its filter. A source that did not change is not touched.

        May be called again after a failure, and goes on then.

        Raises:
            JournalError: what a source read last is not stored yet; some of it may be done.
            ConfigError: as `connect`, if that was not called before.
        """
        await self.connect(config)
        self._config = config
        for each in self._running:
            if each.reading is not None:
                each.reading.use(config.filter, config.redact)
        ended = [each for each in self._running if each.source not in config.sources]
        if ended:
            await end(*(each.task for each in ended))
            await self._journal.drained()  # what comes next under the same key goes on from the record of the last
        self._running = [each for each in self._running if each not in ended]
        known = [each.source for each in self._running]
        connected, self._connected = self._connected, []
        for source, client in connected:
            if source not in known:
                task = self._group.create_task(
                    lasting(partial(self._read, source, client)), name=f"source {source.cluster}"
                )
                self._running.append(_Running(source, task))
        self._count()

    async def stop(self) -> None:
        """End all reading. What was read last is stored."""
        await end(*(each.task for each in self._running))
        await self._drop(self._connected)

    async def _drop(self, clients: list[tuple[Source, Cluster]]) -> None:
        """Close clients that will not be used."""
        self._connected = [each for each in self._connected if each not in clients]
        for _, client in clients:
            await client.close()

    async def _read(self, source: Source, client: Cluster) -> None:
        """Learn which cluster it is, and read it until cancelled."""
        try:
            name = await self._identify(source, client)
            parts = (self._journal, self._view, self._clock, self._directory)
            reading = Reading(source, client, name, *parts, self._count)
            reading.use(self._config.filter, self._config.redact)
            next(each for each in self._running if each.source == source).reading = reading
            self._count()
            async with self._enrichment.reading(name, client):
                await reading.run()
        finally:
            await client.close()

    def _count(self) -> None:
        """Note how many streams there should be; of a cluster that is not known yet, what its source names."""
        self._view.expected_streams = sum(
            each.reading.expected if each.reading is not None else streams_of(each.source) for each in self._running
        )

    async def _identify(self, source: Source, client: Cluster) -> str:
        """Return the cluster's name; note in the journal whether it is still the one it was."""
        view = self._view
        backoff = Backoff(0.8, 30.0, clock=self._clock)
        kubernetes = source.kubernetes
        shown = source.cluster or kubernetes.context or kubernetes.kubeconfig or "in-cluster"
        try:
            while True:
                try:
                    uid = await identify(client)
                    name = source.cluster or str(uid)
                    why = ""
                    if uid is None and source.cluster is None:
                        why = (
                            "the namespace kube-system may not be read, so the cluster has no name. Set `cluster:` in "
                            "its source, or grant `get` on the namespace kube-system"
                        )
                    async with self._naming:  # between looking for a twin and noting the uid no other may do so
                        why = why or self._twin(source, uid)
                        if not why:
                            await self._note(name, uid)
                            return name
                    if view.waiting.get(shown) != why:
                        log.error("cluster unknown", cluster=shown, reason=why)
                    view.waiting[shown] = why
                    await self._clock.sleep(backoff.next())
                except (SourceError, JournalError) as error:
                    if view.waiting.get(shown) != str(error):
                        log.warning("cluster not reachable", cluster=shown, reason=str(error))
                    view.waiting[shown] = str(error)
                    await self._clock.sleep(backoff.next(getattr(error, "after", None)))
        finally:
            view.waiting.pop(shown, None)

    def _twin(self, source: Source, uid: str | None) -> str:
        """Say which other source has this cluster already, by the journal, and reads the same of it; empty if none.

        Of two that both had it, with scopes that did not overlap then, the first in the file goes on.
        """

        def has_it(other: Source) -> bool:
            record = self._journal.cluster(other.cluster or "")
            return uid is not None and record is not None and record.uid == uid

        sources = self._config.sources
        for other in sources[: sources.index(source)] if has_it(source) else sources:
            if other != source and has_it(other) and source.kubernetes.overlaps(other.kubernetes):
                return (
                    f"it is the same cluster as {other.cluster}, and what both read overlaps: each Event would be "
                    "exported twice. Remove one of the two sources, or give each the namespaces that it alone reads, "
                    "and to one of them only the nodes"
                )
        return ""

    async def _note(self, name: str, uid: str | None) -> None:
        """Store the uid. Another uid under the same name is another cluster: positions say nothing of it."""
        known = self._journal.cluster(name)
        if known is None:
            await self._journal.set_cluster(name, ClusterRecord(uid=uid or ""))
        elif uid is not None and uid != known.uid:
            epoch = known.epoch + (1 if known.uid else 0)
            if known.uid:
                log.warning("another cluster under this name, all of it is exported", cluster=name)
            await self._journal.set_cluster(name, msgspec.structs.replace(known, uid=uid, epoch=epoch))
