"""A message that may have arrived, though no answer tells, and is not to be sent again: a person decides on it."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from eventer.delivery import rejections
from eventer.delivery.desk import Decision
from eventer.delivery.sender import Health
from eventer.errors import Retry
from eventer.event import Outcome
from eventer.journal import Journal
from eventer.sink import Batch, NotifierConfig, Sent
from tests.helpers.journals import balanced, opened
from tests.helpers.memory_notifier import MemoryNotifier, covered, lost, notifying, opened_notes, told
from tests.helpers.virtual import in_virtual_time


class Skips(NotifierConfig, kw_only=True):
    @property
    def repeats_unknown(self) -> bool:
        return False


SKIPS = Skips(kind="memory")


def unsure() -> Retry:
    return Retry("Cut.", reason="cut", unknown=True)


def outcomes(journal: Journal) -> Counter[Outcome]:
    return +Counter(journal.alerting.notifiers["chat"].outcomes)


@in_virtual_time
async def test_where_that_is_not_wanted_it_is_kept_until_a_person_has_it_sent(tmp_path: Path) -> None:
    sink = MemoryNotifier(lost(unsure()))
    async with opened(tmp_path) as journal, notifying(journal, sink, SKIPS, alerting=False) as runner:
        await opened_notes(journal, 2)
        await told(journal, 2)
        assert [note.number for note in sink.told] == [1, 2]
        assert outcomes(journal) == {Outcome.DELIVERED: 1, Outcome.DEAD: 1}
        (letter,) = await journal.dead_letters(("", -1), 10)
        assert (letter.number, letter.reason) == (0, "unknown")
        assert letter.answer == "Cut. It may have arrived all the same, and on_unknown: skip sends nothing twice."
        assert runner.status.attempts == {"retry:cut": 1, "sent": 1}
        await runner.desk.ask(Decision.RETRY, [0])
        while outcomes(journal)[Outcome.PARKED]:
            await asyncio.sleep(1)
        assert [note.number for note in sink.told] == [1, 2, 1]
        assert outcomes(journal) == {Outcome.DELIVERED: 2}
    balanced(tmp_path)


@in_virtual_time
async def test_what_surely_did_not_arrive_is_sent_again_all_the_same(tmp_path: Path) -> None:
    sink = MemoryNotifier(*[Retry("refused", reason="refused")] * 5)
    async with opened(tmp_path) as journal:
        async with notifying(journal, sink, SKIPS, alerting=False):
            await opened_notes(journal, 2)
            await told(journal, 2)
        assert [note.number for note in sink.told] == [1, 2]
        assert outcomes(journal) == {Outcome.DELIVERED: 2}
    balanced(tmp_path)


@in_virtual_time
async def test_a_message_for_several_is_not_sent_again_in_parts(tmp_path: Path) -> None:
    sink = MemoryNotifier(lost(unsure()))
    async with opened(tmp_path) as journal:
        await opened_notes(journal, 8)
        await asyncio.sleep(1000)  # so long that they go together
        async with notifying(journal, sink, SKIPS, alerting=False) as runner:
            await told(journal, 8)
            assert len(sink.told) == 1
            assert covered(sink.told) == set(range(1, 9))
            assert outcomes(journal) == {Outcome.DEAD: 8}
            await opened_notes(journal, 1)
            await told(journal, 9)
            await runner.desk.ask(Decision.RETRY, list(range(8)))
            while outcomes(journal)[Outcome.PARKED]:
                await asyncio.sleep(1)
        assert [note.number for note in sink.told[1:]] == [9, *range(1, 9)]
        assert outcomes(journal) == {Outcome.DELIVERED: 9}
    balanced(tmp_path)


@in_virtual_time
async def test_one_that_a_person_has_sent_and_that_is_lost_again_is_kept_again(tmp_path: Path) -> None:
    sink = MemoryNotifier(lost(unsure()), lost(unsure()))
    async with opened(tmp_path) as journal:
        async with notifying(journal, sink, SKIPS, alerting=False) as runner:
            await opened_notes(journal, 1)
            await told(journal, 1)
            await runner.desk.ask(Decision.RETRY, [0])
            while outcomes(journal)[Outcome.PARKED]:
                await asyncio.sleep(1)
            assert outcomes(journal) == {Outcome.DEAD: 1}
            (letter,) = await journal.dead_letters(("", -1), 10)
            assert (letter.reason, letter.attempts) == ("unknown", 2)
        assert len(sink.told) == 2
    balanced(tmp_path)


class Hangs(MemoryNotifier):
    """Takes messages, and never says so."""

    async def send(self, batch: Batch) -> Sent:
        await super().send(batch)
        return await asyncio.Event().wait() or Sent()


@in_virtual_time
async def test_what_was_cut_by_the_time_of_its_send_may_have_arrived(tmp_path: Path) -> None:
    sink = Hangs()
    async with opened(tmp_path) as journal:
        async with notifying(journal, sink, SKIPS, alerting=False) as runner:
            await opened_notes(journal, 3)
            await told(journal, 3)
            assert runner.status.health is Health.RETRYING
        assert [note.number for note in sink.told] == [1, 2, 3]
        assert outcomes(journal) == {Outcome.DEAD: 3}
    balanced(tmp_path)


@in_virtual_time
async def test_one_answer_that_is_lost_is_no_failure_of_the_sink_two_in_a_row_are(tmp_path: Path) -> None:
    """Nothing waits for it, so hours may go by before the next message would show that all is well."""
    sink = MemoryNotifier()
    async with opened(tmp_path) as journal, notifying(journal, sink, SKIPS, alerting=False) as runner:
        for upto, answer, health in [
            (1, lost(unsure()), Health.OK),
            (2, lost(unsure()), Health.RETRYING),
            (3, None, Health.OK),
            (4, lost(unsure()), Health.OK),
            (5, lost(Retry("No.", reason="away")), Health.OK),  # and once more, which is taken
            (6, lost(unsure()), Health.OK),
        ]:
            sink.script = [answer]
            await opened_notes(journal, 1)
            await told(journal, upto)
            assert runner.status.health is health, upto
        assert outcomes(journal) == {Outcome.DELIVERED: 2, Outcome.DEAD: 4}
    balanced(tmp_path)


@in_virtual_time
async def test_however_many_are_lost_none_is_sent_twice_and_the_sink_is_not_taken_for_one_that_refuses(
    tmp_path: Path,
) -> None:
    sink = MemoryNotifier(otherwise=lost(unsure()))
    async with opened(tmp_path) as journal:
        async with notifying(journal, sink, SKIPS, alerting=False) as runner:
            await opened_notes(journal, 300)
            await told(journal, 300)
            assert runner.status.health is Health.RETRYING
        assert len(sink.told) > 200
        assert covered(sink.told) == set(range(1, 301))
        assert sum(max(note.folded, 1) for note in sink.told) == 300, "none was in two messages"
        assert outcomes(journal) == {Outcome.DEAD: 300}
    balanced(tmp_path)


@in_virtual_time
async def test_with_too_many_dead_letters_it_stays_until_a_person_has_looked_at_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejections, "DEAD_MOST", 2)
    sink = MemoryNotifier(otherwise=unsure())
    async with opened(tmp_path) as journal:
        async with notifying(journal, sink, SKIPS, alerting=False) as runner:
            await opened_notes(journal, 3)
            while runner.status.health is not Health.BLOCKED:
                await asyncio.sleep(1)
            assert runner.status.reason == "dead-letters"
            assert outcomes(journal) == {Outcome.DEAD: 2}
            await runner.desk.ask(Decision.DROP, [0, 1])
            sink.otherwise = None
            await told(journal, 3)
        assert outcomes(journal) == {Outcome.DROPPED: 2, Outcome.DELIVERED: 1}
    balanced(tmp_path)
