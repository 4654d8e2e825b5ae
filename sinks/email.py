"""`kind: email`: notifications by mail, over SMTP (RFC 5321).

A mail is no chat: whatever comes within a minute goes as one. Its Message-ID is made of the notification, so a repeat
after kill -9 or after a lost answer is one that mail programs know as such; messages of one group are one thread.
What a server's reply means is in `sinks._smtp`. Recipients are those of the configuration, whatever an event says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from eventer.alerting.notification import ITEMS, Notification
from eventer.alerting.render.mail import mail, own_words
from eventer.alerting.render.message import Message, compose
from eventer.errors import Blocked, ConfigError, Fault, Retry
from eventer.sink import Batch, GroupConfig, Sent, SinkContext
from eventer.values import Duration, Rate, Secret
from sinks._chat import MessageConfig, note_of, view_of
from sinks._failures import missing
from sinks._mail_message import Envelope, Mailbox, identity, written
from sinks._peer import forbidden
from sinks._tls import TlsConfig

if TYPE_CHECKING:
    from sinks._smtp import Post, Refusal

__all__ = ["Config", "MailTemplateConfig", "Sink"]

_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?")
"""A name, or an IP address, of version 6 without brackets."""
_ADDRESS: Final = "write ops@example.com or On call <ops@example.com>, and a domain that is not ASCII as xn--..."
_PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}
_PATIENCE: Final = 600.0
"""Seconds for which a message is offered again to whom the server refuses for now, while others have it already.
Greylisting lasts five minutes; a mailbox that is full must not keep the others waiting."""


class LoginConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Who we are, for the mail server."""

    username: Annotated[str, Meta(min_length=1, max_length=255)]
    """Name of the user; often the whole address."""
    password: Secret
    """Its password. Read again for each message, so that it can be replaced."""


class DigestConfig(GroupConfig, kw_only=True, forbid_unknown_fields=True):
    """Which problems are told together, and when. Mail is slower than a chat by default."""

    wait: Duration = Duration(60)
    """From a group's first problem to its first message, so that what belongs together comes together."""
    interval: Duration = Duration(900)
    """Least time between two messages of a group: what is new meanwhile waits for the next one."""
    repeat: Duration = Duration(24 * 3600)
    """After which a group whose problems go on is told again, though nothing is new."""


class MailTemplateConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Words of one's own."""

    subject: str = ""
    """In place of the subject, which is the heading too: plain text on one line."""
    text: str = ""
    """In place of what stands between the heading and the links, as plain text. Without `html`, a mail says the same
    as HTML."""
    html: str = ""
    """The same for the HTML of a mail: a piece of HTML, no page. What is filled in is escaped: it is never markup. In
    attributes, put it into quotes."""

    def __post_init__(self) -> None:
        """Try the templates.

        Raises:
            ValueError: with the remedy.
        """
        if not (self.subject or self.text or self.html):
            raise ValueError("it is empty; write subject, text, html, or several of them")
        own_words(self.subject, self.text, self.html)


class Config(MessageConfig, kw_only=True):
    """Options of `kind: email`."""

    host: Annotated[str, Meta(min_length=1, max_length=253, examples=["smtp.example.com"])]
    """Name or address of the mail server."""
    port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    """Its port; without it 587 with `starttls`, 465 with `tls`, 25 with `none`."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is kept secret: `starttls` begins in the clear and goes on over TLS, never without; `tls`
    is TLS from the beginning; with `none` whoever sits on the way can read and change what is sent, a password
    included."""
    auth: LoginConfig | None = None
    """User name and password, if the server wants them."""
    sender: Annotated[str, Meta(examples=["Eventer <eventer@example.com>"])]
    """From whom the mail is. Messages that cannot be delivered later come back to this address."""
    to: Annotated[list[str], Meta(min_length=1, max_length=50, examples=["[ops@example.com]"])]
    """Who gets it."""
    cc: Annotated[list[str], Meta(max_length=50)] = msgspec.field(default_factory=list)
    """Who gets it too, as a copy."""
    reply_to: str | None = None
    """Where answers go, if not to the sender."""
    template: MailTemplateConfig | None = None
    """Words of one's own, as Jinja2 templates (docs/templates.md). Where one fails on a notification, the usual words
    go out."""
    tls: TlsConfig = msgspec.field(default_factory=TlsConfig)
    """Whom to trust, and our own certificate."""
    group: DigestConfig = msgspec.field(default_factory=DigestConfig)
    """Which problems are told together, and when. Mail is slower than a chat by default."""

    def __post_init__(self) -> None:
        """Check the addresses. Without `limit`, it is one message a minute, in which all is told that waits.

        Raises:
            ValueError, ConfigError: with the remedy.
        """
        super().__post_init__()
        if not _HOST.fullmatch(self.host):
            raise ValueError("host: this is no name; write it alone, such as smtp.example.com, and the port as `port`")
        if forbidden(self.host):
            raise ValueError(
                "host: to link-local addresses and metadata services of clouds nothing is sent; write the mail server"
            )
        faults = [
            Fault(path=path, message=str(error), remedy=_ADDRESS)
            for path, text in self._addresses()
            if (error := _wrong(text)) is not None
        ]
        if faults:
            raise ConfigError(faults)
        if self.limit is None:
            self.limit = Rate(count=1, unit="m")

    def _addresses(self) -> Iterator[tuple[str, str]]:
        """Go through all addresses, each with the option that it stands in."""
        yield "sender", self.sender
        for option, texts in (("to", self.to), ("cc", self.cc)):
            yield from ((f"{option}[{index}]", text) for index, text in enumerate(texts))
        if self.reply_to is not None:
            yield "reply_to", self.reply_to


