"""What must hold: after each kill, and when everything is healed and has come to rest."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path

from eventer.event import Event, Outcome, decode_lines
from eventer.journal import Journal, ReaderRecord, StreamKey, read_books
from tests.simulation.far import BAD, FarSide
from tests.simulation.life import CLUSTER, NODES, Life, Site, scope_of
from tests.simulation.nodes import PATH, NodeWork, untold
from tests.simulation.workload import Truth, Workload

__all__ = ["Verdict"]


class Verdict:
    """Judges one world. `faults` holds a sentence for each promise that was broken."""

    def __init__(self, site: Site, work: Workload, nodes: NodeWork) -> None:
        self.faults: list[str] = []
        self.events = 0
        """Events in the log at the end."""
        self._site = site
        self._work = work
        self._nodes = nodes
        self._clean = False
        """The life before ended in order: nothing may be repeated."""
        self._dead: dict[str, set[str]] = {}
        self._parked: dict[str, set[str]] = {}

    def fault(self, what: str) -> None:
        self.faults.append(what)

    # -- from one life to the next ---------------------------------------------------------------

    def after_life(self, life: Life, *, clean: bool) -> None:
        self._clean = clean
        if not self._work.restores and (missed := sum(stream.status.audit_missed for stream in life.streams)):
            self.fault(f"the audit found {missed} that had been missed")

    async def at_start(self, journal: Journal, directory: Path) -> None:
        """What the life before left: all that its position claims, and books that balance."""
        if journal.quarantined is not None:
            self.fault("the journal was found damaged")
        letters = await journal.letters()
        waiting = await _lines(journal)
        for far in self._site.fars:
            record = journal.readers[far.name]
            for state in (Outcome.DEAD, Outcome.PARKED):
                if record.outcomes.get(state, 0) != letters.get((far.name, state), 0):
                    self.fault(f"{far.name}: {record.outcomes} but letters {letters}")
            parked = {row.number for row in await journal.parked(far.name)}
            again = {event.id for offset, event in waiting.items() if offset >= record.cursor}
            again |= {event.id for event in decode_lines([*(await journal.letter_lines(far.name, [*parked])).values()])}
            repeatable = (far.held & again) - far.unsure
            # What was sent together is settled together, and in order: after an end in order no more than that.
            reads = 2 if not self._clean else 0 if far.even else 1
            most = reads * far.in_flight * far.config.batch.count
            if far.kind != "file" and len(repeatable) > most:
                self.fault(f"{far.name}: {len(repeatable)} may come again, {most} are allowed")
            far.unsure |= repeatable
        for name, record in journal.streams.items():
            if letters.get((f"intake:{name.cluster}/{name.scope}", Outcome.DEAD), 0) != record.poison:
                self.fault(f"{name}: {record.poison} lines were no events, letters {letters}")
        if not self._work.restores:
            self._read_letters(directory)
            self._positions(journal, waiting)

    def _positions(self, journal: Journal, waiting: dict[int, Event]) -> None:
        """Whatever lies before a stored position must be in the log, or with the far sides."""
        logged: dict[str, int] = {}
        for event in waiting.values():
            logged[event.entity] = max(event.version, logged.get(event.entity, 0))
        for namespace in self._site.namespaces:
            position = journal.stream(StreamKey(CLUSTER, scope_of(namespace))).position or 0
            for truth in self._work.alive.values():
                if truth.version > position or namespace not in {None, truth.namespace}:
                    continue
                for far in self._site.fars:
                    if _let_go(journal.readers[far.name]) or _holds_back(far) or not self._due(far, truth):
                        continue
                    kept = self._dead.get(far.name, set()) | self._parked.get(far.name, set())
                    versions = [int(id_.split("/")[3]) for id_ in kept if id_.split("/")[2] == truth.uid]
                    # A later version with the same content says it as well.
                    if max(logged.get(truth.uid, 0), far.newest(truth.uid), *versions, 0) < truth.version:
                        self.fault(f"{far.name}: {truth} lies before the position {position} and is nowhere")

    # -- the end ---------------------------------------------------------------------------------

    def at_rest(self, life: Life) -> bool:
        return not self.why_no_rest(life)

    def why_no_rest(self, life: Life) -> str:
        """Say what is still to be done; empty if nothing is."""
        journal = life.journal
        if journal is None:
            return "it has not begun"
        for far in self._site.fars:
            record = journal.readers[far.name]
            if record.cursor < journal.head or record.outcomes.get(Outcome.PARKED, 0):
                return f"{far.name} is at {record.cursor} of {journal.head}, {record.outcomes}"
        if len(life.streams) < len(self._site.namespaces) + self._site.nodes:
            return "it has no streams yet"
        if self._site.nodes:
            stream, position = life.streams[-1], journal.stream(StreamKey(CLUSTER, NODES)).position
            if not stream.status.connected or position != self._nodes.version:
                return f"the stream of nodes is at {position}, newest {self._nodes.version}, {vars(stream.status)}"
        for stream, namespace in zip(life.streams, self._site.namespaces, strict=False):
            record = journal.stream(StreamKey(CLUSTER, scope_of(namespace)))
            newest = max((t.version for t in self._work.alive.values() if namespace in {None, t.namespace}), default=0)
            if not stream.status.connected or not newest <= (record.position or 0) <= self._site.api.store.version:
                return f"the stream {namespace} is at {record.position}, newest {newest}, {vars(stream.status)}"
        self._read_letters(life.directory)
        for far in self._site.fars:
            let_go = _let_go(journal.readers[far.name])
            if len(lost := self._lost(far, let_go)) > let_go:
                return f"{far.name} has not {lost[:3]}"
        return ""

    def at_end(self, directory: Path) -> None:
        """Check the books that are left, and every final state."""
        books = read_books(directory)
        self._read_letters(directory)
        self.events = books.head
        if books.head != sum(record.appended for record in books.streams.values()):
            self.fault("the head is not what was appended")
        told = Counter(event.message.split()[1] for event in self._own() if event.reason == "GapBacklog")
        for far in self._site.fars:
            reader = books.readers[far.name]
            let_go = _let_go(reader)
            if let_go and not told[far.name]:
                self.fault(f"{far.name}: {let_go} events were let go of, and no record tells it")
            if len(self._dead.get(far.name, ())) != reader.outcomes.get(Outcome.DEAD, 0):
                self.fault(f"{far.name}: {reader.outcomes} but dead letters {self._dead.get(far.name)}")
            delivered = reader.outcomes.get(Outcome.DELIVERED, 0) + reader.outcomes.get(Outcome.DUPLICATE, 0)
            extra = len(far.held) - delivered
            # One whose answer was lost may have come to another end: too old by then, or replaced.
            other = let_go + len(self._dead.get(far.name, ())) + reader.outcomes.get(Outcome.COALESCED, 0)
            if not 0 <= extra <= other:
                self.fault(f"{far.name}: it holds {len(far.held)} different events, the books say {delivered}")
            if len(lost := self._lost(far, let_go)) > let_go:
                self.fault(f"{far.name}: lost {lost[:5]}")
            if not self._work.restores:
                self._every_change(far, let_go)
                self._sums(far, let_go)
            self.faults += [f"{far.name}: {fault}" for fault in far.faults]

    def _own(self) -> list[Event]:
        return [event for far in self._site.fars for event in far.arrived if event.origin == "eventer"]

    def _read_letters(self, directory: Path) -> None:
        connection = sqlite3.connect(f"file:{directory / 'journal.db'}?mode=ro", uri=True)
        try:
            rows = connection.execute("SELECT reader, state, event FROM letter").fetchall()
        finally:
            connection.close()
        self._dead.clear()
        self._parked.clear()
        for reader, state, line in rows:
            if not reader.startswith("intake:"):
                kept = self._dead if state == Outcome.DEAD else self._parked
                kept.setdefault(reader, set()).add(decode_lines([line])[0].id)

    def _due(self, far: FarSide, truth: Truth) -> bool:
        """Whether a far side must have got an object's last state."""
        dropped = any(rule.drop is not None for rule in self._site.rules) and truth.type == "Normal"
        return far.wants(truth.type) and truth.message != BAD and not dropped

    def _lost(self, far: FarSide, let_go: int) -> list[str]:
        """Return what of the objects that exist is not at a far side in its last state."""
        newest: dict[str, Event] = {}
        for event in far.arrived:
            if event.entity not in newest or newest[event.entity].version < event.version:
                newest[event.entity] = event
        lost = []
        for truth in self._work.alive.values():
            if not self._due(far, truth):
                continue
            last = newest.get(truth.uid)
            counted = last is not None and (last.count == truth.count or far.config.repeats.changes)
            if last is not None and counted and last.message == truth.message:
                continue
            if all(id_.split("/")[2] != truth.uid for id_ in self._dead.get(far.name, ())):
                lost.append(f"{truth}: {last and (last.id, last.count, last.message)}")
        if self._site.nodes and not far.config.repeats.changes:
            # What was replaced by a later state, or let go of, is counted; each of these is one event.
            listed = None if self._work.restores or _holds_back(far) or let_go else self._site.api.listed.get(PATH, 0)
            normal = far.wants("Normal") and not self._site.rules
            lost += untold(self._nodes, far.arrived, listed, normal=normal)
        return lost

    def _every_change(self, far: FarSide, let_go: int) -> None:
        """Where no list came after it, each single change must have been delivered."""
        if _holds_back(far) or let_go or self._site.rules:
            return
        listed = self._site.api.listed
        for change in self._work.changes:
            paths = ["/api/v1/events", f"/api/v1/namespaces/{change.namespace}/events"]
            if change.version <= max(listed.get(path, 0) for path in paths) or not far.wants(change.type):
                continue
            id_ = f"{CLUSTER}/0/{change.id_tail}"
            if id_ not in far.held and id_ not in self._dead.get(far.name, ()):
                self.fault(f"{far.name}: the change {id_} was not delivered")

    def _sums(self, far: FarSide, let_go: int) -> None:
        """The deltas of an object add up to its count."""
        if _holds_back(far) or let_go or self._dead.get(far.name):
            return
        sums: Counter[str] = Counter()
        last: dict[str, int] = {}
        seen: set[str] = set()
        for event in far.arrived:
            if event.id not in seen and event.origin == "event":
                seen.add(event.id)
                sums[event.entity] += event.delta or 0
                last[event.entity] = max(event.count, last.get(event.entity, 0))
        wrong = [f"{uid}: {sums[uid]}, not {count}" for uid, count in last.items() if sums[uid] != count]
        if wrong:
            self.fault(f"{far.name}: deltas do not add up: {wrong[:4]}")


def _holds_back(far: FarSide) -> bool:
    repeats = far.config.repeats
    return repeats.changes or repeats.window is not None


def _let_go(reader: ReaderRecord) -> int:
    return reader.outcomes.get(Outcome.EXPIRED, 0) + reader.outcomes.get(Outcome.DROPPED, 0)


async def _lines(journal: Journal) -> dict[int, Event]:
    """Return every event that the log still holds, by offset."""
    cursor = await journal.oldest()
    events: dict[int, Event] = {}
    while cursor < journal.head:
        piece = await journal.read(cursor, 10_000, 1 << 30)
        if piece.lost:
            raise AssertionError("the log has a hole")
        events.update(enumerate(decode_lines(piece.lines), cursor))
        cursor = piece.end
    return events
