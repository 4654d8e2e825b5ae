"""Which position of each stream a place in the log stands for.

A mark says: everything of these streams up to these positions lies below this offset. Because an append moves log and
position in one step, that is true of any moment, and nothing has to be noted per append. A reader that has settled
everything below a mark has settled the streams up to its positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from eventer.journal import StreamKey, StreamRecord
from eventer.mirror.record import Reached

__all__ = ["Marks"]

MOST: Final = 1024
"""Marks that are kept; beyond it every second one goes. A sink that is far behind then repeats a little more."""


class _Mark(NamedTuple):
    offset: int
    reached: dict[StreamKey, Reached]


class Marks:
    """The marks of one journal, since it was opened."""

    def __init__(self) -> None:
        self._marks: list[_Mark] = []

    def __len__(self) -> int:
        return len(self._marks)

    def take(self, head: int, streams: Mapping[StreamKey, StreamRecord]) -> dict[StreamKey, Reached]:
        """Set a mark at the head of the log.

        Args:
            head: offset after the last event.
            streams: the records at the same moment.

        Returns:
            What it says.
        """
        reached = {
            key: Reached(record.epoch, record.position, record.contact or 0.0)
            for key, record in streams.items()
            if record.position is not None
        }
        if self._marks and self._marks[-1].offset == head:
            self._marks.pop()
        self._marks.append(_Mark(head, reached))
        if len(self._marks) > MOST:
            del self._marks[1:-1:2]
        return reached

    def below(self, offset: int) -> dict[StreamKey, Reached]:
        """Return what is settled where everything below an offset is; empty if no mark says."""
        return next((mark.reached for mark in reversed(self._marks) if mark.offset <= offset), {})

    def forget(self, offset: int) -> None:
        """Forget marks that nobody asks for who has settled everything below an offset."""
        passed = sum(mark.offset <= offset for mark in self._marks)
        del self._marks[: max(0, passed - 1)]
