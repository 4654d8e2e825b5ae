"""Rows about people: a notifier's daemon is killed (SIGKILL), and every event is in some message's count."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from eventer.allowance import MINUTE
from eventer.demo.apiserver import ApiServer
from eventer.journal import read_books
from tests.helpers.farside import FarSide
from tests.helpers.process import until
from tests.helpers.robots import Robots
from tests.real.conftest import MakeDaemon

SIGKILLED = -9
EVENTS = 60
PER_MINUTE = 18
QUICK = 3.0
"""How much faster a robot's time runs."""


def told(far: FarSide) -> set[int]:
    """Return the numbers of the notifications that messages stand for."""
    notes = [json.loads(request.body) for request in far.requests]
    return {n for note in notes for n in range(note["number"] - max(note.get("folded", 0), 1) + 1, note["number"] + 1)}


@pytest.mark.parametrize("passes", [1, 3])
@pytest.mark.parametrize(
    "place",
    ["alerting.settle", "alerting.settled", "delivery.send", "delivery.sent", "delivery.settle", "delivery.settled"],
)
async def test_q1_a_notifier_killed_at_every_failpoint(daemons: MakeDaemon, place: str, passes: int) -> None:
    """Q1. Once at the first message and once in mid-work: no notification is missing, at most two come twice."""
    server = ApiServer()
    await server.start()
    async with FarSide() as far:
        daemon = daemons(sources=[])
        config = server.write_kubeconfig(daemon.directory / "kubeconfig")
        daemon.config["sources"] = [{"cluster": "prod", "kubernetes": {"kubeconfig": str(config), "nodes": False}}]
        group = {"by": ["name"], "wait": "0s"}
        daemon.config["sinks"] = {"chat": {"kind": "webhook", "url": far.url, "format": "single", "group": group}}
        try:
            await daemon.start(failpoints=f"{place}=kill@{passes}")
            for number in range(EVENTS // 2):
                server.create(about=f"pod-{number}", type="Warning", reason="BackOff")
                if number % 5 == 4:  # in several steps, each with its own settling
                    wanted = number + 1
                    await until(lambda n=wanted: len(told(far)) >= n or not daemon.child.alive, "messages", every=0.01)  # type: ignore[misc]
            assert await daemon.child.ended() == SIGKILLED
            for number in range(EVENTS // 2, EVENTS):
                server.create(about=f"pod-{number}", type="Warning", reason="BackOff")
            await daemon.start()
            await until(lambda: len(told(far)) == EVENTS, "all to be told")
            assert await daemon.term() == 0
        finally:
            await server.stop()
    books = read_books(daemon.state)
    reader, record = books.alerting["chat"], books.notifiers["chat"]
    assert (reader.represented, reader.waiting, reader.opened) == (EVENTS, 0, EVENTS)
    assert record.cursor == sum(record.outcomes.values()) == EVENTS
    assert EVENTS <= len(far.requests) <= EVENTS + 2


async def test_s16_a_robot_is_never_sent_too_much_by_a_daemon_that_is_killed_in_a_storm(daemons: MakeDaemon) -> None:
    """S16. Lives that SIGKILL ends within one of the robot's minutes, which lasts 20 s here."""
    server = ApiServer()
    await server.start()
    async with Robots(lambda: time.monotonic() * QUICK) as robots:
        robot = robots.add("dingtalk", "a-secret-token")
        # The second by which a request may be late at the robot is not one of the robot's.
        daemon = daemons(sources=[], scaled={"eventer.allowance:MINUTE": (MINUTE - 1) / QUICK + 1})
        config = server.write_kubeconfig(daemon.directory / "kubeconfig")
        daemon.config["sources"] = [{"cluster": "prod", "kubernetes": {"kubeconfig": str(config), "nodes": False}}]
        # The sink's own limit would hide what is remembered of the robot.
        chat = {"kind": "dingtalk", "url": robot.url, "limit": "1000/s", "group": {"by": ["name"], "wait": "0s"}}
        daemon.config["sinks"] = {"chat": chat}
        places = ["delivery.sent@15", "delivery.settled@6"]
        number = 0
        try:
            for place in places:
                name, _, passes = place.partition("@")
                daemon.launch(failpoints=f"{name}=kill@{passes}")
                while daemon.child.alive:
                    server.create(about=f"pod-{number}", type="Warning", reason="BackOff")
                    number += 1
                    await asyncio.sleep(0.1)
                assert await daemon.child.ended() == SIGKILLED
            await daemon.start()

            async def told_all() -> bool:
                represented = await daemon.metric("eventer_alerting_events_total", sink="chat", outcome="represented")
                return represented == number and not await daemon.metric("eventer_notifications_pending", sink="chat")

            await until(told_all, "everything to be told")
            assert await daemon.term() == 0
        finally:
            await server.stop()
    assert not robot.silent_until
    assert len(robot.requests) > PER_MINUTE
    assert max(sum(at <= other < at + 60 for other in robot.requests) for at in robot.requests) <= PER_MINUTE


@pytest.mark.parametrize("place", ["delivery.sent", "delivery.settle", "delivery.settled"])
async def test_q1_a_thread_of_slack_goes_on_after_a_kill(daemons: MakeDaemon, place: str) -> None:
    """Q1. Killed around the second message of a group: the third is in the thread of the first."""
    server = ApiServer()
    await server.start()
    async with Robots(time.time) as robots:
        bot = robots.add("slackbot", "xoxb-a-secret-token")
        daemon = daemons(sources=[])
        config = server.write_kubeconfig(daemon.directory / "kubeconfig")
        daemon.config["sources"] = [{"cluster": "prod", "kubernetes": {"kubeconfig": str(config), "nodes": False}}]
        group = {"wait": "0s", "interval": "100ms"}
        daemon.config["sinks"] = {
            "chat": {"kind": "slack", "token": bot.token, "channel": "ops", "api": bot.url, "group": group}
        }
        try:
            await daemon.start(failpoints=f"{place}=kill@2")
            server.create(about="pod-1", type="Warning", reason="BackOff")
            await until(lambda: len(bot.messages) == 1, "the first message")
            server.create(about="pod-2", type="Warning", reason="BackOff")
            assert await daemon.child.ended() == SIGKILLED
            told = len(bot.messages)
            await daemon.start()
            server.create(about="pod-3", type="Warning", reason="BackOff")
            await until(
                lambda: "3 problems" in bot.messages[-1]["text"] and len(bot.messages) > told, "the third message"
            )
            assert await daemon.term() == 0
        finally:
            await server.stop()
    assert {message.get("thread_ts") for message in bot.messages[1:]} == {"1.000001"}
    record = read_books(daemon.state).notifiers["chat"]
    assert record.cursor == sum(record.outcomes.values())
