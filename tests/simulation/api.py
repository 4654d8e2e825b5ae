"""A cluster without a wire: the fake API server's store behind the source's own idea of a connection.

It fails as `docs/faults.md` lists it: refusals, 410 in every form, cut and torn lines, silence, garbage,
a server that is gone, one that was restored from a backup. `Api` outlives the daemon, a `Connection` not.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from eventer.demo.apiserver import ApiServer, Request, status_body
from eventer.demo.store import Compacted, EventStore, encode
from eventer.errors import Broken
from eventer.source.answers import failure_of
from eventer.source.kube import Answer, Oversized, Stalled
from tests.simulation.loop import SimLoop

__all__ = ["Api", "Connection"]

HTML = b"<html><body>502 Bad Gateway</body></html>"
REFUSALS = {
    401: (b"", {}),
    403: (status_body(403, "Forbidden", "no"), {}),
    410: (status_body(410, "Expired", "too old"), {}),
    429: (status_body(429, "TooManyRequests", "later", after=2), {"Retry-After": "2"}),
    500: (status_body(500, "InternalError", "no"), {}),
    502: (HTML, {}),
    504: (status_body(504, "Timeout", "Too large resource version", causes=["ResourceVersionTooLarge"]), {}),
}
LINES = [
    b"not json\n",
    b'{"type":"ERROR","object":' + status_body(410, "Expired", "too old").strip() + b"}\n",
    b'{"type":"ERROR","object":' + status_body(500, "InternalError", "no").strip() + b"}\n",
]


class Api:
    """The servers of one cluster."""

    def __init__(self, loop: SimLoop, dice: random.Random) -> None:
        self.server = ApiServer()
        self.store = self.server.store
        self.trouble = 0.0
        """Share of requests that go wrong."""
        self.state = "up"
        """Or `down`: nobody listens. Or `frozen`: nobody answers."""
        self.listed: dict[str, int] = {}
        """Path to the highest version at which a list of it began: what lies before it may be folded."""
        self.shrunk = False
        self.loop = loop
        self.dice = dice
        self._open: dict[int, Reads] = {}
        self._numbers = 0
        for store in (self.store, self.server.nodes.store):
            store.listeners.add(self._changed)

    def of(self, path: str) -> EventStore:
        """Return what a path shows."""
        return self.server.nodes.store if path.endswith("/nodes") else self.store

    def compact(self) -> None:
        """Forget the history of everything."""
        self.store.compact()
        self.server.nodes.store.compact()

    def _changed(self) -> None:
        for reads in self._open.values():
            reads.wake.set()

    def add(self, reads: Reads) -> int:
        self._numbers += 1
        self._open[self._numbers] = reads
        return self._numbers

    def remove(self, number: int) -> None:
        self._open.pop(number, None)

    @property
    def watching(self) -> int:
        return len(self._open)

    def cut(self) -> None:
        """End all watches in the middle of whatever they do."""
        for reads in self._open.values():
            reads.cut()

    def set_state(self, state: str) -> None:
        self.state = state
        if state == "down":
            self.cut()
        for reads in self._open.values():
            if state == "frozen":
                reads.fate, reads.after = "freeze", 0
            elif reads.fate == "freeze":
                reads.cut()

    def restore(self, backup: EventStore) -> None:
        self.store.restore(backup)
        self.cut()

    def ends_badly(self) -> bool:
        return self.dice.random() < self.trouble


class Connection:
    """What a life of the daemon has of the cluster; stands where `eventer.source.kube.Cluster` does."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def get(
        self, path: str, params: Mapping[str, str] | None = None, *, accept: str | None = None, deadline: float = 30.0
    ) -> Answer:
        try:
            async with asyncio.timeout(deadline):
                return await self._get(Request(path, dict(params or {}), {"accept": accept or ""}))
        except TimeoutError:
            raise Stalled("no answer") from None

    async def _get(self, request: Request) -> Answer:
        api, dice = self._api, self._api.dice
        await self._reach()
        body: bytes
        if api.ends_badly():
            match dice.choice(("refuse", "refuse", "silence", "cut", "html", "torn", "empty", "compact", "large")):
                case "refuse":
                    raise self._refusal(request)
                case "silence":
                    await asyncio.sleep(1e6)
                case "cut":
                    raise Broken("the answer was cut")
                case "html":
                    return Answer(HTML, None)
                case "torn":
                    _, body = api.server._plain(request)
                    return Answer(body[: dice.randrange(len(body))], None)
                case "empty":
                    return Answer(b"", None)
                case "large":
                    self._api.shrunk = True
                    raise Oversized("too large")
                case "compact":
                    api.compact()
        status, body = api.server._plain(request)
        if status != 200:
            raise failure_of(status, {}, body)
        lists = {"list", "probe"} if api.shrunk else {"list"}  # a page of one item looks like a probe
        if request.kind.removeprefix("nodes-") in lists and "continue" not in request.query:
            api.listed[request.path] = max(api.listed.get(request.path, 0), api.of(request.path).version)
        await asyncio.sleep(api.loop.latency(0.05))
        return Answer(body, None)

    async def _reach(self) -> None:
        api = self._api
        await asyncio.sleep(api.loop.latency(0.02))
        if api.state == "frozen":
            await asyncio.sleep(1e6)
        if api.state == "down":
            raise Broken("connection refused")

    def _refusal(self, request: Request) -> Exception:
        status = self._api.dice.choice([*REFUSALS])
        if status == 410 and request.kind.endswith("watch"):
            self._api.compact()
        body, headers = REFUSALS[status]
        return failure_of(status, headers, body)

    @asynccontextmanager
    async def watch(self, path: str, params: Mapping[str, str], *, idle: float) -> AsyncIterator[Reads]:
        api = self._api
        try:
            async with asyncio.timeout(idle):
                await self._reach()
        except TimeoutError:
            raise Stalled("no answer") from None
        fate, after = "", 0
        if api.ends_badly():
            if api.dice.random() < 0.4:
                raise self._refusal(Request(path, dict(params), {}))
            fate = api.dice.choice(("cut", "freeze", "end", "line"))
            after = api.dice.choice((0, api.dice.randrange(1, 400), api.dice.randrange(1, 4000)))
        reads = Reads(api, path, params, idle, fate, after)
        number = api.add(reads)
        try:
            yield reads
        finally:
            api.remove(number)


