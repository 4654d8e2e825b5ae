"""What a sink settled before its journal was lost: counted, and not sent again."""

from __future__ import annotations

from collections.abc import Sequence

from eventer.delivery.parts import Parts
from eventer.delivery.settlement import Settlement
from eventer.event import Outcome
from eventer.journal import Journal
from eventer.journal.earlier import Earlier
from eventer.sink import Batch

__all__ = ["LeaveOut"]


class LeaveOut:
    """Leaves out what one sink had settled in an earlier journal, for as long as any of it may come.

    Args:
        journal: knows how far the streams are.
        settlement: the sink's.
    """

    def __init__(self, journal: Journal, settlement: Settlement) -> None:
        self._settlement = settlement
        self._earlier = Earlier(journal, settlement.record.resumed)

    def __bool__(self) -> bool:
        return bool(self._earlier)

    def leave_out(self, batch: Batch, indexes: Sequence[int], parts: Parts) -> tuple[Batch, Sequence[int]]:
        """Decide on what was settled, and return the rest.

        Args:
            batch: events of a read.
            indexes: where they stand in it.
            parts: told what is decided.
        """
        rest: list[int] = []
        for place, (i, event) in enumerate(zip(indexes, batch.events, strict=True)):
            if self._earlier.knows(event):
                parts.decide(i, Outcome.DUPLICATE)
            else:
                rest.append(place)
        if self._earlier.over(self._settlement.cursor):
            self._settlement.resumed()
        return batch.pick(rest), [indexes[place] for place in rest]
