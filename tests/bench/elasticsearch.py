"""What `kind: elasticsearch` costs: its increment over the null sink, against its bare client.

    python -m tests.bench.elasticsearch server PORT        answers bulk requests as OpenSearch does, and counts
    python -m tests.bench.elasticsearch client PORT N      posts N documents by httpx, and tells its CPU

The bare client is given the lines of events that are encoded already, as the sink is: it makes the same documents of
them in requests of the same size, posts them and reads the answers. A real server is not measured: it would take the CPU that is to be measured,
and how fast it indexes is its own affair.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import subprocess
import sys
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from tests.bench.rig import Bench, Daemon, end, say, start
from tests.helpers.process import free_port

HERE = Path(__file__)
SIZE = 1700
"""Documents of 600 bytes in a request of 1 MiB."""


class Server:
    """Answers GET / and bulk requests; GET /seen tells how many documents came in how many requests."""

    def __init__(self) -> None:
        self.documents = self.requests = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                if head.startswith(b"post"):
                    at = head.index(b"content-length:") + 15
                    body = await reader.readexactly(int(head[at : head.index(b"\r\n", at)]))
                    if b"\r\ncontent-encoding: gzip\r\n" in head:
                        body = zlib.decompress(body, 31)
                    n = body.count(b"\n") // 2
                    self.documents += n
                    self.requests += 1
                    answer = b'{"errors":false,"items":[' + b",".join([b'{"create":{"status":201}}'] * n) + b"]}"
                elif head.startswith(b"get /seen"):
                    answer = msgspec.json.encode([self.documents, self.requests])
                else:
                    answer = b'{"version":{"number":"3.3.0","distribution":"opensearch"}}'
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)


class _Names(msgspec.Struct):
    """What of a line stands before its document, and at its front."""

    id: str
    time: str


async def client(port: int, n: int) -> None:
    """Post n documents, and print the CPU seconds that each took."""
    import httpx

    from eventer.event import encode_lines
    from tests.helpers.sinks import make_event

    events = [make_event(number, uid="u" * 36, instance="node-1", event="shop/web.18e9") for number in range(SIZE)]
    lines = encode_lines(events)
    decode = msgspec.json.Decoder(_Names).decode
    headers = {"Content-Type": "application/x-ndjson"}
    form = b'{"create":{"_index":"events-2026.03.01","_id":"%b"}}\n{"@timestamp":"%b",%b\n'
    async with httpx.AsyncClient(timeout=60) as http:
        await http.get(f"http://127.0.0.1:{port}/")
        began = time.process_time()
        for _ in range(n // SIZE):
            heads = map(decode, lines)
            body = b"".join(
                [
                    form % (head.id.encode(), head.time.encode(), line[1:])
                    for head, line in zip(heads, lines, strict=True)
                ]
            )
            (await http.post(f"http://127.0.0.1:{port}/_bulk", content=body, headers=headers)).json()
        print((time.process_time() - began) / (n // SIZE * SIZE))


def bare(port: int, n: int) -> float:
    """Microseconds of CPU a document of the bare client."""
    process = start("-m", "tests.bench.elasticsearch", "client", port, n)
    assert process.stdout is not None
    used = float(process.stdout.readline()) * 1e6
    end(process)
    return used


def run(bench: Bench, n: int, sinks: dict[str, object]) -> float:
    """Microseconds of CPU an event of the whole path."""
    bench.fresh()
    daemon: Daemon = bench.daemon(sinks)
    bench.ask(f"/load?n={n}")
    before = daemon.cpu()
    bench.ask("/flood")
    daemon.wait(n)
    used = daemon.cpu() - before
    daemon.stop()
    return used / n * 1e6


@contextlib.contextmanager
def serving() -> Iterator[int]:
    """Run the server, and give its port."""
    port = free_port()
    server = start("-m", "tests.bench.elasticsearch", "server", port)
    try:
        assert server.stdout is not None
        server.stdout.readline()
        yield port
    finally:
        end(server)


def elasticsearch(bench: Bench, n: int, rounds: int) -> None:
    """Measure the sink in its layouts in turn with its bare client, and say the ratios."""
    with serving() as port:
        _measure(bench, n, rounds, port)


def _measure(bench: Bench, n: int, rounds: int, port: int) -> None:
    def seen() -> tuple[int, int]:
        documents, requests = msgspec.json.decode(urllib.request.urlopen(f"http://127.0.0.1:{port}/seen").read())
        return documents, requests

    def sink(**options: object) -> dict[str, object]:
        return {"out": {"kind": "elasticsearch", "url": f"http://127.0.0.1:{port}", **options}}

    cases: dict[str, Callable[[], float]] = {
        "null sink": lambda: run(bench, n, {"out": {"kind": "stdout"}}),
        "bare client": lambda: bare(port, n),
        "eventer": lambda: run(bench, n, sink()),
        "eventer, gzip": lambda: run(bench, n, sink(gzip=True)),
        "kube-eventer": lambda: run(bench, n, sink(layout="kube-eventer")),
        "ecs": lambda: run(bench, n, sink(layout="ecs")),
    }
    used: dict[str, list[float]] = {name: [] for name in cases}
    counted = 0.0
    for _ in range(rounds):
        for name, case in cases.items():
            documents, requests = seen()
            used[name].append(case())
            if name == "eventer":
                counted = (seen()[1] - requests) / (seen()[0] - documents) * 10_000
    middle = {name: statistics.median(runs) for name, runs in used.items()}
    say(f"\n| elasticsearch, {n:,} events | CPU µs/event | increment | ÷ bare client |\n|---|---|---|---|")
    for name, micros in middle.items():
        more = micros - middle["null sink"]
        increment = "|" if name in {"null sink", "bare client"} else f"{more:.1f} | {more / middle['bare client']:.2f}"
        say(f"| {name} | {micros:.1f} | {increment} |")
    say(f"\n{counted:.1f} requests for 10,000 events.")


async def main() -> None:
    role, port = sys.argv[1], int(sys.argv[2])
    if role == "client":
        await client(port, int(sys.argv[3]))
        return
    server = await asyncio.start_server(Server().serve, "127.0.0.1", port, limit=1 << 22)
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, subprocess.SubprocessError):
        asyncio.run(main())
