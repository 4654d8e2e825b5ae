"""What a sink over HTTP costs: its increment over the null sink, against a bare client that writes the same.

The module of a kind (elasticsearch, influxdb, sls) has a `Server`, which answers as the real one does and counts,
and a bare client, and is a program that runs either in a process of its own:

    python -m tests.bench.KIND server PORT
    python -m tests.bench.KIND client PORT N ...        tells its CPU

How fast a real server stores is its own affair: it would take the CPU that is to be measured.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import statistics
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial

import msgspec

from eventer.event import Event
from eventer.source.wire import Decoder
from tests.bench.feed import line
from tests.bench.outage import outage
from tests.bench.rig import Bench, end, flat_out, printed, say, start
from tests.helpers.process import free_port


class Server(abc.ABC):
    """Takes POSTs of documents; GET /seen tells how many came, in how many requests, of how many bytes."""

    def __init__(self) -> None:
        self.documents = self.requests = self.bytes = 0

    @abc.abstractmethod
    def take(self, head: bytes, body: bytes) -> tuple[int, bytes]:
        """Return how many documents a request has, and its answer with status line and headers."""

    def greet(self) -> bytes:
        """Return the body of the answer to any other GET."""
        return b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                if head.startswith(b"post"):
                    at = head.index(b"content-length:") + 15
                    body = await reader.readexactly(int(head[at : head.index(b"\r\n", at)]))
                    documents, answer = self.take(head, body)
                    self.documents += documents
                    self.requests += 1
                    self.bytes += len(body)
                elif head.startswith(b"get /seen"):
                    answer = ok(msgspec.json.encode([self.documents, self.requests, self.bytes]))
                else:
                    answer = ok(self.greet())
                writer.write(answer)


def ok(body: bytes, headers: bytes = b"") -> bytes:
    """Return an answer of status 200; each header ends its line."""
    return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (headers, len(body), body)


def sample(count: int) -> list[Event]:
    """Return the first events that the API server of the benchmarks streams, which are what the sink is sent."""
    return Decoder("core", "bench", 0, {}).block(b"".join(map(line, range(count)))).arrivals.events


async def spend(n: int, size: int, post: Callable[[], Awaitable[object]]) -> None:
    """Post `size` documents at a time until there are n, and print the CPU seconds that each took."""
    times = max(1, n // size)
    began = time.process_time()
    for _ in range(times):
        await post()
    print((time.process_time() - began) / (times * size))


async def _play(server: Server, client: Callable[..., Awaitable[None]]) -> None:
    role, port, *rest = sys.argv[1:]
    if role == "client":
        await client(int(port), int(rest[0]), *rest[1:])
        return
    listening = await asyncio.start_server(server.serve, "127.0.0.1", int(port), limit=1 << 22)
    print("ready", flush=True)
    async with listening:
        await listening.serve_forever()


def main(server: Server, client: Callable[..., Awaitable[None]]) -> None:
    """Be the server or the bare client, as the command line says."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_play(server, client))


@contextlib.contextmanager
def serving(kind: str, port: int = 0) -> Iterator[str]:
    """Run the server of a kind, at this port or a free one, and give its address."""
    port = port or free_port()
    server = start("-m", f"tests.bench.{kind}", "server", port)
    try:
        assert server.stdout is not None
        server.stdout.readline()
        yield f"http://127.0.0.1:{port}"
    finally:
        end(server)


def increment(
    bench: Bench,
    n: int,
    rounds: int,
    kind: str,
    *,
    place: Callable[[str], Mapping[str, object]],
    variants: Mapping[str, Mapping[str, object]],
    clients: Mapping[str, tuple[object, ...]],
) -> None:
    """Measure a sink in turn with the null sink and its bare clients, and say the ratios.

    Args:
        bench: to run daemons on.
        n: events of each run.
        rounds: of everything; what is said is the median, of increments and ratios that of the rounds' own.
        kind: of the sink.
        place: its options, by the address of the server.
        variants: options beside them, by the name of their row. It is measured without any, too.
        clients: arguments of the bare client, by the name of its row: documents, and what else there is. The sink is
            set against the last.
    """

    def seen() -> list[int]:
        answer: list[int] = msgspec.json.decode(urllib.request.urlopen(f"{url}/seen").read())
        return answer

    with serving(kind) as url:

        def path(sink: Mapping[str, object]) -> float:
            # Few looks: what they cost is no sink's, and a slow machine takes more of them with a sink than without.
            return flat_out(bench, n, {"out": sink}, every=1.0)[0]

        def bare(*args: object) -> float:
            return printed("-m", f"tests.bench.{kind}", "client", url.rpartition(":")[2], *args)[0] * 1e6

        sink = {"kind": kind, **place(url)}
        cases: dict[str, Callable[[], float]] = {"null sink": partial(path, {"kind": "stdout"})}
        cases |= {name: partial(bare, *args) for name, args in clients.items()}
        cases |= {name: partial(path, sink | options) for name, options in [("eventer", {}), *variants.items()]}
        used: dict[str, list[float]] = {name: [] for name in cases}
        counted: dict[str, list[int]] = {}
        for _ in range(rounds):
            for name, case in cases.items():
                before = seen()
                used[name].append(case())
                counted[name] = [now - then for now, then in zip(seen(), before, strict=True)]
    middle = {name: statistics.median(runs) for name, runs in used.items()}
    against = list(clients)[-1]
    say(f"\n| {kind}, {n:,} events | CPU µs/event | increment | ÷ {against} | bytes/event |\n|---|---|---|---|---|")
    for name, micros in middle.items():
        ratio = "|"
        if name != "null sink" and name not in clients:
            more = [mine - null for mine, null in zip(used[name], used["null sink"], strict=True)]
            ratios = [mine / bare for mine, bare in zip(more, used[against], strict=True)]
            spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
            ratio = f"{statistics.median(more):.1f} | {statistics.median(ratios):.2f} ({spread})"
        documents, _, size = counted[name]
        say(f"| {name} | {micros:.1f} | {ratio} | {f'{size / documents:.0f}' if documents else ''} |")
    documents, requests, _ = counted["eventer"]
    say(f"\n{requests / documents * 10_000:.1f} requests for 10,000 events.")
    port = int(url.rpartition(":")[2])
    with contextlib.ExitStack() as stack:
        say(outage(bench, n, sink, lambda: stack.enter_context(serving(kind, port)), lambda: seen()[0]))
