"""When intake appends, what a refusal of the disk undoes, and how epochs end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from eventer import intake as module
from eventer.errors import DiskRefused, JournalError
from eventer.event import version_of
from eventer.intake import Intake
from eventer.journal import StreamKey, StreamRecord
from eventer.journal.records import ClusterRecord
from tests.helpers.intakes import books, listed, state, stored, taking, watched
from tests.helpers.journals import KEY, failing
from tests.helpers.virtual import in_virtual_time


@in_virtual_time
async def test_after_quiet_an_event_goes_at_once_and_then_one_append_each_pace(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with taking(tmp_path) as (intake, journal):
        await asyncio.sleep(5)
        began = loop.time()
        await intake.take(watched(state("a", 1)))
        await journal.grown(0)
        assert loop.time() == began
        for version in range(2, 40):
            await intake.take(watched(state("b", version, count=version), added=version == 2))
        await journal.grown(38)
        assert loop.time() - began == pytest.approx(module.PACE)
        rows = (await journal.read(0, 1000, 1 << 20)).rows
        assert [n for n, _ in rows] == [1, 38]


@in_virtual_time
async def test_a_full_block_does_not_wait_for_the_pace(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with taking(tmp_path) as (intake, journal):
        await asyncio.sleep(5)
        began = loop.time()
        for version in range(1, 6):
            await intake.take(watched(state("a", version, count=version), added=version == 1, size=module.FULL))
            await journal.grown(version - 1)
        assert loop.time() == began


@in_virtual_time
async def test_take_waits_while_too_much_is_not_committed(tmp_path: Path) -> None:
    async with taking(tmp_path) as (intake, journal):
        await intake.take(watched(state("a", 1)))
        await journal.grown(0)
        head = journal.head
        big = watched(state("b", 2), size=module.HELD)
        taking_ = asyncio.create_task(intake.take(big))
        await asyncio.sleep(0)
        assert not taking_.done()
        await taking_
        assert journal.head > head


@in_virtual_time
async def test_a_position_waits_a_second_for_company(tmp_path: Path) -> None:
    async with taking(tmp_path) as (intake, _journal):
        await intake.take(listed(position=10))
        await intake.flush()
        await intake.take(watched(gone=["x"], position=20))
        await asyncio.sleep(module.FLUSH_AFTER * 0.9)
        assert intake.position == 10
        await intake.take(watched(gone=["x"], position=21))
        await asyncio.sleep(module.FLUSH_AFTER * 0.2)
        assert intake.position == 21


@in_virtual_time
async def test_a_position_goes_along_with_the_next_event(tmp_path: Path) -> None:
    async with taking(tmp_path) as (intake, journal):
        await intake.take(watched(position=20))
        await asyncio.sleep(0.1)
        assert intake.position is None
        await intake.take(watched(state("a", 30)))
        await journal.grown(0)
        assert intake.position == 30


@in_virtual_time
async def test_flush_does_not_wait_for_company(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with taking(tmp_path) as (intake, _journal):
        await asyncio.sleep(1)
        began = loop.time()
        await intake.take(watched(position=20))
        await intake.flush()
        assert (intake.position, loop.time()) == (20, began)
        await intake.flush()  # with nothing to do, too
        assert loop.time() == began


@in_virtual_time
async def test_nothing_is_written_where_nothing_changed(tmp_path: Path) -> None:
    async with taking(tmp_path) as (intake, journal):
        await intake.take(watched(state("a", 1)))
        await intake.flush()
        with failing():  # a commit would be told
            await intake.take(listed(state("a", 1), position=1))
            await intake.flush()
            await asyncio.sleep(10)
            await intake.flush()
        assert not journal.commit_failures


@in_virtual_time
async def test_the_time_of_contact_is_written_once_a_minute_and_with_each_append(tmp_path: Path) -> None:
    async with taking(tmp_path) as (intake, journal):
        await intake.take(listed(position=1))
        await intake.flush()
        saved = []
        for _ in range(30):
            await asyncio.sleep(10)
            intake.touch(journal._clock.now().timestamp())
            await asyncio.sleep(module.FLUSH_AFTER + 0.1)
            assert intake.contact is not None
            saved.append(journal.stream(KEY).contact)
        assert len(set(saved)) in range(5, 8)  # 333 s
        assert intake.contact - (saved[-1] or 0.0) <= module.CONTACT_EVERY + 2
        await intake.take(watched(state("a", 2)))
        await intake.flush()
        assert journal.stream(KEY).contact == intake.contact


# -- refusals ----------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_refusal_is_told_at_the_next_call_and_everything_after_it_is_forgotten(tmp_path: Path) -> None:
    async with taking(tmp_path) as (intake, journal):
        await intake.take(listed(position=1))
        await intake.flush()
        with failing():
            await intake.take(watched(state("a", 2)))
            await asyncio.sleep(1)
        with pytest.raises(DiskRefused):
            await intake.take(watched(state("b", 3)))
        assert intake.position == 1
        assert journal.head == 0
        # The source comes back from the committed position, and brings both again.
        await intake.take(watched(state("a", 2), state("b", 3)))
        await intake.flush()
        assert [event.entity for event in await stored(journal)] == ["a", "b"]
        assert books(journal) == (2, 0, 0, 0, 2)


@in_virtual_time
async def test_what_was_taken_while_an_append_failed_is_forgotten_with_it(tmp_path: Path) -> None:
    async with taking(tmp_path) as (intake, journal):
        with failing(times=1):
            await intake.take(watched(state("a", 1)))
            await asyncio.sleep(0)
            await intake.take(watched(state("b", 2)))  # of the same watch, while the first is being written
            with pytest.raises(DiskRefused):
                await intake.flush()
        await intake.flush()
        assert journal.head == 0
        assert intake.position is None
        assert await journal.ledger.look_up(KEY, ["a", "b"]) == {}


@in_virtual_time
async def test_a_source_that_waits_for_room_hears_of_the_refusal(tmp_path: Path) -> None:
    async with taking(tmp_path) as (intake, _):
        with failing(), pytest.raises(JournalError):
            await intake.take(watched(state("a", 1), size=module.HELD))
        await intake.flush()  # it was told, once


# -- epochs ------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_raised_epoch_discards_the_position_and_known_content_stays_known(tmp_path: Path) -> None:
    async with taking(tmp_path) as (intake, journal):
        await intake.take(listed(state("a", 900), state("b", 901), position=1000))
        await intake.flush()
        await intake.raise_epoch()
        assert (intake.epoch, intake.position) == (1, None)
        again = [state("a", 0), state("b", 0, count=3), state("c", 0)]
        for number, event in enumerate(again):
            event.version = version_of(1, 500 + number)
        await intake.take(listed(*again, position=600))
        await intake.flush()
        assert intake.position == 600
        assert [(event.entity, event.delta) for event in await stored(journal)][2:] == [("b", 2), ("c", 1)]
        assert books(journal) == (5, 0, 1, 0, 4)


@in_virtual_time
async def test_a_watch_of_the_old_epoch_does_not_bring_a_stream_into_the_new_one(tmp_path: Path) -> None:
    async with taking(tmp_path) as (intake, journal):
        await intake.take(listed(position=10))
        await intake.flush()
        await journal.set_cluster("prod", ClusterRecord(epoch=1))  # by another stream of the cluster
        await intake.take(watched(state("a", 11)))
        await intake.flush()
        assert intake.position is None
        assert journal.stream(KEY).epoch == 0


@in_virtual_time
async def test_a_list_read_in_the_old_epoch_does_not_bring_a_stream_into_the_new_one(tmp_path: Path) -> None:
    async with taking(tmp_path) as (intake, journal):
        await intake.take(listed(state("a", 120), position=130))
        await intake.flush()
        await journal.set_cluster("prod", ClusterRecord(epoch=1))  # by another stream, while this one's page was read
        await intake.take(listed(state("a", 110), position=150))
        await intake.flush()
        assert intake.position is None  # so it lists again, in the epoch that knows 110 to be newer
        assert journal.stream(KEY).epoch == 0


@in_virtual_time
async def test_streams_of_one_cluster_raise_its_epoch_once(tmp_path: Path) -> None:
    async with taking(tmp_path) as (first, journal):
        second = Intake(journal, StreamKey("prod", "events/shop"), [], journal._clock)
        task = asyncio.create_task(second.run())
        for intake in (first, second):
            await intake.take(listed(position=10))
            await intake.flush()
        await first.raise_epoch()
        await second.raise_epoch()
        assert (first.epoch, second.epoch) == (1, 1)
        assert (first.position, second.position) == (None, None)
        task.cancel()


@in_virtual_time
async def test_an_epoch_is_raised_even_if_what_was_taken_cannot_be_stored(tmp_path: Path) -> None:
    async with taking(tmp_path) as (intake, journal):
        with failing(times=1):
            await intake.take(watched(state("a", 1)))
            await intake.raise_epoch()
        assert intake.epoch == 1
        await intake.flush()  # the refusal is answered by that
        assert journal.stream(KEY) == StreamRecord()
