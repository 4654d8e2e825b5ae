"""What a reader had settled before its journal was lost, and what must not be told again when it is read again."""

from __future__ import annotations

from eventer.event import Event, Origin, version_of
from eventer.journal.journal import Journal
from eventer.journal.records import Resumed, StreamKey

__all__ = ["Earlier"]


class Earlier:
    """Knows what one reader had settled in an earlier journal, for as long as any of it may come.

    Args:
        journal: knows how far the streams are.
        resumed: of the reader's record; None where there was no earlier journal, or nothing of it can come.
    """

    def __init__(self, journal: Journal, resumed: Resumed | None) -> None:
        self._journal = journal
        versions = {} if resumed is None else resumed.versions
        self._bounds = {
            StreamKey(cluster, scope): version
            for cluster, scopes in versions.items()
            for scope, version in scopes.items()
        }
        self._ends: dict[StreamKey, int] = {}
        self._open = resumed is not None
        self._by_place: dict[tuple[str, str], int] = {}
        for key, version in self._bounds.items():
            # `events/<namespace>`, or `events` for all; `nodes`.
            place = key.cluster, key.scope.partition("?")[0]
            self._by_place[place] = max(version, self._by_place.get(place, 0))

    def __bool__(self) -> bool:
        """Whether any of it may come."""
        return self._open

    def knows(self, event: Event) -> bool:
        """Whether an event was settled then."""
        bounds = self._by_place
        if event.origin is Origin.NODE:
            return event.version <= bounds.get((event.cluster, "nodes"), -1)
        if event.origin is not Origin.EVENT:
            return False
        namespace = event.event.partition("/")[0]
        return event.version <= max(
            bounds.get((event.cluster, "events"), -1), bounds.get((event.cluster, f"events/{namespace}"), -1)
        )

    def over(self, cursor: int) -> bool:
        """Whether nothing of it can come any more for a reader that has settled everything below an offset.

        A stream brings none of it as soon as it has reached the position, or a new epoch; what it brought by then
        lies below the head of that moment.
        """
        for key, bound in self._bounds.items():
            if key not in self._ends:
                stream = self._journal.stream(key)
                reached = -1 if stream.position is None else version_of(stream.epoch, stream.position)
                if reached >= bound:
                    self._ends[key] = self._journal.head
        self._open = len(self._ends) < len(self._bounds) or any(end > cursor for end in self._ends.values())
        return not self._open
