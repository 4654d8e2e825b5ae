"""Slack as a bot: one thread for each group of problems, whose first message always shows how things stand.

A webhook can only add messages. A bot changes the first one in place (`chat.update`), writes what is new below it
(`chat.postMessage` with `thread_ts`), and shows that in the channel too as long as the problem goes on; its end is
told in the thread, and by the colour of the first message. Where a group's thread is must outlive the process: it is
the sink's state, which the journal keeps.

Answers come with status 200, and `ok` and `error` in the body:
https://docs.slack.dev/reference/methods/chat.postMessage and https://docs.slack.dev/reference/methods/chat.update.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import msgspec

from eventer.alerting.notification import Notification, Why
from eventer.errors import Blocked, Rejected, Retry, SinkError
from sinks._answers import Answer, decoded

__all__ = ["Bot", "Post", "outcome"]

_THREADS: Final = 300
"""Threads that are known at once; of more, the one that was written to longest ago is forgotten."""
_CLOSED: Final = 10
"""First messages that are changed at most because of one message for several groups: each is a request."""
_ANEW: Final = "Install the app anew, and write its Bot User OAuth Token."
_SCOPE: Final = "The app may not write there. Give its bot the scope chat:write, and install it anew."
_CHANNEL: Final = "Check `channel`; for a private one, invite the bot first: /invite @name."
_ADMIN: Final = "An administrator does not allow it. Ask for the right to post there."
_BLOCKED: Final = {
    "invalid_auth": _ANEW,
    "not_authed": _ANEW,
    "account_inactive": _ANEW,
    "token_revoked": _ANEW,
    "token_expired": _ANEW,
    "no_permission": _SCOPE,
    "missing_scope": _SCOPE,
    "not_allowed_token_type": _ANEW,
    "org_login_required": _ADMIN,
    "ekm_access_denied": _ADMIN,
    "access_denied": _ADMIN,
    "team_access_not_granted": _ADMIN,
    "restricted_action": _ADMIN,
    "restricted_action_read_only_channel": _ADMIN,
    "restricted_action_thread_only_channel": _ADMIN,
    "restricted_action_non_threadable_channel": _ADMIN,
    "channel_not_found": _CHANNEL,
    "not_in_channel": "The bot is not in the channel. Invite it: /invite @name.",
    "is_archived": "The channel is archived. Restore it, or write another one.",
}
_REFUSED: Final = frozenset(
    {
        *("msg_too_long", "no_text", "too_many_attachments", "invalid_blocks", "invalid_blocks_format"),
        *("invalid_attachments", "invalid_arguments", "invalid_json", "invalid_metadata_format"),
    }
)
_THROTTLED: Final = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})
_STAYS: Final = frozenset({"cant_update_message", "edit_window_closed", "update_failed"})
"""Why a message cannot be changed that is there all the same."""
_UNSURE: Final = frozenset({"fatal_error", "internal_error"})
"""Errors behind which some of it may have succeeded, as both pages say."""
_GONE: Final = frozenset({"message_not_found", "thread_not_found", "cannot_reply_to_message"})


class Post(Protocol):
    """Sends one request."""

    def __call__(self, url: str, made: Mapping[str, Any], *, token: str) -> Awaitable[Answer]:
        """Send this as JSON, with the bearer token."""
        ...


class _Thread(msgspec.Struct, array_like=True):
    group: str
    channel: str
    ts: str


class _State(msgspec.Struct):
    to: str
    """The channel as the configuration has it: in another one, no thread goes on."""
    threads: list[_Thread]
    """What was written to last comes last."""


class Bot:
    """Writes into one channel.

    Args:
        post: sends a request.
        api: address of Slack's API.
        channel: name or id of the channel.
    """

    def __init__(self, post: Post, api: str, channel: str) -> None:
        self._post = post
        self._api = api.rstrip("/")
        self._channel = channel
        self._threads: dict[str, _Thread] = {}
        self._shown: tuple[str, Mapping[str, Any]] | None = None
        """The first message that was changed last, and to what: what is tried again because the time was over before
        the reply was written has all of the time for that."""

    def load(self, state: bytes | None) -> None:
        """Take up the threads of before a restart; a state that cannot be read is none."""
        self._threads = {}
        try:
            known = msgspec.json.decode(state or b"", type=_State)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return
        if known.to == self._channel:
            self._threads = {thread.group: thread for thread in known.threads}

    async def tell(self, note: Notification, make: Callable[[Notification], Mapping[str, Any]], token: str) -> bytes:
        """Write one notification; return the state to be kept.

        What was said before is changed first, since that does no harm when it is repeated.

        Args:
            note: what is told.
            make: makes text and attachments.
            token: the bot's.

        Raises:
            Retry, Rejected, Blocked: see `outcome`.
        """
        made, group = make(note), _key(note.group)
        await self._close(note, make, token)
        thread = known = self._threads.get(group)
        if thread is not None:
            thread = await self._again(thread, note, made, token)
        if thread is None:
            answer = await self._call("chat.postMessage", {"channel": self._channel, **made}, token)
            thread = _Thread(group, answer["channel"], answer["ts"])
        self._threads.pop(group, None)
        if note.why in {Why.FIRST, Why.NEW, Why.REPEAT} or (known is not None and note.firing):
            self._threads[group] = thread
        for oldest in list(self._threads)[:-_THREADS]:
            del self._threads[oldest]
        return msgspec.json.encode(_State(self._channel, list(self._threads.values())))

    async def _close(self, note: Notification, make: Callable[[Notification], Mapping[str, Any]], token: str) -> None:
        """Show in the first messages of groups that a message for several says are over that they are."""
        over = [said.group for said in note.said if not said.firing and said.group != note.group]
        known = [group for group in over if _key(group) in self._threads]
        for group in known[:_CLOSED]:
            ended = Notification(
                number=note.number, why=Why.RESOLVED, at=note.at, group=group, severity="info", events=0
            )
            thread = self._threads[_key(group)]
            await self._call("chat.update", _first(thread, make(ended)), token, known=_STAYS | _GONE)
            del self._threads[_key(group)]

    async def _again(self, thread: _Thread, note: Notification, made: Mapping[str, Any], token: str) -> _Thread | None:
        """Write into a thread; None where it is gone."""
        if self._shown != (thread.ts, made):
            answer = await self._call("chat.update", _first(thread, made), token, known=_STAYS | _GONE)
            if answer.get("error") in _GONE:
                return None
            self._shown = (thread.ts, made)
        reply = {"channel": thread.channel, "thread_ts": thread.ts, "reply_broadcast": note.firing > 0, **made}
        answer = await self._call("chat.postMessage", reply, token, known=_GONE)
        return None if answer.get("error") in _GONE else thread

    async def _call(
        self, method: str, made: Mapping[str, Any], token: str, known: frozenset[str] = frozenset()
    ) -> dict[str, Any]:
        """Call a method; return the answer if it is a success, or an error that is known here.

        Raises:
            Retry, Rejected, Blocked: it is any other.
        """
        try:
            answer = await self._post(f"{self._api}/{method}", made, token=token)
            read = decoded(answer.body) or {}
            error = outcome(read, answer.shown())
            if error is not None and read.get("error") not in known:
                raise error
        except Retry as error:
            error.unknown &= method == "chat.postMessage"  # a message that is changed twice alike is changed once
            raise
        return read


def outcome(answer: Mapping[str, Any], shown: str = "") -> SinkError | None:
    """Return what an answer means: None if the message was taken.

    Args:
        answer: the decoded body; empty if it is none.
        shown: the answer as it may be kept, without secrets.
    """
    if answer.get("ok") is True:
        if all(isinstance(answer.get(name), str) for name in ("channel", "ts")):
            return None
        return Retry("Slack's answer does not say where the message is.", reason="answer", answer=shown, unknown=True)
    word = answer.get("error")
    if answer.get("ok") is not False or not isinstance(word, str):
        return Retry("Slack's answer is not ok.", reason="answer", answer=shown, unknown=True)
    said = f"Slack answered {word[:60]}."
    if word in _BLOCKED:
        return Blocked(f"{said} {_BLOCKED[word]}", reason=word, answer=shown)
    if word in _REFUSED:
        return Rejected(f"{said} It does not take this message.", reason="refused_data", answer=shown)
    if word in _THROTTLED:
        return Retry(f"{said} Too many messages.", reason="throttled", after=30.0, answer=shown)
    return Retry(said, reason="unknown_code", answer=shown, unknown=word in _UNSURE)


def _key(group: Mapping[str, str]) -> str:
    return hashlib.sha256(msgspec.json.encode(sorted(group.items()))).hexdigest()[:32]


def _first(thread: _Thread, made: Mapping[str, Any]) -> dict[str, Any]:
    """Return what changes the first message of a thread."""
    return {
        "channel": thread.channel,
        "ts": thread.ts,
        "text": made["text"],
        "attachments": made.get("attachments", []),
    }
