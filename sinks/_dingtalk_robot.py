"""What a DingTalk robot asks of a request, and what its answers mean.

Robot, signature and limits: https://open.dingtalk.com/document/robots/custom-robot-access and
https://open.dingtalk.com/document/robots/customize-robot-security-settings. Error codes:
https://open.dingtalk.com/document/orgapp/server-api-error-codes-1. Errors come with status 200; whoever sends more than
20 messages a minute is silenced for ten minutes, which shows as a redirect or as a body without `errcode`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from eventer.errors import Blocked, Rejected, Retry, SinkError
from sinks._answers import decoded

__all__ = ["PENALTY", "PER_MINUTE", "outcome", "query", "signature"]

PER_MINUTE: Final = 18
"""Messages that one robot is sent in a minute at most: it bears 20, and others may write to it too."""
PENALTY: Final = 600.0
"""Seconds for which a robot is silenced that sent too much."""
_TOO_FAST: Final = 60.0
"""Seconds after which the minute is over in which too much was sent."""
_QUOTA: Final = 3600.0
"""Seconds after which a quota of the organisation is tried again; it counts by day or month."""

_BLOCKED: Final = {
    300001: "token",
    300005: "token",
    400101: "token",
    400102: "stopped",
    400106: "stopped",
    400013: "stopped",
}
_REMEDIES: Final = {
    "token": "The robot's access token is unknown. Copy the address from the robot's settings anew.",
    "stopped": "The robot or its group is switched off or gone. Switch it on, or make a new one.",
    "keyword": "The robot wants a keyword that the message does not hold. Set `keyword` to it.",
    "signature": "The robot refuses the signature. Check `secret`, and this machine's clock.",
    "address": "The robot does not take messages from this address. Add it to the robot's list of IP addresses.",
    "security": "The robot's security settings refuse the message.",
}
_REASONS_OF_310000: Final = (
    ("keyword", "keyword"),
    ("sign", "signature"),
    ("timestamp", "signature"),
    ("ip", "address"),
)
_THROTTLED: Final = ("too fast", "frequency", "exceed 20 times", "限流", "punish")


def signature(secret: str, now: float) -> Mapping[str, str]:
    """Return the parameters of the query by which a robot knows us.

    Args:
        secret: as the robot's settings show it, `SEC...`.
        now: seconds since 1970, of this attempt: the robot takes it for an hour.
    """
    timestamp = str(int(now * 1000))
    digest = hmac.digest(secret.encode(), f"{timestamp}\n{secret}".encode(), hashlib.sha256)
    return {"timestamp": timestamp, "sign": base64.b64encode(digest).decode()}


def query(url: str, secret: str, now: float) -> str:
    """Return a robot's address with a signature of this moment."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(signature(secret, now))}"


def outcome(status: int, body: bytes, shown: str = "") -> SinkError | None:
    """Return what an answer means: None if the message was taken.

    What is unknown is never taken for a success.

    Args:
        status: of the answer.
        body: of the answer.
        shown: the answer as it may be kept, without secrets.
    """
    if 300 <= status < 400:
        return _silenced(shown)
    answer = decoded(body)
    if answer is None:
        return Retry("The robot's answer is no JSON object.", reason="answer", answer=shown, unknown=True)
    code = answer.get("errcode")
    said = str(answer.get("errmsg", "")).lower()
    if isinstance(code, bool) or not isinstance(code, int):
        return _without_code(answer, shown)
    if code == 0:
        return None
    return _of_code(code, said, shown)


def _of_code(code: int, said: str, shown: str) -> SinkError:
    message = f"The robot answered {code}."
    if code == 410100 or (code == 310000 and "punish" in said):
        return _silenced(shown)
    if code == 90030:
        return Retry(f"{message} The organisation's quota is used up.", reason="quota", after=_QUOTA, answer=shown)
    if code == 310000:
        reason = next((reason for word, reason in _REASONS_OF_310000 if word in said), "security")
        return Blocked(f"{message} {_REMEDIES[reason]}", reason=reason, answer=shown)
    if code in _BLOCKED:
        reason = _BLOCKED[code]
        return Blocked(f"{message} {_REMEDIES[reason]}", reason=reason, answer=shown)
    if code == 130101 or any(word in said for word in _THROTTLED):
        return Retry(f"{message} Too many messages in a minute.", reason="throttled", after=_TOO_FAST, answer=shown)
    if code == -1:
        return Retry(f"{message} It is busy.", reason="busy", after=30.0, answer=shown)
    if code in {40035, 43002, 43004, 400105, 460101}:
        return Rejected(f"{message} It does not take this message.", reason="refused_data", answer=shown)
    return Retry(f"{message} That code is unknown.", reason="unknown_code", answer=shown)


def _without_code(answer: dict[str, Any], shown: str) -> SinkError:
    # Seen of the gateway: {"status": 1111, "wait": 5, "source": "x5", "punish": "deny"}
    if answer.get("status") == 1111 or "punish" in answer:
        return _silenced(shown)
    return Retry("The robot's answer has no errcode.", reason="answer", answer=shown, unknown=True)


def _silenced(shown: str) -> Retry:
    message = "The robot is silenced for ten minutes, because of too many messages in a minute."
    return Retry(message, reason="silenced", after=PENALTY, answer=shown)
