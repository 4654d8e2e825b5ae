"""What a running daemon shows: its parts, for metrics and health to read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from eventer.clock import Clock
from eventer.config.types import State
from eventer.control.report import ConfigReport
from eventer.delivery.runner import Health, Runner
from eventer.journal import Journal, StreamKey
from eventer.mirror import MirrorStatus
from eventer.source.watch import Stream

__all__ = ["View"]

LIVE_WITHIN: Final = 60.0
"""Seconds without a beat of the journal's housekeeping after which the process counts as stuck. It beats
each second, and goes on while the disk is slow: a restart would not make that faster."""


class View(msgspec.Struct, kw_only=True):
    """The parts of one daemon. The wiring fills it; control reads it."""

    journal: Journal
    clock: Clock
    state: State
    config: ConfigReport
    reload: Callable[[], Awaitable[ConfigReport]]
    """Has the configuration read again, and returns what came of it."""
    started: float
    """When the process began its work, seconds since 1970."""
    runners: dict[str, Runner] = {}
    streams: dict[StreamKey, Stream] = {}
    expected_streams: int = 1
    """Streams that the configuration asks for; those of a cluster not yet identified are not there.
    One before they are counted, so that nothing is ready by having nothing to read."""
    waiting: dict[str, str] = {}
    """Clusters that cannot be reached or identified yet, and why, in words."""
    quarantines: int = 0
    mirror: MirrorStatus | None = None
    forbidden: Callable[[], dict[str, list[str]]] = dict
    """Returns the rights that look-ups lack, by cluster."""
    stopping: bool = False

    def live(self) -> bool:
        """Whether the loops make progress. A dead sink or API server does not make it false."""
        return self.clock.monotonic() - self.journal.beat < LIVE_WITHIN

    def not_ready(self) -> list[str]:
        """Why the daemon is not ready, in words; empty when it is.

        Ready means: every stream has a position and may read. It says nothing of sinks, and nothing of nodes
        that may not be read: they are not worth that a daemon which reads Events counts as failed.
        """
        reasons = [f"cluster {name}: {why}" for name, why in self.waiting.items()]
        if self.stopping:
            reasons.append("stopping")
        if self.mirror is not None and self.mirror.resuming:
            reasons.append(f"the mirror is read first. {self.mirror.error}".rstrip())
        for key, stream in self.streams.items():
            if stream.status.blocked:
                if stream.subject.what == "nodes":
                    continue
                reasons.append(f"{key.cluster} {key.scope}: {stream.status.blocked}")
            elif not stream.status.listed:
                reasons.append(f"{key.cluster} {key.scope}: not listed yet. {stream.status.last_error}".rstrip())
        if not reasons and len(self.streams) < self.expected_streams:
            reasons.append("connecting")
        return reasons

    def health(self) -> dict[str, Any]:
        """Everything a person asks first, without any event's text."""
        sinks = {
            name: {
                "state": str(runner.status.health),
                "pending": runner.pending,
                "error": runner.status.error,
            }
            for name, runner in self.runners.items()
        }
        streams = {
            f"{key.cluster} {key.scope}": {
                "connected": stream.status.connected,
                "position": self.journal.stream(key).position,
                "error": stream.status.blocked or ("" if stream.status.connected else stream.status.last_error),
            }
            for key, stream in self.streams.items()
        }
        well = (
            not self.not_ready()
            and not self.journal.trouble
            and all(runner.status.health in {Health.OK, Health.OPENING} for runner in self.runners.values())
            and all(stream.status.connected for stream in self.streams.values())
            and not (self.mirror is not None and self.mirror.error)
        )
        return {
            "status": "ok" if well else "degraded",
            "not_ready": self.not_ready(),
            "streams": streams,
            "sinks": sinks,
            "journal": {"head": self.journal.head, "bytes": self.journal.used, "trouble": self.journal.trouble},
        } | ({"mirror": {"error": self.mirror.error}} if self.mirror is not None else {})
