"""A real OpenSearch for tests: one node, which a test can kill, freeze, start again, and read.

It takes 13 s to start, so a run has one, made where it is asked for: tests use indexes of their own, and leave
settings as they found them.
"""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest_asyncio

from tests.helpers.process import Child, free_port, until
from tests.real.parts import maven
from tests.real.parts.build import cache

__all__ = ["OpenSearch", "opensearch"]

HEAP: Final = "400m"
START: Final = 180.0
"""Seconds; 13 on two idle cores."""


class OpenSearch:
    """One node of OpenSearch, without its security plug-in.

    Args:
        directory: holds data and log.
    """

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._directory = directory
        settings = {
            "transport.port": free_port(),
            "node.roles": "cluster_manager,data,ingest",
            # Its disk is that of the machine, whose fullness is none of a test's business.
            "cluster.routing.allocation.disk.threshold_enabled": "false",
            # A request of the size that managed services take is too large.
            "http.max_content_length": "1mb",
        }
        self.child = Child(
            "opensearch",
            [
                maven.java(maven.OPENSEARCH),
                f"-Xmx{HEAP}",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-cp",
                maven.classpath(maven.OPENSEARCH, cache()),
                Path(maven.__file__).parent / "opensearch" / "Node.java",
                directory / "node",
                self.port,
                *(f"{name}={value}" for name, value in settings.items()),
            ],
            directory,
        )

    async def start(self) -> None:
        """Start the node, and wait until it takes documents and has found its indexes again."""
        self.child.start()

        async def answers() -> bool:
            if not self.child.alive:
                raise RuntimeError(f"OpenSearch ended ({self.child.exit_code}):\n{self.child.tail()}")
            try:
                status, found = await self.ask("GET", "/_cluster/health")
            except (aiohttp.ClientError, OSError, TimeoutError):
                return False
            return status == 200 and found["status"] in {"green", "yellow"}

        await until(answers, "OpenSearch", timeout=START, every=0.25)

    def kill9(self) -> None:
        """Kill it as the kernel would."""
        self.child.kill()

    def freeze(self) -> None:
        """Let it hang: connections stand, nothing answers."""
        self.child.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.child.signal(signal.SIGCONT)

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Send one request; return its status and its JSON."""
        timeout = aiohttp.ClientTimeout(total=30)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, self.url + path, json=body) as answer,
        ):
            return answer.status, await answer.json(content_type=None)

    async def ok(self, method: str, path: str, body: Any = None) -> Any:
        """Send one request that must succeed."""
        status, found = await self.ask(method, path, body)
        assert status in {200, 201}, (status, found)
        return found

    async def count(self, index: str) -> int:
        """How many documents are in an index or in all that match a pattern; 0 without any."""
        await self.ask("POST", f"/{index}/_refresh?ignore_unavailable=true")
        status, found = await self.ask("GET", f"/{index}/_count?ignore_unavailable=true")
        return int(found["count"]) if status == 200 else 0

    async def documents(self, index: str) -> list[dict[str, Any]]:
        """Return all documents of an index or of all that match a pattern, each with `_id` and `_index` put in.

        In the order of their versions, for a store keeps no order of arrival.
        """
        await self.ask("POST", f"/{index}/_refresh?ignore_unavailable=true")
        found: list[dict[str, Any]] = []
        page = await self.ok("POST", f"/{index}/_search?scroll=1m", {"size": 5000, "sort": ["_doc"]})
        while page["hits"]["hits"]:
            found += [hit["_source"] | {"_id": hit["_id"], "_index": hit["_index"]} for hit in page["hits"]["hits"]]
            page = await self.ok("POST", "/_search/scroll", {"scroll": "1m", "scroll_id": page["_scroll_id"]})
        await self.ask("DELETE", "/_search/scroll", {"scroll_id": page["_scroll_id"]})
        return sorted(found, key=lambda document: document.get("version", 0))

    async def settings(self, **values: Any) -> None:
        """Set transient settings of the cluster; `__` stands for a dot, None takes one back."""
        transient = {re.sub("__", ".", name): value for name, value in values.items()}
        await self.ok("PUT", "/_cluster/settings", {"transient": transient})

    async def stop(self) -> None:
        """End it, and remove its data."""
        self.child.kill()
        shutil.rmtree(self._directory / "node", ignore_errors=True)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def opensearch(tmp_path_factory: Any) -> AsyncIterator[OpenSearch]:
    """One node for all tests that ask for it."""
    node = OpenSearch(tmp_path_factory.mktemp("opensearch"))
    try:
        await node.start()
        yield node
    finally:
        await node.stop()
