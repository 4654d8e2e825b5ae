"""A daemon with a mirror, against the fake API server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from eventer.demo.apiserver import ApiServer
from tests.helpers.farside import FarSide
from tests.helpers.inprocess import Site
from tests.helpers.pods import NAME
from tests.helpers.telling import notify


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    server = ApiServer()
    server.configmaps.create(NAME)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def site(tmp_path: Path, server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site(tmp_path, server)
    site.document["state"]["mirror"] = {"configmap": NAME, "namespace": "default"}
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    return site


@pytest.fixture
def logged() -> Any:
    with capture_logs() as lines:
        yield lines


@pytest.fixture
async def far() -> AsyncIterator[FarSide]:
    async with FarSide() as made:
        yield made


@pytest.fixture
def chat(site: Site, far: FarSide) -> Site:
    """The site with a notifier."""
    notify(site, far)
    return site
