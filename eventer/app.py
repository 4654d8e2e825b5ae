"""The wiring: a configuration becomes a running daemon. The only module that knows all rooms.

Everything runs as tasks of one group: a task that ends by an error that nobody foresaw takes the
daemon down, because a half-running exporter that looks healthy is worse than a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
from collections.abc import Callable, Coroutine, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from eventer.clock import Backoff, Clock
from eventer.config.sources import Source, Start
from eventer.config.types import Config
from eventer.control.server import serve
from eventer.control.view import View
from eventer.delivery.runner import Runner
from eventer.errors import ConfigError, Corrupt, Fault, JournalError, SourceError
from eventer.event import Outcome, own_record
from eventer.intake import Intake
from eventer.journal import Journal, StreamKey
from eventer.journal.files import set_aside
from eventer.journal.journal import OWN
from eventer.journal.records import ClusterRecord
from eventer.sink import SinkContext, load
from eventer.source.kube import Cluster, identify
from eventer.source.settings import StreamSettings
from eventer.source.watch import Stream

__all__ = ["Daemon", "run"]

GRACE: Final = 25.0
"""Seconds for finishing what is in flight; below the 30 s that Kubernetes grants a pod."""

FLUSH_WITHIN: Final = 5.0
"""Seconds for storing what was read last; what is not stored is read again at the next start."""

log = structlog.get_logger()


class Daemon:
    """One run of one configuration.

    Args:
        config: checked.
        clock: time.
        ready: called with the bound address once the HTTP port answers.
    """

    def __init__(self, config: Config, clock: Clock, ready: Callable[[View, str, int], None] | None = None) -> None:
        self._config = config
        self._clock = clock
        self._ready = ready
        self._stop = asyncio.Event()
        self._quarantines = 0
        self._naming = asyncio.Lock()

    def stop(self) -> None:
        """Ask for an orderly end: stop reading, finish what is in flight, settle."""
        self._stop.set()

    async def run(self) -> None:
        """Run until `stop`. A journal that turns out to be damaged is set aside, and a new one begun.

        Raises:
            ConfigError: a cluster cannot be used as configured, or sinks with waiting events are gone.
            JournalError: the state directory cannot be used; the message says why.
            EventerError: the HTTP port cannot be had.
        """
        damaged = False
        backoff = Backoff(1.0, 60.0, clock=self._clock)
        while not self._stop.is_set():
            try:
                await self._run(damaged=damaged)
            except* Corrupt:
                if self._stop.is_set():  # the next start begins anew, if it finds the damage as well
                    raise
                if damaged:
                    # A disk that damages one journal after the other must not meet a hot loop.
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(backoff.next()):
                            await self._stop.wait()
                damaged = True

    async def _run(self, *, damaged: bool) -> None:
        config, clock = self._config, self._clock
        with Journal.open(
            Path(config.state.path), max_size=config.state.max_size, clock=clock, damaged=damaged
        ) as journal:
            view = View(journal=journal, clock=clock, runners={}, streams={})
            view.expected_streams = sum(len(source.kubernetes.namespaces) or 1 for source in config.sources)
            try:
                await self._begin(journal, view)
                async with serve(view, config.server.listen.host, config.server.listen.port) as (host, port):
                    log.info("eventer is running", state=config.state.path, listen=f"{host}:{port}", head=journal.head)
                    if self._ready is not None:
                        self._ready(view, host, port)
                    await self._serve(journal, view)
            finally:
                await journal.close()

    async def _begin(self, journal: Journal, view: View) -> None:
        """Bring the journal's readers in line with the configuration, and make the runners."""
        if journal.quarantined is not None:
            self._quarantines += 1
        view.quarantines = self._quarantines
        kept = journal.quarantined or _untold(journal, Path(self._config.state.path))
        if kept is not None:
            log.error("journal damaged, begun anew", kept=str(kept))
        await self._drop_readers(journal)
        for name, sink in self._config.sinks.items():
            module = load(sink.kind)
            made = module.Sink(sink, SinkContext(name=name, clock=self._clock))
            runner = Runner(name, made, sink, journal, self._clock, max_age=self._config.state.max_age)
            await runner.begin()
            view.runners[name] = runner
        if kept is not None:
            message = (
                "The journal was damaged and set aside; what waited in it for sinks is lost, and what the clusters "
                f"still hold is exported again. It is kept as {kept.name}."
            )
            await journal.record(own_record(self._clock.now(), "GapJournalDamaged", message))

    async def _drop_readers(self, journal: Journal) -> None:
        """Forget readers whose sink is gone from the configuration, if nothing is lost by that."""
        faults = []
        letters = await journal.letters()
        for name, reader in list(journal.readers.items()):
            if name in self._config.sinks:
                continue
            waiting = journal.head - reader.cursor + letters.get((name, Outcome.PARKED), 0)
            kept = letters.get((name, Outcome.DEAD), 0)
            if (waiting or kept) and name not in self._config.state.discard:
                faults.append(
                    Fault(
                        path=f"sinks.{name}",
                        message=f"the sink {name} is not in the configuration any more, but {waiting} events wait for "
                        f"it and {kept} are kept as dead letters",
                        remedy=f"put it back, or give them up with state.discard: [{name}]",
                    )
                )
                continue
            if waiting or kept:
                log.warning("sink removed, its events are discarded", sink=name, waiting=waiting, dead=kept)
            await journal.remove_reader(name)
        if faults:
            raise ConfigError(faults)

    async def _serve(self, journal: Journal, view: View) -> None:
        """Run all tasks until told to stop, then end them in order."""
        async with asyncio.TaskGroup() as group:
            house = group.create_task(journal.keep_house(), name="journal")
            damage = group.create_task(self._on_damage(journal), name="damage")
            runners = [group.create_task(runner.run(), name=name) for name, runner in view.runners.items()]
            readers = [
                group.create_task(self._read(source, journal, view), name=f"source {source.cluster}")
                for source in self._config.sources
            ]
            await self._stop.wait()
            view.stopping = True
            log.info("stopping")
            deadline = asyncio.get_running_loop().time() + GRACE
            await _end(readers)
            for runner in view.runners.values():
                runner.stop()
            await asyncio.wait(runners, timeout=deadline - asyncio.get_running_loop().time())
            await _end([*runners, house, damage])
        pending = {name: journal.head - reader.cursor for name, reader in journal.readers.items()}
        log.info("stopped", pending=pending)

    async def _on_damage(self, journal: Journal) -> None:
        await journal.damaged.wait()
        raise Corrupt("The journal's file is damaged.")

    # -- sources ---------------------------------------------------------------------------------

    async def _read(self, source: Source, journal: Journal, view: View) -> None:
        """Connect to one cluster, learn which it is, and stream its scopes until cancelled."""
        settings = source.kubernetes
        client = await Cluster.connect(settings.kubeconfig, settings.context)
        try:
            name = await self._identify(source, client, journal, view)
            streams: list[Stream] = []
            intakes: list[Intake] = []
            scopes: list[str | None] = [*settings.namespaces] or [None]
            for namespace in scopes:
                key = _key(name, namespace, settings.field_selector)
                intakes.append(Intake(journal, key, self._config.filter, self._clock))
                streams.append(self._stream(source, client, name, namespace, intakes[-1]))
                view.streams[intakes[-1].key] = streams[-1]
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

    async def _identify(self, source: Source, client: Cluster, journal: Journal, view: View) -> str:
        """Return the cluster's name; note in the journal whether it is still the one it was."""
        backoff = Backoff(0.8, 30.0, clock=self._clock)
        shown = source.cluster or source.kubernetes.context or "in-cluster"
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
                async with self._naming:  # between looking for a twin and noting the uid no other source may do so
                    why = why or self._twin(source, uid, journal)
                    if not why:
                        await self._note(name, uid, journal)
                        view.waiting.pop(shown, None)
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

    def _twin(self, source: Source, uid: str | None, journal: Journal) -> str:
        """Say which other source has this cluster already, by the journal, and reads the same of it; empty if none.

        Of two that both had it, with scopes that did not overlap then, the first in the file goes on.
        """

        def has_it(other: Source) -> bool:
            record = journal.cluster(other.cluster or "")
            return uid is not None and record is not None and record.uid == uid

        sources = self._config.sources
        for other in sources[: sources.index(source)] if has_it(source) else sources:
            if other is not source and has_it(other) and source.kubernetes.overlaps(other.kubernetes):
                return (
                    f"it is the same cluster as {other.cluster}, and what both read overlaps: each Event would be "
                    "exported twice. Remove one of the two sources, or give each the namespaces that it alone reads"
                )
        return ""

    async def _note(self, name: str, uid: str | None, journal: Journal) -> None:
        """Store the uid. Another uid under the same name is another cluster: positions say nothing of it."""
        known = journal.cluster(name)
        if known is None:
            await journal.set_cluster(name, ClusterRecord(uid=uid or ""))
        elif uid is not None and uid != known.uid:
            epoch = known.epoch + (1 if known.uid else 0)
            if known.uid:
                log.warning("another cluster under this name, all of it is exported", cluster=name)
            await journal.set_cluster(name, msgspec.structs.replace(known, uid=uid, epoch=epoch))

    def _stream(self, source: Source, client: Cluster, name: str, namespace: str | None, intake: Intake) -> Stream:
        settings = source.kubernetes
        start = settings.start
        if set_aside(Path(self._config.state.path)) is not None:
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


def _untold(journal: Journal, directory: Path) -> Path | None:
    """Return a database that an earlier life set aside and could not tell of, because it was killed.

    The gap record is the first of its own records that a journal begun anew gets.
    """
    return None if journal.stream(OWN).appended else set_aside(directory)


async def _all(runs: Iterable[Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for run_ in runs:
            group.create_task(run_)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait for their end; errors are the task group's to raise."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def run(config: Config, clock: Clock) -> None:
    """Run a daemon until SIGTERM or SIGINT; a second one ends the process at once.

    Raises:
        EventerError: see `Daemon.run`.
    """
    daemon = Daemon(config, clock)
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)  # the next one has its default effect
        log.info("signal received", signal=number.name)
        daemon.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    await daemon.run()
