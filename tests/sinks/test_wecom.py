"""WeCom: what each documented answer means (the documents are named in `sinks.wecom`)."""

from __future__ import annotations

import json

import pytest

from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.values import Rate, Secret
from sinks._chat import MentionConfig
from sinks.wecom import Config, outcome

URL = Secret.literal("https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=k")


def test_only_errcode_0_is_a_success() -> None:
    assert outcome(b'{"errcode":0,"errmsg":"ok"}') is None


@pytest.mark.parametrize(
    ("body", "kind", "reason", "after"),
    [
        ({"errcode": -1, "errmsg": "system busy"}, Retry, "busy", None),
        ({"errcode": 45009, "errmsg": "api freq out of limit"}, Retry, "throttled", 60),
        ({"errcode": 93000, "errmsg": "invalid webhook url"}, Blocked, "token", None),
        ({"errcode": 60020, "errmsg": "not allow to access from your ip"}, Blocked, "address", None),
        ({"errcode": 40058, "errmsg": "markdown.content exceed max length 4096"}, Rejected, "refused_data", None),
        ({"errcode": 1, "errmsg": "new"}, Retry, "unknown_code", None),
        ({"errmsg": "ok"}, Retry, "answer", None),
        ("ok", Retry, "answer", None),
    ],
)
def test_an_answer_is_read(body: object, kind: type[SinkError], reason: str, after: float | None) -> None:
    error = outcome(json.dumps(body).encode(), "shown")
    assert type(error) is kind
    assert (error.reason, error.after, error.answer) == (reason, after, "shown")


def test_a_robot_is_sent_less_than_it_bears() -> None:
    assert Config(kind="wecom", url=URL).limit == Rate(count=18, unit="m")


@pytest.mark.parametrize("mention", [MentionConfig(mobiles=["13800000000"]), MentionConfig(all=True)])
def test_whom_markdown_cannot_mention_is_refused(mention: MentionConfig) -> None:
    with pytest.raises(ValueError, match="mentions users only"):
        Config(kind="wecom", url=URL, mention=[mention])
