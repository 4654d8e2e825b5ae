"""Two stores at once: a real Kafka broker, and bulk requests that are answered as OpenSearch answers them.

The whole path to both, flat out, as a ratio to read + decode.
"""

from __future__ import annotations

import asyncio

from tests.bench.increment import serving
from tests.bench.kafka import broker
from tests.bench.path import Run, in_turn
from tests.bench.rig import Bench, flat_out


def stores(bench: Bench, n: int, rounds: int) -> None:
    """Measure it in turn with read + decode, and say the ratio."""
    asyncio.run(_measure(bench, n, rounds))


async def _measure(bench: Bench, n: int, rounds: int) -> None:
    async with broker(bench) as cluster:
        topics = [await cluster.topic(f"both-{number}", partitions=3) for number in range(rounds)]
        left = iter(topics)
        with serving("elasticsearch") as url:

            def both() -> Run:
                return flat_out(
                    bench,
                    n,
                    {
                        "bus": {"kind": "kafka", "brokers": cluster.servers(), "topic": next(left)},
                        "search": {"kind": "elasticsearch", "url": url},
                    },
                )

            await asyncio.to_thread(in_turn, bench, n, rounds, "two stores", {"kafka and elasticsearch": both})
        for topic in topics:
            assert await cluster.count(topic) == n, "not every event is there once"
