"""DingTalk's robots: signature and answers, by the vendor's documents (named in `sinks._dingtalk_robot`)."""

from __future__ import annotations

import json

import pytest

from eventer.errors import Blocked, Rejected, Retry, SinkError
from sinks._dingtalk_robot import PENALTY, outcome, query, signature


def test_s17_the_signature_is_that_of_the_moment_in_milliseconds() -> None:
    assert signature("SECtest", 1_700_000_000.0) == {
        "timestamp": "1700000000000",
        "sign": "aZLLrriXgn05YbwaGR7knYsLeJADjr9NwLaNNKpxh4g=",
    }


def test_the_address_carries_it_encoded() -> None:
    url = query("https://oapi.dingtalk.com/robot/send?access_token=t", "SECtest", 1_700_000_000.0)
    assert url == (
        "https://oapi.dingtalk.com/robot/send?access_token=t&timestamp=1700000000000"
        "&sign=aZLLrriXgn05YbwaGR7knYsLeJADjr9NwLaNNKpxh4g%3D"
    )


def test_s15_only_errcode_0_is_a_success() -> None:
    assert outcome(200, b'{"errcode":0,"errmsg":"ok"}') is None


@pytest.mark.parametrize(
    ("body", "kind", "reason", "after"),
    [
        ({"errcode": -1, "errmsg": "system busy"}, Retry, "busy", 30),
        ({"errcode": 130101, "errmsg": "send too fast, exceed 20 times per minute"}, Retry, "throttled", 60),
        ({"errcode": 999, "errmsg": "frequency limited"}, Retry, "throttled", 60),
        ({"errcode": 410100, "errmsg": "throttled"}, Retry, "silenced", PENALTY),
        ({"status": 1111, "wait": 5, "source": "x5", "punish": "deny"}, Retry, "silenced", PENALTY),
        ({"errcode": 90030, "errmsg": "over limit"}, Retry, "quota", 3600),
        ({"errcode": 310000, "errmsg": "keywords not in content"}, Blocked, "keyword", None),
        ({"errcode": 310000, "errmsg": "sign not match"}, Blocked, "signature", None),
        ({"errcode": 310000, "errmsg": "invalid timestamp"}, Blocked, "signature", None),
        ({"errcode": 310000, "errmsg": "ip 10.0.0.1 not in whitelist"}, Blocked, "address", None),
        ({"errcode": 310000, "errmsg": ""}, Blocked, "security", None),
        ({"errcode": 300001, "errmsg": "token is not exist"}, Blocked, "token", None),
        ({"errcode": 400102, "errmsg": "robot is stopped"}, Blocked, "stopped", None),
        ({"errcode": 460101, "errmsg": "message too long, exceed 20000 bytes"}, Rejected, "refused_data", None),
        ({"errcode": 40035, "errmsg": "miss param"}, Rejected, "refused_data", None),
        ({"errcode": 123456, "errmsg": "something new"}, Retry, "unknown_code", None),
        ({"errcode": "0"}, Retry, "answer", None),
        ({"errcode": False}, Retry, "answer", None),
        ([], Retry, "answer", None),
    ],
)
def test_s15_an_answer_with_status_200_is_read(
    body: object, kind: type[SinkError], reason: str, after: float | None
) -> None:
    error = outcome(200, json.dumps(body).encode(), "shown")
    assert type(error) is kind
    assert (error.reason, error.after, error.answer) == (reason, after, "shown")


@pytest.mark.parametrize("body", [b"", b"<html>maintenance</html>", b"[" * 100_000])
def test_s15_what_is_no_answer_of_a_robot_is_no_success(body: bytes) -> None:
    error = outcome(200, body)
    assert isinstance(error, Retry)
    assert error.reason == "answer"


def test_s15_a_redirect_is_the_penalty() -> None:
    error = outcome(302, b"")
    assert isinstance(error, Retry)
    assert (error.reason, error.after) == ("silenced", PENALTY)
