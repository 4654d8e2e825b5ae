"""Sockets on which we never send: the kernel must notice for us that the other side is gone."""

from __future__ import annotations

import socket
from typing import Final

import aiohttp

__all__ = ["harden"]

_KEEPALIVE: Final = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 60_000))
"""A half-open connection is noticed after 30 + 3 * 10 s of silence, or 60 s after data went
unacknowledged (https://man7.org/linux/man-pages/man7/tcp.7.html). The last one is in milliseconds."""


def harden(response: aiohttp.ClientResponse) -> None:
    """Let the kernel notice a dead peer under the connection of an answer."""
    transport = response.connection.transport if response.connection is not None else None
    sock = transport.get_extra_info("socket") if transport is not None else None
    if sock is None or sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        option = getattr(socket, name, None)  # not every system has all of them
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
