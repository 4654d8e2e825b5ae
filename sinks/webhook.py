"""`kind: webhook`: events as JSON, as CloudEvents, or as a template makes them, to any HTTP endpoint; or notifications.

Success is a 2xx answer and, where the endpoint hides errors behind one, a field of its body.
Without a template, events go out as the journal holds them and are never decoded as a whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from eventer.errors import Rejected, Retry, SinkError
from eventer.event import Event
from eventer.sink import Batch, ConcurrentSinkConfig, GroupConfig, Sent, SinkContext
from eventer.template import Template, as_header, as_json
from eventer.values import Secret
from sinks import _cloudevents as cloudevents
from sinks._auth import AuthConfig, check_header_name, reveal
from sinks._http import Http, check_address
from sinks._proxy import ProxyConfig
from sinks._sign import SignConfig, signed
from sinks._tls import TlsConfig

__all__ = ["Config", "Sink", "SuccessConfig"]

_TYPES: Final = {
    "array": "application/json",
    "ndjson": "application/x-ndjson",
    "single": "application/json",
    "cloudevents-binary": "application/json",
    "cloudevents-structured": cloudevents.TYPE,
    "cloudevents-batch": cloudevents.BATCH_TYPE,
}
_ONE_EACH: Final = frozenset({"single", "cloudevents-binary", "cloudevents-structured"})
"""Formats with a request for each event."""


class SuccessConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What an answer must say, beside its status, to count as a success."""

    field: str
    """Field of the JSON answer; dots lead into objects and lists: `data.0.code`."""
    equals: str | int | float | bool
    """Value that the field has after a success."""
    otherwise: Literal["retry", "reject"] = "retry"
    """What an answer with another value, or with no such field, means: `retry`, the events are sent
    again later; `reject`, they can never succeed and become dead letters."""


