"""A bare client of a Kubernetes API, for what tests write and verify.

It is not the daemon's client on purpose: what checks the daemon must not share its faults.
"""

from __future__ import annotations

import io
import json
import ssl
from pathlib import Path
from typing import Any

import aiohttp

__all__ = ["KubeApi", "Refusal"]


class Refusal(Exception):
    """The API answered with a status that is no success."""

    def __init__(self, status: int, body: str) -> None:
        self.status = status
        super().__init__(f"HTTP {status}: {body[:500]}")


class KubeApi:
    """JSON requests to one API server as one user.

    Args:
        url: `https://127.0.0.1:6443`, without a slash at the end.
        ca_file: certificate that the server must show, or its CA.
        token: bearer token.
        timeout: seconds for one request, answer included.
    """

    def __init__(self, url: str, ca_file: Path, token: str, timeout: float = 30.0) -> None:
        self.url = url
        self._ca_file = ca_file
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            context = ssl.create_default_context(cafile=str(self._ca_file))
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context, limit=0),
                headers=self._headers,
                timeout=self._timeout,
                trust_env=False,
            )
        return self._session

    async def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def text(self, path: str) -> str:
        """GET a path that answers with plain text (`/readyz`).

        Raises:
            Refusal: the status is not 2xx.
            OSError, TimeoutError, aiohttp.ClientError: no answer.
        """
        async with self._open().get(self.url + path) as answer:
            body = await answer.text()
            if answer.status >= 300:
                raise Refusal(answer.status, body)
            return body

    async def request(
        self, method: str, path: str, body: Any = None, *, content_type: str = "application/json"
    ) -> dict[str, Any]:
        """Send one request and return the decoded answer.

        Raises:
            Refusal: the status is not 2xx.
            OSError, TimeoutError, aiohttp.ClientError: no answer; it may have been carried out.
        """
        data = None if body is None else io.BytesIO(json.dumps(body).encode())
        headers = {} if data is None else {"Content-Type": content_type}
        async with self._open().request(method, self.url + path, data=data, headers=headers) as answer:
            raw = await answer.read()
            if answer.status >= 300:
                raise Refusal(answer.status, raw.decode(errors="replace"))
            decoded: dict[str, Any] = json.loads(raw)
            return decoded

    async def create(self, path: str, body: Any) -> dict[str, Any]:
        """POST an object; see `request` for what is raised."""
        return await self.request("POST", path, body)

    async def merge(self, path: str, patch: Any, *, subresource: str = "") -> dict[str, Any]:
        """PATCH an object by JSON merge; see `request` for what is raised."""
        if subresource:
            path = f"{path}/{subresource}"
        return await self.request("PATCH", path, patch, content_type="application/merge-patch+json")

    async def delete(self, path: str) -> dict[str, Any]:
        """DELETE an object; see `request` for what is raised."""
        return await self.request("DELETE", path)

    async def items(self, path: str) -> list[dict[str, Any]]:
        """List everything under a path, in one answer."""
        answer = await self.request("GET", path)
        found: list[dict[str, Any]] = answer["items"]
        return found
