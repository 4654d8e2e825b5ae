"""Whether the objects of problems still exist, where look-ups can tell.

A pod of a rollout that went wrong is deleted when it is rolled back, and writes no Event of its own about that. Without
a look nobody would know before `group.resolve_after` that its problem is over.
"""

from __future__ import annotations

from typing import Final

from eventer.about import Enriched
from eventer.alerting.alerts import Alerts
from eventer.event import encode_lines
from eventer.sink import Batch, Enrich

__all__ = ["ASKED", "Existence"]

ASKED: Final = 50
"""Problems whose objects are asked for at once, so many each minute: the API server is not to be troubled."""


class Existence:
    """Asks in turn for the objects of problems of which nothing is heard.

    Args:
        look_up: what is known of objects; it waits for answers no longer than its time box.
    """

    def __init__(self, look_up: Enrich) -> None:
        self._look_up = look_up
        self._asked: dict[str, float] = {}

    async def look(self, alerts: Alerts, now: float) -> None:
        """Ask for some objects, those first that were not asked for the longest, and note which are gone."""
        events = alerts.unheard(now)
        asked = {key: self._asked.get(key, 0.0) for key in events}
        turn = sorted(asked, key=asked.__getitem__)[:ASKED]
        self._asked = asked | dict.fromkeys(turn, now)
        if not turn:
            return
        batch = [events[key] for key in turn]
        found = await self._look_up(Batch(encode_lines(batch), batch))
        alerts.vanished(
            [key for key, event in zip(turn, found.events, strict=True) if event.about.enriched == Enriched.GONE], now
        )