class Config(ConcurrentSinkConfig, kw_only=True):
    """Options of `kind: webhook`."""

    url: Secret
    """Where to send to: https://host/path. Kept secret, because it may hold a token."""
    method: Literal["POST", "PUT"] = "POST"
    """HTTP method."""
    format: Literal[
        "array", "ndjson", "single", "cloudevents-binary", "cloudevents-structured", "cloudevents-batch"
    ] = "array"
    """`array`: one request for many events, its body a JSON array. `ndjson`: the same with one
    event a line. `single`: one request for each event, one after the other. As CloudEvents 1.0:
    `cloudevents-binary`, a request for each event, its attributes in headers and the event as the
    body; `cloudevents-structured`, a request for each event, attributes and event in the body;
    `cloudevents-batch`, one request for many."""
    group: GroupConfig | None = None
    """With it, notifications are sent in place of events: of problems, grouped, once each. Each request holds one,
    as JSON. Without `match`, it is told of events whose severity is warning or critical."""
    template: str | None = None
    """Jinja2 template that writes one event (the variable `event`) in place of its JSON. It must
    give JSON, unless the format is `single` and `headers` name another Content-Type. In CloudEvents
    it writes the data."""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    """Headers of each request. In formats with a request for each event, a value may be a template.
    Keys and tokens belong into `auth`."""
    auth: AuthConfig | None = None
    """Who we are: a bearer token, or user name and password, or a key in a header."""
    sign: SignConfig | None = None
    """Sign each request in the form of Standard Webhooks, so that the receiver knows who sent it."""
    success: SuccessConfig | None = None
    """Field of the answer that tells success, for endpoints that answer 200 to everything."""
    tls: TlsConfig = msgspec.field(default_factory=TlsConfig)
    """Whom to trust, and our own certificate."""
    proxy: ProxyConfig | None = None
    """HTTP proxy to go through. Variables such as HTTPS_PROXY are not looked at."""

    @property
    def notifies(self) -> GroupConfig | None:
        """How notifications are made; None where it is sent events."""
        return self.group

    @property
    def keeps_open(self) -> bool:
        """A program reads what it is sent."""
        return True

    def __post_init__(self) -> None:
        """Check what goes together, and try the templates.

        Raises:
            ValueError: with the remedy.
        """
        super().__post_init__()
        with contextlib.suppress(OSError, UnicodeDecodeError):  # `open` says what is wrong with a file
            if re.search(r"\{[{%]", self.url.reveal()):
                raise ValueError(
                    "url: an address takes no template, so that no event can choose where it is sent to; put the "
                    "field into a header or into the body"
                )
            check_address(self.url.reveal(), "url")
        ours = {"idempotency-key"} | ({"content-type"} if self.format.startswith("cloudevents") else set())
        ours |= {"webhook-id", "webhook-timestamp", "webhook-signature"} if self.sign else set()
        if self.auth and self.auth.name.lower() in ours:
            raise ValueError(f"auth: {self.auth.name} is set by the sink; name another header")
        names = [name.lower() for name in self.headers]
        for name, value in self.headers.items():
            try:
                check_header_name(name)
                as_header(value)
            except ValueError as error:
                raise ValueError(f"headers: {name}: {error}") from None
            event_attribute = name.lower().startswith("ce-") and self.format == "cloudevents-binary"
            if name.lower() in ours or event_attribute or names.count(name.lower()) > 1:
                raise ValueError(f"headers: {name} is set by the sink, or named twice; leave it out")
            if self.auth and name.lower() == self.auth.name.lower():
                raise ValueError(f"headers: {name} and auth contradict each other; leave one of them out")
        _, templates = self.compile()
        if self.group is not None:
            self._check_notifications(templates)

    def _check_notifications(self, templates: Mapping[str, Template]) -> None:
        """Refuse what only events have.

        Raises:
            ValueError: with the remedy.
        """
        if self.format.startswith("cloudevents"):
            raise ValueError("format: a CloudEvent is one event, and `group` sends notifications; write format: single")
        if self.in_flight > 1:
            raise ValueError("in_flight: notifications go one after the other; leave it out")
        for name in ("template", *(f"headers: {name}" for name in templates)):
            if name != "template" or self.template is not None:
                raise ValueError(f"{name}: a template writes events, and `group` sends notifications; leave it out")

    def compile(self) -> tuple[Template | None, dict[str, Template]]:
        """Compile the templates of the body and of the headers.

        Raises:
            ValueError: with the remedy.
        """
        body: Template | None = None
        if self.template is not None:
            plain = self.format == "single" and "json" not in self.content_type()
            try:
                body = Template(self.template) if plain else Template(self.template, check=as_json)
            except ValueError as error:
                raise ValueError(f"template: {error}") from None
        headers: dict[str, Template] = {}
        for name, value in self.headers.items():
            if "{{" not in value and "{%" not in value:
                continue
            if self.format not in _ONE_EACH:
                raise ValueError(
                    f"headers: {name} is a template, but a request of format {self.format} holds many events; "
                    "write `format: single`, or a plain value"
                )
            try:
                headers[name] = Template(value, check=as_header)
            except ValueError as error:
                raise ValueError(f"headers: {name}: {error}") from None
        return body, headers

    def content_type(self) -> str:
        """Return the Content-Type of the requests."""
        named = {name.lower(): value for name, value in self.headers.items()}
        return named.get("content-type", _TYPES[self.format])


class _Id(msgspec.Struct):
    """The one field of an event's line that every send needs."""

    id: str


