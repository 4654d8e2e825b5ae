"""Read + decode, and nothing else: what every ratio of the benchmarks is against.

The same client, the same stream, the same msgspec shapes; what is decoded is thrown away.

    python tests/bench/baseline.py KUBECONFIG N     prints CPU seconds and wall seconds
"""

from __future__ import annotations

import asyncio
import sys
import time

import msgspec

from eventer.source.kube import Cluster
from eventer.source.lines import Lines
from eventer.source.shapes import CoreLine


async def main() -> None:
    cluster = await Cluster.connect(sys.argv[1])
    n, wanted = 0, int(sys.argv[2])
    decoder = msgspec.json.Decoder(CoreLine)
    lines = Lines()
    params = {"watch": "1", "resourceVersion": "1"}
    async with cluster.watch("/api/v1/events", params, idle=60) as reads:
        print("watching", flush=True)
        cpu = wall = 0.0
        while n < wanted:
            data = await reads.read()
            if not n:
                cpu, wall = time.process_time(), time.perf_counter()
            whole = lines.feed(data)
            if whole:
                n += len(decoder.decode_lines(whole))
        print(time.process_time() - cpu, time.perf_counter() - wall, flush=True)
    await cluster.close()


asyncio.run(main())
