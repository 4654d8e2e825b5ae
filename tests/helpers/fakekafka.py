"""A broker of Kafka under a test's control: keeps what it is sent, and fails as told.

It speaks the part of the protocol that a producer needs, as https://kafka.apache.org/protocol describes
it, and knows repeats and gaps of numbered batches as a real one does (KIP-98).
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import ssl
import struct
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any, Final, Self

import msgspec
from aiokafka.protocol.admin import (
    ApiVersionRequest_v0,
    SaslAuthenticateRequest_v0,
    SaslHandShakeRequest_v1,
)
from aiokafka.protocol.metadata import MetadataRequest_v5
from aiokafka.protocol.produce import ProduceRequest_v7
from aiokafka.protocol.transaction import InitProducerIdRequest_v0
from aiokafka.record.memory_records import MemoryRecords

__all__ = ["FakeKafka", "Kept"]

_KNOWN: Final[dict[int, Any]] = {
    0: ProduceRequest_v7,
    3: MetadataRequest_v5,
    17: SaslHandShakeRequest_v1,
    18: ApiVersionRequest_v0,
    22: InitProducerIdRequest_v0,
    36: SaslAuthenticateRequest_v0,
}
_PRODUCE: Final = 0
_REMEMBERED: Final = 5
"""Batches of one producer on one partition whose repeat is known as such."""


_LARGEST: Final = 100 << 20
"""Bytes of a request (socket.request.max.bytes)."""


class Kept(msgspec.Struct, frozen=True):
    """One record that was taken."""

    topic: str
    partition: int
    timestamp: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


class FakeKafka:
    """One broker, which leads every partition that no other one does. Use it with `async with`.

    Attributes:
        topics: number of partitions of each topic; others do not exist.
        password: what SASL PLAIN must bring; None: no login.
        error: code that answers every batch, where it is not 0 (and nothing is kept).
        judge: asked for the code of each batch: topic, partition, its records, its bytes.
        hang: take requests to produce and leave them without answer.
        deaf: close the connection without a look at what is sent.
        lose: keep what is sent, and close the connection in place of an answer.
        cut: the same, after half an answer.
        host, name: the address where it listens, and the one that it tells its clients.
        numbers: whether it gives out producer ids.
        warming: how many more times it says that it cannot give one out yet, as after its start.
    """

    def __init__(self, secure: ssl.SSLContext | None = None) -> None:
        self.secure = secure
        self.topics: dict[str, int] = {"events": 3}
        self.denied: set[str] = set()
        self.password: str | None = None
        self.error = 0
        self.judge: Callable[[str, int, list[Kept], bytes], int] = lambda *_: 0
        self.hang = self.lose = self.cut = self.deaf = False
        self.numbers = True
        self.warming = 0
        self.leaderless: set[int] = set()
        self._others: dict[int, FakeKafka] = {}
        """Brokers that lead partitions in its place, by the partition."""
        self._first = self
        """Which broker of the cluster knows who leads what."""
        self.kept: list[Kept] = []
        self.batches: list[tuple[str, int, int]] = []
        """Topic, partition and number of records of each batch that came."""
        self.logins = 0
        self.came = asyncio.Event()
        """Set when a request to produce has come."""
        self.host = self.name = "127.0.0.1"
        self.port = 0
        self._next_id = 1000
        self._seen: defaultdict[tuple[str, int, int], deque[tuple[int, int]]] = defaultdict(
            lambda: deque(maxlen=_REMEMBERED)
        )
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self.host, self.port, ssl=self.secure)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Be gone, as a killed process is."""
        assert self._server is not None
        self._server.close()
        self.drop()
        while self._writers:
            await asyncio.sleep(0.005)

    @property
    def server(self) -> str:
        """Its `host:port`."""
        return f"{self.name}:{self.port}"

    def drop(self) -> None:
        """Close all connections."""
        for writer in self._writers:
            writer.transport.abort()

    def give(self, partition: int, other: FakeKafka) -> None:
        """Let another broker, which serves already, lead this partition of every topic."""
        self._others[partition] = other
        other._first = self

    def anew(self, **topics: int) -> None:
        """Delete all topics with what they hold, and make these."""
        self._seen.clear()
        self.kept.clear()
        self.topics = topics

    def forget(self) -> None:
        """Know no producer any more, as after the loss of a log."""
        self._seen.clear()
        self._next_id += 1000

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
                while True:
                    (size,) = struct.unpack(">i", await reader.readexactly(4))
                    if size > _LARGEST:  # as a TLS client's first bytes look
                        break
                    await self._answer(io.BytesIO(await reader.readexactly(size)), writer)
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _answer(self, data: io.BytesIO, writer: asyncio.StreamWriter) -> None:
        key, version, number, length = struct.unpack(">hhih", data.read(10))
        data.read(max(length, 0))
        form = _KNOWN[key]
        assert version == form.API_VERSION, (key, version)
        if key == _PRODUCE and self.deaf:
            raise ConnectionError
        asked = self if key == _PRODUCE else self._first
        body = getattr(asked, f"_{form.__name__.split('Request')[0].lower()}")(form.decode(data))
        answer = struct.pack(">i", number) + body.encode()
        frame = struct.pack(">i", len(answer)) + answer
        if key == _PRODUCE:
            self.came.set()
            if self.hang:
                return
            if self.lose or self.cut:
                writer.write(frame[: len(frame) // 2] if self.cut else b"")
                await writer.drain()
                raise ConnectionError
        writer.write(frame)
        await writer.drain()

    def _apiversion(self, _: Any) -> Any:
        known = {key: form for key, form in _KNOWN.items() if self.numbers or key != 22}
        versions = [(key, form.API_VERSION, form.API_VERSION) for key, form in known.items()]
        return ApiVersionRequest_v0.RESPONSE_TYPE(0, versions)

    def _saslhandshake(self, _: Any) -> Any:
        return SaslHandShakeRequest_v1.RESPONSE_TYPE(0, ["PLAIN"])

    def _saslauthenticate(self, request: Any) -> Any:
        self.logins += 1
        password = bytes(request.sasl_auth_bytes).split(b"\0")[-1].decode()
        code, words = (0, "") if password == self.password else (58, f"no user with {password}")
        return SaslAuthenticateRequest_v0.RESPONSE_TYPE(code, words, b"")

    def _metadata(self, request: Any) -> Any:
        topics: list[tuple[object, ...]] = []
        for name in request.topics or ():
            leaders = [
                -1 if n in self.leaderless else n + 2 if n in self._others else 1
                for n in range(self.topics.get(name, 0))
            ]
            code = 29 if name in self.denied else 0 if name in self.topics else 3
            topics.append((code, name, False, [(0, n, leader, [1], [1], []) for n, leader in enumerate(leaders)]))
        brokers = [(1, self.name, self.port, None)]
        brokers += [(n + 2, other.name, other.port, None) for n, other in self._others.items()]
        return MetadataRequest_v5.RESPONSE_TYPE(0, brokers, "fake", 1, topics)

    def _initproducerid(self, _: Any) -> Any:
        if self.warming:
            self.warming -= 1
            return InitProducerIdRequest_v0.RESPONSE_TYPE(0, 14, -1, -1)
        self._next_id += 1
        return InitProducerIdRequest_v0.RESPONSE_TYPE(0, 0, self._next_id, 0)

    def _produce(self, request: Any) -> Any:
        assert request.required_acks == -1, "only acks=all is a confirmation"
        topics = [
            (topic, [(partition, self._take(topic, partition, data), 0, -1, 0) for partition, data in parts])
            for topic, parts in request.topics
        ]
        return ProduceRequest_v7.RESPONSE_TYPE(topics, 0)

    def _take(self, topic: str, partition: int, data: bytes) -> int:
        producer, epoch, sequence, count = struct.unpack_from(">qhii", data, 43)
        self.batches.append((topic, partition, count))
        if partition >= self.topics.get(topic, 0):
            return 3
        batch = MemoryRecords(data).next_batch()
        if not batch.validate_crc():
            return 29 if topic in self.denied else 2
        records = [Kept(topic, partition, r.timestamp, r.key, r.value, tuple(r.headers)) for r in batch]
        code = self.error or (29 if topic in self.denied else 0) or self.judge(topic, partition, records, data)
        if code:
            return code
        if producer >= 0:
            assert epoch == 0
            seen = self._seen[topic, partition, producer]
            if (sequence, count) in seen:
                return 0
            if seen and sequence != sum(seen[-1]):
                return 45
            if not seen and producer < self._next_id - 500:
                return 59
            seen.append((sequence, count))
        self.kept += records
        return 0
