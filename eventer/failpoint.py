"""Named places where a test can make the process die or an operation fail.

`EVENTER_FAILPOINTS="journal.append.commit=kill@3;sink.sent=error"` kills the process (SIGKILL, as
the kernel would) the third time the first place is reached and raises OSError(EIO) at each pass of
the second. Without the variable `hit` is an empty function.

Actions: `kill`, `error` (OSError EIO), `full` (OSError ENOSPC). `@N` acts at the N-th pass only.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable

__all__ = ["hit"]


def _parse(text: str) -> dict[str, tuple[str, int]]:
    points: dict[str, tuple[str, int]] = {}
    for item in filter(None, text.split(";")):
        name, _, action = item.partition("=")
        word, _, nth = action.partition("@")
        points[name.strip()] = (word, int(nth or 0))
    return points


def _make(points: dict[str, tuple[str, int]]) -> Callable[[str], None]:
    passes = dict.fromkeys(points, 0)

    def hit(name: str) -> None:
        if name not in points:
            return
        action, nth = points[name]
        passes[name] += 1
        if nth and passes[name] != nth:
            return
        if action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(errno.ENOSPC if action == "full" else errno.EIO, f"failpoint {name}")

    return hit


def _nothing(name: str) -> None:
    """Pass."""


_points = _parse(os.environ.get("EVENTER_FAILPOINTS", ""))
hit = _make(_points) if _points else _nothing
"""Mark a failpoint; called per batch, never per event."""
