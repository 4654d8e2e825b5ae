"""The daemon as a whole: starts, goes on where it stopped, and refuses what would lose events in silence."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from pathlib import Path
from typing import TypeVar

import aiohttp
import pytest

from eventer.config.types import Listen
from eventer.demo.apiserver import ApiServer, status_body
from eventer.demo.faults import Fault
from eventer.errors import ConfigError, EventerError, Locked
from eventer.event import EPOCH_SHIFT, Outcome
from eventer.journal import Journal, ReaderRecord, read_books
from tests.helpers.fastclock import FastClock
from tests.helpers.inprocess import Life, Site
from tests.helpers.journals import letter
from tests.helpers.sinks import make_event
from tests.helpers.until import until

Raised = TypeVar("Raised", bound=BaseException)


def find(group: BaseExceptionGroup[BaseException], kind: type[Raised]) -> Raised:
    """Return the only exception in a group, which must be of that kind."""
    (found,) = group.exceptions
    if isinstance(found, BaseExceptionGroup):
        return find(found, kind)
    assert isinstance(found, kind)
    return found


async def run(site: Site) -> None:
    """Run a daemon that is expected to end by itself."""
    async with asyncio.timeout(20):
        await Life(site, FastClock()).task


async def refusal(site: Site) -> ConfigError:
    """Run a daemon that is expected to find a fault in its configuration; return that."""
    with pytest.raises(ExceptionGroup) as caught:
        await run(site)
    return find(caught.value, ConfigError)


# -- start and stop --------------------------------------------------------------------------------


async def test_what_is_there_and_what_comes_is_delivered_and_the_end_is_orderly(site: Site, server: ApiServer) -> None:
    server.create("before")
    async with site.running() as life:
        await site.has("before")
        server.create("while")
        await site.has("before", "while")
        await life.settled("out")
        assert await life.get("/readyz") == (200, "ok\n")
        await life.stop()
        with pytest.raises(aiohttp.ClientConnectorError):
            await life.get("/livez")
    assert site.names() == ["before", "while"]
    assert site.balanced() == 2  # and the lock is free, or this would raise
    assert not list(site.state.glob("*-wal"))  # the database was closed
    await until(lambda: server.watching == 0, "its connections to be closed")


async def test_row_w1_a_restart_resumes_by_version_without_a_list(site: Site, server: ApiServer) -> None:
    server.create("before")
    async with site.running():
        await site.has("before")
    position = server.store.version
    for number in range(200):
        server.create(f"meanwhile-{number}")
    server.requests.clear()
    expected = ["before", *(f"meanwhile-{number}" for number in range(200))]
    async with site.running():
        await site.has(*expected)
    assert site.names() == expected
    assert "list" not in {request.kind for request in server.requests}
    first_watch = next(request for request in server.requests if request.kind == "watch")
    assert int(first_watch.query["resourceVersion"]) == position
    assert site.balanced() == 201


async def test_a_stop_before_the_cluster_answers_is_orderly_too(site: Site, server: ApiServer) -> None:
    server.faults.add("namespace", Fault(freeze_head=True), times=None)
    async with site.running(watching=False):
        await until(lambda: server.faults.frozen_now, "the question which cluster it is")
    assert site.balanced() == 0


# -- sinks that are gone from the configuration -------------------------------------------------------


async def leave_pending(site: Site, server: ApiServer) -> None:
    """Run a life in which the sink `old` took nothing of three events."""
    site.add_dead_sink("old")
    for number in range(3):
        server.create(f"number-{number}")
    async with site.running():
        await site.has("number-0", "number-1", "number-2")
    del site.document["sinks"]["old"]


async def test_a_removed_sink_with_pending_events_is_refused_with_the_remedy(site: Site, server: ApiServer) -> None:
    await leave_pending(site, server)
    refused = await refusal(site)
    (fault,) = refused.faults
    assert fault.path == "sinks.old"
    assert "3 events wait" in fault.message
    assert "state.discard: [old]" in fault.remedy
    books = read_books(site.state)
    assert books.head - books.readers["old"].cursor == 3  # refusing gave nothing up


async def test_discard_lets_a_removed_sink_go(site: Site, server: ApiServer) -> None:
    await leave_pending(site, server)
    site.document["state"]["discard"] = ["old"]
    async with site.running():
        server.create("next")
        await site.has("next")
    assert set(read_books(site.state).readers) == {"out"}
    assert Counter(site.names()) == Counter(["number-0", "number-1", "number-2", "next"])


async def test_a_removed_sink_with_dead_letters_is_refused_until_discarded(site: Site, server: ApiServer) -> None:
    server.create("first")
    async with site.running():
        await site.has("first")
    with Journal.open(site.state, max_size=1 << 30, clock=FastClock()) as journal:
        record = ReaderRecord(origin=0, cursor=1, outcomes={Outcome.DEAD: 1})
        await journal.settle("old", record, [letter(make_event())])
        await journal.close()
    refused = await refusal(site)
    assert "0 events wait for it and 1 are kept as dead letters" in refused.faults[0].message
    site.document["state"]["discard"] = ["old"]
    async with site.running():
        pass
    assert not read_books(site.state).letters


async def test_every_removed_sink_is_named_at_once(site: Site, server: ApiServer) -> None:
    site.add_dead_sink("one")
    site.add_dead_sink("two")
    server.create("first")
    async with site.running():
        await site.has("first")
    del site.document["sinks"]["one"], site.document["sinks"]["two"]
    refused = await refusal(site)
    assert [fault.path for fault in refused.faults] == ["sinks.one", "sinks.two"]


async def test_a_drained_sink_is_removed_without_a_word(site: Site, server: ApiServer) -> None:
    site.document["sinks"]["old"] = {"kind": "file", "path": f"{site.out}.old"}
    server.create("first")
    async with site.running() as life:
        await site.has("first")
        await life.settled("out", "old")
    del site.document["sinks"]["old"]
    async with site.running():
        pass
    assert set(read_books(site.state).readers) == {"out"}


async def test_a_sink_added_later_begins_with_what_comes_next(site: Site, server: ApiServer, tmp_path: Path) -> None:
    server.create("first")
    async with site.running():
        await site.has("first")
    added = Site(tmp_path, server)
    added.out = tmp_path / "added.jsonl"
    site.document["sinks"]["added"] = {"kind": "file", "path": str(added.out)}
    async with site.running():
        server.create("second")
        await added.has("second")
    assert added.names() == ["second"]
    assert site.balanced() == 2


# -- which cluster it is ------------------------------------------------------------------------------


async def test_row_w17_another_cluster_under_the_same_name_is_exported_whole(site: Site, server: ApiServer) -> None:
    for number in range(3):
        server.create(f"number-{number}")
    async with site.running():
        await site.has("number-2")
    other = ApiServer()
    await other.start()
    try:
        for number in range(2):  # fewer, so that its version lies before the position
            other.create(f"other-{number}")
        site.read(other)
        async with site.running() as life:
            await site.has("other-0", "other-1")
            record = life.journal.cluster("prod")
            assert record is not None
            assert (record.uid, record.epoch) == (other.uid, 1)
            (stream,) = life.view.streams.values()
            assert (stream.status.rollbacks, stream.status.audit_missed) == (0, 0)  # nobody had to find out later
        async with site.running():  # and it is known from now on
            other.create("later")
            await site.has("later")
    finally:
        await other.stop()
    assert Counter(site.names()) == Counter(
        ["number-0", "number-1", "number-2", "other-0", "other-1", "later"]
    )  # each once
    epochs = {record["event"]: record["version"] >> EPOCH_SHIFT for record in site.records()}
    assert all(epoch == (0 if "number" in name else 1) for name, epoch in epochs.items())
    site.balanced()


async def test_row_w17_also_where_versions_and_names_are_the_same(site: Site, server: ApiServer) -> None:
    other = ApiServer()
    await other.start()
    try:
        for each in (server, other):
            each.create("one")
            each.create("two")
        assert server.store.version == other.store.version
        async with site.running():
            await site.has("one", "two")
        site.read(other)
        async with site.running() as life:
            await until(lambda: len(site.names()) == 4, "all of the other one")
            (stream,) = life.view.streams.values()
            assert (stream.status.rollbacks, stream.status.audit_missed) == (0, 0)
    finally:
        await other.stop()
    assert Counter(site.names()) == {"one": 2, "two": 2}
    ids = [record["id"] for record in site.records()]
    assert len(set(ids)) == 4  # a store with identity can tell the two clusters apart
    assert [record["version"] >> EPOCH_SHIFT for record in site.records()] == [0, 0, 1, 1]
    assert site.balanced() == 4


async def test_a_cluster_without_a_name_is_not_ready_until_it_can_be_told(tmp_path: Path, server: ApiServer) -> None:
    site = Site(tmp_path, server, cluster=None)
    no = status_body(403, "Forbidden", 'namespaces "kube-system" is forbidden')
    server.faults.add("namespace", Fault(status=403, body=no), times=None)
    server.create("first")
    async with site.running(watching=False) as life:
        await until(lambda: life.view.waiting, "the refusal")
        status, text = await life.get("/readyz")
        assert status == 503
        assert "kube-system may not be read" in text
        assert "in-cluster" not in text  # it is named by its kubeconfig
        assert "Set `cluster:`" in text
        assert "grant `get` on the namespace kube-system" in text
        assert (await life.get("/livez"))[0] == 200  # a restart would not help
        assert not server.watching
        server.faults.clear()
        await life.watching()
        assert (await life.get("/readyz"))[0] == 200
        await site.has("first")
    assert [record["cluster"] for record in site.records()] == [server.uid]


async def test_with_a_name_it_need_not_be_told(site: Site, server: ApiServer) -> None:
    server.faults.add("namespace", Fault(status=403, body=status_body(403, "Forbidden", "no")), times=None)
    server.create("first")
    async with site.running():
        await site.has("first")
    server.faults.clear()
    async with site.running() as life:  # the uid is learnt later: that is no other cluster
        server.create("second")
        await site.has("second")
        record = life.journal.cluster("prod")
        assert record is not None
        assert (record.uid, record.epoch) == (server.uid, 0)
    assert site.names() == ["first", "second"]


async def test_an_api_server_that_is_down_at_the_start_is_waited_for(site: Site, server: ApiServer) -> None:
    port = server.port
    await server.stop()
    async with site.running(watching=False) as life:
        await until(lambda: life.view.waiting, "the refused connection")
        status, text = await life.get("/readyz")
        assert status == 503
        assert text.startswith("cluster prod: No answer: connection refused")
        await server.start(port)
        server.create("first")
        await life.watching()
        await site.has("first")
        assert (await life.get("/readyz"))[0] == 200
    assert site.balanced() == 1


# -- what cannot be had -------------------------------------------------------------------------------


async def test_a_port_in_use_is_said_with_the_remedy(site: Site) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = Listen(host="127.0.0.1", port=taken.getsockname()[1])
        site.document["server"]["listen"] = str(address)
        with pytest.raises(
            EventerError, match=f"Cannot listen on {address} .*[Aa]ddress already in use.*server.listen"
        ):
            await run(site)
    async with site.running():  # nothing of the failed start is left: not the lock, not the metrics
        pass


async def test_a_state_directory_in_use_is_refused(site: Site) -> None:
    async with site.running() as life:
        with pytest.raises(Locked, match=r"Another Eventer \(pid \d+\) uses the state directory"):
            await run(site)
        assert (await life.get("/readyz"))[0] == 200  # the first one does not notice


async def test_a_kubeconfig_that_is_not_there_ends_the_start(site: Site) -> None:
    site.document["sources"][0]["kubernetes"]["kubeconfig"] = "/nowhere/kubeconfig"
    with pytest.raises(ExceptionGroup) as caught:
        await run(site)
    fault = find(caught.value, ConfigError).faults[0]
    assert "There is no kubeconfig at /nowhere/kubeconfig" in fault.message
    assert fault.remedy
