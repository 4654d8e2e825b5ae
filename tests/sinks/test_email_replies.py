"""Mail: what each reply of a server means (RFC 5321, 4.2; RFC 3463), and how the conversation is kept secret."""

from __future__ import annotations

import asyncio
import logging
import socket
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.sink import Sent
from eventer.values import Duration, Secret
from sinks._tls import TlsConfig
from sinks.email import LoginConfig
from tests.helpers.looptime import pass_by
from tests.helpers.mailhost import MailHost, Strange
from tests.helpers.notes import send
from tests.helpers.sinks import CANARY
from tests.helpers.until import until
from tests.sinks.test_email import ANN, failed, login, sink_of
from tests.sinks.test_tls import server_tls, tls


@pytest.fixture
async def host() -> AsyncIterator[MailHost]:
    async with MailHost() as made:
        yield made


# -- what a reply means --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "reply", "kind", "reason"),
    [
        (ANN, "450 4.2.0 greylisted, come back later", Retry, "recipients"),
        (ANN, "451 4.7.1 try again", Retry, "recipients"),
        (ANN, "421 4.3.2 going down", Retry, "recipients"),
        (ANN, "550 5.1.1 no such user", Blocked, "recipients"),
        (ANN, "554 5.7.1 relay access denied", Blocked, "recipients"),
        ("MAIL", "451 4.3.0 later", Retry, "busy"),
        ("MAIL", "421 4.3.2 going down", Retry, "busy"),
        ("MAIL", "530 5.7.0 authentication required", Blocked, "auth"),
        ("MAIL", "550 5.7.1 not yours", Blocked, "sender"),
        ("MAIL", "552 5.3.4 too large", Rejected, "too_large"),
        ("DATA", "451 4.3.0 later", Retry, "busy"),
        ("DATA", "452 4.3.1 no room", Retry, "busy"),
        ("DATA", "550 5.4.5 Daily user sending limit exceeded", Retry, "throttled"),
        ("DATA", "552 5.3.4 too large", Rejected, "too_large"),
        ("DATA", "554 5.6.0 looks like spam", Rejected, "refused_data"),
        ("DATA", "554 5.2.252 SendAsDenied", Blocked, "sender"),
        ("DATA", "530 5.7.0 authentication required", Blocked, "auth"),
        ("DATA", "354 and then?", Retry, "protocol"),
        ("EHLO", "550 5.7.1 your address is on a list", Blocked, "denied"),
        ("EHLO", "421 too many connections", Retry, "busy"),
    ],
)
async def test_a_reply_is_read(host: MailHost, place: str, reply: str, kind: type[SinkError], reason: str) -> None:
    host.answer(place, reply)
    error = await failed(sink_of(host))
    assert (type(error), error.reason) == (kind, reason)
    assert not host.got
    assert str(error).endswith(".")
    assert reply[4:] in error.answer
    await send(sink_of(host))
    assert len(host.got) == 1


