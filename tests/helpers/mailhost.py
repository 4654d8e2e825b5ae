"""A mail server within the test's own loop: aiosmtpd, which answers as the test says; and far sides that are none."""

# aiosmtpd names what it calls.
# ruff: noqa: N802

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections import deque
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, Self, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

__all__ = ["Got", "MailHost", "Strange"]


@dataclass
class Got:
    """A message that was taken."""

    sender: str
    recipients: list[str]
    content: bytes

    @property
    def mail(self) -> EmailMessage:
        return cast("EmailMessage", message_from_bytes(self.content, policy=default))

    def text(self, kind: str = "plain") -> str:
        body = self.mail.get_body((kind,))
        assert body is not None
        return str(body.get_content())


@dataclass
class MailHost:
    """Use it with `async with`.

    Args:
        secure: certificate for STARTTLS; None offers none.
        tls: whether it is TLS from the beginning.
        password: of the user `eventer`, without which nothing is taken; empty lets everybody in.
    """

    secure: ssl.SSLContext | None = None
    tls: bool = False
    password: str = ""
    replies: dict[str, deque[str]] = field(default_factory=dict)
    """What is answered in place of the usual, once each: by EHLO, AUTH, MAIL, DATA, NOOP, QUIT, or a recipient."""
    got: list[Got] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    """Commands that came, with what the client calls itself."""

    def __post_init__(self) -> None:
        self.answering = asyncio.Event()
        self.answering.set()
        self.came = asyncio.Event()
        self.open = 0
        """Connections."""

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()

        def connected() -> SMTP:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it thinks that a login without STARTTLS is one in the clear
                return _Connection(
                    self,
                    hostname="mail.example",
                    loop=loop,
                    tls_context=None if self.tls else self.secure,
                    authenticator=self._authenticate if self.password else None,
                    auth_required=bool(self.password),
                    auth_require_tls=not self.tls,
                    auth_exclude_mechanism=() if self.password else ("PLAIN", "LOGIN"),
                )

        self._server = await loop.create_server(connected, "127.0.0.1", 0, ssl=self.secure if self.tls else None)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.answering.set()
        self._server.close()
        await self._server.wait_closed()

    def answer(self, place: str, *replies: str) -> None:
        """Let the next commands of this kind be answered so."""
        self.replies.setdefault(place, deque()).extend(replies)

    def reply(self, place: str) -> str | None:
        self.said.append(place)
        waiting = self.replies.get(place)
        return waiting.popleft() if waiting else None

    def _authenticate(self, server: Any, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        reply = self.reply("AUTH")
        if reply is not None:
            return AuthResult(success=False, handled=False, message=reply)
        good = (data.login, data.password) == (b"eventer", self.password.encode())
        return AuthResult(success=good, handled=False)

    async def handle_EHLO(
        self, server: Any, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        reply = self.reply("EHLO")
        self.said.append(hostname)
        return [reply] if reply else responses

    async def handle_MAIL(
        self, server: Any, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = self.reply("MAIL")
        if reply is not None:
            return reply
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(
        self, server: Any, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = self.reply(address)
        if reply is not None:
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:
        self.came.set()
        await self.answering.wait()
        reply = self.reply("DATA")
        if reply is not None:
            return reply
        assert envelope.mail_from is not None
        self.got.append(Got(envelope.mail_from, list(envelope.rcpt_tos), cast("bytes", envelope.content)))
        return "250 2.0.0 OK"

    async def handle_NOOP(self, server: Any, session: Session, envelope: Envelope, arg: str) -> str:
        return self.reply("NOOP") or "250 OK"

    async def handle_QUIT(self, server: Any, session: Session, envelope: Envelope) -> str:
        return self.reply("QUIT") or "221 Bye"


class _Connection(SMTP):
    def __init__(self, host: MailHost, **options: Any) -> None:
        super().__init__(host, **options)
        self._host = host

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._host.open += transport.get_extra_info("sslcontext") is None or self._host.tls
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._host.open -= 1
        super().connection_lost(error)


class Strange:
    """A far side that says these bytes to each connection, and then hangs up, or says nothing more."""

    def __init__(self, said: bytes, *, hangs_up: bool = True) -> None:
        self._said = said
        self._hangs_up = hangs_up
        self._done = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._done.set()
        self._server.close()
        await self._server.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._said)
        if not self._hangs_up:
            await self._done.wait()
        writer.close()
