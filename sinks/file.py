"""`kind: file`: events as JSON lines in a file on disk, rotated by size and time, with nothing in it twice.

How kill -9 leaves no duplicates. `send` returns after fsync, with the place that the file has
reached as its state, and the journal settles that state together with the cursor. What stands in
the file behind the settled place belongs to sends that will be repeated, so `open` cuts it off.

A place (`sinks/_place.py`) names no file: `open` looks for the file, current or rotated, that has the
right bytes before it. What is cut is only ever behind bytes that this sink wrote.

That holds for what a crash can leave, which is little. Where more stands behind the settled place
(a state directory restored from a backup), or the place is nowhere, nothing is cut: it is told, and
events can be in the file twice.

The first place is the file as `open` found it, kept before anything is sent.

A rotation is one rename, to `<path>.<number>` with rising numbers; then a new file is begun. Every
step can be the last before a crash: `open` undoes rotations newer than the settled place by
deleting what is newer (all of it unsettled) and renaming the file back. What may have to come back
is not compressed yet (`sinks/_rotated.py` has the rest about files put aside).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, TypeVar

import msgspec
from msgspec import Meta

from eventer.errors import Blocked, Retry, SinkError
from eventer.failpoint import hit
from eventer.sink import Batch, Sent, SinkConfig, SinkContext
from eventer.values import Duration, Size
from sinks._disk import check, failure
from sinks._place import TAIL, Place, holds, place_of
from sinks._rotated import Rotated, sync_directory

__all__ = ["Config", "Sink"]

T = TypeVar("T")

BLOCK: Final = 64 << 10
"""Bytes read at once when looking for the last line break."""
UNSETTLED: Final = 4
"""Sends that can stand behind the settled place at most: one in flight and one whose settling is
not done, twice for safety. Counted as `batch.bytes` each, and as `LARGE` if that is less."""
LARGE: Final = 4 << 20


class Config(SinkConfig, kw_only=True):
    """Options of `kind: file`."""

    keeps_state: ClassVar[bool] = True
    """How far the file is written: what stands behind that is cut off."""
    path: Annotated[str, Meta(min_length=1)]
    """File to append to. Its directory must exist; rotated files lie beside it, as
    `<path>.000001` and so on."""
    max_size: Size = Size(100 << 20)
    """Size at which the file is rotated. A single larger send still goes into one file."""
    rotate_every: Annotated[Duration | None, Meta(examples=["24h"])] = None
    """Rotate by time as well, at multiples of this: `24h` begins a new file with the first events after
    midnight UTC, `1h` after each full hour."""
    keep: Annotated[int, Meta(ge=2, le=100_000)] = 9
    """Rotated files that are kept; older ones are deleted. At least 2, because after a crash the
    sink may have to go back two rotations."""
    gzip: bool = False
    """Compress rotated files, to `<path>.000001.gz` and so on."""

    def __post_init__(self) -> None:
        """Check the time.

        Raises:
            ValueError: it is no time to rotate by.
        """
        super().__post_init__()
        if self.rotate_every is not None and self.rotate_every < 1:
            raise ValueError("rotate_every: a file needs some time; write for example 24h, or leave it out")


class Sink:
    """See `eventer.sink.Sink`. All file operations run in a thread, one at a time."""

    def __init__(self, config: Config, context: SinkContext) -> None:
        self._config = config
        self._clock = context.clock
        self._path = Path(os.path.realpath(config.path))  # a rename must move the file, not a link to it
        self._rotated = Rotated(self._path, config.keep)
        self._fd = -1
        self._length = 0
        """Bytes of the current file that are written, synced and reported."""
        self._tail = b""
        self._dirty = False
        """Whether something may stand behind `_length` that is not reported."""
        self._told = False
        self._written = 0.0
        """Wall clock in seconds of the last write to the current file."""
        self._sends = 0
        self._to_pack: dict[Path, int] = {}
        """Files to be compressed, and the number of sends from which on they cannot have to come back."""
        self._packing: asyncio.Future[None] | None = None
        self._job: asyncio.Future[Any] | None = None

    async def open(self, state: bytes | None) -> bytes:
        """Open the file, cut off what was not settled, or without a state repair a torn last line.

        Returns:
            The place from which on everything is undone after a kill, until a send is settled.

        Raises:
            Blocked: the path cannot be used.
            Retry: the disk refuses; or, once, the settled place is in no file any more (the next
                call then goes on with what is there).
        """
        await self._stop_packing()
        await self._run(lambda: self._open(state))
        self._pack()
        return self._state()

    async def send(self, batch: Batch) -> Sent:
        """Append the events and return when they are on the disk.

        Raises:
            Blocked: the path cannot be used any more.
            Retry: the disk refuses; or somebody else moved, deleted or changed the file, which is
                told once and then lived with.
        """
        data = b"\n".join(batch.lines) + b"\n"
        # Only this line moves `_length`: a send that failed or was cancelled is undone by the next.
        self._length, self._tail = await self._run(lambda: self._append(data))
        self._dirty = False
        self._sends += 1
        self._pack()
        return Sent(state=self._state())

    def _state(self) -> bytes:
        return msgspec.json.encode(place_of(self._length, self._tail))

    async def close(self) -> None:
        """Undo a send that was cancelled, and close the file."""
        await self._stop_packing()
        await self._finish()
        await asyncio.to_thread(self._close)

    async def _run(self, work: Callable[[], T]) -> T:
        """Run file operations in a thread. It cannot be cancelled, so the next call waits for it.

        Raises:
            Retry, Blocked: what failed, in words.
        """
        await self._finish()
        job = self._job = asyncio.ensure_future(asyncio.to_thread(work))
        try:
            return await asyncio.shield(job)
        except SinkError:
            raise
        except OSError as error:
            raise failure(error, self._path) from None
        except Exception as error:  # noqa: BLE001 - nothing undocumented gets out of a sink
            raise Retry(f"Writing {self._path} failed with {type(error).__name__}.", reason="unknown") from None

    async def _finish(self) -> None:
        """Wait for the thread of a call that was cancelled."""
        if self._job is not None:
            await asyncio.wait([self._job])
            if not self._job.cancelled():
                self._job.exception()  # marks it as seen; the call that began it is over
            self._job = None

    def _pack(self) -> None:
        """Begin to compress what is ready for it. The next send does not wait for that."""
        ready = [path for path, sends in self._to_pack.items() if sends <= self._sends]
        if ready and (self._packing is None or self._packing.done()):
            for path in ready:
                del self._to_pack[path]
            self._packing = asyncio.ensure_future(asyncio.to_thread(self._rotated.pack, ready))

    async def _stop_packing(self) -> None:
        if self._packing is not None:
            self._rotated.stop()
            await asyncio.wait([self._packing])
            self._packing = None

    # What follows runs in a thread.

    def _open(self, state: bytes | None) -> None:
        self._release()
        check(Path(self._config.path))
        self._begin()
        self._rotated.recover()
        place = None
        if state is not None:
            with contextlib.suppress(msgspec.MsgspecError):  # the state of another kind of sink
                place = msgspec.json.decode(state, type=Place)
        lost = state is not None
        if place and self._go_back(place):
            _cut(self._fd, place.length)
            lost = False
        else:
            self._repair()
        os.fsync(self._fd)
        self._measure()
        self._to_pack = {}
        self._plan_packing(self._sends)  # what is aside now is older than the place
        if lost and not self._told:
            self._told = True
            self._release()
            raise Retry(
                f"{self._path} is not as it was left at the last settled send: it was moved, deleted, shortened, or "
                "goes on far beyond. Nothing is cut off it; events can be in it twice.",
                reason="changed",
                after=0.0,
            )

    def _go_back(self, place: Place) -> bool:
        """Make the file that holds the place the current one; False if there is none."""
        newer: list[Path] = []
        beyond = -place.length
        for path in [self._path, *reversed(self._rotated.returnable())]:
            beyond += path.stat().st_size
            if holds(path, place):
                break
            newer.append(path)
        else:
            return False
        if beyond > UNSETTLED * max(self._config.batch.bytes, LARGE):
            return False
        for file in newer:
            file.unlink()
            hit("file.undone")
        if newer:
            path.rename(self._path)
            hit("file.back")
            self._release()
            self._begin()
            sync_directory(self._path.parent)
        return True

    def _begin(self) -> None:
        """Open the current file, making it if need be, and lock it against a second writer."""
        fresh = not self._path.exists()
        self._fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._release()
            raise Blocked(
                f"{self._path} is written by another sink or another process. Give each a file of its own.",
                reason="locked",
            ) from None
        if fresh:
            hit("file.made")
            sync_directory(self._path.parent)

    def _repair(self) -> None:
        """Cut off a last line without line break, which a crash left.

        Only what begins like our lines is cut; to anything else a line break is added, so that a
        wrong path destroys nothing.
        """
        size = os.fstat(self._fd).st_size
        start, piece = size, b""
        while start > 0 and b"\n" not in piece:
            step = min(BLOCK, start)
            start -= step
            piece = os.pread(self._fd, step, start)
        begin = start + piece.rfind(b"\n") + 1
        if begin == size:
            return
        if os.pread(self._fd, 1, begin) == b"{":
            os.ftruncate(self._fd, begin)
        else:
            _write(self._fd, b"\n")

    def _measure(self) -> None:
        """Take the file as it is as the place reached."""
        status = os.fstat(self._fd)
        self._length, self._written = status.st_size, status.st_mtime
        first = max(0, self._length - TAIL)
        self._tail = os.pread(self._fd, self._length - first, first)
        self._dirty = False

    def _append(self, data: bytes) -> tuple[int, bytes]:
        if self._fd < 0:  # making the new file failed after a rotation
            self._begin()
            self._measure()
        self._look()
        if self._dirty:
            _cut(self._fd, self._length)
        now = self._clock.now().timestamp()
        if self._length and (self._length + len(data) > self._config.max_size or self._over(now)):
            self._rotate()
        self._dirty = True
        hit("file.write")
        _write(self._fd, data)
        hit("file.sync")
        os.fsync(self._fd)
        hit("file.synced")
        self._written = now
        return self._length + len(data), (self._tail + data[-TAIL:])[-TAIL:]

    def _look(self) -> None:
        """See whether somebody else touched the file since the last send.

        Raises:
            Retry: yes; all is ready for going on.
        """
        mine = os.fstat(self._fd)
        try:
            there = self._path.stat()
        except FileNotFoundError:
            there = None
        if there is None or (there.st_ino, there.st_dev) != (mine.st_ino, mine.st_dev):
            what = "was moved or deleted"
        elif mine.st_size < self._length or (mine.st_size > self._length and not self._dirty):
            what = "was shortened or written to"
        else:
            return
        self._release()
        self._begin()
        self._repair()
        self._measure()
        raise Retry(f"{self._path} {what} by somebody else. Going on with what is there.", reason="changed", after=0.0)

    def _over(self, now: float) -> bool:
        """Whether the time of the current file is over."""
        every = self._config.rotate_every
        return every is not None and now // every != self._written // every

    def _rotate(self) -> None:
        """Put the current file aside and begin a new one; nothing unreported is in it."""
        self._rotated.put_aside()
        hit("file.renamed")
        old, self._fd = self._fd, -1
        os.close(old)
        self._begin()
        self._measure()
        self._rotated.prune()
        self._plan_packing(self._sends + UNSETTLED)

    def _plan_packing(self, sends: int) -> None:
        """Have files that are aside compressed once there were so many sends."""
        if self._config.gzip:
            for path in self._rotated.plain():
                self._to_pack.setdefault(path, sends)

    def _close(self) -> None:
        if self._fd >= 0 and self._dirty:
            # What cannot be undone now is undone by `open`, from the settled place.
            with contextlib.suppress(OSError):
                _cut(self._fd, self._length)
        self._release()

    def _release(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _cut(fd: int, length: int) -> None:
    """Shorten a file; never lengthen it, which would fill it with NUL. Its time stays that of the last write."""
    status = os.fstat(fd)
    if status.st_size > length:
        os.ftruncate(fd, length)
        os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))
