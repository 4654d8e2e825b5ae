"""Row Q11: random sequences of operations, restarts, kills and damage against a model in memory, equal at every step."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sqlite3
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from eventer.errors import DiskRefused
from eventer.event import Outcome, encode_lines, own_record, version_of
from eventer.journal import Entry, ReaderRecord, StreamKey, StreamRecord, ledger, log
from eventer.journal.files import FILE
from eventer.journal.journal import FOLD_EVERY
from eventer.journal.records import OWN, ClusterRecord
from tests.helpers.journals import failing, killed, letter, numbered, poisoned
from tests.helpers.lives import AFTER, BEFORE, KILLED, Lives, Model

STREAMS = [StreamKey("prod", "events"), StreamKey("prod", "events/shop"), StreamKey("test", "events")]
READERS = ["archive", "chat", "copy"]


class JournalAgainstModel(Lives, RuleBasedStateMachine):
    def __init__(self) -> None:
        RuleBasedStateMachine.__init__(self)
        sizes = {"CAPACITY": 10, "FOLD_AT": 6, "HELD": 8, "SLICE": 3}
        Lives.__init__(self, {(log, "TRIM"): 2, **{(ledger, name): size for name, size in sizes.items()}})
        self.version = 0
        self.generation: dict[str, int] = {}
        self.shift = 0

    def teardown(self) -> None:
        self.end()

    # -- writing ---------------------------------------------------------------------------------

    @rule(
        data=st.data(),
        key=st.sampled_from(STREAMS),
        entities=st.lists(st.integers(0, 14), max_size=5),
        seen=st.lists(st.integers(0, 14), max_size=3),
        gone=st.lists(st.integers(0, 14), max_size=2),
        poison=st.integers(0, 2),
        moves=st.booleans(),
        fate=st.sampled_from(["good"] * 6 + ["fails", "cancelled", *KILLED]),
    )
    def append(
        self,
        data: st.DataObject,
        key: StreamKey,
        entities: list[int],
        seen: list[int],
        gone: list[int],
        poison: int,
        moves: bool,
        fate: str,
    ) -> None:
        before = self.journal.stream(key)
        cluster = self.model.clusters.get(key.cluster, ClusterRecord())
        # Only a whole list brings a stream into the cluster's epoch, and that is when its position moves.
        epoch = cluster.epoch if moves else before.epoch
        entities, seen, gone = (
            [n for n in numbers if key.cluster == "test" or STREAMS[(n + self.shift) % 2] == key]
            for numbers in (entities, seen, gone)
        )
        changes: dict[str, Entry | None] = {}
        events = []
        for number in entities:
            self.version += 1
            entity = self._entity(number)
            event = numbered(number, entity=entity, version=version_of(cluster.epoch, self.version))
            events += event
            changes[entity] = Entry(event[0].version, number, number * 7)
        for number in seen:
            self.version += 1
            changes[self._entity(number)] = Entry(version_of(cluster.epoch, self.version), number, -number)
        for number in gone:
            changes[self._entity(number)] = None
        record = StreamRecord(
            epoch=epoch,
            position=self.version if moves else before.position,
            high=version_of(cluster.epoch, self.version),
            received=before.received + len(events) + poison,
            poison=before.poison + poison,
            appended=before.appended + len(events),
        )
        lines = encode_lines(events)
        at = self.run(self.now()).timestamp()
        if fate != "good":  # what is to happen to its commit must not happen to that of its fold, which comes before
            self.run(self.journal.ledger.fold(key, self.journal.streams, ledger.HELD))
        with self.dying(fate):
            happened = self.run(self._append(fate, key, record, lines, changes, poisoned(poison, before.poison)))
        # What the ledger must not say again is known even where the change itself was refused.
        for number in gone:
            self.generation[f"uid-{number}"] = self.generation.get(f"uid-{number}", 0) + 1
        if not happened:
            return
        model = self.model
        model.streams[key] = record
        model.lines += lines
        model.times += [at] * len(lines)
        if poison:
            place = (f"intake:{key.cluster}/{key.scope}", Outcome.DEAD)
            model.letters[place] = model.letters.get(place, 0) + poison
        for entity, entry in changes.items():
            if entry is None:
                model.ledger.pop((key.cluster, entity), None)
            else:
                model.ledger[key.cluster, entity] = entry

    def _entity(self, number: int) -> str:
        """A deleted uid never comes back; its name does."""
        return f"uid-{number}.{self.generation.get(f'uid-{number}', 0)}"

    async def _append(self, fate: str, key: StreamKey, record: StreamRecord, lines: Any, *rest: Any) -> bool:
        known = key in self.journal.streams
        work = self.journal.append(key, record, lines, *rest)
        if fate == "good":
            await work
            return True
        if fate in KILLED:
            await work
            if fate == AFTER and not known:
                self.model.streams[key] = StreamRecord()  # killed after the commit that made the stream
            return fate == AFTER and known
        if fate == "fails":
            with failing(), pytest.raises(DiskRefused):
                await work
            return False
        task = asyncio.ensure_future(work)
        await asyncio.sleep(0)  # it is with the writer now, and will not be called back
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await self.journal.set_cluster("sync", ClusterRecord())  # the writer is through with it
        self.model.clusters["sync"] = ClusterRecord()
        if not known and key in self.journal.streams and self.journal.stream(key) == StreamRecord():
            self.model.streams[key] = StreamRecord()  # it was cancelled before its batch was queued
        return self.journal.stream(key) == record and known

    @rule(reason=st.sampled_from(["GapDamaged", "GapBacklog"]))
    def record(self, reason: str) -> None:
        event = own_record(self.run(self.now()), reason, "words")
        self.run(self.journal.record(event))
        self.model.lines += encode_lines([event])
        self.model.times.append(event.time.timestamp())
        before = self.model.streams.get(OWN, StreamRecord())
        self.model.streams[OWN] = msgspec.structs.replace(
            before, received=before.received + 1, appended=before.appended + 1
        )

    @rule(cluster=st.sampled_from(["prod", "test"]))
    def raise_epoch(self, cluster: str) -> None:
        before = self.model.clusters.get(cluster, ClusterRecord())
        record = ClusterRecord(uid="u", epoch=before.epoch + 1)
        self.run(self.journal.set_cluster(cluster, record))
        self.model.clusters[cluster] = record

    # -- readers ---------------------------------------------------------------------------------

    @rule(name=st.sampled_from(READERS), oldest=st.booleans())
    def begin(self, name: str, oldest: bool) -> None:
        if name in self.model.readers:
            return
        start = self.run(self.journal.oldest()) if oldest else self.journal.head
        self._settle(name, ReaderRecord(origin=start, cursor=start))

    @precondition(lambda self: self.model.readers)
    @rule(
        data=st.data(),
        share=st.floats(0, 1),
        dead=st.integers(0, 2),
        state=st.none() | st.binary(max_size=4),
        fate=st.sampled_from(["good"] * 6 + ["fails", *KILLED]),
    )
    def settle(self, data: st.DataObject, share: float, dead: int, state: bytes | None, fate: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.readers)))
        before = self.model.readers[name]
        n = round((self.journal.head - before.cursor) * share)
        dead = min(dead, n)
        outcome = data.draw(st.sampled_from([o for o in Outcome if o not in {Outcome.DEAD, Outcome.PARKED}]))
        after = before.moved({outcome: n - dead, Outcome.DEAD: dead}, state)
        if fate == "fails":
            with failing(), pytest.raises(DiskRefused):
                self._settle(name, after, dead)
            return
        with self.dying(fate):
            self._settle(name, after, dead, happens=fate != BEFORE)

    def _settle(self, name: str, record: ReaderRecord, dead: int = 0, *, happens: bool = True) -> None:
        async def settle() -> None:
            letters = [letter(*numbered(i), number=record.cursor - dead + i) for i in range(dead)]
            await self.journal.settle(name, record, letters)

        self.run(settle())
        if not happens:
            return
        self.model.readers[name] = record
        if dead:
            place = (name, Outcome.DEAD)
            self.model.letters[place] = self.model.letters.get(place, 0) + dead

    @precondition(lambda self: self.model.readers)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.readers)))
        self.run(self.journal.remove_reader(name))
        del self.model.readers[name]
        self.model.letters.pop((name, Outcome.DEAD), None)

    @rule(data=st.data(), count=st.integers(1, 12), size=st.integers(1, 3000))
    def read(self, data: st.DataObject, count: int, size: int) -> None:
        head = len(self.model.lines)
        first = min((reader.cursor for reader in self.model.readers.values()), default=head)
        cursor = data.draw(st.integers(first, head))
        journal = self.journal
        piece = self.run(journal.read(cursor, count, size))
        assert piece.first == cursor
        assert piece.lines == self.model.lines[cursor : cursor + len(piece.lines)]
        assert not piece.lost and sum(n for n, _ in piece.rows) == len(piece.lines) <= count
        assert bool(piece.lines) == (cursor < head)
        assert len(piece.lines) <= 1 or sum(map(len, piece.lines)) <= size
        if cursor < head:
            disk = self.run(
                journal._on_reader(lambda c: log.read(c, journal._state.dictionary, cursor, head, count, size))
            )
            assert disk.lines == self.model.lines[cursor : disk.end] != []
            assert [at for _, at in disk.rows] == [at for _, at in piece.rows][: len(disk.rows)]

    # -- the ledger ------------------------------------------------------------------------------

    @rule(key=st.sampled_from(STREAMS))
    def look_up(self, key: StreamKey) -> None:
        entities = sorted(
            {f"uid-{i}.{g}" for i in range(15) for g in range(self.generation.get(f"uid-{i}", 0) + 1)} | {"strange"}
        )
        found = self.run(self.journal.ledger.look_up(key, entities))
        ledger_ = self.journal.ledger
        for entity in entities:
            wanted, entry = self.model.ledger.get((key.cluster, entity)), found.get(entity)
            if entry is None and wanted is not None:
                # Forgotten on purpose: then it lies under the mark of the stream that had it.
                low = max(ledger_.low(other) for other in STREAMS if other.cluster == key.cluster)
                assert wanted.version <= low
            else:
                assert entry == wanted

    @rule(long=st.booleans())
    def tidy(self, long: bool) -> None:
        async def tidy() -> None:
            if long:
                await asyncio.sleep(FOLD_EVERY)
            await self.journal.tidy()

        self.run(tidy())
        oldest = self.run(self.journal.oldest())
        first = min((reader.cursor for reader in self.model.readers.values()), default=len(self.model.lines))
        assert oldest <= first
        kept = sum(n for (n,) in self.run(self.journal._on_reader(lambda c: c.execute("SELECT n FROM log").fetchall())))
        assert kept == len(self.model.lines) - oldest
        stored = self.run(
            self.journal._on_reader(lambda c: c.execute("SELECT coalesce(sum(length(body)), 0) FROM log").fetchone()[0])
        )
        assert self.journal.backlog == stored
        for key in self.journal.streams:
            assert self.journal.ledger.unfolded(key) < ledger.FOLD_AT

    @precondition(lambda self: self.model.readers)
    @rule(cap=st.integers(0, 4000))
    def shed(self, cap: int) -> None:
        """The cap is reached: readers behind the offset that is named let go of what lies before it."""
        self.journal._house._max_size = cap
        self.run(self.journal.tidy())
        self.journal._house._max_size = 1 << 30
        query = "SELECT first + n, length(body) FROM log ORDER BY first"
        rows = self.run(self.journal._on_reader(lambda c: c.execute(query).fetchall()))
        excess = sum(size for _, size in rows) - cap
        ends = [end for end, _ in rows]
        left = [excess + cap // 10 - freed for freed in itertools.accumulate(size for _, size in rows)]
        wanted = next((end for end, more in zip(ends, left, strict=True) if more <= 0), ends[-1] if ends else 0)
        assert self.journal.shed_to == (wanted if excess > 0 else 0)
        for name, reader in sorted(self.model.readers.items()):
            if reader.cursor < self.journal.shed_to:
                self._settle(name, reader.moved({Outcome.DROPPED: self.journal.shed_to - reader.cursor}))

    @precondition(lambda self: self.model.readers)
    @rule(data=st.data(), limit=st.integers(0, 100), wait=st.sampled_from([0.0, 1.0, 3600.0]))
    def expire(self, data: st.DataObject, limit: int, wait: float) -> None:
        """What was appended too long ago is let go of by one reader; the rows say when that was."""
        name = data.draw(st.sampled_from(sorted(self.model.readers)))
        reader = self.model.readers[name]
        self.run(asyncio.sleep(wait))
        piece = self.run(self.journal.read(reader.cursor, 20, 1 << 20))
        times = [at for n, at in piece.rows for _ in range(n)]
        assert times == self.model.times[reader.cursor : piece.end]
        before = self.run(self.now()).timestamp() - limit
        self._settle(name, reader.moved({Outcome.EXPIRED: sum(at < before for at in times)}))

    # -- ends ------------------------------------------------------------------------------------

    @rule()
    def damage_what_is_not_folded(self) -> None:
        """The ledger's last changes are unreadable: then nothing may be taken for seen, so all begins anew."""
        self.close_journal()
        with contextlib.closing(sqlite3.connect(self.directory / FILE, isolation_level=None)) as connection:
            damaged = connection.execute("UPDATE delta SET facts = substr(facts, 2)").rowcount > 0
        if damaged:
            self.model = Model()
        self.run(self.open_journal(damaged=damaged))

    @rule(other_configuration=st.booleans())
    def close_and_open_again(self, other_configuration: bool) -> None:
        self.shift += other_configuration  # some namespaces are read by another stream of their cluster now
        self.close_journal()
        self.run(self.open_journal())

    @rule(other_configuration=st.booleans())
    def kill(self, other_configuration: bool) -> None:
        self.shift += other_configuration
        self.live_on_in(killed(self.directory, self.next_directory()))

    @invariant()
    def equal(self) -> None:
        journal, model = self.journal, self.model
        assert journal.head == len(model.lines)
        assert journal.streams == model.streams
        assert journal.readers == model.readers
        assert journal._state.clusters == model.clusters
        assert self.run(journal.letters()) == model.letters
        for key, record in journal.streams.items():
            assert record.position is None or journal.ledger.low(key) <= version_of(record.epoch, record.position)
        assert not journal.damaged.is_set()


TestJournalAgainstModel = JournalAgainstModel.TestCase
TestJournalAgainstModel.settings = settings(
    max_examples=3000 if os.environ.get("EVENTER_SOAK") else 30,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
