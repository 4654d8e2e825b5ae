"""`kind: elasticsearch`: what goes over the wire, in which shape, and to whom."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventer.errors import Rejected
from eventer.event import Event, Origin
from eventer.layout import Column
from eventer.sink import Batch
from eventer.values import Secret
from sinks._auth import BasicConfig
from sinks._elasticsearch_auth import AwsConfig, SearchAuthConfig
from tests.helpers.httpharness import HttpHarness
from tests.helpers.search import Search, body_of
from tests.helpers.sinks import CANARY, batch_of, columns, make_event
from tests.helpers.until import until

ECHO = f'{{"error": "POST /{CANARY}/_bulk not found, Bearer {CANARY}", "seen": "{CANARY}"}}'.encode()
VARIANTS = ["basic", "ecs", "kube-eventer", "fields", "data-stream", "latest", "gzip", "api-key", "bearer", "aws"]
FIELDS = {
    "what": "message",
    "when": "time | seconds",
    "team": "labels.team",
    "n": "count",
    "site": "=north",
}


class SearchHarness(HttpHarness[Search]):
    """A played cluster; the canary is in the address, in the credentials and in what is echoed."""

    kind = "elasticsearch"
    echo = ECHO

    def __init__(self, far: Search, patch: pytest.MonkeyPatch, variant: str = "basic") -> None:
        super().__init__(far, patch, variant)
        self.sends_lines = variant not in {"ecs", "kube-eventer", "fields"}  # type: ignore[misc]

    def options(self) -> dict[str, Any]:
        secret = Secret.literal(CANARY)
        options: dict[str, Any] = {
            "url": f"{self.far.url}/search/",
            "auth": SearchAuthConfig(basic=BasicConfig(username="me", password=secret)),
        }
        match self._variant:
            case "ecs" | "kube-eventer" as layout:
                options["layout"] = layout
            case "fields":
                options["fields"] = columns(**FIELDS)
            case "data-stream":
                options |= {"mode": "data-stream", "index": "logs-k8s.events-prod", "template": True}
            case "latest":
                options |= {"mode": "latest", "index": "current-events"}
            case "gzip":
                options["gzip"] = True
            case "api-key":
                options["auth"] = SearchAuthConfig(api_key=Secret.literal(f"id:{CANARY}"))
            case "bearer":
                options["auth"] = SearchAuthConfig(bearer=secret)
            case "aws":
                self._patch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
                self._patch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
                self._patch.setenv("AWS_SESSION_TOKEN", CANARY)
                options["auth"] = SearchAuthConfig(aws=AwsConfig(region="eu-central-1"))
        return options

    def arrived(self) -> list[str]:
        return [document.get("id", key) for (_, key), document in self.far.documents.items()]


@contextlib.asynccontextmanager
async def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str) -> AsyncIterator[SearchHarness]:
    async with Search() as far:
        yield SearchHarness(far, monkeypatch, variant)


@pytest.fixture
async def search() -> AsyncIterator[Search]:
    async with Search() as far:
        yield far


def opened(far: Search, **options: Any) -> contextlib.AbstractAsyncContextManager[Any]:
    return SearchHarness(far, pytest.MonkeyPatch()).opened(**{"url": far.url, "auth": None, **options})


FULL = make_event(
    1,
    first=datetime(2026, 3, 1, 11, 0, tzinfo=UTC),
    delta=0,
    instance="kubelet-1",
    uid="pod-uid",
    api_version="v1",
    event="shop/web-1.18e9",
    labels={"team": "shop", "app.kubernetes.io/name": "web"},
)


async def test_a_line_goes_as_it_is_with_its_time_in_front(search: Search) -> None:
    async with opened(search) as sink:
        await sink.send(batch_of([FULL]))
    action, document, rest = search.bulks[0].body.split(b"\n")
    assert msgspec.json.decode(action) == {"create": {"_index": "events-2026.03.01", "_id": FULL.id}}
    assert document == b'{"@timestamp":"2026-03-01T12:00:01Z",' + batch_of([FULL]).lines[0][1:]
    assert rest == b""


async def test_one_request_for_a_batch(search: Search) -> None:
    async with opened(search) as sink:
        await sink.send(batch_of([make_event(number) for number in range(300)]))
    assert len(search.bulks) == 1
    assert len(search.documents) == 300


@pytest.mark.parametrize(
    ("index", "name"),
    [
        ("events-{yyyy.MM.dd}", "events-2024.02.29"),
        ("events-{yyyy.MM}", "events-2024.02"),
        ("events-{yyyy}", "events-2024"),
        ("{yyyy-MM-dd}-events", "2024-02-29-events"),
        ("events", "events"),
    ],
)
async def test_the_index_is_that_of_the_events_own_time(search: Search, index: str, name: str) -> None:
    late = make_event(1, time=datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=UTC))
    async with opened(search, index=index) as sink:
        await sink.send(batch_of([late]))
        assert list(sink.destinations(batch_of([late]))) == [name]
    assert [index for index, _ in search.documents] == [name]


async def test_a_batch_may_span_days(search: Search) -> None:
    days = [datetime(2026, 3, day, tzinfo=UTC) for day in (1, 2, 1, 3)]
    events = [make_event(number, time=day) for number, day in enumerate(days)]
    async with opened(search) as sink:
        await sink.send(batch_of(events))
        names = sink.destinations(batch_of(events))
    expected = [f"events-2026.03.0{day}" for day in (1, 2, 1, 3)]
    assert [index for index, _ in search.documents] == expected == list(names)


async def test_a_repeat_is_a_duplicate(search: Search) -> None:
    async with opened(search) as sink:
        first = await sink.send(batch_of([make_event(1), make_event(2)]))
        again = await sink.send(batch_of([make_event(1), make_event(3)]))
    assert (first.duplicates, again.duplicates, dict(again.failed)) == (0, 1, {})
    assert len(search.documents) == 3


async def test_the_latest_state_stays_whatever_comes_last(search: Search) -> None:
    def state(version: int) -> Event:
        return make_event(1, id=f"prod/0/uid-1/{version}", version=version, count=version)

    async with opened(search, mode="latest", index="current-events") as sink:
        first = await sink.send(batch_of([state(5), state(7)]))
        later = await sink.send(batch_of([state(7), state(6), state(8)]))
    assert (first.duplicates, later.duplicates) == (0, 2)
    ((key, document),) = search.documents.items()
    assert key == ("current-events", "uid-1")
    assert document["count"] == 8


async def test_a_long_id_becomes_its_hash_and_one_with_escapes_stays(search: Search) -> None:
    long, quoted, wide = "x" * 513, '"' * 512, "é" * 257
    async with opened(search) as sink:
        await sink.send(batch_of([make_event(n, id=name) for n, name in enumerate((long, quoted, wide, "x" * 512))]))
    keys = [key for _, key in search.documents]
    assert keys == [
        hashlib.sha256(long.encode()).hexdigest(),
        quoted,
        hashlib.sha256(wide.encode()).hexdigest(),
        "x" * 512,
    ]


@pytest.mark.parametrize(
    "name", ['"', '",', 'a",', '","time":"1999-01-01T00:00:00Z', "back\\", '\\",', ",", "time", "é💥"]
)
@pytest.mark.parametrize("mode", ["events", "latest"])
async def test_an_id_that_looks_like_more_of_the_line_is_an_id(search: Search, mode: Any, name: str) -> None:
    index = "events-{yyyy.MM.dd}" if mode == "events" else "events"
    async with opened(search, mode=mode, index=index) as sink:
        await sink.send(batch_of([make_event(1, id=name, entity=name)]))
    ((key, document),) = search.documents.items()
    assert key == ("events-2026.03.01" if mode == "events" else "events", name)
    assert (document["id"], document["@timestamp"]) == (name, "2026-03-01T12:00:01Z")


async def test_ecs(search: Search) -> None:
    async with opened(search, layout="ecs") as sink:
        await sink.send(batch_of([FULL, make_event(2, type="Normal", node="", namespace="")]))
    full, bare = search.documents.values()
    assert full["@timestamp"] == "2026-03-01T12:00:01Z"
    assert full["message"] == FULL.message
    assert full["log"] == {"level": "warning"}
    assert full["labels"] == FULL.labels
    assert full["event"] == {
        "id": FULL.id, "kind": "event", "module": "kubernetes", "dataset": "kubernetes.event", "action": "BackOff",
        "provider": "kubelet", "start": "2026-03-01T11:00:00Z",
    }  # fmt: skip
    assert full["orchestrator"] == {
        "type": "kubernetes", "cluster": {"name": "prod"}, "namespace": "shop",
        "resource": {"type": "pod", "name": "web-1", "id": "pod-uid"},
    }  # fmt: skip
    assert full["kubernetes"] == {
        "namespace": "shop",
        "node": {"name": "node-1"},
        "event": {
            "type": "Warning", "reason": "BackOff", "message": FULL.message, "count": 3,
            "timestamp": {"first_occurrence": "2026-03-01T11:00:00Z", "last_occurrence": "2026-03-01T12:00:01Z"},
            "metadata": {"name": "web-1.18e9", "namespace": "shop", "uid": "uid-1", "resource_version": "1001"},
            "involved_object": {
                "kind": "Pod", "name": "web-1", "namespace": "shop", "uid": "pod-uid", "api_version": "v1",
                "field_path": "spec.containers{web}",
            },
            "source": {"component": "kubelet", "host": "node-1"},
        },
    }  # fmt: skip
    assert full["eventer"] == {
        "origin": "event", "entity": "uid-1", "version": 1001, "delta": 0, "object": FULL.object,
        "problem": FULL.problem, "instance": "kubelet-1",
    }  # fmt: skip
    assert bare["log"] == {"level": "info"}
    assert "labels" not in bare
    assert "node" not in bare["kubernetes"]
    assert "namespace" not in bare["orchestrator"]


async def test_kube_eventer(search: Search) -> None:
    node = make_event(2, kind="Node", namespace="", name="node-1", origin=Origin.EVENT)
    async with opened(search, layout="kube-eventer", index="heapster-{yyyy.MM.dd}") as sink:
        await sink.send(batch_of([FULL, node]))
    pod, other = search.documents.values()
    assert pod["Count"] == 3
    assert pod["Metadata"]["name"] == "web-1.18e9"
    assert pod["InvolvedObject"]["name"] == "web-1"
    assert pod["Source"] == {"component": "kubelet", "host": "node-1"}
    assert pod["FirstOccurrenceTimestamp"] == "2026-03-01T11:00:00Z"
    assert pod["LastOccurrenceTimestamp"] == pod["@timestamp"] == "2026-03-01T12:00:01Z"
    assert (pod["Message"], pod["Reason"], pod["Type"]) == (FULL.message, "BackOff", "Warning")
    tags = {"eventID": "uid-1", "cluster_name": "prod", "hostname": "node-1", "pod_id": "pod-uid", "pod_name": "web-1"}
    assert pod["EventTags"] == FULL.labels | tags
    assert "pod_name" not in other["EventTags"]


async def test_fields_of_ones_own(search: Search) -> None:
    async with opened(search, fields=columns(**FIELDS)) as sink:
        await sink.send(batch_of([FULL, make_event(2)]))
    own = {"what": FULL.message, "when": 1772366401, "team": "shop", "n": 3, "site": "north"}
    first, second = search.documents.values()
    assert first == {"@timestamp": "2026-03-01T12:00:01Z"} | own
    assert "team" not in second
    async with opened(search, fields={"@timestamp": Column.parse("time | milliseconds")}) as sink:
        await sink.send(batch_of([make_event(9)]))
    assert list(search.documents.values())[-1] == {"@timestamp": 1772366409000}


async def test_x4_an_event_cannot_forge_another_document(search: Search) -> None:
    """X4. Index and document are the ones that the options and the event's time and id say, and no others."""
    forged = 'x"}}\n{"create":{"_index":"evil","_id":"1"}}\n{"@timestamp":"'
    event = make_event(1, id=forged, message=forged, name=forged)
    async with opened(search) as sink:
        await sink.send(batch_of([event]))
    assert list(search.documents) == [("events-2026.03.01", forged)]


async def test_compressed_and_through_a_pipeline(search: Search) -> None:
    async with opened(search, gzip=True, pipeline="geo-1") as sink:
        await sink.send(batch_of([make_event(number) for number in range(50)]))
    (request,) = search.bulks
    assert request.headers["content-encoding"] == "gzip"
    assert len(request.body) * 5 < len(body_of(request))
    assert request.target.endswith("&pipeline=geo-1")


async def test_what_is_no_event_is_rejected_not_raised(search: Search) -> None:
    async with opened(search) as sink:
        with pytest.raises(Rejected) as caught:
            await sink.send(Batch([b'{"id": "a"}']))
    assert caught.value.reason == "decode"


async def test_sends_may_overlap(search: Search) -> None:
    async with opened(search, in_flight=8) as sink:
        release = asyncio.Event()
        search.before = release.wait
        sending = [asyncio.create_task(sink.send(batch_of([make_event(number)]))) for number in range(8)]
        await until(lambda: len(search.requests) == 9, "all to be under way at once")
        release.set()
        await asyncio.gather(*sending)
