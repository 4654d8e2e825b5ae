"""Reasons of Events: which of the things that a reason can mean is meant."""

from __future__ import annotations

from collections.abc import Sequence

from eventer.catalog.shipped import reasons
from eventer.catalog.types import Reason

__all__ = ["choose", "reason"]


def reason(reason: str, component: str = "", kind: str = "", *, type: str = "", message: str = "") -> Reason | None:  # noqa: A002
    """Return what comes with Eventer about a reason.

    Args:
        reason: as it stands in the Event.
        component: who reports; empty where that is not known.
        kind: of the object, likewise.
        type: `Normal` or `Warning`, likewise.
        message: likewise; some reasons mean different things by their message.

    Returns:
        None if the reason is not known, or not in this use.
    """
    return choose(reasons().get(reason, ()), component, kind, type, message)


def choose(entries: Sequence[Reason], component: str, kind: str, type: str, message: str) -> Reason | None:  # noqa: A002
    """Return the first entry that fits; what is empty fits all."""
    for entry in entries:
        if (
            (not type or not entry.type or entry.type == type)
            and (not component or not entry.components or component in entry.components)
            and (not kind or not entry.kinds or kind in entry.kinds)
            and (not message or not entry.says or any(piece in message for piece in entry.says))
        ):
            return entry
    return None
