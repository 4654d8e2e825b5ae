"""Eventer's own troubles as events: a sink that takes nothing, a cluster that cannot be read.

Whoever relies on a sink may not see that it is dead, so the others are told: an own record goes through the journal
to every sink, and notifiers tell it whatever their rules say. What lasts is told again, as Kubernetes does it, so
that alerting does not take it for over.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from typing import Final

import msgspec

from eventer.clock import Clock
from eventer.control.view import View
from eventer.delivery.runner import Health
from eventer.errors import JournalError
from eventer.event import own_record
from eventer.journal import Journal

__all__ = ["AGAIN", "BLOCKED", "FAILING", "LOOK", "Alarms"]

LOOK: Final = 10.0
"""Seconds between two looks."""
BLOCKED: Final = 60.0
"""Seconds for which only a person can help, after which one is told."""
FAILING: Final = 900.0
"""Seconds of failures that may end by themselves, after which people are told all the same."""
AGAIN: Final = 1800.0
"""Seconds after which it is told again; less than `group.resolve_after`."""


class _Trouble(msgspec.Struct, kw_only=True, frozen=True):
    """How something is just now."""

    kind: str
    """`Sink` or `Source`: what its reasons begin with."""
    name: str
    cluster: str = ""
    after: float
    """Seconds for which it must be so; infinity where all is well."""
    message: str = ""


class Alarms:
    """Watches the parts of one life of the daemon, and records what does not work.

    Args:
        journal: takes the records.
        view: the parts.
        clock: time.
    """

    def __init__(self, journal: Journal, view: View, clock: Clock) -> None:
        self._journal = journal
        self._view = view
        self._clock = clock
        self._since: dict[tuple[str, str], float] = {}
        self._told: dict[tuple[str, str], float] = {}

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK)  # how often does not matter; how long things are so is by the clock
            for trouble in [*self._sinks(), *self._sources()]:
                await self._look(trouble)

    async def _look(self, trouble: _Trouble) -> None:
        key, now = (trouble.kind, trouble.name), self._clock.monotonic()
        if trouble.after == math.inf:
            self._since.pop(key, None)
            if key in self._told and await self._record(trouble, "Recovered", "works again.", "Normal"):
                del self._told[key]
            return
        since = self._since.setdefault(key, now)
        due = now - since >= trouble.after and now - self._told.get(key, -math.inf) >= AGAIN
        if due and await self._record(trouble, "Failing", trouble.message, "Warning"):
            self._told[key] = now

    async def _record(self, trouble: _Trouble, what: str, message: str, type_: str) -> bool:
        """Store a record; return False where the disk refuses it, which the next look tries again."""
        record = own_record(
            self._clock.now(),
            trouble.kind + what,
            f"The {trouble.kind.lower()} {trouble.name} {message}",
            cluster=trouble.cluster,
            name=trouble.name,
        )
        try:
            await self._journal.record(msgspec.structs.replace(record, type=type_))
        except JournalError:
            return False
        return True

    def _sinks(self) -> Iterator[_Trouble]:
        for name, runner in self._view.runners.items():
            status = runner.status
            if status.health in {Health.OPENING, Health.STOPPED}:
                continue  # it may begin anew after a reload: whether it works then is not known yet
            after = {Health.BLOCKED: BLOCKED, Health.RETRYING: FAILING}.get(status.health, math.inf)
            message = f"takes nothing, and {runner.pending} wait for it: {status.error}"
            yield _Trouble(kind="Sink", name=name, after=after, message=message)

    def _sources(self) -> Iterator[_Trouble]:
        for key, stream in self._view.streams.items():
            status = stream.status
            if stream.subject.what == "nodes" and status.blocked:
                continue  # runs on without, and says so elsewhere
            after = BLOCKED if status.blocked else math.inf if status.connected else FAILING
            message = f"is not read: {status.blocked or status.last_error}"
            name = f"{key.cluster} {key.scope}"
            yield _Trouble(kind="Source", name=name, cluster=key.cluster, after=after, message=message)
