"""`kind: kafka`: events as records of a topic, confirmed by all replicas in sync.

Within one life of the process a batch is written once, also where answers get lost
(`sinks._kafka_producer`); after kill -9 the last sends may come twice, and the header `event-id` tells.
"""

from __future__ import annotations

import asyncio
import importlib
import re
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Final, Literal
from zlib import crc32

import msgspec
from msgspec import Meta

from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.layout import Column
from eventer.sink import Batch, Sent, SinkConfig, SinkContext
from eventer.values import Size
from sinks._failures import missing
from sinks._kafka_options import SaslConfig, TopicName
from sinks._tls import TlsConfig

if TYPE_CHECKING:
    from sinks._kafka_client import Wire
    from sinks._kafka_producer import Chunk, Place, Producer, Results
    from sinks._kafka_records import Form, Load

__all__ = ["Config", "Sink"]

_SERVER: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")
_REQUESTS: Final = 0.45
"""Part of the time for a send that one answer may take: a broker that is frozen leaves time for another."""
_SEND: Final = 0.9
"""Part of the time that a send takes at most; what got through by then can be said only before the runner cancels."""
_LEAST_MESSAGE: Final = 2048
"""Bytes; an event of the kubelet without its message has about 700."""
_PROBE_WAITS: Final = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Seconds between the attempts of a probe to get a producer id."""
_OF_TOPIC: Final = frozenset({"topic", "acl", "compression", "version", "replicas", "leader", "unconfirmed", "server"})
"""Reasons that say something of one topic; others are about a broker, or about us."""


class Config(SinkConfig, kw_only=True):
    """Options of `kind: kafka`."""

    brokers: Annotated[list[str], Meta(min_length=1, examples=[["kafka-0:9092", "kafka-1:9092"]])]
    """`host:port` of some brokers; the others are learnt from them. Any one that answers is enough."""
    topic: Annotated[str, Meta(examples=["k8s-events"])]
    """Name of the topic. It must exist. With a template behind a fixed beginning, such as
    `events-{{ event.namespace }}`, each event names its own; what cannot stand in a name becomes a dash. A topic
    that is missing or forbidden holds back its own events only."""
    key: Literal["object", "entity", "id", "none"] = "object"
    """Key of the records: the `object` that the event is about; the `entity`, one per Event, for a compacted
    topic of latest states; the `id`, one per occurrence, for a compacted topic without repeats; or `none`.
    All events of an object go to the same partition, whatever the key."""
    layout: Literal["eventer", "kube-eventer"] = "eventer"
    """Value of the records: the event as JSON (`eventer`), or as kube-eventer writes it (`kube-eventer`)."""
    fields: dict[str, Column] = msgspec.field(default_factory=dict)
    """Value of one's own in place of a layout: names, and where each comes from."""
    cloudevents: bool = False
    """Add the attributes of CloudEvents 1.0 as headers (`ce_id`, `ce_type`, ...), in binary mode."""
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "none"
    """Compression of batches. `zstd` or `lz4` make a fifth of them for little time."""
    max_message: Size = Size(1_000_000)
    """Most bytes of one batch before compression; not more than the topic's max.message.bytes. Where the topic
    takes less, that is found out. The message of a single larger event is cut, and says so."""
    tls: TlsConfig | None = None
    """Speak TLS: whom to trust, and our own certificate. `tls: {}` trusts what the system trusts."""
    sasl: SaslConfig | None = None
    """Log in: mechanism, user name and password, or a token."""
    client_id: Annotated[str, Meta(min_length=1, max_length=200)] = "eventer"
    """Name by which brokers know us in their logs, metrics and quotas."""

    def __post_init__(self) -> None:
        """Check what goes together.

        Raises:
            ValueError: with the remedy.
        """
        super().__post_init__()
        for server in self.brokers:
            if not _SERVER.fullmatch(server):
                raise ValueError(f"brokers: {server[:60]!r} is no host with a port; write for example kafka-0:9092")
        if self.fields and self.layout != "eventer":
            raise ValueError("fields: they take the place of a layout; leave `layout` or `fields` out")
        if self.max_message < _LEAST_MESSAGE:
            raise ValueError(f"max_message: an event needs some room; write at least {_LEAST_MESSAGE}")
        TopicName(self.topic)