@pytest.mark.parametrize(
    ("greeting", "kind", "reason"),
    [
        (b"554 5.7.1 no mail from you\r\n", Blocked, "denied"),
        (b"421 too busy\r\n", Retry, "busy"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Retry, "protocol"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n", Retry, "protocol"),
        (b"220-" + b"x" * 100_000, Retry, "protocol"),
        (b"", Retry, "cut"),
        (b"220", Retry, "cut"),
    ],
)
async def test_a_greeting_is_read(greeting: bytes, kind: type[SinkError], reason: str) -> None:
    async with Strange(greeting) as strange:
        error = await failed(sink_of(strange))
    assert (type(error), error.reason) == (kind, reason)


async def test_a_far_side_that_says_nothing_is_given_up() -> None:
    async with Strange(b"", hangs_up=False) as strange:
        error = await failed(sink_of(strange, timeout=Duration(2)))
    assert (type(error), error.reason) == (Retry, "timeout")
    assert "write `security: tls`" in str(error)


async def test_s5_a_message_whose_answer_was_lost_is_repeated_with_the_same_id(host: MailHost) -> None:
    sink = sink_of(host, timeout=Duration(0.3))
    host.answering.clear()
    error = await failed(sink)
    assert (type(error), error.reason) == (Retry, "timeout")
    assert "gave no complete answer in time" in str(error)
    host.answering.set()
    await send(sink_of(host))
    assert len({str(got.mail["Message-ID"]) for got in host.got}) == 1  # however many of them were taken


async def test_s20_a_name_that_does_not_resolve_and_a_server_that_is_not_there(
    host: MailHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = await failed(sink_of(host, port=1))
    assert (type(error), error.reason) == (Retry, "refused")

    async def unknown(self: Any, *_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.SelectorEventLoop, "getaddrinfo", unknown)
    error = await failed(sink_of(host))
    assert (type(error), error.reason) == (Retry, "dns")


async def test_x6_a_name_that_leads_to_a_metadata_service_is_not_followed(
    host: MailHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def misled(self: Any, *_: Any, **__: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 25))]

    monkeypatch.setattr(asyncio.SelectorEventLoop, "getaddrinfo", misled)
    error = await failed(sink_of(host))
    assert (type(error), error.reason) == (Blocked, "address")


async def test_the_first_address_that_answers_is_taken(host: MailHost, monkeypatch: pytest.MonkeyPatch) -> None:
    async def several(self: Any, _: str, port: int, **__: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", each)) for each in (1, port)]

    monkeypatch.setattr(asyncio.SelectorEventLoop, "getaddrinfo", several)
    await send(sink_of(host))
    assert "[127.0.0.1]" in host.said  # who we are, by an address: RFC 5321, 4.1.4


@pytest.mark.parametrize("reply", ["500 what?", "421 gone"])
async def test_what_comes_after_the_message_was_taken_changes_nothing(host: MailHost, reply: str) -> None:
    host.answer("QUIT", reply)
    assert await send(sink_of(host)) == Sent()


class Clinging(MailHost):
    """Takes a message, and leaves our leave without an answer for longer than any limit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self._monkeypatch = monkeypatch
        self._gone = asyncio.Event()

    async def handle_QUIT(self, *_: object) -> str:  # noqa: N802 - aiosmtpd's name
        pass_by(1000, self._monkeypatch)
        await self._gone.wait()
        return "221 Bye"

    async def __aexit__(self, *_: object) -> None:
        self._gone.set()
        await until(lambda: not self.open, "the connection to end")
        await super().__aexit__()


async def test_what_was_taken_is_sent_though_the_time_is_over_before_the_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Clinging(monkeypatch) as host:
        assert await send(sink_of(host)) == Sent()
        assert len(host.got) == 1


# -- secrecy -------------------------------------------------------------------------------------


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_over_tls_with_a_login(security: Any) -> None:
    async with MailHost(server_tls(), tls=security == "tls", password=CANARY) as host:
        sink = sink_of(host, security=security, tls=tls(ca="ca"), auth=login())
        assert await send(sink) == Sent()
        assert len(host.got) == 1
        said = await sink.probe()
        assert said == f"localhost:{host.port} answers over {security.upper()} and lets eventer in."
        assert len(host.got) == 1
        assert "NOOP" in host.said


@pytest.mark.parametrize("certificate", ["expired", "wronghost", "selfsigned"])
@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_that_is_not_trusted(certificate: str, security: Any) -> None:
    async with MailHost(server_tls(certificate), tls=security == "tls", password=CANARY) as host:
        error = await failed(sink_of(host, security=security, tls=tls(ca="ca"), auth=login()))
        assert (type(error), error.reason) == (Blocked, "tls")
        assert "is not trusted" in str(error)
        assert "AUTH" not in host.said


async def test_a_server_without_starttls_gets_no_password_and_no_mail(host: MailHost) -> None:
    error = await failed(sink_of(host, security="starttls", auth=login()))
    assert (type(error), error.reason) == (Blocked, "tls")
    assert "offers no STARTTLS" in str(error)
    assert not {"MAIL", "AUTH"} & set(host.said)


async def test_a_port_that_speaks_no_tls(host: MailHost) -> None:
    error = await failed(sink_of(host, security="tls"))
    assert (type(error), error.reason) == (Blocked, "tls")
    assert "speaks no TLS. Write `security: starttls`" in str(error)


async def test_a_server_that_wants_a_certificate_of_ours(tmp_path: Path) -> None:
    async with MailHost(server_tls(asks=True)) as host:
        await send(sink_of(host, security="starttls", tls=tls(ca="ca", cert="good", key="key")))
        assert len(host.got) == 1
        missing = TlsConfig(ca_file=str(tmp_path / "none.pem"))
        error = await failed(sink_of(host, security="starttls", tls=missing))
        assert (type(error), error.reason) == (Blocked, "tls")
        assert "none.pem" in str(error)


async def test_a_password_that_is_wrong_is_told_and_then_replaced(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("old")
    async with MailHost(server_tls(), password=CANARY) as host:
        auth = LoginConfig(username="eventer", password=Secret.file(file))
        sink = sink_of(host, security="starttls", tls=tls(ca="ca"), auth=auth)
        error = await failed(sink)
        assert (type(error), error.reason) == (Blocked, "auth")
        assert "Check auth.username and the password" in str(error)
        file.write_text(f"{CANARY}\n")
        await send(sink)
        file.unlink()
        error = await failed(sink)
        assert (type(error), error.reason) == (Blocked, "secret")


@pytest.mark.parametrize(
    ("reply", "kind", "reason"),
    [
        (f"535 5.7.8 wrong: {CANARY}", Blocked, "auth"),
        ("454 4.7.0 Too many login attempts", Retry, "busy"),
        ("534 5.7.9 Application-specific password required", Blocked, "auth"),
    ],
)
async def test_a_login_that_is_refused(reply: str, kind: type[SinkError], reason: str) -> None:
    async with MailHost(server_tls(), password=CANARY) as host:
        host.answer("AUTH", *[reply] * 3)
        error = await failed(sink_of(host, security="starttls", tls=tls(ca="ca"), auth=login()))
        assert (type(error), error.reason) == (kind, reason)
        assert "MAIL" not in host.said


async def test_a_server_that_wants_no_login_or_none_in_the_clear(host: MailHost) -> None:
    error = await failed(sink_of(host, auth=login()))
    assert (type(error), error.reason) == (Blocked, "auth")
    assert "write `security: starttls`" in str(error)
    async with MailHost(server_tls()) as open_to_all:
        error = await failed(sink_of(open_to_all, security="starttls", tls=tls(ca="ca"), auth=login()))
        assert "Leave `auth` out" in str(error)


@pytest.mark.parametrize("place", ["EHLO", "MAIL", ANN, "DATA", "AUTH"])
@pytest.mark.parametrize("code", ["450", "550"])
async def test_no_secret_is_told(place: str, code: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    coded = "AGV2ZW50ZXIAY2FuYXJ5LTVmMWQwYzdlOWE="  # what AUTH PLAIN sends
    async with MailHost(server_tls(), password=CANARY) as host:
        sink = sink_of(host, security="starttls", tls=tls(ca="ca"), auth=login())
        host.answer(place, *[f"{code} {CANARY} {coded}"] * 3)
        if place == ANN and code == "550":
            host.answer(place, *[f"{code} {CANARY}"] * 3)
        error = await failed(sink)
    told = "".join(traceback.format_exception(error))
    told += f"{error!r} {error.answer} {error.reason} {sink!r} {sink._config!r}"
    told += " ".join(record.getMessage() for record in caplog.records if record.name != "mail.log")  # the server's
    assert CANARY not in told
    assert coded not in told
    assert "<secret>" in error.answer
