"""Rows about a store with identity: a real OpenSearch that dies, is full, refuses, or is read again.

What it holds at the end is compared by `id` with what the API server acknowledged: nothing is missing,
and nothing is there twice, whatever was repeated on the way.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from sinks._elasticsearch_template import Server, template
from tests.helpers.daemon import Daemon
from tests.helpers.oracle import Sight, judge
from tests.helpers.process import free_port, until
from tests.helpers.writer import Truth, Writer
from tests.real.conftest import MakeDaemon
from tests.real.controlplane import ControlPlane
from tests.real.opensearch import OpenSearch
from tests.real.rows import end_well, scale, settled, source, truth_of, write

SOON = {f"eventer.delivery.breaker:Pace.{name}": 2.0 for name in ("retry_cap", "probe_base", "probe_cap")}
"""How often what fails is tried again: up to a minute otherwise, and what is blocked every one to five minutes."""
TLS = Path(__file__).parents[1] / "sinks/tls"


def store(node: OpenSearch, index: str, **options: Any) -> dict[str, Any]:
    """Return an entry of `sinks:`."""
    return {"kind": "elasticsearch", "url": node.url, "index": index, "timeout": "5s"} | options


async def held(node: OpenSearch, index: str) -> list[Sight]:
    """Return what the store holds, as the oracle takes it; each document under its own id."""
    documents = await node.documents(index)
    assert [document["_id"] for document in documents if document["_id"] != document["id"]] == []
    return [msgspec.convert(document, Sight) for document in documents]


async def all_there(
    node: OpenSearch, index: str, truth: Mapping[str, Truth], daemon: Daemon, *, sink: str = "search"
) -> None:
    """Wait until the sink has settled everything, and compare the store with the truth."""
    # The file first: only then has the daemon read it all.
    assert (await settled(truth, daemon.sights, exact=True)).faults() == []

    async def even() -> bool:
        books = await daemon.books()
        return books.cursors.get(sink) == books.head and not books.letters.get(sink, {}).get("parked")

    await until(even, "the sink to be settled", timeout=90)
    verdict = judge(truth, await held(node, index), exact=True)
    assert verdict.faults(repeats=0) == []
    assert verdict.records > 0


async def begun(
    plane: ControlPlane, daemons: MakeDaemon, name: str, sink: dict[str, Any], *, healthy: Sequence[str] = ()
) -> tuple[Daemon, Writer]:
    """Start a daemon with this sink beside a file, and further files of these names, on a namespace of its own."""
    await plane.namespace(name)
    daemon = daemons(sources=[source(plane, namespaces=[name])], scaled=SOON)
    daemon.config["sinks"] |= {"search": sink} | {other: daemon.file_sink(other) for other in healthy}
    await daemon.start()
    return daemon, Writer(plane.api, seed=11, namespaces=(name,))


async def blocked(daemon: Daemon) -> None:
    """Wait until the sink says that a person must act."""

    async def says() -> bool:
        return await daemon.metric("eventer_sink_state", sink="search", state="blocked") == 1

    await until(says, "the sink to be blocked")


async def test_each_document_once_though_store_and_daemon_are_killed_under_load(
    plane: ControlPlane, daemons: MakeDaemon, opensearch: OpenSearch
) -> None:
    """S1, S2, S5, S9 for this sink, beside two healthy ones.

    Killed at full load, in place of 500 events/s for 10 minutes; then frozen.
    """
    index = "killed-{yyyy.MM.dd}"
    sink = store(opensearch, index, template=True, timeout="2s")
    daemon, writer = await begun(plane, daemons, "os-killed", sink, healthy=["second"])
    load = scale(400, 30_000)
    await write(writer, load)
    await until(lambda: _some(opensearch, "killed-*"), "the first documents")
    writing = asyncio.create_task(write(writer, load))
    opensearch.kill9()
    await writing
    truth = await truth_of(plane, writer, "os-killed")
    assert (await settled(truth, daemon.sights, exact=True)).faults() == []  # the sinks beside it go on

    async def even() -> bool:
        books = await daemon.books()
        return books.cursors["second"] == books.head > books.cursors["search"]

    await until(even, "the second healthy sink to have everything")
    daemon.kill9()
    await daemon.start()
    await opensearch.start()
    writing = asyncio.create_task(write(writer, load))
    await until(lambda: _some(opensearch, "killed-*", load + 1), "more documents")
    opensearch.freeze()
    await writing
    await write(writer, 20)  # what went before may be there already

    async def timed_out() -> bool:
        return await daemon.metric("eventer_sink_sends_total", sink="search", result="retry:timeout") > 0

    await until(timed_out, "a send without an answer")
    daemon.kill9()
    opensearch.thaw()
    await daemon.start()
    truth = await truth_of(plane, writer, "os-killed")
    await all_there(opensearch, "killed-*", truth, daemon)
    await end_well(daemon, truth, exact=True)


async def _some(node: OpenSearch, index: str, least: int = 1) -> bool:
    return await node.count(index) >= least


async def test_s7_disks_too_full_block_the_sink_until_they_are_not(
    plane: ControlPlane, daemons: MakeDaemon, opensearch: OpenSearch
) -> None:
    """S7. The flood-stage watermark makes indexes read-only; the cluster itself lifts that when there is room."""
    daemon, writer = await begun(plane, daemons, "os-full", store(opensearch, "full"))
    await write(writer, 20)
    await until(lambda: _some(opensearch, "full", 20), "the first documents")
    disk = "cluster__routing__allocation__disk__"
    marks = [f"{disk}watermark__{mark}" for mark in ("low", "high", "flood_stage")]

    async def read_only() -> bool:
        return "read_only_allow_delete" in str(await opensearch.ok("GET", "/full/_settings"))

    async def lifted() -> bool:
        return not await read_only()

    try:
        await opensearch.settings(
            **dict.fromkeys(marks, "1000000gb"),
            **{f"{disk}threshold_enabled": True},
            cluster__info__update__interval="10s",
        )
        await until(read_only, "the watermark to be noticed")
        await write(writer, 50)
        await blocked(daemon)
        assert await opensearch.count("full") == 20
        books = await daemon.books()
        assert books.outcome("search", "dead") == books.outcome("search", "parked") == 0
        assert "Delete old indexes or add space" in str(daemon.log())
    finally:
        await opensearch.settings(**dict.fromkeys(marks, "1b"))
        await until(lifted, "the cluster to lift its blocks")
        # OpenSearch leaves this one behind; documents that make their index are let through all the same.
        await opensearch.ok("PUT", "/_cluster/settings", {"persistent": {"cluster.blocks.create_index": None}})
        await opensearch.settings(
            **dict.fromkeys([*marks, f"{disk}threshold_enabled", "cluster__info__update__interval"])
        )
    truth = await truth_of(plane, writer, "os-full")
    await all_there(opensearch, "full", truth, daemon)
    await end_well(daemon, truth, exact=True)


async def strict(node: OpenSearch, index: str, *, without: str = "", only_time: bool = False) -> None:
    """Make an index that takes no field that it does not know."""
    server = Server(product="opensearch", version=(3, 3))
    mappings = template(server, index, "eventer", {}, stream=False)["template"]["mappings"] | {"dynamic": "strict"}
    mappings["properties"].pop(without, None)
    if only_time:
        mappings["properties"] = {"@timestamp": {"type": "date"}}
    await node.ok("PUT", f"/{index}", {"mappings": mappings})


async def test_s6_what_a_strict_mapping_refuses_are_dead_letters_and_nothing_else(
    plane: ControlPlane, daemons: MakeDaemon, opensearch: OpenSearch
) -> None:
    """S6. One event in 20 has a field that the index does not know."""
    await strict(opensearch, "strict", without="action")
    daemon, writer = await begun(plane, daemons, "os-strict", store(opensearch, "strict"))
    await write(writer, 190)
    refused = {(await writer.create(series=True)).uid for _ in range(10)}
    truth = await truth_of(plane, writer, "os-strict")
    assert (await settled(truth, daemon.sights, exact=True)).faults() == []  # the refused ones were written last
    await all_there(opensearch, "strict", {uid: item for uid, item in truth.items() if uid not in refused}, daemon)
    assert await opensearch.count("strict") == 190
    books = await daemon.books()
    assert books.outcome("search", "dead") == 10
    await end_well(daemon, truth, exact=True)
    assert daemon.journal().outcome("search", "delivered") == 190


async def test_an_index_that_refuses_everything_blocks_and_buries_few(
    plane: ControlPlane, daemons: MakeDaemon, opensearch: OpenSearch
) -> None:
    """Most of 400 events wait until the mapping is mended; at most 101 were given up before that was seen."""
    await strict(opensearch, "closed-mind", only_time=True)
    daemon, writer = await begun(plane, daemons, "os-refused", store(opensearch, "closed-mind"))
    await write(writer, 400)
    await blocked(daemon)
    truth = await truth_of(plane, writer, "os-refused")
    await opensearch.ok("PUT", "/closed-mind/_mapping", {"dynamic": True})

    async def even() -> bool:
        books = await daemon.books()
        return books.cursors["search"] == books.head == 400

    await until(even, "the rest to be delivered")
    books = await daemon.books()
    assert books.faults() == []
    dead = books.outcome("search", "dead")
    assert 0 < dead <= 101
    there = {sight.entity for sight in await held(opensearch, "closed-mind")}
    assert len(there) == 400 - dead
    assert there <= set(truth)
    await end_well(daemon, truth, exact=True)


async def test_s11_only_what_is_for_an_index_that_cannot_be_waits(
    plane: ControlPlane, daemons: MakeDaemon, opensearch: OpenSearch
) -> None:
    """S11 for this sink: an index that is not there and is not made by itself, while another takes events."""
    await opensearch.settings(action__auto_create_index="false")
    try:
        daemon, writer = await begun(plane, daemons, "os-absent", store(opensearch, "absent-{yyyy.MM}"))
        made = await write(writer, 30)

        async def parked() -> bool:
            return (await daemon.books()).outcome("search", "parked") == 30

        await until(parked, "all to be parked")
        assert (await daemon.books()).faults() == []
    finally:
        await opensearch.settings(action__auto_create_index=None)
    truth = await truth_of(plane, writer, "os-absent")
    assert len(truth) == len(made)
    await all_there(opensearch, "absent-*", truth, daemon)
    await end_well(daemon, truth, exact=True)


async def test_s7_a_request_that_is_too_large_goes_in_halves(
    plane: ControlPlane, daemons: MakeDaemon, opensearch: OpenSearch
) -> None:
    """S7. 413: the node takes 1 MB, the sink was told 16 MiB."""
    batch = {"bytes": "16MiB", "count": 200, "age": "1m"}  # all in one, however slowly they are written
    daemon, writer = await begun(plane, daemons, "os-large", store(opensearch, "large", batch=batch))
    await write(writer, 200, message=lambda number: f"{number} " * 2000)
    truth = await truth_of(plane, writer, "os-large")
    await all_there(opensearch, "large", truth, daemon)
    halved = await daemon.metric("eventer_sink_sends_total", sink="search", result="rejected:too_large")
    assert halved > 0
    assert (await daemon.books()).outcome("search", "dead") == 0
    await end_well(daemon, truth, exact=True)


class Gate:
    """TLS and a password in front of the node, in the place of its security plug-in."""

    def __init__(self, node: OpenSearch, password: str) -> None:
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.password = password
        self.certificate = "good"
        self.denied = 0
        self._node = node
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        application = web.Application(client_max_size=1 << 24)
        application.router.add_route("*", "/{path:.*}", self._pass)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(TLS / f"{self.certificate}.pem", TLS / "key.pem")
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=context, reuse_port=True).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _pass(self, request: web.Request) -> web.Response:
        wanted = base64.b64encode(f"eventer:{self.password}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {wanted}":
            self.denied += 1
            return web.Response(status=401, text="Unauthorized")
        headers = {"Content-Type": request.headers.get("Content-Type", "application/json")}
        async with (
            aiohttp.ClientSession(auto_decompress=True) as session,
            session.request(
                request.method, self._node.url + request.raw_path, data=await request.read(), headers=headers
            ) as answer,
        ):
            return web.Response(status=answer.status, body=await answer.read())


@pytest.fixture
async def gate(opensearch: OpenSearch) -> AsyncIterator[Gate]:
    made = Gate(opensearch, "first")
    try:
        yield made
    finally:
        await made.stop()


async def test_a_password_that_is_changed_under_load_and_a_certificate_of_another_host(
    plane: ControlPlane, daemons: MakeDaemon, opensearch: OpenSearch, gate: Gate, tmp_path: Path
) -> None:
    """What the store refuses waits; the file with the new password is all that is needed."""
    secret = tmp_path / "password"
    secret.write_text("first")
    auth = {"basic": {"username": "eventer", "password_file": str(secret)}}
    sink = store(opensearch, "gated", auth=auth, tls={"ca_file": str(TLS / "ca.pem")}) | {"url": gate.url}
    gate.certificate = "wronghost"
    await gate.start()
    daemon, writer = await begun(plane, daemons, "os-gated", sink)
    await write(writer, 50)
    await blocked(daemon)
    assert gate.denied == 0  # no password is told to another host
    assert await opensearch.count("gated") == 0
    await gate.stop()
    gate.certificate = "good"
    await gate.start()
    await until(lambda: _some(opensearch, "gated", 50), "what waited")
    writing = asyncio.create_task(write(writer, 300))
    gate.password = "second"
    await until(lambda: gate.denied > 0, "the old password to be refused")
    await writing
    await blocked(daemon)
    secret.write_text("second")
    truth = await truth_of(plane, writer, "os-gated")
    await all_there(opensearch, "gated", truth, daemon)
    await end_well(daemon, truth, exact=True)
