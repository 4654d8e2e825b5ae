"""Dead letters that a person decides on: tried again, or given up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from eventer.delivery import desk as desk_module
from eventer.delivery.desk import Decided, Decision, decide
from eventer.delivery.runner import Health, Pace
from eventer.errors import DiskRefused, EventerError
from eventer.event import Outcome
from eventer.journal import Journal
from tests.helpers.journals import append, balanced, failing, killed, numbered, opened, web
from tests.helpers.memory_sink import (
    MemorySink,
    bad,
    config,
    hang,
    ok,
    outcomes,
    rejected,
    retry,
    running,
    settled,
    slow,
)
from tests.helpers.virtual import LoopClock, in_virtual_time

PACE = Pace(retry_base=2.0, retry_cap=8.0)


async def none_waits(journal: Journal) -> None:
    async with asyncio.timeout(86_400):
        while outcomes(journal)[Outcome.PARKED]:
            await asyncio.sleep(0.5)


async def bury(journal: Journal, sink: MemorySink, *numbers: int, of: int = 6) -> None:
    """Let the sink refuse these of the first events, and come to the end of them."""
    sink.otherwise = bad(*web(*numbers))
    await append(journal, numbered(*range(of)))
    await settled(journal, of)
    assert outcomes(journal)[Outcome.DEAD] == len(numbers)


@in_virtual_time
async def test_a_retried_letter_goes_by_itself_as_soon_as_the_far_side_is_mended(tmp_path: Path) -> None:
    sink = MemorySink()
    async with opened(tmp_path) as journal, running(journal, sink, pace=PACE) as runner:
        await bury(journal, sink, 1, 4)
        sink.otherwise = ok()
        assert await runner.desk.ask(Decision.RETRY, [4, 1, 4]) == Decided(done=2)
        await none_waits(journal)
        assert outcomes(journal) == {Outcome.DELIVERED: 6}
        assert sink.arrived[-2:] == web(1, 4)
        assert runner.parked.destinations == {}, "nothing is left that would look like a failure"
    balanced(tmp_path)


@in_virtual_time
async def test_one_that_is_refused_again_is_dead_again_and_says_how_often(tmp_path: Path, logged: list[Any]) -> None:
    sink = MemorySink()
    async with opened(tmp_path) as journal, running(journal, sink, pace=PACE) as runner:
        await bury(journal, sink, 1, 4)
        logged.clear()
        for attempts in (2, 3):
            await runner.desk.ask(Decision.RETRY, [1])
            await none_waits(journal)
            letters = await journal.dead_letters(("", -1), 10)
            assert [(each.number, each.attempts) for each in letters] == [(1, attempts), (4, 1)]
        assert [line["event"] for line in logged] == ["dead letter"] * 2
        assert runner.parked.destinations == {}
        assert runner.status.health is Health.OK
    balanced(tmp_path)


@in_virtual_time
async def test_what_comes_later_of_an_entity_waits_behind_a_retried_letter(tmp_path: Path) -> None:
    sink = MemorySink(otherwise=bad("web-0"))
    async with opened(tmp_path) as journal, running(journal, sink, pace=PACE) as runner:
        await append(journal, numbered(0, entity="a"))
        await settled(journal, 1)
        sink.otherwise = retry()
        await append(journal, numbered(1, entity="b"))
        await asyncio.sleep(1)
        await runner.desk.ask(Decision.RETRY, [0])
        await append(journal, [*numbered(2, entity="a"), *numbered(3, entity="c")])
        sink.otherwise = ok()
        await settled(journal, 4)
        await none_waits(journal)
        assert sink.arrived.index("web-0") < sink.arrived.index("web-2")
        assert sorted(sink.arrived) == web(0, 1, 2, 3)
    balanced(tmp_path)


@in_virtual_time
async def test_a_dropped_letter_is_counted_and_needs_no_gap_record(tmp_path: Path) -> None:
    sink = MemorySink()
    async with opened(tmp_path) as journal, running(journal, sink, pace=PACE) as runner:
        await bury(journal, sink, 1, 4)
        assert await runner.desk.ask(Decision.DROP, [1, 2, 99]) == Decided(done=1, unknown=2)
        assert outcomes(journal) == {Outcome.DELIVERED: 4, Outcome.DEAD: 1, Outcome.DROPPED: 1}
        await asyncio.sleep(60)
        assert journal.head == 6
        assert journal.readers["memory"].untold == {}
        assert await runner.desk.ask(Decision.DROP, [1]) == Decided(unknown=1)
    balanced(tmp_path)


@pytest.mark.parametrize("failure", [retry(), retry(after=3000.0), rejected()], ids=["down", "told to wait", "idle"])
@in_virtual_time
async def test_whatever_the_runner_waits_for_it_answers_at_once(tmp_path: Path, failure: Exception) -> None:
    sink = MemorySink()
    async with opened(tmp_path) as journal, running(journal, sink, pace=PACE, stop=False) as runner:
        await bury(journal, sink, 1)
        sink.otherwise = failure
        if not isinstance(failure, type(rejected())):
            await append(journal, numbered(6))
            await asyncio.sleep(60)
            assert runner.status.health is Health.RETRYING
        loop = asyncio.get_running_loop()
        asked = loop.time()
        assert await runner.desk.ask(Decision.RETRY, [1]) == Decided(done=1)
        assert loop.time() - asked < 0.1
    balanced(tmp_path)


@in_virtual_time
async def test_it_does_not_shorten_a_wait(tmp_path: Path) -> None:
    sink = MemorySink()
    async with opened(tmp_path) as journal, running(journal, sink, pace=PACE, stop=False) as runner:
        await bury(journal, sink, 1, 4)
        sink.otherwise = retry(after=1000.0)
        await append(journal, numbered(6))
        await asyncio.sleep(10)
        tries = len(sink.sent)
        for number in (1, 4):
            await runner.desk.ask(Decision.RETRY, [number])
            await asyncio.sleep(100)
        assert len(sink.sent) == tries


@in_virtual_time
async def test_before_the_sink_can_be_opened_too(tmp_path: Path) -> None:
    sink = MemorySink()
    async with opened(tmp_path) as journal:
        async with running(journal, sink, pace=PACE):
            await bury(journal, sink, 1, 4)
        again = MemorySink()
        again.opening = [retry()] * 10
        async with running(journal, again, pace=PACE) as runner:
            assert await runner.desk.ask(Decision.DROP, [4]) == Decided(done=1)
            assert await runner.desk.ask(Decision.RETRY, [1]) == Decided(done=1)
            assert again.sent == []
            await none_waits(journal)
            assert again.arrived == web(1)
    balanced(tmp_path)


@in_virtual_time
async def test_a_send_under_way_comes_to_its_end_first(tmp_path: Path) -> None:
    sink = MemorySink()
    async with opened(tmp_path) as journal, running(journal, sink, pace=PACE) as runner:
        await bury(journal, sink, 1)
        sink.otherwise = slow(10)
        await append(journal, numbered(6))
        await asyncio.sleep(1)
        answer = runner.desk.ask(Decision.DROP, [1])
        await asyncio.sleep(5)
        assert not answer.done()
        assert await answer == Decided(done=1)
        assert sink.arrived[-1:] == web(6)
    balanced(tmp_path)


@in_virtual_time
async def test_so_many_wait_that_none_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "AGAIN_MOST", 3)
    sink = MemorySink()
    async with opened(tmp_path / "a") as journal, running(journal, sink, pace=PACE, stop=False) as runner:
        await bury(journal, sink, 0, 1, 2, 3, 5)
        sink.otherwise = retry()
        assert await runner.desk.ask(Decision.RETRY, range(6)) == Decided(done=3, unknown=1, left=2)
        assert await runner.desk.ask(Decision.RETRY, range(6)) == Decided(unknown=4, left=2)
        copy = killed(tmp_path / "a", tmp_path / "b")
    async with opened(copy) as journal:
        assert await decide(journal, "memory", Decision.RETRY, range(6)) == Decided(unknown=4, left=2)


@in_virtual_time
async def test_an_old_letter_does_not_expire_in_the_moment_of_its_retry(tmp_path: Path) -> None:
    sink, clock = MemorySink(), LoopClock()
    async with (
        opened(tmp_path / "a", clock) as journal,
        running(journal, sink, pace=PACE, max_age=3600, stop=False) as runner,
    ):
        await bury(journal, sink, 1, 4)
        await asyncio.sleep(3 * 86_400)
        sink.otherwise = retry()
        await runner.desk.ask(Decision.RETRY, [1])
        await asyncio.sleep(1800)
        copy = killed(tmp_path / "a", tmp_path / "b")
        assert outcomes(journal)[Outcome.PARKED] == 1
    again = MemorySink()
    async with opened(copy, clock) as journal, running(journal, again, pace=PACE, max_age=3600) as runner:
        await runner.desk.ask(Decision.RETRY, [4])
        await none_waits(journal)
        assert sorted(again.arrived) == web(1, 4)
        assert outcomes(journal) == {Outcome.DELIVERED: 6}
    balanced(copy)


@in_virtual_time
async def test_a_retried_letter_that_waits_too_long_expires_though_newer_numbers_are_older(tmp_path: Path) -> None:
    sink, clock = MemorySink(), LoopClock()
    async with (
        opened(tmp_path / "a", clock) as journal,
        running(journal, sink, pace=PACE, max_age=3600, stop=False) as runner,
    ):
        await bury(journal, sink, 1, 4)
        sink.otherwise = retry()
        await runner.desk.ask(Decision.RETRY, [4])
        await asyncio.sleep(3000)
        await runner.desk.ask(Decision.RETRY, [1])
        copy = killed(tmp_path / "a", tmp_path / "b")
    async with (
        opened(copy, clock) as journal,
        running(journal, MemorySink(otherwise=retry()), max_age=3600, stop=False),
    ):
        await asyncio.sleep(1200)
        assert outcomes(journal)[Outcome.EXPIRED] == 1
        assert [row.number for row in await journal.parked("memory")] == [1]


@in_virtual_time
async def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    sink = MemorySink()
    async with opened(tmp_path / "a") as journal, running(journal, sink, pace=PACE, stop=False) as runner:
        await bury(journal, sink, 1, 2, 4)
        sink.otherwise = retry()
        await runner.desk.ask(Decision.RETRY, [1, 2])
        await runner.desk.ask(Decision.DROP, [4])
        copy = killed(tmp_path / "a", tmp_path / "b")
    balanced(copy)
    again = MemorySink()
    async with opened(copy) as journal, running(journal, again, pace=PACE):
        await none_waits(journal)
        assert again.arrived == web(1, 2)
        assert outcomes(journal) == {Outcome.DELIVERED: 5, Outcome.DROPPED: 1}
    balanced(copy)


@in_virtual_time
async def test_a_disk_that_refuses_delays_the_answer_and_nothing_is_half_done(tmp_path: Path) -> None:
    sink = MemorySink()
    async with opened(tmp_path) as journal, running(journal, sink, pace=PACE) as runner:
        await bury(journal, sink, 1)
        with failing(times=5):
            answer = runner.desk.ask(Decision.DROP, [1])
            assert await answer == Decided(done=1)
        with failing("journal.read"), pytest.raises(DiskRefused):
            await runner.desk.ask(Decision.DROP, [1])
    balanced(tmp_path)


@in_virtual_time
async def test_a_sink_that_ends_says_so_to_whoever_waits(tmp_path: Path) -> None:
    sink = MemorySink()
    async with opened(tmp_path) as journal:
        async with running(journal, sink, pace=PACE, stop=False) as runner:
            await bury(journal, sink, 1)
            sink.otherwise = hang()
            await append(journal, numbered(6))
            await asyncio.sleep(1)
            answer = runner.desk.ask(Decision.DROP, [1])
        for ended in (answer, runner.desk.ask(Decision.DROP, [1])):
            with pytest.raises(EventerError, match="The sink memory has just ended"):
                await ended
        assert outcomes(journal)[Outcome.DEAD] == 1


@in_virtual_time
async def test_a_suspect_stays_one_whatever_a_person_decides(tmp_path: Path) -> None:
    """The trial of an event that may be killing the process is not over because of a letter."""
    sink = MemorySink()
    async with opened(tmp_path / "0") as journal, running(journal, sink, pace=PACE):
        await bury(journal, sink, 1, 2, 3)
    async with opened(tmp_path / "0") as journal:
        await append(journal, numbered(6))
    directory = tmp_path / "0"
    for life in range(1, 4):
        async with opened(directory) as journal, running(journal, MemorySink(otherwise=hang()), stop=False) as runner:
            await runner.desk.ask(Decision.DROP, [life])
            directory = killed(directory, tmp_path / f"{life}")
            assert journal.readers["memory"].trial.starts == life


@in_virtual_time
async def test_without_a_runner_the_journal_is_changed_directly(tmp_path: Path) -> None:
    sink = MemorySink()
    async with opened(tmp_path) as journal:
        async with running(journal, sink, pace=PACE):
            await bury(journal, sink, 1, 4)
        assert await decide(journal, "memory", Decision.RETRY, [1, 7]) == Decided(done=1, unknown=1)
        assert await decide(journal, "memory", Decision.DROP, [4]) == Decided(done=1)
        assert await decide(journal, "nobody", Decision.DROP, [4]) == Decided(unknown=1)
        assert outcomes(journal) == {Outcome.DELIVERED: 4, Outcome.PARKED: 1, Outcome.DROPPED: 1}
    balanced(tmp_path)
    async with opened(tmp_path) as journal:
        again = MemorySink()
        async with running(journal, again, config(count=1), pace=PACE):
            await none_waits(journal)
            assert again.arrived == web(1)
    balanced(tmp_path)
