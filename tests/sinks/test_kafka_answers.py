"""What each answer of a broker means for `kind: kafka`: whose events wait, which are cut, what a person reads."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.values import Secret, Size
from sinks._kafka_options import SaslConfig, TopicName
from tests.helpers.fakekafka import FakeKafka
from tests.helpers.fastclock import FastClock
from tests.helpers.sinks import batch_of, make_event
from tests.sinks.test_kafka import KafkaHarness, ids, opened

TEMPLATE = "events-{{ event.namespace }}"


@pytest.fixture
async def far() -> AsyncIterator[FakeKafka]:
    async with FakeKafka() as broker:
        yield broker


async def failure(sink: Any, *events: Any) -> SinkError:
    with pytest.raises(SinkError) as failed:
        await sink.send(batch_of(list(events) or [make_event(1)]))
    return failed.value


@contextlib.asynccontextmanager
async def closed(far: FakeKafka, **options: Any) -> AsyncIterator[Any]:
    """Make a sink that is not opened."""
    sink = KafkaHarness(far, pytest.MonkeyPatch()).sink(**options)
    try:
        yield sink
    finally:
        await sink.close()


# -- size ----------------------------------------------------------------------------------------


async def test_a_topic_that_takes_little_gets_little_batches(far: FakeKafka) -> None:
    far.topics = {"events": 1}
    far.judge = lambda _, __, ___, data: 10 if len(data) > 3000 else 0
    async with opened(far) as sink:
        assert (await sink.send(batch_of([make_event(n) for n in range(100)]))).failed == {}
        assert ids(far.kept) == [make_event(n).id for n in range(100)]
        tries = len(far.batches)
        await sink.send(batch_of([make_event(n) for n in range(100, 200)]))
        # Found out once: nothing is refused a second time.
        assert sum(count for _, _, count in far.batches[tries:]) == 100
    assert ids(far.kept) == [make_event(n).id for n in range(200)]


async def test_a_large_event_is_cut_and_says_so(far: FakeKafka) -> None:
    far.topics = {"events": 1}
    async with opened(far, max_message=Size(4096)) as sink:
        text = "head " + "x" * 16_000 + " tail"
        assert (await sink.send(batch_of([make_event(1), make_event(2, message=text), make_event(3)]))).failed == {}
    assert ids(far.kept) == [make_event(n).id for n in (1, 2, 3)]
    message = json.loads(far.kept[1].value)["message"]
    assert message.startswith("head x")
    assert message.endswith("x tail")
    assert "bytes cut" in message
    assert 2000 < len(message) < 4096


async def test_an_event_that_a_topic_refuses_is_cut(far: FakeKafka) -> None:
    far.topics = {"events": 1}
    far.judge = lambda _, __, ___, data: 10 if len(data) > 3000 else 0
    async with opened(far) as sink:
        sent = await sink.send(batch_of([make_event(1, message="x" * 9000), make_event(2)]))
    assert sent.failed == {}
    assert ids(far.kept) == [make_event(1).id, make_event(2).id]
    assert "bytes cut" in json.loads(far.kept[0].value)["message"]


async def test_what_cannot_be_made_small_is_rejected_alone(far: FakeKafka) -> None:
    far.topics = {"events": 1}
    far.judge = lambda _, __, ___, data: 10 if len(data) > 3000 else 0
    async with opened(far) as sink:
        large = make_event(2, labels={"a": "x" * 9000})
        sent = await sink.send(batch_of([make_event(1), large, make_event(3)]))
    assert list(sent.failed) == [1]
    assert isinstance(sent.failed[1], Rejected)
    assert sent.failed[1].reason == "too_large"
    assert ids(far.kept) == [make_event(1).id, make_event(3).id]


async def test_no_request_is_made_for_what_is_larger_than_max_message(far: FakeKafka) -> None:
    async with opened(far, max_message=Size(4096)) as sink:
        sent = await sink.send(batch_of([make_event(2, labels={"a": "x" * 9000})]))
    error = sent.failed[0]
    assert (type(error), error.reason) == (Rejected, "too_large")
    assert "max_message" in str(error)
    assert far.batches == []


# -- data ----------------------------------------------------------------------------------------


async def test_a_refused_record_is_found_by_the_runner(far: FakeKafka) -> None:
    """Kafka does not say which of several it means: the runner halves what is rejected as a whole."""
    far.topics = {"events": 1}
    far.judge = lambda _, __, records, ___: 87 if any(b"web-2" in r.value for r in records) else 0
    async with opened(far) as sink:
        error = await failure(sink, make_event(1), make_event(2))
        assert isinstance(error, Rejected)
        assert error.reason == "invalid"
        assert (await sink.send(batch_of([make_event(1)]))).failed == {}
        assert isinstance((await sink.send(batch_of([make_event(2)]))).failed[0], Rejected)


async def test_partitions_without_the_refused_record_go_on(far: FakeKafka) -> None:
    far.judge = lambda _, partition, __, ___: 87 if partition == 0 else 0
    events = [make_event(n) for n in range(30)]
    async with opened(far) as sink:
        sent = await sink.send(batch_of(events))
    refused = {index for index, event in enumerate(events) if event.id not in ids(far.kept)}
    assert 0 < len(refused) < 30
    assert set(sent.failed) == refused
    # To be sent once more, and then alone: only then is it known which.
    assert {(type(error), error.after) for error in sent.failed.values()} == {(Retry, 0.0)}


@pytest.mark.parametrize(
    ("code", "kind", "reason", "words"),
    [
        (29, Blocked, "acl", "kafka-acls.sh"),
        (17, Blocked, "topic", "events"),
        (76, Blocked, "compression", "compression"),
        (6, Retry, "leader", "leader"),
        (7, Retry, "unconfirmed", "confirm"),
        (20, Retry, "unconfirmed", "confirm"),
        (19, Retry, "replicas", "min.insync.replicas"),
        (-1, Retry, "unconfirmed", "confirm"),
        (99, Retry, "server", "99"),
        (32, Rejected, "timestamp", "message.timestamp"),
        (44, Rejected, "policy", "policy"),
    ],
)
async def test_codes(far: FakeKafka, code: int, kind: type[SinkError], reason: str, words: str) -> None:
    async with opened(far) as sink:
        far.error = code
        sent = await answer(sink)
        assert type(sent) is kind
        assert sent.reason == reason
        assert words in str(sent)
        far.error = 0
        assert (await sink.send(batch_of([make_event(1)]))).failed == {}
    assert ids(far.kept) == [make_event(1).id]


async def answer(sink: Any) -> SinkError:
    try:
        sent = await sink.send(batch_of([make_event(1)]))
    except SinkError as error:
        return error
    error: SinkError = sent.failed[0]
    return error


# -- topics --------------------------------------------------------------------------------------


async def test_a_topic_that_is_missing(far: FakeKafka) -> None:
    """The first time it may be in the making; then it is a person's turn. Made, it is written at once."""
    far.topics = {}
    async with opened(far) as sink:
        assert isinstance(await failure(sink), Retry)
        error = await failure(sink)
        assert isinstance(error, Blocked)
        assert "kafka-topics.sh --create --topic events" in str(error)
        far.topics = {"events": 2}
        assert (await sink.send(batch_of([make_event(1)]))).failed == {}


