"""Documents of another shape: what is picked, renamed, typed and constant."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from eventer.event import version_of
from eventer.layout import Column, Layout, core_event
from tests.helpers.sinks import make_event

TIME = datetime(2026, 11, 20, 8, 30, 1, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("message", "hello"),
        ("time", "2026-11-20T08:30:01.250000Z"),
        ("time | seconds", 1795163401),
        ("time|milliseconds", 1795163401250),
        ("time | text", "2026-11-20T08:30:01.250000Z"),
        ("count", 3),
        ("count | text", "3"),
        ("labels.team", "shop"),
        ("labels.number | integer", 7),
        ("=prod", "prod"),
        ("= a | b", " a | b"),
        ("=", ""),
        ("origin", "event"),
    ],
)
def test_one_column(column: str, value: Any) -> None:
    event = make_event(message="hello", time=TIME, count=3, labels={"team": "shop", "number": "7"})
    (line,) = Layout({"x": Column.parse(column)}).lines([event])
    assert json.loads(line) == {"x": value}
    assert b"\n" not in line


@pytest.mark.parametrize("column", ["first", "first | seconds", "labels.none", "labels.bad | integer", "delta", "uid"])
def test_what_an_event_does_not_have_is_left_out(column: str) -> None:
    event = make_event(labels={"bad": "x"}, uid="", first=None, delta=None)
    assert Layout({"x": Column.parse(column), "y": Column.parse("reason")}).document(event) == {"y": event.reason}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no field"),
        ("mesage", "is no field"),
        ("labels", "is no field"),
        ("labels.", "is no field"),
        ("time | days", "nothing that a value"),
        ("time |", "nothing that a value"),
        ("message | seconds", "is no time"),
        ("message | integer", "is no number"),
    ],
)
def test_what_is_no_column(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Column.parse(text)


@pytest.mark.parametrize("text", ["message", "labels.a.b/c", "time | seconds", "=a | b"])
def test_a_column_reads_as_it_was_written(text: str) -> None:
    assert str(Column.parse(text)) == text


def test_the_order_is_that_of_the_configuration() -> None:
    (line,) = Layout({name: Column.parse("reason") for name in "zyx"}).lines([make_event()])
    assert list(json.loads(line)) == ["z", "y", "x"]


def test_an_object_of_the_core_api() -> None:
    event = make_event(
        event="shop/web.17f3a", entity="u-1", version=version_of(2, 1234), time=TIME, first=None, kind="Pod",
        namespace="shop", name="web", uid="p-1", api_version="v1", field_path="spec.containers{web}",
        component="kubelet", node="n1", instance="n1", type="Warning", reason="BackOff", message="no", count=4,
    )  # fmt: skip
    found = core_event(event)
    assert found["metadata"]["name"] == "web.17f3a"
    assert found["metadata"]["namespace"] == "shop"
    assert found["metadata"]["resourceVersion"] == "1234"
    assert found["involvedObject"] == {
        "kind": "Pod", "namespace": "shop", "name": "web", "uid": "p-1", "apiVersion": "v1",
        "fieldPath": "spec.containers{web}",
    }  # fmt: skip
    assert found["source"] == {"component": "kubelet", "host": "n1"}
    assert (found["firstTimestamp"], found["lastTimestamp"], found["count"]) == (TIME, TIME, 4)
