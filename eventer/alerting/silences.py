"""Silences: problems of which people do not want to be told for a while. Asked when a group would speak.

A silence begins and ends at moments, which a zone or its daylight saving time cannot move. One that begins later, or
is over, says nothing; where several cover a problem, it is the one that ends last.
"""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
import structlog

from eventer.about import MUTE
from eventer.alerting.muting import Mute
from eventer.event import Event
from eventer.match import Rule, Verdicts
from eventer.values import Time

__all__ = ["ANNOTATION", "Silence", "Silences"]

ANNOTATION: Final = MUTE
"""On an object, what owns it or its namespace: a time in RFC 3339, and behind it what people like to say of it."""
_TOLD: Final = 1_000
"""Annotations that are no time, as far as it was said of each once."""

log = structlog.get_logger()


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """One silence. Times are seconds since 1970."""

    name: str
    rules: tuple[Rule, ...]
    """Any of them. Empty where this version cannot use what is stored."""
    owner: str
    reason: str
    begins: float
    ends: float
    configured: bool = False
    """It stands in the configuration; commands cannot end it."""


class Silences:
    """All silences of a daemon, for all of its notifiers.

    Attributes:
        version: another one after each change; see `changed`.
    """

    def __init__(self) -> None:
        self.version = 0
        self.by_name: Mapping[str, Silence] = {}
        """Those that are on, begin later, or are over and still shown."""
        self._changed = asyncio.Event()
        self._told: set[tuple[str, str, str]] = set()
        # Those that are on between two moments, as of the last time that somebody asked.
        self._since = self._until = 0.0
        self._plain: list[Silence] = []
        self._verdicts = Verdicts([])
        self._looking: list[tuple[Rule, Silence]] = []

    @property
    def names(self) -> frozenset[str]:
        """Names that are still shown; counts under other names may be forgotten."""
        return frozenset({*self.by_name, ANNOTATION})

    def replace(self, silences: Iterable[Silence]) -> None:
        """Go by these from now on."""
        new = {silence.name: silence for silence in silences}
        if new == self.by_name:
            return
        self.by_name = new
        self._since = self._until = 0.0
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self, version: int) -> None:
        """Return as soon as `version` is another one: whoever was kept quiet must be asked about again."""
        while self.version == version:
            await self._changed.wait()

    def mute(self, event: Event, now: float) -> Mute | None:
        """Say which silence covers a problem, if one does; see `eventer.alerting.muting.Muting`.

        What a rule asks for and nobody looked up does not match: a silence must not cover more than is meant.
        """
        if not self._since <= now < self._until:
            self._select(now)
        name, ends = "", now
        at = self._verdicts([event])[0]
        if at >= 0:
            name, ends = self._plain[at].name, self._plain[at].ends
        for rule, silence in self._looking:
            if silence.ends > ends and rule.knows(event) and rule.matches(event):
                name, ends = silence.name, silence.ends
        if event.about.mutes:
            annotated = self._annotated(event)
            if annotated > ends:
                name, ends = ANNOTATION, annotated
        return Mute("silence", name, ends) if name else None

    def _select(self, now: float) -> None:
        """Find those that are on now, and between which moments that holds: a clock may also be set back."""
        moments = sorted({moment for silence in self.by_name.values() for moment in (silence.begins, silence.ends)})
        at = bisect_right(moments, now)
        self._since = moments[at - 1] if at else -math.inf
        self._until = moments[at] if at < len(moments) else math.inf
        on = [silence for silence in self.by_name.values() if silence.begins <= now < silence.ends]
        # The first one that matches is the one that ends last.
        on.sort(key=lambda silence: (-silence.ends, silence.name))
        rules = [(rule, silence) for silence in on for rule in silence.rules]
        self._looking = [(rule, silence) for rule, silence in rules if rule.looked]
        plain = [(rule, silence) for rule, silence in rules if not rule.looked]
        self._plain = [silence for _, silence in plain]
        self._verdicts = Verdicts([rule for rule, _ in plain])

    def _annotated(self, event: Event) -> float:
        """Return until when annotations mute an event's object; minus infinity if they do not."""
        found = -math.inf
        for mute in event.about.mutes:
            holder, _, text = mute.partition(" ")
            try:
                found = max(found, Time.parse((text.split() or [""])[0]))
            except ValueError as error:
                place = holder if holder.startswith("Namespace/") else f"{event.namespace}/{holder}"
                what = (event.cluster, place, text)
                if what not in self._told and len(self._told) < _TOLD:
                    self._told.add(what)
                    log.warning(
                        "annotation eventer.io/mute not used", cluster=event.cluster, object=place, reason=str(error)
                    )
        return found
