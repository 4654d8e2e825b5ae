"""The notifiers that write into no chat, with templates in place of title and text, and what their far sides got."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from aiohttp import web

from eventer.clock import SystemClock
from eventer.errors import ConfigError
from eventer.sink import SinkContext, load
from eventer.values import Secret
from tests.helpers.mailhost import MailHost
from tests.helpers.oncall import FakeAlertmanager, FakePagerDuty, Server
from tests.helpers.sinks import CANARY

__all__ = ["EACH", "KEY", "PLACES", "Place", "Receiver", "config_of", "refusal", "sink_of", "to_host", "words"]

KEY = "R" * 32
EACH = "{% for problem in problems %}"


def config_of(kind: str, **options: Any) -> Any:
    """Make the options of a sink of what a file has."""
    return msgspec.convert({"kind": kind, "timeout": 30, **options}, load(kind).Config, dec_hook=_decoded)


def sink_of(kind: str, **options: Any) -> Any:
    """Make a sink of what a file has."""
    return load(kind).Sink(config_of(kind, **options), SinkContext(name="ops", clock=SystemClock()))


def _decoded(kind: type, value: Any) -> Any:
    return Secret.literal(value) if kind is Secret else kind(value)


def words(kind: str, title: str, body: str) -> dict[str, Any]:
    """Return the options for a template of the title and one of the text, where there are both."""
    if kind == "alertmanager":
        return {"annotations": {name: text for name, text in (("summary", title), ("description", body)) if text}}
    names = {"email": ("subject", "text"), "apprise": ("title", "body"), "pagerduty": ("summary", "")}[kind]
    return {"template": {name: text for name, text in zip(names, (title, body), strict=True) if name and text}}


def refusal(make: Callable[[], object]) -> str:
    """Return what is said of options that cannot be, with the remedy."""
    with pytest.raises((ValueError, ConfigError)) as caught:
        make()
    error = caught.value
    if not isinstance(error, ConfigError):
        assert "; " in str(error)
        return str(error)
    assert all(fault.remedy for fault in error.faults)
    return " ".join(f"{fault.path}: {fault.message}; {fault.remedy}" for fault in error.faults)


class Receiver(Server):
    """Takes whatever comes."""

    def answer(self, request: web.Request, body: Any, size: int) -> web.Response:
        return web.Response()


class Place:
    """A notifier that takes templates, and all that its far side got in their place."""

    def __init__(self, kind: str, options: dict[str, Any], got: Callable[[], list[tuple[str, str]]]) -> None:
        self.kind = kind
        self._options = options
        self._got = got

    def sink(self, title: str, body: str, **options: Any) -> Any:
        """Make the sink with templates for the title and, where there is one, the text."""
        return sink_of(self.kind, **self._options, **options, **words(self.kind, title, body))

    @property
    def got(self) -> list[tuple[str, str]]:
        """Title and text of each message, incident or alert."""
        return self._got()


def to_host(host: MailHost) -> dict[str, Any]:
    """Return the options by which mail goes there."""
    options = {"host": "localhost", "port": host.port, "security": "none", "sender": "e@x.example"}
    return options | {"to": ["ann@x.example"]}


@contextlib.asynccontextmanager
async def _email() -> AsyncIterator[Place]:
    async with MailHost() as host:
        yield Place(
            "email",
            to_host(host),
            lambda: [(str(got.mail["Subject"]), got.text("plain").replace("\r\n", "\n")) for got in host.got],
        )


@contextlib.asynccontextmanager
async def _apprise() -> AsyncIterator[Place]:
    async with Receiver() as far:
        url = f"{far.url.replace('http', 'json')}/{CANARY}/"
        yield Place("apprise", {"url": url}, lambda: [(body["title"], body["message"]) for body in far.bodies])


@contextlib.asynccontextmanager
async def _pagerduty() -> AsyncIterator[Place]:
    async with FakePagerDuty(KEY) as far:
        yield Place(
            "pagerduty",
            {"url": f"{far.url}/v2/enqueue", "routing_key": KEY},
            lambda: [(body["payload"]["summary"], "") for body in far.bodies if "payload" in body],
        )


@contextlib.asynccontextmanager
async def _alertmanager() -> AsyncIterator[Place]:
    async with FakeAlertmanager() as far:
        yield Place(
            "alertmanager",
            {"url": far.url},
            lambda: [
                (alert["annotations"]["summary"], alert["annotations"].get("description", ""))
                for posted in far.bodies
                for alert in posted
            ],
        )


PLACES = {"email": _email, "apprise": _apprise, "pagerduty": _pagerduty, "alertmanager": _alertmanager}