def _wrong(text: str) -> ValueError | None:
    try:
        Mailbox.parse(text)
    except ValueError as error:
        return error
    return None


class Sink:
    """See `eventer.sink.Sink`."""

    def __init__(self, config: Config, context: SinkContext) -> None:
        self._config = config
        self._clock = context.clock
        words = config.template
        own = own_words(words.subject, words.text, words.html) if words is not None else None
        self._view = view_of(config, [], context.catalog, own)
        self._envelope = Envelope(
            notifier=context.name,
            sender=Mailbox.parse(config.sender),
            to=list(map(Mailbox.parse, config.to)),
            cc=list(map(Mailbox.parse, config.cc)),
            reply_to=Mailbox.parse(config.reply_to) if config.reply_to else None,
        )
        self._post: Post | None = None
        self._taken: tuple[str, set[str]] = "", set()
        """The last message, and who has it."""
        self._waiting: dict[str, float] = {}
        """Since when a recipient is refused for now, on the clock that never jumps."""

    async def open(self, state: bytes | None) -> None:
        """Look whether the files can be read; connects to nobody.

        Raises:
            Blocked: the library, a file of certificates or the password is missing.
        """
        self._made().check()

    async def close(self) -> None:
        """Do nothing: no connection outlives a message."""

    async def probe(self) -> str:
        """Connect and log in, and send nothing.

        Returns:
            What was found, in a sentence.

        Raises:
            Retry, Blocked: see `sinks._smtp`.
        """
        return await self._made().probe()

    async def send(self, batch: Batch) -> Sent:
        """Send one message to all recipients that do not have it yet.

        Raises:
            Retry, Rejected, Blocked: see `sinks._smtp`.
        """
        note = note_of(batch)
        envelope = self._envelope
        name = identity(batch.lines[0], envelope)
        if self._taken[0] != name:
            self._taken = name, set()
        have = self._taken[1]
        missing = [each for each in envelope.recipients if each not in have]
        if not missing:
            return Sent(duplicates=1)
        message = self._told(note)
        body = written(mail(message), note, name, envelope, self._clock.now())
        refused = await self._made().send(envelope.sender.address, missing, body)
        have.update(each for each in missing if each not in refused)
        self._judge(refused, have)
        told = [f"{each} did not get a mail ({why.code} {why.said})." for each, why in refused.items()]
        return Sent(note=" ".join([*told, *message.faults]), defaulted=message.defaulted)

    def preview(self, note: Notification) -> tuple[Message, Mapping[str, Any]]:
        """Return what would be sent: the message, and the parts of the mail."""
        message = self._told(note)
        return message, {"type": "mail", **msgspec.to_builtins(mail(message))}

    def _told(self, note: Notification) -> Message:
        return compose(note, self._view, ITEMS)

    def _judge(self, refused: Mapping[str, Refusal], have: set[str]) -> None:
        """Decide what it means that some do not get a message.

        Raises:
            Retry: it is to be offered again, to those.
            Blocked: nobody has it, and nobody will.
        """
        for each in have:
            self._waiting.pop(each, None)
        now = self._clock.monotonic()
        later = [each for each, why in refused.items() if why.code < 500]
        since = [self._waiting.setdefault(each, now) for each in later]
        answer = "; ".join(f"{each}: {why.code} {why.said}" for each, why in refused.items())
        if later and (not have or now - max(since) < _PATIENCE):
            raise Retry(f"The mail server does not take mail to {_few(later)} now.", reason="recipients", answer=answer)
        if not have:
            raise Blocked(
                f"The mail server takes no mail to {_few(list(refused))}. Check `to` and `cc`, and whether it wants a "
                "login before it takes mail to others than its own people.",
                reason="recipients",
                answer=answer,
            )

    def _made(self) -> Post:
        if self._post is None:
            try:
                from sinks._smtp import Post
            except ImportError as error:
                raise missing("email", error) from None
            config = self._config
            self._post = Post(
                config.host,
                config.port or _PORTS[config.security],
                security=config.security,
                tls=config.tls,
                login=(config.auth.username, config.auth.password) if config.auth else None,
                timeout=config.timeout,
            )
        return self._post


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
