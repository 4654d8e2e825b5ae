"""Times in which a notifier keeps quiet, as they are configured: by the clock on the wall of some place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Self
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from eventer.errors import ConfigError, Fault
from eventer.match import LOOKED, Rule

__all__ = ["DAY", "Hours", "MonthDays", "Months", "Quiet", "Weekdays", "Zone"]

DAY: Final = 24 * 60
"""Minutes of a day by the clock on the wall, whatever is done to it."""
_HOURS: Final = re.compile(r"(\d{1,2}):(\d\d)\s*-\s*(\d{1,2}):(\d\d)", re.ASCII)
_NAMES: Final = re.compile(r"([a-z]+|\d{1,2})(?:[-:]([a-z]+|\d{1,2}))?", re.ASCII)
_DAYS: Final = re.compile(r"(-?\d{1,2})(?:[-:](-?\d{1,2}))?", re.ASCII)
_WEEK: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_YEAR: Final = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip


class Zone(str):
    """A time zone of the IANA database."""

    EXPECTED: ClassVar[str] = "a time zone such as Asia/Shanghai, Europe/Berlin or UTC"
    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the name of a zone.

        Raises:
            ValueError: there is none of this name.
        """
        try:
            ZoneInfo(text)
        except (ValueError, OSError, KeyError):  # of bad names, directories and unknown ones
            raise ValueError(f"{text[:40]!r} is no time zone; write {cls.EXPECTED}") from None
        return cls(text)


class Hours(msgspec.Struct, frozen=True):
    """From one minute of a day until another, which is not in it. It may be one of the next day."""

    EXPECTED: ClassVar[str] = "times of day such as 22:00-08:00"

    start: int
    """Minutes after midnight; so is `end`, which is at most that of the next one."""
    end: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read two times.

        Raises:
            ValueError: they are none.
        """
        match = _HOURS.fullmatch(text)
        numbers = [int(number) for number in match.groups()] if match is not None else []
        if not numbers or numbers[1] > 59 or numbers[3] > 59:
            raise ValueError(f"{text[:40]!r} are no times of day; write {cls.EXPECTED}")
        start, end = numbers[0] * 60 + numbers[1], numbers[2] * 60 + numbers[3]
        if start >= DAY or end > DAY:
            raise ValueError(f"{text!r}: a day has 24 hours; write {cls.EXPECTED}, or 24:00 for its end")
        if start == end:
            raise ValueError(f"{text!r} is over when it begins; write 00:00-24:00 for the whole day")
        return cls(start, end)

    def __str__(self) -> str:
        return "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in (self.start, self.end))


class _Round(msgspec.Struct, frozen=True):
    """From one day of the week or month of the year to another, both included; it may go over the end of the round."""

    EXPECTED: ClassVar[str]
    WORDS: ClassVar[Mapping[str, int]]
    """What may be written for which number; the first word of each is how it is shown."""

    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one or two words.

        Raises:
            ValueError: they are none of these.
        """
        match = _NAMES.fullmatch(text.lower())
        numbers = [cls.WORDS.get(word) for word in match.groups() if word is not None] if match is not None else []
        found = [number for number in numbers if number is not None]
        if not found or len(found) != len(numbers):
            what = cls.EXPECTED.partition(" such as ")[0]
            raise ValueError(f"{text[:40]!r} names no {what}; write {cls.EXPECTED}")
        return cls(found[0], found[-1])

    def __contains__(self, number: int) -> bool:
        first, last = self.first, self.last
        return first <= number <= last if first <= last else number >= first or number <= last

    def __str__(self) -> str:
        first, last = (next(word for word, at in self.WORDS.items() if at == end) for end in (self.first, self.last))
        return first if first == last else f"{first}-{last}"


class Weekdays(_Round, frozen=True):
    """From one day of the week to another, both included. 0 is Monday."""

    EXPECTED: ClassVar[str] = "days of the week such as mon-fri, or sun"
    WORDS: ClassVar[Mapping[str, int]] = {word: day for day, name in enumerate(_WEEK) for word in (name[:3], name)}


