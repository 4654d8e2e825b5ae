"""`kind: webhook`: events as JSON, or as whatever a template makes of them, to any HTTP endpoint.

Success is a 2xx answer and, where the endpoint hides errors behind one, a field of its body.
Without a template, events go out as the journal holds them and are never decoded.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from eventer.errors import Rejected, Retry, SinkError
from eventer.event import Event
from eventer.sink import Batch, Sent, SinkConfig, SinkContext
from eventer.template import Template, as_header, as_json
from eventer.values import Secret
from sinks._http import AuthConfig, Http, TlsConfig, reveal

__all__ = ["Config", "Sink", "SuccessConfig"]

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""What the name of a header is made of (RFC 9110, 5.6.2)."""
_OURS: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "idempotency-key"})
"""Headers that are set here and would contradict the request, or split it, if set twice."""
_TYPES: Final = {"array": "application/json", "ndjson": "application/x-ndjson", "single": "application/json"}


class SuccessConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What an answer must say, beside its status, to count as a success."""

    field: str
    """Field of the JSON answer; dots lead into objects and lists: `data.0.code`."""
    equals: str | int | float | bool
    """Value that the field has after a success."""
    otherwise: Literal["retry", "reject"] = "retry"
    """What an answer with another value, or with no such field, means: `retry`, the events are sent
    again later; `reject`, they can never succeed and become dead letters."""


class Config(SinkConfig, kw_only=True):
    """Options of `kind: webhook`."""

    url: Secret
    """Where to send to: https://host/path. Kept secret, because it may hold a token."""
    method: Literal["POST", "PUT"] = "POST"
    """HTTP method."""
    format: Literal["array", "ndjson", "single"] = "array"
    """`array`: one request for many events, its body a JSON array. `ndjson`: the same with one
    event a line. `single`: one request for each event, one after the other."""
    template: str | None = None
    """Jinja2 template that writes one event (the variable `event`) in place of its JSON. With
    `array` and `ndjson` it must give JSON; with `single` it must do so unless `headers` name another
    Content-Type."""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    """Headers of each request. With `format: single` a value may be a template."""
    auth: AuthConfig | None = None
    """Bearer token, or user name and password."""
    success: SuccessConfig | None = None
    """Field of the answer that tells success, for endpoints that answer 200 to everything."""
    tls: TlsConfig = msgspec.field(default_factory=TlsConfig)
    """What to trust."""

    def __post_init__(self) -> None:
        """Check what goes together, and try the templates.

        Raises:
            ValueError: with the remedy.
        """
        super().__post_init__()
        names = [name.lower() for name in self.headers]
        for name, value in self.headers.items():
            if not _TOKEN.fullmatch(name):
                raise ValueError(f"headers: {name!r} is no name of a header; write for example X-Team")
            if name.lower() in _OURS or names.count(name.lower()) > 1:
                raise ValueError(f"headers: {name} is set by the sink, or named twice; leave it out")
            if name.lower() == "authorization" and self.auth:
                raise ValueError("headers: Authorization and auth contradict each other; leave one of them out")
            try:
                as_header(value)
            except ValueError as error:
                raise ValueError(f"headers: {name}: {error}") from None
        self.compile()

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
            if self.format != "single":
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


class Sink:
    """See `eventer.sink.Sink`."""

    def __init__(self, config: Config, context: SinkContext) -> None:
        self._config = config
        self._clock = context.clock
        self._body, self._templates = config.compile()
        self._headers = {"Content-Type": config.content_type()} | {
            name: as_header(value)
            for name, value in config.headers.items()
            if name not in self._templates and name.lower() != "content-type"
        }
        self._http = Http(timeout=config.timeout, clock=context.clock, auth=config.auth, tls=config.tls)

    async def open(self, state: bytes | None) -> None:
        """Make the client; nothing is sent to probe the far side.

        Raises:
            Blocked: the file of trusted certificates or the secret with the address is unusable.
        """
        reveal(self._config.url, "The address")
        await self._http.open()

    async def close(self) -> None:
        """Close the connection."""
        await self._http.close()

    async def send(self, batch: Batch) -> Sent:
        """Send one request, or with `format: single` one for each event.

        Raises:
            Retry, Rejected, Blocked: see `sinks._http`; also Retry where the answer does not say
                what `success` wants.
        """
        try:
            ids = [_decode_id(line).id for line in batch.lines]
            events = batch.events if self._body or self._templates else None
        except (msgspec.MsgspecError, ValueError):
            raise Rejected("An event in the batch cannot be decoded.", reason="decode") from None
        if self._config.format == "single":
            return await self._send_single(batch, ids, events)
        failed: dict[int, SinkError] = {}
        bodies = batch.lines
        if self._body and events is not None:
            bodies, kept = [], []
            for index, event in enumerate(events):
                try:
                    bodies.append(self._body.render(event).encode())
                    kept.append(ids[index])
                except ValueError as error:
                    failed[index] = _template_fault(error)
            ids = kept
        if bodies:
            body = b"[" + b",".join(bodies) + b"]" if self._config.format == "array" else b"\n".join(bodies) + b"\n"
            await self._request(body, self._headers, ids)
        return Sent(failed=failed)

    async def _send_single(self, batch: Batch, ids: list[str], events: Any) -> Sent:
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
            body, headers = line, self._headers
            try:
                if self._body:
                    body = self._body.render(events[index]).encode()
                if self._templates:
                    headers = headers | self._render_headers(events[index])
            except ValueError as error:
                failed[index] = _template_fault(error)
                continue
            try:
                await self._request(body, headers, ids[index : index + 1], within=end - now)
            except Rejected as error:
                failed[index] = error
            except SinkError as error:
                if index == 0:
                    raise
                return Sent(failed=failed | dict.fromkeys(range(index, len(batch)), error))
        return Sent(failed=failed)

    def _render_headers(self, event: Event) -> dict[str, str]:
        return {name: template.render(event) for name, template in self._templates.items()}

    async def _request(
        self, body: bytes, headers: Mapping[str, str], ids: list[str], within: float | None = None
    ) -> None:
        config = self._config
        # The same events give the same key, also after a restart: who honours it
        # (draft-ietf-httpapi-idempotency-key-header) sees a repeat as such.
        key = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:32]
        answer = await self._http.request(
            config.method,
            reveal(config.url, "The address"),
            body,
            {**headers, "Idempotency-Key": key},
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


class _Id(msgspec.Struct):
    """The one field of an event's line that every send needs."""

    id: str


_decode_id: Final = msgspec.json.Decoder(_Id).decode


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
