"""An event that kills the process would do so after each start, for ever. Here it is found and buried.

After two unclean starts at the same cursor, with events waiting, the first read goes event by event, and
each is noted on the disk before its attempt. A note that is found again means that the process ended
within that attempt; found twice, the event is a dead letter. An attempt during which the event loop still
runs is not killing anybody, so its note is taken back after a moment: a dead sink and an unrelated kill
bury nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

import msgspec

from eventer.delivery.settlement import Settlement
from eventer.errors import SinkError
from eventer.journal import Trial
from eventer.sink import Sent

__all__ = ["Trials"]

UNCLEAN: Final = 2
"""Unclean starts at one cursor after which care is taken."""
NOTED: Final = 2
"""Notes of one event after which it is given up."""
ALIVE: Final = 1.0
"""Seconds after which an attempt, seen by a loop that runs, is taken for harmless."""


class Trials:
    """Takes care of one reader's first read after a start.

    Args:
        ahead: events of a whole read, which is how far care is taken.
    """

    def __init__(self, settlement: Settlement, head: int, ahead: int) -> None:
        self._settlement = settlement
        self._head = head
        self._until = settlement.cursor
        self._ahead = ahead

    async def begin(self) -> None:
        """Count this start, if events wait that may be the reason for the last end."""
        record = self._settlement.record
        if record.cursor == self._head:
            return
        trial = msgspec.structs.replace(record.trial, starts=record.trial.starts + 1)
        if trial.starts > UNCLEAN or trial.suspect is not None:
            self._until = record.cursor + self._ahead
        await self._settlement.note(trial, wait=False)

    async def end(self) -> None:
        """Note a clean end."""
        if self._settlement.record.trial != Trial():
            await self._settlement.note(Trial())

    @property
    def careful(self) -> bool:
        """Whether the next event goes alone."""
        return self._settlement.cursor < self._until

    @property
    def guilty(self) -> bool:
        """Whether the next event has been noted often enough."""
        trial = self._settlement.record.trial
        return trial.suspect == self._settlement.cursor and trial.noted >= NOTED

    async def attempt(self, sending: Coroutine[Any, Any, Sent | SinkError]) -> Sent | SinkError:
        """Send with a note of the next event on the disk. Nothing is settled meanwhile."""
        settlement = self._settlement
        before, at = settlement.record.trial, settlement.cursor
        noted = before.noted if before.suspect == at else 0
        await settlement.note(msgspec.structs.replace(before, suspect=at, noted=noted + 1))
        task = asyncio.ensure_future(sending)
        try:
            alive, _ = await asyncio.wait({task}, timeout=ALIVE)
            if not alive:
                await settlement.note(before)
            result = await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if alive and not isinstance(result, Sent):
            await settlement.note(before)
        return result
