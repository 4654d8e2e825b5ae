"""WeCom as an application: messages to members, departments and tags, in place of a robot's to one group.

An application shows who it is by an access token, which its secret buys (`gettoken`), which lives for two hours, and
which WeCom may take back earlier. Calls for tokens are limited, so one is kept until then:
https://developer.work.weixin.qq.com/document/path/91039. A message that only some could be sent counts as sent, and
names the others: https://developer.work.weixin.qq.com/document/path/90236; codes:
https://developer.work.weixin.qq.com/document/path/90313.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import msgspec
from msgspec import Meta

from eventer.clock import Clock
from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.values import Secret
from sinks._answers import Answer, decoded
from sinks._auth import reveal

__all__ = ["LIMIT", "App", "AppConfig", "ReceiversConfig", "answered"]

LIMIT: Final = 2048
"""Bytes of an application's markdown: half of a robot's."""
_EARLY: Final = 300.0
"""Seconds before its end at which a token is bought anew."""
_SAME: Final = 1800
"""Seconds for which WeCom drops a message that says the same to the same people: one that is sent again because its
answer was lost."""
_STALE: Final = frozenset({40014, 41001, 42001})
"""The token is not valid, not there, or too old."""
_REFUSED: Final = frozenset({40008, 40033, 40035, 40058, 44004, 45002})
"""Wrong type, escaped characters, bad parameter, parameter too long, empty content, content too long."""
_BLOCKED: Final = {
    40001: ("secret", "Check `app.secret`: it is that of the application, not of the address book."),
    40013: ("secret", "Check `app.corp_id`, as My Company shows it."),
    40056: ("agent", "Check `app.agent_id`, as the application's page shows it."),
    40003: ("receivers", "Check `app.to`: it names people by their account in the address book."),
    60011: ("agent", "The application may not do this. Check `app.agent_id`, and what the application may see."),
    60020: (
        "address",
        "This address may not send. Add it to the application's trusted IP addresses.",
    ),
    81013: ("receivers", "None of those under `app.to` can be reached. Check them, and what the application may see."),
    82001: ("receivers", "None of those under `app.to` can be reached. Check them, and what the application may see."),
    301002: ("agent", "The secret is not that of this application. Check `app.agent_id` and `app.secret`."),
}
_MISSED: Final = {
    "invaliduser": "users",
    "invalidparty": "parties",
    "invalidtag": "tags",
    "unlicenseduser": "users without a licence",
}

_Name = Annotated[str, Meta(pattern=r"^[\w@.-]{1,64}$")]


class ReceiversConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Who gets the messages."""

    users: Annotated[list[_Name], Meta(max_length=1000)] = []
    """Accounts in the address book."""
    parties: Annotated[list[Annotated[int, Meta(ge=1)]], Meta(max_length=100)] = []
    """Ids of departments."""
    tags: Annotated[list[Annotated[int, Meta(ge=1)]], Meta(max_length=100)] = []
    """Ids of tags."""


class AppConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An application of one's own."""

    corp_id: Annotated[str, Meta(pattern=r"^[\w-]{1,64}$")]
    """Id of the organisation, `ww...`."""
    agent_id: Annotated[int, Meta(ge=0)]
    """Id of the application."""
    secret: Secret
    """Its secret."""
    to: ReceiversConfig
    """Who gets the messages: those that the application may see."""
    api: str = "https://qyapi.weixin.qq.com"
    """Where WeCom is: another address for an installation of one's own."""

    def __post_init__(self) -> None:
        """Check that somebody gets the messages.

        Raises:
            ValueError: with the remedy.
        """
        if not (self.to.users or self.to.parties or self.to.tags):
            raise ValueError("to: it names nobody; write users: [...], parties: [...] or tags: [...]")


