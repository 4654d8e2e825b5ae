"""An event that kills the process is found and buried; kills for other reasons bury nothing."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from eventer.event import Outcome
from eventer.journal import Journal, Trial
from eventer.sink import Batch, Sent
from tests.helpers.journals import append, balanced, killed, numbered, opened
from tests.helpers.memory_sink import (
    MemorySink,
    RoutedSink,
    closed,
    config,
    hang,
    names,
    outcomes,
    partly,
    retry,
    running,
    settled,
)
from tests.helpers.virtual import in_virtual_time


class Lives:
    """Lives of one daemon: each begins with what the kill of the one before left on the disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.number = 0

    @property
    def directory(self) -> Path:
        return self.root / f"{self.number}"

    def kill(self) -> None:
        killed(self.directory, self.root / f"{self.number + 1}")
        self.number += 1


def deadly(lives: Lives, poison: str, died: asyncio.Event) -> Any:
    """The process dies as soon as it touches the poison: nothing else happens any more in this life."""

    async def answer(sink: MemorySink, batch: Batch) -> Sent:
        if poison in names(batch):
            lives.kill()
            died.set()
            await asyncio.Event().wait()
        sink.keep(names(batch))
        return Sent()

    return answer


async def life(lives: Lives, poison: str, *, n: int = 0) -> tuple[MemorySink, bool]:
    """Run until the process dies, or until everything is settled."""
    died = asyncio.Event()
    sink = MemorySink(otherwise=deadly(lives, poison, died))
    async with opened(lives.directory) as journal, running(journal, sink, config(count=10), stop=False):
        if n:
            await append(journal, numbered(*range(n)))
        done = asyncio.ensure_future(settled(journal, journal.head))
        dead = asyncio.ensure_future(died.wait())
        await asyncio.wait({done, dead}, return_when=asyncio.FIRST_COMPLETED)
        for task in (done, dead):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(done, dead)
        return sink, died.is_set()


@in_virtual_time
async def test_s18_an_event_that_kills_the_process_is_a_dead_letter_after_some_starts(tmp_path: Path) -> None:
    lives = Lives(tmp_path)
    arrived: list[str] = []
    died = True
    starts = 0
    while died:
        sink, died = await life(lives, "web-13", n=0 if starts else 30)
        arrived += sink.arrived
        starts += 1
        assert starts < 14
    assert {*arrived} == {f"web-{n}" for n in range(30) if n != 13}
    async with opened(lives.directory) as journal:
        assert outcomes(journal)[Outcome.DEAD] == 1
        rows = await journal._on_reader(lambda c: c.execute("SELECT number, reason FROM letter").fetchall())
        assert rows == [(13, "crash")]
    balanced(lives.directory)


@in_virtual_time
async def test_s18_a_parked_event_that_kills_the_process_is_found_as_well(tmp_path: Path) -> None:
    lives = Lives(tmp_path)
    async with opened(lives.directory) as journal, running(journal, RoutedSink(otherwise=closed("b"))):
        await append(journal, numbered(0, 1, 2, namespace="b"))
        await settled(journal, 3)
    died, starts, arrived = True, 0, []
    while died:
        over = asyncio.Event()
        sink = MemorySink(otherwise=deadly(lives, "web-1", over))
        async with opened(lives.directory) as journal, running(journal, sink, config(), stop=False):
            async with asyncio.timeout(3600):
                while outcomes(journal)[Outcome.PARKED] and not over.is_set():
                    await asyncio.sleep(0.1)
            died = over.is_set()
        arrived += sink.arrived
        starts += 1
        assert starts < 14
    assert {*arrived} == {"web-0", "web-2"}
    async with opened(lives.directory) as journal:
        assert outcomes(journal) == {Outcome.DELIVERED: 2, Outcome.DEAD: 1}
    balanced(lives.directory)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(retry(), id="refused"),
        pytest.param(hang(), id="hanging"),
        pytest.param(partly({f"web-{n}": retry() for n in (1, 2, 3)}), id="refused item by item"),
    ],
)
@in_virtual_time
async def test_kills_while_a_sink_is_down_bury_nothing(answer: Any, tmp_path: Path) -> None:
    lives = Lives(tmp_path)
    for number in range(8):
        async with (
            opened(lives.directory) as journal,
            running(journal, MemorySink(otherwise=answer), config(timeout=60), stop=False),
        ):
            if not number:
                await append(journal, numbered(1, 2, 3))
            await asyncio.sleep(7.5)
            lives.kill()
    sink = MemorySink()
    async with opened(lives.directory) as journal:
        async with running(journal, sink, config()):
            await settled(journal, 3)
        assert outcomes(journal) == {Outcome.DELIVERED: 3}
    balanced(lives.directory)


@in_virtual_time
async def test_clean_ends_and_idle_starts_are_not_counted(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await _some_starts(journal, MemorySink)
        await append(journal, numbered(1, 2, 3))
        await _some_starts(journal, lambda: MemorySink(otherwise=retry()))
        assert journal.readers["memory"].trial == Trial()
        sink = MemorySink()
        async with running(journal, sink, config()):
            await settled(journal, 3)
        assert len(sink.sent) == 1
    balanced(tmp_path)


async def _some_starts(journal: Journal, make: Any) -> None:
    for _ in range(5):
        async with running(journal, make(), config()):
            await asyncio.sleep(1)
