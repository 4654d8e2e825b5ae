"""What a path must be for a sink to write there, and what an error of the disk means."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

from eventer.errors import Blocked, Retry, SinkError

__all__ = ["check", "failure"]

_PERMISSION: Final = frozenset({errno.EACCES, errno.EPERM})
_PATH: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG})


def check(path: Path) -> None:
    """Refuse what must not be renamed or appended to: devices, pipes, directories.

    Raises:
        Blocked: with what to do instead.
    """
    parent = Path(os.path.realpath(path)).parent
    if not parent.is_dir():
        raise Blocked(f"The directory {parent} does not exist. Make it, or mount the volume there.", reason="path")
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise Blocked(f"{path} is not a regular file. For standard output use `kind: stdout`.", reason="path")


def failure(error: OSError, path: Path) -> SinkError:
    """Return what an error of the disk means for a sink that writes this file."""
    if error.errno in _PERMISSION:
        return Blocked(f"{path} may not be written by this user: {error.strerror}.", reason="permission")
    if error.errno in _PATH:
        return Blocked(f"{path} cannot be used: {error.strerror}.", reason="path")
    return Retry(f"{path} cannot be written: {error.strerror}.", reason="disk")
