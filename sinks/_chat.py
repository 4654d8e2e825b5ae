"""What notifiers that write to people share: for whom a message is made, and one request for each notification."""

from __future__ import annotations

import abc
import asyncio
import math
import re
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from eventer.alerting.notification import Notification, decode
from eventer.alerting.render.links import LinkTemplate
from eventer.alerting.render.message import Mention, Mentions, Message, View, compose
from eventer.alerting.render.own import OwnWords
from eventer.allowance import MINUTE, Allowances
from eventer.catalog import Catalog, Language
from eventer.errors import Rejected, SinkError
from eventer.match import Rule
from eventer.quiet import Zone
from eventer.sink import Batch, NotifierConfig, Sent, SinkContext
from eventer.values import Secret
from sinks._answers import Answer
from sinks._auth import reveal
from sinks._http import Http, check_address
from sinks._proxy import ProxyConfig
from sinks._tls import TlsConfig

__all__ = [
    "Chat",
    "ChatConfig",
    "MentionConfig",
    "MessageConfig",
    "Robot",
    "TalkConfig",
    "TemplateConfig",
    "check_robot",
    "check_users",
    "http_of",
    "note_of",
    "view_of",
]

_PERSON: Final = re.compile(r"[\w.@$+-]{1,64}", re.ASCII)
"""How a user is named at any of the vendors: nothing that could end a mention."""


class MentionConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Who is mentioned, and when."""

    match: list[Rule] = []
    """Problems of which they are told by a mention: those that any of the rules matches; all, without rules. What is
    over, and a summary of old events, mentions nobody."""
    users: list[str] = []
    """Whom to mention, by the name that the vendor's directory has for them."""
    mobiles: list[str] = []
    """The same by the number of their mobile phone; DingTalk only."""
    all: bool = False
    """Mention everybody in the chat; never done for a message that stands for several."""


class MessageConfig(NotifierConfig, kw_only=True):
    """Options of every notifier that writes messages for people."""

    language: Language = "en"
    """Language of the message: `en` or `zh`. What an event says stays as it is."""
    zone: str = "UTC"
    """Time zone of all times, such as Asia/Shanghai."""
    links: dict[str, str] = msgspec.field(default_factory=dict)
    """Links below the message, by what is written on them. Each is a Jinja2 template with the variable `event`; its
    fields are percent-encoded already. The host must be written out."""

    def __post_init__(self) -> None:
        """Check the zone, and try the links.

        Raises:
            ValueError: with the remedy.
        """
        super().__post_init__()
        try:
            Zone.parse(self.zone)
        except ValueError as error:
            raise ValueError(f"zone: {error}") from None
        for name, template in self.links.items():
            try:
                LinkTemplate(template)
            except ValueError as error:
                raise ValueError(f"links: {name}: {error}") from None


class TemplateConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Words of one's own."""

    title: str = ""
    """In place of the title: plain text on one line. It is what a lock screen shows."""
    body: str = ""
    """In place of what stands between the title and the links, in the markup of the chat program. What is filled in is
    escaped: it is never markup, a link or a mention."""

    def __post_init__(self) -> None:
        """Try the templates.

        Raises:
            ValueError: with the remedy.
        """
        if not (self.title or self.body):
            raise ValueError("it is empty; write title, body, or both")
        OwnWords(self.title, self.body)


