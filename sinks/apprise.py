"""`kind: apprise`: notifications to any of the hundred-odd services that the library apprise knows, SMS among them.

Which, and how their addresses are written: https://appriseit.com/services/. The library is an extra. Where there is a
kind of its own (dingtalk, slack, email...), that one knows the service's answers and limits, and this one does not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from eventer.alerting.notification import Notification
from eventer.alerting.render.message import Message, View, compose, fit, line
from eventer.alerting.render.own import OwnWords
from eventer.alerting.render.plain import APART, apart, defuse
from eventer.sink import Batch, Sent, SinkContext
from eventer.values import Secret
from sinks._auth import reveal
from sinks._chat import MessageConfig, TemplateConfig, note_of, view_of
from sinks._failures import missing

if TYPE_CHECKING:
    from sinks._apprise import Lane, Service

__all__ = ["Config", "PlainTemplateConfig", "Sink", "Written", "written"]

_SCHEME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]{0,30}://\S+")
_KINDS: Final = {"critical": "failure", "warning": "warning", "info": "info", "resolved": "success"}
"""What apprise calls the colours."""
_LEAST: Final = 100
"""Characters below which no message can be made: the least title, and zero-width spaces in it."""
_NO_LIMIT: Final = 1 << 20


class PlainTemplateConfig(TemplateConfig, kw_only=True, forbid_unknown_fields=True):
    """Words of one's own."""

    body: str = ""
    """In place of what stands between the title and the links: plain text, which apprise writes in the markup of the
    service. What is filled in is never a link or a mention."""


class Config(MessageConfig, kw_only=True):
    """Options of `kind: apprise`."""

    url: Secret
    """Address of one service as apprise writes it, such as tgram://token/chat. Secret: the tokens are in it."""
    template: PlainTemplateConfig | None = None
    """Words of one's own, as Jinja2 templates (docs/templates.md). Where one fails on a notification, the usual words
    go out."""

    def __post_init__(self) -> None:
        """Check that it can be an address; whether apprise knows it shows at the start.

        Raises:
            ValueError: with the remedy.
        """
        super().__post_init__()
        try:
            url = self.url.reveal()
        except (OSError, UnicodeDecodeError):
            return  # `open` says what is wrong with a file
        if not _SCHEME.fullmatch(url.strip()):
            raise ValueError(
                "url: this is no address of one service; write it as https://appriseit.com/services/ shows, and for "
                "several services several sinks"
            )


class Sink:
    """See `eventer.sink.Sink`."""

    def __init__(self, config: Config, context: SinkContext) -> None:
        self._config = config
        words = config.template
        own = OwnWords(words.title, words.body, _plain) if words is not None else None
        self._view = view_of(config, [], context.catalog, own)
        self._lane: Lane | None = None
        self._service: Service | None = None

    async def open(self, state: bytes | None) -> None:
        """Load the library, and read the address; nothing is sent.

        Raises:
            Retry: it takes too long.
            Blocked: the library is missing, or it does not know the address, or that cannot be read.
        """
        if self._lane is None:
            try:
                from sinks._apprise import Lane
            except ImportError as error:
                raise missing("apprise", error) from None
            self._lane = Lane()
        await self._made(self._lane)

    async def close(self) -> None:
        """Leave behind what is still on its way."""
        self._lane = self._service = None

    async def probe(self) -> str:
        """See whether apprise knows the address; nothing is sent.

        Returns:
            What was found, in a sentence.

        Raises:
            Retry, Blocked: as for `open`.
        """
        await self.open(None)
        assert self._service is not None
        return f"apprise reads the address as one of {self._service.name}; what that takes shows when it is sent to."

    async def send(self, batch: Batch) -> Sent:
        """Send one message.

        Raises:
            Retry, Rejected, Blocked: see `sinks._apprise`. A message that was left behind may have got through.
        """
        note = note_of(batch)
        lane = self._lane
        assert lane is not None, "send before open"
        service = await self._made(lane)
        made = written(note, self._view, service.title, service.body)
        error = await lane.run(lambda: service.tell(made.title, made.body, made.kind), self._config.timeout)
        if error is not None:
            raise error
        faults = dict.fromkeys([*compose(note, self._view).faults, *made.message.faults])  # a short one has no links
        return Sent(note=" ".join(faults), defaulted=made.message.defaulted)

    def preview(self, note: Notification) -> tuple[Message, Mapping[str, Any]]:
        """Return what a service without limits would be sent: the message, and its text."""
        made = written(note, self._view, 0, _NO_LIMIT)
        return made.message, {"msgtype": "text", "text": {"content": "\n".join(filter(None, [made.title, made.body]))}}

    async def _made(self, lane: Lane) -> Service:
        """Return the service at the address as it is now: the file that holds it may have been replaced."""
        from sinks._apprise import Service

        url = reveal(self._config.url, "The address").strip()
        if self._service is None or self._service.url != url:
            self._service = await lane.run(lambda: Service.make(url), self._config.timeout)
        return self._service


class Written(msgspec.Struct, frozen=True):
    """A message as apprise takes it."""

    title: str
    body: str
    kind: str
    message: Message
    """What it was made of."""


def written(note: Notification, view: View, title: int, body: int) -> Written:
    """Return a message.

    Args:
        note: what to tell.
        view: for whom.
        title: characters of a title; 0 where there is no limit.
        body: characters of title and text together.
    """
    most = max(body, _LEAST)

    def write(message: Message) -> Written:
        lines = [f"{name}: {value}" for name, value in message.facts]
        lines += map(line, message.problems)
        if message.problems or len(note.items) != 1:  # where one problem stands in the title only, none is left out
            lines += message.rest
        lines += [f"{part.name}: {part.text}" for part in message.parts]
        said = [message.body] if message.body else [*map(_plain, lines)]
        text = "\n".join([*said, *(f"{_plain(link.name)}: {link.url}" for link in message.links)])
        # apprise escapes texts, and leaves titles as they are.
        head = apart(_plain(message.title), "<").replace("](", f"]{APART}(")
        kind = _KINDS[message.colour]
        return Written((head[:title] if title else head) if text else "", text or head, kind, message)

    return fit(note, view, write, lambda made: len(made.title) + len(made.body) < most)


def _plain(text: str) -> str:
    """Return text of strangers as text, on one line: some services, and apprise for them, read mentions out of it."""
    return apart(defuse(text), "!")
