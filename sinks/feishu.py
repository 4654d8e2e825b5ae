"""`kind: feishu`: notifications into a group of Feishu or Lark, as cards of a custom bot.

Signature, answers and limits (100 a minute and 5 a second for each bot):
https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot. The signature is of the second, stands in the
body, and its key is what other vendors sign. What an answer means is in its `code`, also behind status 200 or 400.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from msgspec import Meta

from eventer.alerting.notification import Notification
from eventer.alerting.render.feishu import payload, plain
from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.sink import SinkContext
from eventer.values import Rate, Secret
from sinks._answers import Answer, decoded
from sinks._auth import reveal
from sinks._chat import ChatConfig, Robot, check_users

__all__ = ["Config", "Sink", "outcome", "signature"]

_USER: Final = re.compile(r"(?:ou_|on_)?[A-Za-z0-9]{1,64}")
_REMEDIES: Final = {
    19001: ("token", "The bot is unknown. Copy the address from the bot's settings anew."),
    19021: ("signature", "The bot refuses the signature. Check `secret`, and this machine's clock."),
    19022: ("address", "The bot does not take messages from this address. Add it to the bot's list of IP addresses."),
    19024: ("keyword", "The bot wants a keyword that the message does not hold. Set `keyword` to it."),
}
_THROTTLED: Final = frozenset({11232, 230020, 99991400})
"""Too many messages: of the bot or the tenant, of the group, of any caller."""
_BAD_CARD: Final = frozenset({11246, 200621, 230099})


class Config(ChatConfig, kw_only=True):
    """Options of `kind: feishu`."""

    secret: Secret | None = None
    """Signing secret, if the bot's security settings have one."""
    keyword: Annotated[str, Meta(max_length=40)] = ""
    """A word that the bot's security settings want in every message; written below each."""

    def __post_init__(self) -> None:
        """Check whom to mention. Without `limit`, it is what a bot bears, with some room for others.

        Raises:
            ValueError: with the remedy.
        """
        super().__post_init__()
        if any(each.mobiles for each in self.mention):
            raise ValueError("mention: a bot knows no mobile numbers; write users: [ou_...]")
        check_users(self.mention, _USER, "is no user; write an open_id, which begins with ou_")
        if self.limit is None:
            self.limit = Rate(count=90, unit="m")


def signature(secret: str, now: float) -> dict[str, str]:
    """Return what a bot is to know us by: fields of the body.

    Args:
        secret: as the bot's settings show it.
        now: seconds since 1970, of this attempt: the bot takes it for an hour.
    """
    timestamp = str(int(now))
    digest = hmac.digest(f"{timestamp}\n{secret}".encode(), b"", hashlib.sha256)
    return {"timestamp": timestamp, "sign": base64.b64encode(digest).decode()}


def outcome(body: bytes, shown: str = "") -> SinkError | None:
    """Return what an answer means: None if the message was taken.

    Args:
        body: of the answer.
        shown: the answer as it may be kept, without secrets.
    """
    answer = decoded(body)
    if answer is None:
        return Retry("The bot's answer is no JSON object.", reason="answer", answer=shown, unknown=True)
    code = answer.get("code", answer.get("StatusCode"))
    said = str(answer.get("msg", answer.get("StatusMessage", ""))).lower()
    if isinstance(code, bool) or not isinstance(code, int):
        return Retry("The bot's answer has no code.", reason="answer", answer=shown, unknown=True)
    if code == 0:
        return None
    message = f"The bot answered {code}."
    if code in _THROTTLED or "frequency" in said or "too many" in said:
        return Retry(f"{message} Too many messages.", reason="throttled", after=60.0, answer=shown)
    if code in _REMEDIES:
        reason, remedy = _REMEDIES[code]
        return Blocked(f"{message} {remedy}", reason=reason, answer=shown)
    if code == 9499 and "not enabled" in said:
        return Blocked(f"{message} It is switched off. Switch it on in the group.", reason="stopped", answer=shown)
    if code == 9499 or code in _BAD_CARD:
        return Rejected(f"{message} It does not take this message.", reason="refused_data", answer=shown)
    return Retry(f"{message} That code is unknown.", reason="unknown_code", answer=shown)


class Sink(Robot):
    """See `eventer.sink.Sink`."""

    def __init__(self, config: Config, context: SinkContext) -> None:
        super().__init__(config, context, plain)
        self._keyword = config.keyword
        self._secret = config.secret

    _per_minute = 90
    _expected = (400,)

    def _made(self, note: Notification) -> Mapping[str, Any]:
        return payload(note, self._view, self._keyword)

    def _signed(self, made: Mapping[str, Any]) -> Mapping[str, Any]:
        if self._secret is None:
            return made
        secret = reveal(self._secret, "The signing secret")
        return {**made, **signature(secret, self._clock.now().timestamp())}

    def _outcome(self, answer: Answer) -> SinkError | None:
        return outcome(answer.body, answer.shown())
