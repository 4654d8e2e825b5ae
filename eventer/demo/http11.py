"""As much of HTTP/1.1 as the fake API server speaks: a request's head in, whole answers out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

__all__ = ["Request", "head", "parse", "send", "status_body"]

_REASONS: Final = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    410: "Gone",
    504: "Gateway Timeout",
}


class Request(msgspec.Struct, frozen=True):
    """One request, as the server saw it."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    """Names in lower case."""
    method: str = "GET"
    body: bytes = b""

    @property
    def kind(self) -> str:
        """What it asks for: watch, list, probe (a list of one), audit, namespace, configmap, or other.

        Of nodes: nodes-watch and so on.
        """
        if "/configmaps/" in self.path:
            return "configmap"
        nodes = "nodes-" if self.path == "/api/v1/nodes" else ""
        if not nodes and not self.path.endswith("/events"):
            return "namespace" if self.path == "/api/v1/namespaces/kube-system" else "other"
        if self.query.get("watch"):
            return f"{nodes}watch"
        if "PartialObjectMetadataList" in self.headers.get("accept", ""):
            return f"{nodes}audit"
        return f"{nodes}probe" if self.query.get("limit") == "1" else f"{nodes}list"


def status_body(
    code: int, reason: str, message: str, *, causes: Iterable[str] = (), more: str = "", after: int | None = None
) -> bytes:
    """Encode a Status, the API's way of saying no."""
    details: dict[str, Any] = {}
    if causes:
        details["causes"] = [{"reason": cause} for cause in causes]
    if after is not None:
        details["retryAfterSeconds"] = after
    body: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {"continue": more} if more else {}}
    body |= {"status": "Failure", "message": message, "reason": reason, "code": code}
    if details:
        body["details"] = details
    return msgspec.json.encode(body) + b"\n"


def parse(raw: bytes) -> Request:
    """Read the head of a request; its body comes later."""
    first, _, rest = raw.decode("latin-1").partition("\r\n")
    method, address = first.split(" ")[:2]
    target = urlsplit(address)
    headers = {name.strip().lower(): value.strip() for name, _, value in (x.partition(":") for x in rest.split("\r\n"))}
    return Request(target.path, dict(parse_qsl(target.query)), headers, method)


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """Encode the head of an answer."""
    fields = {"Content-Type": "application/json", **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} {_REASONS.get(status, 'OK')}\r\n{lines}\r\n".encode("latin-1")


async def send(writer: asyncio.StreamWriter, status: int, body: bytes, headers: Mapping[str, str]) -> bool:
    """Send a whole answer; return that the connection can be used again."""
    writer.write(head(status, {"Content-Length": str(len(body)), **headers}) + body)
    await writer.drain()
    return True
