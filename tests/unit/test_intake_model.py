"""Intake under any sequence of arrivals, refusals of the disk, restarts and kills: nothing is lost and nothing doubled.

The small cluster here makes what a source would bring (each in the order of the API), and goes back
to the committed position after each failure, as the stream does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections import defaultdict
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from eventer.config.types import FilterRule
from eventer.errors import JournalError
from eventer.event import Arrivals, Event, decode_lines, version_of
from eventer.intake import Intake
from eventer.journal import Journal, ReaderRecord, ledger
from eventer.journal.journal import FOLD_EVERY
from eventer.match import Rule
from tests.helpers.journals import KEY, balanced, count_threads, everything, failing, killed
from tests.helpers.sinks import make_event
from tests.helpers.virtual import LoopClock, VirtualLoop

RULES = [FilterRule(drop=Rule.parse({"reason": "Noise"}))]


class Thing(msgspec.Struct, frozen=True):
    """One Event object of the API server."""

    uid: str
    version: int
    count: int = 1
    text: str = "as it began"

    @property
    def noise(self) -> bool:
        return self.uid.endswith(("0", "5"))

    def event(self, epoch: int) -> Event:
        return make_event(
            0,
            id=f"prod/{epoch}/{self.uid}/{self.version}",
            entity=self.uid,
            version=version_of(epoch, self.version),
            count=self.count,
            message=self.text,
            reason="Noise" if self.noise else "BackOff",
        )


class ApiServer:
    """Objects, and the history of changes since the last compaction."""

    def __init__(self) -> None:
        self.version = 10
        self.things: dict[str, Thing] = {}
        self.history: list[tuple[str, Thing]] = []
        self.compacted = 0
        self.made = 0
        self.backup: tuple[int, dict[str, Thing]] = (self.version, {})

    def write(self, kind: str, which: int) -> None:
        self.version += 1
        if kind == "ADDED" or not self.things:
            self.made += 1
            thing = Thing(f"uid-{self.made}", self.version)
            self._log("ADDED", thing)
            return
        thing = sorted(self.things.values(), key=lambda thing: thing.uid)[which % len(self.things)]
        if kind == "COUNTED":
            thing = msgspec.structs.replace(thing, version=self.version, count=thing.count + 1 + which % 3)
        elif kind == "TOUCHED":  # labels or managed fields: nothing that an event says
            thing = msgspec.structs.replace(thing, version=self.version)
        elif kind == "REWORDED":
            thing = msgspec.structs.replace(thing, version=self.version, text=f"said at {self.version}")
        else:
            self._log("DELETED", msgspec.structs.replace(thing, version=self.version))
            return
        self._log("MODIFIED", thing)

    def _log(self, type_: str, thing: Thing) -> None:
        if type_ == "DELETED":
            del self.things[thing.uid]
        else:
            self.things[thing.uid] = thing
        self.history.append((type_, thing))

    def compact(self) -> None:
        self.compacted = self.version
        self.history.clear()

    def restore(self) -> None:
        self.version, things = self.backup
        self.things = dict(things)
        self.compact()


class Life:
    """One state directory, from start to start, and the source that feeds it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = LoopClock()
        self.api = ApiServer()
        self.lives = 0
        self.directory = root / "0"
        self.must_list = True
        self.at = 0
        self.rolled_back = False
        self.refusals = 0
        self.open = contextlib.ExitStack()
        self.patch = pytest.MonkeyPatch()

    async def start(self) -> None:
        self.journal = self.open.enter_context(Journal.open(self.directory, max_size=1 << 30, clock=self.clock))
        assert self.journal.quarantined is None
        count_threads(self.journal)
        if "all" not in self.journal.readers:  # a reader that never moves: the log is kept for us to look at
            await self.journal.settle("all", ReaderRecord(origin=0, cursor=0))
        self.intake = Intake(self.journal, KEY, RULES, self.clock)
        self.task = asyncio.create_task(self.intake.run())
        self.go_back()

    async def stop(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task
        await self.journal.close()
        self.open.close()

    def go_back(self) -> None:
        position = self.intake.position
        self.must_list = self.must_list or position is None
        self.at = position or 0

    async def do(self, op: str, a: int, b: int) -> None:
        try:
            with failing(times=1) if op == "fail" else contextlib.nullcontext():
                await self._do(op, a, b)
        except JournalError:
            self.refusals += 1
            self.go_back()

    async def _do(self, op: str, a: int, b: int) -> None:
        if op == "write":
            kinds = ["ADDED", "ADDED", "COUNTED", "COUNTED", "TOUCHED", "REWORDED", "DELETED"]
            self.api.write(kinds[a % len(kinds)], b)
        elif op in {"watch", "fail"}:
            await self.read(1 + a % 5, poison=b % 3 if b > 40 else 0)
            if op == "fail":
                await self.intake.flush()
        elif op == "list":
            self.must_list = True
            await self.read(1 + a % 4)
        elif op == "compact":
            self.api.compact()
        elif op == "backup":
            self.api.backup = (self.api.version, dict(self.api.things))
        elif op == "restore" and self.api.version > self.api.backup[0]:
            self.api.restore()
            self.rolled_back = True
            await self.intake.raise_epoch()
            self.must_list = True
        elif op == "pause":
            await asyncio.sleep([0.001, 0.02, 2.0, 40.0][a % 4])
        elif op == "tidy":
            await asyncio.sleep(FOLD_EVERY)
            await self.journal.tidy()
        elif op == "flush":
            await self.intake.flush()
        elif op == "restart":
            with contextlib.suppress(JournalError):
                await self.intake.flush()
            await self.stop()
            await self.start()
        elif op == "kill":
            self.lives += 1
            directory = killed(self.directory, self.root / f"{self.lives}")
            await self.stop()
            self.directory = directory
            await self.start()

    async def read(self, n: int, poison: int = 0) -> None:
        intake, api = self.intake, self.api
        if self.must_list or self.at < api.compacted:
            self.must_list = True
            things = sorted(api.things.values(), key=lambda thing: thing.uid[::-1])  # not in order of version
            pages = [things[i : i + n] for i in range(0, len(things), n)] or [[]]
            for number, page in enumerate(pages):
                last = number == len(pages) - 1
                events = [thing.event(intake.epoch) for thing in page]
                position = api.version if last else None
                arrivals = Arrivals(events=events, added=[False] * len(events), listed=True, position=position, size=9)
                arrivals.epoch = intake.epoch
                await intake.take(arrivals)
            await intake.flush()
            self.must_list, self.at = False, api.version
            return
        block = [(type_, thing) for type_, thing in api.history if thing.version > self.at][:n]
        alive = [(type_, thing) for type_, thing in block if type_ != "DELETED"]
        await intake.take(
            Arrivals(
                events=[thing.event(intake.epoch) for _, thing in alive],
                added=[type_ == "ADDED" for type_, _ in alive],
                gone=[thing.uid for type_, thing in block if type_ == "DELETED"],
                poison=[b"{nonsense"] * poison,
                position=block[-1][1].version if block else None,
                size=100 * len(block),
            )
        )
        self.at = block[-1][1].version if block else self.at

    async def catch_up(self) -> None:
        """What a healthy source brings in the end."""
        for _ in range(1000):
            with contextlib.suppress(JournalError):
                await self.read(5)
                await self.intake.flush()
                if self.intake.position == self.api.version and not self.must_list:
                    return
            self.go_back()
        raise AssertionError("it never caught up")


OPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["write"] * 8
            + ["watch"] * 5
            + [
                "fail",
                "fail",
                "list",
                "compact",
                "backup",
                "restore",
                "pause",
                "pause",
                "tidy",
                "tidy",
                "flush",
                "restart",
            ]
            + ["kill"]
        ),
        st.integers(0, 50),
        st.integers(0, 50),
    ),
    min_size=10,
    max_size=80,
)


