"""The way to a far side through an HTTP proxy."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from sinks._auth import BasicConfig

__all__ = ["ProxyConfig"]


class ProxyConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Proxy that requests go through. The variables HTTP_PROXY, HTTPS_PROXY and NO_PROXY are not looked at."""

    # A cluster's administrators set those variables for all pods, with the internet in mind; a sink
    # within the cluster would be led out of it by them.

    url: Annotated[str, Meta(examples=["http://proxy.example:3128"])]
    """Where it is: http://host:port, or https://host:port for TLS to the proxy itself. No user name and
    password in it."""
    basic: BasicConfig | None = None
    """User name and password for the proxy."""

    def __post_init__(self) -> None:
        """Check the address.

        Raises:
            ValueError: with the remedy.
        """
        try:
            parts = urlsplit(self.url)
            good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
            good = good and parts.path in ("", "/") and not parts.query and not parts.fragment
        except ValueError:
            good = False
        if "@" in self.url:
            raise ValueError("url: user name and password do not belong into the address; write them under basic")
        if not good:
            raise ValueError("url: this is no address of a proxy; write for example http://proxy.example:3128")
