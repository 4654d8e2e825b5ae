"""HTTP for sinks: the one module that imports httpx, and the one table from answers to outcomes.

Whatever a sink over HTTP must not get wrong is here once: the deadline covers the whole exchange
(httpx's own time-outs start anew with each byte that drips in), redirects are not followed (a robot
uses them as a penalty, and they can lead anywhere), certificates are verified, at most a bounded
part of an answer is read, and no address, token or header gets into a message. Facts about httpx
are from https://www.python-httpx.org/advanced/timeouts/ and its source.

    2xx                          an `Answer`
    408 425 429 5xx              Retry, after what Retry-After says
    no or no complete answer     Retry
    3xx 401 403 404 405 407 410  Blocked: address or credentials are wrong, whatever is sent
    certificate not trusted      Blocked
    413 and all other 4xx        Rejected
"""

from __future__ import annotations

import asyncio
import base64
import logging
import re
import socket
import ssl
import sys
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Final

import httpx
import msgspec

from eventer.clock import Clock
from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.text import redact
from eventer.values import Secret

__all__ = ["Answer", "AuthConfig", "BasicConfig", "Http", "TlsConfig", "reveal"]

CONNECT_TIMEOUT: Final = 5.0
"""Seconds for connection and TLS handshake; three lost SYN packets on Linux."""
ANSWER_LIMIT: Final = 64 << 10
"""Bytes read of an answer. Enough for every robot's; a bulk API's sink asks for more."""
ANSWER_KEPT: Final = 1000
"""Characters of an answer that go into the exception, and with it to a dead letter."""
LONGEST_WAIT: Final = 3600.0
"""Seconds that Retry-After is believed at most; more is a mistake or an attack."""

_BUSY: Final = {408: "timeout", 425: "busy", 429: "throttled"}
_BLOCKED: Final = {401: "denied", 403: "denied", 404: "address", 405: "address", 407: "denied", 410: "address"}

# httpx logs every request at INFO with its full URL, which for a robot is its secret; httpcore
# logs headers at DEBUG.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class BasicConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """User name and password."""

    username: str
    """Name of the user; it cannot hold a colon."""
    password: Secret
    """Its password."""

    def __post_init__(self) -> None:
        """Check the name.

        Raises:
            ValueError: it holds a colon.
        """
        if ":" in self.username:
            raise ValueError("a user name for basic authentication cannot hold a colon (RFC 7617); leave it out")


class AuthConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Who we are, for the far side. Read again for every request, so that secrets can rotate."""

    bearer: Secret | None = None
    """Token, sent as `Authorization: Bearer ...`."""
    basic: BasicConfig | None = None
    """User name and password, sent as `Authorization: Basic ...`."""

    def __post_init__(self) -> None:
        """Check that one of the two is there.

        Raises:
            ValueError: neither or both are.
        """
        if (self.bearer is None) == (self.basic is None):
            raise ValueError("auth takes one of bearer and basic; write for example `auth: {bearer: ${TOKEN}}`")


class TlsConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How the far side proves who it is. Certificates are always verified, TLS is 1.2 or newer."""

    ca_file: str | None = None
    """File with the certificates (PEM) that are trusted, in place of the system's."""


class Answer(msgspec.Struct, frozen=True):
    """What the far side answered."""

    status: int
    body: bytes
    """Its first part, up to the limit of the `Http` that read it."""
    secrets: list[str]
    """What the far side may have echoed and nobody may see, longest first."""

    def __repr__(self) -> str:
        return f"Answer({self.status}, {len(self.body)} bytes)"

    def shown(self) -> str:
        """Return the start of the body without secrets: what may go into an exception."""
        # Cut only after hiding, and hide in a longer piece, so that no half of a secret is left.
        text = self.body[: 16 * ANSWER_KEPT].decode("utf-8", "replace")
        for secret in self.secrets:
            text = text.replace(secret, "<secret>")
        return redact(text)[:ANSWER_KEPT]


def reveal(secret: Secret, what: str) -> str:
    """Return a secret's present value.

    Raises:
        Blocked: its file cannot be read, or it is empty; the message names where it comes from.
    """
    try:
        value = secret.reveal()
    except (OSError, ValueError) as error:
        problem = (error.strerror or "error") if isinstance(error, OSError) else "it is not UTF-8"
        raise Blocked(f"{what} cannot be read from {secret.source}: {problem}.", reason="secret") from None
    if not value:
        raise Blocked(f"{what} is empty in {secret.source}.", reason="secret")
    return value


