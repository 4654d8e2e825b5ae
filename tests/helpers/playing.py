"""An incident, played: its events through journal, alerting and delivery to a robot, in the time that it takes.

Time is the loop's (`tests.helpers.virtual`). A kill leaves what is on the disk; the next life goes on from there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from eventer.alerting.notification import Notification, Why
from eventer.catalog import shipped
from eventer.event import Event
from eventer.journal import read_books
from eventer.journal.alerting import AlertingRecord
from eventer.match import Rule, Verdicts
from eventer.sink import GroupConfig, NotifierConfig
from eventer.values import Rate
from tests.helpers.components import Cluster, Known
from tests.helpers.journals import alerting_balanced, append, killed, opened
from tests.helpers.memory_notifier import MemoryNotifier, notifying
from tests.helpers.virtual import LoopClock

__all__ = ["MEANINGS", "Told", "play", "receiver"]

MEANINGS: Final = shipped()


@dataclass
class Told:
    """What a robot was sent, and the books at the end."""

    notes: list[Notification]
    at: list[float]
    """When each was sent, seconds after the beginning."""
    record: AlertingRecord
    trouble: int
    """Events that its rules match: what it is to tell."""
    objects: set[str]
    """What those are about."""

    per: str = ""
    """Field of groups whose values stand for people of their own, such as a team."""

    @property
    def over(self) -> int:
        """Messages to one person that tell of nothing but an end."""
        return self._most([note for note in self.notes if note.why is Why.RESOLVED])

    @property
    def messages(self) -> int:
        """All others to one person."""
        return self._most([note for note in self.notes if note.why is not Why.RESOLVED])

    def _most(self, notes: Sequence[Notification]) -> int:
        return max(Counter(note.group.get(self.per, "") for note in notes).values(), default=0)

    @property
    def unrepresented(self) -> int:
        """Events that are to be told and are neither in a message's count nor kept quiet by a stage that counts it."""
        record = self.record
        return max(0, self.trouble - record.represented - record.suppressed)

    def within(self, seconds: float) -> int:
        """Most messages within so much time."""
        return max((sum(a <= b < a + seconds for b in self.at) for a in self.at), default=0)

    def lines(self) -> list[str]:
        """One line for each message, to look at where a bound is missed."""
        return [
            f"{at:7.0f} s  {note.why:9} {note.group} firing {note.firing} resolved {note.resolved} "
            f"events {note.events} {dict(note.reasons)}"
            for at, note in zip(self.at, self.notes, strict=True)
        ]


def receiver(
    *, limit: str = "", group: GroupConfig | None = None, match: Sequence[Rule] = (), enrich: bool = True
) -> NotifierConfig:
    """Return the configuration of a notifier, as one has it that says nothing but what is given here."""
    return NotifierConfig(
        kind="memory",
        match=[rule.by(MEANINGS) for rule in match or [Rule.parse({"severity": ["warning", "critical"]})]],
        group=group or GroupConfig(),
        limit=Rate.parse(limit) if limit else None,
        enrich=["owner", "namespace", "node"] if enrich else [],
    )


async def play(
    directory: Path,
    cluster: Cluster,
    configs: Mapping[str, NotifierConfig],
    *,
    kills: Collection[float] = (),
    after: float = 5400.0,
    step: float = 1.0,
) -> dict[str, Told]:
    """Play what a cluster's components write, and `after` seconds more; return what each notifier told.

    Args:
        directory: for the journal, and for the copies that each kill leaves.
        cluster: whose `begin` is the wall clock's time now.
        configs: of the notifiers, by name.
        kills: seconds after the beginning at which the process is killed, and started again.
        after: for what ends by quiet alone.
        step: seconds whose events are stored together.
    """
    clock = LoopClock()
    sinks = {name: MemoryNotifier() for name in configs}
    clock.now()
    began = asyncio.get_running_loop().time()
    known = Known(cluster)
    stream = cluster.stream()
    batches = _batches(stream, step)
    end = batches[-1][0] + after
    place = directory / "0"
    for number, life in enumerate([*sorted(kills), end], 1):
        async with opened(place, clock) as journal, contextlib.AsyncExitStack() as stack:
            for name, config in configs.items():
                sinks[name].closed = 0
                enrich = known if config.enrich else None
                running = notifying(
                    journal, sinks[name], config, name=name, stop=life == end, meanings=MEANINGS, enrich=enrich
                )
                await stack.enter_async_context(running)
            while batches and batches[0][0] <= life:
                at, events = batches.pop(0)
                await _until(began + at)
                await append(journal, events)
            await _until(began + life)
            if life != end:
                place = killed(place, directory / str(number))
    books = read_books(place)
    alerting_balanced(books)
    told = {}
    for name, config in configs.items():
        events = [known.enriched(event) if config.enrich else event for _, event in stream]
        wanted = Verdicts(config.match)(events)
        trouble = [
            event
            for event, rule in zip(events, wanted, strict=True)
            if rule >= 0 and event.state not in {"resolved", "unknown"}
        ]
        told[name] = Told(
            notes=sinks[name].told,
            at=[at - began for at in sinks[name].times],
            record=books.alerting[name],
            trouble=len(trouble),
            objects={event.object for event in trouble},
        )
    return told


def _batches(stream: Sequence[tuple[float, Event]], step: float) -> list[tuple[float, list[Event]]]:
    """Return what can be read at a time; what was written before the beginning can be read at once."""
    made: dict[float, list[Event]] = {}
    for at, event in stream:
        made.setdefault(max(0.0, (at // step + 1) * step), []).append(event)
    return list(made.items())


async def _until(at: float) -> None:
    await asyncio.sleep(max(0.0, at - asyncio.get_running_loop().time()))
