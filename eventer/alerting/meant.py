"""What an event means to alerting. Where the same is said again of the same, the catalog is not asked again.

In a storm most of what comes has come before: the same Event of the same object, once more.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Final

import msgspec

from eventer.alerting.terms import Meanings, key_of
from eventer.catalog import Condition, Reason, Severity
from eventer.event import Event

__all__ = ["REMEMBERED", "Asked", "Meant"]

REMEMBERED: Final = 10_000
"""Answers kept before the memory is emptied, about 500 bytes each: so many problems are followed at once."""
_FIELDS: Final = attrgetter("origin", "type", "reason", "component", "condition", "status", "state", "cause", "object")
"""All that the answer follows from, beside the message and `Event.problem`: see `eventer.match.MEANT_BY`."""


class Meant(msgspec.Struct, frozen=True, gc=False):
    """What an event means."""

    severity: Severity
    family: str
    key: str
    """Of the problem that it is about; see `eventer.alerting.terms.key_of`."""
    known: Reason | Condition | None
    over: tuple[str, ...]
    """Reasons of Events that say that it is over."""


class _Answer(msgspec.Struct):
    fields: int
    """Hash of `_FIELDS`."""
    message: int
    """Hash of the last message with which it was given; one can have 16 KiB."""
    said: tuple[bool, ...]
    """What counts of that."""
    meant: Meant


class Asked:
    """Asks the catalog.

    Args:
        meanings: the catalog.
    """

    def __init__(self, meanings: Meanings) -> None:
        self._meanings = meanings
        self._answers: dict[str, _Answer] = {}

    def __call__(self, event: Event) -> Meant:
        """Return what an event means."""
        fields, message = hash(_FIELDS(event)), hash(event.message)
        answer = self._answers.get(event.problem)
        if answer is not None and answer.fields == fields:
            if answer.message == message:
                return answer.meant
            if answer.said == self._meanings.said(event):
                answer.message = message
                return answer.meant
        severity, family = self._meanings.meaning(event)
        known = self._meanings.of(event)
        over = known.opposite if isinstance(known, Reason) else ()
        meant = Meant(severity, family, key_of(event, family), known, over)
        if len(self._answers) >= REMEMBERED:
            self._answers.clear()
        self._answers[event.problem] = _Answer(fields, message, self._meanings.said(event), meant)
        return meant
