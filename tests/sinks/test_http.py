"""`sinks._http`: every answer, every way to fail and every certificate has one outcome."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from eventer.clock import SystemClock
from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.values import Secret
from sinks._http import ANSWER_LIMIT, AuthConfig, BasicConfig, Http, TlsConfig
from tests.helpers.farside import Answer, FarSide
from tests.helpers.sinks import CANARY

TLS = Path(__file__).parent / "tls"


class Noon(SystemClock):
    """Stands still on a day in March."""

    def now(self) -> datetime:
        return datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@contextlib.asynccontextmanager
async def client(**options: Any) -> AsyncIterator[Http]:
    http = Http(**{"timeout": 30.0, "clock": Noon(), **options})
    await http.open()
    try:
        yield http
    finally:
        await http.close()


@pytest.fixture
async def far() -> AsyncIterator[FarSide]:
    async with FarSide() as server:
        yield server


async def failure(url: str, *, within: float | None = None, **options: Any) -> SinkError:
    async with client(**options) as http:
        with pytest.raises(SinkError) as caught:
            await http.request("POST", url, b"{}", {}, within=within)
    return caught.value


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [
        (300, Blocked, "redirect"), (301, Blocked, "redirect"), (302, Blocked, "redirect"), (304, Blocked, "redirect"),
        (307, Blocked, "redirect"), (308, Blocked, "redirect"),
        (400, Rejected, "refused_data"), (401, Blocked, "denied"), (403, Blocked, "denied"), (404, Blocked, "address"),
        (405, Blocked, "address"), (407, Blocked, "denied"), (408, Retry, "timeout"), (409, Rejected, "refused_data"),
        (410, Blocked, "address"), (413, Rejected, "too_large"), (415, Rejected, "refused_data"),
        (422, Rejected, "refused_data"), (425, Retry, "busy"), (429, Retry, "throttled"),
        (499, Rejected, "refused_data"), (500, Retry, "server"), (501, Retry, "server"), (502, Retry, "server"),
        (503, Retry, "server"), (504, Retry, "server"), (599, Retry, "server"),
    ],
)  # fmt: skip
async def test_each_status_has_an_outcome(far: FarSide, status: int, error: type[SinkError], reason: str) -> None:
    far.answer = Answer(status, b"why", {"Location": "http://127.0.0.1:1/"})
    caught = await failure(far.url)
    assert (type(caught), caught.reason) == (error, reason)
    assert caught.answer == "why" or status == 304  # which has no body
    assert str(status) in str(caught)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206])
async def test_2xx_is_an_answer(far: FarSide, status: int) -> None:
    far.answer = Answer(status, b"" if status == 204 else b"fine")
    async with client() as http:
        answer = await http.request("PUT", f"{far.url}/a?b=c", b"body", {"X-A": "1"})
    assert (answer.status, answer.body) == (status, far.answer.body)
    assert far.requests[0].target == "/a?b=c"
    assert far.requests[0].body == b"body"
    assert "fine" not in repr(answer)


@pytest.mark.parametrize(
    ("value", "after"),
    [
        ("0", 0.0),
        ("7", 7.0),
        ("0.75", 0.75),
        (" 120 ", 120.0),
        ("3601", 3600.0),
        ("99999999999999999999", 3600.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sunday, 01-Mar-26 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2036 12:00:30 GMT", 3600.0),
        ("Sun, 01 Mar 2026 11:59:00 GMT", None),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("1e3", None),
        ("٣", None),
        ("nan", None),
        ("Sun, 99 Mar 2026 12:00:30 GMT", None),
    ],
)
async def test_s4_retry_after_is_honoured_bounded_or_ignored(far: FarSide, value: str, after: float | None) -> None:
    """S4: 429 with Retry-After as seconds, as a date, absurd."""
    for status in (429, 503):
        head = f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\nRetry-After: {value}\r\n\r\n"
        far.answer = Answer(raw=head.encode())
        caught = await failure(far.url)
        assert isinstance(caught, Retry)
        assert caught.after == after


async def test_s19_a_redirect_is_not_followed(far: FarSide) -> None:
    """S19: redirect to another host."""
    async with FarSide() as other:
        for status in (302, 307):
            far.answer = Answer(status, b"", {"Location": other.url})
            caught = await failure(far.url, auth=AuthConfig(bearer=Secret.literal(CANARY)))
            assert isinstance(caught, Blocked)
        assert not other.requests
        assert not other.connections


async def test_s3_a_dripping_answer_ends_at_the_deadline(far: FarSide) -> None:
    """S3: one byte at a time, for ever (times scaled)."""
    far.answer = Answer(drip=True)
    caught = await failure(far.url, timeout=0.2)
    assert (type(caught), caught.reason) == (Retry, "timeout")
    await far.gone.wait()


async def test_less_time_may_be_given_than_the_timeout(far: FarSide) -> None:
    far.answer = Answer(hang=True)
    caught = await failure(far.url, timeout=3600.0, within=0.1)
    assert (type(caught), caught.reason) == (Retry, "timeout")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(cut=0), "cut"),
        (Answer(cut=10), "cut"),
        (Answer(200, b"x" * 100, cut=90), "cut"),
        (Answer(raw=b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), "protocol"),
        (Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"), "protocol"),
        (Answer(raw=b"\x00" * 200), "protocol"),
        (Answer(raw=b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 200_000 + b"\r\n\r\n"), "protocol"),
    ],
)
async def test_no_proper_answer_is_tried_again(far: FarSide, answer: Answer, reason: str) -> None:
    far.answer = answer
    caught = await failure(far.url)
    assert (type(caught), caught.reason) == (Retry, reason)


async def test_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        caught = await failure(f"http://127.0.0.1:{taken.getsockname()[1]}/")
    assert (type(caught), caught.reason) == (Retry, "refused")


async def test_an_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, CANARY)

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    caught = await failure("http://es.invalid/")
    assert (type(caught), caught.reason) == (Retry, "dns")
    assert CANARY not in str(caught)


async def test_refused_at_every_address_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        port = taken.getsockname()[1]

        def two(*_: Any, **__: Any) -> Any:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{n}", port)) for n in (1, 2)]

        monkeypatch.setattr(socket, "getaddrinfo", two)
        caught = await failure(f"http://two.example:{port}/")
    assert (type(caught), caught.reason) == (Retry, "refused")


async def test_a_header_that_http_cannot_carry_is_rejected(far: FarSide) -> None:
    async with client() as http:
        with pytest.raises(Rejected) as caught:
            await http.request("POST", far.url, b"", {"X-A": "a\nb: c"})
    assert caught.value.reason == "protocol"
    assert not far.requests


async def test_an_answer_is_read_to_its_bound_only(far: FarSide) -> None:
    far.answer = Answer(200, b"x" * (4 * ANSWER_LIMIT))
    async with client() as http:
        assert (await http.request("POST", far.url, b"", {})).body == b"x" * ANSWER_LIMIT
        far.answer = Answer(200, b"small")
        assert (await http.request("POST", far.url, b"", {})).body == b"small"
    async with client(answer_limit=10) as http:
        far.answer = Answer(200, b"x" * 100)
        assert (await http.request("POST", far.url, b"", {})).body == b"x" * 10


@pytest.mark.parametrize("part", ["path", "query", "user", "bearer", "basic", "header"])
async def test_x1_what_a_far_side_echoes_is_hidden(far: FarSide, part: str) -> None:
    """X1: a secret in any place of a request, echoed in any form, is in no exception."""
    url, headers, auth = f"{far.url}/in", {}, None
    if part == "path":
        url = f"{far.url}/in/{CANARY}/x"
    elif part == "query":
        url = f"{far.url}/in?a=b&k={CANARY}"
    elif part == "user":
        url = f"{far.url}/in".replace("://", f"://me:{CANARY}@")
    elif part == "bearer":
        auth = AuthConfig(bearer=Secret.literal(CANARY))
    elif part == "basic":
        auth = AuthConfig(basic=BasicConfig(username="me", password=Secret.literal(CANARY)))
    else:
        headers = {"X-Api-Key": CANARY}
    body = f"<p>{url} {url.replace('/', chr(92) + '/')} token {CANARY} {'x' * 960}{CANARY}"
    for status in (200, 400, 401, 503):
        far.requests.clear()
        far.answer = Answer(status, body.encode())
        async with client(auth=auth) as http:
            try:
                told = (await http.request("POST", url, b"", headers)).shown()
            except SinkError as error:
                told = f"{error} {error.answer}"
        assert CANARY[:6] not in told
        assert CANARY in str(far.requests) or part in ("basic", "user"), "it was sent"


def server_tls(certificate: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / f"{certificate}.pem", TLS / "key.pem")
    return context


@pytest.mark.parametrize("certificate", ["expired", "wronghost", "selfsigned", "good"])
@pytest.mark.parametrize("trusted", [True, False])
async def test_x5_only_a_good_certificate_of_a_trusted_issuer_is_taken(certificate: str, trusted: bool) -> None:
    """X5: expired, wrong host, self-signed, unknown authority."""
    tls = TlsConfig(ca_file=str(TLS / "ca.pem") if trusted else None)
    async with FarSide(server_tls(certificate)) as far, client(tls=tls) as http:
        if certificate == "good" and trusted:
            assert (await http.request("POST", far.url, b"", {})).status == 200
            return
        with pytest.raises(Blocked) as caught:
            await http.request("POST", far.url, b"", {})
        assert caught.value.reason == "tls"
        assert not far.requests


class OldTls(FarSide):
    """Answers a handshake as TLS 1.0 would; a Python of today cannot be made to."""

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        record = await reader.readexactly(5)
        await reader.readexactly(int.from_bytes(record[3:5]))
        # ServerHello: version, random, no session, one old cipher, no compression.
        body = b"\x03\x01" + bytes(32) + b"\x00" + b"\x00\x2f" + b"\x00"
        message = b"\x02" + len(body).to_bytes(3) + body
        writer.write(b"\x16\x03\x01" + len(message).to_bytes(2) + message)
        self.came.set()
        await reader.read()
        return False


async def test_x5_old_tls_is_refused() -> None:
    """X5: TLS 1.1 and older."""
    async with OldTls() as far:
        caught = await failure(far.url.replace("http://", "https://"))
    assert far.came.is_set()
    assert (type(caught), caught.reason) == (Retry, "tls")


class NoTls(FarSide):
    """Answers a TLS handshake as an HTTP server would."""

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()
        return False


async def test_tls_to_a_server_that_has_none() -> None:
    async with NoTls() as far:
        caught = await failure(far.url.replace("http://", "https://"))
    assert (type(caught), caught.reason) == (Retry, "tls")


async def test_what_the_caller_was_handling_is_not_taken_for_the_cause(far: FarSide) -> None:
    far.answer = Answer(cut=0)
    try:
        raise ssl.SSLCertVerificationError(1, "of another sink")
    except ssl.SSLCertVerificationError:
        caught = await failure(far.url)
    assert (type(caught), caught.reason) == (Retry, "cut")


async def test_a_file_of_certificates_that_cannot_be_used_blocks(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    (tmp_path / "wrong.pem").write_text("no certificate")
    for name in ("absent.pem", "empty.pem", "wrong.pem"):
        http = Http(timeout=1.0, clock=Noon(), tls=TlsConfig(ca_file=str(tmp_path / name)))
        with pytest.raises(Blocked, match=name) as caught:
            await http.open()
        assert caught.value.reason == "tls"
        await http.close()


async def test_the_environment_names_no_proxy(far: FarSide, monkeypatch: pytest.MonkeyPatch) -> None:
    async with FarSide() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        async with client() as http:
            await http.request("POST", far.url, b"", {})
        assert not proxy.connections
    assert len(far.requests) == 1
