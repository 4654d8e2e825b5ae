"""Sinks that are not in the configuration any more: what waits for them, and whether it may go."""

from __future__ import annotations

from collections.abc import Container
from typing import Final

import structlog

from eventer.clock import Clock
from eventer.config.types import Config
from eventer.errors import ConfigError, Fault
from eventer.event import Outcome
from eventer.journal import Journal
from eventer.journal.books import Books
from eventer.journal.notes import LETTERS

__all__ = ["Leaving"]

DRAIN: Final = 10.0
"""Seconds that a sink taken out of the configuration has for what waits for it before the reload is refused."""

log = structlog.get_logger()


class Leaving:
    """Which readers of the journal have no sink any more.

    A sink that was sent events and is to be sent notifications now, or the other way round, leaves as what it was.
    """

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock

    async def given_up(self, config: Config, running: Container[str]) -> list[str]:
        """Return names of sinks that are gone from the configuration, if nothing is lost by forgetting them.

        Args:
            config: the new one.
            running: names of sinks that are still served, and get a moment for what waits.

        Raises:
            ConfigError: something waits for one, and the configuration does not say that it may go.
        """
        stores, notifiers = self._gone(config)
        head = self._journal.head  # what comes from now on is not owed any more
        allowed = set(config.state.discard)
        served = [name for name in [*stores, *notifiers] if name in running and name not in allowed]
        if served:
            await self._drain(served, head)
        books = await self._journal.books()
        faults: list[Fault] = []
        for name in [*stores, *notifiers]:
            notifies = name in notifiers
            waiting = _waiting(books, name, head, notifies=notifies)
            kept = books.letters.get((LETTERS + name if notifies else name, Outcome.DEAD), 0)
            if not waiting and not kept:
                continue
            what = "notifications and events" if notifies else "events"
            if name in allowed:
                log.warning("sink removed, its events are discarded", sink=name, waiting=waiting, dead=kept)
                continue
            gone = f"the sink {name} is not in the configuration any more"
            if name in config.sinks:
                gone = f"the sink {name} was sent {'notifications' if notifies else 'events'} until now"
            faults.append(
                Fault(
                    path=f"sinks.{name}",
                    message=f"{gone}, but {waiting} {what} wait for it and {kept} are kept as dead letters",
                    remedy=f"put it back, or give them up with state.discard: [{name}]",
                )
            )
        if faults:
            raise ConfigError(faults)
        return [*stores, *notifiers]

    async def forget(self, config: Config) -> None:
        """Forget those sinks. None of them may be served any more."""
        stores, notifiers = self._gone(config)
        for name in stores:
            await self._journal.remove_reader(name)
        for name in notifiers:
            await self._journal.alerting.remove(name)

    def _gone(self, config: Config) -> tuple[list[str], list[str]]:
        """Return names of readers of events, and of notifiers, that are not wanted any more."""
        notified = {name for name, sink in config.sinks.items() if sink.notifies is not None}
        stores = [name for name in self._journal.readers if name in notified or name not in config.sinks]
        return stores, [name for name in self._journal.alerting.readers if name not in notified]

    async def _drain(self, names: list[str], head: int) -> None:
        """Give sinks a moment to get what was there when their configuration went away."""
        deadline = self._clock.monotonic() + DRAIN
        while self._clock.monotonic() < deadline:
            books = await self._journal.books()
            if not any(_waiting(books, name, head, notifies=name in books.alerting) for name in names):
                return
            await self._clock.sleep(0.1)


def _waiting(books: Books, name: str, head: int, *, notifies: bool) -> int:
    """Return how much waits for a sink: events, or notifications and the events that are in none yet."""
    if not notifies:
        return max(0, head - books.readers[name].cursor) + books.letters.get((name, Outcome.PARKED), 0)
    reader, notifier = books.alerting[name], books.notifiers[name]
    parked = books.letters.get((LETTERS + name, Outcome.PARKED), 0)
    return max(0, head - reader.cursor) + reader.waiting + reader.opened - notifier.cursor + parked
