"""What the mirror holds: a text that is read back as it was, and refused in words where it is none."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventer.event import Outcome, version_of
from eventer.journal import AlertingRecord, ReaderRecord, StreamKey
from eventer.journal.records import Carried, Resumed
from eventer.mirror.record import (
    LARGEST,
    NOTHING,
    Cluster,
    Kept,
    Reached,
    StreamKept,
    TooLarge,
    Unusable,
    decode,
    encode,
)

ALL = [(None, "events"), ("prod", "events/shop")]


def kept(sinks: dict[str, Reached], *, names: dict[str, int] | None = None, epoch: int = 3) -> Kept:
    stream = StreamKept(cluster="prod", scope="events", read=Reached(epoch, 500, 50.0), sinks=sinks)
    return Kept(
        instance="i",
        clusters={"prod": Cluster(uid="u", epoch=epoch)},
        streams=[stream],
        sinks=dict.fromkeys(sinks, 0) if names is None else names,
    )


def test_it_is_read_back_as_it_was() -> None:
    document = kept({"a": Reached(3, 400, 40.0), "b": Reached(2, 900, 1.5)})
    assert decode(encode(document)) == document


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("", "no mirror of Eventer"),
        ("null", "no mirror"),
        ("[]", "no mirror"),
        ("{", "no mirror"),
        ("\ud83d", "no mirror"),
        ({"instance": 5}, "Expected `str`"),
        ({"clusters": {}}, "of a cluster that is not there"),
        ({"clusters": {"prod": {"uid": "u", "epoch": 2}}}, "in an epoch that its cluster has not reached"),
        ({"clusters": {"prod": {"uid": "u", "epoch": -1}}}, ">= 0"),
        ({"sinks": {"a": -1}}, ">= 0"),
        ({"format": 2}, "written by a newer Eventer"),
        ({"streams": [{"cluster": "prod", "scope": "events", "read": {}, "sinks": {}}]}, "missing required"),
    ],
)
def test_what_is_no_mirror_is_refused_in_words(change: Any, told: str) -> None:
    document = json.loads(encode(kept({"a": Reached(3, 400, 40.0)})))
    text = change if isinstance(change, str) else json.dumps(document | change)
    with pytest.raises(Unusable, match=told):
        decode(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_any_text_is_read_or_refused(value: Any) -> None:
    with pytest.raises(Unusable):
        decode(msgspec.json.encode(value).decode())


def test_positions_that_no_version_can_hold_are_refused() -> None:
    text = encode(kept({"a": Reached(3, 400, 40.0)})).replace("400", str(1 << 48))
    with pytest.raises(Unusable):
        decode(text)


def test_more_than_a_configmap_holds_is_refused_with_what_to_do() -> None:
    document = kept({f"{n:0200}": Reached(0, n, 1.0) for n in range(4000)})
    assert len(msgspec.json.encode(document)) > LARGEST
    with pytest.raises(
        TooLarge, match=r"would need .* KiB for 1 streams and 4000 sinks.*Read more namespaces with one"
    ):
        encode(document)


# -- what a new journal takes over -----------------------------------------------------------------


def test_a_stream_begins_where_the_last_sink_is_and_the_others_skip() -> None:
    document = kept({"a": Reached(3, 400, 40.0), "b": Reached(3, 90, 9.0)})
    adopted = document.adopted({"a": True, "b": True}, ALL)
    record = adopted.streams[StreamKey("prod", "events")]
    assert (record.epoch, record.position, record.contact) == (3, 90, 9.0)
    assert record.high == version_of(3, 90)
    assert adopted.clusters["prod"].uid == "u"
    assert adopted.clusters["prod"].epoch == 3
    assert adopted.readers["a"].versions == {"prod": {"events": version_of(3, 400)}}
    assert adopted.readers["b"].versions == {"prod": {"events": version_of(3, 90)}}


def test_an_older_epoch_lies_behind_a_higher_position() -> None:
    adopted = kept({"a": Reached(3, 10, 40.0), "b": Reached(2, 900, 9.0)}).adopted({"a": True, "b": True}, ALL)
    record = adopted.streams[StreamKey("prod", "events")]
    assert (record.epoch, record.position) == (2, 900)  # not the cluster's epoch: the stream will list


def test_a_sink_that_settled_nothing_makes_the_stream_list_and_start_counts_as_over() -> None:
    document = kept({"a": Reached(3, 400, 40.0)}, names={"a": 0, "b": 0})
    adopted = document.adopted({"a": True, "b": True}, ALL)
    record = adopted.streams[StreamKey("prod", "events")]
    assert record.position is None
    assert record.contact == 40.0
    assert adopted.readers["b"].versions == {}


def test_a_new_sink_begins_with_what_comes_next_or_with_what_is_read_again() -> None:
    document = kept({"a": Reached(3, 400, 40.0)})
    adopted = document.adopted({"a": True, "head": True, "oldest": False}, ALL)
    assert adopted.streams[StreamKey("prod", "events")].position == 400
    assert adopted.readers["head"].versions == {"prod": {"events": version_of(3, 500)}}
    assert "oldest" not in adopted.readers


def test_a_sink_that_is_gone_holds_nothing_back() -> None:
    document = kept({"a": Reached(3, 400, 40.0), "gone": Reached(3, 1, 1.0)})
    assert document.adopted({"a": True}, ALL).streams[StreamKey("prod", "events")].position == 400
    assert document.adopted({"new": True}, ALL).streams[StreamKey("prod", "events")].position == 500


@pytest.mark.parametrize("scopes", [[("prod", "events/shop")], [("other", "events")], [(None, "events?type=Warning")]])
def test_streams_that_are_read_no_more_are_not_taken_over(scopes: list[tuple[str | None, str]]) -> None:
    adopted = kept({"a": Reached(3, 400, 40.0)}).adopted({"a": True}, scopes)
    assert (adopted.streams, adopted.clusters) == ({}, {})
    assert adopted.readers["a"].versions == {}


def test_namespaces_chosen_by_label_are_taken_over_whichever_they_are() -> None:
    document = kept({"a": Reached(3, 400, 40.0)})
    assert document.adopted({"a": True}, [("prod", "events/*")]).streams == {}
    document.streams[0] = msgspec.structs.replace(document.streams[0], scope="events/shop")
    assert [*document.adopted({"a": True}, [("prod", "events/*")]).streams] == [StreamKey("prod", "events/shop")]
    assert document.adopted({"a": True}, [("prod", "events")]).streams == {}
    assert document.adopted({"a": True}, [("prod", "events/*?type=Warning")]).streams == {}


def told(**changes: Any) -> Carried:
    values = {"origin": -3, "cursor": 5, "represented": 6, "unmatched": 1, "waiting": 1, "opened": 2} | changes
    notifier = ReaderRecord(origin=0, cursor=2, outcomes={Outcome.DELIVERED: 1, Outcome.DEAD: 1})
    return Carried(alerting=AlertingRecord(**values), notifier=notifier, state=b"\x00\xff what it remembers")


def notified(carried: Carried, reached: Reached) -> Kept:
    document = kept({"a": Reached(3, 400, 40.0), "chat": reached})
    document.notifiers["chat"] = carried
    document.sinks["chat"] = 1
    return document


def test_what_a_notifier_was_told_is_read_back_and_goes_on_at_the_head_of_another_journal() -> None:
    document = decode(encode(notified(told(), Reached(3, 90, 9.0))))
    assert document.notifiers == {"chat": told()}
    adopted = document.adopted({"a": True, "chat": True}, ALL, {"chat"})
    assert adopted.streams[StreamKey("prod", "events")].position == 90
    assert [*adopted.readers] == ["a"]
    carried, resumed = adopted.notifiers["chat"]
    assert resumed == Resumed(versions={"prod": {"events": version_of(3, 90)}}, dead=1)
    begun = carried.begun(7, resumed)
    assert (begun.alerting.origin, begun.alerting.cursor, begun.balanced) == (-1, 7, True)
    assert begun.notifier.outcomes == {Outcome.DELIVERED: 1, Outcome.DROPPED: 1}


@pytest.mark.parametrize(
    "carried",
    [
        told(represented=7),
        told(opened=3),
        told(waiting=-1, represented=8),
        msgspec.structs.replace(NOTHING, notifier=told().notifier),
    ],
)
def test_books_that_do_not_balance_are_refused(carried: Carried) -> None:
    with pytest.raises(Unusable, match="books of the notifier chat do not balance"):
        decode(encode(notified(carried, Reached(3, 90, 9.0))))


@pytest.mark.parametrize(("notifies", "was_one"), [(True, False), (False, True)])
def test_a_sink_that_became_another_kind_begins_as_a_new_one(*, notifies: bool, was_one: bool) -> None:
    document = kept({"a": Reached(3, 400, 40.0), "chat": Reached(3, 90, 9.0)})
    if was_one:
        document.notifiers["chat"] = told()
    adopted = document.adopted({"a": True, "chat": True}, ALL, {"chat"} if notifies else ())
    assert adopted.streams[StreamKey("prod", "events")].position == 400
    new = {"prod": {"events": version_of(3, 500)}}
    if notifies:
        carried, resumed = adopted.notifiers["chat"]
        assert (carried, resumed.versions) == (NOTHING, new)
    else:
        assert adopted.readers["chat"].versions == new
