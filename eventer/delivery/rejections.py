"""The watch over rejections: when most of what is sent is refused, the fault is not in the events.

A wrong mapping or a wrong address rejects everything. Without this watch the whole stream would become
dead letters before anyone looks; with it the sink is blocked, which people see, and nothing more dies.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from eventer.errors import Blocked, Rejected

__all__ = ["DEAD_MOST", "UNKNOWN", "Rejections"]

LOOKED_AT: Final = 200
"""Items. More than half of the last ones rejected blocks the sink."""
UNKNOWN: Final = "unknown"
"""Reason of what is sent no second time, because the first one may have arrived: no verdict on what it says."""
DEAD_MOST: Final = 100_000
"""Dead letters of one sink; with more it is blocked until a person has looked at them."""


class Rejections:
    """The last verdicts of one far side on single events."""

    def __init__(self) -> None:
        self._last: deque[bool] = deque(maxlen=LOOKED_AT)
        self._bad = 0
        self.blocking = False
        """Whether only single probes may be sent, until one is accepted."""

    def accepted(self, n: int) -> None:
        """Count accepted ones; the first one after a block ends it."""
        if self.blocking:
            self.blocking = False
            self._last.clear()
            self._bad = 0
        if self._bad:
            self._note([False] * min(n, LOOKED_AT))

    def rejected(self, error: Rejected, dead: int) -> Blocked | None:
        """Count one that is rejected, alone.

        Args:
            error: what the far side said.
            dead: dead letters that there are.

        Returns:
            What to do instead of burying it; None if it may be buried.
        """
        if dead >= DEAD_MOST:
            message = f"There are {dead} dead letters; look at them before there are more. Last: {error}"
            return Blocked(message, reason="dead-letters", answer=error.answer)
        if error.reason == UNKNOWN:
            return None
        if not self.blocking:
            self._note([True])
            self.blocking = self._bad > LOOKED_AT // 2
        if not self.blocking:
            return None
        message = f"Most of the last {LOOKED_AT} events were rejected, so the fault is not in them. Last: {error}"
        return Blocked(message, reason=error.reason, answer=error.answer)

    def _note(self, verdicts: list[bool]) -> None:
        for bad in verdicts:
            if len(self._last) == LOOKED_AT:
                self._bad -= self._last[0]
            self._last.append(bad)
            self._bad += bad
