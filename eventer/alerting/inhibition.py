"""Which problems are not told because another one lasts: a pod on a node that is down is news to nobody.

A source is whatever a rule calls one, whether its notifier wants to be told of it or not; so every event is looked
at. It lasts as long as a problem does: a bad condition until its source says otherwise, an Event until an opposite
one, or until nothing more is heard. Neither end is believed at once, see `eventer.alerting.problems`.

What was last seen while a source lasted is its consequence, and remains one: a pod that was lost with its node says
nothing more when the node is back. What is seen again after that is told.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import msgspec

from eventer.alerting.muting import Mute
from eventer.alerting.terms import Meanings, Timing, gone, key_of, node_of
from eventer.catalog import Reason
from eventer.config.inhibition import FIELDS
from eventer.event import Event
from eventer.match import Rule, Verdicts

__all__ = ["MOST", "Inhibition", "Inhibits", "Source", "Sources"]

MOST: Final = 10_000
"""Sources that are remembered, two for a node that is down: Kubernetes has at most 5,000 nodes in a cluster
(https://kubernetes.io/docs/setup/best-practices/cluster-large/). About 200 bytes each are stored at each settle."""
SWEEP: Final = 60.0
"""Seconds between two looks for sources that are of no use any more."""


class Inhibits(msgspec.Struct, frozen=True, kw_only=True):
    """One rule."""

    name: str
    sources: tuple[Rule, ...]
    """Any of them."""
    targets: tuple[Rule, ...]
    """Any of them."""
    equal: tuple[str, ...]
    quiet: float | None = None
    """Seconds after which an Event is over; None for as long as any problem takes."""
    at_most: float = math.inf
    """Seconds of a problem for which it is kept quiet."""

    @property
    def id(self) -> str:
        """Names it in what is stored: a rule that was changed is another one."""
        text = f"{[*map(str, self.sources)]} {[*map(str, self.targets)]} {self.equal}"
        return blake2b(text.encode(), digest_size=6).hexdigest()


class Source(msgspec.Struct, array_like=True):
    """Something that keeps others quiet by one rule. Stored as a list: new fields go to the end.

    Times are seconds since 1970.
    """

    rule: str
    object: str
    key: str
    """The problem that it is; see `eventer.alerting.terms.key_of`."""
    equal: tuple[str, ...]
    both: bool
    """Whether it could be a target of its rule as well: such sources do not keep each other quiet."""
    last: float
    """When it was last seen."""
    states: list[str]
    """What the object is in that is trouble: it lasts as long as any of this does."""
    over: tuple[str, ...]
    """Reasons of Events that say that it is over."""
    ended: float | None = None


class Sources(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What inhibition remembers; stored with the rest of what alerting does."""

    sources: list[Source] = []
    unfit: int = 0
    """Events that were sources and found no room: what they would keep quiet is told."""


class Inhibition:
    """What keeps what quiet, for one notifier.

    Args:
        rules: asked in this order.
        meanings: the catalog.
        memory: what was stored; it is changed in place.
        quiet: seconds after which an Event of which nothing more is heard is over.
        calm: seconds for which a source must seem to be over.
    """

    def __init__(
        self,
        rules: Sequence[Inhibits],
        meanings: Meanings,
        memory: Sources,
        *,
        quiet: float,
        calm: float = Timing().calm,
        most: int = MOST,
    ) -> None:
        self._rules = [
            msgspec.structs.replace(
                rule,
                sources=tuple(each.by(meanings) for each in rule.sources),
                targets=tuple(each.by(meanings) for each in rule.targets),
            )
            for rule in rules
        ]
        self._meanings = meanings
        self._memory = memory
        self._quiet = quiet
        self._calm = calm
        self._most = most
        self._may_be = Verdicts([source for rule in self._rules for source in rule.sources])
        self._targets = [Verdicts(rule.targets) for rule in self._rules]
        self._ids = [rule.id for rule in rules]
        self._kept: dict[tuple[str, str], Source] = {}
        """By rule and problem."""
        self._equal: dict[str, dict[tuple[str, ...], list[Source]]] = {}
        """By rule and what it has in common with its targets."""
        self._objects: dict[str, list[Source]] = {}
        self._index()
        self._swept = -math.inf

    def see(self, events: Sequence[Event], now: float) -> None:
        """Find the sources among events, and the ends of those that are known.

        Args:
            events: all that happened, in the order of the log.
            now: seconds since 1970.
        """
        if self._kept and not 0 <= now - self._swept < SWEEP:
            self._sweep(now)
        objects = self._objects
        for event, verdict in zip(events, self._may_be(events), strict=True):
            if event.object in objects:
                self._end(event, now)
            if verdict >= 0 and event.state in {"", "firing"}:
                self._begin(event, now)

    def mute(self, event: Event, now: float) -> Mute | None:
        """Say what keeps a problem quiet; see `eventer.alerting.muting`."""
        longest: Mute | None = None
        for rule, id_, targets in zip(self._rules, self._ids, self._targets, strict=True):
            known = self._equal.get(id_)
            equal = _values(event, rule.equal) if known else None
            found = known.get(equal) if known and equal is not None else None
            if not found or targets([event])[0] < 0:
                continue
            if any(source.both for source in found) and any(source.matches(event) for source in rule.sources):
                found = [source for source in found if not source.both]
            until, by = now, ""
            for source in found:
                if (keeps := self._keeps(source, rule, event, now)) > until:
                    until, by = keeps, source.key
                if until == math.inf:  # of a thousand nodes that are down, the first is enough
                    break
            if until > now and (longest is None or until > longest.until):
                longest = Mute("inhibition", rule.name, until, by)
        return longest

    def _keeps(self, source: Source, rule: Inhibits, event: Event, now: float) -> float:
        """Return until when a source keeps a problem quiet."""
        since = event.first or event.time
        over = min(self._over_at(source, rule), since.timestamp() + rule.at_most)
        # A condition goes on without a word; an Event's problem that does so is no more.
        if now < over or event.state or event.time.timestamp() >= over:
            return over
        return over + self._quiet

    def _over_at(self, source: Source, rule: Inhibits) -> float:
        if source.states:
            return math.inf
        if source.ended is not None:
            return source.ended + self._calm
        return source.last + (self._quiet if rule.quiet is None else rule.quiet)

    def _begin(self, event: Event, now: float) -> None:
        key = key_of(event, self._meanings.meaning(event)[1])
        known = self._meanings.of(event)
        over = known.opposite if isinstance(known, Reason) else ()
        for rule, id_ in zip(self._rules, self._ids, strict=True):
            if not any(source.matches(event) for source in rule.sources):
                continue
            last = now if event.state else min(now, event.time.timestamp())
            if not event.state and last + (self._quiet if rule.quiet is None else rule.quiet) <= now:
                continue  # it was over before it was seen
            source = self._kept.get((id_, key)) or self._new(event, rule, id_, key)
            if source is None:
                continue
            source.last, source.ended = max(source.last, last), None
            source.over = over or source.over
            if event.state and (state := _state_of(event)) not in source.states:
                source.states.append(state)

    def _new(self, event: Event, rule: Inhibits, id_: str, key: str) -> Source | None:
        equal = _values(event, rule.equal)
        if equal is None:
            return None
        if len(self._kept) >= self._most:
            self._memory.unfit += 1
            return None
        both = any(target.matches(event) for target in rule.targets)
        source = Source(id_, event.object, key, equal, both, 0.0, [], ())
        self._memory.sources.append(source)
        self._know(source)
        return source

    def _end(self, event: Event, now: float) -> None:
        over = gone(event)
        for source in self._objects[event.object]:
            if over:
                source.states.clear()
            elif event.state == "resolved":
                if (state := _state_of(event)) not in source.states:
                    continue
                source.states.remove(state)
            elif event.state or event.reason not in source.over:
                continue
            if not source.states and source.ended is None:
                source.ended = now

    def _sweep(self, now: float) -> None:
        """Forget what keeps nothing quiet any more, and the sources of rules that are gone."""
        self._swept = now
        rules = dict(zip(self._ids, self._rules, strict=True))
        kept = [
            source
            for source in self._memory.sources
            if source.rule in rules and now < self._over_at(source, rules[source.rule]) + self._quiet
        ]
        if len(kept) < len(self._memory.sources):
            self._memory.sources[:] = kept
            self._index()

    def _index(self) -> None:
        self._kept, self._equal, self._objects = {}, {}, {}
        for source in self._memory.sources:
            self._know(source)

    def _know(self, source: Source) -> None:
        self._kept[source.rule, source.key] = source
        self._equal.setdefault(source.rule, {}).setdefault(source.equal, []).append(source)
        self._objects.setdefault(source.object, []).append(source)


def _values(event: Event, equal: Sequence[str]) -> tuple[str, ...] | None:
    """Return what an event has in these fields; None where it is not known with whom it has it in common."""
    values = []
    for field in equal:
        if field in FIELDS and field != "node":
            values.append(getattr(event, field))
        elif value := node_of(event) if field == "node" else event.labels.get(field, ""):
            values.append(value)
        else:
            return None
    return tuple(values)


def _state_of(event: Event) -> str:
    """Name what it is that begins and ends: a condition, by whoever tells it; a taint or a cordon by its problem."""
    return event.condition or event.problem
