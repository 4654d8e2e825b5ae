"""Row G5 in a notifier's alerting: kept quiet while a silence lasts, told as soon as it is over or ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from eventer.alerting.notification import Notification, Why, decode
from eventer.alerting.reader import AlertReader
from eventer.alerting.silences import Silence, Silences
from eventer.catalog.catalog import Catalog
from eventer.config.inhibition import Inhibit
from eventer.journal import Journal
from eventer.match import Rule
from tests.helpers.alerting import pod
from tests.helpers.journals import append, opened
from tests.helpers.memory_notifier import notifier
from tests.helpers.virtual import in_virtual_time


@contextlib.asynccontextmanager
async def alerting(journal: Journal, silences: Silences) -> AsyncIterator[None]:
    config = notifier(wait=0, interval=60)
    reader = AlertReader(
        "chat", config, config.group, journal, Catalog(), journal._clock, inhibit=Inhibit(), silences=silences
    )
    await reader.begin()
    task = asyncio.create_task(reader.run())
    try:
        yield
    finally:
        reader.stop()
        await task


def now_of(journal: Journal) -> float:
    return journal._clock.now().timestamp()


def silence(journal: Journal, begins: float, lasts: float, name: str = "works") -> Silence:
    begins += now_of(journal)
    rules = (Rule.parse({"namespace": "shop"}),)
    return Silence(name=name, rules=rules, owner="ann", reason="x", begins=begins, ends=begins + lasts)


async def notes(journal: Journal) -> list[Notification]:
    log = journal.alerting.log("chat")
    return [decode(line) for line in (await log.read(0, 100, 1 << 20)).lines]


async def muted(journal: Journal) -> int:
    return journal.alerting.readers["chat"].suppressed


@in_virtual_time
async def test_g5_it_is_told_at_the_moment_at_which_the_silence_ends(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        silences = Silences()
        made = silence(journal, 0, 1_000)
        silences.replace([made])
        async with alerting(journal, silences):
            await append(journal, [pod("BackOff", 0), pod("BackOff", 0, name="web")])
            await asyncio.sleep(990)
            assert await notes(journal) == []
            assert await muted(journal) == 2
            await asyncio.sleep(100)
            (note,) = await notes(journal)
        assert made.ends <= note.at < made.ends + 1
        assert (note.why, note.firing, {item.name for item in note.items}) == (Why.FIRST, 2, {"api", "web"})
        record = journal.alerting.readers["chat"]
        assert record.balanced and record.suppressed + record.represented == 2


@in_virtual_time
async def test_whoever_ends_a_silence_need_not_wait(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        silences = Silences()
        silences.replace([silence(journal, 0, 100_000)])
        async with alerting(journal, silences):
            await append(journal, [pod("BackOff", 0)])
            await asyncio.sleep(1_201)
            assert await notes(journal) == []
            ended = now_of(journal)
            silences.replace([])
            await asyncio.sleep(30)
            (note,) = await notes(journal)
        assert ended <= note.at < ended + 1


@in_virtual_time
async def test_of_silences_one_after_the_other_none_lets_it_through(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        silences = Silences()
        # They overlap, and touch.
        parts = ((0, 300, "a"), (200, 400, "b"), (600, 300, "c"))
        made = [silence(journal, begins, lasts, name) for begins, lasts, name in parts]
        silences.replace(made)
        async with alerting(journal, silences):
            await append(journal, [pod("BackOff", 0)])
            await asyncio.sleep(895)
            assert await notes(journal) == []
            await asyncio.sleep(100)
            (note,) = await notes(journal)
        assert made[-1].ends <= note.at < made[-1].ends + 1


@in_virtual_time
async def test_what_ended_while_it_was_silenced_is_never_told(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        silences = Silences()
        silences.replace([silence(journal, 0, 3_000)])
        async with alerting(journal, silences):
            await append(journal, [pod("BackOff", 0)])
            await asyncio.sleep(60)
            await append(journal, [pod("Started", 60)])
            await asyncio.sleep(4_000)
            assert await notes(journal) == []
        record = journal.alerting.readers["chat"]
        assert record.balanced and record.waiting == 0


@in_virtual_time
async def test_what_people_know_of_is_not_repeated_while_it_is_silenced(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        silences = Silences()
        async with alerting(journal, silences):
            await append(journal, [pod("BackOff", 0)])
            await asyncio.sleep(10)
            made = silence(journal, 0, 3_000)
            silences.replace([made])
            await append(journal, [pod("Started", 10)])
            await asyncio.sleep(2_900)
            assert [note.why for note in await notes(journal)] == [Why.FIRST]
            await asyncio.sleep(200)
            _, last = await notes(journal)
        assert (last.why, last.resolved) == (Why.RESOLVED, 1)
        assert made.ends <= last.at < made.ends + 1