@given(ops=OPS, capacity=st.sampled_from([3, 10**6]), before=st.sampled_from([0, 12]))
@settings(
    max_examples=3000 if os.environ.get("EVENTER_SOAK") else 40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_nothing_is_lost_and_nothing_doubled(ops: list[tuple[str, int, int]], capacity: int, before: int) -> None:
    with (
        tempfile.TemporaryDirectory() as root,
        pytest.MonkeyPatch.context() as patch,
        asyncio.Runner(loop_factory=VirtualLoop) as runner,
    ):
        patch.setattr(ledger, "CAPACITY", capacity)
        patch.setattr(ledger, "FOLD_AT", 3)
        patch.setattr(ledger, "HELD", 4)
        patch.setattr(ledger, "SLICE", 2)
        runner.run(_live(Life(Path(root)), ops, before))


async def _live(life: Life, ops: list[tuple[str, int, int]], before: int) -> None:
    for _ in range(before):
        life.api.write("ADDED", 0)
    await life.start()
    for op in ops:
        await life.do(*op)
    await life.catch_up()
    events = decode_lines(await everything(life.journal))
    low = life.journal.ledger.low(KEY)
    record = life.journal.stream(KEY)
    assert record.received == record.poison + record.seen + record.filtered + record.appended
    assert record.appended == len(events) == life.journal.head
    assert record.position == life.api.version
    await life.stop()
    balanced(life.directory)
    _check(life, events, low)
    event(f"refusals: {min(life.refusals, 3)}, rolled back: {life.rolled_back}, evicted: {low > 0}")


def _check(life: Life, events: list[Event], low: int) -> None:
    ids = [each.id for each in events]
    assert len(ids) == len(set(ids))
    of: dict[str, list[Event]] = defaultdict(list)
    for each in events:
        of[each.entity].append(each)
    for thing in life.api.things.values():
        if thing.noise:
            assert thing.uid not in of
            continue
        last = of[thing.uid][-1]
        assert (last.count, last.message) == (thing.count, thing.text)
    for uid, states in of.items():
        versions = [each.version for each in states]
        assert versions == sorted(set(versions))
        assert all(each.delta is None or each.delta >= 0 for each in states)
        contents = [(each.count, each.message) for each in states]
        if not life.rolled_back and not low:  # what was evicted has no past, and so no content to compare with
            assert len(contents) == len(set(contents)), f"{uid} was exported again for its metadata"
            assert sum(each.delta or 0 for each in states) == states[-1].count
            assert all(each.delta is not None for each in states)