class TalkConfig(MessageConfig, kw_only=True):
    """Options of every notifier into a chat."""

    template: TemplateConfig | None = None
    """Words of one's own, as Jinja2 templates (docs/templates.md). Where one fails on a notification, the usual words
    go out."""
    mention: Annotated[list[MentionConfig], Meta(examples=["[{users: [U024BE7LH]}]"])] = msgspec.field(
        default_factory=list
    )
    """Who is mentioned, and when: all entries that match add up."""
    on_unknown: Literal["repeat", "skip"] = "repeat"
    """What becomes of a message that may have arrived though nothing confirms it: it was on its way when the
    connection broke or `timeout` was over, or what came back was no answer. `repeat` sends it again, so people may
    read it twice, and none is lost. `skip` does not: it is kept as a dead letter with the reason `unknown`, which
    `eventer dead-letters` shows, and sends if asked to. What surely did not arrive is sent again with either."""
    tls: TlsConfig = msgspec.field(default_factory=TlsConfig)
    """Whom to trust, and our own certificate."""
    proxy: ProxyConfig | None = None
    """HTTP proxy to go through. Variables such as HTTPS_PROXY are not looked at."""

    @property
    def repeats_unknown(self) -> bool:
        """See `eventer.sink.SinkConfig`."""
        return self.on_unknown == "repeat"

    def __post_init__(self) -> None:
        """Check whom to mention.

        Raises:
            ValueError: with the remedy.
        """
        super().__post_init__()
        for each in self.mention:
            _check_people(each)


class ChatConfig(TalkConfig, kw_only=True):
    """Options of every robot that is known by its address."""

    url: Secret
    """Address of the robot, as its settings show it. Secret: whoever knows it can write into the chat."""

    def __post_init__(self) -> None:
        """Check the address.

        Raises:
            ValueError: with the remedy.
        """
        super().__post_init__()
        check_robot("url", self.url)


def check_robot(option: str, url: Secret) -> None:
    """Check the address of a robot.

    Raises:
        ValueError: with the remedy.
    """
    try:
        address = url.reveal()
    except (OSError, UnicodeDecodeError):
        return  # `open` says what is wrong with a file
    check_address(address, option)


def check_users(mention: Sequence[MentionConfig], form: re.Pattern[str], wrong: str) -> None:
    """Check that users are named as their vendor names them.

    Args:
        mention: whom to mention.
        form: of a name, in whole.
        wrong: what is said of any other: that it is none, and what to write.

    Raises:
        ValueError: with the remedy.
    """
    for user in (user for each in mention for user in each.users):
        if not form.fullmatch(user):
            raise ValueError(f"mention: {user[:40]!r} {wrong}")


def _check_people(mention: MentionConfig) -> None:
    """Check whom to mention.

    Raises:
        ValueError: with the remedy.
    """
    if not (mention.users or mention.mobiles or mention.all):
        raise ValueError("mention: it names nobody; write users: [...], or all: true")
    for name in (*mention.users, *mention.mobiles):
        if not _PERSON.fullmatch(name):
            raise ValueError(f"mention: {name[:40]!r} is no user; write the id as the vendor's directory has it")


def view_of(config: MessageConfig, mention: list[MentionConfig], catalog: Catalog, own: OwnWords | None = None) -> View:
    """Return for whom the messages of a notifier are made."""
    return View(
        language=config.language,
        zone=ZoneInfo(config.zone),
        catalog=catalog,
        links={name: LinkTemplate(template) for name, template in config.links.items()},
        mentions=[
            Mention(
                match=each.match,
                who=Mentions(users=tuple(each.users), mobiles=tuple(each.mobiles), all=each.all),
            )
            for each in mention
        ],
        own=own,
    )


def http_of(config: TalkConfig, context: SinkContext) -> Http:
    """Return the connections of a notifier's sink."""
    return Http(timeout=config.timeout, clock=context.clock, tls=config.tls, proxy=config.proxy)


def note_of(batch: Batch) -> Notification:
    """Return the notification that a batch is.

    Raises:
        Rejected: it cannot be decoded.
    """
    try:
        return decode(batch.lines[0])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise Rejected("The notification cannot be decoded.", reason="decode") from None


