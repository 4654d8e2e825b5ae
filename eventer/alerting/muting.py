"""Why a problem is not told: what each stage that keeps quiet about problems says of one.

Stages are asked when a group would speak, not when an event comes: what a silence, a window or an inhibition
covers is followed all the same, and told when that is over and the problem is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import msgspec

from eventer.event import Event

__all__ = ["Mute", "Muting", "Stage"]

Stage = Literal["silence", "inhibition", "window"]


class Mute(msgspec.Struct, frozen=True, omit_defaults=True):
    """What keeps a problem from being told."""

    stage: Stage
    name: str
    """Which silence, rule or window, as people know it."""
    until: float = math.inf
    """When to ask again at the latest, seconds since 1970; infinity if only an event can change the answer."""
    source: str = ""
    """Of an inhibition: the key of the problem that it comes from; see `eventer.alerting.terms.key_of`."""

    @property
    def by(self) -> str:
        """What events that it keeps quiet are counted under."""
        return f"{self.stage} {self.name}"


Muting = Callable[[Event, float], Mute | None]
"""Asked with a problem's latest state, as an Event, and the time in seconds since 1970."""
