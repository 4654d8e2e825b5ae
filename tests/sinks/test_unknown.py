"""Chats: whether people may have a message of which nothing says that it arrived, and what becomes of it then."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from aiohttp import web

from eventer.alerting.notification import Why
from eventer.errors import Retry
from eventer.sink import SinkConfig, kinds, load
from eventer.values import Duration, Secret
from sinks._chat import TalkConfig
from sinks.dingtalk import RobotConfig
from tests.helpers.notes import SAMPLES, batch_of, item, note, send
from tests.helpers.robots import Robot, Robots
from tests.sinks.test_notifiers import KINDS, robot, robots, sink_of

__all__ = ["robot", "robots"]


async def unknown(sink: Any, sample: str = "oom") -> bool:
    with pytest.raises(Retry) as caught:
        await send(sink, SAMPLES[sample])
    return caught.value.unknown


async def test_where_the_answer_is_lost_people_may_have_it(robot: Robot, robots: Robots) -> None:
    robots.losing = 1
    assert await unknown(sink_of(robot))
    assert len(robot.messages) == 1


async def test_where_no_answer_comes_people_may_have_it(robot: Robot, robots: Robots) -> None:
    robots.answering.clear()
    expected = robot.vendor != "wecomapp"  # which is asked for a token first
    assert await unknown(sink_of(robot, timeout=Duration(0.3))) is expected


async def test_where_nobody_listens_they_do_not(robot: Robot, robots: Robots) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        before, robots.port = robots.port, taken.getsockname()[1]
        gone = robots.add(robot.vendor, robot.token)
        robots.port = before
        assert not await unknown(sink_of(gone))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda: web.Response(text="<html>maintenance</html>"), True),
        (lambda: web.Response(text=""), True),
        (lambda: web.json_response({}), True),
        (lambda: web.Response(status=502, text="no"), True),
        (lambda: web.Response(status=504, headers={"Retry-After": "1"}), True),
        (lambda: web.Response(status=503, text="no"), False),
        (lambda: web.Response(status=429, headers={"Retry-After": "7"}), False),
    ],
)
async def test_an_answer_that_makes_no_sense_says_nothing_and_a_refusal_says_enough(
    robot: Robot, answer: Any, *, expected: bool
) -> None:
    robot.script.append(answer())
    assert await unknown(sink_of(robot)) is expected


async def test_an_answer_of_the_vendor_that_is_no_success_says_enough(robot: Robot) -> None:
    error = {"errcode": 987654, "code": 987654, "ok": False, "error": "team_added_to_org"}
    if robot.kind == "teams" or robot.vendor == "slack":
        pytest.skip("their answers are words and statuses")
    robot.script.append(web.json_response(error))
    assert not await unknown(sink_of(robot))


async def test_a_send_whose_time_is_over_begins_no_request(robot: Robot) -> None:
    """Requests of one send share its time, so none is under way when the runner's patience ends."""
    sink = sink_of(robot)
    sink._timeout = 0.0
    assert not await unknown(sink)
    assert (robot.requests, robot.bought) == ([], [])


# -- those that send more than one request ---------------------------------------------------------


@pytest.mark.parametrize("lost", ["lost", "504"])
async def test_dingtalk_lets_no_other_robot_say_what_one_may_have_said(robots: Robots, lost: str) -> None:
    robot, other = robots.add("dingtalk", "one"), robots.add("dingtalk", "other")
    if lost == "lost":
        robots.losing = 1
    else:
        robot.script.append(web.Response(status=504, headers={"Retry-After": "1"}))
    assert await unknown(sink_of(robot, more=[RobotConfig(url=Secret.literal(other.url))]))
    assert (len(robot.requests), len(other.requests)) == (1, 0)


