"""The far ends of the benchmarks, in processes of their own: an API server that does nothing but
stream prepared bytes over TLS, and an HTTP receiver that notes when each event came.

    python tests/bench/feed.py api PORT DIR      serves list (empty) and watch; see `Api`
    python tests/bench/feed.py receiver PORT     counts events of posted JSON arrays
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path

import msgspec

EVENT = (
    '{{"type":"ADDED","object":{{"kind":"Event","apiVersion":"v1","metadata":{{"name":"web-{i}.18e9e8fba1ec4beb",'
    '"namespace":"shop-{ns}","uid":"{uid}","resourceVersion":"{rv}","creationTimestamp":"2026-11-21T00:48:13Z",'
    '"managedFields":[{{"manager":"kubelet","operation":"Update","apiVersion":"v1","time":"2026-11-21T00:48:13Z",'
    '"fieldsType":"FieldsV1","fieldsV1":{{"f:count":{{}},"f:firstTimestamp":{{}},"f:involvedObject":{{}},'
    '"f:lastTimestamp":{{}},"f:message":{{}},"f:reason":{{}},"f:reportingComponent":{{}},"f:reportingInstance":{{}},'
    '"f:source":{{"f:component":{{}},"f:host":{{}}}},"f:type":{{}}}}}}]}},"involvedObject":{{"kind":"Pod",'
    '"namespace":"shop-{ns}","name":"web-{i}","uid":"{uid}","apiVersion":"v1","resourceVersion":"{rv}",'
    '"fieldPath":"spec.containers{{app}}"}},"reason":"{reason}","message":"{message}","source":{{"component":'
    '"kubelet","host":"node-{ns}"}},"firstTimestamp":"2026-11-21T00:48:13Z","lastTimestamp":"2026-11-21T00:48:13Z",'
    '"count":1,"type":"{type}","eventTime":null,"reportingComponent":"kubelet","reportingInstance":"node-{ns}"}}}}\n'
)
KINDS = (
    ("Normal", "Pulled", 'Successfully pulled image \\"registry.example.com/shop/web:1.{i}\\" in 1.{ns}s.'),
    ("Warning", "BackOff", "Back-off restarting failed container app in pod web-{i}_shop-{ns}({uid})"),
    ("Normal", "Scheduled", "Successfully assigned shop-{ns}/web-{i} to node-{ns}"),
    ("Warning", "Unhealthy", 'Readiness probe failed: Get \\"http://10.0.{ns}.7:8080/ready\\": connection refused {i}'),
)


def line(i: int, extra: str = "") -> bytes:
    """Return one watch line of about 1.3 KB, distinct for each i."""
    type_, reason, message = KINDS[i % 4]
    ns, uid = i % 40, str(uuid.UUID(int=(i * 0x9E3779B97F4A7C15) % (1 << 128)))
    message = message.format(i=i, ns=ns, uid=uid) + extra
    return EVENT.format(i=i, ns=ns, uid=uid, rv=i + 2, type=type_, reason=reason, message=message).encode()


def chunk(data: bytes) -> bytes:
    """Frame one line as the API server does: a chunk of its own."""
    return b"%x\r\n%s\r\n" % (len(data), data)


class Api:
    """An API server with an empty list, whose watch streams what was asked for.

    POST /load?n=N prepares N events; POST /flood streams them; POST /pace?n=N&rate=R streams N
    events at R a second, each with the wall-clock time of its writing in its message. /requests counts
    what came of a client, by kind. A watch ends at its `timeoutSeconds`.
    """

    def __init__(self) -> None:
        self.blocks: list[bytes] = []
        self.watchers: list[asyncio.StreamWriter] = []
        self.next = 0
        self.requests: Counter[str] = Counter()

    def load(self, n: int) -> None:
        block, size = [], 0
        for i in range(self.next, self.next + n):
            block.append(chunk(line(i)))
            size += len(block[-1])
            if size > 65_536:
                self.blocks.append(b"".join(block))
                block, size = [], 0
        self.blocks.append(b"".join(block))
        self.next += n

    async def flood(self) -> None:
        for writer in self.watchers:
            for block in self.blocks:
                writer.write(block)
                await writer.drain()
        self.blocks = []

    async def pace(self, n: int, rate: float) -> None:
        began = time.perf_counter()
        for k in range(n):
            due = began + k / rate
            while (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            data = chunk(line(self.next, f" t={time.time():.6f}"))
            self.next += 1
            for writer in self.watchers:
                writer.write(data)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                target = head.split(b" ", 2)[1].decode()
                path, _, query = target.partition("?")
                options = dict(item.partition("=")[::2] for item in query.split("&") if item)
                self.requests[kind_of(path, options, head)] += path.startswith("/api")
                if path.endswith("/nodes"):  # there are none to be read here; `nodes.py` has them
                    writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                    continue
                if options.get("watch") in {"1", "true"}:
                    writer.write(
                        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
                    )
                    self.watchers.append(writer)
                    try:
                        async with asyncio.timeout(float(options.get("timeoutSeconds", 3600))):
                            await reader.read()
                            return
                    except TimeoutError:
                        writer.write(b"0\r\n\r\n")
                        continue
                    finally:
                        self.watchers.remove(writer)
                body = b"ok"
                if path == "/load":
                    self.load(int(options["n"]))
                elif path == "/flood":
                    await self.flood()
                elif path == "/pace":
                    await self.pace(int(options["n"]), float(options["rate"]))
                elif path == "/requests":
                    body = msgspec.json.encode(+self.requests)
                elif path.endswith("/events"):
                    body = b'{"kind":"EventList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}'
                elif path.endswith("/kube-system"):
                    body = b'{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"kube-system","uid":"u-1","resourceVersion":"1"}}'
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
                    + body
                )


def kind_of(path: str, options: dict[str, str], head: bytes) -> str:
    """Return what a request asks for, in one word."""
    if options.get("watch") in {"1", "true"}:
        return "watch"
    if not path.endswith("/events"):
        return "other"
    return "audit" if b"PartialObjectMetadata" in head else "probe" if options.get("limit") == "1" else "list"


class Receiver:
    """Counts the events of JSON arrays or single objects, and collects how long each had been under way."""

    def __init__(self) -> None:
        self.n = self.requests = 0
        self.delays: list[float] = []
        self.decoder = msgspec.json.Decoder(list[msgspec.Raw])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                if head.startswith(b"get"):
                    body = msgspec.json.encode({"n": self.n, "requests": self.requests, "delays": self.delays})
                    self.delays = []
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                    continue
                at = head.index(b"content-length:") + 15
                body = await reader.readexactly(int(head[at : head.index(b"\r\n", at)]))
                now = time.time()
                items = self.decoder.decode(body if body.startswith(b"[") else b"[%s]" % body)
                self.n += len(items)
                self.requests += 1
                for item in items:
                    raw = bytes(item)
                    mark = raw.find(b" t=")
                    if mark >= 0:
                        self.delays.append(now - float(raw[mark + 3 : raw.index(b'"', mark)]))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def certificate(directory: Path) -> Path:
    """Make a self-signed certificate for 127.0.0.1; return its file."""
    file = directory / "api.pem"
    if not file.exists():
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", directory / "api.key", "-out", file,
             "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
            check=True, capture_output=True,
        )  # fmt: skip
    return file


async def main() -> None:
    role, port = sys.argv[1], int(sys.argv[2])
    context = None
    serve = Receiver().serve
    if role == "api":
        file = certificate(Path(sys.argv[3]))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(file, file.with_suffix(".key"))
        serve = Api().serve
    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=context, limit=1 << 22)
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
