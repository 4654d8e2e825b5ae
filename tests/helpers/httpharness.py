"""What the harnesses of sinks over HTTP share: the table of faults as answers, and requests that get none.

Each kind adds its far side, its options and what arrived there.
"""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar

import httpx
import pytest

from tests.helpers.farside import Answer, FarSide
from tests.helpers.sinks import CANARY, Harness

__all__ = ["HttpHarness"]

Far = TypeVar("Far", bound=FarSide)


class HttpHarness(Harness, Generic[Far]):
    """One sink over HTTP, with a far side whose answers are scripted."""

    echo: ClassVar[bytes]
    """Body of each answer that is no success; the canary is in it."""
    cut: ClassVar[int] = 200
    """Status of the answer that stops half-way."""
    client: ClassVar[tuple[type, str]] = (httpx.AsyncHTTPTransport, "handle_async_request")
    """Class and method by which the sink sends every request."""

    def __init__(self, far: Far, patch: pytest.MonkeyPatch, variant: str = "") -> None:
        self.far = far
        self._variant = variant
        self._patch = patch
        self._whole = getattr(*self.client)

    def play(self, fault: str) -> None:
        if fault == "unknown":

            async def broken(*_: Any, **__: Any) -> Any:
                raise ZeroDivisionError(CANARY)

            self._patch.setattr(*self.client, broken)
            return
        self.far.fault = {
            "rejected": Answer(400, self.echo),
            "denied": Answer(401, self.echo),
            "too_large": Answer(413, self.echo),
            "throttled": Answer(429, self.echo, {"Retry-After": "7"}),
            "unavailable": Answer(503, self.echo),
            "timeout": Answer(hang=True),
            "cut": Answer(self.cut, self.echo, cut=60),
        }[fault]

    def heal(self) -> None:
        self._patch.setattr(*self.client, self._whole)
        self.far.fault = None

    async def stall(self) -> None:
        self.far.fault = Answer(hang=True)
        self.far.came.clear()

    async def stalled(self) -> None:
        await self.far.came.wait()

    async def unstall(self) -> None:
        await self.far.gone.wait()
