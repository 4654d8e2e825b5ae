"""Row X9: the HTTP port, which anybody in the cluster may reach, under attack."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from urllib.parse import urlsplit

import pytest

from eventer.control.server import MOST
from eventer.demo.apiserver import ApiServer
from tests.helpers.inprocess import Life, Site
from tests.helpers.until import until

CANARY = "canary-of-an-event"


def port_of(life: Life) -> int:
    port = urlsplit(life.url).port
    assert port is not None
    return port


async def test_x9_thousands_of_connections_that_say_nothing(site: Site, server: ApiServer) -> None:
    """2,000 in place of 10,000, which the descriptors of a test would not allow."""
    async with site.running() as life:
        before = len(os.listdir("/proc/self/fd"))
        held: list[asyncio.StreamWriter] = []
        for number in range(2_000):
            _, writer = await asyncio.open_connection("127.0.0.1", port_of(life))
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ")  # and never the end of it
            held.append(writer)
            if len(held) > 200:  # the server has let go of those long ago
                old = held.pop(0)
                old.transport.abort()
            if number % 500 == 0:
                assert await life.get("/livez") == (200, "ok\n")
        assert (await life.get("/readyz"))[0] == 200
        assert (await life.get("/metrics"))[0] == 200
        assert len(os.listdir("/proc/self/fd")) <= before + 200 + MOST + 20
        server.create("meanwhile")
        await site.has("meanwhile")
        for writer in held:
            writer.transport.abort()
        await until(lambda: len(os.listdir("/proc/self/fd")) <= before + MOST, "the descriptors to be free again")
    assert site.balanced() == 1


@pytest.mark.parametrize("seed", range(3))
async def test_x9_garbage_is_answered_or_cut_off_and_shows_no_event(site: Site, server: ApiServer, seed: int) -> None:
    dice = random.Random(seed)
    pieces = [b"GET ", b"POST /metrics", b" HTTP/1.1", b"\r\n", b"\r\n\r\n", b"Host: x", b"Content-Length: 99999999999",
              b"Transfer-Encoding: chunked", b"/../../etc/passwd", b"\0", b"\xff\xfe", b"/healthz?a=%00", b"ffffffff\r\n"]  # fmt: skip
    async with site.running() as life:
        server.create("one", message=CANARY)
        await site.has("one")
        for _ in range(150):
            data = b"".join(dice.choice(pieces) for _ in range(dice.randrange(1, 12))) + dice.randbytes(8)
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(life))
            writer.write(data)
            with contextlib.suppress(OSError):
                writer.write_eof()
                async with asyncio.timeout(5):
                    assert CANARY.encode() not in await reader.read()
            writer.transport.abort()
        large = b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(life))
        with contextlib.suppress(OSError):
            writer.write(large)
            assert (await reader.read()).startswith(b"HTTP/1.1 400")
        writer.transport.abort()
        assert await life.get("/livez") == (200, "ok\n")
    assert site.balanced() == 1
