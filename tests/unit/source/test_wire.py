"""Decoding, against what a real control plane sent and against bytes that no server would send."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventer.errors import Broken, Gone, Refused
from eventer.event import Event, decode_lines, encode_lines, version_of
from eventer.source.wire import MESSAGE_CAP, POISON_CAP, Api, Decoder, uid_of
from tests.helpers.recorded import expected, unpacked

FILES: dict[Api, str] = {"core": "core-events", "events": "events-v1"}


def decoder(api: Api = "core", epoch: int = 0) -> Decoder:
    return Decoder(api, "prod", epoch, {"region": "north"})


def obj(**fields: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "web-0.17",
            "namespace": "shop",
            "uid": "u1",
            "resourceVersion": "42",
            "creationTimestamp": "2026-01-02T03:04:05Z",
            **fields.pop("metadata", {}),
        },
        "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web-0"},
        **fields,
    }


def line(type_: str = "ADDED", **fields: Any) -> bytes:
    return json.dumps({"type": type_, "object": obj(**fields)}).encode() + b"\n"


def one(**fields: Any) -> Event:
    block = decoder().block(line(**fields))
    assert not block.arrivals.poison
    (event,) = block.arrivals.events
    return event


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


# -- other lines


def test_deleted_and_bookmark_move_the_position_and_are_no_events() -> None:
    data = line("DELETED", metadata={"resourceVersion": "50"}) + line(
        "BOOKMARK", metadata={"resourceVersion": "60", "uid": None}
    )
    block = decoder(epoch=2).block(data)
    assert block.arrivals.events == []
    assert block.arrivals.gone == ["u1"]
    assert block.arrivals.position == 60
    assert block.bookmarks == 1


def test_position_follows_the_stream_and_not_the_highest_version() -> None:
    data = line(metadata={"resourceVersion": "90"}) + line(metadata={"resourceVersion": "80"})
    assert decoder().block(data).arrivals.position == 80


@pytest.mark.parametrize(
    "bad",
    [
        line(metadata={"uid": None}),
        line(metadata={"uid": ""}),
        line(metadata={"resourceVersion": None}),
        line(metadata={"resourceVersion": "abc"}),
        line(metadata={"resourceVersion": "-1"}),
        line(metadata={"resourceVersion": str(1 << 48)}),
        line(metadata={"creationTimestamp": None}),
        line(metadata={"creationTimestamp": "yesterday"}),
        b'{"type":"ADDED","object":{"metadata":null}}\n',
        line(message=5),
        line(count=10**30),
        line("DELETED", metadata={"uid": None}),
        b'{"type":"ADDED","object":null}\n',
        b'{"type":"ADDED"}\n',
        b'{"type":"ADDED","object":[]}\n',
    ],
)
def test_an_object_that_is_no_event_is_poison_and_its_neighbours_flow(bad: bytes) -> None:
    block = decoder().block(
        line(metadata={"uid": "a", "resourceVersion": "1"}) + bad + line(metadata={"uid": "b", "resourceVersion": "3"})
    )
    assert [event.entity for event in block.arrivals.events] == ["a", "b"]
    assert block.arrivals.added == [True, True]
    assert block.arrivals.poison == [bad.strip()]
    assert block.arrivals.position == 3
    assert block.garbage is None
    items = decoder().items(decoder().page(b'{"metadata":{"resourceVersion":"9"},"items":[{"metadata":{}}]}').items)
    assert items.poison == [b'{"metadata":{}}']


def test_poison_moves_the_position_past_itself_where_its_version_can_be_read() -> None:
    assert decoder().block(line(message=5, metadata={"resourceVersion": "77"})).arrivals.position == 77


def test_poison_is_capped() -> None:
    block = decoder().block(line(metadata={"uid": None}, message="x" * 200_000))
    assert [len(raw) for raw in block.arrivals.poison] == [POISON_CAP]


@pytest.mark.parametrize(
    "garbage",
    [
        b"<html>502</html>\n",
        b'{"type":"SURPRISE","object":{}}\n',
        b'{"object":{}}\n',
        b"[]\n",
        b'{"type":"ADDED","obj\n',
        b"[" * 100_000 + b"\n",
    ],
)
def test_garbage_stops_the_block_and_what_came_before_it_counts(garbage: bytes) -> None:
    first = line(metadata={"resourceVersion": "1"})
    block = decoder().block(first + garbage + line(metadata={"resourceVersion": "3"}))
    assert block.garbage == garbage[:POISON_CAP].rstrip(b"\n")
    assert [event.version for event in block.arrivals.events] == [1]
    assert block.arrivals.position == 1
    assert not block.arrivals.poison


def test_an_error_line_stops_the_block() -> None:
    status = {
        "kind": "Status",
        "metadata": {},
        "status": "Failure",
        "message": "too old",
        "reason": "Expired",
        "code": 410,
    }
    error = json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"
    block = decoder().block(line() + error + line())
    assert isinstance(block.error, Gone)
    assert len(block.arrivals.events) == 1


def test_an_error_line_with_another_code() -> None:
    status = {"code": 429, "message": "slow down", "reason": "TooManyRequests", "details": {"retryAfterSeconds": 7}}
    error = decoder().block(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n").error
    assert isinstance(error, Refused)
    assert (error.status, error.after, error.cause) == (429, 7.0, "TooManyRequests")
    broken = decoder().block(b'{"type":"ERROR","object":{"code":"x"}}\n').error
    assert isinstance(broken, Broken)


def test_blank_lines_are_nothing() -> None:
    block = decoder().block(b"\n \n" + line() + b"\n")
    assert len(block.arrivals.events) == 1 and block.garbage is None


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"metadata":{}}', b'{"metadata":{"resourceVersion":"x"}}', b"[" * 100_000]
)
def test_a_list_that_is_none_is_broken(body: bytes) -> None:
    with pytest.raises(Broken):
        decoder().page(body)
    with pytest.raises(Broken):
        decoder().listing(body)


def test_a_metadata_only_list() -> None:
    body = {
        "metadata": {"resourceVersion": "9", "continue": "tok"},
        "items": [{"metadata": {"uid": "a", "resourceVersion": "5"}}, {"metadata": {"uid": "b"}}, {"metadata": None}],
    }
    listing = decoder().listing(json.dumps(body).encode())
    assert (listing.version, listing.more, listing.entries) == (9, "tok", [("a", 5)])


def test_uid_of() -> None:
    assert uid_of(b'{"metadata":{"uid":"x"}}') == "x"
    assert uid_of(b'{"metadata":{}}') is None
    assert uid_of(b"<html>") is None


# -- any bytes

nulls = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
json_values = st.recursive(
    nulls, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
event_fields = st.dictionaries(
    st.sampled_from(
        [
            "metadata",
            "involvedObject",
            "reason",
            "message",
            "count",
            "series",
            "eventTime",
            "lastTimestamp",
            "source",
            "type",
        ]
    ),
    json_values | st.just({"uid": "u", "resourceVersion": "5", "creationTimestamp": "2026-01-02T03:04:05Z"}),
)
watch_lines = st.builds(
    lambda kind, fields: json.dumps({"type": kind, "object": fields}).encode() + b"\n",
    st.sampled_from(["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR", "OTHER"]),
    event_fields,
)


@given(
    st.lists(st.binary(max_size=40).map(lambda raw: raw + b"\n") | watch_lines, max_size=6),
    st.sampled_from(["core", "events"]),
)
@example([b'{"type":"ADDED","object":{"metadata":{"uid":"\\ud800","resourceVersion":"1"}}}\n'], "core")
def test_any_bytes_are_counted_and_none_raises(parts: list[bytes], api: Api) -> None:
    data = b"".join(parts)
    block = decoder(api).block(data)
    arrivals = block.arrivals
    assert block.lines == len(arrivals.events) + len(arrivals.gone) + len(arrivals.poison) + block.bookmarks
    assert len(arrivals.added) == len(arrivals.events)
    assert arrivals.size == len(data)
    lines = [raw for raw in data.split(b"\n") if raw.strip()]
    stopped = block.error is not None or block.garbage is not None
    assert block.lines < len(lines) if stopped else block.lines == len(lines)
    assert decode_lines(encode_lines(arrivals.events)) == arrivals.events


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_a_page_or_broken(body: bytes) -> None:
    for read in (decoder().page, decoder().listing):
        try:
            read(body)
        except Broken:
            continue
