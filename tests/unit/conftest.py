"""What many tests begin with: the fake API server, and a directory for a daemon in this process that reads from it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventer.demo.apiserver import ApiServer
from tests.helpers.authorities import few_authorities, one_authority
from tests.helpers.inprocess import Site

__all__ = ["few_authorities", "one_authority"]


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    server = ApiServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def site(tmp_path: Path, server: ApiServer) -> Site:
    return Site(tmp_path, server)
