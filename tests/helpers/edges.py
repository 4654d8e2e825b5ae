"""Edges of nodes that a daemon in this process has told, and a wait for all of them."""

from __future__ import annotations

from eventer.demo.apiserver import ApiServer
from eventer.journal import StreamKey
from tests.helpers.inprocess import Life, Site
from tests.helpers.until import until

__all__ = ["NODES", "stored", "told"]

NODES = StreamKey("prod", "nodes")


def told(site: Site) -> list[tuple[str, str, str, str]]:
    """Return (node, what, status, state) of each edge in the file, in order."""
    return [
        (
            record["name"],
            record.get("condition") or record["reason"],
            record.get("status", ""),
            record.get("state", ""),
        )
        for record in site.records("node")
    ]


async def stored(life: Life, server: ApiServer) -> None:
    """Wait until everything that the server has of nodes is committed and delivered."""
    await until(lambda: life.journal.stream(NODES).position == server.nodes.store.version, "all nodes")
    await life.settled("out")
