"""Slack: what each documented answer means (the documents are named in `sinks.slack`), and what is told how."""

from __future__ import annotations

import time

import msgspec
import pytest

from eventer.clock import SystemClock
from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.match import Rule
from eventer.sink import SinkContext
from eventer.values import Secret
from sinks._chat import MentionConfig
from sinks.slack import Config, Sink, outcome
from tests.helpers.notes import SAMPLES, batch_of
from tests.helpers.robots import Robots


def test_only_ok_is_a_success() -> None:
    assert outcome(200, b"ok") is None


@pytest.mark.parametrize(
    ("status", "body", "kind", "reason"),
    [
        (404, b"no_service", Blocked, "no_service"),
        (410, b"channel_is_archived", Blocked, "channel_is_archived"),
        (403, b"action_prohibited", Blocked, "action_prohibited"),
        (400, b"user_not_found", Blocked, "user_not_found"),
        (400, b"invalid_blocks", Rejected, "refused_data"),
        (400, b"something_new", Rejected, "refused_data"),
        (404, b"<html>", Blocked, "address"),
        (200, b"", Retry, "answer"),
        (200, b'{"ok":true}', Retry, "answer"),
    ],
)
def test_an_answer_is_read(status: int, body: bytes, kind: type[SinkError], reason: str) -> None:
    error = outcome(status, body, "shown")
    assert type(error) is kind
    assert (error.reason, error.answer) == (reason, "shown")


async def test_who_is_mentioned_stands_in_the_text_and_too_many_wait_as_told() -> None:
    mention = [
        MentionConfig(match=[Rule.parse({"severity": "critical"})], users=["S0614TZR7", "U024BE7LH"], all=True),
    ]
    async with Robots(time.time) as robots:
        hook = robots.add("slack", "t")
        config = Config(kind="slack", url=Secret.literal(hook.url), mention=mention)
        sink = Sink(config, SinkContext(name="ops", clock=SystemClock()))
        await sink.open(None)
        await sink.send(batch_of(SAMPLES["node"]))
        await sink.send(batch_of(msgspec.structs.replace(SAMPLES["node"], folded=3)))
        hook.taken += [time.time()] * 10
        with pytest.raises(Retry) as caught:
            await sink.send(batch_of(SAMPLES["node"]))
        await sink.close()
    assert caught.value.after == 7.0
    assert hook.mentioned == [["S0614TZR7", "U024BE7LH", "channel"], ["S0614TZR7", "U024BE7LH"]]
    assert hook.messages[0]["text"].endswith("*[prod] 🔴 NodeStatusUnknown · Node cn-shanghai.10.0.3.17*")
    assert hook.messages[0]["attachments"][0]["color"] == "#d00000"


def test_whom_it_cannot_mention_is_refused() -> None:
    for mention in (MentionConfig(mobiles=["13800000000"]), MentionConfig(users=["@ops"])):
        with pytest.raises(ValueError, match="write"):
            Config(kind="slack", url=Secret.literal("https://hooks.slack.com/services/T/B/x"), mention=[mention])
