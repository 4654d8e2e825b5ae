"""An event that kills the process would do so after each start, for ever. Here it is found and buried.

After two unclean starts at the same cursor, with events waiting, the first read goes event by event, and
each is noted on the disk before its attempt. A note that is found again means that the process ended
within that attempt; found twice, the event is a dead letter. An attempt during which the event loop still
runs is not killing anybody, so its note is taken back after a moment: a dead sink and an unrelated kill
bury nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import msgspec

from eventer.delivery.settlement import Settlement
from eventer.errors import Rejected, SinkError
from eventer.journal import Trial
from eventer.sink import Sent

__all__ = ["CRASH", "Trials", "guilty"]

CRASH: Final = "crash"
"""Reason of an event that was found guilty."""
UNCLEAN: Final = 2
"""Unclean starts at one cursor after which care is taken."""
NOTED: Final = 2
"""Notes of one event after which it is given up."""
ALIVE: Final = 1.0
"""Seconds after which an attempt, seen by a loop that runs, is taken for harmless."""


def guilty() -> Rejected:
    """Make the reason for burying an event that was found guilty."""
    return Rejected("Eventer ended uncleanly while this event was being sent, twice.", reason=CRASH)


class Trials:
    """Takes care of what one reader sends first after a start: new events, and parked ones.

    Args:
        care: events of a whole read, which is how many care is taken of.
    """

    def __init__(self, settlement: Settlement, care: int) -> None:
        self._settlement = settlement
        self._care = care
        self._left = 0

    async def begin(self) -> None:
        """Count this start. Call it only if events wait that may be the reason for the last end."""
        before = self._settlement.record.trial
        trial = msgspec.structs.replace(before, starts=before.starts + 1)
        if trial.starts > UNCLEAN or trial.suspect is not None:
            self._left = self._care
        await self._settlement.note(trial)

    async def end(self) -> None:
        """Note a clean end."""
        if self._settlement.record.trial != Trial():
            await self._settlement.note(Trial())

    @property
    def careful(self) -> bool:
        """Whether the next event goes alone."""
        return self._left > 0

    def guilty(self, number: int) -> bool:
        """Whether the event at this offset has been noted often enough."""
        trial = self._settlement.record.trial
        return trial.suspect == number and trial.noted >= NOTED

    async def attempt(self, number: int, send: Callable[[], Coroutine[Any, Any, Sent | SinkError]]) -> Sent | SinkError:
        """Send with a note of the event at this offset on the disk. Nothing is settled meanwhile."""
        settlement = self._settlement
        before = settlement.record.trial
        noted = before.noted if before.suspect == number else 0
        await settlement.note(msgspec.structs.replace(before, suspect=number, noted=noted + 1))
        task = asyncio.ensure_future(send())
        try:
            quick, _ = await asyncio.wait({task}, timeout=ALIVE)
            if not quick:
                await settlement.note(before)
            result = await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        failed = [*result.failed.values()] if isinstance(result, Sent) else [result]
        if quick and failed:
            await settlement.note(before)
        if all(error.destination or isinstance(error, Rejected) for error in failed):
            self._left -= 1  # it is passed
        return result
