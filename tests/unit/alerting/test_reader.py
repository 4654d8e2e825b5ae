"""Alerting as a reader of the journal: what it is given, when it stores, and what it does on a bad day."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from eventer import failpoint
from eventer.alerting.notification import Why, decode
from eventer.alerting.plan import GROUPS, plan_of
from eventer.alerting.reader import AlertReader
from eventer.alerting.silences import Silences
from eventer.alerting.terms import Timing
from eventer.config.inhibition import Inhibit
from eventer.event import Event, decode_lines, encode_lines
from eventer.journal import Journal
from eventer.journal.files import FILE
from eventer.sink import Batch, GroupConfig
from eventer.values import Duration
from tests.helpers.alerting import START, Words, pod
from tests.helpers.journals import append, balanced, failing, killed, opened
from tests.helpers.memory_notifier import MemoryNotifier, notifier, notifying
from tests.helpers.virtual import LoopClock, in_virtual_time


class Lookup:
    """Looks up who owns what, and notes of which objects."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.counted = 0

    async def __call__(self, batch: Batch) -> Batch:
        self.asked += [event.name for event in batch.events]
        return Batch(encode_lines([msgspec.structs.replace(event, message="looked up") for event in batch.events]))

    def count(self, batch: Batch) -> None:
        self.counted += len(batch)


@contextlib.asynccontextmanager
async def reading(journal: Journal, *, words: Any = None, enrich: Any = None, **group: Any) -> AsyncIterator[None]:
    config = notifier(**group)
    parts = (journal, words or Words(), journal._clock)
    reader = AlertReader("chat", config, config.group, *parts, inhibit=Inhibit(), silences=Silences(), enrich=enrich)
    await reader.begin()
    task = asyncio.create_task(reader.run())
    try:
        yield
    finally:
        reader.stop()
        async with asyncio.timeout(100):
            await task


async def made(journal: Journal, n: int) -> list[Any]:
    """Return the notifications as soon as there are so many."""
    notes = journal.alerting.log("chat")
    async with asyncio.timeout(100_000):
        await notes.grown(n - 1)
    return [decode(line) for line in (await notes.read(0, 100, 1 << 20)).lines]


def now(journal: Journal) -> float:
    return journal.now - START


