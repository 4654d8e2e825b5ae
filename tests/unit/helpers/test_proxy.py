"""The proxy does to a connection what its mode says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.helpers.process import until
from tests.helpers.proxy import Mode, Proxy


@asynccontextmanager
async def echo_behind_proxy() -> AsyncIterator[tuple[Proxy, list[bytes]]]:
    """A server that answers what it gets, and the proxy before it."""
    got: list[bytes] = []
    tasks: set[asyncio.Task[None]] = set()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            while block := await reader.read(4096):
                got.append(block)
                writer.write(block)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with Proxy(server.sockets[0].getsockname()[1]) as proxy:
        yield proxy, got
    server.close()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_passes_both_ways_and_counts() -> None:
    async with echo_behind_proxy() as (proxy, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.write_eof()
        assert await reader.read() == b""
        assert (proxy.connections, proxy.sent, proxy.answered) == (1, 5, 5)
        writer.transport.abort()


async def test_cut_after_lets_exactly_that_much_through() -> None:
    async with echo_behind_proxy() as (proxy, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        proxy.cut_after(3)
        writer.write(b"hello")
        assert await reader.read() == b"hel"
        writer.transport.abort()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"again")
        assert await reader.readexactly(5) == b"again"
        writer.transport.abort()


async def test_frozen_connection_stays_open_and_goes_on() -> None:
    async with echo_behind_proxy() as (proxy, got):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        proxy.freeze_after(2)
        writer.write(b"hello")
        assert await reader.readexactly(2) == b"he"
        await proxy.frozen()
        writer.write(b" world")
        late = asyncio.create_task(reader.readexactly(9))
        for _ in range(50):  # rounds of the event loop: time enough for a proxy that does not stop
            await asyncio.sleep(0)
        assert not late.done()
        assert got == [b"hello"]
        proxy.mode = Mode.PASS
        assert await late == b"llo world"
        writer.transport.abort()


async def test_cut_resets() -> None:
    async with echo_behind_proxy() as (proxy, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"x")
        await reader.readexactly(1)
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        writer.transport.abort()


async def test_refuses_new_connections_only() -> None:
    async with echo_behind_proxy() as (proxy, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"x")
        await reader.readexactly(1)
        proxy.mode = Mode.REFUSE
        fresh, other = await asyncio.open_connection("127.0.0.1", proxy.port)
        with pytest.raises(ConnectionResetError):
            await fresh.readexactly(1)
        writer.write(b"y")
        assert await reader.readexactly(1) == b"y"
        writer.transport.abort()
        other.transport.abort()


async def test_drops_the_answer_but_not_the_request() -> None:
    async with echo_behind_proxy() as (proxy, got):
        proxy.mode = Mode.DROP_ANSWER
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"order")
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        assert got == [b"order"]
        assert proxy.dropped == 1
        writer.transport.abort()


async def test_drips_byte_by_byte() -> None:
    async with echo_behind_proxy() as (proxy, _):
        proxy.drip = 0.001
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"hello")
        assert len(await reader.read(5)) == 1
        await until(lambda: proxy.answered == 5, "all bytes")
        writer.transport.abort()


async def test_a_forgotten_connection_is_silent_and_new_ones_are_not() -> None:
    async with echo_behind_proxy() as (proxy, got):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        proxy.forget_after = 1e-9
        writer.write(b"into the void")
        await until(lambda: proxy.forgotten == 1, "the bytes to be swallowed")
        proxy.forget_after = 0.0
        writer.write(b"still nothing")
        later, other = await asyncio.open_connection("127.0.0.1", proxy.port)
        other.write(b"another")
        assert await later.readexactly(7) == b"another"
        assert got == [b"before", b"another"]
        assert proxy.forgotten == 1
        assert not reader.at_eof()
        for each in (writer, other):
            each.transport.abort()
