"""The state directory: made private, locked against a second process, refused on a network.

SQLite's locks do not hold on network file systems (https://www.sqlite.org/faq.html#q5), and two
daemons on one state directory would deliver everything twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from eventer.errors import DiskRefused, Locked

__all__ = [
    "FILE",
    "capacity",
    "doubt",
    "doubted",
    "empty",
    "holder",
    "in_memory",
    "know",
    "known",
    "lock",
    "prepare",
    "quarantine",
]

FILE: Final = "journal.db"
LOCK: Final = "lock"
DOUBT: Final = "not-first"
_PID: Final = 20
"""Bytes of the lock file's first line, which is the holder's pid; the second says that there is a journal."""
_KNOWN: Final = b"journal\n"
NETWORK_FILE_SYSTEMS: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "fuse.sshfs", "fuse.glusterfs", "afs", "lustre"}
)


def prepare(directory: Path) -> None:
    """Create the directory, readable by its owner alone.

    Raises:
        DiskRefused: it cannot be made, cannot be written, or lies on a network file system.
    """
    try:
        made = [each for each in (directory, *directory.parents) if not each.exists()]
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for each in made:
            _sync(each.parent)
    except OSError as error:
        raise DiskRefused(
            f"The state directory {directory} cannot be made ({error.strerror}). "
            "Set state.path to a place that this user may write."
        ) from error
    if directory.parent.stat().st_mode & stat.S_ISVTX and not _ours(directory):
        raise DiskRefused(
            f"The state directory {directory} belongs to somebody else, in a place where everybody may write. "
            "Remove it, or set state.path elsewhere."
        )
    if os.statvfs(directory).f_flag & os.ST_RDONLY:
        raise DiskRefused(
            f"The state directory {directory} lies on a file system that is mounted read-only. Mount a volume there "
            "that can be written, or set state.path elsewhere."
        )
    if not os.access(directory, os.W_OK | os.X_OK):
        raise DiskRefused(
            f"The state directory {directory} is not writable for this user (uid {os.getuid()}). "
            "Mount it with the right fsGroup, or set state.path elsewhere."
        )
    kind = file_system(directory, _mounts())
    if kind in NETWORK_FILE_SYSTEMS:
        raise DiskRefused(
            f"The state directory {directory} lies on a network file system ({kind}), where SQLite's locks do not "
            "hold. Use a block volume (ReadWriteOnce) or an emptyDir."
        )


def _ours(directory: Path) -> bool:
    """Whether nobody else can have put the directory there, as a trap: it is no link, and ours or root's."""
    found = directory.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid in {os.getuid(), 0}


def in_memory(directory: Path) -> bool:
    """Whether the file system that holds a directory goes with the machine."""
    return file_system(directory, _mounts()) in {"tmpfs", "ramfs"}


def capacity(directory: Path) -> int:
    """Bytes of the file system that holds a directory, used ones included."""
    found = os.statvfs(directory)
    return found.f_blocks * found.f_frsize


