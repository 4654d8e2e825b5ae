"""How many messages there may be: what is beyond waits, and is told together in the next one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from eventer.alerting.state import Group
from eventer.group import Quota

__all__ = ["free", "free_at", "key_of", "later", "spend"]


MOST: Final = 10_000
"""Values of its fields for which messages are counted; beyond, those that had none for longest may have more."""


def key_of(quota: Quota, by: Mapping[str, str]) -> str:
    """Return what a group's messages are counted under."""
    return msgspec.json.encode([by.get(field, "") for field in quota.per]).decode()


def free(quota: Quota, spent: Mapping[str, list[float]], key: str, now: float) -> int:
    """Return how many messages there may be now."""
    return quota.messages - sum(at > now - quota.within for at in spent.get(key, ()))


def free_at(quota: Quota, spent: Mapping[str, list[float]], key: str) -> float:
    """Return when there may be a message again, seconds since 1970, where there may be none now."""
    return spent[key][-quota.messages] + quota.within


def later(quota: Quota | None, spent: Mapping[str, list[float]], group: Group, now: float) -> float:
    """Return before which a group that was stored has no message: its quota may have been another one then."""
    if quota is None or free(quota, spent, key := key_of(quota, group.by), now) > 0:
        return 0.0
    return min(group.later, free_at(quota, spent, key))


def spend(quota: Quota, spent: dict[str, list[float]], key: str, now: float) -> None:
    """Count a message, and forget those that count no more."""
    # The one that spent last comes last, so that only what counts no more is looked at.
    spent[key] = [at for at in spent.pop(key, ()) if at > now - quota.within] + [now]
    while (oldest := next(iter(spent))) != key and (spent[oldest][-1] <= now - quota.within or len(spent) > MOST):
        del spent[oldest]