async def test_slack_changes_a_message_twice_without_harm(robots: Robots) -> None:
    """What shows how things stand may be lost and sent again; what is written below it is new each time."""
    robot = robots.add("slackbot", "token")
    sink = sink_of(robot)
    await sink.open(None)
    await sink.send(batch_of(SAMPLES["oom"]))
    for count in (1, 2):
        robots.losing = 1
        with pytest.raises(Retry) as caught:
            await sink.send(batch_of(SAMPLES["oom"]))
        assert not caught.value.unknown
        assert (len(robot.messages), len(robot.updates)) == (1, count)
    await sink.send(batch_of(SAMPLES["oom"]))
    assert (len(robot.messages), len(robot.updates)) == (2, 3)
    await sink.close()


async def test_slack_has_all_of_the_time_for_what_was_not_written_yet(robots: Robots) -> None:
    """Else a Slack that takes long for each of two requests would never be seen to have taken the second."""
    robot = robots.add("slackbot", "token")
    sink = sink_of(robot)
    await sink.open(None)
    first, news = batch_of(note(item())), batch_of(note(item(), item(name="b"), why=Why.NEW))
    await sink.send(first)
    robot.script.append(web.json_response({"ok": True, "channel": "C1", "ts": "1.000001"}))  # of the first message
    robots.losing = 1
    with pytest.raises(Retry) as caught:
        await sink.send(news)
    assert caught.value.unknown
    assert (len(robot.messages), len(robot.requests)) == (2, 3)
    await sink.send(news)
    assert (len(robot.messages), len(robot.requests)) == (3, 4)
    await sink.send(first)
    assert (len(robot.messages), len(robot.requests)) == (4, 6), "what is told next changes the first message"
    await sink.close()


async def test_teams_tries_the_shorter_card_at_once_until_it_has_come_to_its_end(robots: Robots) -> None:
    robot = robots.add("teams", "token")
    sink = sink_of(robot)
    await sink.open(None)
    robot.script += [web.Response(status=413), web.Response(status=504)]
    with pytest.raises(Retry):
        await sink.send(batch_of(SAMPLES["storm"]))
    await sink.send(batch_of(SAMPLES["storm"]))
    await sink.send(batch_of(SAMPLES["storm"]))
    assert len(robot.requests) == 4
    short, whole = map(len, map(str, robot.messages))
    assert short < whole
    await sink.close()


@pytest.mark.parametrize(("word", "expected"), [("internal_error", True), ("fatal_error", True), ("ratelimited", False), ("service_unavailable", False)])  # fmt: skip
async def test_slack_says_itself_that_some_of_it_may_have_succeeded(
    robots: Robots, word: str, *, expected: bool
) -> None:
    robot = robots.add("slackbot", "token")
    robot.script.append(web.json_response({"ok": False, "error": word}))
    assert await unknown(sink_of(robot)) is expected


@pytest.mark.parametrize("answer", [lambda: web.Response(text="<html>"), lambda: web.Response(status=502)])
async def test_wecom_is_asked_for_a_token_before_anything_is_sent(robots: Robots, answer: Any) -> None:
    robot = robots.add("wecomapp", "secret")
    robots.refusing = answer()
    assert not await unknown(sink_of(robot))
    assert robot.requests == []


async def test_wecom_drops_what_an_application_says_a_second_time(robots: Robots) -> None:
    robot = robots.add("wecomapp", "secret")
    sink = sink_of(robot)
    await sink.open(None)
    robots.losing = 1
    with pytest.raises(Retry) as caught:
        await sink.send(batch_of(SAMPLES["oom"]))
    assert caught.value.unknown
    await sink.send(batch_of(SAMPLES["oom"]))
    await sink.close()
    assert len(robot.messages) == 1


# -- the option ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", kinds())
def test_chats_have_the_option_and_nobody_else(kind: str) -> None:
    config: type[SinkConfig] = load(kind).Config
    assert issubclass(config, TalkConfig) is (kind in KINDS)
    assert ("on_unknown" in config.__struct_fields__) is (kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_as_a_rule_nothing_is_lost(kind: str) -> None:
    config = load(kind).Config
    url = Secret.literal("https://robot.example/x")
    assert config(kind=kind, url=url).repeats_unknown
    assert config(kind=kind, url=url, on_unknown="repeat").repeats_unknown
    assert not config(kind=kind, url=url, on_unknown="skip").repeats_unknown
