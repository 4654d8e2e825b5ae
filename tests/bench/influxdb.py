"""What `kind: influxdb` costs: its increment over the null sink, against its bare client.

    python -m tests.bench.influxdb server PORT              answers writes as InfluxDB does, and counts
    python -m tests.bench.influxdb client PORT N FORM       writes N points by influxdb-client, and tells its CPU

The bare client is influxdb-client's own asynchronous writer, with as many points in a write. FORM `points` gives it
dictionaries, which it makes lines of, as whoever uses it does; FORM `lines` gives it lines that are there
already, which is what the wire alone costs. How fast a server stores is its own affair.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable

import msgspec

from tests.bench.elasticsearch import run
from tests.bench.rig import Bench, end, say, start
from tests.helpers.process import free_port

SIZE = 1700
"""Points of 600 bytes in a write, as a batch of 1 MiB has them."""


class Server:
    """Answers writes; GET /seen tells how many points came in how many requests, of how many bytes."""

    def __init__(self) -> None:
        self.points = self.requests = self.bytes = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                if head.startswith(b"post"):
                    at = head.index(b"content-length:") + 15
                    body = await reader.readexactly(int(head[at : head.index(b"\r\n", at)]))
                    self.bytes += len(body)
                    if b"\r\ncontent-encoding: gzip\r\n" in head:
                        body = gzip.decompress(body)
                    self.points += body.count(b"\n") + 1
                    self.requests += 1
                    writer.write(b"HTTP/1.1 204 No Content\r\nX-Influxdb-Version: v2.7\r\n\r\n")
                else:
                    answer = msgspec.json.encode([self.points, self.requests, self.bytes])
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)


async def client(port: int, n: int, form: str) -> None:
    """Write n points, and print the CPU seconds that it took."""
    from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync

    from sinks._influxdb_lines import Lines, default_tags
    from tests.helpers.sinks import batch_of, make_event

    events = [make_event(number, uid="u" * 36, instance="node-1", event="shop/web.18e9") for number in range(SIZE)]
    tags = default_tags("eventer")
    lines = "\n".join(Lines("events", "eventer", tags, 100, {}).of(batch_of(events))[0])
    points = []
    for line in batch_of(events).lines:
        found = {name: value for name, value in msgspec.json.decode(line).items() if value != {}}
        points.append({
            "measurement": "events",
            "tags": {name: found[name] for name in tags if name in found},
            "fields": {name: value for name, value in found.items() if name not in {*tags, "time"}},
            "time": 1772366401 * 10**9 + len(points),
        })  # fmt: skip
    async with InfluxDBClientAsync(f"http://127.0.0.1:{port}", token="t", org="-") as influx:
        write = influx.write_api().write
        await write("events", record="warm up=1i")
        began = time.process_time()
        for _ in range(n // SIZE):
            await write("events", record=lines.encode() if form == "lines" else points)
        print((time.process_time() - began) / (n // SIZE * SIZE))


def bare(port: int, n: int, form: str) -> float:
    """Microseconds of CPU a point of the bare client."""
    process = start("-m", "tests.bench.influxdb", "client", port, n, form)
    assert process.stdout is not None
    used = float(process.stdout.readline()) * 1e6
    end(process)
    return used


def influxdb(bench: Bench, n: int, rounds: int) -> None:
    port = free_port()
    server = start("-m", "tests.bench.influxdb", "server", port)
    assert server.stdout is not None
    server.stdout.readline()

    def seen() -> list[int]:
        answer: list[int] = msgspec.json.decode(urllib.request.urlopen(f"http://127.0.0.1:{port}/seen").read())
        return answer

    def sink(**options: object) -> dict[str, object]:
        return {"out": {"kind": "influxdb", "url": f"http://127.0.0.1:{port}", "bucket": "events"} | options}

    cases: dict[str, Callable[[], float]] = {
        "null sink": lambda: run(bench, n, {"out": {"kind": "stdout"}}),
        "bare client, lines": lambda: bare(port, n, "lines"),
        "bare client, points": lambda: bare(port, n // 4, "points"),
        "eventer": lambda: run(bench, n, sink()),
        "eventer, gzip": lambda: run(bench, n, sink(gzip=True)),
        "kube-eventer": lambda: run(bench, n, sink(layout="kube-eventer")),
    }
    used: dict[str, list[float]] = {name: [] for name in cases}
    counted: dict[str, list[int]] = {}
    try:
        for _ in range(rounds):
            for name, case in cases.items():
                before = seen()
                used[name].append(case())
                counted[name] = [now - then for now, then in zip(seen(), before, strict=True)]
    finally:
        end(server)
    middle = {name: statistics.median(runs) for name, runs in used.items()}
    say(f"\n| influxdb, {n:,} events | CPU µs/event | increment | ÷ bare client, points | bytes/event |")
    say("|---|---|---|---|---|")
    for name, micros in middle.items():
        more = micros - middle["null sink"]
        points, _, size = counted[name]
        increment = "|" if name == "null sink" or name.startswith("bare") else f"{more:.1f} | "
        if increment != "|":
            increment += f"{more / middle['bare client, points']:.2f}"
        say(f"| {name} | {micros:.1f} | {increment} | {f'{size / points:.0f}' if points else ''} |")
    points, requests, _ = counted["eventer"]
    say(f"\n{requests / points * 10_000:.1f} requests for 10,000 events.")


async def main() -> None:
    role, port = sys.argv[1], int(sys.argv[2])
    if role == "client":
        await client(port, int(sys.argv[3]), sys.argv[4])
        return
    server = await asyncio.start_server(Server().serve, "127.0.0.1", port, limit=1 << 22)
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, subprocess.SubprocessError):
        asyncio.run(main())
