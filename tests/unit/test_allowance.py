"""What a far side bears is counted whoever sends, over restarts, and whatever clocks and disks do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from eventer.allowance import MOST, Allowance, Allowances, Together
from eventer.errors import DiskRefused, Retry

ROBOT = "https://oapi.example/robot/send?access_token=very-secret"


class Time:
    def __init__(self, at: float = 0.0) -> None:
        self.at = at
        self.skew = 1_800_000_000.0

    def monotonic(self) -> float:
        return self.at

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at + self.skew, UTC)

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


class Disk:
    """What is left after kill -9."""

    def __init__(self) -> None:
        self.kept: dict[str, list[float]] = {}
        self.refuses = False

    async def keep(self, key: str, times: Sequence[float]) -> None:
        if self.refuses:
            raise DiskRefused("the disk is full")
        self.kept[key] = list(times)


def robot(allowances: Allowances, address: str = ROBOT) -> Allowance:
    return allowances.of(lambda: address, 18, 61.0)


async def take(bears: Allowance, n: int) -> None:
    for _ in range(n):
        await bears.take()


async def test_so_many_in_any_stretch_and_no_more() -> None:
    time = Time()
    bears = robot(Allowances(time))
    assert (bears.free, bears.wait) == (18, 0.0)
    await take(bears, 10)
    time.at += 30
    await take(bears, 8)
    assert (bears.free, bears.wait) == (0, 31.0)
    with pytest.raises(Retry, match="18 messages within 61 s") as raised:
        await bears.take()
    assert (raised.value.reason, raised.value.after) == ("paced", 31.0)
    time.at += 31
    assert bears.free == 10


async def test_two_who_send_to_one_robot_share_what_it_bears() -> None:
    allowances = Allowances(Time())
    one, other, another_robot = robot(allowances), robot(allowances, f"{ROBOT}\n"), robot(allowances, f"{ROBOT}2")
    await take(one, 12)
    assert (other.free, another_robot.free) == (6, 18)
    await take(other, 6)
    assert one.free == 0


async def test_a_process_that_was_killed_knows_what_was_sent_and_the_disk_knows_no_secret() -> None:
    time, disk = Time(5000.0), Disk()
    await take(robot(Allowances(time, keep=disk.keep)), 17)
    assert "secret" not in str(disk.kept)
    after = Time(3.0)  # another process, with another origin of its monotonic time, ten seconds later
    after.skew = time.skew + 5000.0 - 3.0 + 10.0
    bears = robot(Allowances(after, disk.kept, disk.keep))
    assert bears.free == 1
    await take(bears, 1)
    assert bears.wait == pytest.approx(51.0)
    later = Time(3.0)
    later.skew = after.skew + 51.0
    assert robot(Allowances(later, disk.kept)).free == 17


@pytest.mark.parametrize("hours", [1, 10_000])
async def test_a_wall_clock_that_was_set_back_sends_no_more(hours: int) -> None:
    time, disk = Time(), Disk()
    await take(robot(Allowances(time, keep=disk.keep)), 18)
    after = Time()
    after.skew = time.skew - hours * 3600.0
    bears = robot(Allowances(after, disk.kept))
    assert (bears.free, bears.wait) == (0, 61.0)


async def test_a_disk_that_refuses_keeps_nobody_from_being_told() -> None:
    disk = Disk()
    bears = robot(Allowances(Time(), keep=disk.keep))
    disk.refuses = True
    await take(bears, 18)
    assert bears.free == 0
    assert not disk.kept


async def test_it_counts_from_when_it_was_noted_where_the_disk_is_slow() -> None:
    time = Time()

    async def slow(key: str, times: Sequence[float]) -> None:
        time.at += 5.0

    bears = robot(Allowances(time, keep=slow))
    await bears.take()
    assert bears.last == 5.0


async def test_a_file_with_an_address_that_is_gone_is_no_reason_to_wait() -> None:
    def address() -> str:
        raise FileNotFoundError

    bears = Allowances(Time()).of(address, 18, 61.0)
    assert (bears.free, bears.wait) == (18, 0.0)


async def test_robots_that_stand_in_for_each_other_bear_the_sum() -> None:
    allowances = Allowances(Time())
    one, other = robot(allowances), robot(allowances, "https://other.example/")
    together = Together([one, other])
    await take(one, 18)
    assert (together.free, together.wait) == (18, 0.0)
    await take(other, 18)
    assert (together.free, together.wait) == (0, 61.0)


async def test_what_is_remembered_is_bounded() -> None:
    time, disk = Time(), Disk()
    bears = Allowances(time, keep=disk.keep).of(lambda: ROBOT, MOST, 1.0)
    for _ in range(3 * MOST):
        await bears.take()
        time.at += 1.0
    (times,) = disk.kept.values()
    assert len(times) == MOST
