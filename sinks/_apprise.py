"""The services that apprise knows: the one module that imports it, and what of its failures may be told.

apprise (https://github.com/caronc/apprise) sends by calls that block, ends them with true or false, and logs why. So a
thread makes each call, which the event loop leaves behind when the time is over, and what is logged meanwhile is the
answer, without any part of the address.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import threading
from collections.abc import Callable
from typing import Final, TypeVar
from urllib.parse import unquote

import apprise

from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.text import redact
from sinks._answers import KEPT

__all__ = ["Lane", "Service", "failure", "hide"]

T = TypeVar("T")

_STATUS: Final = re.compile(r"\berror=(\d{3})\b")
"""How nearly all services log the status of an answer."""
_BLOCKED: Final = frozenset({"401", "403", "404", "410"})
_REFUSED: Final = frozenset({"400", "413", "414", "422"})
_TEXT: Final = "text"
_SHORTEST: Final = 6
"""Characters of a piece of an address that is hidden: shorter ones are words such as `https`."""

# What it logs names addresses and answers; we take what we need from the result of each call.
_log = logging.getLogger("apprise")
_log.setLevel(logging.WARNING)
_log.propagate = False
_log.addHandler(logging.NullHandler())
# urllib3 logs the path of each request, which for most services is the secret.
logging.getLogger("urllib3").setLevel(logging.ERROR)


class Service:
    """One address. Make it by `make`.

    Attributes:
        url: the address, a secret.
        name: of the service, such as Telegram.
        body: characters that title and message may have together.
        title: characters that its title may have; 0 where it has none, and the title stands in the message.
    """

    def __init__(self, url: str, name: str, made: apprise.Apprise, body: int, title: int) -> None:
        self.url = url
        self.name = name
        self._made = made
        self.body = body
        self.title = title

    @classmethod
    def make(cls, url: str) -> Service:
        """Read an address. It takes a second the first time, for all services are loaded.

        Raises:
            Blocked: it is none that apprise knows.
        """
        asset = apprise.AppriseAsset(
            app_id="Eventer", app_desc="Eventer", async_mode=False, storage_mode="memory", service_timeout=0
        )
        plugin = apprise.Apprise.instantiate(url, asset=asset)
        if plugin is None:
            raise Blocked(
                "The address is none that apprise knows, or a part of it is missing; compare it with "
                "https://appriseit.com/services/.",
                reason="address",
            )
        made = apprise.Apprise(asset=asset)
        made.add(plugin)
        # What is escaped for the service's markup gets longer.
        room = 1 if plugin.resolve_format(_TEXT) == _TEXT else 2
        sizes = int(plugin.body_maxlen) // room, max(0, int(plugin.title_maxlen) // room)
        return cls(url, str(plugin.service_name), made, *sizes)

    def tell(self, title: str, body: str, kind: str) -> SinkError | None:
        """Send a message, which may block; return why it was not taken.

        Args:
            title: one line.
            body: plain text; apprise makes of it what the service wants, and escapes it.
            kind: `failure`, `warning`, `info` or `success`.
        """
        try:
            result = self._made.notify(body=body, title=title, notify_type=kind, body_format=_TEXT)
        except Exception as error:  # noqa: BLE001 - whatever a service's code raises must become an outcome
            return Retry(f"apprise failed with {type(error).__name__}.", reason="unknown")
        return None if result else failure([entry.message for entry in result.logs()], self.url)


def failure(said: list[str], url: str) -> SinkError:
    """Return what it means that apprise did not deliver a message.

    Args:
        said: what it logged of it.
        url: the address, no part of which is told.
    """
    text = " ".join(hide(line, url) for line in said)[:KEPT]
    found = set(_STATUS.findall(" ".join(said)))
    if found and found <= _BLOCKED:
        return Blocked(
            "The service refuses us: a token, a name or the address is wrong. Compare it with what the service shows.",
            reason="denied",
            answer=text,
        )
    if found and found <= _REFUSED:
        return Rejected("The service does not take this message.", reason="refused_data", answer=text)
    reason = "throttled" if "429" in found else "failed"
    return Retry(
        f"The service did not take the message: {text[:300] or 'apprise does not say why.'}", reason=reason, answer=text
    )


def hide(text: str, url: str) -> str:
    """Return text without any part of an address, be it encoded or not."""
    pieces = {piece for form in (url, unquote(url)) for piece in re.split(r"[^\w.+~-]+", form)}
    pieces |= set(url.split("/")) | set(unquote(url).split("/"))
    for piece in sorted(pieces, key=len, reverse=True):
        if len(piece) >= _SHORTEST:
            text = text.replace(piece, "<secret>")
    return redact(text)


class Lane:
    """One thread at a time, which may be left behind."""

    def __init__(self) -> None:
        self._busy = False

    async def run(self, call: Callable[[], T], seconds: float) -> T:
        """Make a call that blocks, in a thread that does not keep the process from ending.

        Raises:
            Retry: it takes longer, or an earlier one still does.
        """
        if self._busy:
            raise Retry("An earlier message is still on its way: the service does not answer.", reason="hangs")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: Exception | None) -> None:
            self._busy = False
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]

        def work() -> None:
            result, error = None, None
            try:
                result = call()
            except Exception as raised:  # noqa: BLE001 - told where it is awaited
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, result, error)

        self._busy = True
        threading.Thread(target=work, name="apprise", daemon=True).start()
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            raise Retry("The service gave no answer in time.", reason="timeout") from None
