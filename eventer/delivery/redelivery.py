"""Parked letters, tried again: a probe where a destination failed, everything where it is back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import structlog

from eventer.delivery.feed import Feed
from eventer.delivery.parked import Parked
from eventer.delivery.parts import Parts
from eventer.delivery.repeats import Windows
from eventer.delivery.settlement import Settlement
from eventer.delivery.shedding import Shedding
from eventer.delivery.trial import CRASH, Trials, guilty
from eventer.errors import Blocked, DiskRefused, Rejected, SinkError
from eventer.event import Outcome
from eventer.journal import Letter, ParkedLetter

__all__ = ["Redelivery"]

Round = Callable[[Parts, int], Awaitable[tuple[bool, bytes | None]]]
"""Sends what is next, given the number of the first; returns whether the sink as a whole goes on, and its new state."""


class Redelivery:
    """Brings the parked letters of one sink to their end."""

    def __init__(
        self,
        name: str,
        journal: Feed,
        settlement: Settlement,
        parked: Parked,
        windows: Windows,
        shedding: Shedding,
        trials: Trials,
        bury: Callable[[Rejected], Blocked | None],
        parts: Callable[
            [Sequence[bytes], Callable[[int, Outcome, SinkError], Letter], Callable[[Rejected], Blocked | None]], Parts
        ] = Parts,
    ) -> None:
        self._parts = parts
        self._name = name
        self._journal = journal
        self._settlement = settlement
        self._parked = parked
        self._windows = windows
        self._shedding = shedding
        self._trials = trials
        self._bury = bury
        self._log = structlog.get_logger().bind(sink=name)

    async def expire(self) -> None:
        """Let go of letters that have waited longer than events may."""
        old = self._parked.expired(self._shedding.too_old())
        if old:
            await self._end(old, Outcome.EXPIRED)

    async def step(self, send: Round, most: int) -> None:
        """Try what is due, at most so many, once."""
        numbers = self._parked.due(most)
        if not numbers:
            return
        try:
            await self._settlement.done()  # what was parked a moment ago must be on the disk to be read
            lines = await self._journal.letter_lines(self._name, numbers)
        except DiskRefused:
            self._parked.later(numbers)
            raise
        lost = [number for number in numbers if number not in lines]
        if lost:
            await self._end(lost, Outcome.DROPPED)
        rows = [self._parked.row(number) for number in numbers if number in lines]
        letter = _letters(rows, lines)
        parts = self._parts([lines[row.number] for row in rows], letter, self._bury)
        if rows and self._trials.guilty(rows[0].number):
            parts.decide(0, Outcome.DEAD, letter(0, Outcome.DEAD, guilty()))
        else:
            parts.send(range(len(rows)))
        state: bytes | None = None
        going = True
        while going and not parts.done:
            going, new = await send(parts, rows[0].number)
            state = new if new is not None else state
        await self._settle(rows, parts, state)

    async def _end(self, numbers: Sequence[int], outcome: Outcome) -> None:
        for number in numbers:
            self._parked.remove(number)
        outcomes = {Outcome.PARKED: -len(numbers), outcome: len(numbers)}
        await self._settlement.settle(outcomes, gone=numbers)

    async def _settle(self, rows: Sequence[ParkedLetter], parts: Parts, state: bytes | None) -> None:
        outcomes: Counter[Outcome] = Counter()
        letters: list[Letter] = []
        gone: list[int] = []
        again: list[int] = []
        for i, (row, fate) in enumerate(zip(rows, parts.fates, strict=True)):
            held = self._parked.held(row.entity)
            if fate is None:
                again.append(row.number)
                continue
            if fate is Outcome.PARKED:
                # Its destination fails. One that was held back until now waits for that from now on.
                if held is not None:
                    self._parked.remove(row.number)
                    self._parked.add(row._replace(destination=parts.letters[i].destination, due=None))
                continue
            self._parked.remove(row.number)
            if fate is Outcome.DEAD:
                dead = parts.letters[i]
                letters.append(dead)
                self._log.warning("dead letter", reason=dead.reason, error=dead.answer)
                if dead.reason != CRASH:
                    self._parked.succeeded(row.destination)  # it has answered
            else:
                gone.append(row.number)
                if held is not None:
                    self._windows.sent(row.entity)
                else:
                    self._parked.succeeded(row.destination)
            outcomes[fate] += 1
        self._parked.later(again)
        if outcomes:
            outcomes[Outcome.PARKED] -= sum(outcomes.values())
            await self._settlement.settle(outcomes, letters, state, gone=gone)


def _letters(rows: Sequence[ParkedLetter], lines: dict[int, bytes]) -> Callable[[int, Outcome, SinkError], Letter]:
    def letter(index: int, state: Outcome, error: SinkError) -> Letter:
        row = rows[index]
        return Letter(
            number=row.number,
            state=state,
            reason=error.reason,
            answer=error.answer or str(error),
            entity=row.entity,
            destination=error.destination or row.destination,
            at=row.at,
            attempts=row.attempts + 1,
            event=lines[row.number],
        )

    return letter
