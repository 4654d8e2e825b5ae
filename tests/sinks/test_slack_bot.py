"""Slack as a bot: a thread for each group of problems, kept over restarts, and what each documented answer means."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from eventer.alerting.digest import fold
from eventer.alerting.notification import Notification, Why
from eventer.clock import SystemClock
from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.sink import SinkContext
from eventer.values import Secret
from sinks._slack_bot import outcome
from sinks.slack import Config, Sink
from tests.helpers.notes import START, batch_of, item, note
from tests.helpers.robots import Robot, Robots

NEW = note(item(), item(name="b"), why=Why.NEW)
OVER = note(item(ended=START + 60), why=Why.RESOLVED, severity="info")


@pytest.fixture
async def bot() -> AsyncIterator[Robot]:
    async with Robots(time.time) as robots:
        yield robots.add("slackbot", "xoxb-1")


async def opened(bot: Robot, state: bytes | None = None, **options: Any) -> Sink:
    sink = Sink(Config(kind="slack", **(bot.options | options)), SinkContext(name="ops", clock=SystemClock()))
    await sink.open(state)
    return sink


async def tell(sink: Sink, told: Notification) -> bytes | None:
    return (await sink.send(batch_of(told))).state


def titles(messages: list[dict[str, Any]]) -> list[str]:
    return [message["text"] for message in messages]


async def test_a_group_has_one_thread_whose_first_message_shows_how_things_stand(bot: Robot) -> None:
    sink = await opened(bot)
    for told in (note(item()), NEW, note(item(), why=Why.REPEAT), OVER):
        await tell(sink, told)
    await sink.close()
    first, *replies = bot.messages
    assert "thread_ts" not in first
    assert [reply["thread_ts"] for reply in replies] == ["1.000001"] * 3
    assert [reply["reply_broadcast"] for reply in replies] == [True, True, False]
    assert [update["ts"] for update in bot.updates] == ["1.000001"] * 3
    assert titles(bot.updates) == titles(replies)
    assert bot.updates[-1]["text"] == "*[prod] ✅ Resolved: BackOff · Pod shop/api-7d9 ×14*"
    assert bot.updates[-1]["attachments"][0]["color"] == "#2eb67d"


async def test_groups_do_not_mix_and_what_comes_after_the_end_begins_anew(bot: Robot) -> None:
    sink = await opened(bot)
    other = note(item(), group={"cluster": "prod", "namespace": "bank"})
    for told in (note(item()), other, NEW, OVER, note(item())):
        await tell(sink, told)
    await sink.close()
    assert [message.get("thread_ts") for message in bot.messages] == [None, None, "1.000001", "1.000001", None]


async def test_a_thread_outlives_a_kill(bot: Robot) -> None:
    sink = await opened(bot)
    state = await tell(sink, note(item()))
    await sink.close()
    for _ in range(2):  # killed before it was settled: what was told is told again, in the same thread
        sink = await opened(bot, state)
        await tell(sink, NEW)
        await sink.close()
    assert [message.get("thread_ts") for message in bot.messages] == [None, "1.000001", "1.000001"]


@pytest.mark.parametrize(
    "state", [b"", b"{}", b"\xff", b"[" * 10_000, b'{"to":"other","threads":[["g","C1","1.000001"]]}']
)
async def test_a_state_that_is_of_no_use_begins_new_threads(bot: Robot, state: bytes) -> None:
    sink = await opened(bot, state)
    await tell(sink, note(item()))
    await sink.close()
    assert len(bot.messages) == 1


async def test_a_first_message_that_was_deleted_is_written_anew(bot: Robot) -> None:
    sink = await opened(bot)
    await tell(sink, note(item()))
    bot.deleted.add("1.000001")
    await tell(sink, NEW)
    await tell(sink, OVER)
    await sink.close()
    assert [message.get("thread_ts") for message in bot.messages] == [None, None, "2.000002"]


async def test_a_first_message_that_may_not_be_changed_any_more_keeps_its_thread(bot: Robot) -> None:
    sink = await opened(bot)
    await tell(sink, note(item()))
    bot.frozen.add("1.000001")
    await tell(sink, NEW)
    await sink.close()
    assert (bot.messages[1]["thread_ts"], bot.updates) == ("1.000001", [])


async def test_a_reply_that_fails_is_sent_again(bot: Robot) -> None:
    sink = await opened(bot)
    await tell(sink, note(item()))
    updated = web.json_response({"ok": True, "channel": "C1", "ts": "1.000001"})
    bot.script += [updated, web.json_response({"ok": False, "error": "ratelimited"})]
    with pytest.raises(Retry) as caught:
        await tell(sink, NEW)
    assert caught.value.reason == "throttled"
    await tell(sink, NEW)
    await sink.close()
    assert [message.get("thread_ts") for message in bot.messages] == [None, "1.000001"]


async def test_a_digest_of_many_groups_goes_alone_and_so_does_a_summary(bot: Robot) -> None:
    sink = await opened(bot)
    await tell(sink, note(item()))
    digest = note(item(), item(name="b"), why=Why.DIGEST, folded=5, group={"cluster": "prod"})
    for told in (digest, digest, note(why=Why.SUMMARY, events=3, group={}), note(item(), why=Why.DIGEST, folded=2)):
        await tell(sink, told)
    await sink.close()
    assert [message.get("thread_ts") for message in bot.messages] == [None, None, None, None, "1.000001"]


async def test_groups_whose_end_a_digest_tells_turn_green(bot: Robot) -> None:
    sink = await opened(bot)
    bank = {"cluster": "prod", "namespace": "bank"}
    for told in (note(item()), note(item(), group=bank)):
        await tell(sink, told)
    over = note(item(ended=START + 60), why=Why.RESOLVED, severity="info", group=bank)
    await tell(sink, fold([note(item(), item(name="b"), why=Why.NEW), over]))
    await tell(sink, note(item(), group=bank))
    await sink.close()
    (closed,) = bot.updates
    assert (closed["ts"], closed["text"]) == ("2.000002", "*[prod/bank] ✅ Resolved*")
    assert [message.get("thread_ts") for message in bot.messages] == [None] * 4


async def test_threads_are_bounded_and_the_oldest_is_forgotten(bot: Robot) -> None:
    sink = await opened(bot)
    state = b""
    for number in range(310):
        state = await tell(sink, note(item(), group={"cluster": "prod", "namespace": str(number)})) or b""
    assert len(state) < 20_000
    await tell(sink, note(item(), why=Why.NEW, group={"cluster": "prod", "namespace": "309"}))
    await tell(sink, note(item(), why=Why.NEW, group={"cluster": "prod", "namespace": "0"}))
    await sink.close()
    assert [message.get("thread_ts") for message in bot.messages[310:]] == ["310.000310", None]


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        ({"ok": False, "error": "invalid_auth"}, Blocked, "invalid_auth"),
        ({"ok": False, "error": "token_revoked"}, Blocked, "token_revoked"),
        ({"ok": False, "error": "missing_scope"}, Blocked, "missing_scope"),
        ({"ok": False, "error": "channel_not_found"}, Blocked, "channel_not_found"),
        ({"ok": False, "error": "not_in_channel"}, Blocked, "not_in_channel"),
        ({"ok": False, "error": "is_archived"}, Blocked, "is_archived"),
        ({"ok": False, "error": "msg_too_long"}, Rejected, "refused_data"),
        ({"ok": False, "error": "invalid_blocks"}, Rejected, "refused_data"),
        ({"ok": False, "error": "ratelimited"}, Retry, "throttled"),
        ({"ok": False, "error": "internal_error"}, Retry, "unknown_code"),
        ({"ok": False, "error": "something_new"}, Retry, "unknown_code"),
        ({"ok": False, "error": 7}, Retry, "answer"),
        ({"ok": True}, Retry, "answer"),
        ({"ok": 1, "channel": "C1", "ts": "1"}, Retry, "answer"),
        ({}, Retry, "answer"),
    ],
)
def test_an_answer_is_read(answer: dict[str, Any], kind: type[SinkError], reason: str) -> None:
    error = outcome(json.loads(json.dumps(answer)), "shown")
    assert type(error) is kind
    assert (error.reason, error.answer) == (reason, "shown")


def test_only_ok_with_a_place_is_a_success() -> None:
    assert outcome({"ok": True, "channel": "C1", "ts": "1.1"}) is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "write url: for an incoming webhook, or token: and channel: for a bot"),
        ({"url": "https://hooks.slack.com/x", "token": "xoxb-1", "channel": "C1"}, "there must be one way in"),
        ({"token": "xoxb-1"}, "a bot needs `token` and `channel`"),
        ({"url": "https://hooks.slack.com/x", "channel": "C1"}, "leave it out"),
        ({"token": "xoxb-1", "channel": "C1", "api": "slack"}, "api: the address is no URL"),
    ],
)
def test_what_does_not_go_together_is_refused(options: dict[str, str], said: str) -> None:
    secrets = {name: Secret.literal(value) for name, value in options.items() if name in {"url", "token"}}
    with pytest.raises(ValueError) as caught:
        Config(kind="slack", **(options | secrets))  # type: ignore[arg-type]
    assert said in str(caught.value)
