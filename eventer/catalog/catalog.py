"""The catalog with a user's changes in it: what rules, alerts and people ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import blake2b
from typing import Any, Final

import msgspec

from eventer.catalog.changes import CatalogChanges, ConditionChange, ReasonChange
from eventer.catalog.conditions import OTHER, condition
from eventer.catalog.reasons import choose, open_to
from eventer.catalog.shipped import conditions, families, reasons
from eventer.catalog.types import Condition, Family, Reason, Severity, Text
from eventer.event import Event, Origin

__all__ = ["Catalog", "shipped"]

_REMEMBERED: Final = 8192
"""Reasons whose pieces are kept: a few dozen in a cluster where nobody makes them up."""
_OF_TYPE: Final[Mapping[str, Severity]] = {"Normal": "info", "Warning": "warning"}


class Catalog:
    """What reasons and conditions mean. Two with the same changes are equal; nothing is read before it is asked.

    Args:
        changes: what the user wrote; None for the catalog as it is.
    """

    __hash__ = None  # type: ignore[assignment]  # changes hold mappings

    def __init__(self, changes: CatalogChanges | None = None) -> None:
        self.changes = changes or CatalogChanges()
        self._reasons: dict[str, Sequence[Reason]] = {}
        """Entries of the reasons that were changed."""
        self._pieces: dict[tuple[str, str], tuple[str, ...]] = {}
        """By cause and reason, what may be in the message."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Catalog) and self.changes == other.changes

    @property
    def version(self) -> str:
        """Another one with other changes; for what is stored."""
        return blake2b(repr(self.changes).encode(), digest_size=6).hexdigest()

    def reason(
        self,
        reason: str,
        component: str = "",
        kind: str = "",
        *,
        type: str = "",  # noqa: A002 - the API calls it type
        message: str = "",
    ) -> Reason | None:
        """Return what a reason means; see `eventer.catalog.reasons.reason`."""
        return choose(self._entries(reason), component, kind, type, message)

    def condition(self, type: str) -> Condition:  # noqa: A002
        """Return what a condition of a Node means; a guess by its name if nobody described it."""
        change = self.changes.conditions.get(type)
        return condition(type) if change is None else _changed_condition(condition(type), change)

    def family(self, name: str) -> Family | None:
        """Return the titles of a family; None for one that the user made up."""
        return families().get(name)

    def of(self, event: Event) -> Reason | Condition | None:
        """Return what is known about an event; None if nobody described it.

        A change of a condition is told by the condition. Of an Event that tells of one, the reason says more, and
        the reason proper most.
        """
        told = self._told(event.condition) if event.condition else None
        if told is not None and event.origin is Origin.NODE:
            return told
        for name in filter(None, (event.cause, event.reason)):
            found = choose(self._entries(name), event.component, event.kind, event.type, event.message)
            if found is not None:
                return found
        return told

    def meaning(self, event: Event) -> tuple[Severity, str]:
        """Return the severity and the family of an event.

        They follow from the fields in `eventer.match.MEANT_BY`, and from what `said` returns.
        What nobody described goes by its type; that a condition is well again, or cannot be told, is information.
        """
        found = self.of(event)
        if found is None:
            return _OF_TYPE.get(event.type, "warning"), OTHER
        if not isinstance(found, Condition):
            return ("info" if event.state == "resolved" else found.severity), found.family
        if event.status == "Unknown" and found.unknown is not None:
            return found.unknown.severity, found.family
        bad = event.state == "firing" or (not event.state and event.type != "Normal")
        return found.severity if bad else "info", found.family

    def open_to(self, event: Event) -> list[str]:
        """Return the fields that are empty in an event and would tell which use of its reason is meant, for people.

        Of several uses the first that fits is taken, which may not be the one that was thought of.
        """
        known = self.of(event)
        if not isinstance(known, Reason):
            return []
        entries = next(found for name in (event.cause, event.reason) if known in (found := self._entries(name)))
        return open_to(entries, event.component, event.kind, event.type, event.message)

    def said(self, event: Event) -> tuple[bool, ...]:
        """Return which of the pieces that distinguish uses of its reason are in the message; empty for most reasons."""
        pieces = self._pieces.get((event.cause, event.reason))
        if pieces is None:
            if len(self._pieces) > _REMEMBERED:  # anybody who may create Events can make up reasons
                self._pieces.clear()
            entries = [*self._entries(event.cause), *self._entries(event.reason)]
            pieces = tuple(dict.fromkeys(piece for entry in entries for piece in entry.says))
            self._pieces[event.cause, event.reason] = pieces
        if not pieces:
            return ()
        message = event.message
        # An empty message fits every use, see `choose`.
        return (not message, *[piece in message for piece in pieces])

    def _told(self, type: str) -> Condition | None:  # noqa: A002
        return self.condition(type) if type in self.changes.conditions or type in conditions() else None

    def _entries(self, name: str) -> Sequence[Reason]:
        change = self.changes.reasons.get(name)
        if change is None:
            return reasons().get(name, ())
        if name not in self._reasons:
            entries = [_changed_reason(entry, change, name) for entry in reasons().get(name, ())]
            # Also those uses of it that nobody described: the user means every Event with this reason.
            if all(entry.type or entry.components or entry.kinds or entry.says for entry in entries):
                normal = Reason(names=(name,), severity="info", family=OTHER, type="Normal")
                rest = Reason(names=(name,), severity="warning", family=OTHER)
                entries += [_changed_reason(normal, change, name), _changed_reason(rest, change, name)]
            self._reasons[name] = entries
        return self._reasons[name]


@cache
def shipped() -> Catalog:
    """Return the catalog as it comes with Eventer."""
    return Catalog()


def _changed_reason(entry: Reason, change: ReasonChange, name: str) -> Reason:
    given: dict[str, Any] = {"names": (name,), **_given(change)}
    if change.opposite is not None:
        given["opposite"] = tuple(change.opposite)
    if change.patience is not None:
        given["patience"] = int(change.patience)
    return msgspec.structs.replace(entry, **given)


def _changed_condition(entry: Condition, change: ConditionChange) -> Condition:
    given = _given(change)
    if change.bad is not None:
        given |= {"bad": change.bad, "guessed": False}
    return msgspec.structs.replace(entry, **given)


def _given(change: ReasonChange | ConditionChange) -> dict[str, Any]:
    """Return what a change says, without what it leaves as it is."""
    words = {name: getattr(change, name) for name in ("severity", "family", "command", "runbook")}
    texts = {"en": change.en, "zh": change.zh}
    return {name: value for name, value in words.items() if value is not None} | {
        name: Text(means=text) for name, text in texts.items() if text is not None
    }
