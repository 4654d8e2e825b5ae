"""The fake API server says what the real one says."""

from __future__ import annotations

import json

import pytest

from eventer.demo.apiserver import ApiServer
from eventer.demo.faults import Fault
from eventer.errors import Gone, Refused
from eventer.source.kube import Cluster
from eventer.source.lines import Lines
from eventer.source.wire import Api, Decoder
from tests.helpers.recorded import expected, special, unpacked

FILES: dict[Api, str] = {"core": "core-events", "events": "events-v1"}
PATHS: dict[Api, str] = {"core": "/api/v1/events", "events": "/apis/events.k8s.io/v1/events"}


def body(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("api", FILES)
async def test_a_replayed_recording_is_served_as_it_was_recorded(server: ApiServer, cluster: Cluster, api: Api) -> None:
    server.store.version = 195
    recorded = unpacked("core-events.watch.jsonl")
    assert await server.replay(recorded.splitlines()) == 1371
    lines, got, data = Lines(), b"", unpacked(f"{FILES[api]}.watch.jsonl")
    async with cluster.watch(PATHS[api], {"watch": "1", "resourceVersion": "195"}, idle=10) as reads:
        while got.count(b"\n") < 1371:
            got += lines.feed(await reads.read())
    for ours, theirs in zip(got.splitlines(), data.splitlines(), strict=True):
        assert json.loads(ours) == json.loads(theirs)


async def test_lists_are_consistent_and_in_the_order_of_names(server: ApiServer, cluster: Cluster) -> None:
    server.store.version = 195
    await server.replay(unpacked("core-events.watch.jsonl").splitlines())
    decoder = Decoder("core", "c", 0, {})
    names, params, versions = [], {"limit": "300"}, set()
    while True:
        page = decoder.page((await cluster.get("/api/v1/events", params)).body)
        server.create("zz-created-while-listing")
        versions.add(page.version)
        names += [event.event for event in decoder.items(page.items).events]
        if not page.more:
            break
        params["continue"] = page.more
        server.store.objects.popitem()
    truth = expected()["final_lists"]["core-events"]
    assert len(names) == truth["items"] and len(versions) == 1
    assert [name.split("/")[0] for name in names] == sorted(name.split("/")[0] for name in names)


async def test_410_in_a_watch(server: ApiServer, cluster: Cluster) -> None:
    server.create("a")
    server.compact()
    async with cluster.watch("/api/v1/events", {"watch": "1", "resourceVersion": "1"}, idle=10) as reads:
        got = b""
        while part := await reads.read():
            got += part
    assert json.loads(got) == json.loads(body(special("410-in-stream-core-events")))


async def test_410_in_a_list_offers_a_token_that_misses_things(server: ApiServer, cluster: Cluster) -> None:
    for name in "bcd":
        server.create(name)
    decoder = Decoder("core", "c", 0, {})
    page = decoder.page((await cluster.get("/api/v1/events", {"limit": "1"})).body)
    server.create("a")
    server.compact()
    with pytest.raises(Gone):
        await cluster.get("/api/v1/events", {"limit": "1", "continue": page.more})
    real = json.loads(body(special("410-list-inconsistent-continue")))
    assert real["metadata"]["continue"] and real["reason"] == "Expired"


async def test_a_list_from_the_future_and_a_bad_token(server: ApiServer, cluster: Cluster) -> None:
    with pytest.raises(Refused) as raised:
        await cluster.get("/api/v1/events", {"resourceVersion": "99999999"})
    assert (raised.value.status, raised.value.cause) == (504, "ResourceVersionTooLarge")
    with pytest.raises(Refused) as raised:
        await cluster.get("/api/v1/events", {"continue": "garbage"})
    assert raised.value.status == 400


async def test_a_watch_from_the_future_is_silent(server: ApiServer, cluster: Cluster) -> None:
    server.time_scale = 0.01
    query = {"watch": "1", "resourceVersion": "99999999", "timeoutSeconds": "5"}
    async with cluster.watch("/api/v1/events", query, idle=10) as reads:
        server.create("a")
        assert await reads.read() == body(special("watch-timeout-empty")) == b""


async def test_unknown_paths_and_other_answers(server: ApiServer, cluster: Cluster) -> None:
    with pytest.raises(Refused) as raised:
        await cluster.get("/apis/events.k8s.io/v2/events")
    assert raised.value.status == 404
    assert json.loads((await cluster.get("/version")).body)["major"] == "1"
    assert (await cluster.get("/readyz")).date is not None


async def test_a_frozen_watch_goes_on_after_the_thaw(server: ApiServer, cluster: Cluster) -> None:
    from tests.helpers.until import until

    server.create("a")
    server.faults.add("watch", Fault(freeze_after=100))
    async with cluster.watch("/api/v1/events", {"watch": "1", "resourceVersion": "1000"}, idle=10) as reads:
        await until(lambda: server.faults.frozen_now)
        server.faults.thaw()
        lines, whole = Lines(), b""
        while not whole:
            whole = lines.feed(await reads.read())
    assert json.loads(whole)["object"]["metadata"]["name"] == "a"