class Reads:
    """The body of an open watch. Its fate strikes after so many bytes."""

    date = None

    def __init__(self, api: Api, path: str, params: Mapping[str, str], idle: float, fate: str, after: int) -> None:
        self.wake = asyncio.Event()
        self.fate = fate
        self.after = after
        self._api = api
        parts = path.strip("/").split("/")
        self._store = api.of(path)
        self._group: Any = "nodes" if parts[-1] == "nodes" else "core" if parts[0] == "api" else "events"
        self._namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts else None
        self._version = int(params["resourceVersion"])
        self._until = api.loop.time() + float(params["timeoutSeconds"])
        self._idle = idle
        self._buffer = b""
        self._sent = 0
        self._last = False

    def close(self) -> None:
        self.cut()

    @contextmanager
    def resting(self) -> Iterator[None]:
        yield

    def cut(self) -> None:
        """Break off, at once."""
        self.fate, self.after = "cut", 0
        self.wake.set()

    async def read(self) -> bytes:
        try:
            async with asyncio.timeout(self._idle):
                return await self._read()
        except TimeoutError:
            raise Stalled("silence") from None

    async def _read(self) -> bytes:
        api, dice = self._api, self._api.dice
        while True:
            await asyncio.sleep(api.loop.latency(0.03))
            if self.fate and self._sent >= self.after and await self._strikes():
                return b""
            if not self._buffer and not self._last:
                self._fill()
            if self._buffer:
                return self._take()
            if self._last:
                return b""
            self.wake.clear()
            try:
                async with asyncio.timeout(max(0.0, self._until - api.loop.time())):
                    await self.wake.wait()
            except TimeoutError:
                self._last = True
                if dice.random() < 0.2:
                    meta = {"metadata": {"resourceVersion": str(self._version), "creationTimestamp": None}}
                    line = encode(meta, self._group, kind=True)
                    self._buffer = b'{"type":"BOOKMARK","object":%s}\n' % line

    async def _strikes(self) -> bool:
        """Let the fate strike; return whether the body ends cleanly by it."""
        while self.fate == "freeze":
            self.wake.clear()
            await self.wake.wait()
        if self.fate == "cut":
            raise Broken("the watch was cut")
        if self.fate == "line" and not self._buffer:
            self.fate, self._buffer = "", self._api.dice.choice(LINES)
        return self.fate == "end"

    def _fill(self) -> None:
        """Take over what has happened since, as far as this watch shows it."""
        store = self._store
        try:
            index = store.after(self._version)
        except Compacted:
            self._buffer, self._last = LINES[1], True
            return
        changes = store.history[index : index + self._api.dice.choice((1, 3, 100))]
        if changes:
            self._version = changes[-1].version
            mine = [change.line(self._group) for change in changes if self._namespace in {None, change.namespace}]
            self._buffer = b"".join(mine)

    def _take(self) -> bytes:
        """Return a piece of what is there: networks know nothing of lines."""
        dice = self._api.dice
        size = len(self._buffer) if dice.random() < 0.7 else dice.randrange(1, len(self._buffer) + 1)
        if self.fate and self._sent < self.after:
            size = min(size, self.after - self._sent)
        piece, self._buffer = self._buffer[:size], self._buffer[size:]
        self._sent += len(piece)
        return piece
