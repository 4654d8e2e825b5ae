"""`kind: apprise`: notifications to any of the hundred-odd services that the library apprise knows, SMS among them.

Which, and how their addresses are written: https://appriseit.com/services/. The library is an extra. Where there is a
kind of its own (dingtalk, slack, email...), that one knows the service's answers and limits, and this one does not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from eventer.alerting.notification import Notification
from eventer.alerting.render.message import Message, View, compose, fit, line
from eventer.alerting.render.plain import APART, apart, defuse
from eventer.sink import Batch, Sent, SinkContext
from eventer.values import Secret
from sinks._auth import reveal
from sinks._chat import MessageConfig, note_of, view_of
from sinks._failures import missing

if TYPE_CHECKING:
    from sinks._apprise import Lane, Service

__all__ = ["Config", "Sink", "written"]

_SCHEME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]{0,30}://\S+")
_KINDS: Final = {"critical": "failure", "warning": "warning", "info": "info", "resolved": "success"}
"""What apprise calls the colours."""
_LEAST: Final = 100
"""Characters below which no message can be made: the least title, and zero-width spaces in it."""


class Config(MessageConfig, kw_only=True):
    """Options of `kind: apprise`."""

    url: Secret
    """Address of one service as apprise writes it, such as tgram://token/chat. Secret: the tokens are in it."""

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
        self._view = view_of(config, [], context.catalog)
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
        title, body, kind = written(note, self._view, service.title, service.body)
        error = await lane.run(lambda: service.tell(title, body, kind), self._config.timeout)
        if error is not None:
            raise error
        return Sent(note=" ".join(compose(note, self._view).faults))

    async def _made(self, lane: Lane) -> Service:
        """Return the service at the address as it is now: the file that holds it may have been replaced."""
        from sinks._apprise import Service

        url = reveal(self._config.url, "The address").strip()
        if self._service is None or self._service.url != url:
            self._service = await lane.run(lambda: Service.make(url), self._config.timeout)
        return self._service


def written(note: Notification, view: View, title: int, body: int) -> tuple[str, str, str]:
    """Return title, text and kind of a message.

    Args:
        note: what to tell.
        view: for whom.
        title: characters of a title; 0 where there is no limit.
        body: characters of title and text together.
    """
    most = max(body, _LEAST)

    def write(message: Message) -> tuple[str, str, str]:
        lines = [f"{name}: {value}" for name, value in message.facts]
        lines += map(line, message.problems)
        if message.problems or len(note.items) != 1:  # where one problem stands in the title only, none is left out
            lines += message.rest
        lines += [f"{part.name}: {part.text}" for part in message.parts]
        text = "\n".join([*map(_plain, lines), *(f"{_plain(link.name)}: {link.url}" for link in message.links)])
        # apprise escapes texts, and leaves titles as they are.
        head = apart(_plain(message.title), "<").replace("](", f"]{APART}(")
        return (head[:title] if title else head) if text else "", text or head, _KINDS[message.colour]

    return fit(note, view, write, lambda made: len(made[0]) + len(made[1]) < most)


def _plain(text: str) -> str:
    """Return text of strangers as text, on one line: some services, and apprise for them, read mentions out of it."""
    return apart(defuse(text), "!")
