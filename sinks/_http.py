"""HTTP for sinks: the one module that imports httpx, and every way in which a request can fail.

Whatever a sink over HTTP must not get wrong is here once: the deadline covers the whole exchange
(httpx's own time-outs start anew with each byte that drips in), redirects are not followed (a robot
uses them as a penalty, and they can lead anywhere), nothing is sent to an address that `sinks._peer`
forbids, certificates are verified, at most a bounded part of an answer is read, and no address,
token or header gets into a message. Facts about httpx are from
https://www.python-httpx.org/advanced/timeouts/, .../extensions/#trace and its source.

    an answer                                   see `sinks._answers`
    no or no complete answer                    Retry; unknown once the request has begun to go out
    a certificate, theirs or ours, not trusted  Blocked
    a forbidden address, a proxy that denies us Blocked
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import ssl
import sys
from collections.abc import Container, Mapping, Sequence
from typing import Any, Final

import httpx

from eventer.clock import Clock
from eventer.errors import Blocked, Rejected, Retry, SinkError
from sinks._answers import Answer, refusal, to_hide
from sinks._auth import AuthConfig, Credential, credential
from sinks._failures import CONNECT_TIMEOUT, Network, causes, inside, network, untrusted
from sinks._link import Links
from sinks._peer import forbidden
from sinks._proxy import ProxyConfig
from sinks._tls import TlsConfig, context

__all__ = ["Http", "check_address"]

_SAFE: Final = frozenset({"GET", "HEAD"})
"""Methods that change nothing at the far side: to repeat them does no harm (RFC 9110, 9.2.1)."""
ANSWER_LIMIT: Final = 64 << 10
"""Bytes read of an answer. Enough for every robot's; a bulk API's sink asks for more."""

# httpx logs every request at INFO with its full URL, which for a robot is its secret; httpcore
# logs headers at DEBUG.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class Http:
    """One sink's connections. `open` it before the first `request`, `close` it in the end.

    Requests may overlap: all they share is the pool of connections.

    Args:
        timeout: seconds for one request, answer included.
        clock: reads the dates of Retry-After.
        auth: credentials, if any.
        tls: what to trust, if not the system's certificates, and who we are.
        proxy: the way to go, if not the direct one.
        connections: requests that may overlap.
        answer_limit: bytes read of an answer.
        metadata: address of the one metadata service that may be asked, where that is the purpose.
    """

    def __init__(
        self,
        *,
        timeout: float,
        clock: Clock,
        auth: AuthConfig | None = None,
        tls: TlsConfig | None = None,
        proxy: ProxyConfig | None = None,
        connections: int = 1,
        answer_limit: int = ANSWER_LIMIT,
        metadata: str = "",
    ) -> None:
        self._timeout = timeout
        self._clock = clock
        self._auth = auth
        self._tls = tls or TlsConfig()
        self._proxy = proxy
        self._connections = connections
        self._answer_limit = answer_limit
        self._metadata = metadata
        self._links = Links(self._tls, proxy, self._make, httpx.AsyncClient.aclose)

    async def open(self) -> None:
        """Get ready. Connects to nobody yet.

        Raises:
            Blocked: a file of certificates or a secret for the proxy cannot be used.
        """
        self._links.open()

    async def close(self) -> None:
        """Close the connections."""
        await self._links.close()

    async def request(
        self,
        method: str,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        within: float | None = None,
        expected: Container[int] = (),
        hidden: Sequence[str] = (),
    ) -> Answer:
        """Send one request and read its answer.

        Args:
            method: POST, PUT, ...
            url: may hold secrets; none of them gets into an exception.
            body: sent as it is.
            headers: beside those for authentication; values without control characters.
            within: seconds, where less than the time-out is left.
            expected: statuses other than 2xx that are answers to this caller too.
            hidden: what of the body nobody may see, should the far side echo it.

        Raises:
            Retry, Rejected, Blocked: see the tables at the top of this module and of `sinks._answers`.
        """
        target = _parse(url, self._metadata)
        place = f"{target.scheme}://{target.netloc.decode('ascii', 'replace')}/…"
        if self._proxy:
            place += " (through the proxy)"
        sent = [(name.encode("ascii", "replace"), value.encode()) for name, value in headers.items()]
        own = credential(self._auth) if self._auth else None
        if own:
            sent.append((own.name.encode(), own.value.encode()))
        link = await self._links.take()
        outer = sys.exc_info()[1]
        way = _Way(self._metadata)
        extensions = {"trace": way.look}
        try:
            async with (
                asyncio.timeout(self._timeout if within is None else min(within, self._timeout)),
                link.client.stream(method, target, content=body, headers=sent, extensions=extensions) as response,
            ):
                content = await self._read(response)
        except Exception as error:  # noqa: BLE001 - whatever the library raises must become an outcome
            failure = _failure(error, outer, place)
            if isinstance(failure, Retry):
                failure.unknown = way.begun
        else:
            secrets = _echoes(target, sent, own, link.password, hidden)
            answer = Answer(response.status_code, content, secrets, dict(response.headers))
            if response.is_success or response.status_code in expected:
                return answer
            failure = refusal(answer, response.headers.get("retry-after", ""), self._clock.now(), place)
        finally:
            await self._links.leave(link)
            await way.close()
        if isinstance(failure, Retry) and method in _SAFE:
            failure.unknown = False
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

    def _make(self, password: str) -> httpx.AsyncClient:
        proxy = None
        if self._proxy:
            # The proxy is not the far side: it does not get our certificate.
            secure = self._proxy.url.startswith("https:")
            trust = context(self._tls, httpx.create_ssl_context, known=False) if secure else None
            auth = (self._proxy.basic.username, password) if self._proxy.basic else None
            proxy = httpx.Proxy(self._proxy.url, auth=auth, ssl_context=trust)
        return httpx.AsyncClient(
            verify=context(self._tls, httpx.create_ssl_context),
            proxy=proxy,
            trust_env=False,
            http2=False,
            follow_redirects=False,
            event_hooks={"response": [_stay]},
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT),
            limits=httpx.Limits(
                # A few more for connections that are still being closed.
                max_connections=self._connections + 3,
                max_keepalive_connections=self._connections,
                # After so many seconds of quiet, the name is resolved anew.
                keepalive_expiry=30.0,
            ),
            # Not compressed: a few bytes of an answer could otherwise unfold to gigabytes.
            headers={"User-Agent": "eventer", "Accept-Encoding": "identity"},
        )


_SECRET_HEADER: Final = re.compile(rb"auth|token|key|secret|signature|cookie|password", re.IGNORECASE)


def _echoes(
    target: httpx.URL, headers: list[tuple[bytes, bytes]], own: Credential | None, password: str, hidden: Sequence[str]
) -> list[str]:
    """List what a far side may echo and nobody may see: parts of the address, secret headers."""
    found: list[str] = [str(target), target.path, *target.path.split("/"), target.password, password]
    found += target.params.values()
    secret = [value.decode() for name, value in headers if _SECRET_HEADER.search(name)]
    found += [part for value in secret for part in (value, *value.split())]  # a token also without its scheme
    found += own.secrets if own else ()
    found += hidden
    return to_hide(found)


def check_address(url: str, option: str) -> None:
    """Check an address before anything is sent.

    Args:
        url: what was given.
        option: by which it was given.

    Raises:
        ValueError: with the remedy; the address itself is not repeated.
    """
    try:
        _parse(url)
    except Blocked as error:
        message, _, remedy = str(error).rstrip(".").partition("; ")
        message = message[0].lower() + message[1:]
        raise ValueError(f"{option}: {message}; {remedy or 'write the address of the receiver itself'}") from None


def _parse(url: str, metadata: str = "") -> httpx.URL:
    """Read an address.

    Raises:
        Blocked: it is none, or one that nothing may be sent to.
    """
    try:
        target = httpx.URL(url.strip())
    except (httpx.InvalidURL, ValueError):
        target = httpx.URL("")
    if target.scheme not in ("http", "https") or not target.host:
        raise Blocked("The address is no URL; write https://host/path.", reason="address")
    if forbidden(target.host) and target.host != metadata:
        raise inside(target.host)
    return target


class _ForbiddenPeerError(Exception):
    """The name leads to an address that nothing may be sent to."""


class _Way:
    """How far one request has come.

    Args:
        metadata: address of the metadata service that may be asked, if any.
    """

    def __init__(self, metadata: str) -> None:
        self._metadata = metadata
        self.begun = False
        """Whether a byte of it may have gone out. What httpx raises does not tell: a time-out may be that of a look-up
        or a handshake, and httpcore repeats nothing by itself that it has begun to write. Where the far side closes a
        kept connection at that moment, nobody but itself knows whether it has read the request (RFC 9112, 9.3.1)."""
        self._stream: Any = None
        """A connection before its handshake, which httpcore forgets if it is cancelled there."""

    async def look(self, name: str, info: Mapping[str, Any]) -> None:
        """See whom a connection leads to, before a byte is sent: a name can lead anywhere, any time anew."""
        if name == "http11.send_request_headers.started":
            self.begun |= info["request"].method != b"CONNECT"  # that one is for the proxy
            self._stream = None
        if name == "connection.connect_tcp.complete":
            self._stream = info["return_value"]
            host = str(self._stream.get_extra_info("server_addr")[0])
            if forbidden(host) and host != self._metadata:
                raise _ForbiddenPeerError(host)

    async def close(self) -> None:
        """Close what nobody else would."""
        if self._stream is not None:
            await self._stream.aclose()


async def _stay(response: httpx.Response) -> None:
    """Forget where a redirect leads: httpx reads that even if it is not to follow, and fails where it is no URL."""
    response.headers.pop("location", None)


def _failure(error: Exception, outer: BaseException | None, place: str) -> SinkError:
    """Turn what httpx raised into an outcome; see its tree in httpx/_exceptions.py."""
    found = list(causes(error, outer))
    for cause in found:
        if isinstance(cause, _ForbiddenPeerError):
            return inside(str(cause))
        if (wrong := untrusted(cause, place)) is not None:
            return wrong
    if (broken := network(found, _NETWORK, place)) is not None:
        return broken
    if isinstance(error, httpx.ProxyError):
        # Its text is the status line of the proxy's answer, of which only the number is ours to show.
        number = re.match(r"[1-5]\d\d\b", str(error))
        answered = f"The proxy on the way to {place} answered {number[0] if number else 'with an error'}."
        if number and number[0] in {"401", "403", "407"}:
            return Blocked(f"{answered} Check proxy.basic and what the proxy allows.", reason="proxy")
        return Retry(answered, reason="proxy")
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


_NETWORK: Final[Network] = (
    ((TimeoutError, httpx.TimeoutException), "timeout", "{place} gave no complete answer in time."),
    (socket.gaierror, "dns", "The name in {place} cannot be resolved."),
    (ConnectionRefusedError, "refused", "{place} refused the connection."),
    (ssl.SSLError, "tls", "No TLS connection to {place} could be made."),
)
