"""One cluster under two sources: refused where both would export the same Events."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from eventer.demo.apiserver import ApiServer
from tests.helpers.inprocess import Site
from tests.helpers.until import until


@pytest.fixture
async def behind(server: ApiServer) -> AsyncIterator[ApiServer]:
    """The same cluster by another address."""
    other = ApiServer()
    other.uid, other.store = server.uid, server.store
    await other.start()
    yield other
    await other.stop()


@pytest.fixture
def site(tmp_path: Path, server: ApiServer, behind: ApiServer) -> Site:
    site = Site(tmp_path, server)
    (first,) = site.document["sources"]
    second = tmp_path / "second"
    second.mkdir()
    kubeconfig = behind.write_kubeconfig(second / "kubeconfig")
    site.document["sources"] = [first, {"cluster": "twin", "kubernetes": {"kubeconfig": str(kubeconfig)}}]
    return site


def options(site: Site, number: int) -> dict[str, Any]:
    kubernetes: dict[str, Any] = site.document["sources"][number]["kubernetes"]
    return kubernetes


@pytest.mark.parametrize("api", ["core", "events"])
async def test_w26_the_same_events_under_two_names_are_read_once(site: Site, server: ApiServer, api: str) -> None:
    options(site, 1)["api"] = api
    for number in range(5):
        server.create(f"e{number}")
    async with site.running(watching=False) as life:
        await until(lambda: life.view.waiting, "one of the two to be refused")
        ((refused, why),) = life.view.waiting.items()
        other = ({"prod", "twin"} - {refused}).pop()
        assert f"the same cluster as {other}" in why and "twice" in why
        server.create("live")
        await site.has(*(f"e{number}" for number in range(5)), "live")
        status, text = await life.get("/readyz")
        assert status == 503 and why in text
    assert max(Counter(site.names()).values()) == 1
    assert site.balanced() == 6


async def test_w26_who_had_the_cluster_keeps_it(site: Site, server: ApiServer, behind: ApiServer) -> None:
    """Also when the other one is reached first."""
    twin = site.document["sources"].pop()
    server.create("first")
    async with site.running():
        await site.has("first")
    site.document["sources"].insert(0, twin)
    port = server.port
    await server.stop()
    behind.create("second")
    async with site.running(watching=False) as life:
        await until(lambda: "the same cluster as prod" in life.view.waiting.get("twin", ""))
        await server.start(port)
        await site.has("second")
        assert not [key for key in life.view.streams if key.cluster == "twin"]
    assert site.names() == ["first", "second"]
    site.balanced()


async def test_namespaces_of_one_cluster_may_have_sources_of_their_own(site: Site, server: ApiServer) -> None:
    options(site, 0)["namespaces"] = ["red"]
    options(site, 1)["namespaces"] = ["blue"]
    async with site.running() as life:
        server.create("r", "red")
        server.create("b", "blue")
        await until(lambda: len(site.records()) == 2)
        assert not life.view.waiting
    assert {(record["event"], record["cluster"]) for record in site.records()} == {
        ("red/r", "prod"),
        ("blue/b", "twin"),
    }
    assert site.balanced() == 2


async def test_w26_of_two_that_begin_to_overlap_the_first_goes_on(site: Site, server: ApiServer) -> None:
    options(site, 0)["namespaces"] = ["red"]
    options(site, 1)["namespaces"] = ["blue"]
    async with site.running():
        server.create("r", "red")
        await until(lambda: len(site.records()) == 1)
    options(site, 1)["namespaces"] = ["blue", "red"]
    async with site.running(watching=False) as life:
        await until(lambda: "the same cluster as prod" in life.view.waiting.get("twin", ""))
        server.create("r2", "red")
        await until(lambda: len(site.records()) == 2)
    assert [record["cluster"] for record in site.records()] == ["prod", "prod"]
    assert site.balanced() == 2


async def test_two_clusters_are_two(site: Site, server: ApiServer, behind: ApiServer) -> None:
    behind.uid = "another"
    async with site.running() as life:
        server.create("a")
        await until(lambda: len(site.records()) == 2)
        assert not life.view.waiting
    assert site.balanced() == 2
