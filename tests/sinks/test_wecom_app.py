"""WeCom as an application: its token, those whom a message could not reach, and what each documented answer means."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import web

from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.sink import Sent, SinkContext
from eventer.values import Secret
from sinks._chat import MentionConfig
from sinks._wecom_app import AppConfig, ReceiversConfig, answered
from sinks.wecom import Config, Sink
from tests.helpers.notes import SAMPLES, batch_of, item, note
from tests.helpers.robots import Robot, Robots
from tests.sinks.test_dingtalk import Time


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def agent(time: Time) -> AsyncIterator[Robot]:
    async with Robots(lambda: time.at) as robots:
        yield robots.add("wecomapp", "an-application-secret")


async def opened(agent: Robot, time: Time, **changes: Any) -> Sink:
    app = msgspec.structs.replace(agent.options["app"], **changes)
    sink = Sink(Config(kind="wecom", app=app), SinkContext(name="ops", clock=time))
    await sink.open(None)
    return sink


async def tell(sink: Sink, sample: str = "oom") -> Sent:
    return await sink.send(batch_of(SAMPLES[sample]))


async def test_one_token_serves_until_shortly_before_its_end(agent: Robot, time: Time) -> None:
    sink = await opened(agent, time)
    for sample in ("oom", "node", "storm"):
        await tell(sink, sample)
    assert len(agent.bought) == 1
    time.at += 7200 - 299
    await tell(sink, "resolved")
    assert (len(agent.bought), len(agent.messages)) == (2, 4)
    await sink.close()


@pytest.mark.parametrize("code", [42001, 40014])
async def test_a_token_that_was_taken_back_is_bought_anew_once(agent: Robot, time: Time, code: int) -> None:
    sink = await opened(agent, time)
    await tell(sink)
    agent.script.append(web.json_response({"errcode": code, "errmsg": "access_token expired"}))
    await tell(sink, "node")
    assert (len(agent.bought), len(agent.messages)) == (2, 2)
    agent.script += [web.json_response({"errcode": code, "errmsg": "no"}) for _ in range(2)]
    with pytest.raises(Blocked) as caught:
        await tell(sink, "storm")
    assert (caught.value.reason, len(agent.bought)) == ("token", 3)
    await tell(sink, "storm")
    assert (len(agent.bought), len(agent.messages)) == (4, 3)
    await sink.close()


async def test_those_who_were_not_reached_are_told(agent: Robot, time: Time) -> None:
    to = ReceiversConfig(users=["zhangsan", "gone-li", "gone-wang"], parties=[7], tags=[3])
    sink = await opened(agent, time, to=to)
    sent = await tell(sink)
    assert sent.note == "WeCom could not reach users gone-li|gone-wang. Check `app.to`."
    message = agent.messages[0]
    assert (message["touser"], message["toparty"], message["totag"]) == ("zhangsan|gone-li|gone-wang", "7", "3")
    await sink.close()


async def test_nobody_reached_is_no_success(agent: Robot, time: Time) -> None:
    sink = await opened(agent, time, to=ReceiversConfig(users=["gone-li"]))
    with pytest.raises(Blocked, match="None of those under"):
        await tell(sink)
    await sink.close()


async def test_a_message_whose_answer_was_lost_is_read_once(agent: Robot, time: Time) -> None:
    sink = await opened(agent, time)
    for _ in range(2):
        await tell(sink)
    assert len(agent.messages) == 1
    assert agent.messages[0]["duplicate_check_interval"] == 1800
    await sink.close()


async def test_a_message_is_cut_to_what_an_application_may_send(agent: Robot, time: Time) -> None:
    sink = await opened(agent, time)
    long = note(*[item(name=f"p{n}", message="汉" * 600, owner=str(n)) for n in range(20)])
    await sink.send(batch_of(long))
    content = agent.messages[0]["markdown"]["content"]
    assert 1000 < len(content.encode()) <= 2048
    await sink.close()


@pytest.mark.parametrize("status", [200, 404, 413, 503])
async def test_a_token_that_cannot_be_had_is_never_the_fault_of_the_message(time: Time, status: int) -> None:
    async with Robots(lambda: time.at) as robots:
        agent = robots.add("wecomapp", "an-application-secret")
        robots.refusing = web.Response(status=status, text='{"errcode": 40035}')
        sink = await opened(agent, time)
        with pytest.raises(Retry if status == 503 else Blocked):
            await tell(sink)
        await sink.close()


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        (40001, Blocked, "secret"),
        (40013, Blocked, "secret"),
        (40056, Blocked, "agent"),
        (301002, Blocked, "agent"),
        (60020, Blocked, "address"),
        (81013, Blocked, "receivers"),
        (82001, Blocked, "receivers"),
        (42001, Blocked, "token"),
        (-1, Retry, "busy"),
        (45009, Retry, "throttled"),
        (40058, Rejected, "refused_data"),
        (44004, Rejected, "refused_data"),
        (123456, Retry, "unknown_code"),
        (False, Retry, "answer"),
        ("0", Retry, "answer"),
        (None, Retry, "answer"),
    ],
)
def test_an_answer_is_read(code: object, kind: type[SinkError], reason: str) -> None:
    error = answered({"errcode": code}, "shown")
    assert type(error) is kind
    assert (error.reason, error.answer) == (reason, "shown")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "write url: for a group robot, or app: for an application"),
        ({"url": Secret.literal("https://qyapi.weixin.qq.com/x"), "app": True}, "there must be one way in"),
        ({"app": True, "mention": [MentionConfig(users=["a"])]}, "an application mentions nobody"),
    ],
)
def test_what_does_not_go_together_is_refused(options: dict[str, Any], said: str) -> None:
    to = ReceiversConfig(users=["zhangsan"])
    app = AppConfig(corp_id="ww1", agent_id=1, secret=Secret.literal("s"), to=to)
    with pytest.raises(ValueError) as caught:
        Config(kind="wecom", **(options | ({"app": app} if "app" in options else {})))
    assert said in str(caught.value)


def test_an_application_without_receivers_is_refused() -> None:
    with pytest.raises(ValueError, match="names nobody"):
        AppConfig(corp_id="ww1", agent_id=1, secret=Secret.literal("s"), to=ReceiversConfig())
