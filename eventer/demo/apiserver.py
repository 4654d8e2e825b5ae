"""A small API server that behaves, and misbehaves, like the real one as far as events go.

The demo runs on it, so that nobody needs a cluster to see Eventer work; the tests run on it, because a
real API server does not answer 502 or cut a line in two on demand. It speaks HTTP/1.1 byte by byte
itself: half a chunk and a torn line are what it is for. What it says was taken from answers of a real
one (kube-apiserver 1.35).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from eventer.demo.configmaps import ConfigMaps
from eventer.demo.faults import Body, Fault, Faults
from eventer.demo.http11 import Request, head, parse, send, status_body
from eventer.demo.nodes import Nodes
from eventer.demo.selector import Selector, Unsupported
from eventer.demo.store import KINDS, Compacted, EventStore, Group, encode

__all__ = ["ApiServer", "Request", "status_body"]

_BATCH: Final = 256
"""Watch lines per write: few system calls in a flood, and still a bounded write buffer."""


class ApiServer:
    """One API server. `store` holds what it serves; `faults` is how it fails.

    Use `start`, then `url` or `write_kubeconfig`; `stop` frees everything, and `start` may follow.
    """

    def __init__(self) -> None:
        self.store = EventStore()
        self.nodes = Nodes()
        self.configmaps = ConfigMaps()
        self.faults = Faults()
        self.requests: list[Request] = []
        """Every request so far, in order of arrival."""
        self.uid = str(uuid.uuid4())
        """uid of kube-system: which cluster this is."""
        self.token: str | None = None
        """The only bearer token accepted; None accepts everybody."""
        self.bookmarks = False
        """Send a BOOKMARK before a watch times out. The real one never does on events."""
        self.time_scale = 1.0
        """Seconds that one second of `timeoutSeconds` takes, so that tests need not wait."""
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        """Its clock, as its answers tell it."""
        self.watching = 0
        """Watches of Events that are open now."""
        self.port = 0
        self._tls = False
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._watches: set[asyncio.StreamWriter] = set()

    # What the store offers, at hand for callers.

    def create(self, *args: Any, **values: Any) -> dict[str, Any]:
        """Create an Event; see `EventStore.create`."""
        return self.store.create(*args, **values)

    def patch(self, name: str, namespace: str = "default", **values: Any) -> dict[str, Any]:
        """Change an Event; see `EventStore.patch`."""
        return self.store.patch(name, namespace, **values)

    def delete(self, name: str, namespace: str = "default") -> None:
        """Delete an Event; see `EventStore.delete`."""
        self.store.delete(name, namespace)

    def compact(self) -> None:
        """Forget history; open watches go on, as with etcd."""
        self.store.compact()

    def restore(self, backup: EventStore) -> None:
        """Go back to a backup of the store; all connections end, as when the servers are restarted."""
        self.store.restore(backup)
        self.cut()

    async def replay(self, lines: Iterable[bytes], *, per_second: float | None = None) -> int:
        """Write recorded core/v1 watch lines into the store, at once or paced; return how many."""
        count = 0
        for line in lines:
            self.store.apply(line)
            count += 1
            if per_second:
                await asyncio.sleep(1 / per_second)
        return count

    # Life.

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def start(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        """Listen on loopback; port 0 takes a free one."""
        self._tls = tls is not None
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=tls, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close everything at once, as a killed process would."""
        if self._server is not None:
            self._server.close()
        self.faults.thaw()
        for task, writer in tuple(self._connections.items()):
            writer.transport.abort()
            task.cancel()
        if self._connections:
            await asyncio.wait(tuple(self._connections))

    def cut(self) -> None:
        """Cut all open watches off in the middle of whatever they do."""
        for writer in tuple(self._watches):
            writer.transport.abort()

    def write_kubeconfig(
        self, path: Path, *, token: str | None = None, token_file: Path | None = None, ca: Path | None = None
    ) -> Path:
        """Write a kubeconfig for this server; return its path."""
        cluster = {"server": self.url} | ({"certificate-authority": str(ca)} if ca is not None else {})
        user: dict[str, str] = {}
        if token_file is not None:
            user["tokenFile"] = str(token_file)
        elif token is not None or self.token is not None:
            user["token"] = token or self.token or ""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "demo", "cluster": cluster}],
            "users": [{"name": "demo", "user": user}],
            "contexts": [{"name": "demo", "context": {"cluster": "demo", "user": "demo"}}],
            "current-context": "demo",
        }
        path.write_bytes(msgspec.json.encode(config))  # JSON is YAML
        return path

    # Connections.

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            while True:
                raw = await reader.readuntil(b"\r\n\r\n")
                request = parse(raw)
                if length := int(request.headers.get("content-length", "0")):
                    request = msgspec.structs.replace(request, body=await reader.readexactly(length))
                if not await self._answer(request, reader, writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client has gone, or we are being stopped
        finally:
            self._connections.pop(task, None)
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; return whether the connection can be used again."""
        self.requests.append(request)
        fault = self.faults.take(request.kind)
        if fault.before is not None:
            await fault.before()
        if fault.raw is not None:
            writer.write(fault.raw)
            await writer.drain()
            return False
        if fault.freeze_head:
            await self.faults.frozen(reader)
            return False
        if fault.status is not None:
            return await send(writer, fault.status, fault.body, {**self._date(), **fault.headers})
        if self.token is not None and request.headers.get("authorization") != f"Bearer {self.token}":
            return await send(writer, 401, status_body(401, "Unauthorized", "Unauthorized"), self._date())
        if request.query.get("watch"):
            return await self._watch(request, fault, reader, writer)
        status, body = self._plain(request)
        return await send(writer, status, body, self._date())

    def _date(self) -> dict[str, str]:
        return {"Date": format_datetime(self.now().replace(microsecond=0), usegmt=True)}

    def _plain(self, request: Request) -> tuple[int, bytes]:
        if (found := self.configmaps.answer(request)) is not None:
            return found
        path = request.path
        scope = _scope(path)
        if scope is not None:
            return self._list(request, *scope)
        if path == "/version":
            return 200, b'{"major":"1","minor":"35","gitVersion":"v1.35.0-demo"}'
        if path in {"/readyz", "/livez"}:
            return 200, b'"ok"'
        if path == "/api/v1/namespaces/kube-system":
            meta = {"name": "kube-system", "uid": self.uid, "resourceVersion": "4"}
            return 200, msgspec.json.encode({"kind": "Namespace", "apiVersion": "v1", "metadata": meta})
        return 404, status_body(404, "NotFound", "the server could not find the requested resource")

    def _list(self, request: Request, group: Group, namespace: str | None) -> tuple[int, bytes]:
        query, store = request.query, self._store(group)
        try:
            selector = Selector(query.get("fieldSelector", ""), group)
        except Unsupported as field:
            return _unsupported(field)
        limit = int(query.get("limit") or 0)
        version, start = None, ("", "")
        if token := query.get("continue"):
            try:
                version, start = _read_token(token)
            except ValueError:
                return 400, status_body(400, "BadRequest", "continue key is not valid")
        elif int(query.get("resourceVersion") or 0) > store.version:
            words = f"Timeout: Too large resource version: {query['resourceVersion']}, current: {store.version}"
            return 504, status_body(504, "Timeout", words, causes=["ResourceVersionTooLarge"])
        try:
            version, items, following, remain = store.page(namespace, limit, version, start, selector.matches)
        except Compacted:
            words = "The provided continue parameter is too old to display a consistent list result."
            return 410, status_body(410, "Expired", words, more=_write_token(None, start))
        meta: dict[str, Any] = {"resourceVersion": str(version)}
        if following is not None:
            meta |= {"continue": _write_token(version, following), "remainingItemCount": remain}
        if request.kind.endswith("audit"):
            parts = [msgspec.json.encode({"metadata": item["metadata"]}) for item in items]
            kind, api = "PartialObjectMetadataList", "meta.k8s.io/v1"
        else:
            parts = [encode(item, group, kind=False) for item in items]
            kind, api = f"{KINDS[group]}List", "events.k8s.io/v1" if group == "events" else "v1"
        head = msgspec.json.encode({"kind": kind, "apiVersion": api, "metadata": meta})
        return 200, head[:-1] + b',"items":[' + b",".join(parts) + b"]}"

    def _store(self, group: Group) -> EventStore:
        return self.nodes.store if group == "nodes" else self.store

    async def _watch(
        self, request: Request, fault: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        scope = _scope(request.path)
        assert scope is not None
        try:
            selector = Selector(request.query.get("fieldSelector", ""), scope[0])
        except Unsupported as field:
            return await send(writer, *_unsupported(field), self._date())
        writer.write(head(200, self._date() | {"Transfer-Encoding": "chunked"}))
        body = Body(writer, fault, lambda: self.faults.frozen(reader))
        counted = scope[0] != "nodes"
        self.watching += counted
        self._watches.add(writer)
        try:
            if fault.inject:
                await body.send([fault.inject])
            if fault.end:
                return await body.end()
            return await self._stream(request, selector, body, reader, *scope)
        finally:
            self.watching -= counted
            self._watches.discard(writer)

    async def _stream(
        self,
        request: Request,
        selector: Selector,
        body: Body,
        reader: asyncio.StreamReader,
        group: Group,
        namespace: str | None,
    ) -> bool:
        store = self._store(group)
        loop = asyncio.get_running_loop()
        until = loop.time() + float(request.query.get("timeoutSeconds") or 1800) * self.time_scale
        version = int(request.query.get("resourceVersion") or 0)
        wake = asyncio.Event()
        closed = asyncio.create_task(reader.read(1))
        store.listeners.add(wake.set)
        try:
            if not version:
                version, items, _, _ = store.page(namespace, 0, None, ("", ""), selector.matches)
                added = b'{"type":"ADDED","object":%s}\n'
                await body.send([added % encode(item, group, kind=True) for item in items])
            while not body.ended:
                wake.clear()
                try:
                    index = store.after(version)
                except Compacted:
                    words = "The resourceVersion for the provided watch is too old."
                    await body.send([_line("ERROR", status_body(410, "Expired", words))])
                    break
                changes = store.history[index : index + _BATCH]
                if changes:
                    version = changes[-1].version
                    here = [change for change in changes if namespace in {None, change.namespace}]
                    await body.send([line for change in here if (line := selector.line(change, group)) is not None])
                    continue
                waiting = asyncio.create_task(wake.wait())
                try:
                    await asyncio.wait(
                        {waiting, closed}, timeout=max(until - loop.time(), 0), return_when=asyncio.FIRST_COMPLETED
                    )
                finally:
                    waiting.cancel()
                if closed.done():
                    return False
                if loop.time() >= until:
                    if self.bookmarks:
                        meta = {"metadata": {"resourceVersion": str(store.version), "creationTimestamp": None}}
                        await body.send([_line("BOOKMARK", encode(meta, group, kind=True))])
                    break
            await body.end()
            return False
        finally:
            closed.cancel()
            store.listeners.discard(wake.set)


def _line(type_: str, obj: bytes) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (type_.encode(), obj.strip())


def _scope(path: str) -> tuple[Group, str | None] | None:
    """Return (group, namespace) of a path of events or nodes, None for another path."""
    match path.strip("/").split("/"):
        case ["api", "v1", "events"]:
            return "core", None
        case ["api", "v1", "nodes"]:
            return "nodes", None
        case ["api", "v1", "namespaces", namespace, "events"]:
            return "core", namespace
        case ["apis", "events.k8s.io", "v1", "events"]:
            return "events", None
        case ["apis", "events.k8s.io", "v1", "namespaces", namespace, "events"]:
            return "events", namespace
    return None


def _unsupported(field: Unsupported) -> tuple[int, bytes]:
    return 400, status_body(400, "BadRequest", f"field label not supported: {field}")


def _write_token(version: int | None, start: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode([version, *start])).decode()


def _read_token(token: str) -> tuple[int | None, tuple[str, str]]:
    """A token without a version is the inconsistent one: it goes on from now, and misses things."""
    version, namespace, name = msgspec.json.decode(base64.urlsafe_b64decode(token), type=tuple[int | None, str, str])
    return version, (namespace, name)
