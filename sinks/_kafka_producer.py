"""Batches that Kafka writes once, as long as this process lives: the idempotent producer's part of the protocol.

Each batch to a partition carries a producer id and the number of its first record. A broker knows the
last five batches of an id on each partition, and answers a repeat as it answered the first time; a gap it
refuses (https://kafka.apache.org/documentation/#semantics, KIP-98). So a batch whose outcome is unknown is
kept here and must be sent again with the same bytes, before anything else goes to its partition. When the
broker does not know the id any more, a new one begins, and what was unknown may be written twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from eventer.errors import Blocked, Rejected, Retry, SinkError
from sinks._kafka_client import Wire, builder

__all__ = ["Chunk", "Place", "Producer", "Record", "Results"]

_SEQUENCES: Final = 1 << 31
"""Sequence numbers count up to here and begin again at 0."""

# Numbers from https://kafka.apache.org/protocol#protocol_error_codes.
_DUPLICATE: Final = 46
_TOO_FEW_REPLICAS: Final = 19
_LOST_IDENTITY: Final = frozenset({45, 47, 49, 59, 90})
"""Out of order, wrong epoch, unknown id: this producer id is of no more use."""
_MOVED: Final = frozenset({3, 5, 6, 9, 13, 56, 72, 74, 75, 100})
"""The partition is led by another broker, or by none at the moment; nothing was written."""
_UNSURE: Final = frozenset({-1, 7, 20})
"""It may be written: an unexpected error, too slow replicas, too few replicas after the append."""
_DATA: Final[Mapping[int, tuple[str, str]]] = {
    10: ("too_large", "Kafka takes no message of this size (MESSAGE_TOO_LARGE); see message.max.bytes"),
    18: ("too_large", "Kafka takes no batch of this size (RECORD_LIST_TOO_LARGE); see segment.bytes"),
    32: ("timestamp", "Kafka refuses the time of the event (INVALID_TIMESTAMP); see message.timestamp.before.max.ms"),
    44: ("policy", "A policy of the cluster refuses this (POLICY_VIOLATION)"),
    87: ("invalid", "Kafka refuses the record (INVALID_RECORD): a compacted topic, for one, wants a key"),
}
"""This payload can never succeed."""
_REFUSED_DATA: Final = frozenset({2, 87})
"""Corrupt message, invalid record: what a broker says of a batch with a wrong checksum."""
_CHECKSUM: Final = 17
"""Where the checksum of a batch begins (https://kafka.apache.org/documentation/#recordbatch)."""
_WRITE: Final = (
    "We may not write to the topic {topic} (TOPIC_AUTHORIZATION_FAILED). Give the user the right: `kafka-acls.sh --add "
    "--allow-principal User:NAME --operation Write --operation Describe --topic {topic}`."
)
_CONFIGURATION: Final[Mapping[int, tuple[str, str]]] = {
    17: ("topic", "Kafka does not take {topic} as the name of a topic (INVALID_TOPIC_EXCEPTION)."),
    29: ("acl", _WRITE),
    31: ("acl", "We may not write to this cluster (CLUSTER_AUTHORIZATION_FAILED)."),
    35: ("version", "This Kafka does not know our form of requests (UNSUPPORTED_VERSION)."),
    43: ("version", "The topic {topic} is kept in a format older than Kafka 0.11; raise its message.format.version."),
    76: ("compression", "The topic {topic} does not take this compression; choose another."),
}

Place = tuple[str, int]
"""Topic and partition."""

Results = dict[Place, SinkError | None]
"""What became of a batch: None where it is written."""


Record = tuple[str, int, bytes | None, bytes, list[tuple[str, bytes]]]
"""One record, ready to be put into a batch: id, milliseconds since 1970, key, value, headers."""


class Chunk:
    """One batch for one partition."""

    __slots__ = ("count", "data", "duplicate", "identity", "ids", "place", "sure")

    def __init__(self, place: Place, identity: tuple[int, int], ids: Sequence[str], data: bytes | bytearray) -> None:
        self.place = place
        self.identity = identity
        self.ids = ids
        self.data = data
        self.count = len(ids)
        self.duplicate = False
        """Whether Kafka said that it had it already."""
        self.sure = True
        """False after a request whose answer did not come: it may be written."""


class Producer:
    """Numbers batches and sends them, to all leaders at once, one batch to a partition at a time."""

    def __init__(self, wire: Wire, codec: str) -> None:
        self._wire = wire
        self._codec = codec
        self._identity: tuple[int, int] | None = None
        self._next: dict[Place, int] = {}
        self.unsettled: dict[Place, Chunk] = {}
        """Batches whose outcome is unknown; each must be the next that goes to its partition."""

    async def begin(self) -> None:
        """Make sure that there is a producer id.

        Raises:
            Retry, Blocked: none can be had.
        """
        if self._identity is None:
            self._identity = await self._wire.producer_id()

    def chunk(self, place: Place, records: Iterable[Record], most: int) -> Chunk:
        """Make a batch of as many of these records as fit, at least of the first."""
        made: Any = builder(self._codec, most)
        append = made.append
        ids: list[str] = []
        for count, (id_, time, key, value, headers) in enumerate(records):
            if append(count, time, key, value, headers) is None:
                break
            ids.append(id_)
        identity = self._identity or (-1, -1)
        made.set_producer_state(*identity, self._next.get(place, 0) if identity[0] >= 0 else -1)
        return Chunk(place, identity, ids, made.build())

    async def try_out(self, place: Place) -> None:
        """Prove that we may write, without writing: with a batch whose checksum is wrong.

        A broker looks first at our rights and only then at the batch, which it refuses.

        Raises:
            Retry, Blocked: we may not, or no answer came.
        """
        topic, partition = place
        leader = self._wire.leader(topic, partition)
        if leader is None:
            raise Retry(f"Partition {partition} of {topic} has no leader at the moment.", reason="leader")
        data = bytearray(self.chunk(place, [("", 0, b"", b"", [])], 1).data)
        data[_CHECKSUM] ^= 0xFF
        await self._wire.ready(leader)
        code = (await self._wire.produce(leader, {place: bytes(data)})).get(place, -1)
        if code not in _REFUSED_DATA:
            error = self._judge(Chunk(place, (-1, -1), [], b""), code, sure=True)
            raise error or Blocked("Kafka took a batch with a wrong checksum; this is no Kafka.", reason="version")

    async def send(self, chunks: Sequence[Chunk], results: Results) -> None:
        """Send batches to different partitions.

        Where the leader has moved or the connection broke, leaders are looked up and it is tried once
        more; by then an orderly change is over.

        Args:
            results: takes what became of each. It is filled as brokers answer, and holds also if this is
                cancelled: what one broker has confirmed is written, however long another one hangs.
        """
        await self._attempt(chunks, results)
        again = [chunk for chunk in chunks if isinstance(error := results[chunk.place], Retry) and _moved(error)]
        if again:
            try:
                await self._wire.look_up({chunk.place[0] for chunk in again}, anew=True)
            except SinkError as error:
                results |= {chunk.place: error for chunk in again}
                return
            if self._identity is not None:  # without it the numbers in these batches mean nothing
                await self._attempt(again, results)

    async def _attempt(self, chunks: Sequence[Chunk], results: Results) -> None:
        leaders: dict[int, list[Chunk]] = {}
        for chunk in chunks:
            leader = self._wire.leader(*chunk.place)
            if leader is None:
                results[chunk.place] = Retry("The partition has no leader at the moment.", reason="leader")
            else:
                leaders.setdefault(leader, []).append(chunk)
        if len(leaders) == 1:
            for node, theirs in leaders.items():
                await self._ask(node, theirs, results)
        else:
            await asyncio.gather(*(self._ask(node, theirs, results) for node, theirs in leaders.items()))

    async def _ask(self, node: int, chunks: Sequence[Chunk], results: Results) -> None:
        """Send one request to one broker."""
        before = {chunk.place: chunk.sure for chunk in chunks}
        try:
            await self._wire.ready(node)
            # From here on it may be written, also if we are cancelled.
            for chunk in chunks:
                chunk.sure = False
                self.unsettled[chunk.place] = chunk
            codes = await self._wire.produce(node, {chunk.place: chunk.data for chunk in chunks})
        except SinkError as error:
            results |= {chunk.place: error for chunk in chunks}
            return
        for chunk in chunks:
            results[chunk.place] = self._judge(chunk, codes.get(chunk.place, -1), sure=before[chunk.place])

    def _judge(self, chunk: Chunk, code: int, *, sure: bool) -> SinkError | None:
        """Take the answer to one batch; `sure` if no earlier attempt can have written it."""
        place = chunk.place
        topic, partition = place
        if code in {0, _DUPLICATE}:
            chunk.duplicate = code == _DUPLICATE
            if chunk.identity == self._identity:
                self._next[place] = (self._next.get(place, 0) + chunk.count) % _SEQUENCES
            self._settle(chunk)
            return None
        if code in _LOST_IDENTITY:
            self._identity = None
            self._next.clear()
            self.unsettled.clear()
            return Retry(
                f"Kafka has forgotten who we are (error {code}); a new producer id follows.",
                reason="producer",
                after=0.0,
            )
        if code in _DATA:
            self._settle(chunk)
            reason, words = _DATA[code]
            return Rejected(f"{words}.", reason=reason)
        if code in _UNSURE:
            return Retry(f"Kafka could not confirm the write in time (error {code}).", reason="unconfirmed")
        chunk.sure = sure
        if sure:
            self._settle(chunk)
        if code in _CONFIGURATION:
            reason, words = _CONFIGURATION[code]
            return Blocked(words.format(topic=topic), reason=reason)
        if code in _MOVED:
            return Retry(f"The leader of partition {partition} of {topic} has changed (error {code}).", reason="leader")
        if code == _TOO_FEW_REPLICAS:
            return Retry(
                f"Partition {partition} of {topic} has fewer replicas in sync than min.insync.replicas.",
                reason="replicas",
            )
        return Retry(f"Kafka refuses the write for now (error {code}).", reason="server")

    def _settle(self, chunk: Chunk) -> None:
        self.unsettled.pop(chunk.place, None)


def _moved(error: SinkError) -> bool:
    """Whether leaders are to be looked up: also where a broker is gone, its partitions get another one."""
    return error.reason in {"leader", "connection", "connect", "dns", "timeout"}
