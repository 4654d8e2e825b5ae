"""S18 and X4 at the sinks: an event that no encoder, template or header can take harms only itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventer.demo.apiserver import ApiServer
from eventer.demo.faults import Fault
from eventer.errors import Rejected
from eventer.event import Event, Outcome
from eventer.sink import Batch
from tests.helpers.farside import FarSide
from tests.helpers.inprocess import Site
from tests.helpers.sinks import HOSTILE, batch_of, make_event
from tests.helpers.until import until
from tests.sinks.test_webhook import events_of, opened

DEEP = "[" * 30_000 + "]" * 30_000
NESTING = "{% if event.message.startswith('[') %}{{ event.message }}{% else %}{}{% endif %}"
"""A template that trusts an event to be JSON. It passes every check of the configuration."""


def line(**changes: Any) -> bytes:
    """Return the line of an event with these fields written as JSON would have them, valid or not."""
    return json.dumps(json.loads(batch_of([make_event(2)]).lines[0]) | changes).encode()


POISON = {
    "lone surrogate": line(message="\ud800"),  # json writes it as an escape, which our decoder refuses
    "lone surrogate in its id": line(id="\udfff"),
    "deep": line(labels="@").replace(b'"@"', DEEP.encode()),
    "deep in an unknown field": line(more="@").replace(b'"@"', DEEP.encode()),
    "not JSON": b"{",
    "no UTF-8": b'{"id":"\xff"}',
    "empty": b"",
}


async def delivered(sink: Any, batch: Batch) -> list[int]:
    """Send as a runner does that halves what is refused; return the indexes that are left over."""
    try:
        sent = await sink.send(batch)
    except Rejected:
        if len(batch) == 1:
            return [0]
        half = len(batch) // 2
        first = await delivered(sink, batch.part(0, half))
        return first + [half + index for index in await delivered(sink, batch.part(half, len(batch)))]
    return list(sent.failed)


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
@pytest.mark.parametrize(
    "options",
    [
        {"template": "{{ event | tojson }}"},
        {"template": "{{ event | tojson }}", "format": "single", "headers": {"X-A": "{{ event.name }}"}},
        {"template": "{{ event | tojson }}", "format": "cloudevents-batch"},
        {"template": "{{ event | tojson }}", "format": "cloudevents-binary"},
    ],
    ids=lambda options: options.get("format", "array"),
)
async def test_s18_a_line_that_nobody_can_decode_is_refused_alone(
    far: FarSide, poison: bytes, options: dict[str, Any]
) -> None:
    good = batch_of([make_event(1), make_event(3)]).lines
    async with opened(far, **options) as sink:
        assert await delivered(sink, Batch([good[0], poison, good[1]])) == [1]
    arrived = [event for request in far.requests for event in events_of(request)]
    assert arrived == [make_event(1), make_event(3)]


@pytest.mark.parametrize("form", ["array", "ndjson", "single", "cloudevents-structured", "cloudevents-batch"])
@pytest.mark.parametrize(
    "message",
    [DEEP, "[" * 60_000, "[" + "x" * 1_000_000, "[\x00]", "[\\ud800]"],
    ids=["deep", "torn", "1 MB", "NUL", "half"],
)
async def test_s18_an_event_that_breaks_a_template_is_refused_alone(far: FarSide, form: str, message: str) -> None:
    async with opened(far, format=form, template=NESTING) as sink:
        sent = await sink.send(batch_of([make_event(1), make_event(2, message=message), make_event(3)]))
    assert {index: type(error) for index, error in sent.failed.items()} == {1: Rejected}
    assert sent.failed[1].reason == "template"
    assert far.requests


async def test_s18_what_can_be_carried_is(far: FarSide) -> None:
    """NUL and a megabyte are no poison for a sink: they arrive as they are."""
    events = [make_event(1, message="a\x00b", name="\x00"), make_event(2, message="x" * 1_000_000)]
    async with opened(far, format="array") as sink:
        assert not (await sink.send(batch_of(events))).failed
    assert events_of(far.requests[0]) == events


HEADERS = {
    "X-Name": "{{ event.name }}",
    "X-Where": "/{{ event.namespace }}/{{ event.kind }}",
    "X-Said": "{{ event.message | tojson }}",
    "X-Label": "{{ event.labels.team }}",
}
HARMFUL = st.sampled_from(
    [
        "a\r\nX-Evil: 1", "a\nHost: evil.example", "a\r\n\r\nPOST /evil HTTP/1.1", "\r", "\n", "a\x00b", "@evil.example/",
        "http://evil.example/", "//evil.example", "../../admin", "?key=1#", "%0d%0aX-Evil: 1", "\u2028X-Evil: 1", "\x85", "é",
        " ", "\t", "", *HOSTILE.values(),
    ]
)  # fmt: skip
TEXTS = st.text(max_size=50) | HARMFUL


@given(name=TEXTS, namespace=TEXTS, kind=TEXTS, message=TEXTS, team=TEXTS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
async def test_x4_no_event_adds_a_header_or_chooses_where_it_goes(
    far: FarSide, name: str, namespace: str, kind: str, message: str, team: str
) -> None:
    event = make_event(1, name=name, namespace=namespace, kind=kind, message=message, labels={"team": team})
    try:
        batch = batch_of([event])
    except UnicodeEncodeError:
        return  # never gets into the journal
    far.requests.clear()
    async with opened(far, format="single", headers=HEADERS) as sink:
        sent = await sink.send(batch)
    if sent.failed:
        assert isinstance(sent.failed[0], Rejected)
        assert sent.failed[0].reason in ("template", "protocol")
        assert not far.requests
        return
    (request,) = far.requests
    assert (request.method, request.target) == ("POST", "/in")
    assert request.headers["host"] == f"127.0.0.1:{far.port}"
    expected = {"host", "accept", "accept-encoding", "connection", "user-agent", "content-type", "content-length"}
    assert set(request.headers) == expected | {"idempotency-key"} | {name.lower() for name in HEADERS}
    assert msgspec.json.decode(request.body, type=Event) == event


async def test_x4_a_template_cannot_reach_the_address(far: FarSide) -> None:
    """What looks like a template or leads upwards within an event's fields is text, in an address as in a body."""
    async with opened(far, format="single", headers={"X-Name": "{{ event.name }}"}) as sink:
        sent = await sink.send(batch_of([make_event(1, name="{{ 7 * 7 }}/../@evil.example")]))
    assert not sent.failed
    assert far.requests[0].headers["x-name"] == "{{ 7 * 7 }}/../@evil.example"
    assert far.requests[0].target == "/in"