class Sink:
    """See `eventer.sink.Sink`. Sends may overlap: they change nothing of it, and share its connections only."""

    def __init__(self, config: Config, context: SinkContext) -> None:
        self._config = config
        self._clock = context.clock
        self._body, self._templates = config.compile()
        self._headers = {"Content-Type": config.content_type()} | {
            name: as_header(value)
            for name, value in config.headers.items()
            if name not in self._templates and name.lower() != "content-type"
        }
        in_cloudevents = config.format.startswith("cloudevents")
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(cloudevents.Head if in_cloudevents else _Id).decode
        self._http = Http(
            timeout=config.timeout,
            clock=context.clock,
            auth=config.auth,
            tls=config.tls,
            proxy=config.proxy,
            connections=config.in_flight,
        )

    async def open(self, state: bytes | None) -> None:
        """Make the client; nothing is sent to probe the far side.

        Raises:
            Blocked: a file of certificates, or the secret with the address, is unusable.
        """
        reveal(self._config.url, "The address")
        await self._http.open()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def send(self, batch: Batch) -> Sent:
        """Send one request, or in some formats one for each event.

        Raises:
            Retry, Rejected, Blocked: see `sinks._http`; also Retry where the answer does not say
                what `success` wants.
        """
        if self._config.group is not None:
            return await self._send_notification(batch.lines[0])
        try:
            heads = [self._decode(line) for line in batch.lines]
            events = batch.events if self._body or self._templates else None
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise Rejected("An event in the batch cannot be decoded.", reason="decode") from None
        if self._config.format in _ONE_EACH:
            return await self._send_each(batch, heads, events)
        failed: dict[int, SinkError] = {}
        bodies: Sequence[bytes] = batch.lines
        if self._body or self._config.format == "cloudevents-batch":
            kept: list[bytes] = []
            for index, line in enumerate(batch.lines):
                try:
                    kept.append(self._item(line, heads[index], events[index] if events else None))
                except ValueError as error:
                    failed[index] = _template_fault(error)
            bodies, heads = kept, [head for index, head in enumerate(heads) if index not in failed]
        if bodies:
            lines = self._config.format == "ndjson"
            body = b"\n".join(bodies) + b"\n" if lines else b"[" + b",".join(bodies) + b"]"
            await self._request(body, self._headers, [head.id for head in heads])
        return Sent(failed=failed)

    async def _send_notification(self, line: bytes) -> Sent:
        body = {"ndjson": line + b"\n", "array": b"[" + line + b"]"}.get(self._config.format, line)
        # Its number begins anew with a new journal, so that only the whole of it is a name.
        await self._request(body, self._headers, [line.decode()])
        return Sent()

    async def _send_each(self, batch: Batch, heads: list[Any], events: Sequence[Event] | None) -> Sent:
        """Send the events one by one, up to the first that must wait: nothing overtakes it."""
        failed: dict[int, SinkError] = {}
        clock = self._clock
        # A little less than the runner gives, which cannot know what of a cancelled send got through.
        time = 0.9 * self._config.timeout
        end = clock.monotonic() + time
        # No request begins in the second half of the time, so that each has at least that half.
        last_start = end - time / 2
        for index, line in enumerate(batch.lines):
            now = clock.monotonic()
            if index and now > last_start:
                wait = Retry("The time for one send is over; the rest follows.", reason="unsent", after=0.0)
                return Sent(failed=failed | dict.fromkeys(range(index, len(batch)), wait))
            head, event = heads[index], events[index] if events else None
            try:
                body = self._item(line, head, event)
                headers = self._headers
                if self._config.format == "cloudevents-binary":
                    headers = headers | cloudevents.headers(head)
                if event is not None and self._templates:
                    headers = headers | {name: template.render(event) for name, template in self._templates.items()}
            except ValueError as error:
                failed[index] = _template_fault(error)
                continue
            try:
                await self._request(body, headers, [head.id], within=end - now)
            except Rejected as error:
                failed[index] = error
            except SinkError as error:
                if index == 0:
                    raise
                return Sent(failed=failed | dict.fromkeys(range(index, len(batch)), error))
        return Sent(failed=failed)

    def _item(self, line: bytes, head: Any, event: Event | None) -> bytes:
        """Return what stands for one event in a body.

        Raises:
            ValueError: the template fails on it.
        """
        if self._body and event is not None:
            line = self._body.render(event).encode()
        if self._config.format in {"cloudevents-structured", "cloudevents-batch"}:
            return cloudevents.structured(head, line)
        return line

    async def _request(
        self, body: bytes, headers: Mapping[str, str], ids: list[str], within: float | None = None
    ) -> None:
        config = self._config
        # The same events give the same key, also after a restart: who honours it
        # (draft-ietf-httpapi-idempotency-key-header) sees a repeat as such.
        key = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:32]
        signature = signed(config.sign, key, self._clock.now(), body) if config.sign else {}
        answer = await self._http.request(
            config.method,
            reveal(config.url, "The address"),
            body,
            {**headers, "Idempotency-Key": key, **signature},
            within=within,
        )
        wanted = config.success
        if wanted is None or _says(answer.body, wanted):
            return
        failure = Retry if wanted.otherwise == "retry" else Rejected
        raise failure(
            f"The answer has status {answer.status}, but its field {wanted.field} does not say success.",
            reason="answer",
            answer=answer.shown(),
        )


def _template_fault(error: ValueError) -> Rejected:
    return Rejected(f"The template fails on this event: {error}", reason="template")


_MISSING: Final = object()


def _says(body: bytes, wanted: SuccessConfig) -> bool:
    """Whether the answer has the value that it must have. 1 and true are not the same."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return False
    for key in wanted.field.split("."):
        if isinstance(found, dict):
            found = found.get(key, _MISSING)
        elif isinstance(found, list) and re.fullmatch("[0-9]{1,9}", key) and int(key) < len(found):
            found = found[int(key)]
        else:
            return False
    return isinstance(found, bool) == isinstance(wanted.equals, bool) and bool(found == wanted.equals)
