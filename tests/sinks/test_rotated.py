"""`kind: file`, files put aside: by time, compressed, and never in the way of what a crash needs."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gzip
import os
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from eventer.clock import SystemClock
from eventer.errors import Blocked, Retry
from eventer.sink import SinkContext
from eventer.values import Duration, Size
from sinks import _rotated
from sinks.file import UNSETTLED, Config, Sink
from tests.helpers.sinks import batch_of, make_event
from tests.helpers.until import until
from tests.sinks.test_file import everything, ids, send


class DayClock(SystemClock):
    """A wall clock that tests set."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 1, 22, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


@contextlib.asynccontextmanager
async def opened(directory: Path, state: bytes | None = None, **options: Any) -> AsyncIterator[Sink]:
    clock = options.pop("clock", None) or DayClock()
    config = Config(kind="file", path=str(directory / "e.jsonl"), timeout=Duration(30), **options)
    sink = Sink(config, SinkContext(name="x", clock=clock))
    try:
        await sink.open(state)
        yield sink
    finally:
        await sink.close()


def names(directory: Path) -> list[str]:
    return sorted(path.name.removeprefix("e.jsonl") or "current" for path in directory.iterdir())


def as_of(path: Path, when: datetime) -> None:
    """Let a file have been written at a time, as one that was written under a set clock has not."""
    os.utime(path, (when.timestamp(), when.timestamp()))


async def test_a_new_file_begins_with_the_first_events_after_midnight(tmp_path: Path) -> None:
    clock = DayClock()
    async with opened(tmp_path, clock=clock, rotate_every=Duration(86_400)) as sink:
        as_of(tmp_path / "e.jsonl", clock.time)
        for number in range(6):  # 22:00, 22:50, 23:40, 00:30, 01:20, 02:10
            await send(sink, number)
            clock.time += timedelta(minutes=50)
        assert len(events(tmp_path / "e.jsonl.000001")) == 3
        assert names(tmp_path) == [".000001", "current"]
        clock.time += timedelta(days=3)
        assert names(tmp_path) == [".000001", "current"], "nothing came, nothing is rotated"
        await send(sink, 6)
    assert [len(events(tmp_path / f"e.jsonl{name}")) for name in (".000001", ".000002", "")] == [3, 3, 1]


async def test_the_time_of_a_file_is_known_after_a_restart(tmp_path: Path) -> None:
    clock = DayClock()
    async with opened(tmp_path, clock=clock, rotate_every=Duration(3600)) as sink:
        settled = await send(sink, 1)
        await send(sink, 2)  # not settled: cut off at the start, which is not taken for writing
    as_of(tmp_path / "e.jsonl", clock.time)
    async with opened(tmp_path, settled, clock=clock, rotate_every=Duration(3600)) as sink:
        settled = await send(sink, 2)
        assert names(tmp_path) == ["current"]
        await send(sink, 3)
    as_of(tmp_path / "e.jsonl", clock.time)
    clock.time += timedelta(hours=1)
    async with opened(tmp_path, settled, clock=clock, rotate_every=Duration(3600)) as sink:
        await send(sink, 3)
    assert [events(tmp_path / f"e.jsonl{name}") for name in (".000001", "")] == [ids(1, 2), ids(3)]


async def test_a_clock_that_jumps_back_costs_a_file_and_no_event(tmp_path: Path) -> None:
    clock = DayClock()
    async with opened(tmp_path, clock=clock, rotate_every=Duration(3600)) as sink:
        as_of(tmp_path / "e.jsonl", clock.time)
        for number, hours in enumerate((0, 1, -2000, 0, 0)):
            clock.time += timedelta(hours=hours)
            await send(sink, number)
    assert names(tmp_path) == [".000001", ".000002", "current"]
    assert everything(tmp_path / "e.jsonl") == ids(*range(5))


def test_a_time_to_rotate_by_is_one() -> None:
    with pytest.raises(ValueError, match="24h"):
        Config(kind="file", path="x", rotate_every=Duration(0))


