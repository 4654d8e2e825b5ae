"""How long nothing was heard of the API server, by its own clock, and the record that says so.

Events expire by the clocks of the cluster, so time without contact is measured by them: each answer
carries a date, and between two answers our monotonic clock goes on from it. Our wall clock is never
asked where the server tells its own. It may jump, or begin in 1970, without making up a gap, hiding one, or
changing what is "the last hour" at the first start. A machine that was suspended notices, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from eventer.clock import Clock
from eventer.event import Event, own_record
from eventer.source.port import Target
from eventer.source.settings import StreamSettings, StreamStatus

__all__ = ["Contact", "gap_record"]

log = structlog.get_logger()

_YEARS: Final = range(1970, 9000)
"""Others are nobody's clock, and near the ends of the calendar there is no calculating."""

_HALF: Final = timedelta(seconds=0.5)
"""Dates of answers are whole seconds, cut off."""


class Contact:
    """The time of one stream.

    Args:
        target: keeps the time of the last contact across restarts.
        where: cluster and, if only one is read, namespace: for the record of a gap, and the log.
        settings, status, clock: the stream's.
    """

    def __init__(
        self,
        target: Target,
        where: Mapping[str, str],
        settings: StreamSettings,
        status: StreamStatus,
        clock: Clock,
    ) -> None:
        self._target = target
        self._where = where
        self._settings = settings
        self._status = status
        self._clock = clock
        self._log = log.bind(**where)
        self._zero: datetime | None = None
        """The server's time when our monotonic clock showed 0."""
        self._inherited = target.contact
        self._told: float | None = None
        """Last contact before the gap that was recorded last: a list that fails after it is tried again."""

    def heard(self, date: datetime | None) -> None:
        """Note the date of an answer; None where it has none."""
        if date is not None and date.year in _YEARS:
            self._zero = date + _HALF - timedelta(seconds=self._clock.monotonic())

    def now(self) -> datetime:
        """Return the server's time, UTC; ours as long as it has told none."""
        if self._zero is None:
            return self._clock.now()
        return self._zero + timedelta(seconds=self._clock.monotonic())

    def touch(self) -> None:
        """Note that all that the server had to say up to now has been read."""
        self._target.touch(self.now().timestamp())

    async def listed(self) -> None:
        """Note contact, and a gap if there was one, before the position of a list is stored.

        A kill between the two repeats the gap record; the other way round it would never be written.

        Raises:
            JournalError: the record could not be stored.
        """
        settings = self._settings
        contact = self._target.contact
        now = self.now()
        away = 0.0 if contact is None else now.timestamp() - contact
        if contact is not None and contact != self._told and away > settings.event_ttl * (1 - settings.gap_margin):
            since = datetime.fromtimestamp(contact, UTC)
            causes = ["Eventer was not running."] if contact == self._inherited else []
            cause = " ".join([*causes, self._status.last_error]).strip()
            await self._target.record(gap_record(self._where, since, now, cause))
            self._told = contact
            self._status.gaps += 1
            self._status.gap_seconds += away
            self._log.warning("gap: events may have expired unread", since=since.isoformat(), cause=cause)
        self.touch()


def gap_record(where: Mapping[str, str], start: datetime, end: datetime, cause: str) -> Event:
    """Make the record that says: between these times events may have come and gone unread."""
    scope = f"the namespace {where['namespace']}" if "namespace" in where else "all namespaces"
    message = (
        f"From {start:%Y-%m-%d %H:%M:%S} to {end:%Y-%m-%d %H:%M:%S} UTC ({(end - start).total_seconds():.0f} s) no "
        f"events of {scope} were read, longer than the cluster keeps them: those that expired meanwhile are lost. "
        f"Cause: {cause}"
    )
    record = own_record(end, "GapWithoutContact", message, cluster=where["cluster"])
    record.first = start
    return record
