"""What counts as settled: never less than before, never more than is true. On a bare journal, with a sheet of paper."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from eventer.errors import DiskRefused, Refused
from eventer.event import Outcome
from eventer.journal import Journal, Letter, ReaderRecord, StreamKey
from eventer.journal.records import ClusterRecord
from eventer.mirror import Mirror
from tests.helpers.journals import KEY, append, failing, numbered, opened
from tests.helpers.virtual import LoopClock, in_virtual_time


class Paper:
    """A store in memory."""

    shown = "mon/paper"

    def __init__(self) -> None:
        self.text: str | None = None
        self.version = 1

    async def read(self) -> tuple[str | None, str]:
        return self.text, str(self.version)

    async def write(self, text: str, version: str) -> str:
        if version != str(self.version):
            raise Refused(409, "the object has been modified")
        self.text = text
        self.version += 1
        return str(self.version)

    def positions(self, key: StreamKey = KEY) -> dict[str, int]:
        streams = json.loads(self.text or "{}").get("streams", [])
        found = [each["sinks"] for each in streams if (each["cluster"], each["scope"]) == key]
        return {name: reached["position"] for each in found for name, reached in each.items()}


async def reach(journal: Journal, position: int, *numbers: int, key: StreamKey = KEY) -> None:
    """Append events and move a stream there."""
    if numbers:
        await append(journal, numbered(*numbers), key)
    record = msgspec.structs.replace(journal.stream(key), position=position, contact=1.0)
    await journal.append(key, record, [], {})


def parked(number: int) -> Letter:
    (event,) = numbered(number)
    line = msgspec.json.encode(event)
    return Letter(number=number, state=Outcome.PARKED, reason="waits", entity=event.entity, at=1.0, event=line)


def record(cursor: int, **outcomes: int) -> ReaderRecord:
    return ReaderRecord(origin=0, cursor=cursor, outcomes={Outcome(name): n for name, n in outcomes.items()})


@in_virtual_time
async def test_a_sink_is_as_far_as_everything_below_its_cursor_and_what_is_parked(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        paper = Paper()
        mirror = Mirror(paper, journal, LoopClock())
        await journal.set_cluster("prod", ClusterRecord(uid="u"))
        for name in ("fast", "slow", "stuck"):
            await journal.settle(name, record(0))
        for n in range(1, 5):
            await reach(journal, 100 * n, n)
            await mirror.round()
        await journal.settle("fast", record(4, delivered=4))
        await journal.settle("slow", record(2, delivered=2))
        await journal.settle("stuck", record(4, delivered=3, parked=1), [parked(1)])
        await mirror.round()
        assert paper.positions() == {"fast": 400, "slow": 200, "stuck": 100}


@in_virtual_time
async def test_a_dead_letter_that_is_tried_again_takes_nothing_back(tmp_path: Path) -> None:
    """It was dead when the position passed it: lost with its pod either way, which the number of dead ones tells."""
    async with opened(tmp_path) as journal:
        paper = Paper()
        mirror = Mirror(paper, journal, LoopClock())
        await journal.set_cluster("prod", ClusterRecord(uid="u"))
        dead = msgspec.structs.replace(parked(0), state=Outcome.DEAD)
        await journal.settle("out", record(0))
        await reach(journal, 100, 1, 2)
        await journal.settle("out", record(2, delivered=1, dead=1), [dead])
        await mirror.round()
        assert json.loads(paper.text or "")["sinks"] == {"out": 1}
        await journal.settle("out", record(2, delivered=1, parked=1), [parked(0)])
        await reach(journal, 200, 3)
        await mirror.round()
        assert paper.positions() == {"out": 100}


@in_virtual_time
async def test_streams_are_settled_each_in_its_own_cluster(tmp_path: Path) -> None:
    other = StreamKey("other", "events")
    async with opened(tmp_path) as journal:
        paper = Paper()
        mirror = Mirror(paper, journal, LoopClock())
        await journal.set_cluster("prod", ClusterRecord(uid="u"))
        await journal.set_cluster("other", ClusterRecord(uid="v", epoch=2))
        await journal.settle("out", record(0))
        await reach(journal, 100, 1)
        await mirror.round()
        await reach(journal, 7, 2, key=other)
        await mirror.round()
        await journal.settle("out", record(1, delivered=1))
        await mirror.round()
        assert (paper.positions(), paper.positions(other)) == ({"out": 100}, {})
        await journal.settle("out", record(2, delivered=2))
        await mirror.round()
        assert (paper.positions(), paper.positions(other)) == ({"out": 100}, {"out": 7})


@in_virtual_time
async def test_a_sink_that_is_gone_is_gone_from_the_mirror(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        paper = Paper()
        mirror = Mirror(paper, journal, LoopClock())
        await journal.set_cluster("prod", ClusterRecord(uid="u"))
        for name in ("stays", "goes"):
            await journal.settle(name, record(0))
        await reach(journal, 100)
        await mirror.round()
        assert paper.positions() == {"stays": 100, "goes": 100}
        await journal.remove_reader("goes")
        await mirror.round()
        assert paper.positions() == {"stays": 100}


@pytest.mark.parametrize("before", [True, False])
@in_virtual_time
async def test_a_mirror_is_taken_over_whole_or_not_at_all(tmp_path: Path, *, before: bool) -> None:
    """Killed before that commit, the next start reads the mirror again; after it, the journal knows."""
    paper = Paper()
    async with opened(tmp_path / "old") as journal:
        await journal.set_cluster("prod", ClusterRecord(uid="u", epoch=1))
        await journal.settle("out", record(0))
        await append(journal, numbered(1, 2))
        await journal.settle("out", record(2, delivered=2))
        stream = msgspec.structs.replace(journal.stream(KEY), position=100, epoch=1, contact=5.0)
        await journal.append(KEY, stream, [], {})
        await Mirror(paper, journal, LoopClock()).round()
    async with opened(tmp_path / "new") as journal:
        mirror = Mirror(paper, journal, LoopClock())
        if before:
            with failing(), pytest.raises(DiskRefused):
                await mirror.resume({"out": True}, [("prod", "events")])
            assert (dict(journal.streams), dict(journal.readers)) == ({}, {})
        else:
            assert await mirror.resume({"out": True}, [("prod", "events")])
    async with opened(tmp_path / "new") as journal:
        assert bool(journal.streams) is not before
        assert await Mirror(paper, journal, LoopClock()).resume({"out": True}, [("prod", "events")])
        taken = journal.stream(KEY)
        assert (taken.position, taken.epoch, taken.contact, taken.received) == (100, 1, 5.0, 0)
        assert journal.cluster("prod") == ClusterRecord(uid="u", epoch=1)
        resumed = journal.readers["out"].resumed
        assert resumed is not None
        assert journal.ledger.low(KEY) == resumed.versions["prod"]["events"] == (1 << 48) + 100
