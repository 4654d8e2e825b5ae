"""Quiet times: which there are, and that their ends are right where clocks are put forward and back."""

from __future__ import annotations

import calendar
import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventer.alerting.windows import Windows
from eventer.match import Rule
from eventer.quiet import Hours, MonthDays, Months, Quiet, Weekdays, Zone
from tests.helpers.alerting import START, Played, node, pod


def quiet(
    zone: str,
    *times: str,
    weekdays: str = "",
    days: str = "",
    months: str = "",
    match: list[dict[str, object]] | None = None,
    name: str = "",
) -> Quiet:
    return Quiet(
        name=name,
        zone=Zone.parse(zone),
        times=[Hours.parse(each) for each in times],
        weekdays=[Weekdays.parse(each) for each in weekdays.split()],
        days_of_month=[MonthDays.parse(each) for each in days.split()],
        months=[Months.parse(each) for each in months.split()],
        match=[Rule.parse(each) for each in match or []],
    )


def until(window: Quiet, at: float) -> float | None:
    mute = Windows([window]).mute(pod("BackOff", 0), at)
    return None if mute is None else mute.until


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def shown(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).isoformat(" ", "minutes").removesuffix("+00:00")


@pytest.mark.parametrize(
    ("window", "at", "end"),
    [
        # Nights, over midnight: Friday's goes into Saturday, Sunday's is none.
        (quiet("Asia/Shanghai", "22:00-08:00", weekdays="mon-fri"), "2026-11-20 13:59", ""),  # Friday 21:59
        (quiet("Asia/Shanghai", "22:00-08:00", weekdays="mon-fri"), "2026-11-20 14:00", "2026-11-21 00:00"),
        (quiet("Asia/Shanghai", "22:00-08:00", weekdays="mon-fri"), "2026-11-20 23:59", "2026-11-21 00:00"),
        (quiet("Asia/Shanghai", "22:00-08:00", weekdays="mon-fri"), "2026-11-21 00:00", ""),  # Saturday 08:00
        (quiet("Asia/Shanghai", "22:00-08:00", weekdays="mon-fri"), "2026-11-22 23:00", ""),  # Monday 07:00
        # A weekend, and the nights beside it, are one stretch.
        (quiet("UTC", weekdays="sat sun"), "2026-11-21 12:00", "2026-11-23 00:00"),
        (quiet("UTC", "18:00-24:00", "00:00-09:00"), "2026-11-21 20:00", "2026-11-22 09:00"),
        (quiet("UTC", "22:00-00:00"), "2026-11-21 23:59", "2026-11-22 00:00"),
        # The week and the year go around.
        (quiet("UTC", weekdays="sat-mon"), "2026-11-20 23:59", ""),
        (quiet("UTC", weekdays="sat-mon"), "2026-11-21 00:00", "2026-11-24 00:00"),
        (quiet("UTC", months="dec-jan"), "2026-12-31 23:59", "2027-02-01 00:00"),
        (quiet("UTC", months="12"), "2026-12-01 00:00", "2027-01-01 00:00"),
        # From the end of a month, of any length.
        (quiet("UTC", days="-1"), "2028-02-29 05:00", "2028-03-01 00:00"),
        (quiet("UTC", days="-1"), "2027-02-28 05:00", "2027-03-01 00:00"),
        (quiet("UTC", days="-1"), "2028-02-28 05:00", ""),
        (quiet("UTC", days="-3:-1"), "2026-04-27 23:59", ""),
        (quiet("UTC", days="-3:-1"), "2026-04-28 00:00", "2026-05-01 00:00"),
        (quiet("UTC", days="25:-1"), "2027-02-25 00:00", "2027-03-01 00:00"),
        (quiet("UTC", days="-31"), "2026-11-01 12:00", ""),  # November has no such day
        (quiet("UTC", days="-31"), "2026-12-01 12:00", "2026-12-02 00:00"),
        (quiet("UTC", days="31"), "2026-11-30 12:00", ""),
        (quiet("UTC", days="30:31"), "2027-02-28 12:00", ""),
        # The night that begins on the last day of the month goes into the next.
        (quiet("UTC", "22:00-06:00", days="-1"), "2026-12-01 05:59", "2026-12-01 06:00"),
        (quiet("UTC", "22:00-06:00", days="-1"), "2026-12-01 22:00", ""),
        (quiet("Asia/Kolkata", "22:00-06:00"), "2026-11-21 16:30", "2026-11-22 00:30"),
        (quiet("UTC", weekdays="mon-sun"), "2026-11-21 16:30", "never"),
    ],
)
def test_a_window_is_what_the_clock_on_the_wall_shows(window: Quiet, at: str, end: str) -> None:
    found = until(window, utc(at))
    assert ("never" if found == math.inf else shown(found)) == end


