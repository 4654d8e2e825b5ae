"""One life of the daemon: the real rooms, wired as `eventer.app` wires them, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from msgspec import structs

from eventer.app.reading import NODES
from eventer.clock import Clock
from eventer.config.types import FilterRule
from eventer.delivery.runner import Pace, Runner
from eventer.errors import JournalError
from eventer.intake import Intake
from eventer.journal import Journal, StreamKey
from eventer.journal.records import ClusterRecord
from eventer.source import subjects
from eventer.source.settings import StreamSettings
from eventer.source.watch import Stream
from tests.simulation.api import Api, Connection
from tests.simulation.far import FarSide

__all__ = ["CLUSTER", "GRACE", "NODES", "Life", "Site", "scope_of"]

CLUSTER = "sim"
GRACE = 10.0
"""Seconds that an orderly end may take before the rest is cut off."""
PACE = Pace(retry_base=0.2, retry_cap=3.0, probe_base=1.0, probe_cap=4.0)


def scope_of(namespace: str | None) -> str:
    return "events" if namespace is None else f"events/{namespace}"


class Site:
    """What stays the same from one life to the next: configuration, servers, far sides."""

    def __init__(self, api: Api, fars: Sequence[FarSide], clock: Clock, dice: random.Random) -> None:
        self.api = api
        self.fars = fars
        self.clock = clock
        self.dice = dice
        self.namespaces: list[str | None] = dice.choice(([None], [None], ["a", "b"]))
        self.nodes = False
        self.rules: list[FilterRule] = []
        self.max_age = 86_400.0
        self.max_size = 1 << 30
        self.settings = StreamSettings(
            watch_timeout=(4, 9),
            idle_margin=3.0,
            short=0.3,
            settled=3.0,
            jitter=0.3,
            backoff=(0.2, 3.0),
            patience=4.0,
            deadline=4.0,
            page=dice.choice((2, 7, 500)),
            confirm=1.0,
            audit_every=dice.choice((15.0, 40.0)),
            audit_after=10.0,
            audit_retry=5.0,
            audit_pause=0.05,
        )


class Life:
    """Run it as a task; `stop` ends it in order, cancelling after `dead` is set is what is left of a kill."""

    def __init__(self, site: Site, directory: Path, look: Callable[[Journal, Path], Awaitable[None]]) -> None:
        self.directory = directory
        self._look = look
        self.dead = False
        """From here on nothing that it does may be seen."""
        self.cut_off = False
        """The orderly end took too long."""
        self.refused = False
        """The disk did not let it begin."""
        self.journal: Journal | None = None
        self.streams: list[Stream] = []
        self._site = site
        self._stop = asyncio.Event()

    def stop(self) -> None:
        self._stop.set()

    async def run(self) -> None:
        site = self._site
        try:
            with Journal.open(self.directory, max_size=site.max_size, clock=site.clock) as journal:
                try:
                    runners = [self._runner(far, journal) for far in site.fars]
                    for runner in runners:
                        await runner.begin()
                    await self._look(journal, self.directory)
                    self.journal = journal
                    await self._serve(journal, runners)
                finally:
                    await journal.close()
        except JournalError:
            self.refused = True

    def _runner(self, far: FarSide, journal: Journal) -> Runner:
        site = self._site
        sink = far.sink(lambda: self.dead)
        return Runner(far.name, sink, far.config, journal, site.clock, max_age=site.max_age, pace=PACE)

    async def _serve(self, journal: Journal, runners: list[Runner]) -> None:
        async with asyncio.TaskGroup() as group:
            house = group.create_task(journal.keep_house())
            damage = group.create_task(self._on_damage(journal))
            running = [group.create_task(runner.run()) for runner in runners]
            reading = group.create_task(self._read(journal))
            await self._stop.wait()
            deadline = asyncio.get_running_loop().time() + GRACE
            await _end([reading])
            for runner in runners:
                runner.stop()
            _, late = await asyncio.wait(running, timeout=deadline - asyncio.get_running_loop().time())
            self.cut_off = bool(late)
            await _end([*running, house, damage])

    async def _on_damage(self, journal: Journal) -> None:
        await journal.damaged.wait()
        raise AssertionError("the journal says that its file is damaged")

    async def _read(self, journal: Journal) -> None:
        site = self._site
        while journal.cluster(CLUSTER) is None:
            try:
                await journal.set_cluster(CLUSTER, ClusterRecord(uid="uid"))
            except JournalError:
                await site.clock.sleep(1.0)
        connection = Connection(site.api)
        intakes: list[Intake] = []
        subject = subjects.events
        reads = {scope_of(name): subject(CLUSTER, {}, namespace=name, api="core") for name in site.namespaces}
        if site.nodes:
            reads[NODES] = subjects.nodes(CLUSTER, {})
        for scope, read in reads.items():
            intakes.append(Intake(journal, StreamKey(CLUSTER, scope), site.rules, site.clock))
            self.streams.append(
                Stream(
                    cluster=connection,  # type: ignore[arg-type]
                    subject=read,
                    target=intakes[-1],
                    clock=site.clock,
                    settings=structs.replace(site.settings, pause=0.2) if scope == NODES else site.settings,
                    rng=random.Random(site.dice.random()),
                )
            )
        async with asyncio.TaskGroup() as group:
            appenders = [group.create_task(intake.run()) for intake in intakes]
            try:
                async with asyncio.TaskGroup() as streaming:
                    for stream in self.streams:
                        streaming.create_task(stream.run())
            finally:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(2.0):
                        await asyncio.gather(*(intake.flush() for intake in intakes), return_exceptions=True)
                for appender in appenders:
                    appender.cancel()


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
