"""The client of a sink that goes by HTTP, made anew when certificates or the password for a proxy have changed.

Requests may overlap: whoever began with the old client ends with it, and the last one closes it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from eventer.errors import Blocked, Retry
from sinks._auth import reveal
from sinks._proxy import ProxyConfig
from sinks._tls import TlsConfig, stamp

__all__ = ["Link", "Links"]

C = TypeVar("C")


class Link(Generic[C]):
    """A client, and what it was made from: files, and the password for the proxy, if any."""

    def __init__(self, client: C, files: tuple[object, ...], password: str) -> None:
        self.client = client
        self.password = password
        self.made_from = (files, password)
        self.users = 0
        """Requests under way."""


class Links(Generic[C]):
    """The present client, and the former ones that are still used.

    Args:
        make: makes a client that goes through the proxy, if any, with this password. Raises Blocked where files
            cannot be used.
        close: closes one.
    """

    def __init__(
        self,
        tls: TlsConfig,
        proxy: ProxyConfig | None,
        make: Callable[[str], C],
        close: Callable[[C], Awaitable[None]],
    ) -> None:
        self._tls = tls
        self._basic = proxy.basic if proxy else None
        self._make = make
        self._close = close
        self._link: Link[C] | None = None
        self._unusable: tuple[tuple[object, ...], str] | None = None
        """What no client could be made from, when that was last tried."""

    def open(self) -> None:
        """Make the first client, if there is none.

        Raises:
            Blocked: a file of certificates or a secret for the proxy cannot be used.
        """
        if self._link is None:
            self._link = self._made(self._material())

    async def close(self) -> None:
        """Close the present client."""
        link, self._link = self._link, None
        if link is not None:
            await self._close(link.client)

    async def take(self) -> Link[C]:
        """Return the client to use, a new one where what it is made from has changed. Give it back by `leave`.

        Raises:
            Retry: it cannot be made from what is there now: for a moment, while files are replaced,
                a certificate and its key do not belong together.
            Blocked: that was so before.
        """
        assert self._link is not None, "request before open"
        material = self._material()
        if material != self._link.made_from:
            try:
                made = self._made(material)
            except Blocked as error:
                if self._unusable == material:
                    raise
                self._unusable = material
                raise Retry(str(error), reason=error.reason) from None
            old, self._link = self._link, made
            if not old.users:
                await self._close(old.client)
        link = self._link
        link.users += 1
        return link

    async def leave(self, link: Link[C]) -> None:
        """Say that a request has ended."""
        link.users -= 1
        if not link.users and link is not self._link:
            await self._close(link.client)

    def _material(self) -> tuple[tuple[object, ...], str]:
        """Return what changes when a client of another making is needed.

        Raises:
            Blocked: the password for the proxy cannot be read.
        """
        password = reveal(self._basic.password, "The password for the proxy") if self._basic else ""
        return stamp(self._tls), password

    def _made(self, material: tuple[tuple[object, ...], str]) -> Link[C]:
        files, password = material
        return Link(self._make(password), files, password)
