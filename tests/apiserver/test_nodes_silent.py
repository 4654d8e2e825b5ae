"""Detectors that fall silent, from the fake API server to a file: each silence once, and its end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from eventer.demo.apiserver import ApiServer
from tests.helpers.edges import NODES, stored, told
from tests.helpers.inprocess import Site

DAY = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def site(tmp_path: Path, server: ApiServer) -> Site:
    return Site(tmp_path, server, nodes=True)


def speaks(server: ApiServer, hours: float, *silent: str) -> None:
    """Let all writers of the node n1 be heard of at that time of the day, but for those of some conditions."""
    server.nodes.now = lambda: DAY + timedelta(hours=hours)
    server.nodes.heartbeat("n1", silent=silent)


async def test_a_detector_that_falls_silent_is_told_once_also_across_restarts(site: Site, server: ApiServer) -> None:
    """Whether a watch finds out or a list; then that it is heard of again, once."""
    server.nodes.now = lambda: DAY
    server.nodes.add("n1", {"Ready": "True", "KernelDeadlock": "False", "NetworkUnavailable": "False"})
    async with site.running() as life:
        await stored(life, server)
        for hours in (1, 1.1, 1.2, 1.3, 1.4, 1.5):
            speaks(
                server, hours, *(("NetworkUnavailable",) if hours == 1 else ("NetworkUnavailable", "KernelDeadlock"))
            )
        await stored(life, server)
    assert told(site) == [("n1", "DetectorSilent", "True", "firing")]
    for hours, compacted in ((2, False), (3, True)):
        speaks(server, hours, "NetworkUnavailable", "KernelDeadlock")
        if compacted:
            server.nodes.store.compact()
        async with site.running() as life:
            await stored(life, server)
    assert len(told(site)) == 1
    async with site.running() as life:
        for hours in (4, 4.1):
            speaks(server, hours, "NetworkUnavailable")
        await stored(life, server)
        books = life.journal.stream(NODES)
    silent, heard = site.records("node")
    assert (heard["reason"], heard["condition"], heard["state"]) == ("DetectorHeard", "DetectorSilent", "resolved")
    assert silent["since"] == "2026-01-02T01:00:00Z"
    assert silent["component"] == "kubelet"  # who wrote all of it here
    assert books.received == books.seen + books.appended
    site.balanced()


async def test_the_first_list_tells_a_silence_that_is_there_and_a_filter_may_drop_it(
    site: Site, server: ApiServer
) -> None:
    server.nodes.now = lambda: DAY
    server.nodes.add("n1", {"Ready": "True", "KernelDeadlock": "True"})
    speaks(server, 1)
    speaks(server, 400, "KernelDeadlock")
    async with site.running() as life:
        await stored(life, server)
    assert told(site) == [
        ("n1", "KernelDeadlock", "True", "unknown"),
        ("n1", "DetectorSilent", "True", "firing"),
    ]
    site.document["filter"] = [{"drop": {"condition": "DetectorSilent"}}]
    async with site.running() as life:
        speaks(server, 401)
        await stored(life, server)
        assert life.journal.stream(NODES).filtered == 1
    assert told(site)[2:] == [("n1", "KernelDeadlock", "True", "firing")]
    site.balanced()
