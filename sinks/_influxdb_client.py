"""InfluxDB's wire for the sink: the one module that imports influxdb_client, and every way in which a write can fail.

From the library come the client and its write service. Three things of it are not used, for what they do:

- its `write`: it takes an answer 200 for a failure without a word, and its errors put bodies into the log;
  the service beneath it gives the answer as it is, and is read here, up to a limit;
- its serializer, which takes several times as long as `sinks._influxdb_lines` (docs/benchmarks.md);
- its sign-in with user and password, which 1.x does not know: they go as a header.

Redirects are not followed, nothing is sent to an address that `sinks._peer` forbids, and no address, token or
header gets into a message.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from typing import Any, Final

import aiohttp
from aiohttp.abc import ResolveResult
from influxdb_client import WriteService
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from yarl import URL

from eventer.errors import Blocked, Retry, SinkError
from eventer.values import Secret
from sinks._answers import Answer, to_hide
from sinks._auth import AuthConfig, BasicConfig, credential
from sinks._failures import CONNECT_TIMEOUT, Network, causes, inside, network, untrusted
from sinks._gzip import compressed
from sinks._link import Links
from sinks._peer import forbidden
from sinks._proxy import ProxyConfig
from sinks._tls import TlsConfig, context

__all__ = ["Wire"]

ANSWER_LIMIT: Final = 256 << 10
"""Bytes read of an answer; v3 names up to 100 lines, and repeats each."""


class _ForbiddenPeerError(OSError):
    """The name leads to an address that nothing may be sent to."""


class _Resolver(aiohttp.ThreadedResolver):
    """Resolves names, though not to where nothing may be sent: a name can lead anywhere, any time anew."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await super().resolve(host, port, family)
        for item in found:
            if forbidden(item["host"]):
                raise _ForbiddenPeerError(item["host"])
        return found


