"""`layout:`, `fields:` and static labels over all stores that have them: one event, and what each store gets of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from eventer.layout import Column
from eventer.sink import NotifierConfig, kinds, load
from sinks._elasticsearch_documents import Documents
from sinks._influxdb_lines import Lines, default_tags
from sinks._kafka_options import TopicName
from sinks._kafka_records import Form, Load
from sinks._sls_logs import Logs
from sinks._sls_protobuf import encode_group
from tests.helpers.influx import parse
from tests.helpers.logservice import groups_of
from tests.helpers.sinks import batch_of, columns, make_event

EVENT = make_event(
    1,
    uid="pod-uid",
    delta=0,
    event="shop/web-1.17f",
    labels={"region": "north", "size": "12", "rack": "r-1"},
)
NOW = datetime(2026, 3, 2, tzinfo=UTC)
FIELDS = {
    "what": "message",
    "where": "object",
    "at": "time | seconds",
    "ms": "time | milliseconds",
    "when": "time",
    "n": "count",
    "d": "delta",
    "v": "version | text",
    "area": "labels.region",
    "size": "labels.size | integer",
    "rack": "labels.rack | integer",
    "none": "labels.absent",
    "site": "=south",
    "zone": "about.node.zone",
}
TYPED = {
    "what": EVENT.message,
    "where": "prod/Pod/shop/web-1",
    "at": 1772366401,
    "ms": 1772366401000,
    "when": "2026-03-01T12:00:01Z",
    "n": 3,
    "d": 0,
    "v": "1001",
    "area": "north",
    "size": 12,
    "site": "south",
}
"""Without what the event has not (`none`, `zone`), and without what cannot be made into its type (`rack`)."""
PLACES = {
    ("elasticsearch", "eventer"): ("labels", "region"),
    ("elasticsearch", "ecs"): ("labels", "region"),
    ("elasticsearch", "kube-eventer"): ("EventTags", "region"),
    ("kafka", "eventer"): ("labels", "region"),
    ("kafka", "kube-eventer"): ("EventTags", "region"),
    ("influxdb", "eventer"): ("labels.region",),
    ("influxdb", "kube-eventer"): ("labels.region",),
    ("sls", "eventer"): ("labels",),
    ("sls", "kube-eventer"): ("region",),
}
"""Where the label `region` of a source stands, by kind and layout."""
KUBE_EVENTER = {
    "elasticsearch": {("Message",): EVENT.message, ("Reason",): "BackOff", ("EventTags", "pod_name"): "web-1"},
    "kafka": {("EventTags", "pod_id"): "pod-uid", ("EventTags", "hostname"): "node-1"},
    "influxdb": {("message",): EVENT.message, ("object_name",): "web-1", ("namespace_name",): "shop"},
    "sls": {("level",): "Warning", ("hostname",): "node-1", ("pod_name",): "web-1"},
}


def search(layout: Any, columns: Mapping[str, Column]) -> dict[str, Any]:
    body = Documents("events", "events", layout, columns).bulk(batch_of([EVENT])).body
    found: dict[str, Any] = msgspec.json.decode(body.split(b"\n")[1])
    assert found.pop("@timestamp") == "2026-03-01T12:00:01Z"
    return found


def record(layout: Any, columns: Mapping[str, Column]) -> dict[str, Any]:
    form = Form(TopicName("events"), "object", layout, columns, cloudevents=False)
    ((_, _, _, value, _),) = Load(batch_of([EVENT]), form, int(NOW.timestamp() * 1000)).records([0])
    found: dict[str, Any] = msgspec.json.decode(value)
    return found


def point(layout: Any, columns: Mapping[str, Column]) -> dict[str, Any]:
    tags = () if columns else default_tags(layout)
    lines, _, failed = Lines("events", layout, tags, 100, columns).of(batch_of([EVENT]))
    assert not failed
    (found,) = parse("\n".join(lines))
    if columns:
        assert found.fields.pop("id") == EVENT.id
    return found.tags | found.fields


def log(layout: Any, columns: Mapping[str, Column]) -> dict[str, Any]:
    (found,) = groups_of(
        encode_group(Logs(layout, columns).of(batch_of([EVENT]), NOW), topic="", source="", tags={})
    ).logs
    return dict(found.fields)


STORES: dict[str, Callable[[Any, Mapping[str, Column]], dict[str, Any]]] = {
    "elasticsearch": search,
    "kafka": record,
    "influxdb": point,
    "sls": log,
}
OWN = columns(**FIELDS)


def at(found: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        found = found[name]
    return found


def layouts(kind: str) -> set[str]:
    (field,) = (field for field in msgspec.structs.fields(load(kind).Config) if field.name == "layout")
    return set(field.type.__args__)


def test_every_store_with_a_layout_is_in_this_table() -> None:
    having = {
        kind
        for kind, module in kinds().items()
        if module.startswith("sinks.")
        and "layout" in load(kind).Config.__struct_fields__
        # What people read is laid out in another way: tests/unit/alerting/test_render.py.
        and not issubclass(load(kind).Config, NotifierConfig)
    }
    assert having == set(STORES)
    assert {(kind, layout) for kind in having for layout in layouts(kind)} == set(PLACES)


@pytest.mark.parametrize("kind", STORES)
def test_fields_are_picked_renamed_typed_and_added(kind: str) -> None:
    found = STORES[kind]("eventer", OWN)
    assert found == ({name: str(value) for name, value in TYPED.items()} if kind == "sls" else TYPED)


@pytest.mark.parametrize(("kind", "layout"), PLACES)
def test_labels_of_the_source_are_in_every_layout(kind: str, layout: str) -> None:
    found = at(STORES[kind](layout, {}), PLACES[kind, layout])
    assert found == "north" or msgspec.json.decode(found)["region"] == "north"


@pytest.mark.parametrize("kind", STORES)
def test_the_layout_of_the_event_itself_says_everything(kind: str) -> None:
    found = STORES[kind]("eventer", {})
    assert {name: found[name] for name in ("id", "message", "reason", "object", "problem")} == {
        "id": EVENT.id,
        "message": EVENT.message,
        "reason": "BackOff",
        "object": EVENT.object,
        "problem": EVENT.problem,
    }
    assert str(found["delta"]) == "0"


@pytest.mark.parametrize("kind", KUBE_EVENTER)
def test_the_layout_of_kube_eventer_has_its_names(kind: str) -> None:
    found = STORES[kind]("kube-eventer", {})
    assert {path: at(found, path) for path in KUBE_EVENTER[kind]} == KUBE_EVENTER[kind]
