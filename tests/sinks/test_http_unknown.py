"""`sinks._http`: of a request that failed, whether the far side may have taken it all the same."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from eventer.errors import Retry
from tests.helpers.farside import Answer, FarSide
from tests.sinks.test_http import client, failure
from tests.sinks.test_proxy import Tunnel, proxy
from tests.sinks.test_tls import server_tls, tls


async def unknown(url: str, *, within: float | None = None, **options: Any) -> bool:
    caught = await failure(url, within=within, **options)
    assert isinstance(caught, Retry)
    return caught.unknown


class Mute(FarSide):
    """Takes connections, and says nothing in them, or as much as `says`."""

    says: Callable[[asyncio.StreamWriter], None] | None = None

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if self.says is not None:
            self.says(writer)
            return False
        await reader.read()
        return False


@pytest.mark.parametrize(
    "answer",
    [
        Answer(hang=True),
        Answer(cut=0),
        Answer(cut=10),
        Answer(200, b"x" * 100, cut=90),
        Answer(raw=b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
        Answer(drip=b"HTTP/1.1 200 OK\r\nX-Slow: "),
    ],
)
async def test_what_was_sent_and_not_answered_may_have_arrived(far: FarSide, answer: Answer) -> None:
    far.answer = answer
    assert await unknown(far.url, within=0.2 if answer.hang or answer.drip else None)
    assert len(far.requests) == 1


async def test_what_was_sent_before_the_connection_was_reset_may_have_arrived(far: FarSide) -> None:
    far.before = far.abort
    assert await unknown(far.url)


async def test_what_was_sent_in_part_may_have_arrived() -> None:
    """Nobody knows what a far side makes of half a request."""
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes connections, and reads nothing
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        async with client() as http:
            with pytest.raises(Retry) as caught:
                await http.request("POST", url, b"x" * (32 << 20), {}, within=0.2)
    assert caught.value.unknown


@pytest.mark.parametrize(("status", "expected"), [(408, False), (425, False), (429, False), (500, False), (502, True), (503, False), (504, True)])  # fmt: skip
async def test_an_answer_tells_unless_it_comes_from_somebody_on_the_way(
    far: FarSide, status: int, *, expected: bool
) -> None:
    far.answer = Answer(status, b"why")
    assert await unknown(far.url) is expected


@pytest.mark.parametrize("answer", [Answer(hang=True), Answer(cut=0), Answer(502)])
async def test_what_only_asks_changes_nothing_at_the_far_side(far: FarSide, answer: Answer) -> None:
    far.answer = answer
    async with client() as http:
        with pytest.raises(Retry) as caught:
            await http.request("GET", far.url, b"", {}, within=0.2 if answer.hang else None)
    assert not caught.value.unknown
    assert len(far.requests) == 1


async def test_where_nobody_listens_nothing_was_sent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert not await unknown(f"http://127.0.0.1:{taken.getsockname()[1]}/")


async def test_where_a_name_is_not_resolved_in_time_nothing_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
    assert not await unknown("http://far.example/", within=0.1)


@pytest.mark.parametrize(
    "says",
    [
        None,
        asyncio.StreamWriter.write_eof,
        lambda writer: writer.transport.abort(),
        lambda writer: writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    ],
    ids=["hangs", "closes", "resets", "no TLS"],
)
async def test_where_a_handshake_fails_nothing_was_sent(says: Callable[[asyncio.StreamWriter], None] | None) -> None:
    async with Mute() as far:
        far.says = says
        url = far.url.replace("http:", "https:")
        assert not await unknown(url, within=0.2 if says is None else None, tls=tls(ca="ca"))
        assert far.connections == 1


async def test_over_tls_it_is_the_same() -> None:
    async with FarSide(server_tls()) as far:
        far.answer = Answer(hang=True)
        assert await unknown(far.url, within=0.5, tls=tls(ca="ca"))
        assert len(far.requests) == 1


async def test_what_waits_for_a_connection_in_vain_was_not_sent(far: FarSide) -> None:
    far.answer = Answer(hang=True)
    async with client(timeout=3600.0) as http:
        others = [asyncio.create_task(http.request("POST", far.url, b"{}", {})) for _ in range(4)]
        while len(far.requests) < 4:
            await asyncio.sleep(0)
        with pytest.raises(Retry) as caught:
            await http.request("POST", far.url, b"{}", {}, within=0.1)
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)
    assert not caught.value.unknown
    assert len(far.requests) == 4


class Tired(FarSide):
    """Answers one request in each connection, and closes it when the first byte of the next one is there."""

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        await super().exchange(reader, writer)
        await reader.readexactly(1)
        writer.transport.abort()
        return False


async def test_a_kept_connection_that_is_closed_at_that_moment_leaves_it_open() -> None:
    """The far side need not have read it, yet it may have. httpcore sends nothing a second time by itself."""
    async with Tired() as far, client() as http:
        await http.request("POST", far.url, b"first", {})
        with pytest.raises(Retry) as caught:
            await http.request("POST", far.url, b"second", {})
        assert caught.value.unknown
        assert (far.connections, [request.body for request in far.requests]) == (1, [b"first"])
        await http.request("POST", far.url, b"second", {})
        assert (far.connections, [request.body for request in far.requests]) == (2, [b"first", b"second"])


async def test_a_kept_connection_that_was_closed_before_is_not_used(far: FarSide) -> None:
    async with client() as http:
        await http.request("POST", far.url, b"first", {})
        await far.abort()
        while far.open:
            await asyncio.sleep(0)
        await http.request("POST", far.url, b"second", {})
    assert (far.connections, [request.body for request in far.requests]) == (2, [b"first", b"second"])


@pytest.mark.parametrize("answer", [Answer(502), Answer(504), Answer(hang=True), Answer(cut=0)])
async def test_what_a_proxy_does_not_connect_was_not_sent(answer: Answer) -> None:
    async with Tunnel() as way:
        way.answer = answer
        within = 0.2 if answer.hang else None
        assert not await unknown("https://far.example/", within=within, proxy=proxy(way), tls=tls(ca="ca"))
        assert [request.method for request in way.requests] == ["CONNECT"]


async def test_what_went_through_a_proxy_may_have_arrived() -> None:
    async with Tunnel() as way, FarSide(server_tls()) as far:
        far.answer = Answer(cut=0)
        assert await unknown(far.url, proxy=proxy(way), tls=tls(ca="ca"))
        assert len(far.requests) == 1


async def test_a_plain_request_that_the_proxy_took_may_have_arrived() -> None:
    async with FarSide() as way:
        way.answer = Answer(504)
        assert await unknown("http://far.example/", proxy=proxy(way))
