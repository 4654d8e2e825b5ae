"""`sinks._proxy`: the way through an HTTP proxy, and what of it goes wrong."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from pathlib import Path

import pytest

from eventer.errors import Blocked, Retry, SinkError
from eventer.values import Secret
from sinks._auth import AuthConfig, BasicConfig
from sinks._proxy import ProxyConfig
from tests.helpers.farside import Answer, FarSide
from tests.helpers.sinks import CANARY
from tests.sinks.test_http import client, failure
from tests.sinks.test_tls import server_tls, tls


class Tunnel(FarSide):
    """A proxy that lets CONNECT through, to anywhere on loopback; `answer` replaces the 200."""

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if not await super().exchange(reader, writer) or self.answer.status != 200:
            return False
        request = self.requests[-1]
        assert request.method == "CONNECT"
        host, _, port = request.target.rpartition(":")
        there, back = await asyncio.open_connection(host, int(port))
        ways = [asyncio.create_task(_pass_on(reader, back)), asyncio.create_task(_pass_on(there, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            back.close()
        return False


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()


def proxy(far: FarSide, password: Secret | None = None) -> ProxyConfig:
    return ProxyConfig(url=far.url, basic=BasicConfig(username="me", password=password) if password else None)


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


async def test_a_plain_request_is_handed_to_the_proxy_with_its_own_credentials() -> None:
    async with FarSide() as way:
        auth = AuthConfig(bearer=Secret.literal("for-the-far-side"))
        async with client(proxy=proxy(way, Secret.literal("p:w")), auth=auth) as http:
            await http.request("POST", "http://far.example:81/in?a=b", b"body", {"X-A": "1"})
    request = way.requests[0]
    assert (request.method, request.target) == ("POST", "http://far.example:81/in?a=b")
    assert request.headers["host"] == "far.example:81"
    assert request.headers["proxy-authorization"] == basic("me:p:w")
    assert request.headers["authorization"] == "Bearer for-the-far-side"


@pytest.mark.parametrize("secure", [False, True], ids=["http proxy", "https proxy"])
async def test_tls_goes_through_the_proxy_unopened(secure: bool) -> None:
    async with Tunnel(server_tls() if secure else None) as way, FarSide(server_tls(asks=True)) as far:
        config = tls(ca="ca", cert="good", key="key")
        password = Secret.literal(CANARY)
        async with client(proxy=proxy(way, password), tls=config, auth=AuthConfig(bearer=password)) as http:
            for _ in range(2):
                answer = await http.request("POST", f"{far.url}/in/secret", b"body", {})
                assert answer.status == 200
    assert [request.target for request in way.requests] == [f"127.0.0.1:{far.port}"], "the proxy sees no more"
    assert "authorization" not in way.requests[0].headers
    assert way.requests[0].headers["proxy-authorization"] == basic(f"me:{CANARY}")
    assert [request.target for request in far.requests] == ["/in/secret"] * 2
    assert "proxy-authorization" not in far.requests[0].headers


async def test_a_proxy_over_tls_has_to_be_trusted_too(tmp_path: Path) -> None:
    for certificate in ("selfsigned", "wronghost", "expired"):
        async with Tunnel(server_tls(certificate)) as way:
            caught = await failure("http://far.example/", proxy=proxy(way), tls=tls(ca="ca"))
        assert (type(caught), caught.reason) == (Blocked, "tls")
        assert not way.requests


async def test_a_proxy_is_not_shown_our_certificate() -> None:
    """It is not the far side; a proxy that asks for one gets none."""
    async with Tunnel(server_tls(asks=True)) as way:
        caught = await failure("https://far.example/", proxy=proxy(way), tls=tls(ca="ca", cert="good", key="key"))
    assert isinstance(caught, SinkError)
    assert not way.requests


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [(407, Blocked, "proxy"), (403, Blocked, "proxy"), (401, Blocked, "proxy"), (502, Retry, "proxy"), (504, Retry, "proxy"), (429, Retry, "proxy")],
)  # fmt: skip
async def test_what_a_proxy_says_to_connect(status: int, error: type[SinkError], reason: str) -> None:
    async with Tunnel() as way:
        way.answer = Answer(raw=f"HTTP/1.1 {status} {CANARY}\r\nContent-Length: 0\r\n\r\n".encode())
        caught = await failure("https://far.example/", proxy=proxy(way, Secret.literal(CANARY)))
    assert (type(caught), caught.reason) == (error, reason)
    assert str(status) in str(caught)
    assert "proxy" in str(caught)
    assert CANARY not in str(caught)


async def test_a_proxy_that_is_down_is_named_as_part_of_the_way() -> None:
    async with FarSide() as way:
        config = proxy(way)
    caught = await failure("http://far.example/", proxy=config)
    assert (type(caught), caught.reason) == (Retry, "refused")
    assert "proxy" in str(caught)


async def test_a_new_password_for_the_proxy_is_used_from_the_next_request_on(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("first")
    async with FarSide() as way, client(proxy=proxy(way, Secret.file(file))) as http:
        await http.request("POST", "http://far.example/", b"", {})
        file.write_text("second")
        await http.request("POST", "http://far.example/", b"", {})
        file.unlink()
        with pytest.raises(Blocked, match="password for the proxy"):
            await http.request("POST", "http://far.example/", b"", {})
    assert [request.headers["proxy-authorization"] for request in way.requests] == [
        basic("me:first"),
        basic("me:second"),
    ]


async def test_x1_what_a_proxy_echoes_is_hidden() -> None:
    async with FarSide() as way:
        way.answer = Answer(407, f"not {CANARY}, {basic(f'me:{CANARY}')}".encode())
        caught = await failure("http://far.example/", proxy=proxy(way, Secret.literal(CANARY)))
    assert isinstance(caught, Blocked)
    assert CANARY[:6] not in f"{caught} {caught.answer}"
    assert basic(f"me:{CANARY}")[8:] not in caught.answer


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("http://me:password@proxy:3128", "basic"),
        ("socks5://proxy:1080", "http://proxy"),
        ("proxy:3128", "http://proxy"),
        ("http://", "http://proxy"),
        ("http://proxy:port", "http://proxy"),
        ("http://proxy:3128/path", "http://proxy"),
        ("http://[::1", "http://proxy"),
    ],
)
def test_a_wrong_address_is_refused_with_a_remedy(url: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy) as caught:
        ProxyConfig(url=url)
    assert "password@" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://proxy", "http://proxy:3128/", "https://10.0.0.1:8443", "http://[fd00::1]:3128"]
)
def test_addresses_of_proxies(url: str) -> None:
    assert ProxyConfig(url=url).url == url
