"""One run of the daemon: its journal, its port and its socket, and the order in which all begins and ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web

from eventer.alerting.silencing import Silencing
from eventer.app import place
from eventer.app.alarms import Alarms
from eventer.app.reload import ConfigFile, Reload
from eventer.app.sinks import Sinks
from eventer.app.sources import Sources
from eventer.app.tasks import end
from eventer.clock import Backoff, Clock
from eventer.config.types import Config
from eventer.control import letters, replay, silences, trace
from eventer.control.routes import routes
from eventer.control.server import serve
from eventer.control.socket import listen
from eventer.control.view import View
from eventer.enrich.enricher import Enrichment
from eventer.errors import Corrupt
from eventer.event import own_record
from eventer.journal import Journal
from eventer.journal.files import set_aside
from eventer.journal.records import OWN

__all__ = ["Daemon", "run"]

GRACE: Final = 25.0
"""Seconds for finishing what is in flight; below the 30 s that Kubernetes grants a pod."""

log = structlog.get_logger()


class Daemon:
    """One run of one configuration, and of what its file becomes meanwhile.

    Args:
        config: checked.
        clock: time.
        ready: called with the bound address once the HTTP port answers.
        file: where the configuration is read again; None if it never is.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        ready: Callable[[View, str, int], None] | None = None,
        file: ConfigFile | None = None,
    ) -> None:
        self._clock = clock
        self._ready = ready
        self._state = config.state
        self._stop = asyncio.Event()
        self._quarantines = 0
        self._started = clock.now().timestamp()
        self._sinks: Sinks
        self._sources: Sources
        self._silencing: Silencing
        self.reload = Reload(file, config, self._follow, clock)

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
        config, clock, state = self.reload.config, self._clock, self._state
        directory = Path(state.path)
        with Journal.open(directory, max_size=state.max_size, keep=state.keep, clock=clock, damaged=damaged) as journal:
            if journal.quarantined is not None:
                self._quarantines += 1
            place.tell(state, directory)
            self._silencing = Silencing(journal, clock)
            mirroring: list[asyncio.Task[None]] = []
            view = View(
                journal=journal,
                clock=clock,
                state=state,
                reload=self.reload.asked,
                config=self.reload.report,
                started=self._started,
                quarantines=self._quarantines,
            )
            try:
                async with (
                    serve(view, config.server.listen.host, config.server.listen.port) as (host, port),
                    listen(self._routes(view), directory),
                    place.mirrored(view) as mirror,
                    asyncio.TaskGroup() as group,
                ):
                    house = group.create_task(journal.keep_house(), name="journal")
                    damage = group.create_task(_on_damage(journal), name="damage")
                    enrichment = Enrichment(clock)
                    view.forbidden = enrichment.forbidden
                    self._sinks = Sinks(journal, view, clock, group, enrichment, self._silencing.silences)
                    self._sources = Sources(journal, view, clock, group, directory, enrichment)
                    if mirror is not None and not await place.resume(mirror, config, directory, self._stop):
                        await end(house, damage)
                        return
                    self._silencing.use(config)
                    await self._sinks.follow(config)
                    await _tell_of_damage(journal, directory, clock)
                    if mirror is not None:
                        await mirror.tell()
                        mirroring.append(group.create_task(mirror.run(), name="mirror"))
                    await self._sources.follow(config)
                    log.info("eventer is running", state=state.path, listen=f"{host}:{port}", head=journal.head)
                    if self._ready is not None:
                        self._ready(view, host, port)
                    reload = group.create_task(self.reload.run(), name="reload")
                    alarms = group.create_task(Alarms(journal, view, clock).run(), name="alarms")
                    await self._stop.wait()
                    view.stopping = True
                    log.info("stopping")
                    deadline = asyncio.get_running_loop().time() + GRACE
                    await end(reload, alarms)
                    await self._sources.stop()
                    await self._sinks.stop(deadline - asyncio.get_running_loop().time())
                    await end(*mirroring)
                    if mirror is not None:
                        await mirror.finish()
                    await end(house, damage)
                pending = {name: runner.pending for name, runner in view.runners.items()}
                log.info("stopped", pending=pending)
            finally:
                await journal.close()

    def _config(self) -> Config:
        """Return what runs."""
        return self.reload.config

    def _routes(self, view: View) -> list[web.AbstractRouteDef]:
        """What commands may ask for."""
        return [
            *routes(view),
            *letters.routes(view),
            *replay.routes(view, self._config),
            *silences.routes(self._silencing),
            *trace.routes(view),
        ]

    async def _follow(self, config: Config) -> None:
        """Bring what runs in line with a configuration; see `Sinks.follow` and `Sources.connect` for what it raises."""
        await self._sources.connect(config)
        await self._sinks.follow(config)
        self._silencing.use(config)
        await self._sources.follow(config)


async def _tell_of_damage(journal: Journal, directory: Path, clock: Clock) -> None:
    kept = journal.quarantined or _untold(journal, directory)
    if kept is None:
        return
    log.error("journal damaged, begun anew", kept=str(kept))
    message = (
        "The journal was damaged and set aside; what waited in it for sinks is lost, and what the clusters "
        f"still hold is exported again. It is kept as {kept.name}."
    )
    await journal.record(own_record(clock.now(), "GapJournalDamaged", message))


async def _on_damage(journal: Journal) -> None:
    await journal.damaged.wait()
    raise Corrupt("The journal's file is damaged.")


def _untold(journal: Journal, directory: Path) -> Path | None:
    """Return a database that an earlier life set aside and could not tell of, because it was killed.

    The gap record is the first of its own records that a journal begun anew gets.
    """
    return None if journal.stream(OWN).appended else set_aside(directory)


async def run(config: Config, clock: Clock, file: Path) -> None:
    """Run a daemon until SIGTERM or SIGINT; a second one ends the process at once. SIGHUP reads the file again.

    Args:
        config: checked.
        clock: time.
        file: where the configuration comes from.

    Raises:
        EventerError: see `Daemon.run`.
    """
    daemon = Daemon(config, clock, file=ConfigFile(file, os.environ))
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)  # the next one has its default effect
        log.info("signal received", signal=number.name)
        daemon.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    loop.add_signal_handler(signal.SIGHUP, daemon.reload.ask)
    await daemon.run()
