"""A daemon that writes into chats: an event in, a message out of each vendor's robot, and both in the books."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from eventer.demo.apiserver import ApiServer
from eventer.event import Outcome
from eventer.journal import read_books
from tests.helpers.inprocess import Site, StillClock
from tests.helpers.robots import Robots
from tests.helpers.until import until


@pytest.mark.parametrize("vendor", ["dingtalk", "feishu", "wecom", "slack", "teams"])
async def test_a_warning_is_told_in_the_chat(tmp_path: Path, server: ApiServer, vendor: str) -> None:
    site = Site(tmp_path, server)
    async with Robots(time.time) as robots:
        robot = robots.add(vendor, "a-secret-token")
        site.document["sinks"]["chat"] = {
            "kind": vendor, "url": robot.url, "language": "zh", "zone": "Asia/Shanghai", "group": {"wait": "0s"},
        }  # fmt: skip
        site.document["catalog"] = {"reasons": {"BackOff": {"zh": "值班手册第三页。"}}}
        async with site.running(StillClock()) as life:
            server.create("calm", type="Normal", reason="Pulled")
            server.create("bad", type="Warning", reason="BackOff", message="Back-off restarting failed container")
            await until(lambda: robot.messages, "a message")
            await until(lambda: life.journal.alerting.notifiers["chat"].cursor == 1, "the message to be settled")
    (message,) = robot.messages
    assert "BackOff" in str(message)
    assert "值班手册第三页。" in str(message)
    assert read_books(site.state).notifiers["chat"].outcomes == {Outcome.DELIVERED: 1}


async def test_s16_a_burst_over_40_namespaces_is_told_by_a_robot_that_never_refuses(
    tmp_path: Path, server: ApiServer
) -> None:
    site = Site(tmp_path, server)
    clock = StillClock()
    async with Robots(lambda: clock.now().timestamp()) as robots:
        robot = robots.add("dingtalk", "a-secret-token")
        site.document["sinks"]["chat"] = {"kind": "dingtalk", "url": robot.url, "group": {"wait": "0s"}}
        async with site.running(clock) as life:
            for number in range(500):
                server.create(f"e{number}", namespace=f"team-{number % 40}", type="Warning", reason="Failed")
            journal = life.journal.alerting
            await until(lambda: journal.readers["chat"].cursor - journal.readers["chat"].origin >= 500, "500 events")
            for _ in range(2000):
                clock.advance(1)
                await asyncio.sleep(0.003)
                books = journal.notifiers["chat"]
                if journal.readers["chat"].waiting == 0 and books.cursor == journal.readers["chat"].opened:
                    break
    reader, record = read_books(site.state).alerting["chat"], read_books(site.state).notifiers["chat"]
    assert (reader.represented, reader.waiting) == (500, 0)
    assert record.outcomes[Outcome.DELIVERED] == len(robot.messages) == len(robot.requests)
    assert sum(record.outcomes.values()) == reader.opened
    assert record.outcomes[Outcome.DELIVERED] + record.outcomes.get(Outcome.FOLDED, 0) == reader.opened
    assert all(sum(at <= other < at + 60 for other in robot.requests) <= 18 for at in robot.requests)


@pytest.mark.parametrize("vendor", ["dingtalk", "feishu", "wecom", "slack", "teams"])
@pytest.mark.parametrize("option", ["repeat", "skip"])
async def test_s5_a_message_whose_answer_is_lost_comes_again_or_is_kept_for_a_person(
    tmp_path: Path, server: ApiServer, vendor: str, option: str
) -> None:
    site = Site(tmp_path, server)
    clock = StillClock()
    async with Robots(time.time) as robots:
        robot = robots.add(vendor, "a-secret-token")
        site.document["sinks"]["chat"] = {
            "kind": vendor, "url": robot.url, "on_unknown": option, "group": {"wait": "0s", "by": ["name"]},
        }  # fmt: skip
        robots.losing = 1
        async with site.running(clock) as life:
            settled = life.journal.alerting.notifiers
            for n in (1, 2):
                server.create(f"bad{n}", about=f"pod-{n}", type="Warning", reason="BackOff")

                def done(n: int = n) -> bool:
                    clock.advance(0.5)  # the back-off
                    return settled["chat"].cursor == n

                await until(done, f"message {n} to be settled")
    said = [next(name for name in ("pod-1", "pod-2") if name in str(message)) for message in robot.messages]
    outcomes = read_books(site.state).notifiers["chat"].outcomes
    if option == "repeat":
        assert said == ["pod-1", "pod-1", "pod-2"]
        assert outcomes == {Outcome.DELIVERED: 2}
    else:
        assert said == ["pod-1", "pod-2"]
        assert outcomes == {Outcome.DELIVERED: 1, Outcome.DEAD: 1}