class Http:
    """One sink's connection. `open` it before the first `request`, `close` it in the end.

    Args:
        timeout: seconds for one request, answer included.
        clock: reads the dates of Retry-After.
        auth: credentials, if any.
        tls: what to trust, if not the system's certificates.
        answer_limit: bytes read of an answer.
    """

    def __init__(
        self,
        *,
        timeout: float,
        clock: Clock,
        auth: AuthConfig | None = None,
        tls: TlsConfig | None = None,
        answer_limit: int = ANSWER_LIMIT,
    ) -> None:
        self._timeout = timeout
        self._clock = clock
        self._auth = auth
        self._tls = tls or TlsConfig()
        self._answer_limit = answer_limit
        self._client: httpx.AsyncClient | None = None

    async def open(self) -> None:
        """Get ready. Connects to nobody yet.

        Raises:
            Blocked: the file of trusted certificates cannot be used.
        """
        if self._client is None:
            self._client = httpx.AsyncClient(
                verify=self._context(),
                trust_env=False,
                http2=False,
                follow_redirects=False,
                timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT),
                # One request at a time; a few more for connections that are still being closed.
                limits=httpx.Limits(max_connections=4, max_keepalive_connections=1, keepalive_expiry=30.0),
                # Not compressed: a few bytes of an answer could otherwise unfold to gigabytes.
                headers={"User-Agent": "eventer", "Accept-Encoding": "identity"},
            )

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def request(
        self,
        method: str,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        within: float | None = None,
    ) -> Answer:
        """Send one request and read its answer.

        Args:
            method: POST, PUT, ...
            url: may hold secrets; none of them gets into an exception.
            body: sent as it is.
            headers: beside those for authentication; values without control characters.
            within: seconds, where less than the time-out is left.

        Raises:
            Retry, Rejected, Blocked: see the table at the top of the module.
        """
        assert self._client is not None, "request before open"
        target = _parse(url)
        place = f"{target.scheme}://{target.netloc.decode('ascii', 'replace')}/…"
        sent = [(name.encode("ascii", "replace"), value.encode()) for name, value in headers.items()]
        credential = self._credential()
        if credential:
            sent.append((b"Authorization", credential.encode()))
        outer = sys.exc_info()[1]
        try:
            async with (
                asyncio.timeout(self._timeout if within is None else min(within, self._timeout)),
                self._client.stream(method, target, content=body, headers=sent) as response,
            ):
                content = await self._read(response)
        except Exception as error:  # noqa: BLE001 - whatever the library raises must become an outcome
            failure = _failure(error, outer, place)
        else:
            answer = Answer(response.status_code, content, _echoes(target, sent, credential))
            if response.is_success:
                return answer
            failure = self._refusal(answer, response.headers.get("retry-after", ""), place)
        raise failure  # outside of the handler: the original holds the URL and the headers

    async def _read(self, response: httpx.Response) -> bytes:
        """Read an answer, or its first part; the connection is then closed by the caller."""
        pieces: list[bytes] = []
        room = self._answer_limit
        async for piece in response.aiter_raw():
            pieces.append(piece[:room])
            room -= len(piece)
            if room <= 0:
                break
        return b"".join(pieces)

    def _refusal(self, answer: Answer, retry_after: str, place: str) -> SinkError:
        status, shown = answer.status, answer.shown()
        message = f"{place} answered {status}"
        if status in _BUSY or status >= 500:
            after = self._wait(retry_after)
            return Retry(f"{message}.", reason=_BUSY.get(status, "server"), after=after, answer=shown)
        if 300 <= status < 400:
            return Blocked(
                f"{message}, a redirect, which is not followed. Give the address that it leads to.",
                reason="redirect",
                answer=shown,
            )
        if status in _BLOCKED:
            reason = _BLOCKED[status]
            what = "credentials" if reason == "denied" else "address"
            return Blocked(f"{message}. Check the {what}.", reason=reason, answer=shown)
        return Rejected(f"{message}.", reason="too_large" if status == 413 else "refused_data", answer=shown)

    def _wait(self, value: str) -> float | None:
        """Read Retry-After: seconds or a date (RFC 9110, 10.2.3). Anything else says nothing."""
        value = value.strip()
        if re.fullmatch(r"[0-9]{1,20}(?:\.[0-9]{1,9})?", value, re.ASCII):
            return min(float(value), LONGEST_WAIT)
        try:
            wait = parsedate_to_datetime(value).timestamp() - self._clock.now().timestamp()
        except (ValueError, OverflowError, OSError):
            return None
        return min(wait, LONGEST_WAIT) if wait > 0 else None

    def _credential(self) -> str:
        """Return the value of the Authorization header; empty without `auth`.

        Raises:
            Blocked: a secret cannot be read or cannot stand in a header.
        """
        if self._auth is None:
            return ""
        if self._auth.basic:
            user, secret = self._auth.basic.username, self._auth.basic.password
            pair = f"{user}:{reveal(secret, 'The password')}"
            return f"Basic {base64.b64encode(pair.encode()).decode()}"
        assert self._auth.bearer is not None
        token = reveal(self._auth.bearer, "The token")
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            raise Blocked(
                f"The token from {self._auth.bearer.source} holds a blank, a line break or a character that is not "
                "ASCII; write nothing but the token there.",
                reason="secret",
            )
        return f"Bearer {token}"

    def _context(self) -> ssl.SSLContext:
        path = self._tls.ca_file
        try:
            if path:
                context = ssl.create_default_context(cafile=path)
                # From Python 3.13 on, strict checks refuse authorities without key identifiers,
                # which home-made ones often lack; this one was named by hand.
                context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            else:
                context = httpx.create_ssl_context()
                context.load_default_certs()  # a company's own authorities are installed there
        except (OSError, ValueError) as error:
            problem = (error.strerror or "no certificate in it") if isinstance(error, OSError) else "not a file name"
            raise Blocked(f"The certificates in {path} cannot be used: {problem}.", reason="tls") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


