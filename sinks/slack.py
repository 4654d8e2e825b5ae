"""`kind: slack`: notifications into a Slack channel, by an incoming webhook or by a bot (`sinks._slack_bot`).

A webhook's answers are plain text: `ok`, or what is wrong, with a status that does not always tell whose fault it is
(https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks, and
https://api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks). One message a second, short
bursts aside; more is answered with 429 and Retry-After (https://docs.slack.dev/apis/web-api/rate-limits).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from msgspec import Meta

from eventer.alerting.notification import Notification
from eventer.alerting.render.slack import payload, plain
from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.sink import Sent, SinkContext
from eventer.values import Rate, Secret
from sinks._auth import reveal
from sinks._chat import Chat, TalkConfig, check_robot, check_users
from sinks._slack_bot import Bot

__all__ = ["Config", "Sink", "outcome"]

_USER: Final = re.compile(r"[UWS][A-Z0-9]{2,32}")
_ANEW: Final = "The webhook is gone. Make a new one in Slack, and write its address."
_BLOCKED: Final = {
    "no_service": _ANEW,
    "no_active_hooks": _ANEW,
    "no_service_id": _ANEW,
    "no_team": _ANEW,
    "team_disabled": _ANEW,
    "invalid_token": "The address is not complete. Copy it from Slack anew.",
    "channel_is_archived": "The channel is archived. Restore it, or make a webhook for another one.",
    "channel_not_found": "The channel is gone. Make a webhook for another one.",
    "action_prohibited": "An administrator does not allow it. Ask for the right to post there.",
    "posting_to_general_channel_denied": "An administrator does not allow it. Ask for the right to post there.",
    "user_not_found": "Somebody whom `mention` names does not exist. Write ids of members, such as U024BE7LH.",
}
_REFUSED: Final = frozenset(
    {
        "invalid_payload",
        "invalid_blocks",
        "invalid_blocks_format",
        "invalid_attachments",
        "no_text",
        "too_many_attachments",
    }
)


class Config(TalkConfig, kw_only=True):
    """Options of `kind: slack`."""

    url: Annotated[Secret | None, Meta(examples=["${SLACK_URL}"])] = None
    """Address of an incoming webhook, as Slack shows it. Secret: whoever knows it can write into the channel."""
    token: Secret | None = None
    """In place of `url`: the token of a bot, `xoxb-...`, with the scope `chat:write`. It writes a thread for each group
    of problems, and keeps the thread's first message up to date."""
    channel: Annotated[str, Meta(max_length=100, examples=["C024BE91L"])] = ""
    """The channel that the bot writes into: its id, as Slack shows below the channel's details, or its name."""
    api: str = "https://slack.com/api"
    """Where a bot finds Slack: another address for GovSlack."""

    def __post_init__(self) -> None:
        """Check that there is one way in, and whom to mention. Without `limit`, it is what a channel bears.

        Raises:
            ValueError: with the remedy.
        """
        super().__post_init__()
        if (self.url is None) == (self.token is None):
            raise ValueError(
                "url: there must be one way in; write url: for an incoming webhook, or token: and channel: for a bot"
            )
        if self.url is not None:
            check_robot("url", self.url)
        if (self.token is None) != (not self.channel):
            raise ValueError("channel: a bot needs `token` and `channel`; a webhook has its own channel, leave it out")
        check_robot("api", Secret.literal(self.api))
        if any(each.mobiles for each in self.mention):
            raise ValueError("mention: Slack knows no mobile numbers; write users: [U...]")
        check_users(
            self.mention,
            _USER,
            "is no id; write that of a member (U...) or of a group (S...), which Slack shows in the profile",
        )
        if self.limit is None:
            self.limit = Rate(count=50, unit="m")


def outcome(status: int, body: bytes, shown: str = "") -> SinkError | None:
    """Return what an answer means: None if the message was taken.

    Args:
        status: 200, or one that comes with a word.
        body: of the answer.
        shown: the answer as it may be kept, without secrets.
    """
    word = body[:80].decode("ascii", "replace").strip()
    if status == 200 and word == "ok":
        return None
    if word in _BLOCKED:
        return Blocked(f"Slack answered {word}. {_BLOCKED[word]}", reason=word, answer=shown)
    if word in _REFUSED:
        return Rejected(f"Slack answered {word}. It does not take this message.", reason="refused_data", answer=shown)
    if status == 200:
        return Retry("Slack's answer is not ok.", reason="answer", answer=shown, unknown=True)
    if status == 400:
        return Rejected("Slack answered 400. It does not take this message.", reason="refused_data", answer=shown)
    return Blocked(f"Slack answered {status}. {_ANEW}", reason="address", answer=shown)


class Sink(Chat):
    """See `eventer.sink.Sink`."""

    def __init__(self, config: Config, context: SinkContext) -> None:
        super().__init__(config, context, plain)
        self._config = config
        self._bot = Bot(self._post, config.api, config.channel)

    async def open(self, state: bytes | None) -> None:
        """Make the client, and take up the threads; nothing is sent to probe the far side.

        Raises:
            Blocked: a file of certificates, or the secret, is unusable.
        """
        self._secret()
        self._bot.load(state)
        await self._http.open()

    async def _tell(self, note: Notification) -> Sent:
        """Send one message.

        Raises:
            Retry, Rejected, Blocked: see `sinks._http`, `outcome`, and that of `sinks._slack_bot`.
        """
        if self._config.token is not None:
            return self._sent(note, state=await self._bot.tell(note, self._made, self._secret()))
        answer = await self._post(self._secret(), self._made(note), expected=(400, 403, 404, 410))
        error = outcome(answer.status, answer.body, answer.shown())
        if error is not None:
            raise error
        return self._sent(note)

    def _made(self, note: Notification) -> Mapping[str, Any]:
        return payload(note, self._view)

    def _secret(self) -> str:
        """Return the webhook's address or the bot's token, as it is now.

        Raises:
            Blocked: it cannot be read.
        """
        secret, what = self._config.token or self._config.url, "The token" if self._config.token else "The address"
        assert secret is not None
        return reveal(secret, what)
