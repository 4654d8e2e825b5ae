"""The sink itself against a real OpenSearch: layouts, modes, templates, and single refusals."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from eventer.about import About, NamespaceFacts, NodeFacts, Owner, PodFacts
from eventer.clock import SystemClock
from eventer.errors import Blocked, Rejected
from eventer.sink import SinkContext
from sinks.elasticsearch import Config, Sink
from tests.helpers.dashboards import panels
from tests.helpers.documents import commands
from tests.helpers.sinks import batch_of, make_event
from tests.real.opensearch import OpenSearch


@contextlib.asynccontextmanager
async def sinking(node: OpenSearch, **options: Any) -> AsyncIterator[Sink]:
    config = Config(kind="elasticsearch", url=node.url, **options)
    sink = Sink(config, SinkContext(name="search", clock=SystemClock()))
    try:
        await sink.open(None)
        yield sink
    finally:
        await sink.close()


@pytest.mark.parametrize("layout", ["eventer", "ecs", "kube-eventer"])
async def test_templates_and_layouts_are_taken(opensearch: OpenSearch, layout: Any) -> None:
    """Labels whose names lie within one another do not make documents fail; nor does what was looked up."""
    labels = {"app": "web", "app.kubernetes.io/name": "web", "team": "shop"}
    about = About(
        enriched="ok",
        pod=PodFacts(node="node-1", phase="Running", labels=labels, annotations=labels),
        owner=Owner(kind="Deployment", name="web", api_version="apps/v1", chain=["ReplicaSet/web-1"]),
        namespace=NamespaceFacts(labels=labels),
        node=NodeFacts(name="node-1", labels=labels, zone="a"),
        log="one\ntwo",
        unknown=["logs"],
    )
    time = make_event(0).time
    edge = {"condition": "Ready", "status": "False", "state": "firing", "since": time, "duration": 0.5}
    events = [make_event(number, labels=labels, uid="u", first=time, about=about, **edge) for number in range(20)]
    async with sinking(opensearch, index=f"layout-{layout}", layout=layout, template=True, gzip=True) as sink:
        assert not (await sink.send(batch_of(events))).failed
        assert (await sink.send(batch_of(events))).duplicates == 20
    documents = await opensearch.documents(f"layout-{layout}")
    assert {document["_id"] for document in documents} == {event.id for event in events}
    field = "EventTags" if layout == "kube-eventer" else "labels"
    terms = {f"{field}.app.kubernetes.io/name": "web"}
    if layout != "kube-eventer":
        at = "eventer.about" if layout == "ecs" else "about"
        terms |= {f"{at}.owner.kind": "Deployment", f"{at}.node.labels.app.kubernetes.io/name": "web"}
    for name, value in terms.items():
        found = await opensearch.ok("POST", f"/layout-{layout}/_search", {"query": {"term": {name: value}}})
        assert found["hits"]["total"]["value"] == 20, name


async def test_the_latest_state_wins_in_whatever_order_states_come(opensearch: OpenSearch) -> None:
    states = [make_event(1, id=f"prod/0/uid-1/{version}", version=version, count=version) for version in (3, 9, 5)]
    async with sinking(opensearch, index="latest", mode="latest", template=True) as sink:
        for state in states:
            assert not (await sink.send(batch_of([state]))).failed
        assert (await sink.send(batch_of(states))).duplicates == 3
    (document,) = await opensearch.documents("latest")
    assert (document["_id"], document["count"]) == ("uid-1", 9)


async def test_s8_a_rollover_between_attempts(opensearch: OpenSearch) -> None:
    """S8. What docs/sinks/elasticsearch.md says: a data stream then holds a repeat twice, an index by time never."""
    events = batch_of([make_event(number) for number in range(10)])
    async with sinking(opensearch, index="stream-a", mode="data-stream", template=True) as sink:
        await sink.send(events)
        assert (await sink.send(events)).duplicates == 10
        await opensearch.ok("POST", "/stream-a/_rollover")
        assert (await sink.send(events)).duplicates == 0
    assert await opensearch.count("stream-a") == 20
    async with sinking(opensearch, index="by-time-{yyyy.MM.dd}") as sink:
        await sink.send(events)
        assert (await sink.send(events)).duplicates == 10
    assert await opensearch.count("by-time-*") == 10


async def test_s7_a_term_that_is_too_long_and_too_many_fields(opensearch: OpenSearch) -> None:
    """S7. Each refuses its own document, and the rest goes on."""
    mappings = {"properties": {"message": {"type": "keyword"}}}
    await opensearch.ok("PUT", "/picky", {"mappings": mappings, "settings": {"index.mapping.total_fields.limit": 60}})
    long = make_event(1, message="é" * 20_000)
    many = make_event(2, labels={f"label-{number}": "x" for number in range(60)})
    async with sinking(opensearch, index="picky") as sink:
        sent = await sink.send(batch_of([make_event(0), long, many, make_event(3)]))
    assert {place: (type(error), error.reason) for place, error in sent.failed.items()} == {
        1: (Rejected, "refused_data"),
        2: (Rejected, "refused_data"),
    }
    assert "immense term" in sent.failed[1].answer
    assert await opensearch.count("picky") == 2


async def test_a_probe_writes_nothing(opensearch: OpenSearch) -> None:
    config = Config(kind="elasticsearch", url=opensearch.url, index="probed", mode="data-stream", template=True)
    sink = Sink(config, SinkContext(name="search", clock=SystemClock()))
    try:
        assert (await sink.probe()).startswith(
            "OpenSearch 3.3.0 answers, and lets us in. Whether we may write to probed"
        )
    finally:
        await sink.close()
    for path in ("/_index_template/eventer-probed", "/_data_stream/probed", "/probed"):
        assert (await opensearch.ask("GET", path))[0] == 404


async def test_a_pipeline(opensearch: OpenSearch) -> None:
    await opensearch.ok("PUT", "/_ingest/pipeline/stamp", {"processors": [{"set": {"field": "seen", "value": "yes"}}]})
    async with sinking(opensearch, index="piped", pipeline="stamp") as sink:
        assert not (await sink.send(batch_of([make_event(1)]))).failed
    (document,) = await opensearch.documents("piped")
    assert document["seen"] == "yes"
    async with sinking(opensearch, index="piped", pipeline="absent") as sink:
        error = (await sink.send(batch_of([make_event(2)]))).failed[0]
    assert (type(error), error.reason, error.destination) == (Blocked, "pipeline", "")


async def test_every_panel_of_the_saved_dashboard_finds_something(opensearch: OpenSearch) -> None:
    events = [make_event(number, delta=2) for number in range(20)]  # no table shows more
    async with sinking(opensearch, index="events-{yyyy.MM.dd}", template=True) as sink:
        await sink.send(batch_of(events))
    await opensearch.ok("POST", "/events-*/_refresh")
    for panel in panels():
        found = await opensearch.ok("POST", "/events-*/_search", panel.search())
        assert occurrences(found["aggregations"]) == 40, panel.title


async def test_the_commands_of_the_page_show_the_events(opensearch: OpenSearch) -> None:
    """Those for what this server has not (its plug-ins, Elasticsearch's life cycles, Dashboards) are left out."""
    now = datetime.now(UTC)
    about_now = [make_event(number, id=f"now/{number}", delta=2, time=now) for number in range(7)]
    async with sinking(opensearch, index="events-{yyyy.MM.dd}", template=True) as sink:
        await sink.send(batch_of(about_now))
    await opensearch.ok("POST", "/events-*/_refresh")
    absent = ("/_plugins/", "/_ilm/", "/_lifecycle", "$DASHBOARDS")
    answers = []
    for command in commands():
        here = command.block.page == "docs/sinks/elasticsearch.md" and command.line.startswith("curl ")
        if here and not any(part in command.line for part in absent):
            done = await asyncio.to_thread(
                subprocess.run,
                ["sh", "-ec", f"{command.line} --fail --silent --show-error --noproxy '*'"],
                env={"PATH": os.environ["PATH"], "URL": opensearch.url},
                capture_output=True,
                text=True,
                check=True,
            )
            answers.append(done.stdout)
    await opensearch.ok("DELETE", f"/events-{now:%Y.%m.%d}")
    indices, count, hits, reasons = answers
    assert f"events-{now:%Y.%m.%d}" in indices
    assert json.loads(count)["count"] >= 7
    assert len(json.loads(hits)["hits"]["hits"]) == 5
    (reason,) = json.loads(reasons)["aggregations"]["reasons"]["buckets"]
    assert (reason["key"], reason["times"]["value"]) == ("BackOff", 14)


def occurrences(aggregations: dict[str, Any]) -> float:
    """Add up the sums in the innermost groups."""
    if "1" in aggregations:
        return float(aggregations["1"]["value"])
    (groups,) = aggregations.values()
    return sum(
        occurrences({name: value for name, value in group.items() if isinstance(value, dict)})
        for group in groups["buckets"]
    )
