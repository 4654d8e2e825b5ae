"""`kind: influxdb`: which points events become, and what goes over the wire."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventer.errors import Rejected
from eventer.event import Event
from eventer.values import Secret
from sinks._auth import BasicConfig
from sinks._influxdb_lines import MORE, Lines, default_tags, nanoseconds
from sinks.influxdb import InfluxAuthConfig
from tests.helpers.httpharness import HttpHarness
from tests.helpers.influx import Influx, Point, parse
from tests.helpers.sinks import CANARY, HOSTILE, batch_of, columns, make_event

ECHO = b'{"code":"x","message":"canary-5f1d0c7e9a was sent to the bucket","seen":"canary-5f1d0c7e9a"}'
VARIANTS = ["basic", "kube-eventer", "fields", "gzip", "v1", "v3"]
FIELDS = {"which": "id", "what": "message", "when": "time | seconds", "team": "labels.team", "n": "count", "at": "=x"}


class InfluxHarness(HttpHarness[Influx]):
    """A played InfluxDB; the canary is the token or the password, and in what is echoed."""

    kind = "influxdb"
    sends_lines = False
    echo = ECHO
    cut = 503
    client = (aiohttp.ClientSession, "_request")

    def __init__(self, far: Influx, patch: pytest.MonkeyPatch, variant: str = "basic") -> None:
        super().__init__(far, patch, variant)
        if variant == "v1":
            far.authorization = "Basic " + base64.b64encode(f"eventer:{CANARY}".encode()).decode()
        else:
            far.authorization = f"Token {CANARY}"

    def options(self) -> dict[str, Any]:
        auth = InfluxAuthConfig(token=Secret.literal(CANARY))
        options: dict[str, Any] = {"url": self.far.url, "bucket": "events", "auth": auth}
        match self._variant:
            case "kube-eventer":
                options["layout"] = "kube-eventer"
            case "fields":
                options["fields"] = columns(**FIELDS)
            case "gzip":
                options["gzip"] = True
            case "v1":
                basic = BasicConfig(username="eventer", password=Secret.literal(CANARY))
                options["auth"] = InfluxAuthConfig(basic=basic)
        return options

    def arrived(self) -> list[str]:
        return [point.fields.get("id") or point.fields["which"] for point in self.far.points.values()]


@contextlib.asynccontextmanager
async def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str) -> AsyncIterator[InfluxHarness]:
    async with Influx(version={"v1": 1, "v3": 3}.get(variant, 2)) as far:
        yield InfluxHarness(far, monkeypatch, variant)


@pytest.fixture
async def influx() -> AsyncIterator[Influx]:
    async with Influx() as far:
        yield far


def opened(far: Influx, **options: Any) -> contextlib.AbstractAsyncContextManager[Any]:
    return InfluxHarness(far, pytest.MonkeyPatch()).opened(**options)


def lines_of(*, layout: Any = "eventer", tags: tuple[str, ...] | None = None, most: int = 100, **fields: str) -> Lines:
    return Lines("events", layout, default_tags(layout) if tags is None else tags, most, columns(**fields))


def point_of(event: Event, lines: Lines | None = None) -> Point:
    made, times, failed = (lines or lines_of()).of(batch_of([event]))
    assert not failed
    (point,) = parse("\n".join(made))
    assert times == [point.time]
    return point


def test_tags_have_few_values_and_the_rest_are_fields() -> None:
    event = make_event(
        1, uid="pod-uid", delta=2, first=make_event(0).time, labels={"team": "shop"}, duration=1.5, since=None
    )
    point = point_of(event)
    assert point.measurement == "events"
    assert point.tags == {
        "cluster": "prod",
        "component": "kubelet",
        "kind": "Pod",
        "namespace": "shop",
        "reason": "BackOff",
        "type": "Warning",
    }
    assert point.fields == {
        "id": event.id,
        "message": event.message,
        "last": "2026-03-01T12:00:01Z",
        "first": "2026-03-01T12:00:00Z",
        "entity": "uid-1",
        "uid": "pod-uid",
        "version": 1001,
        "count": 3,
        "delta": 2,
        "duration": 1.5,
        "origin": "event",
        "name": "web-1",
        "node": "node-1",
        "object": event.object,
        "problem": event.problem,
        "field_path": event.field_path,
        "labels.team": "shop",
    }


def test_nothing_of_an_event_is_left_out() -> None:
    """A field that an event gets one day is a field of the point, or stands here."""
    event = make_event(1, delta=1, duration=2.0, first=make_event(0).time, since=make_event(0).time)
    for name in Event.__struct_fields__:
        if getattr(event, name) == "":
            setattr(event, name, f"some {name}")
    point = point_of(event)
    assert set(point.tags) | set(point.fields) == {*Event.__struct_fields__, "last"} - {"time", "labels", "about"}


def test_the_point_is_in_the_second_of_its_event_and_at_a_place_of_its_own_in_it() -> None:
    event = make_event(1)
    later = make_event(1, time=event.time + timedelta(microseconds=999_999))
    assert nanoseconds(event) // 10**9 == int(event.time.timestamp())
    assert nanoseconds(event) == nanoseconds(later)  # the id alone decides
    assert len({nanoseconds(make_event(1, id=f"prod/0/uid/{version}")) % 10**9 for version in range(1000)}) == 1000


async def test_s14_two_events_of_one_second_with_equal_tags_are_two_points(influx: Influx) -> None:
    """S14. Only the hash of the id tells them apart; sent again they are the same two."""
    events = [make_event(1, id=f"prod/0/uid-1/{version}", version=version) for version in range(500)]
    async with opened(influx) as sink:
        for _ in range(2):
            assert not (await sink.send(batch_of(events))).failed
    assert len({(point.key[1], point.time // 10**9) for point in influx.points.values()}) == 1
    assert {point.fields["id"] for point in influx.points.values()} == {event.id for event in events}
    assert len(influx.points) == 500


@pytest.mark.parametrize("year", [1, 1677, 2262, 9999])
def test_a_time_that_influxdb_has_not_is_that_events_own_fault(year: int) -> None:
    odd = make_event(1, time=datetime(year, 6, 1, tzinfo=UTC))
    made, times, failed = lines_of().of(batch_of([make_event(0), odd, make_event(2)]))
    assert (len(made), len(times)) == (2, 2)
    assert {place: (type(error), error.reason) for place, error in failed.items()} == {1: (Rejected, "time")}


def test_times_before_1970_are_in_their_second_too() -> None:
    event = make_event(1, time=datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC))
    assert nanoseconds(event) // 10**9 == -1


async def test_an_event_without_a_time_fails_alone_beside_those_that_the_server_drops(influx: Influx) -> None:
    influx.version = 3
    influx.refuse = lambda point: "invalid column type" if point.fields["name"] == "web-3" else None
    odd = make_event(1, time=datetime(1, 1, 1, tzinfo=UTC))
    async with opened(influx) as sink:
        sent = await sink.send(batch_of([make_event(0), odd, make_event(2), make_event(3)]))
        assert {place: error.reason for place, error in sent.failed.items()} == {1: "time", 3: "conflict"}
        assert list((await sink.send(batch_of([odd]))).failed) == [0]
    assert len(influx.points) == 2
    assert len(influx.writes) == 1


@pytest.mark.parametrize("name", HOSTILE)
def test_any_text_is_the_same_text_again(name: str) -> None:
    text = HOSTILE[name]
    assert point_of(make_event(1, message=text, uid=f"{text}\\")).fields["message"] == text


@given(st.lists(st.text(st.sampled_from('a,= \\"\n\r\t\x00é💥')), min_size=3, max_size=3), st.text())
def test_no_text_breaks_out_of_its_place(texts: list[str], message: str) -> None:
    """A comma, a blank, a quote or a line break in a field makes no tag, no field and no point."""
    reason, namespace, label = texts
    event = make_event(1, reason=reason, namespace=namespace, message=message, labels={"l" + label: label})
    point = point_of(event, lines_of(tags=("reason", "namespace", f"labels.l{label}")))
    assert point.fields["message"] == message
    assert set(point.tags) <= {"reason", "namespace"} | {key for key in point.tags if key.startswith("l")}
    assert "\\" not in str(list(point.tags.values())).replace("\\\\", "")


def test_a_tag_without_value_is_left_out() -> None:
    point = point_of(make_event(1, namespace="", component=" \n"))
    assert {"namespace", "component"} & set(point.tags) == set()


def test_a_tag_gets_so_many_values_and_then_says_more() -> None:
    lines = lines_of(tags=("reason", "cluster"), most=3)
    points = [point_of(make_event(number, reason=f"Reason{number}"), lines) for number in [*range(5), 0, 4]]
    assert [point.tags["reason"] for point in points] == ["Reason0", "Reason1", "Reason2", MORE, MORE, "Reason0", MORE]
    assert [point.fields.get("capped") for point in points[-4:]] == [
        "reason=Reason3",
        "reason=Reason4",
        None,
        "reason=Reason4",
    ]
    assert {point.tags["cluster"] for point in points} == {"prod"}
    assert lines.full == {"reason"}


def test_the_value_of_a_tag_is_cut() -> None:
    assert len(point_of(make_event(1, component="c" * 1000)).tags["component"]) == 256


def test_labels_become_tags_on_request() -> None:
    event = make_event(1, labels={"region": "cn, north=1", "team": "shop"})
    point = point_of(event, lines_of(tags=("cluster", "labels.region")))
    assert point.tags == {"cluster": "prod", "region": "cn, north=1"}
    assert point.fields["labels.team"] == "shop"
    assert "labels.region" not in point.fields
    assert point.fields["reason"] == "BackOff"


def test_layout_kube_eventer() -> None:
    event = make_event(1, uid="pod-uid", delta=1)
    point = point_of(event, lines_of(layout="kube-eventer"))
    assert point.tags == {
        "cluster_name": "prod",
        "component": "kubelet",
        "hostname": "node-1",
        "kind": "Pod",
        "namespace_name": "shop",
        "reason": "BackOff",
        "type": "Warning",
    }
    assert point.fields == {
        "message": event.message,
        "uid": "uid-1",
        "object_name": "web-1",
        "pod_id": "pod-uid",
        "id": event.id,
        "count": 3,
        "delta": 1,
    }


def test_fields_of_ones_own_have_their_types() -> None:
    fields = {"what": "message", "at": "time | seconds", "when": "time", "n": "count", "site": "=north", "none": "uid"}
    assert point_of(make_event(1), lines_of(tags=(), **fields)).fields == {
        "id": make_event(1).id,
        "what": make_event(1).message,
        "at": 1772366401,
        "when": "2026-03-01T12:00:01Z",
        "n": 3,
        "site": "north",
    }


async def test_one_request_holds_a_batch(influx: Influx) -> None:
    async with opened(influx, org="my org", bucket="events", measurement="k8s events") as sink:
        await sink.send(batch_of([make_event(number) for number in range(2000)]))
    (request,) = influx.writes
    assert "org=my+org" in request.target
    assert request.headers["authorization"] == f"Token {CANARY}"
    assert request.headers["user-agent"] == "eventer"
    assert {point.measurement for point in influx.points.values()} == {"k8s events"}
    assert len(influx.points) == 2000


async def test_a_tag_that_is_full_is_told(influx: Influx) -> None:
    async with opened(influx, tags=["reason", "kind"], tag_values=2) as sink:
        few = await sink.send(batch_of([make_event(number, reason=f"Reason{number}") for number in range(2)]))
        many = await sink.send(batch_of([make_event(3, reason="Reason3")]))
    assert few.note == ""
    assert "2 values were seen of the tag reason." in many.note
    assert [point.tags["reason"] for point in influx.points.values()] == ["Reason0", "Reason1", MORE]