def _sync(directory: Path) -> None:
    """Make the names in a directory safe from a power cut; SQLite does so for its own files only."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _mounts() -> str:
    try:
        return Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def file_system(directory: Path, mounts: str) -> str:
    """Return the type of the file system that holds a directory, from /proc/self/mountinfo's text.

    The format is in https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html. Empty when
    unknown (other systems than Linux).
    """
    path = directory.resolve()
    best, kind = -1, ""
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split()
        if len(fields) < 5 or not right:
            continue
        point = Path(fields[4].replace("\\040", " "))
        if (path == point or point in path.parents) and len(point.parts) >= best:
            best, kind = len(point.parts), right.split()[0]
    return kind


@contextlib.contextmanager
def lock(directory: Path) -> Iterator[None]:
    """Hold the state directory for this process. The kernel lets go when the process dies.

    Raises:
        Locked: another process holds it; the message names its pid.
    """
    try:
        fd = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DiskRefused(f"The lock file in {directory} cannot be opened ({error.strerror}).") from error
    try:
        try:
            _take(fd)
        except BlockingIOError:
            raise Locked(
                f"Another Eventer (pid {_holder(fd)}) uses the state directory {directory}. "
                "Stop it first, or give this one a state.path of its own."
            ) from None
        except OSError as error:
            raise DiskRefused(f"The state directory {directory} cannot be locked ({error.strerror}).") from error
        with contextlib.suppress(OSError):  # a full disk must not keep a daemon from draining
            os.pwrite(fd, f"{os.getpid():<{_PID - 1}}\n".encode(), 0)
        yield
    finally:
        os.close(fd)


def _take(fd: int) -> None:
    """Take the lock. A command that looks whether it is held (`holder`) holds it for an instant."""
    for _ in range(3):
        with contextlib.suppress(BlockingIOError):
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(0.02)
    return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def holder(directory: Path) -> str:
    """Return the pid of the process that holds a state directory, in words; empty if none does."""
    try:
        fd = os.open(directory / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(fd)
    except OSError:
        return ""
    finally:
        os.close(fd)
    return ""


def _holder(fd: int) -> str:
    return os.pread(fd, _PID, 0).decode(errors="replace").strip() or "unknown"


def known(directory: Path) -> bool:
    """Whether a journal was made here before, be there a file now or not. Ask under the lock."""
    with contextlib.suppress(OSError):
        return (directory / LOCK).read_bytes()[_PID:] == _KNOWN
    return False


def know(directory: Path) -> None:
    """Remember that a journal was made here."""
    if not known(directory):
        with contextlib.suppress(OSError), (directory / LOCK).open("r+b") as file:
            file.seek(_PID)
            file.write(_KNOWN)
            file.flush()
            os.fsync(file.fileno())


def doubt(directory: Path) -> None:
    """Remember, for as long as the directory is there, that it may not be the first for what is read into it.

    Raises:
        DiskRefused: it cannot be remembered.
    """
    try:
        (directory / DOUBT).touch(mode=0o600)
        _sync(directory)
    except OSError as error:
        raise DiskRefused(f"The state directory {directory} takes no new file ({error.strerror}).") from error


def doubted(directory: Path) -> bool:
    """Whether `doubt` was called for it, by any process."""
    return (directory / DOUBT).exists()


def empty(directory: Path) -> bool:
    """Whether the database is missing, or a file without content."""
    path = directory / FILE
    return not path.exists() or not path.stat().st_size


def set_aside(directory: Path) -> Path | None:
    """Return the damaged database that is kept in the directory, if there is one."""
    kept = (file for file in directory.glob(f"{FILE}.damaged-*") if not file.name.endswith(("-wal", "-shm")))
    return max(kept, default=None)


def quarantine(directory: Path, now: datetime) -> Path:
    """Move the database and its side files out of the way, for a person to look at.

    The main file goes first: after a kill in between, what remains is a WAL without a database,
    which SQLite deletes when it makes the new one. Only the last damaged database is kept, so
    that a failing disk cannot fill itself with them.

    Returns:
        Where the database is now; an empty file if it was gone, because that must be told as well. If
        an earlier one was being set aside when the process was killed, where that one is.

    Raises:
        DiskRefused: it cannot be moved.
    """
    kept = directory / f"{FILE}.damaged-{now:%Y%m%dT%H%M%S.%f}"
    try:
        former = set_aside(directory)
        if former is not None and empty(directory):
            # Killed while it was set aside, or while a new one was begun: nothing is lost but this.
            for suffix in ("", "-wal", "-shm"):
                (directory / (FILE + suffix)).unlink(missing_ok=True)
            return former
        for old in directory.glob(f"{FILE}.damaged-*"):
            old.unlink()
        (directory / FILE).touch(mode=0o600)
        for suffix in ("", "-wal", "-shm"):
            source = directory / (FILE + suffix)
            if source.exists():
                source.rename(kept.with_name(kept.name + suffix))
        _sync(directory)
    except OSError as error:
        raise DiskRefused(f"The damaged journal in {directory} cannot be set aside ({error.strerror}).") from error
    return kept
