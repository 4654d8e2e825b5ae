"""The second log under random alerting, telling, folding, kills and refusals, against a model in memory."""

from __future__ import annotations

import os
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from eventer.errors import DiskRefused
from eventer.event import Outcome, encode_lines
from eventer.journal import AlertingRecord, Letter, ReaderRecord, StreamRecord, log
from eventer.journal.notes import LETTERS
from tests.helpers.journals import KEY, failing, killed, numbered
from tests.helpers.lives import BEFORE, KILLED, Lives

NAMES = ("chat", "mail")
FATES = st.sampled_from(["good"] * 6 + ["fails", *KILLED])
ENDS = (Outcome.DELIVERED, Outcome.FOLDED, Outcome.EXPIRED, Outcome.DROPPED, Outcome.DUPLICATE)


class NotesAgainstModel(Lives, RuleBasedStateMachine):
    def __init__(self) -> None:
        RuleBasedStateMachine.__init__(self)
        Lives.__init__(self, {(log, "TRIM"): 2})
        self.bodies: dict[str, list[bytes]] = {}
        self.states: dict[str, bytes] = {}

    def teardown(self) -> None:
        self.end()

    @rule(n=st.integers(1, 5))
    def append(self, n: int) -> None:
        model = self.model
        before = self.journal.stream(KEY)
        lines = encode_lines(numbered(*range(len(model.lines), len(model.lines) + n)))
        record = StreamRecord(received=before.received + n, appended=before.appended + n)
        model.times += [self.run(self.now()).timestamp()] * n
        self.run(self.journal.append(KEY, record, lines, {}))
        model.streams[KEY] = record
        model.lines += lines

    @rule(name=st.sampled_from(NAMES))
    def begin(self, name: str) -> None:
        start = self.model.alerting[name].origin if name in self.model.alerting else self.journal.head
        assert self.run(self.journal.alerting.begin(name, self.journal.head)).origin == start
        if name not in self.model.alerting:
            self.model.alerting[name] = AlertingRecord(origin=start, cursor=start)
            self.model.notifiers[name] = ReaderRecord(origin=0, cursor=0)
            self.bodies[name] = []

    def settled(self, fate: str, work: Any) -> bool:
        """Settle, and return whether it is on the disk of the life that follows."""

        async def settle() -> None:
            await work()

        if fate == "fails":
            with failing(), pytest.raises(DiskRefused):
                self.run(settle())
            return False
        with self.dying(fate):
            self.run(settle())
        return fate != BEFORE

    @precondition(lambda self: self.model.alerting)
    @rule(data=st.data(), sizes=st.lists(st.integers(0, 2000), max_size=4), state=st.binary(max_size=50), fate=FATES)
    def alert(self, data: st.DataObject, sizes: list[int], state: bytes, fate: str) -> None:
        """Events become represented, unmatched or dropped, or wait; notifications are opened."""
        name = data.draw(st.sampled_from(sorted(self.model.alerting)))
        before = self.model.alerting[name]
        n = data.draw(st.integers(0, self.journal.head - before.cursor))
        waiting = data.draw(st.integers(0, n + before.waiting))
        unmatched = data.draw(st.integers(0, n + before.waiting - waiting))
        known = len(self.bodies[name])
        emit = [f"{name} {number} ".encode() + b"x" * size for number, size in enumerate(sizes, known)]
        record = msgspec.structs.replace(
            before,
            cursor=before.cursor + n,
            waiting=waiting,
            unmatched=before.unmatched + unmatched,
            represented=before.represented + n + before.waiting - waiting - unmatched,
            opened=before.opened + len(emit),
        )
        assert record.balanced
        if self.settled(fate, lambda: self.journal.alerting.settle(name, record, emit, state)):
            self.model.alerting[name] = record
            self.bodies[name] += emit
            self.states[name] = state

    @precondition(lambda self: self.model.alerting)
    @rule(data=st.data(), dead=st.integers(0, 2), fate=FATES)
    def tell(self, data: st.DataObject, dead: int, fate: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.alerting)))
        notes = self.journal.alerting.log(name)
        before = self.model.notifiers[name]
        n = data.draw(st.integers(0, notes.head - before.cursor))
        dead = min(dead, n)
        record = before.moved({data.draw(st.sampled_from(ENDS)): n - dead, Outcome.DEAD: dead})
        letters = [
            Letter(number=before.cursor + i, state=Outcome.DEAD, reason="bad", entity=f"{i}", at=1.0, event=b"{}")
            for i in range(dead)
        ]
        if self.settled(fate, lambda: notes.settle(name, record, letters)):
            self.model.notifiers[name] = record
            place = (LETTERS + name, Outcome.DEAD)
            if dead:
                self.model.letters[place] = self.model.letters.get(place, 0) + dead

    @precondition(lambda self: self.model.alerting)
    @rule(data=st.data(), fate=FATES)
    def fold(self, data: st.DataObject, fate: str) -> None:
        """Several that wait become one that stands for them."""
        name = data.draw(st.sampled_from(sorted(self.model.alerting)))
        notes = self.journal.alerting.log(name)
        before = self.model.notifiers[name]
        waiting = notes.head - before.cursor
        if waiting < 2:
            return
        n = data.draw(st.integers(1, waiting - 1))
        record = before.moved({Outcome.FOLDED: n})
        if self.settled(fate, lambda: notes.settle(name, record, instead=b"several")):
            self.model.notifiers[name] = record
            self.bodies[name][record.cursor] = b"several"

    @precondition(lambda self: self.model.alerting)
    @rule(data=st.data(), count=st.integers(1, 10), size=st.integers(1, 4000))
    def read(self, data: st.DataObject, count: int, size: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.alerting)))
        notes = self.journal.alerting.log(name)
        cursor = data.draw(st.integers(self.model.notifiers[name].cursor, notes.head))
        piece = self.run(notes.read(cursor, count, size))
        assert piece.first == cursor
        assert not piece.lost
        assert piece.lines == self.bodies[name][cursor : piece.end]
        assert bool(piece.lines) == (cursor < notes.head)
        assert len(piece.lines) <= count
        assert len(piece.lines) <= 1 or sum(map(len, piece.lines)) <= size

    @precondition(lambda self: self.model.alerting)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.alerting)))
        self.run(self.journal.alerting.remove(name))
        for known in (self.model.alerting, self.model.notifiers, self.bodies, self.states):
            known.pop(name, None)
        self.model.letters.pop((LETTERS + name, Outcome.DEAD), None)

    @rule()
    def tidy(self) -> None:
        """What alerting has not read stays."""
        self.run(self.journal.tidy())
        oldest = self.run(self.journal.oldest())
        assert oldest <= min((each.cursor for each in self.model.alerting.values()), default=self.journal.head)

    @rule()
    def kill(self) -> None:
        self.live_on_in(killed(self.directory, self.next_directory()))

    @rule()
    def close_and_open_again(self) -> None:
        self.close_journal()
        self.run(self.open_journal())

    @invariant()
    def equal(self) -> None:
        alerting, model = self.journal.alerting, self.model
        assert (alerting.readers, alerting.notifiers) == (model.alerting, model.notifiers)
        assert self.run(self.journal.letters()) == model.letters
        for name in model.alerting:
            assert self.run(alerting.remembered(name)) == self.states.get(name)
        stored = self.run(
            self.journal._on_reader(
                lambda c: c.execute("SELECT name, count(*) FROM notification GROUP BY name").fetchall()
            )
        )
        waiting = {name: each.opened - model.notifiers[name].cursor for name, each in model.alerting.items()}
        assert dict(stored) == {name: n for name, n in waiting.items() if n}


TestNotesAgainstModel = NotesAgainstModel.TestCase
TestNotesAgainstModel.settings = settings(
    max_examples=2000 if os.environ.get("EVENTER_SOAK") else 25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
