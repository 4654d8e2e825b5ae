"""One conversation with a mail server: the one module that imports aiosmtplib, and every way in which it can fail.

A connection lives for one message, so that certificates, passwords and names are read anew for each. We connect by
ourselves, to see whom a name leads to before a byte is sent. Replies are those of RFC 5321, 4.2 and 4.3.2; codes of
three parts (RFC 3463) are looked at where they tell more.

    reply                                   what it means
    4yz at any place                        Retry
    5yz to a recipient                      said of that recipient
    5yz to EHLO, AUTH, MAIL, the greeting   Blocked: they refuse us, whatever is sent
    5yz to the message                      Rejected, unless its code says that it is about us
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Final, Literal, TypeVar

import aiosmtplib
import msgspec

from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.text import escape, redact
from eventer.values import Secret
from sinks._answers import KEPT
from sinks._auth import reveal
from sinks._failures import CONNECT_TIMEOUT, Network, causes, inside, network, untrusted
from sinks._peer import forbidden
from sinks._tls import TlsConfig, context

__all__ = ["Post", "Refusal"]

T = TypeVar("T")

_ONE: Final = 0.9
"""Part of the time that one answer may take: then it is known which one was missing."""
FAREWELL: Final = 1.0
"""Seconds for QUIT: the message is theirs by then."""
_ENHANCED: Final = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_QUOTA: Final = "5.4.5"
"""Daily limit of Gmail, told as if for ever (https://support.google.com/a/answer/3726730)."""
_SENDER: Final = frozenset({"5.2.252", "5.7.60"})
"""Exchange: the user may not send as this sender
(https://learn.microsoft.com/exchange/mail-flow-best-practices/non-delivery-reports-in-exchange-online)."""
_LOGIN: Final = frozenset({530, 534, 535, 538})
"""RFC 4954, 6."""
_PLAIN_THERE: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_MESSAGE")
"""What OpenSSL says to a far side that does not speak TLS."""


class Refusal(msgspec.Struct, frozen=True):
    """Why a recipient was refused."""

    code: int
    said: str
    """The reply, without secrets."""


class Post:
    """A mail server.

    Args:
        host: name or address.
        port: TCP.
        security: how the connection is kept secret.
        tls: whom to trust, and our own certificate.
        login: user name and password, if any.
        timeout: seconds for one message, or one probe.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        security: Literal["starttls", "tls", "none"],
        tls: TlsConfig,
        login: tuple[str, Secret] | None,
        timeout: float,
    ) -> None:
        self._host = host
        self._port = port
        self._place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._security = security
        self._tls = tls
        self._login = login
        self._timeout = timeout

    def check(self) -> None:
        """See whether certificates and the password can be read. Connects to nobody.

        Raises:
            Blocked: they cannot.
        """
        self._material()

    async def send(self, sender: str, recipients: Sequence[str], message: bytes) -> Mapping[str, Refusal]:
        """Hand over one message.

        Args:
            sender: address that failures are reported to.
            recipients: addresses; nobody else gets it.
            message: as it is sent.

        Returns:
            Who was refused. All others get it.

        Raises:
            Retry, Rejected, Blocked: nobody gets it; see the table at the top of this module.
        """

        async def hand_over(client: aiosmtplib.SMTP, secrets: Sequence[str]) -> Mapping[str, Refusal]:
            try:
                refused, _ = await client.sendmail(sender, list(recipients), message)
            except aiosmtplib.SMTPRecipientsRefused as error:
                replies = [(each.recipient, each.code, each.message) for each in error.recipients]
            else:
                replies = [(name, reply.code, reply.message) for name, reply in refused.items()]
            return {name: Refusal(code, _shown(said, secrets)) for name, code, said in replies}

        return await self._talk(hand_over)

    async def probe(self) -> str:
        """Do all that comes before a message.

        Returns:
            What was found, in a sentence.

        Raises:
            Retry, Blocked: as for `send`.
        """

        async def look(client: aiosmtplib.SMTP, _: Sequence[str]) -> None:
            await client.noop()

        await self._talk(look)
        secret = {"starttls": "over STARTTLS", "tls": "over TLS", "none": "without encryption"}[self._security]
        lets_in = f" and lets {self._login[0]} in" if self._login else ""
        return f"{self._place} answers {secret}{lets_in}."

    # -- the conversation ------------------------------------------------------------------------

    async def _talk(self, act: Callable[[aiosmtplib.SMTP, Sequence[str]], Awaitable[T]]) -> T:
        """Connect, do one thing, and take leave.

        Raises:
            Retry, Rejected, Blocked: see the table at the top of this module.
        """
        secure, password = self._material()
        secrets = self._secrets(password)
        outer = sys.exc_info()[1]
        try:
            async with asyncio.timeout(self._timeout) as limit, self._connected(secure) as client:
                if self._login:
                    await self._log_in(client, password)
                done = await act(client, secrets)
                limit.reschedule(None)  # a message that is theirs must not be sent again because the leave takes long
                with contextlib.suppress(OSError, aiosmtplib.SMTPException):
                    async with asyncio.timeout(FAREWELL):
                        await client.quit()
                return done
        except SinkError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the library raises must become an outcome
            failure = self._failure(error, outer, secrets)
        raise failure  # outside of the handler: the original may hold the password

    def _material(self) -> tuple[ssl.SSLContext | None, str]:
        secure = None if self._security == "none" else context(self._tls, ssl.create_default_context)
        return secure, reveal(self._login[1], "The password") if self._login else ""

    def _secrets(self, password: str) -> list[str]:
        """List what a server may echo and nobody may see."""
        if not self._login or not password:
            return []
        user = self._login[0]
        coded = (base64.b64encode(text.encode()).decode() for text in (f"\0{user}\0{password}", password))
        return [password, *coded]

    @contextlib.asynccontextmanager
    async def _connected(self, secure: ssl.SSLContext | None) -> AsyncIterator[aiosmtplib.SMTP]:
        sock = await self._reached()
        transport: asyncio.BaseTransport | None = None
        try:
            client = aiosmtplib.SMTP(
                hostname=self._host,
                sock=sock,
                # By our address, for a pod has no name that anybody else knows (RFC 5321, 4.1.4).
                local_hostname=_literal(sock),
                use_tls=self._security == "tls",
                start_tls=False,
                tls_context=secure,
                timeout=_ONE * self._timeout,
            )
            await client.connect()
            transport = client.transport
            await client.ehlo()
            if self._security == "starttls":
                if not client.supports_extension("starttls"):
                    raise Blocked(
                        f"{self._place} offers no STARTTLS. Write `security: tls` with the port for it, which is often "
                        "465; or `security: none`, if nobody can listen on the way there.",
                        reason="tls",
                    )
                await client.starttls()
                transport = client.transport
                await client.ehlo()
            yield client
        finally:
            # Not `close`: over TLS that would wait for the server's answer, for up to half a minute.
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()
            sock.close()

    async def _reached(self) -> socket.socket:
        """Connect to the first address that answers.

        Raises:
            Blocked: the name leads to what nothing may be sent to.
            OSError: none answers.
        """
        loop = asyncio.get_running_loop()
        failure: OSError = ConnectionError()
        for family, kind, proto, _, address in await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM):
            if forbidden(str(address[0])):
                raise inside(str(address[0]))
            sock = socket.socket(family, kind, proto)
            try:
                sock.setblocking(False)
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    await loop.sock_connect(sock, address)
            except OSError as error:
                sock.close()
                failure = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise failure

    async def _log_in(self, client: aiosmtplib.SMTP, password: str) -> None:
        assert self._login is not None
        if not client.supported_auth_methods:
            remedy = "Leave `auth` out, or take the port for submission, which is often 587."
            if self._security == "none":
                remedy = "Many do so over TLS only: write `security: starttls`."
            raise Blocked(
                f"{self._place} offers no login that we know (PLAIN, LOGIN, CRAM-MD5). {remedy}", reason="auth"
            )
        await client.login(self._login[0].encode(), password.encode())

    # -- failures --------------------------------------------------------------------------------

    def _failure(self, error: Exception, outer: BaseException | None, secrets: Sequence[str]) -> SinkError:
        """Turn what was raised into an outcome."""
        if isinstance(error, aiosmtplib.SMTPResponseException):
            return self._answered(error, _shown(error.message, secrets))
        place, found = self._place, list(causes(error, outer))
        if isinstance(error, aiosmtplib.SMTPConnectTimeoutError) and self._security != "tls":
            return Retry(
                f"{place} did not say who it is in time. If it wants TLS from the beginning, as on port 465, write "
                "`security: tls`.",
                reason="timeout",
            )
        for cause in found:
            if (wrong := untrusted(cause, place)) is not None:
                return wrong
            if isinstance(cause, ssl.SSLError) and any(word in (cause.reason or "") for word in _PLAIN_THERE):
                return Blocked(
                    f"{place} speaks no TLS. Write `security: starttls`, or the port for TLS, which is often 465.",
                    reason="tls",
                )
        if (broken := network(found, _NETWORK, place)) is not None:
            return broken
        # Undocumented: nothing may be lost by it, and its text may hold anything.
        return Retry(f"The conversation with {place} failed with {type(error).__name__}.", reason="unknown")

    def _answered(self, error: aiosmtplib.SMTPResponseException, shown: str) -> SinkError:
        """Return what a reply means that is no success."""
        code, place = error.code, self._place
        enhanced = _ENHANCED.match(shown)
        more = enhanced[0] if enhanced else ""
        said = f"{place} answered {code}"
        if not 400 <= code < 600:
            return Retry(f"{place} answered something that is not SMTP.", reason="protocol", answer=shown)
        if code < 500:
            return Retry(f"{said}: not now.", reason="busy", answer=shown)
        if more == _QUOTA:
            return Retry(f"{said}: no more messages today.", reason="throttled", after=3600.0, answer=shown)
        if isinstance(error, aiosmtplib.SMTPAuthenticationError):
            return Blocked(f"{said} to our login. Check auth.username and the password.", reason="auth", answer=shown)
        if code in _LOGIN:
            return Blocked(
                f"{said}: it wants to know who we are. Check `auth` and `security`.", reason="auth", answer=shown
            )
        if code == 552 or more == "5.3.4":
            return Rejected(f"{said}: the message is too large.", reason="too_large", answer=shown)
        if isinstance(error, aiosmtplib.SMTPSenderRefused) or more in _SENDER:
            return Blocked(f"{said} to the sender. Write one that we may send as.", reason="sender", answer=shown)
        if isinstance(error, aiosmtplib.SMTPDataError):
            return Rejected(f"{said} to the message.", reason="refused_data", answer=shown)
        return Blocked(
            f"{said}: it does not talk to us. Look whether it takes mail from this address.",
            reason="denied",
            answer=shown,
        )


_NETWORK: Final[Network] = (
    (TimeoutError, "timeout", "{place} gave no complete answer in time."),
    (socket.gaierror, "dns", "The name in {place} cannot be resolved."),
    (ConnectionRefusedError, "refused", "{place} refused the connection."),
    (ssl.SSLError, "tls", "No TLS connection to {place} could be made."),
    (OSError, "cut", "{place} cannot be reached, or the connection broke."),
)


def _literal(sock: socket.socket) -> str:
    address = str(sock.getsockname()[0]).partition("%")[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def _shown(said: str, secrets: Sequence[str]) -> str:
    """Return a reply as it may be kept."""
    for secret in secrets:
        said = said.replace(secret, "<secret>")
    return redact(escape(said[: 16 * KEPT]))[:KEPT]
