"""What a sink settled before its journal was lost, and what must not be sent again when it is read again."""

from __future__ import annotations

from collections.abc import Sequence

from eventer.delivery.parts import Parts
from eventer.delivery.settlement import Settlement
from eventer.event import Event, Origin, Outcome, version_of
from eventer.journal import Journal, StreamKey
from eventer.sink import Batch

__all__ = ["Earlier"]


class Earlier:
    """Tells what one sink had settled in an earlier journal, for as long as any of it may come.

    Args:
        journal: knows how far the streams are.
        settlement: the sink's.
    """

    def __init__(self, journal: Journal, settlement: Settlement) -> None:
        self._journal = journal
        self._settlement = settlement
        record = settlement.record
        self._bounds: dict[StreamKey, int] = {}
        self._ends: dict[StreamKey, int] = {}
        if record.resumed is not None:
            self._bounds = {
                StreamKey(cluster, scope): version
                for cluster, scopes in record.resumed.versions.items()
                for scope, version in scopes.items()
            }
        self._by_place: dict[tuple[str, str], int] = {}
        for key, version in self._bounds.items():
            # `events/<namespace>`, or `events` for all; `nodes`.
            place = key.cluster, key.scope.partition("?")[0]
            self._by_place[place] = max(version, self._by_place.get(place, 0))

    def __bool__(self) -> bool:
        return bool(self._bounds)

    def leave_out(self, batch: Batch, indexes: Sequence[int], parts: Parts) -> tuple[Batch, Sequence[int]]:
        """Decide on what was settled, and return the rest.

        Args:
            batch: events of a read.
            indexes: where they stand in it.
            parts: told what is decided.
        """
        rest: list[int] = []
        for place, (i, event) in enumerate(zip(indexes, batch.events, strict=True)):
            if self._knows(event):
                parts.decide(i, Outcome.DUPLICATE)
            else:
                rest.append(place)
        if self._over():
            self._bounds = {}
            self._settlement.resumed()
        return batch.pick(rest), [indexes[place] for place in rest]

    def _knows(self, event: Event) -> bool:
        bounds = self._by_place
        if event.origin is Origin.NODE:
            return event.version <= bounds.get((event.cluster, "nodes"), -1)
        if event.origin is not Origin.EVENT:
            return False
        namespace = event.event.partition("/")[0]
        return event.version <= max(
            bounds.get((event.cluster, "events"), -1), bounds.get((event.cluster, f"events/{namespace}"), -1)
        )

    def _over(self) -> bool:
        """Whether nothing of it can come any more.

        A stream brings none of it as soon as it has reached the position, or a new epoch; what it brought by then
        lies below the head of that moment.
        """
        for key, bound in self._bounds.items():
            if key not in self._ends:
                stream = self._journal.stream(key)
                reached = -1 if stream.position is None else version_of(stream.epoch, stream.position)
                if reached >= bound:
                    self._ends[key] = self._journal.head
        cursor = self._settlement.cursor
        return len(self._ends) == len(self._bounds) and all(end <= cursor for end in self._ends.values())
