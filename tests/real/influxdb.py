"""A real InfluxDB 1.13 for tests: one server, which a test can kill, freeze, start again, and read.

It takes a second to start. It knows users (1.x), the write interface of version 2, InfluxQL and Flux.
"""

from __future__ import annotations

import base64
import csv
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
import pytest_asyncio

from tests.helpers.oracle import Sight
from tests.helpers.process import Child, free_port, until
from tests.real.parts.build import binary

__all__ = ["PASSWORD", "USER", "Influxdb", "influxdb"]

USER: Final = "eventer"
PASSWORD: Final = "right-password"
_ADMIN: Final = ("admin", "admin-password")
TLS: Final = Path(__file__).parents[1] / "sinks" / "tls"


class Influxdb:
    """One server, without TLS, or with one of the certificates of tests/sinks/tls.

    Args:
        directory: holds configuration, data and log.
        most_body: bytes of a write that is not too large.
    """

    def __init__(self, directory: Path, *, most_body: int = 2_000_000) -> None:
        self.directory = directory
        self.port = free_port()
        self.certificate = ""
        """Which certificate it shows from the next start on; empty: it speaks plain HTTP."""
        self._rpc = free_port()
        self._most_body = most_body
        self.child = Child("influxdb", [binary("influxd"), "-config", directory / "influxdb.conf"], directory)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, and wait until it takes points."""
        (self.directory / "influxdb.conf").write_text(self._configuration())
        key = self.directory / "key.pem"
        key.touch(mode=0o600)  # it takes no other
        key.write_bytes((TLS / "key.pem").read_bytes())
        self.child.start()

        async def answers() -> bool:
            if not self.child.alive:
                raise RuntimeError(f"InfluxDB ended ({self.child.exit_code}):\n{self.child.tail()}")
            try:
                status, _ = await self.ask("GET", "/ping")
            except (aiohttp.ClientError, OSError, TimeoutError):
                return False
            return status == 204

        await until(answers, "InfluxDB", every=0.1)
        await self.query(f"CREATE USER {_ADMIN[0]} WITH PASSWORD '{_ADMIN[1]}' WITH ALL PRIVILEGES")
        await self.query(f"CREATE USER {USER} WITH PASSWORD '{PASSWORD}'")

    def _configuration(self) -> str:
        directory = self.directory
        secure = f'https-enabled = true\nhttps-certificate = "{TLS / self.certificate}.pem"' if self.certificate else ""
        return f"""
            reporting-disabled = true
            bind-address = "127.0.0.1:{self._rpc}"
            [meta]
            dir = "{directory}/meta"
            [data]
            dir = "{directory}/data"
            wal-dir = "{directory}/wal"
            query-log-enabled = false
            [http]
            bind-address = "127.0.0.1:{self.port}"
            auth-enabled = true
            flux-enabled = true
            log-enabled = false
            max-body-size = {self._most_body}
            {secure}
            https-private-key = "{directory}/key.pem"
            [monitor]
            store-enabled = false
        """

    def kill9(self) -> None:
        """Kill it as the kernel would."""
        self.child.kill()

    def freeze(self) -> None:
        """Let it hang: connections stand, nothing answers."""
        self.child.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.child.signal(signal.SIGCONT)

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        """Send one request as the administrator; return its status and its text."""
        timeout = aiohttp.ClientTimeout(total=30)
        headers = {"Authorization": "Basic " + base64.b64encode(":".join(_ADMIN).encode()).decode()} | options.pop(
            "headers", {}
        )
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(ssl=False)) as session,
            session.request(method, self.url + path, headers=headers, **options) as answer,
        ):
            return answer.status, await answer.text()

    async def query(self, statement: str, database: str = "") -> list[dict[str, Any]]:
        """Run a statement of InfluxQL that must succeed; return the rows of all its series, tags put in."""
        status, text = await self.ask("POST", "/query", data={"q": statement, "db": database})
        assert status == 200, (status, text)
        (result,) = json.loads(text)["results"]
        assert "error" not in result, (statement, result)
        return [
            dict(zip(series["columns"], row, strict=True))
            | series.get("tags", {})
            | {"measurement": series.get("name")}
            for series in result.get("series", [])
            for row in series["values"]
        ]

    async def flux(self, program: str) -> list[dict[str, str]]:
        """Run a program in Flux that must succeed; return its rows, as texts."""
        headers = {"Content-Type": "application/vnd.flux", "Accept": "application/csv"}
        status, text = await self.ask("POST", "/api/v2/query?org=-", data=program, headers=headers)
        assert status == 200, (status, text)
        rows: list[dict[str, str]] = []
        for table in text.replace("\r\n", "\n").strip().split("\n\n"):
            rows += csv.DictReader(table.split("\n"))
        assert not any("error" in row for row in rows), rows
        return rows

    async def database(self, name: str, *, keeps: str = "INF", shards: str = "24h") -> str:
        """Make a database in which our user may write; return its name."""
        await self.query(f'CREATE DATABASE "{name}" WITH DURATION {keeps} REPLICATION 1 SHARD DURATION {shards}')
        await self.query(f'GRANT ALL ON "{name}" TO {USER}')
        return name

    async def count(self, database: str, measurement: str = "events") -> int:
        """How many points there are."""
        rows = await self.query(f'SELECT count("id") AS n FROM "{measurement}"', database)
        return int(rows[0]["n"]) if rows else 0

    async def points(self, database: str, measurement: str = "events") -> list[dict[str, Any]]:
        """Return all points, tags and fields alike, without those that are not there."""
        rows = await self.query(f'SELECT * FROM "{measurement}"', database)
        return [{name: value for name, value in row.items() if value is not None} for row in rows]

    async def sights(self, database: str) -> list[Sight]:
        """Return what it holds, as the oracle takes it; in order of version, for a store keeps no order of arrival."""
        found = [msgspec.convert(point, Sight) for point in await self.points(database)]
        return sorted(found, key=lambda sight: sight.version)

    async def stop(self) -> None:
        """End it."""
        self.child.kill()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def influxdb(tmp_path_factory: Any) -> AsyncIterator[Influxdb]:
    """One server for all tests that ask for it; each makes databases of its own."""
    server = Influxdb(tmp_path_factory.mktemp("influxdb"))
    try:
        await server.start()
        yield server
    finally:
        await server.stop()
