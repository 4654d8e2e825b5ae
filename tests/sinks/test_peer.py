"""`sinks._peer` and X6: no request leaves for where a cloud hands out credentials, however it is led there."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from eventer.errors import Blocked
from eventer.values import Secret
from sinks._auth import AuthConfig
from sinks._peer import forbidden
from sinks._proxy import ProxyConfig
from tests.helpers.farside import Answer, FarSide
from tests.helpers.sinks import CANARY
from tests.helpers.until import until
from tests.sinks.test_http import client, failure
from tests.sinks.test_tls import server_tls, tls

METADATA = "169.254.169.254"


@pytest.mark.parametrize(
    "host",
    [
        METADATA, "169.254.0.1", "169.254.170.2", "fe80::1", "fe80::1%eth0", "[fe80::a9fe:a9fe]", "::ffff:169.254.169.254",
        "[::ffff:a9fe:a9fe]", "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::1", "100.100.100.200", "168.63.129.16",
        "fd00:ec2::254", "fd20:ce::254",
    ],
)  # fmt: skip
def test_x6_forbidden(host: str) -> None:
    assert forbidden(host)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "8.8.8.8", "fd00::1", "es", "es.svc", ""],
)  # fmt: skip
def test_x6_allowed(host: str) -> None:
    """A cluster's own services are at private addresses, a sidecar's at loopback."""
    assert not forbidden(host)


@pytest.mark.parametrize(
    "url", [f"http://{METADATA}/latest/", f"https://me@{METADATA}:8443/", "http://[::ffff:a9fe:a9fe]/"]
)
async def test_x6_an_address_of_a_metadata_service_is_refused_without_asking_anybody(url: str) -> None:
    async with FarSide() as way:
        for proxy in (None, ProxyConfig(url=way.url)):
            caught = await failure(url, proxy=proxy)
            assert (type(caught), caught.reason) == (Blocked, "address")
        assert not way.connections


@pytest.fixture
def leads_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every connection, wherever it leads in truth, look as if it led to the metadata service.

    That is what a name does whose answer changes between a look-up and the connection (rebinding).
    """

    def peer(_: socket.socket) -> Any:
        return (METADATA, 80)

    monkeypatch.setattr(socket.socket, "getpeername", peer)


@pytest.mark.usefixtures("leads_inside")
@pytest.mark.parametrize("secure", [False, True])
async def test_x6_a_name_that_leads_to_a_metadata_service_gets_no_byte(secure: bool) -> None:
    received: list[bytes] = []

    class Inside(FarSide):
        async def exchange(self, reader: Any, writer: Any) -> bool:
            received.append(await reader.read())
            return False

    async with Inside() as far:
        url = far.url.replace("http:", "https:") if secure else far.url
        url = url.replace("127.0.0.1", "localhost")
        async with client(tls=tls(ca="ca"), auth=AuthConfig(bearer=Secret.literal(CANARY))) as http:
            for _ in range(6):  # more than the pool has connections: those refused are given back
                with pytest.raises(Blocked) as caught:
                    await http.request("POST", url, b"events", {})
                assert caught.value.reason == "address"
                assert METADATA in str(caught.value)
                assert CANARY not in str(caught.value)
        await until(lambda: len(received) == 6, "all to have been closed")
    assert received == [b""] * 6, "closed at once, and not a byte before"


@pytest.mark.usefixtures("leads_inside")
async def test_x6_a_proxy_inside_gets_no_byte_either() -> None:
    async with FarSide() as way:
        for url in ("http://far.example/", "https://far.example/"):
            caught = await failure(url, proxy=ProxyConfig(url=way.url))
            assert (type(caught), caught.reason) == (Blocked, "address")
        assert not way.requests


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_x6_a_redirect_inside_is_not_followed(status: int) -> None:
    async with FarSide() as far, FarSide() as inside:
        for location in (f"http://{METADATA}/latest/meta-data/", inside.url):
            far.answer = Answer(status, b"", {"Location": location})
            caught = await failure(far.url)
            assert (type(caught), caught.reason) == (Blocked, "redirect")
            assert METADATA not in str(caught)
        assert not inside.connections
        assert far.connections == 2


async def test_x6_each_connection_is_looked_at_not_the_first_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rebinding: the name led to a good address, then the connection ended, and it leads inside."""
    async with FarSide(server_tls()) as far, client(tls=tls(ca="ca")) as http:
        far.then(Answer(200, b"", {"Connection": "close"}))
        assert (await http.request("POST", far.url, b"", {})).status == 200
        monkeypatch.setattr(socket.socket, "getpeername", lambda _: (METADATA, 443))
        with pytest.raises(Blocked):
            await http.request("POST", far.url, b"", {})
        assert len(far.requests) == 1
