"""A read brought to its end, event by event. Decides, sends nothing.

What is to be sent is split by entity into *lanes*, which may be sent at the same time. Within a lane,
what was rejected as a batch is halved until the bad item stands alone, and what failed as an item is
sent again with the others that did. Whatever is decided as soon as everything before it is can be
settled at once, so that a kill in a long bisection repeats little.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import cast

import msgspec

from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.event import Outcome
from eventer.journal import Letter
from eventer.sink import Batch, Sent

__all__ = ["Decided", "Parts", "checked"]

_OUTCOMES = tuple(Outcome)
_CONFIRMED = frozenset({Outcome.DELIVERED, Outcome.DUPLICATE})


def checked(answer: object, n: int) -> Sent:
    """Return what a sink returned for `n` events, if it keeps the contract.

    It is stored and counted by: what breaks the contract must not get as far as the journal.

    Raises:
        TypeError: it does not.
    """
    if not isinstance(answer, Sent):
        raise TypeError(f"send returned {type(answer).__name__}, no Sent")
    well = isinstance(answer.state, bytes | None) and isinstance(answer.duplicates, int) and answer.duplicates >= 0
    if not well or not all(isinstance(e, SinkError) and i in range(n) for i, e in answer.failed.items()):
        raise TypeError("send returned a Sent with wrong content")
    return answer


class Decided(msgspec.Struct):
    """What one settle is to store."""

    outcomes: Counter[Outcome]
    """Sums to the events that the cursor moves by; what leaves the parked ones counts -1 there."""
    letters: list[Letter] = []
    gone: list[int] = []
    """Numbers of letters to remove."""


class Parts:
    """What became of each event of one read, and what is still to be sent.

    Args:
        lines: the encoded events.
        letter: makes the letter of the event with an index, in a state, because of an error.
        bury: asked before an event becomes a dead letter; returns what to wait for instead, if it must not.
    """

    def __init__(
        self,
        lines: Sequence[bytes],
        letter: Callable[[int, Outcome, SinkError], Letter],
        bury: Callable[[Rejected], Blocked | None],
    ) -> None:
        self._lines = lines
        self._letter = letter
        self._bury = bury
        self._fates: list[Outcome | None] = [None] * len(lines)
        self._lanes: list[list[Sequence[int]]] = []
        self._letters: dict[int, Letter] = {}
        self._replaced: dict[int, int] = {}
        self._settled = 0

    # -- before sending --------------------------------------------------------------------------

    def decide(
        self, index: int, outcome: Outcome, letter: Letter | None = None, *, replaces: int | None = None
    ) -> None:
        """Decide on an event without sending it.

        Args:
            letter: where the outcome is to be parked.
            replaces: number of a parked letter that this one takes the place of.
        """
        self._fates[index] = outcome
        self._letters.pop(index, None)
        if letter is not None:
            self._letters[index] = letter
        if replaces is not None:
            self._replaced[index] = replaces

    def decide_all(self, outcome: Outcome, *, but: Sequence[int]) -> None:
        """Decide on all events but those with these indexes."""
        fates: list[Outcome | None] = [outcome] * len(self._lines)
        for i in but:
            fates[i] = None
        self._fates = fates

    def send(self, indexes: Sequence[int], lanes: int = 1) -> None:
        """Set what is to be sent; the same entity is always in the same lane."""
        if lanes == 1:
            self._lanes = [[indexes]] if indexes else []
            return
        split: list[list[int]] = [[] for _ in range(lanes)]
        events = Batch([self._lines[i] for i in indexes]).events
        for i, event in zip(indexes, events, strict=True):
            split[zlib.crc32(event.entity.encode()) % lanes].append(i)
        self._lanes = [[lane] for lane in split if lane]

    # -- sending ---------------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """Whether nothing is left to be sent."""
        return not any(self._lanes)

    def next(self, most: int = 1) -> list[tuple[int, Batch]]:
        """Return what to send next: up to so many batches, each with its lane."""
        lanes = [number for number, lane in enumerate(self._lanes) if lane][:most]
        return [(number, self._batch(self._lanes[number][0])) for number in lanes]

    def _batch(self, part: Sequence[int]) -> Batch:
        return Batch(self._lines if len(part) == len(self._lines) else [self._lines[i] for i in part])

    def single_out(self, rng: Random) -> None:
        """Let the next send be one event by chance, of those with nothing of their entity before them."""
        lane = next(lane for lane in self._lanes if lane)
        left = sorted(i for part in lane for i in part)
        first: dict[str, int] = {}
        for i, event in zip(left, Batch([self._lines[i] for i in left]).events, strict=True):
            first.setdefault(event.entity, i)
        chosen = rng.choice(list(first.values()))
        left.remove(chosen)
        lane[:] = [[chosen], left] if left else [[chosen]]

    def judge(self, lane: int, result: Sent | SinkError) -> list[SinkError]:
        """Take the answer to a batch of `next`.

        Returns:
            What failed and is kept; the error of a parked item has a destination.
        """
        todo = self._lanes[lane]
        part = todo.pop(0)
        if isinstance(result, Rejected):
            if len(part) == 1:
                instead = self._reject(part[0], result)
                if instead is not None:
                    todo.insert(0, part)
                    return [instead]
                return []
            half = len(part) // 2
            todo[:0] = [part[:half], part[half:]]
            return []
        if isinstance(result, SinkError):
            todo.insert(0, part)
            return [result]
        duplicates = result.duplicates
        if not result.failed and not duplicates and len(part) == len(self._fates):
            self._fates = [Outcome.DELIVERED] * len(part)  # the usual case, without a loop
            return []
        failures: list[SinkError] = []
        again: list[int] = []
        for place, i in enumerate(part):
            error = result.failed.get(place)
            if error is None:
                self._fates[i] = Outcome.DUPLICATE if duplicates > 0 else Outcome.DELIVERED
                duplicates -= 1
            elif isinstance(error, Rejected):
                instead = self._reject(i, error)
                if instead is not None:
                    again.append(i)
                    failures.append(instead)
            elif error.destination:
                self._fates[i] = Outcome.PARKED
                self._letters[i] = self._letter(i, Outcome.PARKED, error)
                failures.append(error)
            else:
                again.append(i)
                failures.append(error)
        if again:
            todo.insert(0, again)
        return failures

    def _reject(self, i: int, error: Rejected) -> Blocked | None:
        instead = self._bury(error)
        if instead is None:
            self._fates[i] = Outcome.DEAD
            self._letters[i] = self._letter(i, Outcome.DEAD, error)
        return instead

    # -- after sending ---------------------------------------------------------------------------

    def give_up(self, n: int, outcome: Outcome) -> int:
        """Let the first `n` events of the read end with this outcome, as far as none is decided yet.

        Returns:
            How many that were.
        """
        given_up = [i for i in range(n) if self._fates[i] is None]
        for i in given_up:
            self._fates[i] = outcome
        self._lanes = [[rest for part in lane if (rest := [i for i in part if i >= n])] for lane in self._lanes]
        return len(given_up)

    def leave(self) -> None:
        """Park what is open before something that the far side has confirmed: the cursor can pass that then.

        For an end in which more cannot be sent, so that nothing is sent again that arrived.
        """
        confirmed = max((i for i, fate in enumerate(self._fates) if fate in _CONFIRMED), default=-1)
        error = Retry("Eventer, or this sink of it, was stopped before this could go.", reason="stopped")
        for i in range(self._settled, confirmed):
            if self._fates[i] is None:
                self.decide(i, Outcome.PARKED, self._letter(i, Outcome.PARKED, error))

    def decided(self) -> Decided:
        """Return what was decided since the last call, as far as nothing before it is open."""
        start, fates = self._settled, self._fates
        try:
            end = fates.index(None, start)
        except ValueError:
            end = len(fates)
        self._settled = end
        # Counted by list.count: identity first, and no call of Enum.__hash__ per event.
        new = cast("list[Outcome]", fates[start:end])
        one = new[:1] if new.count(new[0] if new else Outcome.DELIVERED) == len(new) else _OUTCOMES
        decided = Decided(outcomes=Counter({each: n for each in one if (n := new.count(each))}))
        if self._letters or self._replaced:
            decided.letters = [self._letters[i] for i in range(start, end) if i in self._letters]
            decided.gone = [self._replaced[i] for i in range(start, end) if i in self._replaced]
        if decided.gone:
            decided.outcomes[Outcome.PARKED] -= len(decided.gone)
            decided.outcomes[Outcome.COALESCED] += len(decided.gone)
        return decided

    @property
    def fates(self) -> Sequence[Outcome | None]:
        """What became of each event so far, in order."""
        return self._fates

    @property
    def letters(self) -> dict[int, Letter]:
        """Letters by index."""
        return self._letters
