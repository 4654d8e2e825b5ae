"""Which events may begin a problem: those that rules name, and what Eventer has to say of troubles of its own."""

from __future__ import annotations

from collections.abc import Sequence

from eventer.alerting.terms import Meanings
from eventer.event import Event
from eventer.group import own_trouble
from eventer.match import Rule, Verdicts

__all__ = ["Wanted"]


class Wanted:
    """Tells of each event whether a notifier wants it.

    Args:
        match: rules, any of which must match; without rules, everything is wanted.
        meanings: the catalog.
    """

    def __init__(self, match: Sequence[Rule], meanings: Meanings) -> None:
        self._match = match
        self._verdicts = Verdicts(match)
        self._meanings = meanings

    def __call__(self, events: Sequence[Event]) -> list[bool]:
        """Return, for each event in order, whether it is wanted."""
        if not self._match:
            return [True] * len(events)
        return [
            verdict >= 0 or own_trouble(event, self._meanings)
            for event, verdict in zip(events, self._verdicts(events), strict=True)
        ]