class Sink:
    """See `eventer.sink.Sink`."""

    def __init__(self, config: Config, context: SinkContext) -> None:
        self._config = config
        self._clock = context.clock
        self._topic = TopicName(config.topic)
        self._form: Form
        self._wire: Wire | None = None
        self._producer: Producer
        self._missing: set[str] = set()
        """Topics that were not there when last looked for."""
        self._most: dict[str, int] = {}
        """Bytes of a batch that topics were found to take, where that is less than `max_message`."""

    async def open(self, state: bytes | None) -> None:
        """Connect to a broker.

        Raises:
            Retry, Blocked: none can be used now, a file cannot, or the library is missing.
        """
        config = self._config
        if self._wire is None:
            try:
                from sinks._kafka_client import Wire
                from sinks._kafka_producer import Producer
                from sinks._kafka_records import Form

                if config.compression in {"snappy", "lz4", "zstd"}:  # aiokafka looks for it only when a batch is made
                    importlib.import_module("cramjam")
            except ImportError as error:
                raise missing("kafka", error) from None
            self._form = Form(self._topic, config.key, config.layout, config.fields, cloudevents=config.cloudevents)
            self._wire = Wire(
                config.brokers,
                client_id=config.client_id,
                timeout=_REQUESTS * config.timeout,
                tls=config.tls,
                sasl=config.sasl,
            )
            self._producer = Producer(self._wire, config.compression)
        await self._wire.open()

    async def close(self) -> None:
        """Close the connections."""
        if self._wire is not None:
            await self._wire.close()

    def destinations(self, batch: Batch) -> Sequence[str]:
        """Name the topic of each event; nothing where all have the same."""
        if self._topic.fixed:
            return [""] * len(batch)
        return [self._named(event) for event in batch.events]

    def _named(self, event: object) -> str:
        try:
            return self._topic.of(event)
        except ValueError:  # `send` says what is wrong with it
            return ""

    async def probe(self) -> str:
        """Prove that the topic can be written, without writing to it.

        Returns:
            What was proved, in a sentence.

        Raises:
            Retry, Blocked: it cannot be written now.
        """
        await self.open(None)
        assert self._wire is not None
        if not self._topic.fixed:
            return "A broker answers and lets us in. Which topics are written is known only with each event."
        await self._look_up({self._topic.fixed}, once=True)
        for wait in (*_PROBE_WAITS, None):  # a broker that has just started gives out no numbers for a moment
            try:
                await self._producer.begin()
                break
            except Retry as error:
                if error.reason != "producer" or wait is None:
                    raise
                await self._clock.sleep(wait)
        count = len(self._wire.partitions(self._topic.fixed))
        await self._producer.try_out((self._topic.fixed, 0))
        return f"The topic {self._topic.fixed} has {count} partition{'s' * (count != 1)}, and we may write to it."

    async def send(self, batch: Batch) -> Sent:
        """Send the events, a batch to each partition.

        Raises:
            Retry, Rejected, Blocked: none of them got through.
        """
        from sinks._kafka_records import Load

        load = Load(batch, self._form, int(self._clock.now().timestamp() * 1000))
        assert self._wire is not None
        try:
            async with asyncio.timeout(_SEND * self._config.timeout):
                await self._wire.open()
                await self._deliver(load)
        except TimeoutError:
            self._fail(load, load.open, self._wire.fault(TimeoutError()))
        except SinkError as error:
            self._fail(load, load.open, error)
        return _sent(load)

    # -- the way of one send -----------------------------------------------------------------------

    async def _deliver(self, load: Load) -> None:
        topics = {self._topic.fixed} if self._topic.fixed else {load.topics[i] for i in load.open}
        for topic, wrong in (await self._look_up(topics)).items():
            self._fail(load, [i for i in load.open if load.topics[i] == topic], wrong, topic)
        await self._producer.begin()
        plan = self._plan(load)
        while plan:
            chunks = []
            for place, left in plan.items():
                chunk = self._producer.unsettled.get(place) or self._chunk(load, place, left)
                if chunk is not None:
                    chunks.append(chunk)
            results: Results = {}
            try:
                await self._producer.send(chunks, results)
            finally:  # also where the time is over: what is written by then must not be sent again
                for chunk in chunks:
                    if chunk.place in results:
                        self._answered(load, chunk, plan[chunk.place], results[chunk.place])
            plan = {place: left for place, left in plan.items() if left}

    async def _look_up(self, topics: set[str], *, once: bool = False) -> dict[str, SinkError]:
        """Learn about topics; return what is wrong with which, or raise it where there is only one.

        Args:
            once: do not wait for a topic that a broker may be making at this moment.
        """
        assert self._wire is not None
        wrong: dict[str, SinkError] = {}
        missing = await self._wire.look_up(topics)
        for topic in missing:
            if self._wire.denied(topic):
                wrong[topic] = Blocked(
                    f"We may not see the topic {topic}. Give the user the right: `kafka-acls.sh --add "
                    f"--allow-principal User:NAME --operation Write --operation Describe --topic {topic}`.",
                    reason="acl",
                )
            elif topic in self._missing or once:
                wrong[topic] = Blocked(
                    f"There is no topic {topic}. Make it: `kafka-topics.sh --create --topic {topic} --partitions 6 "
                    "--replication-factor 3`.",
                    reason="topic",
                )
            else:  # brokers with auto.create.topics.enable make it when they are asked for it
                wrong[topic] = Retry(f"The topic {topic} is not there yet.", reason="topic")
        self._missing = (self._missing - topics) | {topic for topic in missing if not self._wire.denied(topic)}
        if self._topic.fixed:
            for error in wrong.values():
                raise error
        return wrong

    def _plan(self, load: Load) -> dict[Place, deque[int]]:
        """Say which events go to which partition, in their order."""
        assert self._wire is not None
        plan: dict[Place, deque[int]] = {}
        left = load.open
        if self._producer.unsettled:
            for topic, partition in list(self._producer.unsettled):  # a topic made anew can have fewer partitions
                among = self._wire.partitions(topic)
                if among and partition not in among:
                    del self._producer.unsettled[topic, partition]
            places = {id_: place for place, chunk in self._producer.unsettled.items() for id_ in chunk.ids}
            for index in left:
                place = places.get(load.heads[index].id)
                if place is not None:
                    plan.setdefault(place, deque()).append(index)
            known = {index for indexes in plan.values() for index in indexes}
            left = [index for index in left if index not in known]
        topics: dict[str, Sequence[int]] = {self._topic.fixed: left}
        if not self._topic.fixed:
            topics = {name: [i for i in left if load.topics[i] == name] for name in {load.topics[i] for i in left}}
        objects = load.objects
        for topic, indexes in topics.items():
            among = self._wire.partitions(topic)
            rows = [plan.get((topic, partition), deque()) for partition in among]
            n = len(rows)
            for index in indexes:
                rows[crc32(objects[index]) % n].append(index)
            plan |= {(topic, partition): row for partition, row in zip(among, rows, strict=True) if row}
        return plan

    def _chunk(self, load: Load, place: Place, left: deque[int]) -> Chunk | None:
        """Make the next batch for a partition; None where nothing of it can be sent."""
        most = int(self._config.max_message)
        while left and load.size(left[0]) > most and not load.cut(left[0], most):
            size = load.size(left[0])
            words = f"The event has {size} bytes without its message, and max_message is {most}."
            self._fail(load, [left.popleft()], Rejected(words, reason="too_large"))
        if not left:
            return None
        return self._producer.chunk(place, load.records(left), self._most.get(place[0], most))

    def _answered(self, load: Load, chunk: Chunk, left: deque[int], error: SinkError | None) -> None:
        """Note what became of one batch."""
        if error is None:
            self._written(load, chunk, left)
        elif isinstance(error, Rejected):
            self._refused(load, chunk, left, error)
        else:
            self._fail(load, left, error, chunk.place[0])
            left.clear()

    def _written(self, load: Load, chunk: Chunk, left: deque[int]) -> None:
        """Note what arrived; after an unknown outcome these may be other events than the next ones."""
        ids = set(chunk.ids)
        arrived: list[int] = []
        rest: list[int] = []
        for index in left:
            (arrived if load.heads[index].id in ids else rest).append(index)
        load.delivered.update(arrived)
        if chunk.duplicate:
            load.duplicates += len(arrived)
        left.clear()
        left.extend(rest)

    def _refused(self, load: Load, chunk: Chunk, left: deque[int], error: Rejected) -> None:
        """Go on with a smaller batch, or without the event that Kafka refuses, if it is known which one."""
        if chunk.ids[0] != load.heads[left[0]].id:
            return  # a batch of an earlier send, now known not to be written: its events come again, if at all
        if chunk.count == 1:
            if error.reason != "too_large" or not load.cut(left[0], load.size(left[0]) // 2):
                self._fail(load, [left.popleft()], error)
        elif error.reason == "too_large":
            topic = chunk.place[0]
            size = sum(load.size(i) for i in list(left)[: chunk.count])
            self._most[topic] = max(min(size, self._most.get(topic, size)) // 2, 1)
        else:
            self._fail(load, left, _Several(str(error), reason=error.reason))
            left.clear()

    def _fail(self, load: Load, indexes: Iterable[int], error: SinkError, topic: str = "") -> None:
        """Note why events failed.

        Args:
            topic: the topic that they go to; given where the error may be about it alone.
        """
        if topic and not self._topic.fixed and error.reason in _OF_TOPIC:
            error = type(error)(str(error), reason=error.reason, after=error.after, destination=topic)
        load.failed.update(dict.fromkeys(indexes, error))


class _Several(Rejected):
    """One of several events is refused, and Kafka does not say which."""


def _sent(load: Load) -> Sent:
    """Say what became of a batch."""
    errors = load.failed
    if len(errors) == len(load):
        kinds = set(map(type, errors.values()))
        if kinds == {_Several}:
            raise Rejected(str(errors[0]), reason=errors[0].reason)
        whole = [error for error in errors.values() if not (error.destination or isinstance(error, Rejected))]
        if len(whole) == len(load):
            raise next((error for error in whole if isinstance(error, Blocked)), whole[0])
    return Sent(
        duplicates=load.duplicates,
        failed={
            index: Retry(f"{error} Which event it means will show.", reason=error.reason, after=0.0)
            if isinstance(error, _Several)
            else error
            for index, error in errors.items()
        },
    )