class Chat(abc.ABC):
    """What the sink of every chat has: the view of its readers, and connections.

    Args:
        config: its options.
        context: see `eventer.sink.SinkContext`.
        plain: writes text of strangers as text in the dialect, for templates of one's own.
    """

    def __init__(self, config: TalkConfig, context: SinkContext, plain: Callable[[str], str]) -> None:
        words = config.template
        own = OwnWords(words.title, words.body, plain) if words is not None else None
        self._view = view_of(config, config.mention, context.catalog, own)
        self._clock = context.clock
        self._timeout = config.timeout
        self._until = math.inf
        """When the time of the send that is under way is over, by the loop's clock."""
        self._http = http_of(config, context)
        self._allowances = context.allowances or Allowances(context.clock)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def send(self, batch: Batch) -> Sent:
        """Send one message.

        All its requests share the time of the send: it is the one that is under way when that is over which says
        whether the message may have arrived.

        Raises:
            Retry, Rejected, Blocked: see `note_of` and `_tell`.
        """
        self._until = asyncio.get_running_loop().time() + self._timeout
        return await self._tell(note_of(batch))

    @abc.abstractmethod
    async def _tell(self, note: Notification) -> Sent:
        """Send one message."""

    def preview(self, note: Notification) -> tuple[Message, Mapping[str, Any]]:
        """Return what would be sent: the message, and as the chat program gets it."""
        return compose(note, self._view), self._made(note)

    @abc.abstractmethod
    def _made(self, note: Notification) -> Mapping[str, Any]:
        """Return the body of the request."""

    async def _post(
        self, url: str, made: Mapping[str, Any], *, expected: Container[int] = (), token: str = ""
    ) -> Answer:
        """Send one request.

        Args:
            url: where to.
            made: its body.
            expected: statuses other than 2xx that come with an answer.
            token: bearer token, if the far side wants one.

        Raises:
            Retry, Rejected, Blocked: see `sinks._http`.
        """
        headers = {"Content-Type": "application/json; charset=utf-8"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        body = msgspec.json.encode(made)
        return await self._http.request("POST", url, body, headers, within=self._left, expected=expected)

    @property
    def _left(self) -> float:
        """Seconds that the send under way may still take."""
        return self._until - asyncio.get_running_loop().time()

    def _sent(self, note: Notification, said: str = "", state: bytes | None = None) -> Sent:
        """Return that a notification went out, with what a person should know of it.

        Args:
            note: the notification.
            said: what the far side let us know.
            state: see `eventer.sink.Sent`.
        """
        message = compose(note, self._view)
        told = " ".join(filter(None, [said, *message.faults]))
        return Sent(note=told, state=state, defaulted=message.defaulted)


class Robot(Chat):
    """The sink of a robot that takes a message at its address."""

    def __init__(self, config: ChatConfig, context: SinkContext, plain: Callable[[str], str]) -> None:
        super().__init__(config, context, plain)
        self._url = config.url
        self.bears = self._allowances.of(config.url.reveal, self._per_minute, MINUTE)

    async def open(self, state: bytes | None) -> None:
        """Make the client; nothing is sent to probe the far side.

        Raises:
            Blocked: a file of certificates, or the secret with the address, is unusable.
        """
        reveal(self._url, "The address")
        await self._http.open()

    async def _tell(self, note: Notification) -> Sent:
        """Send one message.

        Raises:
            Retry, Rejected, Blocked: see `sinks._http`, `Allowance.take` and what the vendor's answers mean.
        """
        url, made = reveal(self._url, "The address"), self._signed(self._made(note))
        await self.bears.take()
        answer = await self._post(url, made, expected=self._expected)
        error = self._outcome(answer)
        if error is not None:
            raise error
        return self._sent(note)

    _per_minute: ClassVar[int] = 60
    """Requests that the robot is sent in `MINUTE` at most, by all sinks together."""
    _expected: ClassVar[Container[int]] = ()
    """Statuses other than 2xx that come with the vendor's answer."""

    def _signed(self, made: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the body of the request as it is sent at this moment."""
        return made

    @abc.abstractmethod
    def _outcome(self, answer: Answer) -> SinkError | None:
        """Return what an answer means: None if the message was taken."""
