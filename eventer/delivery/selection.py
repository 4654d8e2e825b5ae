"""What of a read one sink is to be sent: what it wants, what of that is looked up, what need not go now."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from eventer.delivery.earlier import LeaveOut
from eventer.delivery.parts import Parts
from eventer.delivery.sieve import Sieve, letter_of
from eventer.delivery.trial import Trials, guilty
from eventer.errors import Blocked, Rejected, SinkError
from eventer.event import Outcome
from eventer.journal import Letter, Slice
from eventer.match import Rule, Verdicts
from eventer.sink import Batch, Enrich

__all__ = ["Selection", "Wanted"]


class Wanted:
    """Which events a sink's `match` wants.

    Args:
        match: the rules; all is wanted without any.
        enrich: looks up what rules may ask for; None where the sink wants nothing looked up.
    """

    def __init__(self, match: Sequence[Rule], enrich: Enrich | None) -> None:
        self._match = match
        self._verdicts = Verdicts(match)
        self._enrich = enrich if any(rule.needs for rule in match) else None

    def __call__(self, lines: Sequence[bytes]) -> tuple[Batch, Sequence[int]]:
        """Return the wanted events and their indexes; what only a look-up could tell is taken as wanted."""
        batch = Batch(lines)
        if not self._match:
            return batch, range(len(lines))
        wanted = self._picked(batch)
        return (batch if len(wanted) == len(lines) else batch.pick(wanted)), wanted

    async def looked_up(self, lines: Sequence[bytes]) -> tuple[Batch, Sequence[int]]:
        """Return the wanted events and their indexes, after look-ups where a rule asks for them.

        Only what the rest of the rules wants is looked up.
        """
        batch, wanted = self(lines)
        if self._enrich is None or not wanted:
            return batch, wanted
        kept = self._picked(await self._enrich(batch))
        if len(kept) == len(wanted):
            return batch, wanted
        return batch.pick(kept), [wanted[i] for i in kept]

    def _picked(self, batch: Batch) -> list[int]:
        return [i for i, verdict in enumerate(self._verdicts(batch.events)) if verdict >= 0]


class Selection:
    """Sorts one read after the other.

    Args:
        lanes: as how many sends it may go.
        bury: see `Parts`.
    """

    def __init__(
        self,
        wanted: Wanted,
        earlier: LeaveOut,
        sieve: Sieve,
        trials: Trials,
        lanes: int,
        bury: Callable[[Rejected], Blocked | None],
    ) -> None:
        self._wanted = wanted
        self._earlier = earlier
        self._sieve = sieve
        self._trials = trials
        self._lanes = lanes
        self._bury = bury

    async def sort(self, piece: Slice) -> Parts:
        """Decide on what is not to be sent, and set up the rest."""

        def letter(index: int, state: Outcome, error: SinkError) -> Letter:
            (event,) = Batch([piece.lines[index]]).events
            answer = error.answer or str(error)
            return letter_of(piece, index, event, state, error.reason, answer=answer, destination=error.destination)

        parts = Parts(piece.lines, letter, self._bury)
        batch, wanted = await self._wanted.looked_up(piece.lines)
        if len(wanted) < len(piece.lines):
            parts.decide_all(Outcome.UNMATCHED, but=wanted)
        if self._earlier:
            batch, wanted = self._earlier.leave_out(batch, wanted, parts)
        if len(wanted) and self._trials.guilty(piece.first):
            parts.decide(0, Outcome.DEAD, letter(0, Outcome.DEAD, guilty()))
        else:
            parts.send(self._sieve.sort(piece, batch, wanted, parts), self._lanes)
        return parts
