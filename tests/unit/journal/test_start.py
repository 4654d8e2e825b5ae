"""Row Q7: what a start reads does not grow with the log. Its seconds and memory with 1 GiB are `make bench ARGS=start`."""

from __future__ import annotations

import asyncio
import tracemalloc
from pathlib import Path

import pytest

from eventer.journal.files import FILE
from tests.helpers.backlog import fill
from tests.helpers.journals import balanced, opened

FEW = 128 << 10
"""Bytes: a search in each table of a file four times as long, and what else a process reads."""


def _read() -> int:
    """Bytes that this process has read, from the page cache or from the disk."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["rchar"])


async def _start(directory: Path, max_size: int) -> tuple[int, int]:
    """Open a journal and keep house once; return bytes read and memory that was taken at most."""
    tracemalloc.start()
    before = _read()
    try:
        async with opened(directory, max_size=max_size) as journal:
            await journal.tidy()
            assert (journal.shed_to > 0) == (journal.backlog > max_size)
            assert await journal.oldest() == 0
            assert journal.backlog > (directory / FILE).stat().st_size // 2
            return _read() - before, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("per_row", [2000, 1])
@pytest.mark.parametrize("max_size", [1 << 40, 1 << 20], ids=["", "over the cap"])
def test_q7_a_start_reads_no_log(tmp_path: Path, per_row: int, max_size: int) -> None:
    costs = []
    for size in (4 << 20, 16 << 20):
        directory = tmp_path / f"{size}"
        directory.mkdir()
        fill(directory, size, per_row=per_row)
        costs.append(asyncio.run(_start(directory, max_size)))
        balanced(directory)
    (short, small), (long, large) = costs
    assert long < short + FEW
    assert large < small + FEW
