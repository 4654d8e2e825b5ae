"""A daemon that writes into chats: threads that outlive a restart, and messages in the user's own words."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from structlog.testing import capture_logs

from eventer.demo.apiserver import ApiServer
from eventer.event import Outcome
from eventer.journal import read_books
from tests.helpers.inprocess import Site, StillClock
from tests.helpers.robots import Robots
from tests.helpers.until import until


async def test_a_thread_of_slack_goes_on_after_a_restart(tmp_path: Path, server: ApiServer) -> None:
    site = Site(tmp_path, server)
    async with Robots(time.time) as robots:
        bot = robots.add("slackbot", "xoxb-a-secret-token")
        site.document["sinks"]["chat"] = {
            "kind": "slack", "token": bot.token, "channel": "ops", "api": bot.url,
            "group": {"wait": "0s", "interval": "1s"},
        }  # fmt: skip
        clock = StillClock()
        for number in range(2):
            async with site.running(clock) as life:
                server.create(about=f"bad-{number}", type="Warning", reason="BackOff", message="Back-off restarting")
                alerting = life.journal.alerting
                for _ in range(2000):
                    clock.advance(1)
                    await asyncio.sleep(0.003)
                    if len(bot.messages) > number and alerting.notifiers["chat"].cursor > number:
                        break
    assert [message.get("thread_ts") for message in bot.messages] == [None, "1.000001"]
    assert [update["ts"] for update in bot.updates] == ["1.000001"]


async def test_a_template_that_raises_on_one_event_in_ten_loses_no_message(tmp_path: Path, server: ApiServer) -> None:
    site = Site(tmp_path, server)
    async with Robots(time.time) as robots:
        robot = robots.add("dingtalk", "a-secret-token")
        body = (
            "{% for problem in problems %}mine: {{ 7 // (problem.name | length - 6) }} {{ problem.name }}{% endfor %}"
        )
        site.document["sinks"]["chat"] = {
            "kind": "dingtalk", "url": robot.url, "limit": "1000/m", "template": {"body": body},
            "group": {"by": ["name"], "wait": "0s"},
        }  # fmt: skip
        with capture_logs() as lines:
            async with site.running(StillClock()) as life:
                for number in range(10):
                    about = "web-x7" if number == 3 else f"web-{number:03}"
                    server.create(about=about, type="Warning", reason="BackOff", message="Back-off restarting")
                await until(lambda: len(robot.messages) == 10, "ten messages")
                await until(lambda: life.journal.alerting.notifiers["chat"].cursor == 10, "all to be settled")
                _, metrics = await life.get("/metrics")
    texts = [message["markdown"]["text"] for message in robot.messages]
    assert sum("mine: " in text for text in texts) == 9
    assert sum("Back-off restarting" in text for text in texts) == 1
    assert read_books(site.state).notifiers["chat"].outcomes == {Outcome.DELIVERED: 10}
    assert 'eventer_sink_defaulted_total{sink="chat"} 1.0' in metrics
    (said,) = [line for line in lines if line["event"] == "sink has a note"]
    assert "The template `body` fails on a notification" in said["note"]
    assert "ZeroDivisionError" in said["note"]