async def test_a_topic_that_we_may_not_see(far: FakeKafka) -> None:
    far.denied = {"events"}
    async with opened(far) as sink:
        error = await failure(sink)
        assert (type(error), error.reason) == (Blocked, "acl")


async def test_one_missing_topic_holds_back_its_own_events_only(far: FakeKafka) -> None:
    far.topics = {"events-shop": 1, "events-bank": 1}
    far.denied = {"events-bank"}
    events = [make_event(n, namespace=name) for n, name in enumerate(["shop", "lost", "bank", "shop"])]
    async with opened(far, topic=TEMPLATE) as sink:
        assert sink.destinations(batch_of(events)) == ["events-shop", "events-lost", "events-bank", "events-shop"]
        sent = await sink.send(batch_of(events))
        assert {index: error.destination for index, error in sent.failed.items()} == {
            1: "events-lost",
            2: "events-bank",
        }
        sent = await sink.send(batch_of(events[1:3]))
        assert {type(error) for error in sent.failed.values()} == {Blocked}
    assert ids(far.kept) == [events[0].id, events[3].id]
    assert {record.topic for record in far.kept} == {"events-shop"}


async def test_x4_what_cannot_stand_in_a_name_becomes_a_dash(far: FakeKafka) -> None:
    far.topics = {"events-a-b-": 1}
    async with opened(far, topic="events-{{ event.reason }}") as sink:
        assert (await sink.send(batch_of([make_event(1, reason="a/b\n")]))).failed == {}
    assert far.kept[0].topic == "events-a-b-"


