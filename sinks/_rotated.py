"""Files that `sinks/file.py` has put aside: their numbers, how many are kept, and their compression.

A file is put aside as `<path>.000001` and, if wanted, becomes `<path>.000001.gz`. Compression writes
`<path>.000001.gz.part`, syncs it, renames it to `.gz`, syncs the directory and only then deletes the
plain file. So whatever step is the last one before kill -9, the plain file or the whole `.gz` is
there; where both are, `recover` deletes the plain one. A `.part` counts for nothing.

Compression runs beside everything else in a thread of its own, for as long as a large file takes.
What it and the sink's own thread both do is guarded by a lock: deleting, and swapping the two files.
"""

from __future__ import annotations

import os
import re
import threading
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from eventer.failpoint import hit
from sinks._gzip import GZIP

__all__ = ["Rotated", "sync_directory"]

BLOCK: Final = 1 << 20
"""Bytes compressed at once; between two blocks the thread looks whether to stop."""
LEVEL: Final = 6
"""zlib's own choice; events shrink to about a tenth, at some 50 MB/s."""


class Rotated:
    """The files beside `path`. Only `pack` and `stop` may be called while another method runs."""

    def __init__(self, path: Path, keep: int) -> None:
        self._path = path
        self._keep = keep
        self._name = re.compile(re.escape(path.name) + r"\.([0-9]{6,12})(\.gz)?")
        self._swap = threading.Lock()
        self._stop = threading.Event()

    def plain(self) -> list[Path]:
        """Return the files that are not compressed, oldest first."""
        return [path for _, path in self._all() if path.suffix != ".gz"]

    def returnable(self) -> list[Path]:
        """Return those that a crash may have left behind the settled place, oldest first.

        They are plain, and newer than every compressed one.
        """
        found = self._all()
        packed = max((number for number, path in found if path.suffix == ".gz"), default=0)
        return [path for number, path in found if number > packed]

    def put_aside(self) -> None:
        """Give the current file the next number."""
        found = self._all()
        self._path.rename(self._path.with_name(f"{self._path.name}.{found[-1][0] + 1 if found else 1:06d}"))

    def prune(self) -> None:
        """Delete the oldest, so that as many are left as are to be kept."""
        with self._swap:
            found = self._all()
            kept = sorted({number for number, _ in found})[-self._keep :]
            for number, path in found:
                if number < kept[0]:
                    path.unlink(missing_ok=True)
                    hit("file.pruned")

    def recover(self) -> None:
        """Finish what a kill left of a compression. None may be under way."""
        for path in self._path.parent.glob(f"{_literal(self._path.name)}.*.gz.part"):
            if self._name.fullmatch(path.name.removesuffix(".part")):
                path.unlink()
        found = {path for _, path in self._all()}
        for path in found:
            if path.suffix != ".gz" and path.with_name(f"{path.name}.gz") in found:
                path.unlink()

    def pack(self, paths: Iterable[Path]) -> None:
        """Compress files that nobody writes any more, one after the other, until `stop`.

        One that cannot be compressed (the disk is full, it was deleted) stays as it is.
        """
        self._stop.clear()
        for path in paths:
            part = path.with_name(f"{path.name}.gz.part")
            try:
                if self._compress(path, part):
                    self._exchange(path, part)
            except OSError:
                pass  # nothing is lost: a plain file is as good, and the next rotation tries again
            finally:
                part.unlink(missing_ok=True)
            if self._stop.is_set():
                return

    def stop(self) -> None:
        """Let `pack` end soon; what it has begun it drops."""
        self._stop.set()

    def _compress(self, path: Path, part: Path) -> bool:
        """Write the compressed file; False if there is no more time for it."""
        packer = zlib.compressobj(LEVEL, wbits=GZIP)
        with path.open("rb") as source, part.open("wb") as target:
            status = os.fstat(source.fileno())
            os.fchmod(target.fileno(), status.st_mode & 0o777)
            while block := source.read(BLOCK):
                if self._stop.is_set():
                    return False
                target.write(packer.compress(block))
                hit("file.pack")
            target.write(packer.flush())
            target.flush()
            os.fsync(target.fileno())
            os.utime(target.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
        hit("file.packed")
        return True

    def _exchange(self, path: Path, part: Path) -> None:
        with self._swap:
            if path.exists():  # or it was too old to be kept, meanwhile
                part.rename(path.with_name(f"{path.name}.gz"))
                hit("file.exchange")
                sync_directory(path.parent)
                path.unlink()
                hit("file.exchanged")

    def _all(self) -> list[tuple[int, Path]]:
        """Return all of them with their numbers, oldest first."""
        found = [(match, path) for path in self._path.parent.iterdir() if (match := self._name.fullmatch(path.name))]
        return sorted((int(match[1]), path) for match, path in found)


def _literal(name: str) -> str:
    """Write a name so that `glob` takes it as it is."""
    return re.sub(r"([*?\[])", r"[\1]", name)


def sync_directory(directory: Path) -> None:
    """Make names durable: a new or renamed file is in its directory only after this."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
