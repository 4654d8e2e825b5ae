"""One cluster that is read: its scopes, each with a stream and an intake of its own."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog

from eventer.app.tasks import end, lasting
from eventer.clock import Backoff, Clock
from eventer.config.sources import LabelSelector, Source, Start
from eventer.config.types import FilterRule
from eventer.control.view import View
from eventer.errors import JournalError, Refused, SourceError
from eventer.intake import Intake
from eventer.journal import Journal, StreamKey
from eventer.journal.files import doubted, set_aside
from eventer.redaction import RedactRule
from eventer.source import subjects
from eventer.source.kube import Cluster
from eventer.source.namespaces import selected
from eventer.source.settings import StreamSettings
from eventer.source.subjects import Subject
from eventer.source.watch import Stream

__all__ = ["NODES", "Reading", "key_of", "streams_of"]

NODES: Final = "nodes"
"""The scope of the stream of Nodes."""
NODES_PAUSE: Final = 0.5
"""Seconds. Heartbeats of thousands of nodes come one by one; who writes a condition has looked for seconds."""
NODES_PAGE: Final = 50
"""Nodes of one page of a list. One is ten to twenty times as large as an Event, and a page is in memory as a whole."""

FLUSH_WITHIN: Final = 5.0
"""Seconds for storing what was read last; what is not stored is read again at the next start."""
LOOK_EVERY: Final = 30.0
"""Seconds between looks at the labels of namespaces. Events live for an hour, so none is missed by that."""

log = structlog.get_logger()


class Reading:
    """Reads one cluster.

    Args:
        source: what of it.
        client: the connection.
        name: of the cluster.
        directory: the state directory.
        counted: called when `expected` has changed.

    Attributes:
        expected: streams that there should be.
    """

    def __init__(
        self,
        source: Source,
        client: Cluster,
        name: str,
        journal: Journal,
        view: View,
        clock: Clock,
        directory: Path,
        counted: Callable[[], None],
    ) -> None:
        self._source = source
        self._client = client
        self._name = name
        self._journal = journal
        self._view = view
        self._clock = clock
        self._directory = directory
        self._counted = counted
        self._rules: tuple[Sequence[FilterRule], Sequence[RedactRule]] = ((), ())
        self._intakes: set[Intake] = set()
        self._scopes: dict[str, asyncio.Task[None]] = {}
        self.expected = streams_of(source)

    def use(self, rules: Sequence[FilterRule], redact: Sequence[RedactRule]) -> None:
        """Filter and redact by these rules from the next append on."""
        self._rules = (rules, redact)
        for intake in self._intakes:
            intake.use(rules, redact)

    async def run(self) -> None:
        """Read until cancelled. What was read last is stored then."""
        settings = self._source.kubernetes
        async with asyncio.TaskGroup() as group:
            if settings.reads_nodes:
                group.create_task(lasting(partial(self._read_nodes, settings.start)), name=f"nodes of {self._name}")
            if settings.namespace_selector is not None:
                await self._follow_labels(settings.namespace_selector, group)
            for namespace in settings.namespaces or (None,):
                self._begin(namespace, settings.start, group)

    async def _follow_labels(self, selector: LabelSelector, group: asyncio.TaskGroup) -> None:
        """Read the namespaces that have the labels, whichever these are."""
        backoff = Backoff(1.0, LOOK_EVERY, clock=self._clock)
        # What a namespace that comes later holds has come after the first start, whatever that was to leave out.
        first = not any(key.cluster == self._name and key.scope != NODES for key in self._journal.streams)
        start = self._source.kubernetes.start if first else Start(math.inf)
        while True:
            try:
                names = await selected(self._client, selector)
                await self._choose(names, start, group)
            except (SourceError, JournalError) as error:
                why = f"namespaces cannot be chosen by their labels: {error}"
                if self._view.waiting.get(self._name) != why:
                    log.warning("namespaces not chosen", cluster=self._name, reason=str(error))
                if isinstance(error, Refused) or not self._scopes:
                    self._view.waiting[self._name] = why
                await self._clock.sleep(backoff.next(getattr(error, "after", None)))
                continue
            self._view.waiting.pop(self._name, None)
            start = Start(math.inf)
            await self._clock.sleep(LOOK_EVERY)

    async def _choose(self, names: Sequence[str], start: Start, group: asyncio.TaskGroup) -> None:
        """Begin to read namespaces that are new, and end those that are gone.

        Raises:
            JournalError: what was read last of one is not stored yet.
        """
        gone = [namespace for namespace in self._scopes if namespace not in names]
        new = [namespace for namespace in names if namespace not in self._scopes]
        if gone:
            await end(*(self._scopes[namespace] for namespace in gone))
            await self._journal.drained()  # it may come again, and goes on from the record then
        for namespace in gone:
            del self._scopes[namespace]
        for namespace in new:
            self._scopes[namespace] = self._begin(namespace, start, group)
        self.expected = len(self._scopes) + self._source.kubernetes.reads_nodes
        self._counted()
        if gone or new:
            log.info("namespaces chosen", cluster=self._name, new=new, gone=gone, all=len(names))

    def _begin(self, namespace: str | None, start: Start, group: asyncio.TaskGroup) -> asyncio.Task[None]:
        name = f"events of {self._name}/{namespace or '*'}"
        return group.create_task(lasting(partial(self._read, namespace, start)), name=name)

    async def _read(self, namespace: str | None, start: Start) -> None:
        """Stream the Events of one scope until cancelled."""
        settings = self._source.kubernetes
        subject = subjects.events(
            self._name,
            self._source.labels,
            namespace=namespace,
            api=settings.api,
            selector=settings.field_selector or "",
        )
        await self._stream(
            key_of(self._name, namespace, settings.field_selector), subject, start, event_ttl=settings.event_ttl
        )

    async def _read_nodes(self, start: Start) -> None:
        """Stream Nodes until cancelled. Nodes do not expire, so nothing of them is lost by not being there."""
        subject = subjects.nodes(self._name, self._source.labels)
        await self._stream(
            StreamKey(self._name, NODES), subject, start, event_ttl=math.inf, page=NODES_PAGE, pause=NODES_PAUSE
        )

    async def _stream(self, key: StreamKey, subject: Subject, start: Start, **settings: Any) -> None:
        rules, redact = self._rules
        intake = Intake(self._journal, key, rules, self._clock, redact)
        if set_aside(self._directory) is not None or doubted(self._directory):
            start = Start(math.inf)  # what the damaged or lost journal may have held is not "the past"
        stream = Stream(
            cluster=self._client,
            subject=subject,
            target=intake,
            clock=self._clock,
            settings=StreamSettings(
                start="all" if math.isinf(start) else timedelta(seconds=start) if start else "now",
                audit_every=self._source.kubernetes.audit,
                **settings,
            ),
        )
        with self._shown(intake, stream):
            async with asyncio.TaskGroup() as group:
                appending = group.create_task(lasting(intake.run), name=f"intake {key}")
                try:
                    await stream.run()
                finally:
                    with contextlib.suppress(JournalError, TimeoutError):  # what is not stored will be read again
                        async with asyncio.timeout(FLUSH_WITHIN):
                            await intake.flush()
                    appending.cancel()

    @contextlib.contextmanager
    def _shown(self, intake: Intake, stream: Stream) -> Iterator[None]:
        self._intakes.add(intake)
        self._view.streams[intake.key] = stream
        try:
            yield
        finally:
            self._intakes.discard(intake)
            self._view.streams.pop(intake.key, None)


def streams_of(source: Source) -> int:
    """Return how many streams a source has, as far as its configuration tells."""
    return (len(source.kubernetes.namespaces) or 1) + source.kubernetes.reads_nodes


def key_of(cluster: str, namespace: str | None, selector: str | None) -> StreamKey:
    """Return the name of the stream that reads one namespace, or all, of a cluster."""
    scope = "events" if namespace is None else f"events/{namespace}"
    return StreamKey(cluster, f"{scope}?{selector}" if selector else scope)
