"""Where the daemon's Unix socket is, and which language is spoken there: known to both of its sides."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["API", "NAME", "address"]

API: Final = "1"
"""Version of what can be asked. A command of another one says so, and asks nothing."""
NAME: Final = "control.sock"
"""Name of the socket in the state directory."""
_LONGEST: Final = 107
"""Bytes of the name of a socket (https://man7.org/linux/man-pages/man7/unix.7.html); directories go deeper."""


@contextlib.contextmanager
def address(path: Path) -> Iterator[str]:
    """Give the name by which a socket can be bound or reached, while the block runs.

    Raises:
        OSError: its directory cannot be opened.
    """
    if len(os.fsencode(path)) <= _LONGEST:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
