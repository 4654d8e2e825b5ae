"""What a stream is told from outside, and what it tells: its settings and its status."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, TypeAlias

import msgspec

from eventer.source.outcomes import Cause

__all__ = ["Start", "StreamSettings", "StreamStatus"]

Start: TypeAlias = Literal["all", "now"] | timedelta


class StreamSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of a stream. Only `start` and `event_ttl` have a user who would set them; the others
    are here so that tests can make them small. All times are in seconds."""  # noqa: D205, D209

    start: Start = "all"
    """What the very first list exports: everything, nothing, or what is not older than this."""
    event_ttl: float = 3600.0
    """The API server's --event-ttl: without contact for longer, events can be gone for good."""
    gap_margin: float = 0.05
    """Share of the TTL by which a gap is presumed early: leases and clocks are not exact."""
    watch_timeout: tuple[int, int] = (120, 240)
    """Bounds of the random `timeoutSeconds`, which spreads streams that were opened together."""
    idle_margin: float = 15.0
    """How much longer than `timeoutSeconds` silence is borne before the socket is closed."""
    short: float = 1.0
    """A watch that ends sooner than this without progress counts as a failure."""
    settled: float = 10.0
    """A watch that lasted this long is a success, whatever it brought."""
    jitter: float = 1.0
    """Most seconds before a reconnect that many clients do at the same moment."""
    backoff: tuple[float, float] = (0.8, 30.0)
    """Base and cap between failures, as client-go has them."""
    patience: float = 60.0
    """Cap of the back-off where only a person can help."""
    deadline: float = 30.0
    """For one page of a list, body included."""
    pause: float = 0.0
    """Between two reads of a watch that brings little: what comes meanwhile is taken together. For objects that are
    written often and hardly ever change, of which each read would cost more than its line."""
    page: int = 500
    """Items of one page, as kubectl and client-go ask for."""
    confirm: float = 5.0
    """Between the two probes that must agree before a rollback is believed."""
    silent_watches: int = 3
    """After so many watches in a row without a line the version is probed: a watch from a version of
    the future is silent, too, and says nothing else."""
    spoiled: int = 3
    """After so many unreadable lines at one position the list is read instead."""
    audit_every: float = 6 * 3600.0
    audit_after: float = 300.0
    """An outage longer than this is followed by an audit."""
    audit_retry: float = 300.0
    """Until an audit that failed is tried again."""
    audit_pause: float = 0.2
    """Between two pages of an audit, which has no haste."""


class StreamStatus:
    """What a stream says about itself: plain attributes, read by metrics and health, written by it alone.

    Counters only rise. Times are seconds since 1970.
    """

    def __init__(self) -> None:
        self.connected = False
        """A watch is open, or between two watches of which the last one ended as it should."""
        self.listed = False
        """The stream has a position: what existed before is in the journal."""
        self.blocked = ""
        """Why it cannot go on without a person, in words; empty if it can."""
        self.last_error = ""
        self.last_line: float | None = None
        self.last_event: float | None = None
        """When a watch brought an object last, and not only a bookmark or a deletion. Of nodes heartbeats count."""
        self.lag: float | None = None
        """Seconds from the newest occurrence that the watch brought last to its coming, by two clocks. None before the
        first, and of nodes, whose lines do not say when they were written."""
        self.ended: dict[Cause, int] = dict.fromkeys(Cause, 0)
        """Ends of connections by cause (watches and lists)."""
        self.watches = 0
        self.relists = 0
        self.bookmarks = 0
        self.poison = 0
        self.garbage = 0
        self.rollbacks = 0
        self.gaps = 0
        self.gap_seconds = 0.0
        self.audits = 0
        self.audits_failed = 0
        self.audit_missed = 0

    @property
    def gones(self) -> int:
        """How often history was compacted (410). Normal."""
        return self.ended[Cause.GONE]

    @property
    def stalls(self) -> int:
        """How often a connection went silent beyond its deadline."""
        return self.ended[Cause.STALL]
