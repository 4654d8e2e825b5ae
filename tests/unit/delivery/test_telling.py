"""A notifier's notifications: one message each while that is allowed, and one for all where it is not."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from eventer.alerting.notification import Notification, Why
from eventer.delivery import telling
from eventer.delivery.desk import Decision
from eventer.errors import Rejected, Retry
from eventer.event import Outcome, decode_lines
from eventer.journal import Journal
from tests.helpers.journals import balanced, failing, killed, opened
from tests.helpers.memory_notifier import MemoryNotifier, covered, notifier, notifying, opened_notes, told
from tests.helpers.virtual import in_virtual_time


def outcomes(journal: Journal) -> Counter[Outcome]:
    return +Counter(journal.alerting.notifiers["chat"].outcomes)


def away() -> Retry:
    return Retry("not now", reason="away")


@in_virtual_time
async def test_each_is_a_message_of_its_own_in_order(tmp_path: Path) -> None:
    sink = MemoryNotifier()
    async with opened(tmp_path) as journal:
        async with notifying(journal, sink, alerting=False):
            await opened_notes(journal, 3)
            await told(journal, 3)
            await opened_notes(journal, 2)
            await told(journal, 5)
        assert [note.number for note in sink.told] == [1, 2, 3, 4, 5]
        assert outcomes(journal) == {Outcome.DELIVERED: 5}
    balanced(tmp_path)


@in_virtual_time
async def test_more_than_a_robot_takes_go_as_one_and_the_limit_is_never_passed(tmp_path: Path) -> None:
    sink = MemoryNotifier()
    async with opened(tmp_path) as journal:
        async with notifying(journal, sink, notifier("20/m"), alerting=False):
            for n in (18, 5, 400, 30, 1):
                await opened_notes(journal, n)
                await asyncio.sleep(1)
            await told(journal, 454)
        assert covered(sink.told) == set(range(1, 455))
        assert sum(note.events for note in sink.told) == 454
        for begin in sink.times:
            assert sum(begin <= at < begin + 60 for at in sink.times) <= 20
        assert sink.told[18].why is Why.DIGEST
        assert len(sink.told) < 25
        assert outcomes(journal) == {Outcome.DELIVERED: len(sink.told), Outcome.FOLDED: 454 - len(sink.told)}
    balanced(tmp_path)


@in_virtual_time
async def test_a_stop_in_a_back_off_sends_nothing(tmp_path: Path) -> None:
    sink = MemoryNotifier(Retry("too many", reason="throttled", after=3000))
    async with opened(tmp_path) as journal:
        async with notifying(journal, sink, alerting=False):
            await opened_notes(journal, 1)
            await asyncio.sleep(5)
        assert len(sink.times) == 1
    balanced(tmp_path)


@in_virtual_time
async def test_after_a_short_outage_each_is_told_after_a_long_one_all_together(tmp_path: Path) -> None:
    for seconds, messages in ((300, 4), (1000, 1)):
        directory = tmp_path / str(seconds)
        sink = MemoryNotifier(otherwise=away())
        async with opened(directory) as journal:
            async with notifying(journal, sink, alerting=False):
                await opened_notes(journal, 4)
                await asyncio.sleep(seconds)
                assert outcomes(journal) == {}
                sink.otherwise = None
                await told(journal, 4)
            assert len(sink.told) == messages
            assert covered(sink.told) == {1, 2, 3, 4}
        balanced(directory)


@in_virtual_time
async def test_a_far_side_that_is_away_is_owed_a_bounded_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "WAITING_MOST", 100)
    sink = MemoryNotifier(otherwise=away())
    with capture_logs() as logs:
        async with opened(tmp_path) as journal:
            async with notifying(journal, sink, alerting=False):
                for _ in range(50):
                    await opened_notes(journal, 20)
                    await asyncio.sleep(120)
                record = journal.alerting.notifiers["chat"]
                assert journal.alerting.readers["chat"].opened - record.cursor <= 150
                (rows,) = await journal._on_reader(lambda c: c.execute("SELECT count(*) FROM notification").fetchone())
                assert rows <= 150
                sink.otherwise = None
                await told(journal, 1000)
            assert covered(sink.told) == set(range(1, 1001))
            assert sum(note.events for note in sink.told) == 1000
    assert {"sink": "chat"}.items() <= next(each for each in logs if "folded" in each).items()
    balanced(tmp_path)


@in_virtual_time
async def test_one_that_is_never_taken_is_found_among_those_that_go_together(tmp_path: Path) -> None:
    def refuses(sink: MemoryNotifier, note: Notification) -> None:
        if 3 in covered([note]):
            raise Rejected("never", reason="bad", answer="no such thing")

    sink = MemoryNotifier(away(), otherwise=refuses)
    async with opened(tmp_path) as journal:
        await opened_notes(journal, 8)
        await asyncio.sleep(1000)  # so long that they go together
        async with notifying(journal, sink, alerting=False) as runner:
            await told(journal, 8)
            assert covered(sink.told) == set(range(1, 9)) - {3}
            assert outcomes(journal)[Outcome.DEAD] == 1
            (letter,) = await journal.dead_letters(("", -1), 10)
            assert (letter.reader, letter.number, letter.answer) == ("notifications:chat", 2, "no such thing")
            sink.otherwise = None  # whoever decides has repaired it
            decided = await runner.desk.ask(Decision.RETRY, [2])
            assert decided.done == 1
            while outcomes(journal)[Outcome.PARKED]:
                await asyncio.sleep(1)
            assert sink.told[-1].number == 3
            assert not outcomes(journal)[Outcome.DEAD]
    balanced(tmp_path)


@in_virtual_time
async def test_what_is_too_old_to_be_told_expires_and_is_told_in_a_gap_record(tmp_path: Path) -> None:
    sink = MemoryNotifier(otherwise=away())
    async with opened(tmp_path) as journal:
        async with notifying(journal, sink, alerting=False, max_age=3600):
            await opened_notes(journal, 3)
            await told(journal, 3)
            await journal.grown(3)
            (gap,) = decode_lines((await journal.read(3, 1, 10_000)).lines)
            assert gap.message == ("Sink chat was too far behind: 3 notifications expired (older than state.max_age).")
        assert outcomes(journal) == {Outcome.EXPIRED: 3}
    balanced(tmp_path)


@in_virtual_time
async def test_after_a_kill_before_the_settle_one_message_more_is_repeated(tmp_path: Path) -> None:
    first, second = MemoryNotifier(), MemoryNotifier()
    async with opened(tmp_path / "a") as journal, notifying(journal, first, alerting=False, stop=False):
        await opened_notes(journal, 4)
        with failing():  # no settle gets through: the one that is written, and the one behind it
            while len(first.told) < 2:
                await asyncio.sleep(0.1)
            await asyncio.sleep(60)
            killed(tmp_path / "a", tmp_path / "b")
        assert [note.number for note in first.told] == [1, 2]
    async with opened(tmp_path / "b") as journal, notifying(journal, second, alerting=False):
        await told(journal, 4)
    assert [note.number for note in second.told] == [1, 2, 3, 4]
    balanced(tmp_path / "b")


@in_virtual_time
async def test_a_notification_that_kills_the_process_is_buried(tmp_path: Path) -> None:
    """Two unclean ends at one place: then it goes alone, noted first, and is given up when it was noted twice."""
    directory = tmp_path / "0"
    async with opened(directory) as journal:
        await opened_notes(journal, 2)
    for life in range(1, 9):
        copy = tmp_path / str(life)

        def kills(sink: MemoryNotifier, note: Notification, copy: Path = copy, directory: Path = directory) -> None:
            if note.number == 1 and not copy.exists():
                killed(directory, copy)
                raise away()

        sink = MemoryNotifier(otherwise=kills)
        async with opened(directory) as journal, notifying(journal, sink, alerting=False, stop=False):
            while not (copy.exists() or outcomes(journal)[Outcome.DEAD]):
                await asyncio.sleep(0.1)
            if outcomes(journal)[Outcome.DEAD]:
                await told(journal, 2)
                assert [note.number for note in sink.told] == [2]
                break
        directory = copy
    else:
        pytest.fail("it goes on killing")
    balanced(directory)