def watch_line(number: int, message: str, more: str = "1") -> bytes:
    """Return a line of a watch as the API server would send it; `more` is JSON for a field that nobody reads."""
    event = {
        "metadata": {"name": f"e{number}", "namespace": "shop", "uid": f"uid-{number}", "resourceVersion": str(1000 + number)},
        "involvedObject": {"kind": "Pod", "namespace": "shop", "name": f"web-{number}"},
        "reason": "BackOff", "type": "Warning", "message": message, "count": 1, "lastTimestamp": "2026-03-01T12:00:00Z", "more": "@",
    }  # fmt: skip
    return json.dumps({"type": "ADDED", "object": event}).replace('"@"', more).encode() + b"\n"


async def test_s18_only_what_breaks_a_template_is_a_dead_letter_of_the_daemon(tmp_path: Path, far: FarSide) -> None:
    """S18 from the API server to the sinks: half a character, NUL, a megabyte, deep nesting."""
    messages = ["fine", "was \ud800 alone", "a\x00b", "x" * 1_000_000, "[" * 15_000, "[1]"]
    server = ApiServer()
    await server.start()
    inject = b"".join(watch_line(number, message) for number, message in enumerate(messages))
    deep = watch_line(len(messages), "deep in a field that nobody reads", DEEP[:200] + DEEP[-200:])
    server.faults.add("watch", Fault(inject=inject + deep))
    site = Site(tmp_path, server)
    site.document["sinks"]["hook"] = {"kind": "webhook", "url": f"{far.url}/in", "template": NESTING}
    async with site.running() as life:
        await until(lambda: life.journal.head == 7, "all to be stored")
        await life.settled("out", "hook")
        assert life.journal.readers["hook"].outcomes == {Outcome.DELIVERED: 6, Outcome.DEAD: 1}
        assert life.journal.readers["out"].outcomes == {Outcome.DELIVERED: 7}
    await server.stop()
    assert site.balanced() == 7
    assert [item for request in far.requests for item in json.loads(request.body)].count([1]) == 1
    said = [record["message"] for record in site.records()]
    assert said[1] in ("was ? alone", "was \ufffd alone")
    assert said[2] == "a\x00b"
    assert len(said[3].encode()) <= 16 << 10
