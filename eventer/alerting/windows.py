"""Times in which a notifier keeps quiet: whether it does now, and until when.

A window is what the clock on the wall shows, as with Alertmanager: nothing else can be said of 02:30 in the night in
which there is no such time, or two. So an hour that comes twice is in a window twice, and one that does not come is
in none. Its end is found by going from one time of the wall clock to the next, and stopping where the clock is put.
"""

from __future__ import annotations

import math
from calendar import monthrange
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from eventer.alerting.muting import Mute
from eventer.event import Event
from eventer.match import Verdicts
from eventer.quiet import DAY, Hours, Quiet

__all__ = ["Windows"]

_WHOLE: Final = (Hours(0, DAY),)
_YEAR: Final = 366 * 86_400.0
"""Seconds. What is quiet for so long is always quiet."""


class Windows:
    """The quiet times of one notifier.

    Args:
        quiet: as configured.
    """

    def __init__(self, quiet: Sequence[Quiet]) -> None:
        self._windows = [_Window(each) for each in quiet]

    def mute(self, event: Event, now: float) -> Mute | None:
        """Say what keeps a problem quiet; see `eventer.alerting.muting`. Of several windows, the one that ends last."""
        longest: Mute | None = None
        for window in self._windows:
            until = window.until(now)
            if until is not None and (longest is None or until > longest.until) and window.concerns(event):
                longest = Mute("window", window.name, until)
        return longest


class _Window:
    def __init__(self, quiet: Quiet) -> None:
        self.name = quiet.name or str(quiet)
        self._quiet = quiet
        self._zone = ZoneInfo(quiet.zone)
        self._verdicts = Verdicts(quiet.match)
        times = quiet.times or _WHOLE
        self._times = times
        self._marks = sorted({DAY, *(minute for each in times for minute in (each.start, each.end) if minute)})
        """Minutes of a day at which it can become another."""
        self._known = (0.0, 0.0)
        """When it was quiet when last asked, and until when."""

    def concerns(self, event: Event) -> bool:
        """Whether it keeps an event quiet, while it does so."""
        return not self._quiet.match or self._verdicts([event])[0] >= 0

    def until(self, now: float) -> float | None:
        """Return the end of it, seconds since 1970; infinity if there is none; None if it is not quiet now."""
        since, until = self._known
        if since <= now < until:
            return until
        if not self._covers(self._local(now)):
            return None
        for until in self._changes(now):
            if until > now + _YEAR:
                until = math.inf  # noqa: PLW2901 - it ends the loop
                break
            if not self._covers(self._local(until)):
                break
        self._known = now, until
        return until

    def _covers(self, local: datetime) -> bool:
        """Whether it is quiet when the clock on the wall shows this."""
        minute = local.hour * 60 + local.minute
        today = local.date()
        for each in self._times:
            if each.start < each.end:
                if each.start <= minute < each.end and self._on(today):
                    return True
            elif (minute >= each.start and self._on(today)) or (
                minute < each.end and self._on(today - timedelta(days=1))
            ):
                return True
        return False

    def _on(self, day: date) -> bool:
        """Whether windows begin on a day."""
        quiet = self._quiet
        if quiet.weekdays and not any(day.weekday() in each for each in quiet.weekdays):
            return False
        if quiet.months and not any(day.month in each for each in quiet.months):
            return False
        length = monthrange(day.year, day.month)[1]
        return not quiet.days_of_month or any(each.includes(day.day, length) for each in quiet.days_of_month)

    def _changes(self, now: float) -> Iterator[float]:
        """Yield the times after now at which the answer can be another, in order."""
        while True:
            local = self._local(now)
            seconds = (local.hour * 60 + local.minute) * 60 + local.second + local.microsecond / 1e6
            mark = next(mark * 60 for mark in self._marks if mark * 60 > seconds)
            later = now + mark - seconds
            now = later if self._offset(later) == self._offset(now) else self._put(now, later)
            yield now

    def _put(self, before: float, after: float) -> float:
        """Return when the clock is put, to the second: it is, between these two times."""
        low, high = math.floor(before), math.ceil(after)
        offset = self._offset(before)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._offset(middle) == offset else (low, middle)
        return float(high)

    def _local(self, at: float) -> datetime:
        return datetime.fromtimestamp(at, UTC).astimezone(self._zone)

    def _offset(self, at: float) -> timedelta | None:
        return self._local(at).utcoffset()
