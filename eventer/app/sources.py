"""Which clusters are read: one task for each source, started and ended until they are what a configuration says."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Coroutine, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from eventer.app.tasks import end
from eventer.clock import Backoff, Clock
from eventer.config.sources import Source, Start
from eventer.config.types import Config, FilterRule
from eventer.control.view import View
from eventer.errors import JournalError, SourceError
from eventer.intake import Intake
from eventer.journal import Journal, StreamKey
from eventer.journal.files import set_aside
from eventer.journal.records import ClusterRecord
from eventer.source.kube import Cluster, identify
from eventer.source.settings import StreamSettings
from eventer.source.watch import Stream

__all__ = ["Sources"]

FLUSH_WITHIN: Final = 5.0
"""Seconds for storing what was read last; what is not stored is read again at the next start."""

log = structlog.get_logger()


class Sources:
    """The clusters that one life of the daemon reads.

    Args:
        group: their tasks run in it.
        view: shows their streams.
        directory: the state directory.
    """

    def __init__(self, journal: Journal, view: View, clock: Clock, group: asyncio.TaskGroup, directory: Path) -> None:
        self._journal = journal
        self._view = view
        self._clock = clock
        self._group = group
        self._directory = directory
        self._running: list[tuple[Source, asyncio.Task[None]]] = []
        self._intakes: set[Intake] = set()
        self._rules: list[FilterRule] = []
        self._sources: list[Source] = []
        self._naming = asyncio.Lock()

    async def follow(self, config: Config) -> None:
        """Read the clusters of a configuration, by its filter. A source that did not change is not touched.

        May be called again after a failure, and goes on then.

        Raises:
            JournalError: what a source read last is not stored yet; some of it may be done.
        """
        self._rules = config.filter
        for intake in self._intakes:
            intake.use(config.filter)
        ended = [task for source, task in self._running if source not in config.sources]
        if ended:
            await end(*ended)
            await self._journal.drained()  # what comes next under the same key goes on from the record of the last
        self._running = [each for each in self._running if each[1] not in ended]
        known = [source for source, _ in self._running]
        self._view.expected_streams = sum(len(source.kubernetes.namespaces) or 1 for source in config.sources)
        self._sources = config.sources
        for source in config.sources:
            if source not in known:
                task = self._group.create_task(self._read(source), name=f"source {source.cluster}")
                self._running.append((source, task))

    async def stop(self) -> None:
        """End all reading. What was read last is stored."""
        await end(*(task for _, task in self._running))

    async def _read(self, source: Source) -> None:
        """Connect to one cluster, learn which it is, and stream its scopes until cancelled."""
        settings = source.kubernetes
        client = await Cluster.connect(settings.kubeconfig, settings.context)
        try:
            name = await self._identify(source, client)
            streams: list[Stream] = []
            intakes: list[Intake] = []
            scopes: list[str | None] = [*settings.namespaces] or [None]
            for namespace in scopes:
                key = _key(name, namespace, settings.field_selector)
                intakes.append(Intake(self._journal, key, self._rules, self._clock))
                streams.append(self._stream(source, client, name, namespace, intakes[-1]))
            with self._shown(intakes, streams):
                async with asyncio.TaskGroup() as group:
                    appenders = [group.create_task(intake.run(), name=f"intake {intake.key}") for intake in intakes]
                    try:
                        await _all(stream.run() for stream in streams)
                    finally:
                        with contextlib.suppress(JournalError, TimeoutError):  # what is not stored will be read again
                            async with asyncio.timeout(FLUSH_WITHIN):
                                await asyncio.gather(*(intake.flush() for intake in intakes), return_exceptions=True)
                        for appender in appenders:
                            appender.cancel()
        finally:
            await client.close()

    @contextlib.contextmanager
    def _shown(self, intakes: list[Intake], streams: list[Stream]) -> Iterator[None]:
        self._intakes.update(intakes)
        for intake, stream in zip(intakes, streams, strict=True):
            self._view.streams[intake.key] = stream
        try:
            yield
        finally:
            self._intakes.difference_update(intakes)
            for intake in intakes:
                self._view.streams.pop(intake.key, None)

    async def _identify(self, source: Source, client: Cluster) -> str:
        """Return the cluster's name; note in the journal whether it is still the one it was."""
        view = self._view
        backoff = Backoff(0.8, 30.0, clock=self._clock)
        shown = source.cluster or source.kubernetes.context or "in-cluster"
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

        sources = self._sources
        for other in sources[: sources.index(source)] if has_it(source) else sources:
            if other != source and has_it(other) and source.kubernetes.overlaps(other.kubernetes):
                return (
                    f"it is the same cluster as {other.cluster}, and what both read overlaps: each Event would be "
                    "exported twice. Remove one of the two sources, or give each the namespaces that it alone reads"
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

    def _stream(self, source: Source, client: Cluster, name: str, namespace: str | None, intake: Intake) -> Stream:
        settings = source.kubernetes
        start = settings.start
        if set_aside(self._directory) is not None:
            start = Start(math.inf)  # what the damaged journal may have held is not "the past"
        return Stream(
            cluster=client,
            cluster_name=name,
            labels=source.labels,
            namespace=namespace,
            api=settings.api,
            selector=settings.field_selector or "",
            target=intake,
            clock=self._clock,
            settings=StreamSettings(
                start="all" if math.isinf(start) else timedelta(seconds=start) if start else "now",
                event_ttl=settings.event_ttl,
                audit_every=settings.audit,
            ),
        )


def _key(cluster: str, namespace: str | None, selector: str | None) -> StreamKey:
    scope = "events" if namespace is None else f"events/{namespace}"
    return StreamKey(cluster, f"{scope}?{selector}" if selector else scope)


async def _all(runs: Iterable[Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for run_ in runs:
            group.create_task(run_)
