"""Which runners there are: started, ended and replaced until they are what a configuration says."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
import structlog

from eventer.app.tasks import end, lasting
from eventer.clock import Clock
from eventer.config.types import Config
from eventer.control.view import View
from eventer.delivery.runner import Runner
from eventer.enrich.enricher import Enrichment
from eventer.errors import ConfigError, Fault
from eventer.event import Outcome
from eventer.journal import Journal
from eventer.sink import SinkConfig, SinkContext, load

__all__ = ["Sinks"]

DRAIN: Final = 10.0
"""Seconds that a sink taken out of the configuration has for what waits for it before the reload is refused."""
BEYOND: Final = 5.0
"""Seconds beyond its time-out for a sink that is to be replaced; what it had in flight is repeated then."""

log = structlog.get_logger()


class _Running(msgspec.Struct, frozen=True):
    config: SinkConfig
    max_age: float
    runner: Runner
    task: asyncio.Task[None]


class Sinks:
    """The runners of one life of the daemon.

    Args:
        group: their tasks run in it.
        view: shows them.
        enrichment: looks up for those that want it.
    """

    def __init__(
        self, journal: Journal, view: View, clock: Clock, group: asyncio.TaskGroup, enrichment: Enrichment
    ) -> None:
        self._journal = journal
        self._view = view
        self._clock = clock
        self._group = group
        self._enrichment = enrichment
        self._running: dict[str, _Running] = {}

    async def follow(self, config: Config) -> None:
        """Make the runners those of a configuration. What did not change is not touched.

        May be called again after a failure, and goes on then.

        Raises:
            ConfigError: events wait for a sink that is not in it any more. Nothing has changed.
            JournalError: the journal cannot store it; some of it may be done.
        """
        gone = await self._given_up(config)
        wants = {name: frozenset(sink.enrich) for name, sink in config.sinks.items()}
        self._enrichment.use(config.lookups, config.redact, wants)
        made = {name: self._make(name, sink, config) for name, sink in config.sinks.items() if self._new(name, config)}
        await asyncio.gather(*(self._end(name) for name in [*self._running] if name in made or name in gone))
        for name in gone:
            await self._journal.remove_reader(name)
        for name, runner in made.items():
            await runner.begin()
            task = self._group.create_task(lasting(runner.run), name=name)
            self._running[name] = _Running(config.sinks[name], config.state.max_age, runner, task)
            self._view.runners[name] = runner
        self._view.runners = {name: self._view.runners[name] for name in config.sinks}  # in the file's order

    async def stop(self, seconds: float) -> None:
        """Let all runners finish what is in flight, and cancel those that take longer."""
        running = list(self._running.values())
        for each in running:
            each.runner.stop()
        if running:
            await asyncio.wait([each.task for each in running], timeout=seconds)
        await end(*(each.task for each in running))

    def _new(self, name: str, config: Config) -> bool:
        """Whether a sink needs another runner than the one that it has."""
        running = self._running.get(name)
        return running is None or running.config != config.sinks[name] or running.max_age != config.state.max_age

    def _make(self, name: str, sink: SinkConfig, config: Config) -> Runner:
        try:
            made = load(sink.kind).Sink(sink, SinkContext(name=name, clock=self._clock))
        except Exception as error:
            # A sink by a third party can fail in any way, and must not end a daemon that runs well without it.
            message = f"the sink cannot be made: {type(error).__name__}, which is a bug in the kind {sink.kind}"
            fault = Fault(path=f"sinks.{name}", message=message, remedy="take it out, and report it to its makers")
            raise ConfigError([fault]) from error
        enrich = self._enrichment.of(name)
        return Runner(name, made, sink, self._journal, self._clock, max_age=config.state.max_age, enrich=enrich)

    async def _end(self, name: str) -> None:
        """End a runner in order: its cursor is on the disk, and nothing of it is on its way there."""
        running = self._running[name]
        running.runner.stop()
        await asyncio.wait([running.task], timeout=running.config.timeout + BEYOND)
        await end(running.task)
        await self._journal.drained()
        del self._running[name]
        self._view.runners.pop(name, None)

    # -- sinks that are gone ---------------------------------------------------------------------

    async def _given_up(self, config: Config) -> list[str]:
        """Return readers whose sink is gone from the configuration, if nothing is lost by forgetting them.

        Raises:
            ConfigError: events wait for one, and the configuration does not say that they may go.
        """
        gone = [name for name in self._journal.readers if name not in config.sinks]
        head = self._journal.head  # what comes from now on is not owed any more
        allowed = set(config.state.discard)
        if any(name in self._running and name not in allowed for name in gone):
            await self._drain([name for name in gone if name in self._running and name not in allowed], head)
        letters = await self._journal.letters()
        faults: list[Fault] = []
        for name in gone:
            waiting = max(0, head - self._journal.readers[name].cursor) + letters.get((name, Outcome.PARKED), 0)
            kept = letters.get((name, Outcome.DEAD), 0)
            if not waiting and not kept:
                continue
            if name in allowed:
                log.warning("sink removed, its events are discarded", sink=name, waiting=waiting, dead=kept)
                continue
            faults.append(
                Fault(
                    path=f"sinks.{name}",
                    message=f"the sink {name} is not in the configuration any more, but {waiting} events wait for "
                    f"it and {kept} are kept as dead letters",
                    remedy=f"put it back, or give them up with state.discard: [{name}]",
                )
            )
        if faults:
            raise ConfigError(faults)
        return gone

    async def _drain(self, names: list[str], head: int) -> None:
        """Give sinks a moment to get what was there when their configuration went away."""
        deadline = self._clock.monotonic() + DRAIN
        while self._clock.monotonic() < deadline:
            books = await self._journal.books()
            if all(
                books.readers[name].cursor >= head and not books.letters.get((name, Outcome.PARKED)) for name in names
            ):
                return
            await self._clock.sleep(0.1)
