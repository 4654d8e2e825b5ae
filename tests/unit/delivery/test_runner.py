"""What the runner makes of each way in which a send can end; books balanced after each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from eventer.delivery.breaker import RETRY_AFTER_MOST
from eventer.delivery.runner import Health
from eventer.delivery.sender import SLACK
from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.event import Outcome, decode_lines
from eventer.journal import Journal, StreamKey, read_books
from eventer.sink import Sent
from tests.helpers.journals import append, balanced, numbered, opened, web
from tests.helpers.memory_sink import (
    MemorySink,
    bad,
    blocked,
    config,
    hang,
    lost_answer,
    ok,
    outcomes,
    partly,
    rejected,
    retry,
    running,
    settled,
)
from tests.helpers.virtual import in_virtual_time


@contextlib.asynccontextmanager
async def world(directory: Path) -> AsyncIterator[Journal]:
    """A journal whose books are checked when it is closed."""
    async with opened(directory) as journal:
        yield journal
    balanced(directory)


async def letters(journal: Journal) -> dict[str, tuple[str, str]]:
    """Name of each dead event, with reason and answer."""
    rows = await journal._on_reader(lambda c: c.execute("SELECT event, reason, answer, entity FROM letter").fetchall())
    events = decode_lines([row[0] for row in rows])
    assert [event.entity for event in events] == [row[3] for row in rows]
    return {event.name: (row[1], row[2]) for event, row in zip(events, rows, strict=True)}


@in_virtual_time
async def test_what_arrived_since_the_last_send_goes_in_one(tmp_path: Path) -> None:
    sink = MemorySink()
    async with world(tmp_path) as journal, running(journal, sink) as runner:
        await append(journal, numbered(1))
        await settled(journal, 1)
        await asyncio.gather(append(journal, numbered(2, 3)), append(journal, numbered(4), StreamKey("test", "events")))
        await settled(journal, 4)
        assert sorted(sink.arrived) == web(1, 2, 3, 4)
        assert outcomes(journal) == {Outcome.DELIVERED: 4}
        assert runner.status.health is Health.OK
        assert runner.status.last_success is not None


@in_virtual_time
async def test_batches_are_cut_by_count_and_by_bytes(tmp_path: Path) -> None:
    for number, options in enumerate([{"count": 3}, {"bytes": 1300}]):
        sink = MemorySink()
        async with world(tmp_path / f"{number}") as journal:
            await append(journal, numbered(*range(3)))
            async with running(journal, sink, config(**options)):
                await append(journal, numbered(*range(8)))
                await settled(journal, 11)
            assert sink.arrived == web(*range(8))  # a sink that is added later begins with what comes next
            assert max(map(len, sink.sent)) in {2, 3}


@in_virtual_time
async def test_duplicates_are_counted_apart(tmp_path: Path) -> None:
    sink = MemorySink(ok(duplicates=2), ok(duplicates=5), otherwise=ok())
    async with world(tmp_path) as journal, running(journal, sink):
        await append(journal, numbered(1, 2, 3))
        await settled(journal, 3)
        assert outcomes(journal) == {Outcome.DELIVERED: 1, Outcome.DUPLICATE: 2}
        await append(journal, numbered(4))  # a sink that counts wrong does not unbalance the books
        await settled(journal, 4)
        assert outcomes(journal) == {Outcome.DELIVERED: 1, Outcome.DUPLICATE: 3}


@in_virtual_time
async def test_what_a_sink_notes_is_told_when_it_is_new(tmp_path: Path, logged: list[Any]) -> None:
    sink = MemorySink(ok(), ok(note="a tag is full"), ok(note="a tag is full"), ok(), ok(note="two tags are full"))
    async with world(tmp_path) as journal, running(journal, sink):
        for number in range(1, 6):
            await append(journal, numbered(number))
            await settled(journal, number)
    notes = [(line["note"], line["log_level"]) for line in logged if line["event"] == "sink has a note"]
    assert notes == [("a tag is full", "warning"), ("two tags are full", "warning")]


# -- retry -------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_retry_repeats_the_batch_until_it_goes_through(tmp_path: Path) -> None:
    sink = MemorySink(*[retry()] * 20)
    async with world(tmp_path) as journal, running(journal, sink) as runner:
        await append(journal, numbered(1, 2))
        await asyncio.sleep(0.01)
        assert runner.status.health is Health.RETRYING
        assert runner.status.error == "not now"
        await settled(journal, 2)
        assert sink.sent == [web(1, 2)] * 21
        assert sink.arrived == web(1, 2)
        waits = [b - a for a, b in zip(sink.times, sink.times[1:], strict=False)]
        assert min(waits) >= 0.049 and max(waits) <= 60.1
        assert runner.status.health is Health.OK
        assert runner.status.attempts == {"retry:unavailable": 20, "sent": 1}


@pytest.mark.parametrize(
    ("after", "least", "most"),
    [
        (7.0, 6.9, 8.1),
        (0.0, 0.049, 1),
        (-5.0, 0.049, 1),
        (float("nan"), 0.049, 1),
        (float("inf"), RETRY_AFTER_MOST - 0.1, RETRY_AFTER_MOST + 1.1),
        (3.2e8, RETRY_AFTER_MOST - 0.1, RETRY_AFTER_MOST + 1.1),
    ],
)
@in_virtual_time
async def test_what_the_far_side_asks_for_is_kept_within_reason(
    after: float, least: float, most: float, tmp_path: Path
) -> None:
    sink = MemorySink(retry(after))
    async with world(tmp_path) as journal, running(journal, sink):
        await append(journal, numbered(1))
        await settled(journal, 1)
        assert least <= sink.times[1] - sink.times[0] <= most


@in_virtual_time
async def test_back_off_begins_anew_after_a_success(tmp_path: Path) -> None:
    sink = MemorySink(*[retry()] * 12, ok(), *[retry()])
    async with world(tmp_path) as journal, running(journal, sink):
        await append(journal, numbered(1))
        await settled(journal, 1)
        await append(journal, numbered(2))
        await settled(journal, 2)
        assert sink.times[-1] - sink.times[-2] <= 0.6


@in_virtual_time
async def test_no_answer_is_given_up_and_repeated(tmp_path: Path) -> None:
    sink = MemorySink(hang())
    async with world(tmp_path) as journal, running(journal, sink, config(timeout=3)) as runner:
        await append(journal, numbered(1))
        await settled(journal, 1)
        assert 3 <= sink.times[1] - sink.times[0] <= 3 + SLACK + 1
        assert runner.status.attempts == {"retry:timeout": 1, "sent": 1}


# -- reject ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("poison", [(), (0,), (7,), (15,), (0, 15), (3, 4), tuple(range(16)), (1, 5, 6, 12)])
@in_virtual_time
async def test_of_a_rejected_batch_exactly_the_bad_ones_die(poison: tuple[int, ...], tmp_path: Path) -> None:
    sink = MemorySink(otherwise=bad(*web(*poison)))
    good = [n for n in range(16) if n not in poison]
    async with world(tmp_path) as journal, running(journal, sink):
        await append(journal, numbered(*range(16)))
        await settled(journal, 16)
        assert sink.arrived == web(*good)  # once each, in order
        assert await letters(journal) == dict.fromkeys(web(*poison), ("mapping", "the far side's words"))
        assert outcomes(journal) == +outcomes(journal).__class__(
            {Outcome.DELIVERED: len(good), Outcome.DEAD: len(poison)}
        )
        assert len(sink.sent) <= 1 + 2 * len(poison) * 5  # two sends a level, 16 = 2^4
        assert sink.times[-1] == sink.times[0]  # nothing to wait for


@in_virtual_time
async def test_a_bad_item_does_not_hold_up_what_comes_later(tmp_path: Path) -> None:
    sink = MemorySink(otherwise=bad("web-2"))
    async with world(tmp_path) as journal, running(journal, sink, config(count=4)):
        await append(journal, numbered(*range(12)))
        await settled(journal, 12)
        assert sink.arrived == web(0, 1, *range(3, 12))


# -- answers per item --------------------------------------------------------------------------------


@in_virtual_time
async def test_only_the_items_that_failed_are_sent_again(tmp_path: Path) -> None:
    sink = MemorySink(
        partly({"web-1": retry(), "web-3": rejected(), "web-4": retry()}), partly({"web-4": retry()}), ok()
    )
    async with world(tmp_path) as journal, running(journal, sink):
        await append(journal, numbered(*range(6)))
        await settled(journal, 6)
        assert sink.sent == [web(*range(6)), web(1, 4), web(4)]
        assert sink.arrived == web(0, 2, 5, 1, 4)
        assert outcomes(journal) == {Outcome.DELIVERED: 5, Outcome.DEAD: 1}
        assert list(await letters(journal)) == ["web-3"]


@in_virtual_time
async def test_what_is_decided_is_settled_before_the_rest_is(tmp_path: Path) -> None:
    sink = MemorySink(partly({"web-3": retry()}), otherwise=retry())
    async with world(tmp_path) as journal, running(journal, sink, stop=False):
        await append(journal, numbered(*range(6)))
        await settled(journal, 3)
        await asyncio.sleep(600)
        assert outcomes(journal) == {Outcome.DELIVERED: 3}


@in_virtual_time
async def test_one_blocked_item_makes_the_wait_a_probe(tmp_path: Path) -> None:
    sink = MemorySink(partly({"web-0": retry(), "web-1": blocked()}))
    async with world(tmp_path) as journal, running(journal, sink) as runner:
        await append(journal, numbered(0, 1, 2))
        await asyncio.sleep(1)
        assert runner.status.health is Health.BLOCKED
        await settled(journal, 3)
        assert sink.times[1] - sink.times[0] >= 59.9


@in_virtual_time
async def test_a_failed_item_that_is_not_there_changes_nothing(tmp_path: Path) -> None:
    sink = MemorySink(lambda *_: Sent(failed={7: retry(), -1: rejected()}))
    async with world(tmp_path) as journal, running(journal, sink):
        await append(journal, numbered(1, 2))
        await settled(journal, 2)
        assert outcomes(journal) == {Outcome.DELIVERED: 2}


# -- blocked -----------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_blocked_sink_is_probed_slowly_and_loses_nothing(tmp_path: Path) -> None:
    sink = MemorySink(*[blocked()] * 10)
    async with world(tmp_path) as journal, running(journal, sink) as runner:
        await append(journal, numbered(1))
        await asyncio.sleep(30)
        assert runner.status.health is Health.BLOCKED
        assert (runner.status.reason, runner.status.error) == ("denied", "who are you?")
        await append(journal, numbered(2, 3))
        await settled(journal, 3)
        waits = [b - a for a, b in zip(sink.times, sink.times[1:10], strict=False)]
        assert min(waits) >= 59.9 and max(waits) <= 300.1
        assert sink.arrived == web(1, 2, 3)
        assert runner.status.health is Health.OK


# -- row S26 -----------------------------------------------------------------------------------------

UNDOCUMENTED: list[BaseException] = [
    RuntimeError("x"),
    ValueError("x"),
    KeyError("x"),
    AttributeError("x"),
    OSError(5, "x"),
    UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
    asyncio.CancelledError(),
    TimeoutError(),
    asyncio.IncompleteReadError(b"", 1),
    asyncio.InvalidStateError(),
    StopIteration(),
    StopAsyncIteration(),
    MemoryError(),
    RecursionError(),
    AssertionError(),
    NotImplementedError(),
    EOFError(),
    ExceptionGroup("x", [ValueError("x"), SinkError("x", reason="x")]),
    SinkError("x", reason="x"),
]


@pytest.mark.parametrize("error", UNDOCUMENTED, ids=[type(error).__name__ for error in UNDOCUMENTED])
@pytest.mark.parametrize("place", ["open", "send", "after", "close"])
@in_virtual_time
async def test_s26_whatever_a_sink_raises_the_loop_lives_and_tries_again(
    place: str, error: BaseException, tmp_path: Path
) -> None:
    script = {"send": [error] * 3, "after": [lost_answer(error)]}.get(place, [])
    sink = MemorySink(*script)
    sink.opening = [error] * 3 if place == "open" else []
    sink.closing = error if place == "close" else None
    async with world(tmp_path) as journal, running(journal, sink):
        await append(journal, numbered(1, 2))
        await settled(journal, 2)
        assert outcomes(journal) == {Outcome.DELIVERED: 2}
        assert sink.arrived[-2:] == web(1, 2)


@pytest.mark.parametrize("answer", [None, True, [], "sent"])
@in_virtual_time
async def test_s26_an_answer_that_is_none_is_no_success(answer: Any, tmp_path: Path) -> None:
    async def nonsense(*_: Any) -> Any:
        return answer

    sink = MemorySink(nonsense, nonsense)
    async with world(tmp_path) as journal, running(journal, sink) as runner:
        await append(journal, numbered(1))
        await settled(journal, 1)
        assert sink.arrived == web(1)
        assert runner.status.attempts == {"retry:unexpected": 2, "sent": 1}


@pytest.mark.parametrize("kind", [Retry, Rejected, Blocked])
@in_virtual_time
async def test_no_failure_of_opening_loses_anything(kind: type[SinkError], tmp_path: Path) -> None:
    sink = MemorySink()
    sink.opening = [kind("x", reason="x")] * 5
    async with world(tmp_path) as journal, running(journal, sink) as runner:
        await append(journal, numbered(1))
        await asyncio.sleep(0.01)
        assert runner.status.health in {Health.RETRYING, Health.BLOCKED}
        await settled(journal, 1)
        assert sink.opened == [None] * 6


@in_virtual_time
async def test_opening_that_hangs_is_given_up_and_tried_again(tmp_path: Path) -> None:
    class Slow(MemorySink):
        async def open(self, state: bytes | None) -> bytes | None:
            await super().open(state)
            if len(self.opened) < 3:
                await asyncio.Event().wait()
            return None

    sink = Slow()
    async with world(tmp_path) as journal, running(journal, sink, config(timeout=2)):
        await append(journal, numbered(1))
        await settled(journal, 1)
        assert len(sink.opened) == 3


@in_virtual_time
async def test_closing_that_hangs_does_not_keep_the_daemon(tmp_path: Path) -> None:
    class Sticky(MemorySink):
        async def close(self) -> None:
            await super().close()
            await asyncio.Event().wait()

    async with world(tmp_path) as journal, running(journal, Sticky(), config(timeout=2)):
        await append(journal, numbered(1))
        await settled(journal, 1)
    assert read_books(tmp_path).readers["memory"].cursor == 1