class Wire:
    """Connections to one InfluxDB.

    Args:
        url: checked already.
        timeout: seconds for one write, answer included.
        connections: writes that may overlap.
    """

    def __init__(
        self,
        url: str,
        *,
        bucket: str,
        org: str,
        timeout: float,
        token: Secret | None,
        basic: BasicConfig | None,
        tls: TlsConfig,
        proxy: ProxyConfig | None,
        connections: int,
    ) -> None:
        self._url = url.strip().rstrip("/")
        self._bucket = bucket
        self._org = org
        self._timeout = timeout
        self._token = token
        self._basic = AuthConfig(basic=basic) if basic else None
        self._tls = tls
        self._proxy = proxy
        self._connections = connections
        self._links = Links(tls, proxy, self._make, InfluxDBClientAsync.close)
        scheme, _, rest = self._url.partition("://")
        self.place = f"{scheme}://{rest.partition('/')[0]}/…" + (" (through the proxy)" if proxy else "")
        """The address, as far as it may be shown."""

    # -- life ------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Get ready. Connects to nobody yet.

        Raises:
            Blocked: a file of certificates or a secret cannot be used.
        """
        self._links.open()

    async def close(self) -> None:
        """Close the connections."""
        await self._links.close()

    def _make(self, password: str) -> Any:
        secure = context(self._tls, ssl.create_default_context)
        way = URL(self._proxy.url) if self._proxy else None
        if way and self._proxy and self._proxy.basic:
            way = way.with_user(self._proxy.basic.username).with_password(password)
        client = InfluxDBClientAsync(
            self._url,
            timeout=aiohttp.ClientTimeout(total=self._timeout, sock_connect=CONNECT_TIMEOUT),
            ssl_context=secure,
            allow_redirects=False,
            proxy=way,
            client_session_type=_session,
            client_session_kwargs={
                "ours": aiohttp.TCPConnector(
                    limit=self._connections + 3,  # a few more for connections that are still being closed
                    ssl=secure,
                    resolver=_Resolver(),
                    use_dns_cache=False,
                    keepalive_timeout=30.0,
                ),
                # Not compressed: a few bytes of an answer could otherwise unfold to gigabytes.
                "headers": {"Accept-Encoding": "identity"},
                "auto_decompress": False,
                "trust_env": False,
                "cookie_jar": aiohttp.DummyCookieJar(),
            },
        )
        client.api_client.user_agent = "eventer"
        return client

    # -- writes ----------------------------------------------------------------------------------

    async def write(self, body: bytes, *, gzip: bool = False) -> Answer:
        """Write points, and return whatever the far side answers.

        Args:
            body: lines, with times in nanoseconds; none, to be told only whether they would be taken.

        Raises:
            Retry, Blocked: there is no answer; see `_failure`.
        """
        header, secrets = self._authorization()
        options: dict[str, Any] = {}
        if gzip and body:
            options["content_encoding"] = "gzip"
            body = await compressed(body)
        link = await self._links.take()
        outer = sys.exc_info()[1]
        link.client.api_client.default_headers.update(header)
        try:
            async with asyncio.timeout(self._timeout):
                response = await WriteService(link.client.api_client).post_write_async(
                    self._org, self._bucket, body, precision="ns", _preload_content=False, **options
                )
                try:
                    content = await _read(response)
                finally:
                    response.release()
        except Exception as error:  # noqa: BLE001 - whatever the library raises must become an outcome
            failure = _failure(error, outer, self.place)
        else:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, content, to_hide([*secrets, link.password]), headers)
        finally:
            await self._links.leave(link)
        raise failure  # outside of the handler: the original holds headers

    def _authorization(self) -> tuple[dict[str, str], tuple[str, ...]]:
        """Return the header that says who we are now, and what of it nobody may see.

        Raises:
            Blocked: a secret cannot be read or cannot stand in a header.
        """
        if self._basic:
            own = credential(self._basic)
            return {own.name: own.value}, own.secrets
        if self._token:
            # Checked as any bearer token is; the scheme is InfluxDB's own, which all versions know.
            own = credential(AuthConfig(bearer=self._token))
            return {own.name: "Token " + own.value.removeprefix("Bearer ")}, own.secrets
        return {}, ()


def _session(*, ours: aiohttp.TCPConnector, **options: Any) -> aiohttp.ClientSession:
    """Make the session, over connections that are looked at; from the library's own connector, none was ever made."""
    del options["connector"]
    return aiohttp.ClientSession(connector=ours, **options)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read an answer, or its first part; the connection is then closed."""
    pieces: list[bytes] = []
    room = ANSWER_LIMIT
    async for piece in response.content.iter_any():
        pieces.append(piece[:room])
        room -= len(piece)
        if room <= 0:
            response.close()
            break
    return b"".join(pieces)


# -- failures ------------------------------------------------------------------------------------

_NETWORK: Final[Network] = (
    (TimeoutError, "timeout", "{place} gave no complete answer in time."),
    ((socket.gaierror, aiohttp.ClientConnectorDNSError), "dns", "The name in {place} cannot be resolved."),
    (ConnectionRefusedError, "refused", "{place} refused the connection."),
    (ssl.SSLError, "tls", "No TLS connection to {place} could be made."),
    (
        (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError),
        "cut",
        "{place} cut the connection before its answer was complete.",
    ),
    (aiohttp.ClientResponseError, "protocol", "{place} answered something that is not HTTP."),
    (OSError, "cut", "{place} cannot be reached, or the connection broke."),
)


def _failure(error: Exception, outer: BaseException | None, place: str) -> SinkError:
    """Turn what aiohttp raised into an outcome.

    https://docs.aiohttp.org/en/stable/client_reference.html#client-exceptions
    """
    found = list(causes(error, outer))
    for cause in found:
        if isinstance(cause, SinkError):
            return cause
        if isinstance(cause, _ForbiddenPeerError):
            return inside(str(cause))
        # What aiohttp raises of certificates says less than what it came from.
        if not isinstance(cause, aiohttp.ClientError) and (wrong := untrusted(cause, place)) is not None:
            return wrong
        if isinstance(cause, aiohttp.ClientHttpProxyError):
            answered = f"The proxy on the way to {place} answered {cause.status}."
            if cause.status in {401, 403, 407}:
                return Blocked(f"{answered} Check proxy.basic and what the proxy allows.", reason="proxy")
            return Retry(answered, reason="proxy")
    if (broken := network(found, _NETWORK, place)) is not None:
        return broken
    # Undocumented: nothing may be lost by it, and its text may hold anything.
    return Retry(f"The request to {place} failed with {type(error).__name__}.", reason="unknown")
