"""The options of look-ups: what all sinks that `enrich` share. See `types` for what docstrings are."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from eventer.config.refuse import refusal
from eventer.values import Duration, Size

__all__ = ["LogLines", "Lookups"]


class LogLines(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which events get the last lines of their container's log, in a sink with `enrich: [logs]`."""

    reasons: list[str] = msgspec.field(default_factory=lambda: ["BackOff", "Unhealthy", "Failed"])
    """Reasons of the events on pods for which the log is read."""
    lines: Annotated[int, Meta(ge=1, le=200)] = 20
    """Most lines, from the end of the log."""
    size: Size = Size(2 << 10)
    """Most bytes of them, at most 16KiB; the end is kept. What `redact` names is taken out before."""

    def __post_init__(self) -> None:
        """Refuse more of a log than an event should carry."""
        if not 0 < self.size <= 16 << 10:
            raise refusal("size", "a log of this size does not go with an event", "write at most 16KiB")


class Lookups(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How look-ups are made for the sinks that have `enrich`."""

    timeout: Duration = Duration(2)
    """Most time that a send waits for its look-ups, at most 30s. What is not known then goes out without it,
    marked as `late`; the answer that comes later is of use for the next event."""
    objects: Annotated[int, Meta(ge=100, le=1_000_000)] = 20_000
    """Objects of each cluster that are remembered: about 1KiB each."""
    annotations: Annotated[list[str], Meta(examples=["[team.example.com/owner]"])] = []
    """Annotations of pods that are wanted; labels always come whole."""
    logs: LogLines = msgspec.field(default_factory=LogLines)
    """The last lines of a container's log."""

    def __post_init__(self) -> None:
        """Refuse a time box in which nothing can be found out, or in which sends would stand still."""
        if not 0 < self.timeout <= 30:
            raise refusal("timeout", "look-ups need some time, and a send must not wait long", "write for example 2s")
