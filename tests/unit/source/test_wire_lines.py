"""Lines that are no events, and bytes that no server would send."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventer.errors import Broken, Gone, Refused
from eventer.event import decode_lines, encode_lines
from eventer.source.envelope import POISON_CAP, uid_of
from eventer.source.wire import Api
from tests.helpers.wire import decoder, line


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


def test_the_position_is_a_resource_version_whatever_the_epoch() -> None:
    assert decoder(epoch=2).block(line()).arrivals.position == 42
    assert decoder(epoch=2).block(line() + line(metadata={"uid": None})).arrivals.position == 42


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
