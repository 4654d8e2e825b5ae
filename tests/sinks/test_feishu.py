"""Feishu: signature, and what each documented answer means (the documents are named in `sinks.feishu`)."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from eventer.clock import SystemClock
from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.sink import SinkContext
from eventer.values import Secret
from sinks._chat import MentionConfig
from sinks.feishu import Config, Sink, outcome, signature
from tests.helpers.notes import SAMPLES, batch_of
from tests.helpers.robots import Robots


def test_the_signature_is_that_of_the_second_and_of_nothing_else() -> None:
    assert signature("test", 1_700_000_000.9) == {
        "timestamp": "1700000000",
        "sign": "eSJQnOl8XqPTMPHWz9e5IzeHS/tqoc68g2967ekIPmg=",
    }


@pytest.mark.parametrize("body", [{"code": 0, "msg": "success"}, {"StatusCode": 0, "StatusMessage": "success"}])
def test_either_form_of_success_is_one(body: object) -> None:
    assert outcome(json.dumps(body).encode()) is None


@pytest.mark.parametrize(
    ("body", "kind", "reason", "after"),
    [
        ({"code": 11232, "msg": "frequency limited psm[x]appID[1]"}, Retry, "throttled", 60),
        ({"code": 9499, "msg": "too many request"}, Retry, "throttled", 60),
        ({"code": 9499, "msg": "Bad Request"}, Rejected, "refused_data", None),
        ({"code": 9499, "msg": "bot is not enabled"}, Blocked, "stopped", None),
        ({"code": 11246, "msg": "card content parse failed"}, Rejected, "refused_data", None),
        ({"code": 19001, "msg": "param invalid"}, Blocked, "token", None),
        ({"code": 19021, "msg": "sign match fail"}, Blocked, "signature", None),
        ({"code": 19022, "msg": "Ip Not Allowed"}, Blocked, "address", None),
        ({"code": 19024, "msg": "Key Words Not Found"}, Blocked, "keyword", None),
        ({"code": 5, "StatusCode": 0}, Retry, "unknown_code", None),
        ({"code": None}, Retry, "answer", None),
        ([0], Retry, "answer", None),
    ],
)
def test_an_answer_is_read(body: object, kind: type[SinkError], reason: str, after: float | None) -> None:
    error = outcome(json.dumps(body).encode(), "shown")
    assert type(error) is kind
    assert (error.reason, error.after, error.answer) == (reason, after, "shown")


async def test_a_bot_with_all_security_settings_takes_the_message() -> None:
    async with Robots(time.time) as robots:
        bot = robots.add("feishu", "t", secret="test", keyword="巡检")
        config = Config(
            kind="feishu", url=Secret.literal(bot.url), secret=Secret.literal("test"), keyword="巡检", language="zh"
        )
        sink = Sink(config, SinkContext(name="ops", clock=SystemClock()))
        await sink.open(None)
        await sink.send(batch_of(SAMPLES["oom"]))
        bot.secret = "other"
        with pytest.raises(Blocked, match="Check `secret`, and this machine's clock"):
            await sink.send(batch_of(SAMPLES["oom"]))
        await sink.close()
    card = bot.messages[0]["card"]
    assert card["header"] == {
        "title": {"tag": "plain_text", "content": "[prod] 🔴 OOMKilling · Node cn-shanghai.10.0.3.17 ×3"},
        "template": "red",
    }


@pytest.mark.parametrize(
    ("mention", "said"),
    [(MentionConfig(mobiles=["13800000000"]), "knows no mobile numbers"), (MentionConfig(users=["a.b"]), "open_id")],
)
def test_whom_it_cannot_mention_is_refused(mention: MentionConfig, said: str) -> None:
    options: dict[str, Any] = {"url": Secret.literal("https://open.feishu.cn/open-apis/bot/v2/hook/t")}
    with pytest.raises(ValueError, match=said):
        Config(kind="feishu", mention=[mention], **options)
