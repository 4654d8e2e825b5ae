"""Clocks that are wrong: ours, and those of whoever writes Events. Nothing is lost, repeated or told that was not so."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from eventer.demo.faults import Fault
from eventer.source.contact import Contact
from eventer.source.settings import StreamSettings, StreamStatus
from tests.helpers.fastclock import FastClock
from tests.helpers.inprocess import Site
from tests.helpers.target import MemoryTarget
from tests.helpers.until import until

TWO_HOURS = 7200.0
SINCE_1970 = -datetime.now(UTC).timestamp()


def stamp(clock: FastClock, **ago: float) -> str:
    return (clock.true() - timedelta(**ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def odd_stamps(clock: FastClock) -> dict[str, dict[str, object]]:
    """Events as wrong clocks and other writers make them, by name."""
    micro = clock.true().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "ahead": {"firstTimestamp": stamp(clock, hours=-1), "lastTimestamp": stamp(clock, hours=-1)},
        "behind": {"firstTimestamp": stamp(clock, hours=1), "lastTimestamp": stamp(clock, hours=1)},
        "no-last": {"lastTimestamp": None},
        "no-stamps": {"firstTimestamp": None, "lastTimestamp": None, "eventTime": None},
        "micro": {"firstTimestamp": None, "lastTimestamp": None, "eventTime": micro},
        "ancient": {"lastTimestamp": "0001-01-01T00:00:00Z"},
        "far": {"lastTimestamp": "9999-12-31T23:59:59Z"},
    }


# -- our own clock


@pytest.mark.parametrize("jump", [TWO_HOURS, -TWO_HOURS, SINCE_1970], ids=["ahead", "back", "1970"])
async def test_w37_a_jump_of_the_wall_clock_is_no_gap(world, jump: float) -> None:
    world.server.create("before")
    world.run(event_ttl=3600)
    await world.arrived("before")
    await world.watching()
    world.clock.skew = jump
    world.server.create("after")
    await world.arrived("after")
    world.server.compact()
    world.server.cut()
    world.server.create("missed")
    world.server.compact()
    await world.arrived("missed")
    await until(lambda: world.status.relists == 2)
    await world.watching()
    assert world.target.records == [] and world.status.gaps == 0
    assert Counter(world.target.names()) == Counter(["before", "after", "missed"])


@pytest.mark.parametrize("jump", [TWO_HOURS, -TWO_HOURS, SINCE_1970], ids=["ahead", "back", "1970"])
async def test_w37_a_gap_is_told_whatever_our_clock_says(world, jump: float) -> None:
    world.run(event_ttl=3600)
    await world.watching()
    began = world.clock.true()
    world.clock.advance(TWO_HOURS)
    world.clock.skew = jump
    world.server.create("survivor")
    world.server.compact()
    world.server.cut()
    await world.arrived("survivor")
    await until(lambda: world.target.records)
    (gap,) = world.target.records
    assert abs((gap.time - gap.first).total_seconds() - TWO_HOURS) < 60
    assert abs((gap.first - began).total_seconds()) < 60
    assert abs(world.status.gap_seconds - TWO_HOURS) < 60


@pytest.mark.parametrize("jump", [TWO_HOURS, SINCE_1970], ids=["ahead", "1970"])
async def test_w37_a_clock_that_is_set_right_between_two_lives_makes_no_gap(world, jump: float) -> None:
    world.clock.skew = jump
    world.run(event_ttl=3600)
    await world.watching()
    await world.stop()
    world.clock.skew = 0.0
    world.server.create("while-down")
    world.server.compact()
    world.run(event_ttl=3600)
    await world.arrived("while-down")
    await world.watching()
    assert world.target.records == []


async def test_w37_a_start_in_1970_does_not_change_what_the_last_hour_is(world) -> None:
    world.clock.skew = SINCE_1970
    world.server.create("older", lastTimestamp=stamp(world.clock, minutes=90))
    world.server.create("younger", lastTimestamp=stamp(world.clock, minutes=30))
    world.run(start=timedelta(hours=1))
    await world.watching()
    assert world.target.names() == ["younger"]


async def test_w37_no_timer_goes_by_the_wall_clock(world) -> None:
    """A jump ahead makes no audit due, and a jump back none late."""
    world.run(audit=True, audit_every=3600.0)
    await until(lambda: world.status.audits == 1)
    world.clock.skew = 10 * 3600.0
    for number in range(3):
        world.server.cut()
        await until(lambda: not world.server.watching)
        world.server.create(f"e{number}")
        await world.arrived(f"e{number}")
    assert world.status.audits == 1
    world.clock.skew = -10 * 3600.0
    world.clock.advance(3700)
    world.server.cut()
    await until(lambda: world.status.audits == 2)


@pytest.mark.parametrize("jump", [TWO_HOURS, -TWO_HOURS, -SINCE_1970], ids=["ahead", "back", "1970"])
async def test_w37_the_whole_daemon_loses_and_repeats_nothing(tmp_path: Path, server, jump: float) -> None:
    """Started in the past, or in 1970, where `jump` is the way from there to the present."""
    site = Site(tmp_path, server)
    clock = FastClock()
    server.now = clock.true
    clock.skew = -jump if jump > TWO_HOURS else 0.0
    server.create("first")
    async with site.running(clock):
        await site.has("first")
        clock.skew += jump
        server.create("second")
        await site.has("second")
        server.compact()
        server.cut()
        server.create("third")
        server.compact()
        await site.has("third")
    clock.skew = 0.0
    async with site.running(clock):
        server.create("fourth")
        await site.has("fourth")
    assert Counter(site.names()) == Counter(["first", "second", "third", "fourth"])
    assert site.records("eventer") == []
    assert site.balanced() == 4


# -- the server's clock


async def test_dates_that_are_nobody_s_clock_are_not_believed() -> None:
    clock = FastClock(speed=0.0)
    contact = Contact(MemoryTarget(clock), {"cluster": "prod"}, StreamSettings(), StreamStatus(), clock)
    contact.heard(datetime.min.replace(tzinfo=UTC))
    contact.heard(datetime.max.replace(tzinfo=UTC))
    contact.heard(None)
    assert abs((contact.now() - clock.now()).total_seconds()) < 1
    contact.heard(datetime(2031, 5, 6, tzinfo=UTC))
    clock.advance(60)
    clock.skew = 1e6
    assert contact.now() - datetime(2031, 5, 6, 0, 1, tzinfo=UTC) == timedelta(seconds=0.5)


async def test_a_server_that_tells_no_time_is_timed_by_ours(world) -> None:
    world.server._date = dict
    world.run(event_ttl=3600)
    await world.watching()
    world.clock.advance(TWO_HOURS)
    world.server.create("survivor")
    world.server.compact()
    world.server.cut()
    await until(lambda: world.target.records)
    assert world.status.gap_seconds >= TWO_HOURS - 1


# -- the writers' clocks


@pytest.mark.parametrize("api", ["core", "events"])
async def test_w38_nothing_is_dropped_by_its_stamps_and_order_is_that_of_versions(world, api: str) -> None:
    odd = odd_stamps(world.clock)
    for name, values in odd.items():
        world.server.create(name, **values)
    world.run(api=api)
    await world.arrived(*odd)
    await world.watching()
    for name, values in odd.items():
        world.server.create(f"live-{name}", **values)
        world.server.patch(name, count=2)
    live = [label for name in odd for label in (f"live-{name}", name)]
    await until(lambda: len(world.target.events) == len(odd) + len(live))
    assert world.target.names()[len(odd) :] == live
    versions = [event.version for event in world.target.events[len(odd) :]]
    assert versions == sorted(versions)
    assert world.target.poison == []
    assert world.status.lag >= 0.0


async def test_w38_the_first_hour_takes_what_is_stamped_ahead_and_what_has_no_stamp(world) -> None:
    for name, values in odd_stamps(world.clock).items():
        world.server.create(name, **values)
    world.run(start=timedelta(minutes=30))
    await world.watching()
    assert set(world.target.names()) == {"ahead", "no-last", "no-stamps", "micro", "far"}
    assert world.target.old == 2


async def test_w38_through_the_whole_daemon(tmp_path: Path, server) -> None:
    site = Site(tmp_path, server)
    odd = odd_stamps(FastClock())
    async with site.running():
        for name, values in odd.items():
            server.create(name, **values)
        await site.has(*odd)
    assert site.names() == list(odd)
    assert site.balanced() == len(odd)


async def test_lag_rises_while_reading_is_held_up_and_falls_again(world) -> None:
    world.run()
    await world.watching()
    world.server.create("prompt", lastTimestamp=stamp(world.clock))
    await world.arrived("prompt")
    assert world.status.lag < 5
    world.server.faults.add("watch", Fault(freeze_head=True))
    world.server.cut()
    await until(lambda: world.server.faults.frozen_now)
    world.server.create("held-up", lastTimestamp=stamp(world.clock))
    world.clock.advance(40)
    world.server.faults.thaw()
    await world.arrived("held-up")
    assert world.status.lag >= 39
    world.server.create("prompt-again", lastTimestamp=stamp(world.clock))
    await world.arrived("prompt-again")
    assert world.status.lag < 30
