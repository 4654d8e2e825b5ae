"""`kind: webhook` in the three modes of CloudEvents 1.0 over HTTP."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventer.event import Event, Origin
from eventer.values import Secret
from sinks._cloudevents import Head, attributes, headers, structured
from sinks.webhook import Config
from tests.helpers.farside import FarSide
from tests.helpers.sinks import HOSTILE, batch_of, make_event
from tests.sinks.test_webhook import events_of, opened, send

EXPECTED = {
    "specversion": "1.0",
    "id": "prod/0/uid-1/1001",
    "source": "/clusters/prod",
    "type": "eventer.event.v1",
    "subject": "Pod/shop/web-1",
    "time": "2026-03-01T12:00:01Z",
    "datacontenttype": "application/json",
    "partitionkey": "prod/Pod/shop/web-1",
    "eventtype": "Warning",
    "reason": "BackOff",
    "namespace": "shop",
}


def head_of(event: Event) -> Head:
    return msgspec.json.decode(msgspec.json.encode(event), type=Head)


async def test_binary_has_attributes_in_headers_and_the_event_as_body(far: FarSide) -> None:
    async with opened(far, format="cloudevents-binary") as sink:
        await send(sink, 1, 2)
    first, second = far.requests
    found = {name[3:]: value for name, value in first.headers.items() if name.startswith("ce-")}
    assert found == {name: value for name, value in EXPECTED.items() if name != "datacontenttype"}
    assert first.headers["content-type"] == "application/json"
    assert first.body == batch_of([make_event(1)]).lines[0]
    assert second.headers["ce-id"] == make_event(2).id


async def test_structured_has_all_in_the_body(far: FarSide) -> None:
    async with opened(far, format="cloudevents-structured") as sink:
        await send(sink, 1, 2)
    first, second = (msgspec.json.decode(request.body) for request in far.requests)
    assert first == EXPECTED | {"data": msgspec.json.decode(batch_of([make_event(1)]).lines[0])}
    assert second["id"] == make_event(2).id
    assert {request.headers["content-type"] for request in far.requests} == {"application/cloudevents+json"}
    assert not [name for name in far.requests[0].headers if name.startswith("ce-")]


async def test_batch_is_an_array_of_them(far: FarSide) -> None:
    async with opened(far, format="cloudevents-batch") as sink:
        await send(sink, 1, 2, 3)
    (request,) = far.requests
    assert request.headers["content-type"] == "application/cloudevents-batch+json"
    assert msgspec.json.decode(request.body)[0]["id"] == EXPECTED["id"]
    assert events_of(request) == [make_event(number) for number in (1, 2, 3)]


@pytest.mark.parametrize("form", ["cloudevents-binary", "cloudevents-structured", "cloudevents-batch"])
async def test_a_template_writes_the_data_and_its_failure_is_that_of_one_event(far: FarSide, form: str) -> None:
    async with opened(far, format=form, template='{"m": {{ event.message | tojson }}}') as sink:
        sent = await sink.send(
            batch_of([make_event(1, message="a"), make_event(2, message="x" * 70_000), make_event(3, message="c")])
        )
    assert list(sent.failed) == [1]
    bodies = [msgspec.json.decode(request.body) for request in far.requests]
    items = bodies[0] if form == "cloudevents-batch" else bodies
    data = [item["data"] if form != "cloudevents-binary" else item for item in items]
    assert data == [{"m": "a"}, {"m": "c"}]


def test_what_an_event_does_not_have_is_left_out() -> None:
    node = make_event(1, namespace="", kind="Node", name="node-1", origin=Origin.NODE, cluster="a b/ü")
    found = attributes(head_of(node))
    assert "namespace" not in found
    assert found["subject"] == "Node/node-1"
    assert found["type"] == "eventer.node.v1"
    assert found["source"] == "/clusters/a%20b%2F%C3%BC"
    assert all(attributes(head_of(make_event(1, reason="", type="", namespace="", cluster=""))).values())


def test_the_example_of_the_specification() -> None:
    head = head_of(make_event(1, reason="Euro € 😀"))
    assert headers(head)["ce-reason"] == "Euro%20%E2%82%AC%20%F0%9F%98%80"
    assert headers(head_of(make_event(1, reason='100% "sure"')))["ce-reason"] == "100%25%20%22sure%22"


@given(st.text(max_size=40), st.text(max_size=40))
def test_x4_attributes_are_printable_and_come_back_as_they_were(one: str, other: str) -> None:
    event = make_event(1, id=f"x{one}", reason=other, name=one, namespace=other, cluster=one, object=f"o{other}")
    head = head_of(event)
    found = attributes(head)
    carried = headers(head)
    for name, value in carried.items():
        assert re.fullmatch(r"[\x21-\x7e]+", value), name
        assert '"' not in value
    assert {name[3:]: unquote(value, errors="strict") for name, value in carried.items() if name.startswith("ce-")} == {
        name: value for name, value in found.items() if name != "datacontenttype"
    }
    for name, value in found.items():
        assert re.fullmatch("[a-z0-9]{1,20}", name)
        assert value
        assert not re.search("[\x00-\x1f\x7f-\x9f\ufffe\uffff]", value)
    whole = msgspec.json.decode(structured(head, msgspec.json.encode(event)))
    assert msgspec.convert(whole.pop("data"), Event) == event
    assert whole == found


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
async def test_x3_hostile_text_stays_in_its_attribute(far: FarSide, text: str) -> None:
    event = make_event(1, reason=text[:1000], name=text[:1000], namespace=text[:1000])
    async with opened(far, format="cloudevents-binary") as sink:
        assert not (await sink.send(batch_of([event]))).failed
    (request,) = far.requests
    assert request.target == "/in"
    assert {name for name in request.headers if name.startswith("ce-")} <= {f"ce-{name}" for name in EXPECTED}
    assert events_of(request) == [event]


def test_time_is_that_of_the_line() -> None:
    when = datetime(2026, 3, 1, 12, 0, 1, 500, tzinfo=UTC)
    assert attributes(head_of(make_event(1, time=when)))["time"] == "2026-03-01T12:00:01.000500Z"


@pytest.mark.parametrize(
    ("form", "header"),
    [
        ("cloudevents-binary", "ce-id"),
        ("cloudevents-binary", "Content-Type"),
        ("cloudevents-structured", "Content-Type"),
        ("cloudevents-batch", "content-type"),
    ],
)
def test_headers_that_make_up_a_cloudevent_are_ours(form: Any, header: str) -> None:
    with pytest.raises(ValueError, match="leave it out"):
        Config(kind="webhook", url=Secret.literal("http://h/"), format=form, headers={header: "x"})
