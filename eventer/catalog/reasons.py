"""Reasons of Events: which of the things that a reason can mean is meant."""

from __future__ import annotations

from collections.abc import Sequence

from eventer.catalog.shipped import reasons
from eventer.catalog.types import Reason

__all__ = ["choose", "open_to", "reason"]


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


def open_to(entries: Sequence[Reason], component: str, kind: str, type: str, message: str) -> list[str]:  # noqa: A002
    """Return which of the four are empty and would tell which use is meant; none where that is clear."""
    fit = [entry for entry in entries if choose([entry], component, kind, type, message) is not None]
    if len({(entry.severity, entry.family) for entry in fit}) < 2:
        return []
    tells = {
        "kind": not kind and any(entry.kinds for entry in fit),
        "component": not component and any(entry.components for entry in fit),
        "type": not type and any(entry.type for entry in fit),
        "message": not message and any(entry.says for entry in fit),
    }
    return [name for name, would in tells.items() if would]
