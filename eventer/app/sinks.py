"""Which runners there are: started, ended and replaced until they are what a configuration says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec
import structlog

from eventer.alerting.digest import fold_lines
from eventer.alerting.reader import AlertReader
from eventer.alerting.silences import Silences
from eventer.allowance import Allowances
from eventer.app.leaving import Leaving
from eventer.app.tasks import end, lasting
from eventer.catalog.catalog import Catalog
from eventer.catalog.changes import CatalogChanges
from eventer.clock import Clock
from eventer.config.inhibition import Inhibit
from eventer.config.types import Config
from eventer.control.view import View
from eventer.delivery.runner import Runner
from eventer.delivery.telling import Telling
from eventer.enrich.enricher import Enrichment
from eventer.errors import ConfigError, Fault
from eventer.journal import Journal
from eventer.sink import Sink, SinkConfig, SinkContext, load

__all__ = ["Sinks"]

BEYOND: Final = 5.0
"""Seconds beyond its time-out for a sink that is to be replaced; what it had in flight is repeated then."""

CUT: Final = 2.0
"""Seconds that are left, when sends that take too long are cut, to settle what the others had confirmed."""

log = structlog.get_logger()


class _Running(msgspec.Struct, frozen=True):
    config: SinkConfig
    max_age: float
    catalog: CatalogChanges
    inhibit: Inhibit
    runner: Runner
    reader: AlertReader | None
    """Makes what a notifier is told."""
    tasks: list[asyncio.Task[None]]


class Sinks:
    """The runners of one life of the daemon.

    Args:
        group: their tasks run in it.
        view: shows them.
        enrichment: looks up for those that want it.
        silences: what nobody wants to be told now.
    """

    def __init__(
        self,
        journal: Journal,
        view: View,
        clock: Clock,
        group: asyncio.TaskGroup,
        enrichment: Enrichment,
        silences: Silences,
    ) -> None:
        self._journal = journal
        self._view = view
        self._clock = clock
        self._group = group
        self._enrichment = enrichment
        self._silences = silences
        self._running: dict[str, _Running] = {}
        self._leaving = Leaving(journal, clock)
        self._begun: tuple[Config, Sequence[str]] | None = None
        """What `follow` is at, and which sinks go with it."""
        self._allowances = Allowances(clock, journal.sent.known, journal.sent.keep)

    async def follow(self, config: Config) -> None:
        """Make the runners those of a configuration. What did not change is not touched.

        May be called again after a failure, and goes on then.

        Raises:
            ConfigError: events wait for a sink that is not in it any more. Nothing has changed.
            JournalError: the journal cannot store it; some of it may be done.
        """
        begun = self._begun
        if begun is None or begun[0] != config:
            begun = (config, await self._leaving.given_up(config, self._running))
        made = {name: self._make(name, config) for name in config.sinks if self._new(name, config)}
        # Nothing has changed before here. What comes from now on is not owed any more to those that go.
        self._begun, gone = begun, begun[1]
        wants = {name: frozenset(sink.enrich) for name, sink in config.sinks.items()}
        self._enrichment.use(config.lookups, config.redact, wants)
        await self._end([name for name in self._running if name in made or name in gone])
        await self._leaving.forget(config)
        for name, sink in made.items():
            runner, reader = self._runner(name, sink, config)
            if reader is not None:
                await reader.begin()
            await runner.begin()
            tasks = [self._group.create_task(lasting(runner.run), name=name)]
            if reader is not None:
                tasks.append(self._group.create_task(lasting(reader.run), name=f"alerting {name}"))
            kept = (config.sinks[name], config.state.max_age, config.catalog, config.inhibit)
            self._running[name] = _Running(*kept, runner, reader, tasks)
            self._view.runners[name] = runner
        self._view.runners = {name: self._view.runners[name] for name in config.sinks}  # in the file's order
        self._begun = None

    async def stop(self, seconds: float) -> None:
        """Let all runners finish what is in flight, and cancel those that take longer."""
        running = list(self._running.values())
        for each in running:
            _stop(each)
        if running:
            await _ended(running, seconds - CUT)

    def _new(self, name: str, config: Config) -> bool:
        """Whether a sink needs another runner than the one that it has."""
        running = self._running.get(name)
        return (
            running is None
            or running.tasks[0].done()
            or running.config != config.sinks[name]
            or running.max_age != config.state.max_age
            or (running.reader is not None and (running.catalog, running.inhibit) != (config.catalog, config.inhibit))
        )

    def _make(self, name: str, config: Config) -> Sink:
        sink = config.sinks[name]
        try:
            context = SinkContext(
                name=name, clock=self._clock, catalog=Catalog(config.catalog), allowances=self._allowances
            )
            made: Sink = load(sink.kind).Sink(sink, context)
        except Exception as error:
            # A sink by a third party can fail in any way, and must not end a daemon that runs well without it.
            message = f"the sink cannot be made: {type(error).__name__}, which is a bug in the kind {sink.kind}"
            fault = Fault(path=f"sinks.{name}", message=message, remedy="take it out, and report it to its makers")
            raise ConfigError([fault]) from error
        return made

    def _runner(self, name: str, made: Sink, config: Config) -> tuple[Runner, AlertReader | None]:
        sink = config.sinks[name]
        enrich = self._enrichment.of(name)
        max_age = config.state.max_age
        parts = (self._journal, self._clock)
        if sink.notifies is None:
            return Runner(name, made, sink, *parts, max_age=max_age, enrich=enrich), None
        meanings = Catalog(config.catalog)
        reader = AlertReader(
            name,
            sink,
            sink.notifies,
            self._journal,
            meanings,
            self._clock,
            inhibit=config.inhibit,
            silences=self._silences,
            enrich=enrich,
            exists=self._enrichment.existence(name),
        )
        log = self._journal.alerting.log(name)
        telling = Telling(name, log, fold_lines, self._clock, again=sink.repeats_unknown)
        return Runner(name, made, sink, *parts, max_age=max_age, telling=telling), reader

    async def _end(self, names: Sequence[str]) -> None:
        """End runners in order: their cursors are on the disk, and nothing of them is on its way there.

        Raises:
            JournalError: that cannot be told yet. None of them runs any more, and all are to be ended again.
        """
        ending = [self._running[name] for name in names]
        for running in ending:
            _stop(running)
        await asyncio.gather(*(_ended([each], each.config.timeout + BEYOND) for each in ending))
        if ending:
            await self._journal.drained()
        for name in names:
            del self._running[name]
            self._view.runners.pop(name, None)


def _stop(running: _Running) -> None:
    running.runner.stop()
    if running.reader is not None:
        running.reader.stop()


async def _ended(running: Sequence[_Running], seconds: float) -> None:
    """Return when they have come to their end: by themselves, in this time, or because their sends are cut."""
    tasks = [task for each in running for task in each.tasks]
    _, late = await asyncio.wait(tasks, timeout=seconds)
    if late:
        for each in running:
            each.runner.sender.cut()
        await asyncio.wait(late, timeout=CUT)
    await end(*tasks)
