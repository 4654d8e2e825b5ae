"""Which parts of an object have changed since it was seen last: what intake does with objects that are no events.

A Node is written again and again, and hardly ever says anything new. The ledger has one entry for a Node, with the
digest of what counts: a heartbeat has the digest that is known, and costs that look and nothing else. Only where
the digest is new the entries of the Node's parts are read, and what has changed of them becomes events.

The entries of whole Nodes are also kept in memory, some 300 bytes each: without that, every heartbeat would read
the disk to learn that nothing has changed.
"""

from __future__ import annotations

from collections.abc import Iterable

from eventer.event import Arrivals, Event, Part, Sighting, version_of
from eventer.journal import Entry, Journal, StreamKey

__all__ = ["Sightings"]


class Sightings:
    """What one stream has seen of such objects. What could not be stored is forgotten with it: make a new one then.

    Args:
        journal: has the ledger.
        key: the stream.
        looked: when the stream was read last before the start, seconds since 1970.
    """

    def __init__(self, journal: Journal, key: StreamKey, looked: float | None) -> None:
        self._looked = looked
        self._ledger = journal.ledger
        self._key = key
        self._known: dict[str, Entry] = {}

    async def sort_out(
        self, arrivals: Arrivals, changes: dict[str, Entry | None], counts: dict[str, int]
    ) -> list[Event]:
        """Return an event for each change; note in `changes` what is known now, and count what needs no event.

        Each change is one thing received, and so is each version that brings none, which is seen.

        Raises:
            JournalError: the ledger cannot be read.
        """
        await self._look_up(arrivals.sightings, changes)
        parts = await self._parts(
            {
                sighting.parts
                for sighting in arrivals.sightings
                if (entry := self._known.get(sighting.entity)) is not None
                and (sighting.gone or sighting.digest != entry.hash)
            },
            changes,
        )
        fresh: list[Event] = []
        for sighting in arrivals.sightings:
            fresh += self._compare(sighting, arrivals, parts, changes, counts)
        if arrivals.roll is not None and arrivals.position is not None:
            fresh += await self._missing(arrivals, changes, counts)
        return fresh

    def _compare(
        self,
        sighting: Sighting,
        arrivals: Arrivals,
        parts: dict[str, dict[str, Part]],
        changes: dict[str, Entry | None],
        counts: dict[str, int],
    ) -> list[Event]:
        entry = self._known.get(sighting.entity)
        low = self._ledger.low(self._key)
        if entry is None and sighting.gone:
            return []
        if sighting.version <= (low if entry is None else entry.version):
            _count(counts, seen=int(not arrivals.listed))
            if entry is not None:
                return []
        elif entry is not None and not sighting.gone and sighting.digest == entry.hash:
            _count(counts, seen=1)
            self._note(sighting.entity, Entry(sighting.version, 0, sighting.digest), changes)
            return []
        known = parts.setdefault(sighting.parts, {})
        # Below the low-water mark nothing is known of what was seen, but that it was.
        came = entry is None and (sighting.added or (arrivals.listed and not low)) and not arrivals.first
        events, learnt = sighting.compare(
            known if entry is not None else None,
            new=came,
            after=self._looked if entry is None and low and not came else None,
        )
        for name, part in learnt.items():
            if part is None:
                known.pop(name, None)
                changes[name] = None
            else:
                known[name] = part
                changes[name] = Entry(sighting.version, *part)
        self._note(sighting.entity, None if sighting.gone else Entry(sighting.version, 0, sighting.digest), changes)
        if entry is None and sighting.version <= low:
            return []
        before = arrivals.seen_before
        told = [event for event in events if before is None or event.time >= before]
        _count(counts, fresh=len(told), seen=len(events) - len(told) if events else 1)
        return told

    async def _missing(
        self, arrivals: Arrivals, changes: dict[str, Entry | None], counts: dict[str, int]
    ) -> list[Event]:
        """Return the events for what is known and was not listed: it was deleted while nobody watched."""
        roll = arrivals.roll
        assert roll is not None
        assert arrivals.position is not None
        known = await self._under({"node"}, changes)
        version = version_of(arrivals.epoch, arrivals.position)
        missing = {entity: roll.missing(entity, version) for entity in sorted(known) if entity not in roll}
        parts = await self._parts({head for head, _ in missing.values()}, changes)
        for entity, (head, _) in missing.items():
            changes.update(dict.fromkeys(parts[head]))
            self._note(entity, None, changes)
        _count(counts, fresh=len(missing))
        return [event for _, event in missing.values()]

    def _note(self, entity: str, entry: Entry | None, changes: dict[str, Entry | None]) -> None:
        changes[entity] = entry
        if entry is None:
            self._known.pop(entity, None)
        else:
            self._known[entity] = entry

    async def _look_up(self, sightings: Iterable[Sighting], changes: dict[str, Entry | None]) -> None:
        # One by one: the difference to the keys of a dict would go through all of them.
        asked = {each.entity for each in sightings if each.entity not in self._known and each.entity not in changes}
        if asked:
            self._known |= await self._ledger.look_up(self._key, sorted(asked))

    async def _parts(self, heads: set[str], changes: dict[str, Entry | None]) -> dict[str, dict[str, Part]]:
        """Return the parts of some objects, by what their names begin with."""
        parts: dict[str, dict[str, Part]] = {head: {} for head in heads}
        if heads:
            for name, entry in (await self._under(heads, changes)).items():
                parts[name.partition("/")[0]][name] = entry.total, entry.hash
        return parts

    async def _under(self, heads: set[str], changes: dict[str, Entry | None]) -> dict[str, Entry]:
        known: dict[str, Entry | None] = dict(await self._ledger.under(self._key, heads))
        known |= {name: entry for name, entry in changes.items() if name.partition("/")[0] in heads}
        return {name: entry for name, entry in known.items() if entry is not None}


def _count(counts: dict[str, int], *, fresh: int = 0, seen: int = 0) -> None:
    """Count what is received: what is new, which the filter settles, and what was seen."""
    counts["received"] += fresh + seen
    counts["seen"] += seen