class App:
    """Sends as one application.

    Args:
        config: which.
        get: sends a GET request to an address.
        post: sends a POST request to an address, with this as JSON.
        clock: time.
    """

    def __init__(
        self,
        config: AppConfig,
        get: Callable[[str], Awaitable[Answer]],
        post: Callable[[str, Mapping[str, Any]], Awaitable[Answer]],
        clock: Clock,
    ) -> None:
        self._config = config
        self._get = get
        self._post = post
        self._clock = clock
        self._base = f"{config.api.rstrip('/')}/cgi-bin"
        self._token = ""
        self._until = 0.0

    async def tell(self, made: Mapping[str, Any]) -> str:
        """Send one message; return what a person should know of it, if anything.

        Raises:
            Retry, Rejected, Blocked: see `answered`.
        """
        to = self._config.to
        message = {
            "touser": "|".join(to.users),
            "toparty": "|".join(map(str, to.parties)),
            "totag": "|".join(map(str, to.tags)),
            "agentid": self._config.agent_id,
            "enable_duplicate_check": 1,
            "duplicate_check_interval": _SAME,
            **made,
        }
        fresh = self._clock.monotonic() >= self._until
        answer, shown = await self._send(message)
        if answer.get("errcode") in _STALE and not fresh:
            self._until = 0.0  # taken back before its time; a new one is tried once
            answer, shown = await self._send(message)
        if answer.get("errcode") in _STALE:
            self._until = 0.0
        error = answered(answer, shown)
        if error is not None:
            raise error
        missed = [f"{what} {answer[key]}" for key, what in _MISSED.items() if answer.get(key)]
        return f"WeCom could not reach {'; '.join(missed)[:300]}. Check `app.to`." if missed else ""

    async def _send(self, message: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        if self._clock.monotonic() >= self._until:
            await self._buy()
        answer = await self._post(f"{self._base}/message/send?{urlencode({'access_token': self._token})}", message)
        return decoded(answer.body) or {}, answer.shown()

    async def _buy(self) -> None:
        """Get a token.

        Raises:
            Retry, Blocked: it cannot be had.
        """
        secret = reveal(self._config.secret, "The application's secret")
        asked = urlencode({"corpid": self._config.corp_id, "corpsecret": secret})
        now = self._clock.monotonic()
        error: SinkError | None
        try:
            # What came is never shown: it is a secret.
            answer = decoded((await self._get(f"{self._base}/gettoken?{asked}")).body) or {}
            error = answered(answer)
        except Rejected as refusal:
            error = refusal
        if isinstance(error, Retry):
            error.unknown = False  # the message has not been sent yet
        if isinstance(error, Rejected):  # it is not the message that is at fault
            raise Blocked(f"WeCom gives no access token. {error} Check `app`.", reason="token")
        if error is not None:
            raise error
        token, lives = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not token or isinstance(lives, bool) or not isinstance(lives, int | float):
            raise Retry("WeCom's answer holds no access token.", reason="answer")
        self._token = token
        self._until = now + max(0.0, lives - _EARLY)


def answered(answer: Mapping[str, Any], shown: str = "") -> SinkError | None:
    """Return what an answer means: None if it is a success.

    Args:
        answer: the decoded body; empty if it is none.
        shown: the answer as it may be kept, without secrets.
    """
    code = answer.get("errcode")
    if isinstance(code, bool) or not isinstance(code, int):
        return Retry("WeCom's answer has no errcode.", reason="answer", answer=shown, unknown=True)
    message = f"WeCom answered {code}."
    if code == 0:
        return None
    if code in _STALE:
        return Blocked(f"{message} It does not take the access token that it gave.", reason="token", answer=shown)
    if code in _BLOCKED:
        reason, remedy = _BLOCKED[code]
        return Blocked(f"{message} {remedy}", reason=reason, answer=shown)
    if code == -1:
        return Retry(f"{message} It is busy.", reason="busy", answer=shown)
    if code in {45009, 45033}:
        return Retry(f"{message} Too many requests.", reason="throttled", after=60.0, answer=shown)
    if code in _REFUSED:
        return Rejected(f"{message} It does not take this message.", reason="refused_data", answer=shown)
    return Retry(f"{message} That code is unknown.", reason="unknown_code", answer=shown)
