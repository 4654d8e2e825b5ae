"""Decoding, against what a real control plane sent and against bytes that no server would send."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from eventer.event import Event, decode_lines, encode_lines, version_of
from eventer.source.wire import MESSAGE_CAP, Api
from tests.helpers.recorded import expected, unpacked
from tests.helpers.wire import decoder, line, obj, one

FILES: dict[Api, str] = {"core": "core-events", "events": "events-v1"}


# -- recorded streams


def test_both_apis_give_identical_events() -> None:
    blocks = {api: decoder(api).block(unpacked(f"{name}.watch.jsonl")) for api, name in FILES.items()}
    core, new = blocks["core"].arrivals, blocks["events"].arrivals
    assert len(core.events) == 807 + 517
    assert core.events == new.events
    assert (core.added, core.gone, core.position) == (new.added, new.gone, new.position)
    assert not core.poison and not new.poison


@pytest.mark.parametrize("api", FILES)
def test_a_recorded_stream_holds_what_an_independent_count_found(api: Api) -> None:
    arrivals = decoder(api).block(unpacked(f"{FILES[api]}.watch.jsonl")).arrivals
    states: defaultdict[str, list[Event]] = defaultdict(list)
    added: defaultdict[str, int] = defaultdict(int)
    for event, new in zip(arrivals.events, arrivals.added, strict=True):
        states[event.entity].append(event)
        added[event.entity] += new
    truth = dict(expected()["events"])
    assert set(states) == set(truth)
    for uid, row in truth.items():
        events = states[uid]
        assert [e.version for e in events] == sorted(e.version for e in events)
        assert events[0].count == row["first_count"]
        assert events[-1].count == row["final_count"]
        rises = (b.count - a.count for a, b in pairwise(events))
        assert sum(max(rise, 0) for rise in rises) == row["positive_deltas"]
        assert (added[uid], len(events) - added[uid]) == (row["added"], row["modified"])
        assert arrivals.gone.count(uid) == row["deleted"]
        last = events[-1]
        assert (last.reason, last.type) == (row["reason"], row["type"])
        assert last.event == f"{row['namespace']}/{row['name']}"
        involved = row["involved"]
        assert (last.api_version, last.kind, last.namespace, last.name) == (
            involved["apiVersion"],
            involved["kind"],
            involved["namespace"],
            involved["name"],
        )
        if not row["deleted"]:
            assert last.version == int(row["resourceVersion"])


@pytest.mark.parametrize("api", FILES)
def test_line_by_line_and_at_once_give_the_same(api: Api) -> None:
    data = unpacked(f"{FILES[api]}.watch.jsonl")
    at_once = decoder(api).block(data)
    bad = json.dumps({"type": "ADDED", "object": {"metadata": {"resourceVersion": "1"}}}).encode() + b"\n"
    singly = decoder(api).block(bad + data)  # one bad line sends the whole block the slow way
    assert singly.arrivals.events == at_once.arrivals.events
    assert singly.arrivals.added == at_once.arrivals.added
    assert singly.arrivals.gone == at_once.arrivals.gone
    assert singly.arrivals.position == at_once.arrivals.position
    assert singly.arrivals.poison == [bad.strip()]


@pytest.mark.parametrize("api", FILES)
def test_pages_of_a_recorded_list(api: Api) -> None:
    truth = expected()["final_lists"][FILES[api]]
    entities = set()
    for number, more in ((1, True), (2, False)):
        page = decoder(api).page(unpacked(f"{FILES[api]}.page{number}.list.json"))
        assert page.version == int(truth["resourceVersion"])
        assert bool(page.more) is more
        arrivals = decoder(api).items(page.items)
        assert arrivals.listed and not arrivals.poison and arrivals.position is None
        assert arrivals.added == [False] * len(arrivals.events)
        entities |= {event.entity for event in arrivals.events}
    assert len(entities) == truth["items"]


def test_a_recorded_event_survives_the_journal_s_encoding() -> None:
    events = decoder().block(unpacked("core-events.watch.jsonl")).arrivals.events
    assert decode_lines(encode_lines(events)) == events


# -- rules


def test_keys() -> None:
    event = (
        decoder(epoch=3)
        .block(
            line(
                reason="BackOff",
                involvedObject={"kind": "Pod", "namespace": "shop", "name": "w", "fieldPath": "spec.containers{app}"},
            )
        )
        .arrivals.events[0]
    )
    assert event.id == "prod/3/u1/42"
    assert event.entity == "u1"
    assert event.version == version_of(3, 42)
    assert event.object == "prod/Pod/shop/w"
    assert event.problem == "prod/Pod/shop/w/BackOff/app"
    assert event.event == "shop/web-0.17"
    assert event.labels == {"region": "north"}


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({}, 1),
        ({"count": None}, 1),
        ({"count": 0}, 1),
        ({"count": -5}, 1),
        ({"count": 7}, 7),
        ({"count": 7, "series": None}, 7),
        ({"count": 7, "series": {"count": 9}}, 9),
        ({"count": 7, "series": {}}, 7),
        ({"series": {"count": 0}}, 1),
        ({"count": 2**31 - 1}, 2**31 - 1),
    ],
)
def test_count(fields: dict[str, Any], count: int) -> None:
    assert one(**fields).count == count


@pytest.mark.parametrize(
    ("fields", "minute"),
    [
        ({}, 4),
        ({"eventTime": "2026-01-02T03:10:00.000001Z"}, 10),
        ({"eventTime": "2026-01-02T03:10:00Z", "lastTimestamp": "2026-01-02T03:20:00Z"}, 20),
        ({"lastTimestamp": "2026-01-02T03:20:00Z", "series": {"lastObservedTime": "2026-01-02T03:30:00Z"}}, 30),
        ({"lastTimestamp": "2026-01-02T03:20:00Z", "series": {"lastObservedTime": None}}, 20),
        ({"lastTimestamp": None, "eventTime": None, "series": None}, 4),
    ],
)
def test_time(fields: dict[str, Any], minute: int) -> None:
    assert one(**fields).time.minute == minute


def test_first() -> None:
    assert one().first is None
    assert one(eventTime="2026-01-02T03:10:00Z").first == datetime(2026, 1, 2, 3, 10, tzinfo=UTC)
    both = one(eventTime="2026-01-02T03:10:00Z", firstTimestamp="2026-01-02T03:09:00Z")
    assert both.first == datetime(2026, 1, 2, 3, 9, tzinfo=UTC)


def test_node() -> None:
    node = {"kind": "Node", "name": "n1", "uid": "n1"}
    assert one(source={"component": "kubelet", "host": "n9"}).node == "n9"
    assert one(involvedObject=node).node == "n1"
    assert one(involvedObject=node).namespace == ""
    assert one().node == ""


def test_a_long_message_is_cut_and_says_so() -> None:
    message = one(message="head" + "\x00" * 1_400_000 + "tail").message
    assert len(message.encode()) <= MESSAGE_CAP
    assert message.startswith("head") and message.endswith("tail")
    assert "bytes cut" in message


def test_hostile_text_arrives_as_it_is() -> None:
    text = "\x1b[31m\u202e@all\x00\n\u200b✓"
    assert one(message=text, reason=text).message == text


@pytest.mark.parametrize("raw", [rb'"message":"a\ud800b"', b'"message":"a\xffb"'])
def test_broken_characters_are_repaired(raw: bytes) -> None:
    bad = line(message="XX").replace(b'"message": "XX"', raw)
    block = decoder().block(line(metadata={"uid": "before"}) + bad + line(metadata={"uid": "after"}))
    assert [event.entity for event in block.arrivals.events] == ["before", "u1", "after"]
    message = block.arrivals.events[1].message
    assert message[0] + message[-1] == "ab"
    message.encode()
    page = (
        b'{"metadata":{"resourceVersion":"7"},"items":['
        + json.dumps(obj(message="XX")).encode().replace(b'"message": "XX"', raw)
        + b"]}"
    )
    assert len(decoder().items(decoder().page(page).items).events) == 1