async def test_a_partition_without_leader_waits(far: FakeKafka) -> None:
    far.topics = {"events": 1}
    far.leaderless = {0}
    async with opened(far) as sink:
        assert (await failure(sink)).reason == "leader"
        far.leaderless = set()
        assert (await sink.send(batch_of([make_event(1)]))).failed == {}


async def test_a_leader_that_moved_is_looked_up_at_once(far: FakeKafka) -> None:
    codes = iter([6, 0])
    far.topics = {"events": 1}
    far.judge = lambda *_: next(codes)
    async with opened(far) as sink:
        assert (await sink.send(batch_of([make_event(1)]))).failed == {}
    assert len(far.batches) == 2


@given(reason=st.text())
def test_x4_no_event_chooses_a_topic_of_somebody_else(reason: str) -> None:
    name = TopicName("events-{{ event.reason }}.{{ event.name }}").of(make_event(reason=reason, name=reason * 300))
    assert re.fullmatch(r"events-[A-Za-z0-9._-]{1,242}", name)


# -- trying out ----------------------------------------------------------------------------------


async def test_a_probe_writes_nothing(far: FakeKafka) -> None:
    async with opened(far) as sink:
        assert await sink.probe() == "The topic events has 3 partitions, and we may write to it."
    assert far.kept == []


async def test_a_probe_waits_for_a_broker_that_has_just_started(far: FakeKafka) -> None:
    """It gives out no producer ids yet. Those that never do are told of."""
    async with opened(far) as sink:
        sink._clock = FastClock()
        far.warming = 2
        assert await sink.probe() == "The topic events has 3 partitions, and we may write to it."
    async with opened(far) as sink:
        sink._clock = FastClock()
        far.warming = 1000
        with pytest.raises(Retry, match="no producer id now"):
            await sink.probe()


async def test_a_probe_finds_what_is_missing(far: FakeKafka) -> None:
    far.topics = {}
    async with opened(far) as sink:
        with pytest.raises(Blocked, match="There is no topic events"):
            await sink.probe()


async def test_a_probe_finds_a_right_that_is_missing(far: FakeKafka) -> None:
    async with opened(far) as sink:
        topics, far.denied = far.topics, set()
        await sink.send(batch_of([make_event(1)]))
        far.topics, far.denied = topics, {"events"}
        with pytest.raises(Blocked, match="may not write to the topic events"):
            await sink.probe()


# -- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"brokers": ["kafka"]}, "host with a port"),
        ({"topic": "no spaces"}, "name of a topic"),
        ({"topic": ".."}, "name of a topic"),
        ({"topic": "{{ event.namespace }}"}, "fixed beginning"),
        ({"topic": "events-{{ event.nam }}"}, "no field nam|fails"),
        ({"topic": "events-{{ event"}, "compiled"),
        ({"layout": "kube-eventer", "fields": {"a": "x"}}, "fields"),
    ],
)
def test_options_that_contradict(far: FakeKafka, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        KafkaHarness(far, pytest.MonkeyPatch()).config(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"mechanism": "PLAIN", "username": "a"},
        {"mechanism": "PLAIN", "username": "a", "password": Secret.literal("b"), "token": Secret.literal("c")},
        {"mechanism": "OAUTHBEARER", "username": "a", "password": Secret.literal("b")},
        {"mechanism": "OAUTHBEARER"},
    ],
)
def test_logins_that_contradict(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="sasl"):
        SaslConfig(**options)


@pytest.mark.parametrize(
    ("library", "compression"), [("aiokafka.client", "none"), ("cramjam", "lz4"), ("cramjam", "gzip")]
)
async def test_a_library_that_is_missing(
    far: FakeKafka, monkeypatch: pytest.MonkeyPatch, library: str, compression: str
) -> None:
    if library != "cramjam":
        monkeypatch.delitem(sys.modules, "sinks._kafka_client")
    monkeypatch.setitem(sys.modules, library, None)
    async with closed(far, compression=compression, topic="events") as sink:
        if compression == "gzip":  # comes with Python
            await sink.open(None)
            return
        with pytest.raises(Blocked, match=r"pip install 'eventer\[kafka\]'") as failed:
            await sink.open(None)
    assert failed.value.reason == "library"


def test_an_unknown_mechanism() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"mechanism": "GSSAPI"}, SaslConfig)
