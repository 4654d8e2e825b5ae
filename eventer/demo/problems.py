"""What is worst at the moment, in words: "pod shop/web-0 crash-loops: 14 times in 3 minutes".

A view of the demo's own over the events that went by. Alerting says such things to people with far more care; here
a reason becomes a phrase, pods of one release become one line, and counts are summed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from eventer.demo.tail import Line
from eventer.text import escape

__all__ = ["Problem", "Problems", "span"]

FRESH: Final = timedelta(seconds=90)
"""A problem of which nothing was heard for so long is no longer one of the moment."""
KEPT: Final = 500
"""Problems remembered; the least recent one goes first."""
_NODE_AGENT: Final = "KernelOops|TaskHung|DockerHung|FilesystemIsReadOnly|AUFSUmountHung"

_REPLICA: Final = re.compile(r"^(?P<workload>.+)-[bcdf0-9ghjklmnpqrstvwxz]{6,10}(?:-[bcdf0-9ghjklmnpqrstvwxz]{5})?$")
"""Name of a pod or replica set of a Deployment: no vowels, so that no word is taken for a hash
(https://github.com/kubernetes/apimachinery, util/rand)."""
_IMAGE: Final = re.compile(r'image "([^"]{1,300})"')


class _Kind(NamedTuple):
    """How one sort of problem reads."""

    reasons: re.Pattern[str]
    text: re.Pattern[str]
    """What the message must hold."""
    weight: int
    one: str
    many: str


def _kind(reasons: str, weight: int, one: str, many: str, text: str = "") -> _Kind:
    return _Kind(re.compile(f"^(?:{reasons})$"), re.compile(text), weight, one, many)


_KINDS: Final = (
    _kind("OOMKilling|SystemOOM|PodOOMKilling", 5, "ran out of memory", "ran out of memory"),
    _kind(_NODE_AGENT, 5, "has a kernel or disk that hangs", "have a kernel or disk that hangs"),
    _kind(
        "Failed|BackOff|ErrImagePull|ImagePullBackOff", 5, "cannot get its image", "cannot get their image", "[Ii]mage"
    ),
    _kind("BackOff", 5, "crash-loops", "crash-loop", "restarting failed"),
    _kind("Evicted", 3, "was evicted", "were evicted"),
    _kind("Rebooted", 3, "has rebooted", "have rebooted"),
    _kind("FailedScheduling", 3, "finds no node to run on", "find no node to run on"),
    _kind("Unhealthy", 3, "fails its probe", "fail their probe"),
    _kind("FailedMount|FailedAttachVolume", 3, "cannot mount a volume", "cannot mount a volume"),
    _kind("FreeDiskSpaceFailed|EvictionThresholdMet", 3, "runs out of disk space", "run out of disk space"),
    _kind("FailedCreatePodSandBox", 2, "gets no network", "get no network"),
    _kind("FailedCreate", 2, "cannot create its pods", "cannot create their pods"),
)


class Problem(msgspec.Struct, frozen=True):
    """One problem of the moment."""

    text: str
    """In words; safe to show."""
    weight: int
    """How bad: 1 to 5."""
    count: int
    """Occurrences."""
    where: str
    """namespace/workload, or the node's name."""


class _Heard(msgspec.Struct):
    kind: _Kind | None
    line: Line
    where: str
    names: dict[str, None]
    first: datetime
    last: datetime
    count: int = 0
    image: str = ""


class Problems:
    """Sums up the warnings that go by.

    Args:
        now: wall clock, UTC.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._heard: dict[tuple[str, ...], _Heard] = {}

    def hear(self, lines: Iterable[Line]) -> None:
        """Take the lines that are new."""
        for line in lines:
            if line.type == "Warning":
                self._one(line)

    def _one(self, line: Line) -> None:
        kind = next(
            (kind for kind in _KINDS if kind.reasons.match(line.reason) and kind.text.search(line.message)), None
        )
        replica = _REPLICA.match(line.name)
        workload = replica["workload"] if replica else line.name
        where = f"{line.namespace}/{workload}" if line.namespace else workload
        sort = kind.one if kind else line.reason
        # A Deployment's pods belong together as long as they are of one release: their names share its hash.
        release = line.name.rpartition("-")[0] if replica and line.kind == "Pod" else line.name
        key = (line.kind, line.namespace, release, sort)
        heard = self._heard.pop(key, None)
        if heard is None:
            heard = _Heard(kind, line, where, {}, line.first or line.time, line.time)
        heard.names[line.name] = None
        heard.line = line
        heard.last = max(heard.last, line.time)
        heard.first = min(heard.first, line.first or line.time)
        image = _IMAGE.search(line.message)
        heard.image = image[1] if image else heard.image
        # The kubelet tells of one failed pull three times; the one that names the image is counted.
        if image or not sort.endswith("image"):
            heard.count += 1 if line.delta is None else line.delta
        self._heard[key] = heard
        if len(self._heard) > KEPT:
            del self._heard[next(iter(self._heard))]

    def worst(self) -> list[Problem]:
        """Return the problems of the moment, the worst first."""
        fresh = self._now() - FRESH
        found = [_told(heard) for heard in self._heard.values() if heard.last >= fresh]
        return sorted(found, key=lambda problem: (-problem.weight, -problem.count, problem.text))

    def of(self, where: str) -> list[Problem]:
        """Return the problems of one workload or node, the worst first."""
        return [problem for problem in self.worst() if problem.where == where]


def _told(heard: _Heard) -> Problem:
    line, kind = heard.line, heard.kind
    several = len(heard.names) > 1
    if several:
        subject = f"{len(heard.names)} {_plural(line.kind)} of {heard.where}"
    else:
        subject = f"{line.kind.lower()} {line.namespace + '/' if line.namespace else ''}{line.name}"
    times = "once" if heard.count <= 1 else f"{heard.count} times in {span(heard.last - heard.first)}"
    if kind is None:  # its own words may be long, so the count goes first
        text = f"{subject}: {times}, {line.reason}: {line.message}"
    else:
        detail = f" ({heard.image})" if heard.image and "image" in kind.one else ""
        text = f"{subject} {kind.many if several else kind.one}: {times}{detail}"
    return Problem(escape(text), kind.weight if kind else 1, heard.count, heard.where)


def _plural(kind: str) -> str:
    return f"{kind.lower()}s"


def span(time: timedelta) -> str:
    """Write a time as people say it: `8 seconds`, `3 minutes`, `2 hours`."""
    seconds = max(1, round(time.total_seconds()))
    for size, word in ((3600, "hour"), (60, "minute")):
        if seconds >= 2 * size:
            return f"{seconds // size} {word}s"
    return f"{seconds} second{'s' if seconds > 1 else ''}"
