"""`kind: file`: what is in the file after whatever happened to the process, the disk or the file."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gzip
import os
import resource
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from eventer.errors import Blocked, Retry
from eventer.event import Event
from eventer.sink import BatchConfig
from eventer.values import Duration, Size
from tests.helpers.sinks import CANARY, Harness, batch_of, make_event

VARIANTS = ["plain", "rotating"]


class FileHarness(Harness):
    """The far side is a directory. Faults of the disk are raised where the kernel would."""

    kind = "file"
    sends_lines = True
    absent: ClassVar = {
        "rejected": "a file takes everything",
        "too_large": "a file takes everything",
        "throttled": "a file names no wait",
        "timeout": "a hanging disk cannot be cancelled; that nothing is left behind is tested",
        "cut": "a write that stops half-way is 'unavailable'",
    }

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, variant: str = "plain") -> None:
        self.path = path
        self._variant = variant
        self._patch = monkeypatch
        self._fsync = os.fsync
        self._go_on = threading.Event()
        self._hangs = threading.Event()

    def options(self) -> dict[str, Any]:
        rotation = {"max_size": Size(1000), "rotate_every": Duration(1), "keep": 1000, "gzip": True}
        return {"path": str(self.path)} | (rotation if self._variant == "rotating" else {})

    def arrived(self) -> list[str]:
        return everything(self.path)

    def play(self, fault: str) -> None:
        errors = {
            "unavailable": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
            "denied": OSError(errno.EACCES, os.strerror(errno.EACCES)),
            "unknown": ZeroDivisionError(CANARY),
        }

        def broken(fd: int) -> None:
            raise errors[fault]

        self._patch.setattr(os, "fsync", broken)

    def heal(self) -> None:
        self._patch.setattr(os, "fsync", self._fsync)

    async def stall(self) -> None:
        def slow(fd: int) -> None:
            self._hangs.set()
            self._go_on.wait()
            self._fsync(fd)

        self._patch.setattr(os, "fsync", slow)

    async def stalled(self) -> None:
        await asyncio.to_thread(self._hangs.wait)

    async def unstall(self) -> None:
        self._go_on.set()


@contextlib.asynccontextmanager
async def harness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str = "plain"
) -> AsyncIterator[FileHarness]:
    made = FileHarness(tmp_path / "events.jsonl", monkeypatch, variant)
    yield made
    await made.unstall()
    made.heal()


@pytest.fixture
async def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FileHarness]:
    async with harness(tmp_path, monkeypatch) as made:
        yield made


def events_in(data: bytes) -> list[str]:
    """Read what must be whole lines and nothing else; return the ids."""
    assert not data or data.endswith(b"\n")
    return [msgspec.json.decode(line, type=Event).id for line in data.splitlines()]


def everything(path: Path) -> list[str]:
    """Return the ids in all files of a sink, oldest first, as a reader does who knows that a file is packed.

    For a moment a number has two files, the second of which is the plain one, about to go.
    """
    numbers = {file.name.removeprefix(f"{path.name}.").partition(".")[0] for file in path.parent.glob(f"{path.name}.*")}
    parts = [_rotated(path.with_name(f"{path.name}.{number}")) for number in sorted(numbers)]
    parts.append(path.read_bytes() if path.exists() else b"")
    return [found for part in parts for found in events_in(part)]


def _rotated(plain: Path) -> bytes:
    while True:
        with contextlib.suppress(FileNotFoundError):
            return gzip.decompress(plain.with_name(f"{plain.name}.gz").read_bytes())
        with contextlib.suppress(FileNotFoundError):  # it was packed since we looked
            return plain.read_bytes()
        if all(path.suffix == ".part" for path in plain.parent.glob(f"{plain.name}*")):
            return b""  # deleted, since there are enough newer ones


def ids(*numbers: int) -> list[str]:
    return [make_event(number).id for number in numbers]


async def opened(disk: FileHarness, state: bytes | None = None, **options: Any) -> Any:
    sink = disk.sink(**options)
    await sink.open(state)
    return sink


async def send(sink: Any, *numbers: int) -> bytes:
    state: bytes = (await sink.send(batch_of([make_event(number) for number in numbers]))).state
    return state


async def test_lines_are_those_of_the_journal(disk: FileHarness) -> None:
    sink = await opened(disk)
    batch = batch_of([make_event(1), make_event(2)])
    await sink.send(batch)
    assert disk.path.read_bytes() == b"".join(line + b"\n" for line in batch.lines)
    await sink.close()


async def test_what_was_not_settled_is_cut_off(disk: FileHarness) -> None:
    sink = await opened(disk)
    settled = await send(sink, 1, 2)
    await send(sink, 3)
    await send(sink, 4)
    await sink.close()
    sink = await opened(disk, settled)
    await send(sink, 3)
    assert everything(disk.path) == ids(1, 2, 3)
    await sink.close()


async def test_rotates_by_size_and_keeps_so_many(disk: FileHarness) -> None:
    sink = await opened(disk, max_size=Size(1000), keep=3)
    for number in range(9):
        await send(sink, number)
    await sink.close()
    names = sorted(path.name for path in disk.path.parent.iterdir())
    assert names == ["events.jsonl", "events.jsonl.000002", "events.jsonl.000003", "events.jsonl.000004"]
    assert all(path.stat().st_size <= 1000 for path in disk.path.parent.iterdir())
    kept = everything(disk.path)
    assert kept == ids(*range(9))[-len(kept) :]


async def test_a_rotation_behind_the_settled_place_is_undone(disk: FileHarness) -> None:
    sink = await opened(disk, max_size=Size(1000))
    settled = await send(sink, 1)
    await send(sink, 2)
    await send(sink, 3)
    await send(sink, 4)
    await sink.close()
    assert len(list(disk.path.parent.iterdir())) > 1
    sink = await opened(disk, settled, max_size=Size(1000))
    assert everything(disk.path) == ids(1)
    assert [path.name for path in disk.path.parent.iterdir()] == ["events.jsonl"]
    await send(sink, 2)
    assert everything(disk.path) == ids(1, 2)
    await sink.close()


async def test_the_settled_place_is_known_by_content_not_by_inode(disk: FileHarness) -> None:
    sink = await opened(disk)
    settled = await send(sink, 1)
    await send(sink, 2)
    await sink.close()
    copy = disk.path.read_bytes()  # a volume restored or copied elsewhere: other inode, same bytes
    disk.path.rename(disk.path.with_name("old"))
    disk.path.write_bytes(copy)
    sink = await opened(disk, settled)
    assert everything(disk.path) == ids(1)
    await sink.close()


@pytest.mark.parametrize(
    ("found", "left"),
    [
        (b'{"id":"a"}\n{"id":"b","ti', b'{"id":"a"}\n'),
        (b'{"id":"a', b""),
        (b'{"id":"' + b"x" * 200_000, b""),
        (b'{"id":"a"}\n{"id":"' + b"x" * 200_000, b'{"id":"a"}\n'),
        (b"not ours", b"not ours\n"),
        (b'{"id":"a"}\nnot ours', b'{"id":"a"}\nnot ours\n'),
        (b"", b""),
        (b'{"id":"a"}\n', b'{"id":"a"}\n'),
    ],
)
async def test_without_a_state_a_torn_last_line_is_repaired(disk: FileHarness, found: bytes, left: bytes) -> None:
    disk.path.write_bytes(found)
    sink = await opened(disk)
    assert disk.path.read_bytes() == left
    await sink.close()


@pytest.mark.parametrize("how", ["deleted", "shortened", "emptied", "state of something else", "far beyond"])
async def test_a_settled_place_that_is_gone_is_told_once(disk: FileHarness, how: str) -> None:
    sink = await opened(disk)
    settled = await send(sink, 1, 2)
    await sink.close()
    if how == "deleted":
        disk.path.unlink()
    elif how == "shortened":
        os.truncate(disk.path, disk.path.stat().st_size - 10)
    elif how == "emptied":
        os.truncate(disk.path, 0)
    elif how == "state of something else":
        settled = b"offset=12"
    else:  # a state directory restored from a backup: what stands there cannot be written again
        with disk.path.open("ab") as file:
            file.write(batch_of([make_event(3, message="x" * (17 << 20))]).lines[0] + b"\n")
    sink = disk.sink(batch=BatchConfig(bytes=Size(1 << 20)))
    with pytest.raises(Retry) as caught:
        await sink.open(settled)
    assert caught.value.reason == "changed"
    before = everything(disk.path)
    await sink.open(settled)
    await send(sink, 4)
    assert everything(disk.path) == before + ids(4)
    await sink.close()
    if how == "far beyond":
        assert before == ids(1, 2, 3)


@pytest.mark.parametrize("how", ["deleted", "moved", "replaced", "shortened", "written to"])
async def test_a_file_that_others_touch_is_told_once_and_lived_with(disk: FileHarness, how: str) -> None:
    sink = await opened(disk)
    await send(sink, 1)
    if how == "deleted":
        disk.path.unlink()
    elif how == "moved":
        disk.path.rename(disk.path.with_name("elsewhere"))
    elif how == "replaced":
        other = disk.path.with_name("other")
        other.write_bytes(b"")
        other.rename(disk.path)
    elif how == "shortened":
        os.truncate(disk.path, 0)
    else:
        with disk.path.open("ab") as file:
            file.write(b"{}\n")
    with pytest.raises(Retry) as caught:
        await send(sink, 2)
    assert (caught.value.reason, caught.value.after) == ("changed", 0.0)
    settled = await send(sink, 2)
    await send(sink, 3)
    await sink.close()
    sink = await opened(disk, settled)
    assert disk.path.read_bytes().endswith(batch_of([make_event(2)]).lines[0] + b"\n")
    await sink.close()


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the kernel refuse to make files larger than this, in the middle of a write (EFBIG)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_half_a_write_is_taken_back(disk: FileHarness) -> None:
    sink = await opened(disk)
    await send(sink, 1)
    with largest_file(disk.path.stat().st_size + 100), pytest.raises(Retry) as caught:
        await send(sink, 2, 3)
    assert caught.value.reason == "disk"
    await send(sink, 2, 3)
    assert everything(disk.path) == ids(1, 2, 3)
    await sink.close()


async def test_a_failed_send_is_taken_back_by_close(disk: FileHarness) -> None:
    sink = await opened(disk)
    await send(sink, 1)
    disk.play("unavailable")
    with pytest.raises(Retry):
        await send(sink, 2)
    await sink.close()
    disk.heal()
    assert everything(disk.path) == ids(1)


async def test_a_cancelled_send_is_taken_back(disk: FileHarness) -> None:
    sink = await opened(disk)
    await send(sink, 1)
    await disk.stall()
    sending = asyncio.create_task(send(sink, 2))
    await disk.stalled()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await disk.unstall()
    await send(sink, 3)
    assert everything(disk.path) == ids(1, 3)
    await sink.close()


async def test_a_rotation_that_fails_half_way_is_finished_later(
    disk: FileHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = await opened(disk, max_size=Size(800))
    await send(sink, 1)
    original = os.open

    def full(path: Any, flags: int, *mode: Any) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(path, flags, *mode)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(Retry):
        await send(sink, 2)
    monkeypatch.setattr(os, "open", original)
    await send(sink, 2)
    assert everything(disk.path) == ids(1, 2)
    assert len(list(disk.path.parent.iterdir())) == 2
    await sink.close()


async def test_two_sinks_cannot_write_one_file(disk: FileHarness) -> None:
    first, second = await opened(disk), disk.sink()
    settled = await send(first, 1)
    with pytest.raises(Blocked) as caught:
        await second.open(settled)
    assert caught.value.reason == "locked"
    await send(first, 2)
    await first.close()
    await second.open(None)
    assert everything(disk.path) == ids(1, 2)
    await second.close()


async def test_what_is_no_file_is_refused(disk: FileHarness, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/null"), tmp_path / "missing" / "events"):
        sink = disk.sink(path=str(path))
        with pytest.raises(Blocked) as caught:
            await sink.open(None)
        assert caught.value.reason == "path"
        await sink.close()


async def test_a_link_is_followed_so_that_rotation_moves_the_file(disk: FileHarness, tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    disk.path.symlink_to(tmp_path / "volume" / "real.jsonl")
    sink = await opened(disk, max_size=Size(800))
    await send(sink, 1)
    await send(sink, 2)
    await sink.close()
    assert disk.path.is_symlink()
    assert everything(tmp_path / "volume" / "real.jsonl") == ids(1, 2)


async def test_the_file_is_not_for_everybody(disk: FileHarness) -> None:
    sink = await opened(disk)
    await sink.close()
    assert not disk.path.stat().st_mode & 0o007
