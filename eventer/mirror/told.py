"""What notifiers were told, as far as it must outlive the journal.

Of events that were sent it is enough to know up to where. Of problems that were told it is not: what goes on must not
be told as new, its end must be told, and the events that wait in its group must be in some count. So the mirror holds
what alerting remembers, of a moment at which nothing that alerting had decided to tell was still to be told. With that
goes the position of the same moment: the events since then are read again by the next journal, and decided on again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
import structlog

from eventer.journal import Journal, SilenceRecord
from eventer.journal.records import Carried
from eventer.mirror.record import NOTHING

__all__ = ["SILENCES", "STATES", "Told"]

STATES: Final = 128 << 10
"""Bytes of what alerting remembers that the mirror holds, of all notifiers together: about a thousand problems that
go on. Each write replaces all of it, and etcd keeps what was replaced for minutes."""

SILENCES: Final = 64 << 10
"""Bytes of silences that the mirror holds, about three hundred."""

log = structlog.get_logger()


class Told:
    """What the notifiers of one journal were told, and what they are not to be told."""

    def __init__(self, journal: Journal) -> None:
        self._alerting = journal.alerting
        self._silences = journal.silences
        self._too_large: set[str] = set()
        self._too_many = False
        self.kept: dict[str, Carried] = {}
        """Of each notifier, what can go on in another journal."""

    def restore(self, kept: Mapping[str, Carried]) -> None:
        """Begin with what an earlier life kept."""
        self.kept = dict(kept)

    async def look(self, name: str) -> int | None:
        """Keep what a notifier was told by now.

        Returns:
            Offset up to which that stands for the events; None where it stays what it was, because something waits to
            be told, or because there is no room for more.

        Raises:
            JournalError: it cannot be read.
        """
        carried = await self._alerting.carried(name)
        if carried is None:
            self.kept.setdefault(name, NOTHING)
            return None
        others = sum(each.size for other, each in self.kept.items() if other != name)
        if others + carried.size > STATES:
            self.kept.setdefault(name, NOTHING)
            if name not in self._too_large:
                self._too_large.add(name)
                log.warning("mirror has no room for what a notifier was told", sink=name, bytes=carried.size)
            return None
        self._too_large.discard(name)
        self.kept[name] = carried
        return carried.alerting.cursor

    def silences(self, now: float) -> dict[str, SilenceRecord]:
        """Return the silences that people made and that are not over, those that end last where they are too many."""
        found: dict[str, SilenceRecord] = {}
        room = SILENCES
        last_first = sorted(self._silences.records.items(), key=lambda each: each[1].ends, reverse=True)
        on = [(name, record) for name, record in last_first if record.ends > now]
        for name, record in on:
            room -= len(msgspec.json.encode(record)) + len(name)
            if room >= 0:
                found[name] = record
        if room < 0 and not self._too_many:
            log.warning("mirror has no room for all silences", silences=len(on), kept=len(found))
        self._too_many = room < 0
        return found

    def gone(self) -> list[str]:
        """Forget notifiers that are gone, and name them."""
        gone = [name for name in self.kept if name not in self._alerting.readers]
        for name in gone:
            del self.kept[name]
        return gone
