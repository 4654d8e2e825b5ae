"""`sinks._http`: every answer, every way to fail and every certificate has one outcome."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from eventer.clock import SystemClock
from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.values import Secret
from sinks._auth import AuthConfig, BasicConfig
from sinks._http import ANSWER_LIMIT, Http
from tests.helpers.farside import Answer, FarSide
from tests.helpers.sinks import CANARY


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


async def test_a_status_that_a_caller_expects_is_an_answer_to_it_and_others_are_not(far: FarSide) -> None:
    async with client() as http:
        far.then(Answer(404, b"nothing"), Answer(403))
        answer = await http.request("GET", far.url, b"", {}, expected={404})
        assert (answer.status, answer.body) == (404, b"nothing")
        with pytest.raises(Blocked):
            await http.request("GET", far.url, b"", {}, expected={404})


async def test_a_part_of_an_answer_is_shown_without_secrets(far: FarSide) -> None:
    async with client(auth=AuthConfig(bearer=Secret.literal(CANARY))) as http:
        answer = await http.request("GET", far.url, b"", {})
    assert answer.hide(f"no such index, {CANARY}") == "no such index, <secret>"


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


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_s19_a_redirect_is_not_followed(far: FarSide, status: int) -> None:
    """S19: redirect to another host, to the same one, to what is no address."""
    async with FarSide() as other:
        for location in (
            other.url,
            "/elsewhere",
            "http://127.0.0.1:9http://x/",
            "http://[",
            "\x00",
            "",
            f"//{CANARY}@h",
        ):
            far.answer = Answer(status, b"", {"Location": location})
            far.requests.clear()
            caught = await failure(far.url, auth=AuthConfig(bearer=Secret.literal(CANARY)))
            if location == "\x00":  # no header that HTTP knows
                assert (type(caught), caught.reason) == (Retry, "protocol")
            else:
                assert (type(caught), caught.reason) == (Blocked, "redirect")
            assert CANARY not in f"{caught} {caught.answer}"
            assert len(far.requests) == 1
        assert not other.connections


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n"]
)
async def test_s3_a_dripping_answer_ends_at_the_deadline(far: FarSide, head: bytes) -> None:
    """S3: one byte at a time, for ever, of a header or of the body (times scaled)."""
    far.answer = Answer(drip=head)
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


def leads_to(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    """Let every name lead to these addresses from now on."""

    def answer(_: Any, port: int, *__: Any, **___: Any) -> Any:
        families = [socket.AF_INET6 if ":" in host else socket.AF_INET for host in hosts]
        return [(family, socket.SOCK_STREAM, 6, "", (host, port)) for family, host in zip(families, hosts, strict=True)]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


async def test_s20_names_that_do_not_resolve_are_tried_again(far: FarSide, monkeypatch: pytest.MonkeyPatch) -> None:
    """S20: DNS fails for a while, says that it does, or that there is no such name."""
    url = f"http://far.example:{far.port}/"
    async with client() as http:
        for code in (socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_NONAME):

            def broken(*_: Any, code: int = code, **__: Any) -> Any:
                raise socket.gaierror(code, "down")

            with monkeypatch.context() as patch:
                patch.setattr(socket, "getaddrinfo", broken)
                with pytest.raises(Retry) as caught:
                    await http.request("POST", url, b"", {})
            assert caught.value.reason == "dns"
        leads_to(monkeypatch, "127.0.0.1")
        assert (await http.request("POST", url, b"", {})).status == 200


async def test_s20_a_name_that_leads_elsewhere_is_followed(far: FarSide, monkeypatch: pytest.MonkeyPatch) -> None:
    """S20: the address of a name changes; the next connection goes to the new one."""
    url = f"http://far.example:{far.port}/"
    far.answer = Answer(headers={"Connection": "close"})
    async with FarSide(at=("127.0.0.2", far.port)) as new, client() as http:
        for there in (far, new):
            leads_to(monkeypatch, there.host)
            assert (await http.request("POST", url, b"", {})).status == 200
            assert len(there.requests) == 1


async def test_s20_dead_addresses_of_a_name_do_not_hide_a_living_one(
    far: FarSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S20: two families, of which IPv6 leads nowhere, and another address that is down."""
    leads_to(monkeypatch, "::1", "127.0.0.2", "127.0.0.1")
    async with client() as http:
        assert (await http.request("POST", f"http://far.example:{far.port}/", b"", {})).status == 200


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


async def test_what_the_caller_was_handling_is_not_taken_for_the_cause(far: FarSide) -> None:
    far.answer = Answer(cut=0)
    try:
        raise ssl.SSLCertVerificationError(1, "of another sink")
    except ssl.SSLCertVerificationError:
        caught = await failure(far.url)
    assert (type(caught), caught.reason) == (Retry, "cut")


async def test_the_environment_names_no_proxy(far: FarSide, monkeypatch: pytest.MonkeyPatch) -> None:
    async with FarSide() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        async with client() as http:
            await http.request("POST", far.url, b"", {})
        assert not proxy.connections
    assert len(far.requests) == 1
