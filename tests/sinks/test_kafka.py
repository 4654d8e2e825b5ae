"""`kind: kafka` against a broker of Kafka that plays every answer: the way of the events, whatever happens to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from aiokafka.client import AIOKafkaClient

from eventer.errors import Rejected, Retry
from eventer.event import encode_lines
from eventer.sink import Batch
from eventer.values import Duration, Secret
from sinks._kafka_options import SaslConfig
from tests.helpers.fakekafka import FakeKafka, Kept
from tests.helpers.sinks import CANARY, Harness, batch_of, columns, make_event

VARIANTS = ["fixed", "templated", "cloudevents", "gzip", "kube-eventer", "keyless"]


class KafkaHarness(Harness):
    """One broker; the canary is the password, and what the broker says when it refuses it."""

    kind = "kafka"
    absent: ClassVar = {"throttled": "a broker answers later in place of telling a time (quotas, KIP-219)"}

    def __init__(self, far: FakeKafka, monkeypatch: pytest.MonkeyPatch, variant: str = "fixed") -> None:
        self.far = far
        far.password = CANARY
        # One partition, so that the order is that of all events.
        far.topics = {"events": 1, "events-prod": 1}
        self._variant = variant
        self._patch = monkeypatch
        self._send = AIOKafkaClient.send
        self.sends_lines = variant in {"fixed", "cloudevents", "gzip", "keyless"}

    def options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "brokers": [self.far.server],
            "topic": "events",
            "timeout": Duration(3),
            "sasl": SaslConfig(mechanism="PLAIN", username="eventer", password=Secret.literal(CANARY)),
        }
        match self._variant:
            case "templated":
                options["topic"] = "events-{{ event.cluster }}"
            case "cloudevents":
                options["cloudevents"] = True
            case "gzip":
                options["compression"] = "gzip"
            case "kube-eventer":
                options["layout"] = "kube-eventer"
            case "keyless":
                options["key"] = "none"
        return options

    def arrived(self) -> list[str]:
        return [dict(record.headers)["event-id"].decode() for record in self.far.kept]

    def play(self, fault: str) -> None:
        codes = {"rejected": 87, "denied": 29, "too_large": 10, "unavailable": 19}
        self.far.error = codes.get(fault, 0)
        self.far.hang = fault == "timeout"
        self.far.cut = fault == "cut"
        if fault == "unknown":

            async def broken(*_: Any, **__: Any) -> None:
                raise ZeroDivisionError(CANARY)

            self._patch.setattr(AIOKafkaClient, "send", broken)

    def heal(self) -> None:
        self._patch.setattr(AIOKafkaClient, "send", self._send)
        self.far.error = 0
        self.far.hang = self.far.cut = False

    async def stall(self) -> None:
        self.far.hang = True
        self.far.came.clear()

    async def stalled(self) -> None:
        await self.far.came.wait()

    async def unstall(self) -> None:
        """Nothing: a request without answer holds nothing but its connection."""


@contextlib.asynccontextmanager
async def harness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str = "fixed"
) -> AsyncIterator[KafkaHarness]:
    async with FakeKafka() as far:
        yield KafkaHarness(far, monkeypatch, variant)


@pytest.fixture
async def far() -> AsyncIterator[FakeKafka]:
    async with FakeKafka() as broker:
        yield broker


def opened(far: FakeKafka, **options: Any) -> contextlib.AbstractAsyncContextManager[Any]:
    topics = dict(far.topics)
    made = KafkaHarness(far, pytest.MonkeyPatch())
    far.password, far.topics = None, topics
    return made.opened(**{"sasl": None, **options})


def ids(records: list[Kept]) -> list[str]:
    return [dict(record.headers)["event-id"].decode() for record in records]


# -- records ---------------------------------------------------------------------------------------


async def test_a_record(far: FakeKafka) -> None:
    event = make_event(1)
    async with opened(far) as sink:
        await sink.send(batch_of([event]))
    (record,) = far.kept
    assert record.value == encode_lines([event])[0]
    assert record.key == b"prod/Pod/shop/web-1"
    assert record.timestamp == int(event.time.timestamp() * 1000)
    assert record.headers == (("event-id", b"prod/0/uid-1/1001"), ("content-type", b"application/json"))


@pytest.mark.parametrize(("key", "expected"), [("entity", b"uid-1"), ("id", b"prod/0/uid-1/1001"), ("none", None)])
async def test_keys(far: FakeKafka, key: str, expected: bytes | None) -> None:
    async with opened(far, key=key) as sink:
        await sink.send(batch_of([make_event(1)]))
    assert far.kept[0].key == expected


@pytest.mark.parametrize("key", ["object", "entity", "id", "none"])
async def test_an_object_keeps_its_partition_whatever_the_key(far: FakeKafka, key: str) -> None:
    far.topics = {"events": 12}
    events = [make_event(n % 20, id=f"id-{n}", entity=f"entity-{n % 40}") for n in range(200)]
    async with opened(far, key=key) as sink:
        for start in range(0, 200, 50):
            await sink.send(batch_of(events[start : start + 50]))
    places: dict[str, set[int]] = {}
    for record in far.kept:
        places.setdefault(json.loads(record.value)["object"], set()).add(record.partition)
    assert len(places) == 20
    assert all(len(partitions) == 1 for partitions in places.values())
    assert len({record.partition for record in far.kept}) > 5
    for partition in range(12):
        arrived = [int(id_.removeprefix("id-")) for id_ in ids([r for r in far.kept if r.partition == partition])]
        assert arrived == sorted(arrived)


async def test_a_time_in_the_future_is_not_passed_on(far: FakeKafka) -> None:
    """Kafka refuses it, and a pod can write any time into an Event."""
    before = datetime.now(UTC)
    async with opened(far) as sink:
        await sink.send(batch_of([make_event(time=datetime(2999, 1, 1, tzinfo=UTC))]))
    assert before.timestamp() * 1000 - 1 <= far.kept[0].timestamp <= datetime.now(UTC).timestamp() * 1000


async def test_cloudevents_in_binary_mode(far: FakeKafka) -> None:
    event = make_event(1, reason="Straße")
    async with opened(far, cloudevents=True) as sink:
        await sink.send(batch_of([event]))
    headers = dict(far.kept[0].headers)
    assert headers["content-type"] == b"application/json"
    assert headers["ce_specversion"] == b"1.0"
    assert headers["ce_id"] == event.id.encode()
    assert headers["ce_source"] == b"/clusters/prod"
    assert headers["ce_reason"].decode() == "Straße"
    assert headers["ce_partitionkey"] == far.kept[0].key
    assert far.kept[0].value == encode_lines([event])[0]


async def test_the_layout_of_kube_eventer(far: FakeKafka) -> None:
    async with opened(far, layout="kube-eventer") as sink:
        await sink.send(batch_of([make_event(1, uid="pod-uid", event="shop/web-1.17f")]))
    value = json.loads(far.kept[0].value)
    assert value["EventTimestamp"] == "2026-03-01T12:00:01Z"
    assert value["EventTags"] == {"eventID": "uid-1", "hostname": "node-1", "pod_id": "pod-uid", "pod_name": "web-1"}
    inner = json.loads(value["EventValue"])
    assert inner["metadata"]["name"] == "web-1.17f"
    assert inner["involvedObject"]["name"] == "web-1"


async def test_fields_of_ones_own(far: FakeKafka) -> None:
    async with opened(far, fields=columns(msg="message", env="=prod")) as sink:
        await sink.send(batch_of([make_event(1, message="hello")]))
    assert json.loads(far.kept[0].value) == {"msg": "hello", "env": "prod"}


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
async def test_compressions(far: FakeKafka, codec: str) -> None:
    sizes: list[int] = []

    def judge(_: str, __: int, ___: list[Kept], data: bytes) -> int:
        sizes.append(len(data))
        return 0

    far.judge = judge
    far.topics = {"events": 1}
    async with opened(far, compression=codec) as sink:
        await sink.send(batch_of([make_event(n) for n in range(200)]))
    assert ids(far.kept) == [make_event(n).id for n in range(200)]
    assert (sum(sizes) < 30_000) == (codec != "none")


async def test_one_request_for_all_partitions(far: FakeKafka) -> None:
    async with opened(far) as sink:
        await sink.send(batch_of([make_event(n) for n in range(100)]))
    assert len(far.batches) == 3
    assert len(far.kept) == 100


async def test_an_event_that_is_none_is_rejected(far: FakeKafka) -> None:
    async with opened(far) as sink:
        with pytest.raises(Rejected):
            await sink.send(Batch([b'{"id": 1}']))


# -- written once --------------------------------------------------------------------------------


async def test_s5_a_lost_answer_writes_nothing_twice(far: FakeKafka) -> None:
    async with opened(far) as sink:
        far.lose = True
        batch = batch_of([make_event(n) for n in range(10)])
        with pytest.raises(Retry) as failed:
            await sink.send(batch)
        assert failed.value.reason == "connection"
        assert len(far.kept) == 10
        far.lose = False
        assert (await sink.send(batch)).failed == {}
    assert sorted(ids(far.kept)) == sorted(make_event(n).id for n in range(10))


async def test_what_is_unknown_goes_first_also_in_another_batch(far: FakeKafka) -> None:
    """A retry may hold other events as well: those of the unknown batch are not sent anew with them."""
    far.topics = {"events": 1}
    async with opened(far) as sink:
        far.lose = True
        with pytest.raises(Retry):
            await sink.send(batch_of([make_event(n) for n in range(4)]))
        far.lose = False
        assert (await sink.send(batch_of([make_event(n) for n in (2, 3, 4, 5)]))).failed == {}
        assert (await sink.send(batch_of([make_event(n) for n in (0, 1)]))).failed == {}
    # 0 and 1 came again as events of their own: nobody asked for them in between.
    assert ids(far.kept) == [make_event(n).id for n in (0, 1, 2, 3, 4, 5, 0, 1)]


async def test_cancelled_and_sent_again_is_written_once(far: FakeKafka) -> None:
    async with opened(far) as sink:
        far.hang = True
        batch = batch_of([make_event(n) for n in range(10)])
        sending = asyncio.create_task(sink.send(batch))
        await far.came.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        far.hang = False
        assert (await sink.send(batch)).failed == {}
    assert sorted(ids(far.kept)) == sorted(make_event(n).id for n in range(10))


async def test_a_broker_that_hangs_lets_nothing_that_others_took_come_twice(far: FakeKafka) -> None:
    """The time of the send is over while one broker is asked again; what another one confirmed counts."""
    async with FakeKafka() as frozen:
        frozen.hang = True
        far.give(2, frozen)
        async with opened(far, timeout=2.0) as sink:
            batch = batch_of([make_event(n) for n in range(20)])
            sent = await sink.send(batch)
            assert 0 < len(far.kept) == len(batch) - len(sent.failed)
            assert {error.reason for error in sent.failed.values()} == {"timeout"}
            frozen.hang = False
            again = batch_of([batch.events[index] for index in sent.failed])
            assert (await sink.send(again)).failed == {}
        assert sorted(ids(far.kept + frozen.kept)) == sorted(event.id for event in batch.events)


async def test_what_may_be_written_stays_unknown_until_it_is_confirmed(far: FakeKafka) -> None:
    """A later refusal says nothing of the first attempt."""
    async with opened(far) as sink:
        far.lose = True
        batch = batch_of([make_event(n) for n in range(10)])
        with pytest.raises(Retry):
            await sink.send(batch)
        far.lose, far.error = False, 19
        with pytest.raises(Retry):
            await sink.send(batch)
        far.error = 0
        assert (await sink.send(batch)).failed == {}
    assert sorted(ids(far.kept)) == sorted(make_event(n).id for n in range(10))


async def test_more_partitions_write_nothing_twice(far: FakeKafka) -> None:
    far.topics = {"events": 1}
    async with opened(far) as sink:
        far.lose = True
        batch = batch_of([make_event(n) for n in range(10)])
        with pytest.raises(Retry):
            await sink.send(batch)
        far.topics, far.lose, far.error = {"events": 8}, False, 6
        with pytest.raises(Retry):
            await sink.send(batch)
        far.error = 0
        assert (await sink.send(batch)).failed == {}
        assert ids(far.kept) == [make_event(n).id for n in range(10)]
        await sink.send(batch_of([make_event(n) for n in range(10, 40)]))
    assert len({record.partition for record in far.kept}) > 1


async def test_a_topic_made_anew_with_fewer_partitions_holds_nothing_back(far: FakeKafka) -> None:
    """What may have been written to the old ones is gone with them."""
    far.topics = {"events": 8}
    batch = batch_of([make_event(n) for n in range(40)])
    async with opened(far) as sink:
        far.lose = True
        with pytest.raises(Retry):
            await sink.send(batch)
        far.anew(events=2)
        far.lose = False
        wait = batch
        for _ in range(4):
            with contextlib.suppress(Retry):
                failed = (await sink.send(wait)).failed
                wait = wait.pick(list(failed))
                if not failed:
                    break
    assert sorted(ids(far.kept)) == sorted(make_event(n).id for n in range(40))


async def test_an_earlier_batch_that_is_refused_now_harms_no_other(far: FakeKafka) -> None:
    far.topics = {"events": 1}
    far.judge = lambda _, __, records, ___: 87 if any(b"web-1" in r.value for r in records) else 0
    async with opened(far) as sink:
        far.deaf = True
        with pytest.raises(Retry):
            await sink.send(batch_of([make_event(1), make_event(2)]))
        far.deaf = False
        assert (await sink.send(batch_of([make_event(3)]))).failed == {}
    assert ids(far.kept) == [make_event(3).id]


async def test_a_producer_that_is_forgotten_begins_anew(far: FakeKafka) -> None:
    async with opened(far) as sink:
        await sink.send(batch_of([make_event(1)]))
        far.forget()
        with pytest.raises(Retry) as failed:
            await sink.send(batch_of([make_event(1, id="second")]))
        assert (failed.value.reason, failed.value.after) == ("producer", 0.0)
        assert (await sink.send(batch_of([make_event(1, id="second")]))).failed == {}
    assert ids(far.kept) == [make_event(1).id, "second"]


async def test_a_refused_batch_takes_no_number(far: FakeKafka) -> None:
    async with opened(far) as sink:
        await sink.send(batch_of([make_event(1)]))
        far.error = 87
        with pytest.raises(Rejected):
            await sink.send(batch_of([make_event(1, id=f"bad-{n}") for n in range(3)]))
        far.error = 0
        await sink.send(batch_of([make_event(1, id="next")]))
    assert ids(far.kept) == [make_event(1).id, "next"]


async def test_a_far_side_without_producer_ids(far: FakeKafka) -> None:
    far.numbers = False
    async with opened(far) as sink:
        await sink.send(batch_of([make_event(1)]))
    assert len(far.kept) == 1


async def test_a_broker_that_went_away_and_came_back(far: FakeKafka) -> None:
    async with opened(far) as sink:
        await sink.send(batch_of([make_event(1)]))
        far.drop()
        assert (await sink.send(batch_of([make_event(2)]))).failed == {}
    assert ids(far.kept) == [make_event(1).id, make_event(2).id]
