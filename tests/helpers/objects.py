"""Objects of a Kubernetes API for look-ups: in memory behind the port, or served over HTTP by the fake API server.

It answers in the words of kube-apiserver 1.35, and can be told to be slow, to refuse or to fail, path by path.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec

from eventer.demo.apiserver import ApiServer, Request, status_body
from eventer.errors import Broken, Refused
from eventer.source.answers import failure_of

__all__ = ["NEVER", "MemoryApi", "ObjectServer", "Objects"]

NEVER = float("inf")
_PLURALS = {"Pod": "pods", "Node": "nodes", "Namespace": "namespaces"}


class Objects:
    """What a cluster holds, and how it misbehaves."""

    def __init__(self) -> None:
        self.all: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        """Paths of all requests, in order; watches with `?watch`."""
        self.accepted: list[str] = []
        self.logs: dict[str, bytes] = {}
        self.wrong: list[tuple[re.Pattern[str], int]] = []
        """Statuses by pattern of a path; the first that fits."""
        self.slow: list[tuple[re.Pattern[str], float]] = []
        """Seconds before an answer, likewise."""
        self.version = 10
        self.changes: list[tuple[str, bytes]] = []
        self.changed = asyncio.Event()
        self.refuse_watch = False
        self._uids = 0

    def add(
        self,
        kind: str,
        name: str,
        namespace: str = "shop",
        *,
        api: str = "v1",
        labels: dict[str, str] | None = None,
        owner: dict[str, Any] | None = None,
        node: str = "",
        phase: str = "Running",
        annotations: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """Create an object, or one anew under a name; return it."""
        self._uids += 1
        self.version += 1
        meta: dict[str, Any] = {"name": name, "uid": f"uid-{self._uids}", "resourceVersion": str(self.version)}
        if kind not in {"Node", "Namespace"}:
            meta["namespace"] = namespace
        if labels:
            meta["labels"] = labels
        if annotations:
            meta["annotations"] = annotations
        if owner is not None:
            reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "controller": True}
            meta["ownerReferences"] = [reference | {key: owner["metadata"][key] for key in ("name", "uid")}]
        made: dict[str, Any] = {"apiVersion": api, "kind": kind, "metadata": meta}
        if kind == "Pod":
            made |= {"spec": {"nodeName": node} if node else {}, "status": {"phase": phase}}
        path = self.path(made)
        existed = path in self.all
        self.all[path] = made
        self.tell("MODIFIED" if existed else "ADDED", made)
        return made

    def remove(self, made: dict[str, Any]) -> None:
        self.version += 1
        del self.all[self.path(made)]
        self.tell("DELETED", made)

    def tell(self, type_: str, made: dict[str, Any]) -> None:
        self.changes.append((made["kind"], msgspec.json.encode({"type": type_, "object": made}) + b"\n"))
        self.changed.set()
        self.changed = asyncio.Event()

    def path(self, made: dict[str, Any]) -> str:
        api, kind, meta = made["apiVersion"], made["kind"], made["metadata"]
        root = f"/apis/{api}" if "/" in api else f"/api/{api}"
        within = f"/namespaces/{meta['namespace']}" if "namespace" in meta else ""
        return f"{root}{within}/{_PLURALS.get(kind, kind.lower() + 's')}/{meta['name']}"

    def _log(self, path: str, query: Mapping[str, str]) -> bytes:
        """Return what the kubelet does: of the last lines, with `limitBytes`, the first bytes."""
        lines = self.logs.get(path, b"").splitlines(keepends=True)
        return b"".join(lines[-int(query["tailLines"]) :])[
            : int(query["limitBytes"]) if "limitBytes" in query else None
        ]

    async def answer(self, path: str, accept: str, query: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """Answer a GET: status and body."""
        self.asked.append(path)
        self.accepted.append(accept)
        for pattern, seconds in self.slow:
            if pattern.search(path):
                await (asyncio.Event().wait() if seconds == NEVER else asyncio.sleep(seconds))
        for pattern, status in self.wrong:
            if pattern.search(path):
                return status, status_body(status, "Wrong", f"told to answer {status}")
        if path.endswith("/log") and path.removesuffix("/log") in self.all:
            return 200, self._log(path, query or {})
        if path in {"/api/v1/namespaces", "/api/v1/nodes"}:
            kind = "Namespace" if path.endswith("namespaces") else "Node"
            items = [made for made in self.all.values() if made["kind"] == kind]
            # Where there are none, the real one writes null.
            return 200, msgspec.json.encode(
                {"metadata": {"resourceVersion": str(self.version)}, "items": items or None}
            )
        if re.fullmatch(r"/apis/[^/]+/[^/]+", path):
            version = path.removeprefix("/apis/")
            kinds = {made["kind"]: "namespace" in made["metadata"]
                     for made in self.all.values() if made["apiVersion"] == version}  # fmt: skip
            if kinds:
                resources = [{"name": f"{kind.lower()}s", "kind": kind, "namespaced": n} for kind, n in kinds.items()]
                return 200, msgspec.json.encode({"resources": resources})
        made = self.all.get(path)
        if made is None:
            return 404, status_body(404, "NotFound", "not found")
        if accept.startswith("application/json;as=PartialObjectMetadata"):
            made = {key: value for key, value in made.items() if key not in {"spec", "status"}}
        return 200, msgspec.json.encode(made)

    async def lines(self, kind: str, version: int) -> AsyncIterator[bytes]:
        """Yield changes after a version, for ever."""
        at = next(
            (n for n, (_, line) in reversed([*enumerate(self.changes, 1)]) if b'"resourceVersion"' not in line), 0
        )
        while True:
            changed = self.changed
            for of, line in self.changes[at:]:
                if of == kind and (b'"resourceVersion"' not in line or _version(line) > version):
                    yield line
            at = len(self.changes)
            await changed.wait()

    def gets(self, part: str = "") -> list[str]:
        """Paths of single objects that were asked for, without lists and watches."""
        lists = {"/api/v1/namespaces", "/api/v1/nodes"}
        return [path for path in self.asked if "?" not in path and path not in lists and part in path]


def _version(line: bytes) -> int:
    return int(msgspec.json.decode(line)["object"]["metadata"]["resourceVersion"])


class _Body(msgspec.Struct):
    body: bytes


class Pieces:
    """An answer, of which a read brings a part."""

    def __init__(self, text: bytes) -> None:
        self._pieces = [text[start : start + 5000] for start in range(0, len(text), 5000)]

    async def read(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


class MemoryApi:
    """The port of look-ups, without a network."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects

    async def get(
        self, path: str, params: Mapping[str, str] | None = None, *, accept: str | None = None, deadline: float = 30.0
    ) -> _Body:
        try:
            async with asyncio.timeout(deadline):
                status, body = await self.objects.answer(path, accept or "application/json")
        except TimeoutError:
            raise Broken("No complete answer in time.") from None
        if status != 200:
            raise failure_of(status, {}, body)
        return _Body(body)

    @contextlib.asynccontextmanager
    async def watch(
        self, path: str, params: Mapping[str, str], *, idle: float, accept: str = "application/json"
    ) -> AsyncIterator[Any]:
        if path.endswith("/log"):
            status, text = await self.objects.answer(path, accept, params)
            if status != 200:
                raise failure_of(status, {}, text)
            yield Pieces(text)
            return
        self.objects.asked.append(f"{path}?watch")
        if self.objects.refuse_watch:
            raise Refused(403, "watch is forbidden")
        kind = "Namespace" if path.endswith("namespaces") else "Node"
        lines = self.objects.lines(kind, int(params["resourceVersion"]))

        class Reads:
            async def read(self) -> bytes:
                return await anext(lines)

        yield Reads()


class ObjectServer(ApiServer):
    """The fake API server, with objects beside its Events. Of namespaces and nodes it serves lists, not watches:
    those are refused, so that look-ups by name are taken."""

    def __init__(self) -> None:
        super().__init__()
        self.objects = Objects()

    async def _answer(self, request: Request, reader: Any, writer: Any) -> bool:
        path = request.path
        mine = not path.endswith("/events") and path not in {"/version", "/api/v1/namespaces/kube-system"}
        if not mine or request.method != "GET" or request.query.get("limit") == "1":
            return await super()._answer(request, reader, writer)
        accept = request.headers.get("accept", "")
        if request.query.get("watch"):
            status, body = 403, status_body(403, "Forbidden", "no watch here")
        else:
            status, body = await self.objects.answer(path, accept, request.query)
        kind = b"text/plain" if status == 200 and path.endswith("/log") else b"application/json"
        head = b"HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (status, kind, len(body))
        writer.write(head + body)
        await writer.drain()
        return True