@pytest.mark.parametrize(
    ("zone", "times", "at", "end"),
    [
        # Put forward: 02:00 to 03:00 on 2026-03-29 in Berlin does not come, the night has seven hours.
        ("Europe/Berlin", "22:00-06:00", "2026-03-28 21:00", "2026-03-29 04:00"),
        ("Europe/Berlin", "22:00-02:30", "2026-03-28 21:00", "2026-03-29 01:00"),
        ("Europe/Berlin", "02:00-03:00", "2026-03-29 00:59", ""),
        ("Europe/Berlin", "02:00-03:00", "2026-03-29 01:00", ""),
        ("Europe/Berlin", "02:30-04:00", "2026-03-29 01:00", "2026-03-29 02:00"),
        # Put back: 02:00 to 03:00 on 2026-10-25 in Berlin comes twice, the night has nine hours.
        ("Europe/Berlin", "22:00-06:00", "2026-10-24 20:00", "2026-10-25 05:00"),
        ("Europe/Berlin", "02:00-03:00", "2026-10-25 00:00", "2026-10-25 02:00"),
        ("Europe/Berlin", "22:00-02:30", "2026-10-24 23:00", "2026-10-25 00:30"),
        ("Europe/Berlin", "22:00-02:30", "2026-10-25 00:45", ""),  # the first 02:45
        ("Europe/Berlin", "22:00-02:30", "2026-10-25 01:15", "2026-10-25 01:30"),  # the second 02:15
        ("Europe/Berlin", "02:45-04:00", "2026-10-25 00:50", "2026-10-25 01:00"),  # to the first 03:00, that is 02:00
        ("Europe/Berlin", "02:45-04:00", "2026-10-25 01:50", "2026-10-25 03:00"),
        # In New York at another time, and half an hour on Lord Howe Island.
        ("America/New_York", "22:00-08:00", "2026-11-01 02:00", "2026-11-01 13:00"),
        ("Australia/Lord_Howe", "01:00-02:15", "2026-10-03 14:45", "2026-10-03 15:30"),
        ("Australia/Lord_Howe", "01:00-02:15", "2026-04-04 14:45", "2026-04-04 15:45"),
        # At midnight: in Cairo 2026-04-24 begins at 01:00; 2026-10-30 begins, and an hour of the day before again.
        ("Africa/Cairo", "23:00-00:30", "2026-04-23 21:30", "2026-04-23 22:00"),
        ("Africa/Cairo", "23:00-00:30", "2026-10-29 20:30", "2026-10-29 22:30"),
        # Never, in Shanghai.
        ("Asia/Shanghai", "22:00-08:00", "2026-03-28 14:00", "2026-03-29 00:00"),
    ],
)
def test_g5_a_window_ends_on_time_when_the_clock_is_put(zone: str, times: str, at: str, end: str) -> None:
    assert shown(until(quiet(zone, times), utc(at))) == end


def test_g5_whole_days_are_23_and_25_hours_long_when_the_clock_is_put() -> None:
    sundays = quiet("Europe/Berlin", weekdays="sun")
    for begin, hours in (("2026-03-28 23:00", 23), ("2026-10-24 22:00", 25)):
        assert until(sundays, utc(begin) - 1) is None
        end = until(sundays, utc(begin))
        assert end == utc(begin) + hours * 3600


_PUT = (
    # Where clocks are put, on which day, and where they are not.
    ("Europe/Berlin", "2026-03-29"), ("Europe/Berlin", "2026-10-25"), ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"), ("Australia/Lord_Howe", "2026-04-04"), ("Australia/Lord_Howe", "2026-10-03"),
    ("Africa/Cairo", "2026-04-23"), ("Africa/Cairo", "2026-10-29"), ("America/Santiago", "2026-04-04"),
    ("America/Santiago", "2026-09-05"), ("Asia/Kathmandu", "2028-02-29"), ("Asia/Shanghai", "2026-12-31"),
    ("UTC", "2027-02-28"), ("Pacific/Apia", "2011-12-29"),
)  # fmt: skip
_TIMES = st.integers(0, 95).map(lambda quarter: f"{quarter // 4:02}:{quarter % 4 * 15:02}")
_HOURS = st.tuples(_TIMES, _TIMES).filter(lambda pair: pair[0] != pair[1]).map("-".join)


@st.composite
def windows(draw: st.DrawFn) -> tuple[Quiet, str]:
    zone, day = draw(st.sampled_from(_PUT))
    days = st.integers(1, 31).flatmap(lambda first: st.integers(first, 31).map(lambda last: (first, last)))
    positive = days.map(lambda pair: f"{pair[0]}:{pair[1]}")
    negative = days.map(lambda pair: f"{-pair[1]}:{-pair[0]}")
    week = st.sampled_from(["mon-fri", "sat", "fri-mon", "wed-tue", "sun"])
    restrictions = {
        "weekdays": week,
        "days": positive | negative,
        "months": st.sampled_from(["jan-dec", "oct-apr", "11", "march"]),
    }
    restricted = draw(st.sampled_from([(), (), ("weekdays",), ("days",), ("months",), tuple(restrictions)]))
    times = draw(st.lists(_HOURS, min_size=not restricted, max_size=2))
    return quiet(zone, *times, **{name: draw(restrictions[name]) for name in restricted}), day


