"""What people decide on dead letters: to have them tried again, or to give them up.

A letter that is tried again is parked: it goes by itself, in order with what else waits of its entity, and
behind what was delivered meanwhile. The reader's record has one owner: while a runner runs, it carries the
decisions out, between two sends; without one, whoever holds the journal's lock does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

from eventer.delivery.feed import Feed
from eventer.delivery.parked import PARKED_MOST, Parked
from eventer.delivery.settlement import Settlement
from eventer.errors import DiskRefused, EventerError
from eventer.event import Outcome
from eventer.journal import Journal, ParkedLetter
from eventer.journal.notes import LETTERS

__all__ = ["AGAIN_MOST", "Decided", "Decision", "Desk", "decide"]

AGAIN_MOST: Final = PARKED_MOST // 2
"""Letters of one sink that wait, with which none is taken back: a runner whose letters are too many reads no events."""


class Decision(StrEnum):
    """What is to become of dead letters."""

    RETRY = "retry"
    DROP = "drop"


class Decided(msgspec.Struct, kw_only=True, frozen=True):
    """What became of a request; it is on the disk."""

    done: int = 0
    unknown: int = 0
    """Numbers of no dead letter: there never was one, or somebody has decided on it already."""
    left: int = 0
    """Letters that stay dead, because `AGAIN_MOST` wait already."""


class Desk:
    """Takes requests for one runner, which carries them out in its own time.

    Args:
        wake: set when there is one, and left set when the runner is to stop.
        stop: tells that.
    """

    def __init__(self, name: str, journal: Feed, parked: Parked, wake: asyncio.Event, stop: asyncio.Event) -> None:
        self._name = name
        self._journal = journal
        self._parked = parked
        self._wake = wake
        self._stop = stop
        self._settlement: Settlement | None = None
        self._closed = False
        self._asked: deque[tuple[Decision, list[int], asyncio.Future[Decided]]] = deque()

    def __bool__(self) -> bool:
        """Whether a request waits."""
        return bool(self._asked)

    def ask(self, decision: Decision, numbers: Iterable[int]) -> asyncio.Future[Decided]:
        """Have something done with the dead letters of these numbers.

        Returns:
            Done when it is on the disk. It raises EventerError if the sink ended before, and DiskRefused if the
            letters could not be read; nothing has changed then, as far as it can be told.
        """
        answer: asyncio.Future[Decided] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())  # whoever asked may be gone
        if self._closed:
            answer.set_exception(self._ended())
        else:
            self._asked.append((decision, sorted(set(numbers)), answer))
            self._wake.set()
        return answer

    def begin(self, settlement: Settlement) -> None:
        """Take requests from now on: the parked letters are known."""
        self._settlement = settlement
        self._closed = False

    async def work(self) -> None:
        """Carry out what was asked. Nothing may be on its way to the sink."""
        if not self._stop.is_set():
            self._wake.clear()
        while self._asked and self._settlement is not None:
            decision, numbers, answer = self._asked[0]
            try:
                result = await self._do(self._settlement, decision, numbers)
            except DiskRefused as error:
                if not answer.done():
                    answer.set_exception(error)
            else:
                if not answer.done():
                    answer.set_result(result)
            self._asked.popleft()

    def close(self) -> None:
        """Take no more requests; those that wait are refused."""
        self._settlement = None
        self._closed = True
        for _, _, answer in self._asked:
            if not answer.done():
                answer.set_exception(self._ended())
        self._asked.clear()

    async def _do(self, settlement: Settlement, decision: Decision, numbers: list[int]) -> Decided:
        await settlement.done()  # what died a moment ago must be on the disk to be found
        rows = await self._journal.dead(self._name, numbers)
        chosen = rows
        if decision is Decision.RETRY:
            chosen = rows[: max(0, AGAIN_MOST - len(self._parked))]
            now = self._journal.now
            for row in chosen:
                self._parked.add(row._replace(at=now, due=None))
        if chosen:
            await settlement.decide(*_effects(decision, chosen))
            await settlement.done()
        return _decided(numbers, rows, chosen)

    def _ended(self) -> EventerError:
        return EventerError(f"The sink {self._name} has just ended, to stop or to begin anew. Ask again in a moment.")


async def decide(journal: Journal, name: str, decision: Decision, numbers: Iterable[int]) -> Decided:
    """Carry out a decision where no runner runs for this reader; letters of intake have none at any time.

    Raises:
        EventerError: a line that is no event is to be sent.
        JournalError: nothing of it happened.
    """
    asked = sorted(set(numbers))
    if name.startswith("intake:"):
        if decision is Decision.RETRY:
            raise EventerError(f"The letters of {name} are no events, so no sink can be sent them.")
        done = await journal.drop_lines(name, asked)
        return Decided(done=done, unknown=len(asked) - done)
    feed: Feed = journal
    if name.startswith(LETTERS):
        name = name.removeprefix(LETTERS)
        feed = journal.alerting.log(name)
    record = feed.readers.get(name)
    if record is None:
        return Decided(unknown=len(asked))
    rows = await feed.dead(name, asked)
    chosen = rows
    if decision is Decision.RETRY:
        chosen = rows[: max(0, AGAIN_MOST - record.outcomes.get(Outcome.PARKED, 0))]
    if chosen:
        outcomes, gone, again = _effects(decision, chosen)
        await feed.settle(name, record.decided(outcomes), gone=gone, again=again)
    return _decided(asked, rows, chosen)


def _effects(decision: Decision, rows: list[ParkedLetter]) -> tuple[dict[Outcome, int], list[int], list[int]]:
    """Return what it means: for the counts, which letters go, and which wait again."""
    numbers = [row.number for row in rows]
    if decision is Decision.RETRY:
        return {Outcome.DEAD: -len(rows), Outcome.PARKED: len(rows)}, [], numbers
    return {Outcome.DEAD: -len(rows), Outcome.DROPPED: len(rows)}, numbers, []


def _decided(asked: list[int], rows: list[ParkedLetter], chosen: list[ParkedLetter]) -> Decided:
    return Decided(done=len(chosen), unknown=len(asked) - len(rows), left=len(rows) - len(chosen))
