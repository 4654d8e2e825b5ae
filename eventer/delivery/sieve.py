"""What of a read need not be sent now: repeats, and what must wait behind something that waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from eventer.delivery.parked import Parked
from eventer.delivery.parts import Parts
from eventer.delivery.repeats import Verdict, Windows
from eventer.event import Event, Outcome
from eventer.journal import Letter, ParkedLetter, Slice
from eventer.sink import Batch

__all__ = ["Sieve", "letter_of"]

REPEAT = "repeat"
"""Reason of a letter that is held back until its window ends."""


def letter_of(
    piece: Slice,
    index: int,
    event: Event,
    state: Outcome,
    reason: str,
    *,
    answer: str = "",
    destination: str = "",
    due: float | None = None,
    attempts: int = 1,
) -> Letter:
    """Make the letter of one event of a read."""
    return Letter(
        number=piece.first + index,
        state=state,
        reason=reason,
        answer=answer,
        entity=event.entity,
        destination=destination,
        at=piece.appended(index),
        due=due,
        attempts=attempts,
        event=piece.lines[index],
    )


class Sieve:
    """Sorts the events of a read before they are sent.

    Args:
        destinations: names the destination of each event, if the sink knows before it sends.
    """

    def __init__(self, parked: Parked, windows: Windows, destinations: Callable[[Batch], Sequence[str]] | None) -> None:
        self._parked = parked
        self._windows = windows
        self._destinations = destinations

    def sort(self, piece: Slice, batch: Batch, wanted: Sequence[int], parts: Parts) -> Sequence[int]:
        """Decide on what need not be sent; return the indexes of the rest.

        Args:
            piece: the read.
            batch: its events that the sink wants.
            wanted: their indexes in the read.
            parts: told what is decided.
        """
        parked = self._parked
        stuck = self._destinations is not None and any(map(parked.stuck, parked.destinations))
        if not (self._windows or stuck or len(parked)):
            return wanted
        going: list[int] = []
        names = self._destinations(batch) if stuck and self._destinations is not None else [""] * len(batch)
        behind: dict[str, str] = {}
        for i, event, name in zip(wanted, batch.events, names, strict=True):
            waits_for = behind.get(event.entity) or parked.follows(event.entity)
            if waits_for is None and name and parked.stuck(name):
                waits_for = name
            if waits_for is not None:
                behind[event.entity] = waits_for
                letter = letter_of(piece, i, event, Outcome.PARKED, "waits", destination=waits_for, attempts=0)
                parts.decide(i, Outcome.PARKED, letter)
                continue
            held = parked.held(event.entity)
            verdict = Verdict.HOLD if held is not None else Verdict.GO
            if held is None and self._windows:
                verdict = self._windows.judge(event)
            if verdict is Verdict.SKIP:
                parts.decide(i, Outcome.COALESCED)
            elif verdict is Verdict.HOLD and (held is not None or not parked.full):
                self._hold(piece, i, event, parts)
            else:
                going.append(i)
        return going

    def _hold(self, piece: Slice, i: int, event: Event, parts: Parts) -> None:
        """Keep an event until its window ends, in the place of the one that was kept before."""
        parked = self._parked
        held = parked.held(event.entity)
        replaces: int | None = None
        if held is None:
            left = self._windows.left(event.entity)
        else:
            number, left = held
            parked.remove(number)
            if number < piece.first:
                replaces = number
            else:  # of this very read, and not stored yet
                parts.decide(number - piece.first, Outcome.COALESCED)
        due = piece.appended(i) + left
        letter = letter_of(piece, i, event, Outcome.PARKED, REPEAT, due=due, attempts=0)
        parked.add(ParkedLetter.of(letter), hold=left)
        parts.decide(i, Outcome.PARKED, letter, replaces=replaces)