def events(path: Path) -> list[str]:
    data = path.read_bytes()
    lines = (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines()
    known = {batch_of([make_event(number)]).lines[0]: make_event(number).id for number in range(50)}
    return [known[line] for line in lines]


async def test_what_cannot_have_to_come_back_is_compressed(tmp_path: Path) -> None:
    async with opened(tmp_path, max_size=Size(800), gzip=True, keep=100) as sink:
        for number in range(2 + UNSETTLED - 1):
            await send(sink, number)
        assert not list(tmp_path.glob("*.gz*")), "a crash may want them back"
        await send(sink, 40)
        await until(lambda: not (tmp_path / "e.jsonl.000001").exists(), "the first file to be compressed")
        assert events(tmp_path / "e.jsonl.000001.gz") == ids(0)
        assert (tmp_path / "e.jsonl.000002").exists()
    assert not list(tmp_path.glob("*.part"))
    assert everything(tmp_path / "e.jsonl") == ids(*range(5), 40)


async def test_a_compressed_file_keeps_its_mode_and_time(tmp_path: Path) -> None:
    async with opened(tmp_path, max_size=Size(800)) as sink:
        await send(sink, 0)
        await send(sink, 1)
    old = tmp_path / "e.jsonl.000001"
    as_of(old, datetime(2026, 1, 1, tzinfo=UTC))
    old.chmod(0o600)
    async with opened(tmp_path, gzip=True):
        await until(lambda: not old.exists(), "the file to be compressed")
    status = (tmp_path / "e.jsonl.000001.gz").stat()
    assert datetime.fromtimestamp(status.st_mtime, UTC) == datetime(2026, 1, 1, tzinfo=UTC)
    assert status.st_mode & 0o777 == 0o600


async def test_an_unsettled_rotation_is_undone_with_compression_as_without(tmp_path: Path) -> None:
    settled = b""
    async with opened(tmp_path, max_size=Size(800), gzip=True, keep=100) as sink:
        for number in range(12):
            state = await send(sink, number)
            settled = state if number == 12 - UNSETTLED else settled  # as far back as a crash can lead
            if sink._packing is not None:  # what is ready while its thread is busy waits for a send
                await sink._packing
        await until(lambda: len(list(tmp_path.glob("*.gz"))) >= 6, "older files to be compressed")
    async with opened(tmp_path, settled, max_size=Size(800), gzip=True, keep=100) as sink:
        assert everything(tmp_path / "e.jsonl") == ids(*range(9))
        for number in range(9, 12):
            await send(sink, number)
    assert everything(tmp_path / "e.jsonl") == ids(*range(12))


async def test_a_place_older_than_a_compressed_file_undoes_nothing(tmp_path: Path) -> None:
    """A state directory from a backup: what was compressed since cannot be written again."""
    async with opened(tmp_path, max_size=Size(800), keep=100) as sink:
        settled = await send(sink, 0)
        for number in range(1, 4):
            await send(sink, number)
    newer = tmp_path / "e.jsonl.000002"
    newer.with_name("e.jsonl.000002.gz").write_bytes(gzip.compress(newer.read_bytes()))
    newer.unlink()
    with pytest.raises(Retry) as caught:
        async with opened(tmp_path, settled, max_size=Size(800), keep=100):
            pass
    assert caught.value.reason == "changed"
    assert everything(tmp_path / "e.jsonl") == ids(*range(4))


async def test_keep_counts_files_in_either_form(tmp_path: Path) -> None:
    async with opened(tmp_path, max_size=Size(800), gzip=True, keep=3) as sink:
        for number in range(20):
            await send(sink, number)
            await until(lambda: not list(tmp_path.glob("*.part")), "no compression to be under way")
    kept = {name.split(".")[1] for name in names(tmp_path) if name != "current"}
    assert kept == {"000017", "000018", "000019"}
    assert everything(tmp_path / "e.jsonl") == ids(*range(16, 20))


async def test_without_gzip_again_what_is_compressed_stays_and_counts(tmp_path: Path) -> None:
    async with opened(tmp_path, max_size=Size(800), gzip=True, keep=100) as sink:
        for number in range(8):
            await send(sink, number)
        await until((tmp_path / "e.jsonl.000001.gz").exists, "a file to be compressed")
    async with opened(tmp_path, None, max_size=Size(800), keep=100) as sink:
        for number in range(8, 12):
            await send(sink, number)
    assert everything(tmp_path / "e.jsonl") == ids(*range(12))


async def test_leftovers_of_a_kill_are_cleared_and_strange_files_left_alone(tmp_path: Path) -> None:
    one = batch_of([make_event(1)]).lines[0] + b"\n"
    (tmp_path / "e.jsonl.000001").write_bytes(one)
    (tmp_path / "e.jsonl.000001.gz").write_bytes(gzip.compress(one))  # whole: it has its name
    (tmp_path / "e.jsonl.000002").write_bytes(one)
    (tmp_path / "e.jsonl.000002.gz.part").write_bytes(gzip.compress(one)[:9])
    strange = ["e.jsonl.000001.zip", "e.jsonl.bak.gz.part", "other.000001.gz.part", "e.jsonl.1.gz"]
    for name in strange:
        (tmp_path / name).write_bytes(b"not ours")
    async with opened(tmp_path):
        found = {path.name for path in tmp_path.iterdir()} - set(strange)
        assert found == {"e.jsonl", "e.jsonl.000001.gz", "e.jsonl.000002"}
    assert all((tmp_path / name).read_bytes() == b"not ours" for name in strange)


async def test_a_second_sink_touches_nothing_of_the_first(tmp_path: Path) -> None:
    async with opened(tmp_path):
        (tmp_path / "e.jsonl.000001.gz.part").write_bytes(b"half")
        with pytest.raises(Blocked):
            async with opened(tmp_path):
                pass
        assert (tmp_path / "e.jsonl.000001.gz.part").exists()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Hold compression at its first block until the event is set."""
    go_on = threading.Event()

    def wait(name: str) -> None:
        if name == "file.pack":
            go_on.wait(5)  # if a send waited for it, the test would fail and not hang

    monkeypatch.setattr(_rotated, "hit", wait)
    return go_on


async def test_sends_do_not_wait_for_a_compression(tmp_path: Path, held: threading.Event) -> None:
    async with opened(tmp_path, max_size=Size(800), gzip=True, keep=100) as sink:
        for number in range(12):
            await send(sink, number)
        assert list(tmp_path.glob("*.part"))
        held.set()
    assert everything(tmp_path / "e.jsonl") == ids(*range(12))


async def test_what_is_deleted_while_it_is_compressed_does_not_come_back(tmp_path: Path, held: threading.Event) -> None:
    async with opened(tmp_path, max_size=Size(800), gzip=True, keep=5) as sink:
        for number in range(12):
            await send(sink, number)
        assert (tmp_path / "e.jsonl.000001.gz.part").exists()
        assert not (tmp_path / "e.jsonl.000001").exists(), "there were enough newer ones meanwhile"
        held.set()
        await until(lambda: not list(tmp_path.glob("*.part")), "the compression to end")
        assert {name.split(".")[1] for name in names(tmp_path) if name != "current"} == {
            f"{number:06}" for number in range(7, 12)
        }
    assert everything(tmp_path / "e.jsonl") == ids(*range(6, 12))


async def test_closing_does_not_wait_for_the_rest_of_a_large_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = 0

    def count(name: str) -> None:
        nonlocal blocks
        if name == "file.pack":
            blocks += 1
            began.set()
            if not closing.wait(5):  # so that a broken sink fails the test and does not hang
                closing.set()

    began, closing = threading.Event(), threading.Event()
    monkeypatch.setattr(_rotated, "hit", count)
    with (tmp_path / "e.jsonl.000001").open("wb") as file:
        file.truncate(100 * _rotated.BLOCK)
    async with opened(tmp_path, gzip=True) as sink:
        await asyncio.to_thread(began.wait)
        ending = asyncio.create_task(sink.close())
        await asyncio.sleep(0)  # it has asked for the end
        closing.set()
        await ending
    assert blocks == 1
    assert names(tmp_path) == [".000001", "current"]


async def test_a_file_that_cannot_be_compressed_stays_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = 0

    def full(name: str) -> None:
        nonlocal tried
        if name == "file.packed":
            tried += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with opened(tmp_path, max_size=Size(800), gzip=True, keep=100) as sink:
        with monkeypatch.context() as patch:
            patch.setattr(_rotated, "hit", full)
            for number in range(8):
                await send(sink, number)
            await until(lambda: tried and not list(tmp_path.glob("*.part")), "a failure")
            assert not list(tmp_path.glob("*.gz"))
        for number in range(8, 16):
            await send(sink, number)
        await until((tmp_path / "e.jsonl.000001.gz").exists, "another try")
    assert everything(tmp_path / "e.jsonl") == ids(*range(16))
