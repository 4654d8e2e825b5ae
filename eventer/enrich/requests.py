"""All requests of look-ups to one API server: only so many at once, and none at a part of it that fails.

An aggregated API without an endpoint answers 503, or never. So each API group has places and a breaker of its own:
what is broken there costs the others nothing.
"""

from __future__ import annotations

import asyncio
import functools
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar

from eventer.about import Enriched
from eventer.clock import Backoff, Clock
from eventer.enrich.port import Api
from eventer.errors import Broken, Refused, SourceError
from eventer.observe.metrics import LOOKUPS

__all__ = ["DEADLINE", "Requests", "Unwanted", "state_of"]

DEADLINE: Final = 10.0
"""Seconds for one request. An answer that comes after the time box is of use for the next event."""
AT_ONCE: Final = 16
"""Requests under way at once, and how many of them in one API group: a look-up must not be a load."""
OF_A_GROUP: Final = 6
FAILURES: Final = 5
"""Failures in a row after which a group is left alone for a while."""
GROUPS: Final = 256
"""Groups that are remembered. What an event calls a group may be nonsense."""

T = TypeVar("T")


class Unwanted(Broken):
    """Nobody waits for the answer any more, so it was not asked for."""


class _Group:
    def __init__(self, clock: Clock) -> None:
        self.places = asyncio.Semaphore(OF_A_GROUP)
        self.backoff = Backoff(2.0, 60.0, clock=clock, floor=1.0)
        self.failures = 0
        self.until = 0.0
        """Monotonic time before which nothing is asked."""


class Requests:
    """The requests to one cluster."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._places = asyncio.Semaphore(AT_ONCE)
        self._groups: OrderedDict[str, _Group] = OrderedDict()

    async def get(
        self, group: str, path: str, accept: str, wanted: Callable[[], bool], params: Mapping[str, str] | None = None
    ) -> bytes | bytearray:
        """Send one GET, when it is its turn.

        Args:
            group: API group that is asked; empty for the core.
            wanted: whether somebody still waits for the answer; asked when the turn has come.

        Raises:
            SourceError: no answer that is of use.
        """
        request = functools.partial(self._api.get, path, params, accept=accept, deadline=DEADLINE)
        return (await self._ask(group, wanted, request)).body

    async def end_of(
        self, path: str, accept: str, wanted: Callable[[], bool], params: Mapping[str, str], most: int
    ) -> tuple[bytes, bool]:
        """Send one GET to the core, and keep the last bytes of its answer, however long that is.

        Returns:
            At most so many bytes, and whether there were more before them.

        Raises:
            SourceError: as `get`.
        """

        async def read() -> tuple[bytes, bool]:
            body, cut = b"", False
            try:
                async with (
                    asyncio.timeout(DEADLINE),
                    self._api.watch(path, params, idle=DEADLINE, accept=accept) as pieces,
                ):
                    while piece := await pieces.read():
                        body += piece
                        cut = cut or len(body) > most
                        body = body[-most:]
            except TimeoutError:
                raise Broken(f"No complete answer within {DEADLINE:.0f} s.") from None
            return body, cut

        return await self._ask("", wanted, read)

    async def _ask(self, group: str, wanted: Callable[[], bool], request: Callable[[], Awaitable[T]]) -> T:
        state = self._group(group)
        async with state.places, self._places:
            if not wanted():
                raise Unwanted("Nobody waits for it any more.")
            if self._clock.monotonic() < state.until:
                raise Broken("The API server has failed too often; it is asked again later.")
            try:
                answer = await request()
            except SourceError as error:
                self._failed(state, error)
                raise
        state.failures = 0
        state.backoff.reset()
        LOOKUPS.labels(result=Enriched.OK).inc()
        return answer

    def _failed(self, group: _Group, error: SourceError) -> None:
        result = state_of(error)
        LOOKUPS.labels(result=result).inc()
        if result is not Enriched.FAILED:  # it has answered, and well
            group.failures = 0
            return
        group.failures += 1
        if group.failures >= FAILURES:
            group.until = self._clock.monotonic() + group.backoff.next(getattr(error, "after", None))

    def _group(self, name: str) -> _Group:
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = _Group(self._clock)
            if len(self._groups) > GROUPS:
                self._groups.popitem(last=False)
        self._groups.move_to_end(name)
        return group


def state_of(error: SourceError) -> Enriched:
    """Say what an error means for what was looked up."""
    if isinstance(error, Refused):
        if error.status in {401, 403}:
            return Enriched.FORBIDDEN
        if error.status == 404:
            return Enriched.GONE
    return Enriched.FAILED
