"""A read that did not go through as a whole, brought to its end item by item. Decides, sends nothing.

What was rejected as a batch is halved until the bad item stands alone; what failed as an item is
sent again with the others that did; whatever is decided as soon as everything before it is can be
settled at once, so that a kill in a long bisection repeats little.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from eventer.errors import Blocked, Rejected, SinkError
from eventer.event import Outcome
from eventer.journal import Letter
from eventer.sink import Batch, Sent

__all__ = ["Parts", "checked"]


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


class Parts:
    """What became of each event of one read, and what is still to be sent.

    Args:
        lines: all events of the read.
        wanted: indexes of those that the sink wants; the others count as unmatched.
    """

    def __init__(self, lines: Sequence[bytes], wanted: Sequence[int]) -> None:
        self._lines = lines
        self._fates: list[Outcome | None] = [Outcome.UNMATCHED] * len(lines)
        for i in wanted:
            self._fates[i] = None
        self._todo = [list(wanted)]
        self._letters: dict[int, Letter] = {}
        self._settled = 0

    @property
    def done(self) -> bool:
        """Whether nothing is left to be sent."""
        return not self._todo

    def next(self) -> Batch:
        """Return what to send next."""
        return Batch([self._lines[i] for i in self._todo[0]])

    def judge(self, result: Sent | SinkError) -> SinkError | None:
        """Take the answer to what `next` returned.

        Returns:
            The failure to wait for before the next send; None if there is none.
        """
        part = self._todo.pop(0)
        if isinstance(result, Rejected):
            if len(part) == 1:
                self._bury(part[0], result)
            else:
                half = len(part) // 2
                self._todo[:0] = [part[:half], part[half:]]
            return None
        if isinstance(result, SinkError):
            self._todo.insert(0, part)
            return result
        again: list[int] = []
        failure: SinkError | None = None
        duplicates = result.duplicates
        for index, i in enumerate(part):
            error = result.failed.get(index)
            if error is None:
                self._fates[i] = Outcome.DUPLICATE if duplicates > 0 else Outcome.DELIVERED
                duplicates -= 1
            elif isinstance(error, Rejected):
                self._bury(i, error)
            else:
                again.append(i)
                failure = error if failure is None or isinstance(error, Blocked) else failure
        if again:
            self._todo.insert(0, again)
        return failure

    def give_up(self, n: int, outcome: Outcome) -> int:
        """Let the first `n` events of the read end with this outcome, as far as none is decided yet.

        Returns:
            How many that were.
        """
        given_up = [i for i in range(n) if self._fates[i] is None]
        for i in given_up:
            self._fates[i] = outcome
        self._todo = [rest for part in self._todo if (rest := [i for i in part if i >= n])]
        return len(given_up)

    def decided(self) -> tuple[Counter[Outcome], list[Letter]]:
        """Return the outcomes since the last call, as far as nothing before them is open, and their letters."""
        start = self._settled
        while self._settled < len(self._fates) and self._fates[self._settled] is not None:
            self._settled += 1
        outcomes = Counter(fate for fate in self._fates[start : self._settled] if fate is not None)
        return outcomes, [self._letters[i] for i in range(start, self._settled) if i in self._letters]

    def _bury(self, i: int, error: SinkError) -> None:
        self._fates[i] = Outcome.DEAD
        (event,) = Batch([self._lines[i]]).events
        self._letters[i] = Letter(
            state=Outcome.DEAD,
            reason=error.reason,
            answer=error.answer or str(error),
            entity=event.entity,
            event=self._lines[i],
        )
