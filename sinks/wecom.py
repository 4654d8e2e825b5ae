"""`kind: wecom`: notifications into WeCom (企业微信), as markdown of a group robot or of an application.

An application is `sinks._wecom_app`. Types, lengths and the robot's limit of 20 messages a minute:
https://developer.work.weixin.qq.com/document/path/91770; codes:
https://developer.work.weixin.qq.com/document/path/90313. There is no signature: the key in the address is the secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from msgspec import Meta

from eventer.alerting.notification import Notification
from eventer.alerting.render.wecom import LIMIT, payload, plain
from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.sink import Sent, SinkContext
from eventer.values import Rate, Secret
from sinks._answers import Answer, decoded
from sinks._auth import reveal
from sinks._chat import Chat, TalkConfig, check_robot
from sinks._wecom_app import LIMIT as APP_LIMIT
from sinks._wecom_app import App, AppConfig

__all__ = ["Config", "Sink", "outcome"]

_REFUSED: Final = frozenset({40008, 40033, 40035, 40058, 44004, 45002})
"""Wrong type, escaped characters, bad parameter, parameter too long, empty content, content too long."""
_GONE: Final = frozenset({93000, 40014})
"""No such robot; key invalid."""


class Config(TalkConfig, kw_only=True):
    """Options of `kind: wecom`."""

    url: Annotated[Secret | None, Meta(examples=["${WECOM_URL}"])] = None
    """Address of a group robot, as its settings show it. Secret: whoever knows it can write into the group."""
    app: AppConfig | None = None
    """In place of `url`: an application of one's own, which writes to people, departments or tags."""

    def __post_init__(self) -> None:
        """Check that there is one way in, and whom to mention.

        Without `limit`, it is what a robot bears, with some room for others; an application bears more.

        Raises:
            ValueError: with the remedy.
        """
        super().__post_init__()
        if (self.url is None) == (self.app is None):
            raise ValueError("url: there must be one way in; write url: for a group robot, or app: for an application")
        if self.url is not None:
            check_robot("url", self.url)
        if self.app is not None:
            check_robot("app: api", Secret.literal(self.app.api))
            if self.mention:
                raise ValueError("mention: an application mentions nobody; write to them under app: to:")
        for each in self.mention:
            if each.mobiles or each.all:
                raise ValueError(
                    "mention: markdown of a robot mentions users only; write users: [...], without the rest"
                )
        if self.limit is None:
            self.limit = Rate(count=18, unit="m")


def outcome(body: bytes, shown: str = "") -> SinkError | None:
    """Return what an answer means: None if the message was taken.

    Args:
        body: of the answer.
        shown: the answer as it may be kept, without secrets.
    """
    code = (decoded(body) or {}).get("errcode")
    if isinstance(code, bool) or not isinstance(code, int):
        return Retry("The robot's answer has no errcode.", reason="answer", answer=shown, unknown=True)
    if code == 0:
        return None
    message = f"The robot answered {code}."
    if code == -1:
        return Retry(f"{message} It is busy.", reason="busy", answer=shown)
    if code in {45009, 45033}:
        return Retry(f"{message} Too many messages in a minute.", reason="throttled", after=60.0, answer=shown)
    if code in _GONE:
        remedy = "The key is unknown, or the robot is gone. Copy the address from the robot's settings anew."
        return Blocked(f"{message} {remedy}", reason="token", answer=shown)
    if code == 60020:
        return Blocked(f"{message} It does not take messages from this address.", reason="address", answer=shown)
    if code in _REFUSED:
        return Rejected(f"{message} It does not take this message.", reason="refused_data", answer=shown)
    return Retry(f"{message} That code is unknown.", reason="unknown_code", answer=shown)


class Sink(Chat):
    """See `eventer.sink.Sink`."""

    def __init__(self, config: Config, context: SinkContext) -> None:
        super().__init__(config, context, plain)
        self._url = config.url
        self._app = App(config.app, self._get, self._post, context.clock) if config.app is not None else None

    async def open(self, state: bytes | None) -> None:
        """Make the client; nothing is sent to probe the far side.

        Raises:
            Blocked: a file of certificates, or the secret with the address, is unusable.
        """
        if self._url is not None:
            reveal(self._url, "The address")
        await self._http.open()

    async def _tell(self, note: Notification) -> Sent:
        """Send one message.

        Raises:
            Retry, Rejected, Blocked: see `sinks._http`, `outcome`, and `sinks._wecom_app`.
        """
        if self._app is not None:
            return self._sent(note, await self._app.tell(self._made(note)))
        assert self._url is not None
        answer = await self._post(reveal(self._url, "The address"), self._made(note))
        error = outcome(answer.body, answer.shown())
        if error is not None:
            raise error
        return self._sent(note)

    def _made(self, note: Notification) -> Mapping[str, Any]:
        return payload(note, self._view, LIMIT if self._app is None else APP_LIMIT)

    async def _get(self, url: str) -> Answer:
        return await self._http.request("GET", url, b"", {}, within=self._left)
