"""`kind: pagerduty`: problems as incidents of PagerDuty, opened and resolved by its Events API v2.

Answers: https://developer.pagerduty.com/docs/events-api-v2-overview#response-codes--retry-logic. 202 says that an event
was taken, 400 that it is wrong, which a routing key that nobody knows is as well; 429 and 5xx are to be tried again.
The routing key is the secret, and stands in the body.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from eventer.alerting.notification import Notification
from eventer.alerting.render.message import Message, compose
from eventer.alerting.render.pagerduty import events, own_words, shown
from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.sink import Batch, GroupConfig, Sent, SinkContext
from eventer.values import Duration, Secret
from sinks._auth import reveal
from sinks._chat import MessageConfig, note_of, view_of
from sinks._http import Http, check_address
from sinks._proxy import ProxyConfig
from sinks._tls import TlsConfig

__all__ = ["Config", "IncidentGroupConfig", "IncidentTemplateConfig", "Sink", "outcome"]

_LANES: Final = 4
"""Requests at once, where one notification stands for many groups."""
_ACCEPTED: Final = 202
_REFUSED: Final = 400
_ROUTING: Final = re.compile(r"routing[_ ]key", re.IGNORECASE)


class IncidentGroupConfig(GroupConfig, kw_only=True):
    """Which problems make one incident, and when it is told of."""

    interval: Duration = Duration(60)
    """Least time between two events for one incident. Nobody is called again by them."""
    repeat: Duration = Duration(3600)
    """After which an incident that goes on is told of again: that opens it where PagerDuty has not heard of it, or
    somebody closed it too early."""


class IncidentTemplateConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Words of one's own."""

    summary: Annotated[str, Meta(min_length=1)]
    """In place of the summary, which is the incident's title: plain text on one line, cut at 1,024 characters."""

    def __post_init__(self) -> None:
        """Try the template.

        Raises:
            ValueError: with the remedy.
        """
        own_words(self.summary)


class Config(MessageConfig, kw_only=True):
    """Options of `kind: pagerduty`."""

    routing_key: Secret
    """Integration key of the service (Events API v2). Secret: whoever knows it can call people."""
    url: str = "https://events.pagerduty.com/v2/enqueue"
    """Where events go. For accounts in the EU: https://events.eu.pagerduty.com/v2/enqueue."""
    group: IncidentGroupConfig = msgspec.field(default_factory=IncidentGroupConfig)
    """Which problems make one incident, and when it is told of."""
    template: IncidentTemplateConfig | None = None
    """Words of one's own, as Jinja2 templates (docs/templates.md). Where one fails on a notification, the usual words
    go out."""
    tls: TlsConfig = msgspec.field(default_factory=TlsConfig)
    """Whom to trust, and our own certificate."""
    proxy: ProxyConfig | None = None
    """HTTP proxy to go through. Variables such as HTTPS_PROXY are not looked at."""

    @property
    def keeps_open(self) -> bool:
        """An incident stays open until it is resolved."""
        return True

    def __post_init__(self) -> None:
        """Check the address, and that nobody is called to hear that all is well.

        Raises:
            ValueError: with the remedy.
        """
        super().__post_init__()
        check_address(self.url, "url")
        if self.group.heartbeat:
            raise ValueError("group.heartbeat: it would call somebody each time; leave it out, or write it in a chat")


class _Answer(msgspec.Struct):
    status: str = ""
    message: str = ""
    errors: list[str] = []


def outcome(status: int, body: bytes, shown: str = "") -> SinkError | None:
    """Return what an answer means: None if the event was taken.

    Args:
        status: 2xx or 400.
        body: of the answer.
        shown: the answer as it may be kept, without secrets.
    """
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.MsgspecError, RecursionError):
        answer = _Answer()
    if status == _REFUSED:
        if any(_ROUTING.search(said) for said in (answer.message, *answer.errors)):
            return Blocked(
                "PagerDuty does not know the routing key. Write the integration key of a service, of the type Events "
                "API v2.",
                reason="routing_key",
                answer=shown,
            )
        return Rejected("PagerDuty answered 400. It does not take this event.", reason="refused_data", answer=shown)
    if status == _ACCEPTED and answer.status == "success":
        return None
    return Retry("The answer is not PagerDuty's to an event that it took.", reason="answer", answer=shown)


class Sink:
    """See `eventer.sink.Sink`."""

    def __init__(self, config: Config, context: SinkContext) -> None:
        self._config = config
        own = own_words(config.template.summary) if config.template is not None else None
        self._view = view_of(config, [], context.catalog, own)
        self._http = Http(
            timeout=config.timeout, clock=context.clock, tls=config.tls, proxy=config.proxy, connections=_LANES
        )
        self._taken: dict[str, dict[str, Any]] = {}
        """What PagerDuty surely took last of a notification that stands for many groups, by `dedup_key`, while the rest
        waits. It grows with each answer, so it also holds where a send is cut."""

    async def open(self, state: bytes | None) -> None:
        """Make the client; nothing is sent to probe the far side.

        Raises:
            Blocked: a file of certificates, or the secret, is unusable.
        """
        reveal(self._config.routing_key, "The routing key")
        await self._http.open()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def send(self, batch: Batch) -> Sent:
        """Send the events of one notification.

        Raises:
            Retry, Rejected, Blocked: see `sinks._http` and `outcome`. What was taken before is not sent again with
                the next try.
        """
        told = events(note_of(batch), self._view)
        refused: list[SinkError] = []
        waiting = [event for event in told.made if self._taken.get(event["dedup_key"]) != event]
        for start in range(0, len(waiting), _LANES):
            for error in await asyncio.gather(*(self._tell(event) for event in waiting[start : start + _LANES])):
                if error is not None and not isinstance(error, Rejected):
                    raise error
                refused += [error] if error is not None else []
        self._taken.clear()
        if refused:
            raise refused[0]
        return Sent(note=told.note, defaulted=told.defaulted)

    def preview(self, note: Notification) -> tuple[Message, Mapping[str, Any]]:
        """Return what would be sent: the message, and the events as text."""
        return compose(note, self._view), shown(events(note, self._view))

    async def _tell(self, event: dict[str, Any]) -> SinkError | None:
        """Send one event; return why it was not taken."""
        # From here on it may be this one that came last, though no answer says so.
        self._taken.pop(event["dedup_key"], None)
        try:
            key = reveal(self._config.routing_key, "The routing key")
            body = msgspec.json.encode(event | {"routing_key": key})
            headers = {"Content-Type": "application/json"}
            answer = await self._http.request(
                "POST", self._config.url, body, headers, expected=(_REFUSED,), hidden=(key,)
            )
        except SinkError as failure:
            return failure
        error = outcome(answer.status, answer.body, answer.shown())
        if error is None:
            self._taken[event["dedup_key"]] = event
        return error
