"""Repeats: which update of an Event that a sink has seen already goes on. Pure.

Nothing is lost by it: the first state goes at once, and the latest always goes, at the end of its window.
What is remembered is in memory only. A restart, or more Events than are remembered, costs an update too many.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

import msgspec

from eventer.clock import Clock
from eventer.event import Event
from eventer.values import Repeats

__all__ = ["Verdict", "Windows"]

REMEMBERED: Final = 100_000
"""Events; about 20 MB."""


class Verdict(Enum):
    """What to do with one event."""

    GO = auto()
    SKIP = auto()
    """It says nothing new."""
    HOLD = auto()
    """Keep it until the window ends; it replaces the one that is kept."""


class Windows:
    """What one sink was sent last of each entity."""

    def __init__(self, repeats: Repeats, clock: Clock) -> None:
        self._clock = clock
        self._window = repeats.window
        self._changes = repeats.changes
        self._known: dict[str, tuple[float, int]] = {}

    def __bool__(self) -> bool:
        """Whether anything is ever held back."""
        return self._window is not None or self._changes

    def judge(self, event: Event) -> Verdict:
        """Say what to do with one more state of an entity, and remember that it is done."""
        known = self._known.get(event.entity)
        if self._window is not None:
            if known is not None and self._clock.monotonic() < known[0]:
                return Verdict.HOLD
            self.sent(event.entity)
            return Verdict.GO
        content = _content(event)
        self._remember(event.entity, 0.0, content)
        return Verdict.SKIP if known is not None and known[1] == content else Verdict.GO

    def sent(self, entity: str) -> None:
        """Begin the entity's window."""
        if self._window is not None:
            self._remember(entity, self._clock.monotonic() + self._window, 0)

    def left(self, entity: str) -> float:
        """Return the seconds until the window of an entity ends that `judge` has just held back."""
        return self._known[entity][0] - self._clock.monotonic()

    def _remember(self, entity: str, until: float, content: int) -> None:
        self._known.pop(entity, None)  # the order is that of the last use
        self._known[entity] = (until, content)
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]


_UNSAID: Final = ("id", "time", "first", "count", "delta", "version")
"""What every update moves: `changes` does not look at it."""
_said = tuple(name for name in Event.__struct_fields__ if name not in _UNSAID)


def _content(event: Event) -> int:
    return hash(msgspec.json.encode([getattr(event, name) for name in _said]))