def _parse(url: str) -> httpx.URL:
    """Read an address.

    Raises:
        Blocked: it is none.
    """
    try:
        target = httpx.URL(url.strip())
    except (httpx.InvalidURL, ValueError):
        target = httpx.URL("")
    if target.scheme not in ("http", "https") or not target.host:
        raise Blocked("The address is no URL; write https://host/path.", reason="address")
    return target


def _failure(error: Exception, outer: BaseException | None, place: str) -> SinkError:
    """Turn what httpx raised into an outcome; see its tree in httpx/_exceptions.py."""
    causes = list(_causes(error, outer))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Blocked(
                f"The certificate of {place} is not trusted: {cause.verify_message}. Name its issuer in tls.ca_file.",
                reason="tls",
            )
    for kinds, reason, words in _NETWORK:
        if any(isinstance(cause, kinds) for cause in causes):
            return Retry(words.format(place=place), reason=reason)
    if isinstance(error, httpx.RemoteProtocolError):
        if "disconnected" in str(error) or "closed" in str(error):
            return Retry(f"{place} cut the connection before its answer was complete.", reason="cut")
        return Retry(f"{place} answered something that is not HTTP.", reason="protocol")
    if isinstance(error, httpx.LocalProtocolError):
        return Rejected("A header or the address cannot be sent over HTTP/1.1.", reason="protocol")
    if isinstance(error, httpx.NetworkError | OSError):
        return Retry(f"{place} cannot be reached, or the connection broke.", reason="cut")
    # Undocumented: nothing may be lost by it, and its text may hold anything.
    return Retry(f"The request to {place} failed with {type(error).__name__}.", reason="unknown")


_NETWORK: Final[tuple[tuple[type[Exception] | tuple[type[Exception], ...], str, str], ...]] = (
    ((TimeoutError, httpx.TimeoutException), "timeout", "{place} gave no complete answer in time."),
    (socket.gaierror, "dns", "The name in {place} cannot be resolved."),
    (ConnectionRefusedError, "refused", "{place} refused the connection."),
    (ssl.SSLError, "tls", "No TLS connection to {place} could be made."),
)


def _causes(error: BaseException, outer: BaseException | None) -> Iterator[BaseException]:
    """Walk an exception, what it came from, and the members of groups (one per address tried).

    httpcore hides the cause of what it raises (`from None`), so the way leads over `__context__`,
    up to what our caller was handling when it called (`outer`).
    """
    seen = {id(outer)}
    waiting: list[BaseException | None] = [error]
    while waiting:
        item = waiting.pop()
        if item is None or id(item) in seen:
            continue
        seen.add(id(item))
        yield item
        waiting += [item.__cause__, item.__context__]
        if isinstance(item, BaseExceptionGroup):
            waiting += item.exceptions


_SECRET_HEADER: Final = re.compile(rb"auth|token|key|secret|signature|cookie|password", re.IGNORECASE)


def _echoes(target: httpx.URL, headers: list[tuple[bytes, bytes]], credential: str) -> list[str]:
    """List what a far side may echo and nobody may see: parts of the address, secret headers.

    Short parts are left out: they are no secrets, and hiding them would garble every answer.
    """
    found: list[str] = [str(target), target.path, *target.path.split("/"), target.password]
    found += target.params.values()
    found += [value.decode() for name, value in headers if _SECRET_HEADER.search(name)]
    scheme, _, value = credential.partition(" ")
    found.append(value)
    if scheme == "Basic":
        found += base64.b64decode(value).decode().split(":", 1)[1:]
    return sorted({item for item in found if len(item) >= 8}, key=len, reverse=True)