@in_virtual_time
async def test_g1_a_burst_within_the_wait_of_its_group_is_one_message(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal, reading(journal, wait=30):
        await append(journal, [pod("BackOff", now(journal))])
        await asyncio.sleep(29)
        assert journal.alerting.readers["chat"].opened == 0
        await append(journal, [pod("BackOff", now(journal), name="db")])
        await asyncio.sleep(1.5)
        (note,) = await made(journal, 1)
        assert (note.events, note.firing) == (2, 2)
    balanced(tmp_path)


@pytest.mark.parametrize("place", ["alerting.settle", "journal.commit", "journal.committed"])
@in_virtual_time
async def test_g4_killed_between_the_wait_and_the_message_it_is_told_once(place: str, tmp_path: Path) -> None:
    clock = LoopClock()
    async with opened(tmp_path / "a", clock) as journal:
        await journal.alerting.begin("chat", 0)
        await append(journal, [pod("BackOff", now(journal))])
        async with reading(journal, wait=30):
            await asyncio.sleep(20)  # taken and stored, not told
            with killing(place, tmp_path / "a", tmp_path / "b"):
                await made(journal, 1)
    sink = MemoryNotifier()
    async with opened(tmp_path / "b", clock) as journal, notifying(journal, sink, notifier(wait=30)):
        while not sink.told:
            await asyncio.sleep(0.1)
        await append(journal, [pod("BackOff", now(journal))])  # the same problem goes on
        await asyncio.sleep(60)
        assert [note.events for note in sink.told] == [1]
        record = journal.alerting.readers["chat"]
        assert (record.opened, record.represented, record.waiting) == (1, 1, 1)
    balanced(tmp_path / "b")


@in_virtual_time
async def test_g8_killed_within_the_time_in_which_it_is_not_told_again(tmp_path: Path) -> None:
    clock = LoopClock()
    first, second = MemoryNotifier(), MemoryNotifier()
    config = notifier(wait=0, repeat=3600)
    async with opened(tmp_path / "a", clock) as journal, notifying(journal, first, config, stop=False):
        await append(journal, [pod("BackOff", now(journal))])
        await asyncio.sleep(5)
        killed(tmp_path / "a", tmp_path / "b")
    async with opened(tmp_path / "b", clock) as journal, notifying(journal, second, notifier(wait=0, repeat=3600)):
        for _ in range(110):
            await append(journal, [pod("BackOff", now(journal))])
            await asyncio.sleep(30)
        assert second.told == []
        await asyncio.sleep(600)
    assert len(first.told) == 1
    assert [(note.why, note.events) for note in second.told] == [(Why.REPEAT, 110)]
    balanced(tmp_path / "b")


@in_virtual_time
async def test_g7_100000_distinct_groups_are_all_counted_and_cost_no_memory(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal, reading(journal, wait=5, by=["name"]):
        for begin in range(0, 100_000, 2_000):
            names = range(begin, begin + 2_000)
            await append(journal, [pod("BackOff", now(journal), name=f"p{number}") for number in names])
        while journal.alerting.readers["chat"].represented < 100_000:
            await asyncio.sleep(1)
        record = journal.alerting.readers["chat"]
        assert (record.waiting, record.unmatched) == (0, 0)
        assert record.opened <= GROUPS + 10
        assert len(await journal.alerting.remembered("chat") or b"") < 8 << 20
    balanced(tmp_path)


@contextlib.contextmanager
def killing(place: str, directory: Path, copy: Path) -> Iterator[None]:
    """At the first pass of a place, take what kill -9 leaves there."""

    def hit(name: str) -> None:
        if name == place and not copy.exists():
            killed(directory, copy)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(failpoint, "hit", hit)
        yield


@in_virtual_time
async def test_what_tells_nothing_is_stored_within_a_second_or_so(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal, reading(journal):
        await append(journal, [pod("Started", now(journal))])
        await asyncio.sleep(2)
        record = journal.alerting.readers["chat"]
        assert (record.cursor, record.unmatched) == (1, 1)


@in_virtual_time
async def test_quiet_costs_no_commits(tmp_path: Path) -> None:
    commits = 0
    async with opened(tmp_path) as journal, reading(journal):
        await append(journal, [pod("Started", now(journal))])
        await asyncio.sleep(10)
        submit = journal._writer.submit

        def counted(operation: Any, then: Any = None) -> Any:
            nonlocal commits
            commits += 1
            return submit(operation, then)

        journal._writer.submit = counted  # type: ignore[method-assign]
        await asyncio.sleep(10_000)
        assert commits == 0


@in_virtual_time
async def test_events_that_are_damaged_are_counted(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        async with reading(journal):
            pass
        for number in range(3):
            await append(journal, [pod("BackOff", now(journal), name=f"p{number}")])
    with contextlib.closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as connection:
        connection.execute("UPDATE log SET crc = crc + 1 WHERE first = 1")
    async with opened(tmp_path) as journal, reading(journal):
        notes = await made(journal, 2)
        assert sum(note.events for note in notes) == 3  # the two that are left, and what tells of the third
        assert journal.alerting.readers["chat"].dropped == 1
    balanced(tmp_path)


@in_virtual_time
async def test_what_the_journal_has_no_room_for_is_let_go_of_and_told(tmp_path: Path) -> None:
    with capture_logs():
        async with opened(tmp_path) as journal:
            await journal.alerting.begin("chat", 0)
            await append(journal, [pod("BackOff", now(journal), name=f"p{number}") for number in range(4)])
            journal._house.shed_to = 3
            async with reading(journal, wait=0):
                notes = await made(journal, 2)
            assert sum(note.events for note in notes) == 2  # the last one, and what tells of the others
            assert journal.alerting.readers["chat"].dropped == 3
            (told,) = decode_lines((await journal.read(4, 10, 10_000)).lines)
            assert told.message == "Alerting for chat was too far behind: 3 events dropped (over state.max_size)."
    balanced(tmp_path)


@in_virtual_time
async def test_while_the_disk_refuses_nothing_is_told_and_then_all_of_it_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal, reading(journal, wait=5):
        await append(journal, [pod("BackOff", now(journal))])
        with failing():
            await asyncio.sleep(60)
            assert journal.alerting.readers["chat"].opened == 0
        (note,) = await made(journal, 1)
        assert note.events == 1
        await asyncio.sleep(100)
        assert journal.alerting.readers["chat"].opened == 1
    balanced(tmp_path)


class Stumbling(Words):
    """Fails at one reason."""

    def meaning(self, event: Event) -> Any:
        if event.reason == "Odd":
            raise ZeroDivisionError
        return super().meaning(event)


@in_virtual_time
async def test_an_event_at_which_alerting_fails_is_let_go_of_and_told(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with opened(tmp_path) as journal, reading(journal, words=Stumbling(), wait=0):
            events = [pod("BackOff", now(journal), name=f"p{n}", namespace=f"n{n}") for n in range(5)]
            events[2].reason = "Odd"
            await append(journal, events)
            notes = await made(journal, 5)
            record = journal.alerting.readers["chat"]
            assert (record.dropped, sum(note.events for note in notes)) == (1, 5)
            (told,) = decode_lines((await journal.read(5, 10, 10_000)).lines)
            assert told.reason == "GapAlerting"
    assert [each["event"] for each in logs] == ["unexpected error in alerting; this is a bug"]
    balanced(tmp_path)


@in_virtual_time
async def test_only_what_may_begin_a_problem_is_looked_up(tmp_path: Path) -> None:
    look_up = Lookup()
    async with opened(tmp_path) as journal, reading(journal, enrich=look_up, wait=0):
        await append(journal, [pod("Started", now(journal), name="calm"), pod("BackOff", now(journal), name="bad")])
        (note,) = await made(journal, 1)
    assert look_up.asked == ["bad"]
    assert look_up.counted == 1
    assert note.items[0].message == "looked up"


@in_virtual_time
async def test_where_there_is_very_much_to_remember_it_is_stored_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventer.alerting.reader.SLOW", 1_000)
    stored: list[float] = []

    def hit(name: str) -> None:
        if name == "alerting.settle":
            stored.append(asyncio.get_running_loop().time())

    async with opened(tmp_path) as journal, reading(journal, wait=0, by=["name"]):
        monkeypatch.setattr(failpoint, "hit", hit)
        for number in range(60):
            await append(journal, [pod("BackOff", now(journal), name=f"p{number}")])
            await asyncio.sleep(1)
        notes = await made(journal, 60)
        assert [note.events for note in notes] == [1] * 60
        assert max(b - a for a, b in itertools.pairwise(stored)) > 5
    balanced(tmp_path)


def test_the_times_are_those_of_the_configuration() -> None:
    group = GroupConfig(wait=Duration(1), interval=Duration(2), repeat=Duration(3), resolve_after=Duration(4))
    assert plan_of(group, Inhibit(), Silences()).timing == Timing(wait=1, interval=2, repeat=3, quiet=4)
    assert plan_of(GroupConfig(), Inhibit(), Silences()).timing == Timing()
