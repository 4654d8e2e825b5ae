"""A far side for tests of sinks over HTTP, and a fence around them."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.helpers.authorities import few_authorities, one_authority
from tests.helpers.farside import FarSide

__all__ = ["few_authorities", "one_authority"]


@pytest.fixture
async def far() -> AsyncIterator[FarSide]:
    async with FarSide() as server:
        yield server


@pytest.fixture(autouse=True)
def fence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no connection leave this machine, also where what should refuse it is broken."""
    loop: Any = asyncio.SelectorEventLoop
    connect = loop.sock_connect

    async def within(self: Any, sock: Any, address: Any) -> None:
        if not ipaddress.ip_address(address[0]).is_loopback:
            raise AssertionError(f"a connection to {address[0]} was begun")
        await connect(self, sock, address)

    monkeypatch.setattr(loop, "sock_connect", within)
