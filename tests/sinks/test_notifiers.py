"""What every robot's sink must do, against the scripted robots of the vendors."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import web

from eventer.clock import SystemClock
from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.match import Rule
from eventer.sink import NotifierConfig, SinkContext, load
from eventer.values import Duration, Secret
from sinks._chat import MentionConfig
from tests.helpers.notes import (
    SAMPLES,
    batch_of,
    item,
    leaves_nothing_open,
    note,
    rejects_what_is_no_notification,
    send,
    told_by,
)
from tests.helpers.robots import Robot, Robots
from tests.helpers.sinks import CANARY, HOSTILE

KINDS = ["dingtalk", "feishu", "wecom", "slack", "teams"]
VENDORS = [*KINDS, "slackbot", "wecomapp"]
USERS = {
    "dingtalk": "manager4220", "feishu": "ou_18eac85d35a26", "wecom": "zhangsan", "slack": "U024BE7LH",
    "teams": "ann@example.com", "slackbot": "U024BE7LH",
}  # fmt: skip


@pytest.fixture
async def robots() -> AsyncIterator[Robots]:
    async with Robots(time.time) as made:
        yield made


@pytest.fixture(params=VENDORS)
def robot(request: pytest.FixtureRequest, robots: Robots) -> Robot:
    return robots.add(request.param, CANARY)


def sink_of(robot: Robot, **options: Any) -> Any:
    module = load(robot.kind)
    given = {**robot.options, "timeout": Duration(30), **options}
    return module.Sink(module.Config(kind=robot.kind, **given), SinkContext(name="ops", clock=SystemClock()))


def text_of(robot: Robot) -> str:
    return msgspec.json.encode(robot.messages[-1]).decode()


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("language", ["en", "zh"])
async def test_each_sample_is_taken(robot: Robot, sample: str, language: str) -> None:
    sent = await send(sink_of(robot, language=language, zone="Asia/Shanghai"), SAMPLES[sample])
    assert (sent.failed, sent.note) == ({}, "")
    assert len(robot.messages) == 1
    assert SAMPLES[sample].items[0].reason in text_of(robot)


async def test_a_sink_of_notifications_says_so(robot: Robot) -> None:
    assert issubclass(load(robot.kind).Config, NotifierConfig)


async def test_x3_hostile_text_is_taken_and_mentions_nobody(robot: Robot) -> None:
    sink = sink_of(robot)
    await sink.open(None)
    for text in [*HOSTILE.values(), "<@U1> <!channel> <at id=all></at> @all @13800000000 <@zhangsan>"]:
        told = item(message=text, name=text[:253] or "x", namespace=text[:60], reason=text[:120], node=text[:60])
        await sink.send(batch_of(note(told)))
        robot.taken.clear()  # the limits are another test's
    await sink.close()
    assert len(robot.messages) == len(HOSTILE) + 1
    assert not any(robot.mentioned)


@pytest.mark.parametrize(
    "text",
    [
        *("x" * 65_536, "汉" * 65_536, "🔥" * 20_000, "_" * 65_536, "<&>" * 20_000, "\x00" * 20_000),
        *(
            "@all **x** [a](http://evil.example) <@U1> <!channel> " * 1_200,
            "<at id=all></at><b>é\u0301</b>\n# h\n" * 2_000,
        ),
    ],
)
async def test_x3_what_is_long_is_cut_before_the_robot_refuses_it(robot: Robot, text: str) -> None:
    sink = sink_of(robot)
    long = item(message=text, name=text[:253], namespace=text[:253], reason=text[:1024], owner=text[:500])
    await send(sink, note(long))
    await send(sink, note(*[long] * 20, firing=700, unnamed=680))
    assert len(robot.messages) == 2


async def test_who_is_on_call_is_mentioned_for_what_is_critical_only(robot: Robot) -> None:
    if robot.vendor not in USERS:
        pytest.skip("an application mentions nobody")
    mention = [MentionConfig(match=[Rule.parse({"severity": "critical"})], users=[USERS[robot.vendor]])]
    sink = sink_of(robot, mention=mention)
    for sample in ("oom", "crash", "resolved"):
        await send(sink, SAMPLES[sample])
    assert robot.mentioned == [[USERS[robot.vendor]], [], []]


async def test_an_unknown_robot_is_blocked_with_a_remedy(robot: Robot, robots: Robots) -> None:
    gone = robots.add(robot.vendor, "other")
    robots._robots.clear()
    with pytest.raises(Blocked) as caught:
        await send(sink_of(gone), SAMPLES["oom"])
    assert any(word in str(caught.value) for word in ("address", "Token", "`app.secret`"))


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (lambda: web.Response(status=503, text="no"), Retry),
        (lambda: web.Response(status=401, text=f"{CANARY}"), Blocked),
        (lambda: web.Response(status=429, headers={"Retry-After": "7"}, text="{}"), Retry),
        (lambda: web.Response(text="<html>maintenance</html>"), Retry),
        (lambda: web.Response(text=""), Retry),
        (lambda: web.Response(text="[" * 50_000), Retry),
        (lambda: web.json_response({"errcode": 987654, "code": 987654, "errmsg": CANARY}), Retry),
        (lambda: web.json_response({"errcode": "0", "code": "0"}), Retry),
        (lambda: web.json_response({"errcode": False, "code": False}), Retry),
        (lambda: web.json_response({}), Retry),
        (lambda: web.Response(status=413, text="too large"), Rejected),
    ],
)
async def test_what_is_no_success_is_never_taken_for_one(
    robot: Robot, answer: Any, kind: type[SinkError], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    sink = sink_of(robot)
    await sink.open(None)
    robot.script += [answer(), answer()]  # what is too large may be tried once more, shorter
    with pytest.raises(SinkError) as caught:
        await sink.send(batch_of(SAMPLES["oom"]))
    error = caught.value
    assert type(error) is kind
    assert CANARY not in told_by(error, sink) + caplog.text
    assert error.reason.replace("_", "").isalpha()
    await sink.close()


async def test_a_robot_that_does_not_answer_is_given_up_and_tried_again(robot: Robot, robots: Robots) -> None:
    robots.answering.clear()
    with pytest.raises(Retry) as caught:
        await send(sink_of(robot, timeout=Duration(0.2)), SAMPLES["oom"])
    assert caught.value.reason == "timeout"
    robots.answering.set()
    await send(sink_of(robot), SAMPLES["oom"])


async def test_a_cancelled_send_leaves_nothing_open(robot: Robot, robots: Robots) -> None:
    await leaves_nothing_open(sink_of(robot), robots)


async def test_what_is_no_notification_is_rejected(robot: Robot) -> None:
    await rejects_what_is_no_notification(sink_of(robot))


async def test_a_link_that_fails_is_left_out_and_told(robot: Robot) -> None:
    links = {
        "Logs": "https://logs.example/{{ event.name }}",
        "Bad": "https://logs.example/{{ 1 // (event.count - 3) }}",
    }
    sent = await send(sink_of(robot, links=links), SAMPLES["oom"])
    assert "https://logs.example/cn-shanghai.10.0.3.17" in text_of(robot)
    assert "The link Bad is missing" in sent.note
    assert "Bad" not in text_of(robot)


async def test_can_be_closed_without_having_been_opened(robot: Robot) -> None:
    await sink_of(robot).close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"zone": "Mars/Phobos"}, "zone: 'Mars/Phobos' is no time zone"),
        ({"zone": "../../etc/passwd"}, "is no time zone"),
        ({"links": {"a": "{{ event.name }}"}}, "links: a: a link begins with a host that is written out"),
        ({"links": {"a": "https://{{ event.name }}.example/"}}, "links: a: a link begins with a host"),
        ({"links": {"a": "https://x.example/{{ event.nam }}"}}, "did you mean event.name?"),
        ({"mention": [MentionConfig()]}, "mention: it names nobody"),
        ({"mention": [MentionConfig(users=["a> <@b"])]}, "mention: 'a> <@b' is no"),
        ({"url": Secret.literal("robot")}, "url: the address is no URL"),
        ({"repeats": "x"}, "repeats: it is about events"),
    ],
)
def test_bad_options_are_refused_with_a_remedy(kind: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        load(kind).Config(kind=kind, **({"url": Secret.literal("https://robot.example/x")} | options))
    assert said in str(caught.value)