class Months(_Round, frozen=True):
    """From one month to another, both included. 1 is January."""

    EXPECTED: ClassVar[str] = "months such as dec, jun-aug or 12"
    WORDS: ClassVar[Mapping[str, int]] = {
        word: month for month, name in enumerate(_YEAR, 1) for word in (name[:3], name, f"{month}", f"{month:02}")
    }


class MonthDays(msgspec.Struct, frozen=True):
    """From one day of the month to another, both included. Negative ones count from its end: -1 is the last."""

    EXPECTED: ClassVar[str] = 'days of the month such as "1", "25:31" or "-3:-1" for the last three'

    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one or two days.

        Raises:
            ValueError: they are none, or the second comes before the first.
        """
        match = _DAYS.fullmatch(text)
        if match is None:
            raise ValueError(f"{text[:40]!r} are no days of a month; write {cls.EXPECTED}")
        first = int(match[1])
        last = first if match[2] is None else int(match[2])
        if not all(1 <= abs(day) <= 31 for day in (first, last)):
            raise ValueError(f"{text!r}: days of a month are 1 to 31, or -31 to -1; write {cls.EXPECTED}")
        if (first > last and (first > 0) == (last > 0)) or first < 0 < last:
            raise ValueError(
                f"{text!r} ends before it begins; write {cls.EXPECTED}, and two of them to go over its end"
            )
        return cls(first, last)

    def includes(self, day: int, length: int) -> bool:
        """Whether a day is one of these in a month of this many days."""
        first = self.first if self.first > 0 else length + 1 + self.first
        last = self.last if self.last > 0 else length + 1 + self.last
        return first <= day <= last

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first}:{self.last}"


class Quiet(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Times in which problems are not told. What is not over by their end is told then."""

    name: Annotated[str, Meta(examples=["nights"])] = ""
    """What the counts call it; left out, its times."""
    times: Annotated[list[Hours], Meta(examples=['["22:00-08:00"]'])] = []
    """Times of day, such as `22:00-08:00`: a window over midnight belongs to the day on which it begins. Without
    any, whole days."""
    weekdays: Annotated[list[Weekdays], Meta(examples=["[mon-fri]"])] = []
    """Days of the week: `sat`, or `mon-fri`. Without any, every day."""
    days_of_month: Annotated[list[MonthDays], Meta(examples=['["1", "-3:-1"]'])] = []
    """Days of the month, in quotes: `"1"`, `"25:31"`, or from its end, where `"-1"` is the last."""
    months: Annotated[list[Months], Meta(examples=["[nov-jan]"])] = []
    """Months: `dec`, or `jun-aug`."""
    zone: Annotated[Zone, Meta(examples=["Asia/Shanghai"])]
    """Time zone whose clocks count. Where they are put back, an hour that comes twice is in it twice."""
    match: Annotated[list[Rule], Meta(examples=['[{severity: "!critical"}]'])] = []
    """Which problems are not told then: those that any of the rules matches; all, without rules."""

    def __post_init__(self) -> None:
        """Refuse what would always be quiet, and rules that ask for what may not be known."""
        if not (self.times or self.weekdays or self.days_of_month or self.months):
            raise ValueError("this is always, so nothing would ever be told; name times, or days")
        faults = [
            Fault(
                path=f"match[{index}].{field}",
                message=f"{field} is looked up, and what could not be is never kept quiet",
                remedy=f"match on it in match of the sink, with enrich: [{LOOKED[field]}], or go by names here",
            )
            for index, rule in enumerate(self.match)
            for field in rule.needs
        ]
        if faults:
            raise ConfigError(faults)

    def __str__(self) -> str:
        parts = (self.times, self.weekdays, self.days_of_month, self.months)
        return " ".join([*(",".join(map(str, part)) for part in parts if part), self.zone])
