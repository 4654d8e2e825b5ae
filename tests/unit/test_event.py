"""The record: its line, its keys, its version."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventer.event import (
    EPOCH_SHIFT,
    Event,
    Origin,
    decode_lines,
    encode_lines,
    own_record,
    problem_key,
    version_of,
)
from tests.helpers.sinks import HOSTILE, make_event

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    st.builds(
        make_event,
        message=TEXT,
        name=TEXT,
        delta=st.none() | st.integers(0, 9),
        first=st.none() | st.datetimes(timezones=st.just(UTC)),
        time=st.datetimes(timezones=st.just(UTC)),
        labels=st.dictionaries(TEXT, TEXT, max_size=3),
        version=st.integers(0, (1 << 63) - 1),
        count=st.integers(0, (1 << 63) - 1),
        origin=st.sampled_from(Origin),
    )
)
def test_a_line_says_all_of_an_event_and_is_one_line(event: Event) -> None:
    (line,) = encode_lines([event])
    assert b"\n" not in line and b"\r" not in line
    assert decode_lines([line]) == [event]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_stays_in_its_line(text: str) -> None:
    (line,) = encode_lines([make_event(message=text)])
    assert len(line.splitlines()) == 1
    assert decode_lines([line])[0].message == text


def test_fields_that_say_nothing_are_not_in_the_line() -> None:
    empty = make_event(component="", node="", field_path="")
    keys = msgspec.json.decode(encode_lines([empty])[0]).keys()
    assert not keys & {"delta", "first", "component", "node", "field_path", "labels", "action", "uid"}
    assert {"id", "time", "cluster", "namespace", "count", "entity", "version", "problem"} <= keys


def test_a_line_of_a_later_version_can_be_read() -> None:
    line = encode_lines([make_event(1)])[0][:-1] + b',"later":{"a":[1]}}'
    assert decode_lines([line]) == [make_event(1)]


@pytest.mark.parametrize("line", [b"", b"{}", b"[]", b"\xff", b'{"id":1}'])
def test_what_is_no_line_of_ours_is_refused(line: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_lines([line])


@given(
    st.tuples(st.integers(0, 32_767), st.integers(0, (1 << EPOCH_SHIFT) - 1)),
    st.tuples(st.integers(0, 32_767), st.integers(0, (1 << EPOCH_SHIFT) - 1)),
)
def test_versions_are_ordered_by_epoch_first_and_fit_a_signed_integer(a: tuple[int, int], b: tuple[int, int]) -> None:
    assert (version_of(*a) < version_of(*b)) == (a < b)
    assert version_of(*a) < 1 << 63


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("", "c/Pod/n/p/BackOff"),
        ("spec.containers{web}", "c/Pod/n/p/BackOff/web"),
        ("spec.initContainers{init-1}", "c/Pod/n/p/BackOff/init-1"),
        ("spec.nodeName", "c/Pod/n/p/BackOff"),
        ("spec.containers{}", "c/Pod/n/p/BackOff/"),
        ("spec.containers{open", "c/Pod/n/p/BackOff/open"),
    ],
)
def test_a_problem_is_an_object_a_reason_and_a_container(path: str, key: str) -> None:
    assert problem_key("c/Pod/n/p", "BackOff", path) == key


def test_an_own_record_is_an_event_like_others() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    record = own_record(now, "GapBacklog", "Words.", cluster="prod")
    assert (record.origin, record.type, record.time, record.cluster) == (Origin.EVENTER, "Warning", now, "prod")
    assert record.problem == "prod/Eventer//eventer/GapBacklog"
    assert decode_lines(encode_lines([record])) == [record]
