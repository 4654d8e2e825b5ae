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
import re
import socket
import ssl
import sys
import zlib
from collections.abc import Iterator
from typing import Any, Final

import aiohttp
from aiohttp.abc import ResolveResult
from influxdb_client import WriteService
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from yarl import URL

from eventer.errors import Blocked, Retry, SinkError
from eventer.values import Secret
from sinks._answers import Answer
from sinks._auth import AuthConfig, BasicConfig, credential, reveal
from sinks._peer import forbidden
from sinks._proxy import ProxyConfig
from sinks._tls import TlsConfig, context, stamp

__all__ = ["Wire"]

CONNECT_TIMEOUT: Final = 5.0
"""Seconds for one connection; three lost SYN packets on Linux."""
ANSWER_LIMIT: Final = 256 << 10
"""Bytes read of an answer; v3 names up to 100 lines, and repeats each."""
SHORTEST: Final = 8
"""Characters of a text that is hidden in answers; less is no secret, and would garble them."""
GZIP: Final = 31
"""`wbits` of zlib for the format of gzip (https://docs.python.org/3/library/zlib.html#zlib.compressobj)."""


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


class _Link:
    """A client, and what it was made from."""

    def __init__(self, client: Any, made_from: tuple[object, ...], password: str) -> None:
        self.client = client
        self.service = WriteService(client.api_client)
        self.made_from = made_from
        self.password = password
        """Password for the proxy, if any."""
        self.users = 0
        """Writes under way."""


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
        self._link: _Link | None = None
        self._unusable: tuple[object, ...] | None = None
        """What no client could be made from, when that was last tried."""
        scheme, _, rest = self._url.partition("://")
        self.place = f"{scheme}://{rest.partition('/')[0]}/…" + (" (through the proxy)" if proxy else "")
        """The address, as far as it may be shown."""

    # -- life ------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Get ready. Connects to nobody yet.

        Raises:
            Blocked: a file of certificates or a secret cannot be used.
        """
        if self._link is None:
            self._link = self._make(self._material())

    async def close(self) -> None:
        """Close the connections."""
        link, self._link = self._link, None
        if link is not None:
            await link.client.close()

    def _material(self) -> tuple[object, ...]:
        """Return what changes when a client of another making is needed.

        Raises:
            Blocked: the password for the proxy cannot be read.
        """
        basic = self._proxy.basic if self._proxy else None
        return (reveal(basic.password, "The password for the proxy") if basic else "", *stamp(self._tls))

    def _make(self, made_from: tuple[object, ...]) -> _Link:
        password = str(made_from[0])
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
        return _Link(client, made_from, password)

    async def _take(self) -> _Link:
        """Return the client to use, a new one where what it is made from has changed.

        Raises:
            Retry: it cannot be made from what is there now: for a moment, while files are replaced, a certificate and
                its key do not belong together.
            Blocked: that was so before.
        """
        assert self._link is not None, "write before open"
        material = self._material()
        if material != self._link.made_from:
            try:
                made = self._make(material)
            except Blocked as error:
                if self._unusable == material:
                    raise
                self._unusable = material
                raise Retry(str(error), reason=error.reason) from None
            old, self._link = self._link, made
            if not old.users:
                await old.client.close()
        link = self._link
        link.users += 1
        return link

    async def _leave(self, link: _Link) -> None:
        link.users -= 1
        if not link.users and link is not self._link:
            await link.client.close()

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
            body = await asyncio.to_thread(zlib.compress, body, 1, GZIP)
        link = await self._take()
        outer = sys.exc_info()[1]
        link.client.api_client.default_headers.update(header)
        try:
            async with asyncio.timeout(self._timeout):
                response = await link.service.post_write_async(
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
            hidden = sorted(
                {item for item in (*secrets, link.password) if len(item) >= SHORTEST}, key=len, reverse=True
            )
            return Answer(response.status, content, hidden, headers)
        finally:
            await self._leave(link)
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

_OURS: Final = re.compile(
    "ALERT_(?:CERTIFICATE_|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|NO_CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|DECRYPT_ERROR)"
)
"""What OpenSSL calls the alerts by which a far side refuses our certificate, or misses it (RFC 8446, 6.2)."""

_NETWORK: Final[tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str, str], ...]] = (
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
    causes = list(_causes(error, outer))
    for cause in causes:
        if isinstance(cause, SinkError):
            return cause
        if isinstance(cause, _ForbiddenPeerError):
            return Blocked(
                f"The address leads to {cause}: to link-local addresses and metadata services of clouds nothing is "
                "sent.",
                reason="address",
            )
        if isinstance(cause, ssl.SSLCertVerificationError) and not isinstance(cause, aiohttp.ClientError):
            return Blocked(
                f"The certificate of {place} is not trusted: {cause.verify_message}. Name its issuer in tls.ca_file.",
                reason="tls",
            )
        if isinstance(cause, ssl.SSLError) and _OURS.search(getattr(cause, "reason", None) or ""):
            return Blocked(
                f"{place} wants a certificate of ours that it trusts. Check tls.cert_file and tls.key_file.",
                reason="tls",
            )
        if isinstance(cause, aiohttp.ClientHttpProxyError):
            answered = f"The proxy on the way to {place} answered {cause.status}."
            if cause.status in {401, 403, 407}:
                return Blocked(f"{answered} Check proxy.basic and what the proxy allows.", reason="proxy")
            return Retry(answered, reason="proxy")
    for kinds, reason, words in _NETWORK:
        if any(isinstance(cause, kinds) for cause in causes):
            return Retry(words.format(place=place), reason=reason)
    # Undocumented: nothing may be lost by it, and its text may hold anything.
    return Retry(f"The request to {place} failed with {type(error).__name__}.", reason="unknown")


def _causes(error: BaseException, outer: BaseException | None) -> Iterator[BaseException]:
    """Walk an exception and what it came from, up to what our caller was handling when it called (`outer`)."""
    seen = {id(outer)}
    waiting: list[BaseException | None] = [error]
    while waiting:
        item = waiting.pop()
        if item is None or id(item) in seen:
            continue
        seen.add(id(item))
        yield item
        waiting += [item.__cause__, item.__context__, getattr(item, "os_error", None)]
        if isinstance(item, BaseExceptionGroup):
            waiting += item.exceptions
