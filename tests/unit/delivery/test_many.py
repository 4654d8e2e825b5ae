"""Row S22: hundreds of sinks, some of which come and go. Nobody waits for them, and memory stays bounded."""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc
from pathlib import Path

from eventer.event import Outcome
from eventer.journal import read_books
from tests.helpers.journals import append, balanced, numbered, opened
from tests.helpers.memory_sink import MemorySink, config, ok, retry, running
from tests.helpers.virtual import in_virtual_time

MANY = 200
FLAPPING = 20
EVENTS = 200


@in_virtual_time
async def test_s22_hundreds_of_sinks_with_some_that_flap(tmp_path: Path) -> None:
    """A healthy sink has everything at once; one that flaps has it later, each event once, in order."""
    flapping = [
        MemorySink(*[answer for _ in range(12) for answer in (retry(), ok(), retry())]) for _ in range(FLAPPING)
    ]
    healthy = [MemorySink() for _ in range(MANY - FLAPPING)]
    async with opened(tmp_path) as journal, contextlib.AsyncExitStack() as stack:
        for number, sink in enumerate([*flapping, *healthy]):
            await stack.enter_async_context(running(journal, sink, config(count=10), name=f"sink-{number}"))
        began = asyncio.get_running_loop().time()
        for start in range(0, EVENTS, 40):
            await append(journal, numbered(*range(start, start + 40)))

        async def has_all(sinks: list[MemorySink]) -> None:
            while not all(len(sink.arrived) == EVENTS for sink in sinks):
                await asyncio.sleep(0.01)

        await has_all(healthy)
        waited = asyncio.get_running_loop().time() - began
        assert waited < 1.0  # of virtual time: not one back-off of another sink's
        tracemalloc.start()
        await has_all(flapping)
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert grown < 20 << 20
        names = [f"web-{number}" for number in range(EVENTS)]
        assert all(sink.arrived == names for sink in [*flapping, *healthy])
    balanced(tmp_path)
    readers = read_books(tmp_path).readers
    assert len(readers) == MANY
    assert all(reader.outcomes == {Outcome.DELIVERED: EVENTS} for reader in readers.values())
