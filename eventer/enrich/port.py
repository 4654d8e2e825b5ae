"""What look-ups need of a connection to an API server: implemented by the source's client.

The two rooms never import each other; the wiring in `eventer.app` joins them.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

__all__ = ["Answer", "Api", "Lines"]


class Answer(Protocol):
    """A successful answer."""

    @property
    def body(self) -> bytes | bytearray:
        """All of it."""
        ...


class Lines(Protocol):
    """The body of an open watch, or of an answer that is not read as a whole."""

    async def read(self) -> bytes:
        """Return what has arrived; empty at a clean end. Raises SourceError when the connection is lost."""
        ...


class Api(Protocol):
    """One API server."""

    async def get(
        self, path: str, params: Mapping[str, str] | None = None, *, accept: str | None = None, deadline: float = 30.0
    ) -> Answer:
        """Send one GET.

        Args:
            path: absolute path, escaped.
            params: query.
            accept: media type; JSON without it.
            deadline: seconds for everything.

        Raises:
            SourceError: no success; `Refused` has the server's status.
        """
        ...

    def watch(
        self, path: str, params: Mapping[str, str], *, idle: float, accept: str = "application/json"
    ) -> AbstractAsyncContextManager[Lines]:
        """Send one GET whose answer is read piece by piece; its socket is closed at the end of the block.

        Raises as `get`.

        Args:
            path, params, accept: as for `get`.
            idle: seconds of silence after which a read is given up.
        """
        ...
