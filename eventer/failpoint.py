"""Named places where a test can kill the process, let the disk refuse, or let it be slow.

`EVENTER_FAILPOINTS="journal.commit=kill@3;journal.read=error@5-20"` kills the process the third time
the first place is reached, and raises OSError(EIO) from the 5th to the 20th pass of the second.
Without the variable `hit` is an empty function. No option for users: places may go and come.

One entry is `place=action@passes`; several for one place apply in the order they are written.

- action: `kill` (SIGKILL, as the kernel would), `error` (OSError EIO), `full` (ENOSPC), `readonly` (EROFS),
  `sleep:0.5` (seconds; what else the thread has to do waits as well, as with a slow fsync)
- passes: `@3` the third only, `@3-8` from the third to the eighth, `@3-` from the third on; all, without it

The places. One that ends in a verb's past form comes after what it names, the others before it.

- `journal.commit`, `journal.committed`: each commit of the writer, whatever it stores; an error here is
  a disk that refuses
- `journal.read`: each read of the file on the reader's thread (a look-up, a backlog, housekeeping)
- `delivery.send`, `delivery.sent`, `delivery.settle`, `delivery.settled`: one send and its settling
- `alerting.settle`, `alerting.settled`: what alerting decided for a notifier, and its way to the disk
- `file.*`: steps of the file sink, see there
"""

from __future__ import annotations

import errno
import math
import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Final, NamedTuple

__all__ = ["hit"]

_ERRORS: Final = {"error": errno.EIO, "full": errno.ENOSPC, "readonly": errno.EROFS}


class _Action(NamedTuple):
    """What happens from one pass to another, both included."""

    word: str
    seconds: float
    first: float
    last: float


def _parse(text: str) -> dict[str, list[_Action]]:
    """Read the variable.

    Raises:
        ValueError: it does not say what it should; a test that means nothing must not pass.
    """
    points: defaultdict[str, list[_Action]] = defaultdict(list)
    for item in filter(None, map(str.strip, text.split(";"))):
        name, _, action = item.partition("=")
        what, _, passes = action.partition("@")
        word, _, seconds = what.partition(":")
        if word not in {"kill", "sleep", *_ERRORS} or (word == "sleep") != bool(seconds):
            raise ValueError(f"EVENTER_FAILPOINTS: {item!r} has no action that there is")
        first, dash, last = passes.partition("-")
        begin = float(first or 1)
        end = float(last) if last else math.inf if dash or not first else begin
        points[name].append(_Action(word, float(seconds or 0), begin, end))
    return dict(points)


def _make(points: dict[str, list[_Action]]) -> Callable[[str], None]:
    passes = dict.fromkeys(points, 0)

    def hit(name: str) -> None:
        if name not in points:
            return
        passes[name] += 1
        for action in points[name]:
            if not action.first <= passes[name] <= action.last:
                continue
            if action.word == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            elif action.word == "sleep":
                time.sleep(action.seconds)
            else:
                number = _ERRORS[action.word]
                raise OSError(number, f"{os.strerror(number)} (failpoint {name})")

    return hit


def _nothing(name: str) -> None:
    """Pass."""


_points = _parse(os.environ.get("EVENTER_FAILPOINTS", ""))
hit = _make(_points) if _points else _nothing
"""Mark a failpoint; called per batch, never per event."""