def covered(window: Quiet, at: float) -> bool:
    """What the documentation says, for one minute, in other words than the code."""
    local = datetime.fromtimestamp(at, ZoneInfo(window.zone)).replace(tzinfo=None)
    for hours in [(each.start, each.end) for each in window.times] or [(0, 1440)]:
        for back in (0, 1):
            begin = local.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=back)
            start = begin + timedelta(minutes=hours[0])
            end = begin + timedelta(minutes=hours[1] + (1440 if hours[1] < hours[0] else 0))
            month = calendar.Calendar().itermonthdays(begin.year, begin.month)
            numbers = [number for number in month if number]
            named = {
                number
                for each in window.days_of_month
                for number in range(1, 32)
                if number in numbers
                and (number if each.first > 0 else number - len(numbers) - 1) >= each.first
                and (number if each.last > 0 else number - len(numbers) - 1) <= each.last
            }
            if (
                start <= local < end
                and (not window.days_of_month or begin.day in named)
                and (not window.weekdays or any(begin.weekday() in each for each in window.weekdays))
                and (not window.months or any(begin.month in each for each in window.months))
            ):
                return True
    return False


@settings(max_examples=60, deadline=None)
@given(windows(), st.integers(0, 24 * 60))
def test_g5_a_window_is_what_looking_at_the_clock_again_and_again_finds(drawn: tuple[Quiet, str], offset: int) -> None:
    window, day = drawn
    start = utc(f"{day} 00:00") + offset * 60 - 12 * 3600
    asked = Windows([window])
    end: float | None = None
    for minute in range(0, 30 * 60, 5):
        at = start + minute * 60
        mute = asked.mute(pod("BackOff", 0), at + 30)
        assert (mute is not None) == covered(window, at), shown(at)
        if end is not None:
            assert (mute is not None) == (at < end), f"{shown(at)}: it was said to end at {shown(end)}"
        end = mute.until if mute is not None else None


def test_what_a_rule_matches_is_quiet_and_nothing_else() -> None:
    nights = quiet("UTC", "00:00-24:00", name="nights", match=[{"kind": "!Node"}])
    asked = Windows([nights])
    mute = asked.mute(pod("BackOff", 0), utc("2026-11-21 12:00"))
    assert mute is not None
    assert (mute.stage, mute.name) == ("window", "nights")
    assert asked.mute(node("Ready", "firing", 0), utc("2026-11-21 12:00")) is None


def test_of_several_windows_the_one_that_ends_last_is_told() -> None:
    asked = Windows([quiet("UTC", "00:00-12:00"), quiet("UTC", "06:00-18:00"), quiet("UTC", "06:00-07:00")])
    mute = asked.mute(pod("BackOff", 0), utc("2026-11-21 06:30"))
    assert mute is not None
    assert (mute.name, shown(mute.until)) == ("06:00-18:00 UTC", "2026-11-21 18:00")


def test_a_clock_that_is_set_back_finds_the_window_anew() -> None:
    asked = Windows([quiet("UTC", "12:00-13:00")])
    event = pod("BackOff", 0)
    assert asked.mute(event, utc("2026-11-21 12:30")) is not None
    assert asked.mute(event, utc("2026-11-21 11:30")) is None
    assert asked.mute(event, utc("2026-11-20 12:30")) is not None
    assert asked.mute(event, utc("2026-11-21 13:00")) is None


def test_what_goes_on_after_a_window_is_told_at_its_end_and_what_is_over_is_counted() -> None:
    begin = datetime.fromtimestamp(START, UTC)
    times = f"{begin:%H:%M}-{begin + timedelta(hours=2):%H:%M}"
    played = Played(mutes=(Windows([quiet("UTC", times, name="nights")]).mute,))
    for at in range(30, 7200, 300):
        played.log.append(pod("BackOff", at, name="crashes", namespace="bank"))
        if at < 3000:
            played.log.append(pod("BackOff", at, name="recovers"))
        played.settle(at)
        played.run(at + 300, since=at)
    assert len(played.told) == 1
    note = played.told[0]
    assert [(item.name, item.ended) for item in note.items] == [("crashes", None)]
    end = begin.replace(second=0) + timedelta(hours=2)
    assert 0 <= note.at - end.timestamp() <= 60 + 10
    assert played.books.muted == {
        "window nights": 10 + sum(at < end.timestamp() - START for at in range(30, 7200, 300))
    }
