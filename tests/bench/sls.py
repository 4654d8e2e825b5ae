"""What `kind: sls` costs: its increment over the null sink, against its bare client.

    python -m tests.bench.sls server PORT        answers PutLogs as Log Service does, and counts
    python -m tests.bench.sls client PORT N      posts N logs by httpx, and tells its CPU

The bare client is given documents, names with texts: it writes them as Protobuf by the sink's own encoder, since
the official SDK takes several times as long, packs requests of the same size with deflate, posts them and reads the
answers. It signs nothing. How fast the service itself is, is its own affair.
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
from collections.abc import Callable

import msgspec

from tests.bench.elasticsearch import run
from tests.bench.rig import Bench, end, say, start
from tests.helpers.process import free_port

SIZE = 1000
"""Logs in a request, as the sink's default has it."""


def logs_in(group: bytes) -> int:
    """How many logs a group holds: its fields of number 1."""
    place = count = 0
    while place < len(group):
        tag, place = group[place], place + 1
        size = shift = 0
        while True:
            byte, place = group[place], place + 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        count += tag == 0x0A
        place += size
    return count


class Server:
    """Answers PutLogs; GET /seen tells how many logs came in how many requests, of how many bytes."""

    def __init__(self) -> None:
        self.logs = self.requests = self.bytes = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                answer = b""
                if head.startswith(b"post"):
                    at = head.index(b"content-length:") + 15
                    body = await reader.readexactly(int(head[at : head.index(b"\r\n", at)]))
                    self.bytes += len(body)
                    if b"\r\nx-log-compresstype: deflate\r\n" in head:
                        body = zlib.decompress(body)
                    self.logs += logs_in(body)
                    self.requests += 1
                else:
                    answer = msgspec.json.encode([self.logs, self.requests, self.bytes])
                writer.write(
                    b"HTTP/1.1 200 OK\r\nx-log-requestid: 5B0C\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer
                )


async def client(port: int, n: int) -> None:
    """Post n prepared logs, and print the CPU seconds that it took."""
    import httpx

    from sinks._sls_protobuf import encode_group, encode_log
    from tests.helpers.sinks import batch_of, make_event

    events = [make_event(number, uid="u" * 36, instance="node-1", event="shop/web.18e9") for number in range(SIZE)]
    documents = [
        {name: str(value) for name, value in msgspec.json.decode(line).items()} for line in batch_of(events).lines
    ]
    headers = {"Content-Type": "application/x-protobuf", "x-log-compresstype": "deflate"}
    async with httpx.AsyncClient(timeout=60) as http:
        await http.get(f"http://127.0.0.1:{port}/seen")
        began = time.process_time()
        for _ in range(n // SIZE):
            logs = [encode_log(1795163401, 0, document) for document in documents]
            body = zlib.compress(encode_group(logs, "", "", {}), 1)
            url = f"http://127.0.0.1:{port}/logstores/k8s-events/shards/lb"
            (await http.post(url, content=body, headers=headers)).raise_for_status()
        print((time.process_time() - began) / (n // SIZE * SIZE))


def bare(port: int, n: int) -> float:
    """Microseconds of CPU a log of the bare client."""
    process = start("-m", "tests.bench.sls", "client", port, n)
    assert process.stdout is not None
    used = float(process.stdout.readline()) * 1e6
    end(process)
    return used


def sls(bench: Bench, n: int, rounds: int) -> None:
    port = free_port()
    server = start("-m", "tests.bench.sls", "server", port)
    assert server.stdout is not None
    server.stdout.readline()

    def seen() -> list[int]:
        answer: list[int] = msgspec.json.decode(urllib.request.urlopen(f"http://127.0.0.1:{port}/seen").read())
        return answer

    def sink(**options: object) -> dict[str, object]:
        place = {"project": "my-project", "logstore": "k8s-events", "region": "cn-hangzhou"}
        key = {"access_key_id": "LTAI5tExample", "access_key_secret": "example-secret"}
        return {"out": {"kind": "sls", "endpoint": f"http://127.0.0.1:{port}", "auth": key} | place | options}

    cases: dict[str, Callable[[], float]] = {
        "null sink": lambda: run(bench, n, {"out": {"kind": "stdout"}}),
        "bare client": lambda: bare(port, n),
        "eventer": lambda: run(bench, n, sink()),
        "eventer, compression: none": lambda: run(bench, n, sink(compression="none")),
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
    say(f"\n| sls, {n:,} events | CPU µs/event | increment | ÷ bare client | bytes/event |\n|---|---|---|---|---|")
    for name, micros in middle.items():
        more = micros - middle["null sink"]
        logs, _, size = counted[name]
        increment = "||" if name == "null sink" else f"| {size / logs:.0f}"
        if name not in {"null sink", "bare client"}:
            increment = f"{more:.1f} | {more / middle['bare client']:.2f} {increment}"
        elif name == "bare client":
            increment = f"|{increment}"
        say(f"| {name} | {micros:.1f} | {increment} |")
    logs, requests, _ = counted["eventer"]
    say(f"\n{requests / logs * 10_000:.1f} requests for 10,000 events.")


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
