"""DingTalk: several robots in rotation, the limit, the penalty, and what each layout sends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from eventer.alerting.notification import Why
from eventer.errors import Blocked, Rejected, Retry
from eventer.match import Rule
from eventer.sink import Sent, SinkContext
from eventer.values import Duration, Rate, Secret
from sinks._chat import MentionConfig, TemplateConfig
from sinks.dingtalk import Config, RobotConfig, Sink
from tests.helpers.notes import SAMPLES, batch_of, note
from tests.helpers.robots import Robot, Robots

BATCH = batch_of(SAMPLES["oom"])


class Time:
    """A clock that a test sets; the robots go by it too, unless it is told to be wrong by some seconds."""

    def __init__(self) -> None:
        self.at = 1_800_000_000.0
        self.wrong = 0.0

    def monotonic(self) -> float:
        return self.at

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at + self.wrong, UTC)

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("a sink does not sleep")


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def robots(time: Time) -> AsyncIterator[Robots]:
    async with Robots(lambda: time.at) as made:
        yield made


async def opened(time: Time, first: Robot, *others: Robot, **options: Any) -> Sink:
    def secret(robot: Robot) -> Secret | None:
        return Secret.literal(robot.secret) if robot.secret else None

    config = Config(
        kind="dingtalk",
        url=Secret.literal(first.url),
        secret=secret(first),
        more=[RobotConfig(url=Secret.literal(each.url), secret=secret(each)) for each in others],
        timeout=Duration(30),
        **options,
    )
    sink = Sink(config, SinkContext(name="ops", clock=time))
    await sink.open(None)
    return sink


async def until_refused(sink: Sink) -> tuple[int, Retry]:
    """Send without a pause; return how many went through, and what came then."""
    for number in range(1000):
        try:
            await sink.send(BATCH)
        except Retry as error:
            return number, error
    raise AssertionError("it never waits")


async def test_s17_each_attempt_is_signed_anew(time: Time, robots: Robots) -> None:
    robot = robots.add("dingtalk", "t", secret="SECtest")
    sink = await opened(time, robot)
    await sink.send(BATCH)
    time.at += 7200  # a signature is taken for an hour
    await sink.send(BATCH)
    assert len(robot.messages) == 2
    await sink.close()


@pytest.mark.parametrize("wrong", [-3 * 3600.0, 3 * 3600.0])
async def test_s17_a_clock_that_is_wrong_by_hours_is_named(time: Time, robots: Robots, wrong: float) -> None:
    robot = robots.add("dingtalk", "t", secret="SECtest")
    time.wrong = wrong
    sink = await opened(time, robot)
    with pytest.raises(Blocked, match="this machine's clock") as caught:
        await sink.send(BATCH)
    assert caught.value.reason == "signature"
    await sink.close()


async def test_s17_a_wrong_secret_is_named(time: Time, robots: Robots) -> None:
    robot = robots.add("dingtalk", "t", secret="SECtest")
    sink = await opened(time, robot)
    robot.secret = "SECother"
    with pytest.raises(Blocked, match="Check `secret`"):
        await sink.send(BATCH)
    await sink.close()


async def test_s17_a_key_that_is_rotated_is_read_anew(time: Time, robots: Robots, tmp_path: Path) -> None:
    robot = robots.add("dingtalk", "t", secret="SECold")
    file = tmp_path / "secret"
    file.write_text("SECold\n")
    config = Config(kind="dingtalk", url=Secret.literal(robot.url), secret=Secret.file(file), timeout=Duration(30))
    sink = Sink(config, SinkContext(name="ops", clock=time))
    await sink.open(None)
    await sink.send(BATCH)
    robot.secret = "SECnew"
    with pytest.raises(Blocked):  # until the file is changed, it waits
        await sink.send(BATCH)
    file.write_text("SECnew\n")
    await sink.send(BATCH)
    assert len(robot.messages) == 2
    await sink.close()


@pytest.mark.parametrize("layout", ["markdown", "text", "link", "kube-eventer"])
async def test_the_keyword_is_in_every_message(time: Time, robots: Robots, layout: str) -> None:
    robot = robots.add("dingtalk", "t", keyword="巡检")
    sink = await opened(time, robot, keyword="巡检", layout=layout)
    told = [*SAMPLES.values(), note(why=Why.SUMMARY, events=3, group={})]
    for each in told:
        await sink.send(batch_of(each))
    assert len(robot.messages) == len(told)
    await sink.close()


async def test_a_missing_keyword_is_named(time: Time, robots: Robots) -> None:
    sink = await opened(time, robots.add("dingtalk", "t", keyword="巡检"))
    with pytest.raises(Blocked, match="Set `keyword` to it"):
        await sink.send(BATCH)
    await sink.close()


async def test_s16_one_robot_is_sent_18_a_minute_and_never_refuses(time: Time, robots: Robots) -> None:
    robot = robots.add("dingtalk", "t")
    sink = await opened(time, robot)
    for _ in range(5):
        count, error = await until_refused(sink)
        assert count == 18
        assert error.reason == "paced"
        assert error.after is not None
        time.at += error.after
    assert len(robot.messages) == len(robot.requests) == 90
    assert all(sum(at <= other < at + 60 for other in robot.requests) <= 18 for at in robot.requests)
    await sink.close()


async def test_several_robots_take_turns(time: Time, robots: Robots) -> None:
    group = [robots.add("dingtalk", f"t{n}", secret=f"SEC{n}") for n in range(3)]
    sink = await opened(time, *group)
    for _ in range(9):
        time.at += 1
        await sink.send(BATCH)
    assert [len(robot.messages) for robot in group] == [3, 3, 3]
    count, _ = await until_refused(sink)
    assert count == 3 * 18 - 9
    assert [len(robot.requests) for robot in group] == [18, 18, 18]
    await sink.close()


async def test_s15_a_robot_that_others_use_too_is_left_alone_for_a_minute_and_then_for_the_penalty(
    time: Time, robots: Robots
) -> None:
    robot = robots.add("dingtalk", "t")
    robot.taken += [time.at] * 19
    sink = await opened(time, robot)
    await sink.send(BATCH)
    with pytest.raises(Retry) as caught:
        await sink.send(BATCH)
    assert (caught.value.reason, caught.value.after) == ("throttled", 60.0)
    asked = len(robot.requests)
    with pytest.raises(Retry):  # whoever asks too soon is told to wait, and the robot is left alone
        await sink.send(BATCH)
    assert len(robot.requests) == asked
    time.at += 60
    with pytest.raises(Retry) as caught:
        await sink.send(BATCH)
    assert (caught.value.reason, caught.value.after) == ("silenced", 600.0)
    time.at += 600
    await sink.send(BATCH)
    assert len(robot.messages) == 2
    await sink.close()


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(status=302, headers={"Location": "https://error.example/"}),
        lambda: web.json_response({"status": 1111, "wait": 5, "source": "x5", "punish": "deny"}),
        lambda: web.json_response({"errcode": 410100, "errmsg": "发送速度太快而限流"}),
        lambda: web.json_response({"errcode": 90030, "errmsg": "over quota"}),
        lambda: web.json_response({"errcode": 400102, "errmsg": "机器人已停用"}),
        lambda: web.Response(status=429, headers={"Retry-After": "7"}),
        lambda: web.Response(status=403),
    ],
)
async def test_another_robot_stands_in_for_one_that_cannot(time: Time, robots: Robots, answer: Any) -> None:
    ill, well = robots.add("dingtalk", "a"), robots.add("dingtalk", "b")
    ill.script.append(answer())
    sink = await opened(time, ill, well)
    sent = await sink.send(BATCH)
    assert sent.note.startswith("The robot 1 of 2 did not take a message: ")
    assert (len(ill.messages), len(well.messages)) == (0, 1)
    assert await sink.send(BATCH) == Sent()
    assert len(ill.requests) == 1  # it is left alone
    time.at += 3600
    await sink.send(BATCH)
    assert len(ill.messages) == 1
    await sink.close()


async def test_where_all_are_refused_the_first_remedy_is_told(time: Time, robots: Robots) -> None:
    first, second = robots.add("dingtalk", "a", stopped=True), robots.add("dingtalk", "b", keyword="x")
    sink = await opened(time, first, second)
    with pytest.raises(Blocked, match="switched off or gone"):
        await sink.send(BATCH)
    assert len(first.requests) == len(second.requests) == 1
    await sink.close()


async def test_what_may_have_got_through_is_not_sent_by_another_robot(time: Time, robots: Robots) -> None:
    first, second = robots.add("dingtalk", "a"), robots.add("dingtalk", "b")
    first.script.append(web.Response(text="<html>"))
    sink = await opened(time, first, second)
    with pytest.raises(Retry):
        await sink.send(BATCH)
    assert second.requests == []
    await sink.close()


async def test_what_no_robot_takes_is_rejected(time: Time, robots: Robots) -> None:
    first, second = robots.add("dingtalk", "a"), robots.add("dingtalk", "b")
    first.script.append(web.json_response({"errcode": 460101, "errmsg": "message too long, exceed 20000 bytes"}))
    sink = await opened(time, first, second)
    with pytest.raises(Rejected):
        await sink.send(BATCH)
    assert second.requests == []
    await sink.close()


async def test_people_are_mentioned_by_mobile_and_by_user(time: Time, robots: Robots) -> None:
    robot = robots.add("dingtalk", "t")
    mention = [
        MentionConfig(match=[Rule.parse({"severity": "critical"})], mobiles=["13800000000"], all=True),
        MentionConfig(users=["manager4220"]),
    ]
    for layout in ("markdown", "text", "kube-eventer"):
        sink = await opened(time, robot, mention=mention, layout=layout)
        await sink.send(BATCH)
        await sink.send(batch_of(SAMPLES["crash"]))
        await sink.close()
    assert robot.mentioned == [["13800000000", "manager4220", "all"], ["manager4220"]] * 3


async def test_an_action_card_has_a_button_for_each_link(time: Time, robots: Robots) -> None:
    robot = robots.add("dingtalk", "t")
    sink = await opened(time, robot, layout="actionCard", links={"Logs": "https://logs.example/{{ event.name }}"})
    await sink.send(BATCH)
    card = robot.messages[0]["actionCard"]
    assert card["btns"][0] == {"title": "Logs", "actionURL": "https://logs.example/cn-shanghai.10.0.3.17"}
    await sink.send(batch_of(SAMPLES["resolved"]))  # no link: no button
    assert robot.messages[1]["msgtype"] == "markdown"
    await sink.close()


async def test_a_link_leads_to_the_first_of_the_links(time: Time, robots: Robots) -> None:
    robot = robots.add("dingtalk", "t")
    sink = await opened(time, robot, layout="link", links={"Logs": "https://logs.example/{{ event.name }}"})
    for sample in ("oom", "storm", "resolved"):
        await sink.send(batch_of(SAMPLES[sample]))
    first, storm, over = robot.messages
    assert first["link"]["messageUrl"] == "https://logs.example/cn-shanghai.10.0.3.17"
    assert first["link"]["title"] == "[prod] 🔴 OOMKilling · Node cn-shanghai.10.0.3.17 ×3"
    assert first["link"]["text"].startswith("Message: Memory cgroup out of memory")
    assert storm["msgtype"] == "link"
    assert over["msgtype"] == "markdown"  # nothing to lead to
    await sink.close()


async def test_the_seven_lines_of_kube_eventer(time: Time, robots: Robots) -> None:
    robot = robots.add("dingtalk", "t")
    sink = await opened(time, robot, layout="kube-eventer", labels=["prod", "100% full"], zone="Asia/Shanghai")
    await sink.send(batch_of(SAMPLES["crash"]))
    assert robot.messages[0]["text"]["content"].splitlines() == [
        "prod",
        "100% full",
        "Level:Warning ",
        "Kind:Pod ",
        "Namespace:shop ",
        "Name:api-7d9 ",
        "Reason:BackOff ",
        "Timestamp:2027-01-15 16:23:00 ",
        "Message:Back-off restarting failed container ",
    ]
    await sink.close()


def test_the_limit_is_what_the_robots_bear() -> None:
    url = Secret.literal("https://oapi.dingtalk.com/robot/send?access_token=t")
    assert Config(kind="dingtalk", url=url).limit == Rate(count=18, unit="m")
    assert Config(kind="dingtalk", url=url, more=[RobotConfig(url=url)]).limit == Rate(count=36, unit="m")
    assert Config(kind="dingtalk", url=url, limit=Rate.parse("5/m")).limit == Rate(count=5, unit="m")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layout": "actionCard", "mention": [MentionConfig(users=["a"])]}, "layout: actionCard mentions nobody"),
        ({"layout": "link", "mention": [MentionConfig(users=["a"])]}, "layout: link mentions nobody"),
        ({"layout": "kube-eventer", "template": TemplateConfig(title="x")}, "layout: kube-eventer has its own lines"),
        ({"labels": ["prod"]}, "labels: only layout: kube-eventer has them"),
        ({"more": [RobotConfig(url=Secret.literal("t"))]}, "more: the address is no URL"),
    ],
)
def test_what_does_not_go_together_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        Config(kind="dingtalk", url=Secret.literal("https://oapi.dingtalk.com/robot/send?access_token=t"), **options)
    assert said in str(caught.value)
