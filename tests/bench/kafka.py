"""The sink `kafka` against a real broker: its CPU over a null sink, as a ratio to aiokafka's own producer.

The bare client makes the same records (key, value, headers) of the same lines and sends them by aiokafka's
batch API, acknowledged by all replicas and idempotent, in batches of the same size.

    python -m tests.bench.kafka FILE SERVER TOPIC N    the bare client; prints CPU seconds and seconds
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaProducer

from tests.bench.outage import outage
from tests.bench.rig import Bench, flat_out, memory, printed, say
from tests.real.brokers import Kafka

_PARTITIONS = 3
_BATCH = 2000
"""Events in one send, as the runner's `batch.count`."""


def kafka(bench: Bench, n: int, rounds: int) -> None:
    """Measure both in turn, and say the ratio."""
    asyncio.run(_measure(bench, n, rounds))


@contextlib.asynccontextmanager
async def broker(bench: Bench) -> AsyncIterator[Kafka]:
    """Run a broker."""
    # It tells of each connection that is refused while a broker starts.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(dir=bench.dir) as directory:
        cluster = Kafka(Path(directory))
        try:
            await cluster.start()
            yield cluster
        finally:
            cluster.stop()


async def _measure(bench: Bench, n: int, rounds: int) -> None:
    rows: dict[str, list[tuple[float, float, float]]] = {"null": [], "kafka": [], "bare client": []}
    requests: list[float] = []
    records = bench.dir / "records.jsonl"
    async with broker(bench) as cluster:
        for number in range(rounds):
            micros, rate, peak, _ = flat_out(bench, n, {"out": {"kind": "stdout"}})
            rows["null"].append((micros, rate, peak))
            topic = await cluster.topic(f"round-{number}", partitions=_PARTITIONS)
            sink = {"kind": "kafka", "brokers": cluster.servers(), "topic": topic}
            micros, rate, peak, sends = await asyncio.to_thread(flat_out, bench, n, {"out": sink})
            rows["kafka"].append((micros, rate, peak))
            requests.append(sends / n * 10_000)
            assert await cluster.count(topic) == n, "not every event is there once"
            if not number:
                await _keep(cluster, topic, records)
            bare = await cluster.topic(f"bare-{number}", partitions=_PARTITIONS)
            rows["bare client"].append(await asyncio.to_thread(_bare, records, cluster.servers()[0], bare, n))
        drained = await _drain(bench, cluster, n)
    say(f"\n| kafka, {n:,} events | CPU µs/event | events/s | peak MiB |\n|---|---|---|---|")
    medians = {name: [statistics.median(values) for values in zip(*runs, strict=True)] for name, runs in rows.items()}
    for name, (micros, rate, peak) in medians.items():
        say(f"| {name} | {micros:.1f} | {rate:,.0f} | {peak:.0f} |")
    increment = medians["kafka"][0] - medians["null"][0]
    say(
        f"increment over null {increment:.1f} µs an event, {increment / medians['bare client'][0]:.2f} × the bare client"
    )
    say(f"{statistics.median(requests):.1f} sends per 10,000 events")
    say(drained)


async def _drain(bench: Bench, cluster: Kafka, n: int) -> str:
    topic = await cluster.topic("drained", partitions=_PARTITIONS)
    cluster.kill()
    sink = {"kind": "kafka", "brokers": cluster.servers(), "topic": topic}
    loop = asyncio.get_running_loop()

    def count() -> int:
        return asyncio.run_coroutine_threadsafe(cluster.count(topic), loop).result()

    def revive() -> None:
        asyncio.run_coroutine_threadsafe(cluster.restart(), loop).result()

    return await asyncio.to_thread(outage, bench, n, sink, revive, count)


async def _keep(cluster: Kafka, topic: str, path: Path) -> None:
    """Write the values of a topic into a file, for the bare client."""
    with path.open("wb") as file:
        for message in itertools.islice(await cluster.read(topic), 20_000):
            file.write(message.value + b"\n")


def _bare(records: Path, server: str, topic: str, n: int) -> tuple[float, float, float]:
    seconds, wall, peak = printed("-m", "tests.bench.kafka", records, server, topic, n)
    return seconds / n * 1e6, n / wall, peak


class _Names(msgspec.Struct):
    """What of a line stands in key and headers."""

    id: str
    object: str


async def _produce(records: Path, server: str, topic: str, n: int) -> None:
    held = records.read_bytes().splitlines()
    decode = msgspec.json.Decoder(_Names).decode
    producer = AIOKafkaProducer(bootstrap_servers=server, enable_idempotence=True, max_batch_size=1_000_000)
    await producer.start()
    await producer.partitions_for(topic)
    used, began = time.process_time(), time.perf_counter()
    source = itertools.islice(itertools.cycle(held), n)
    while block := list(itertools.islice(source, _BATCH)):
        sent = []
        for partition in range(_PARTITIONS):
            batch = producer.create_batch()
            for line in block[partition::_PARTITIONS]:
                names = decode(line)
                headers = [("event-id", names.id.encode()), ("content-type", b"application/json")]
                taken = batch.append(timestamp=None, key=names.object.encode(), value=line, headers=headers)
                assert taken is not None
            sent.append(await producer.send_batch(batch, topic, partition=partition))
        await asyncio.gather(*sent)
    used, wall = time.process_time() - used, time.perf_counter() - began
    print(used, wall, memory(os.getpid(), "VmHWM"), flush=True)
    await producer.stop()


if __name__ == "__main__":
    asyncio.run(_produce(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])))
