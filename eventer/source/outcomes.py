"""How a watch or a list can end, and what follows: one decision per row, no I/O.

A stream asks `judge` what to do after each failure. That keeps the table of outcomes in one place, and
each row of it is a test. What each row rests on was measured against real API servers; the behaviour of
client-go's reflector is the model for back-off
(https://pkg.go.dev/k8s.io/client-go/tools/cache#Reflector).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from eventer.errors import Broken, Gone, JournalError, Refused, SourceError
from eventer.source.answers import Unreadable
from eventer.source.kube import Oversized, Stalled
from eventer.source.lines import Oversize

__all__ = ["Cause", "Empty", "Garbled", "Torn", "Verdict", "judge"]


class Cause(StrEnum):
    """Why a connection ended; a metric label, hence closed."""

    TIMEOUT = "timeout"
    """The server ended the watch at `timeoutSeconds`. The normal end."""
    EOF = "eof"
    """A clean end before that: a server restarts or sheds load."""
    EMPTY = "empty"
    """A clean end at once and with nothing: counted as a failure, or the loop would be hot."""
    GONE = "gone"
    STALL = "stall"
    NETWORK = "network"
    TORN = "torn"
    SERVER = "server"
    THROTTLED = "throttled"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    REJECTED = "rejected"
    GARBAGE = "garbage"
    OVERSIZE = "oversize"
    JOURNAL = "journal"
    AUDIT = "audit"
    """The audit found a miss or a rollback."""
    EPOCH = "epoch"
    """The cluster's epoch moved on while the watch was open."""


class Empty(Broken):
    """A watch ended at once without having brought anything."""


class Torn(Broken):
    """A watch ended within a line."""


class Garbled(Unreadable):
    """A line came that is no watch line."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What follows a failure."""

    cause: Cause
    relist: bool = False
    """The position is of no use any more: list."""
    after: float | None = None
    """Seconds to wait at least: what the server asked for, or what makes sense here."""
    patient: bool = False
    """Back off up to a minute: only a person can change it, and asking often helps nobody."""
    blocked: str = ""
    """Why the stream cannot go on by itself, in words for a person; empty while there is hope."""


PROBE_PERIOD: Final = 60.0
"""Seconds between tries while the request itself is refused as wrong."""


def judge(error: SourceError | JournalError, what: str = "events") -> Verdict:
    """Decide what follows a failure of a stream.

    Args:
        error: the failure.
        what: the resource that is read, as roles name it.
    """
    if isinstance(error, JournalError):
        return Verdict(cause=Cause.JOURNAL, blocked=f"The journal does not take events: {error}")
    if isinstance(error, Gone):
        return Verdict(cause=Cause.GONE, relist=True)
    if isinstance(error, Refused):
        return _refused(error, what)
    if isinstance(error, Stalled):
        return Verdict(cause=Cause.STALL)
    for kind, cause in _BROKEN:
        if isinstance(error, kind):
            return Verdict(cause=cause)
    return Verdict(cause=Cause.NETWORK)


_BROKEN: Final = (
    (Empty, Cause.EMPTY),
    (Torn, Cause.TORN),
    (Garbled, Cause.GARBAGE),
    (Oversize, Cause.OVERSIZE),
    (Oversized, Cause.OVERSIZE),
)


def _refused(error: Refused, what: str) -> Verdict:
    status = error.status
    if status == 401:
        return Verdict(
            cause=Cause.UNAUTHORIZED,
            after=error.after,
            blocked="The API server does not accept our credentials, also after they were read again.",
        )
    if status == 403:
        return Verdict(
            cause=Cause.FORBIDDEN,
            after=error.after,
            patient=True,
            blocked=f"{error}. Grant the verbs list and watch on {what} to Eventer's service account.",
        )
    if status == 429:
        return Verdict(cause=Cause.THROTTLED, after=error.after)
    # The API server answers 500 to a resourceVersion that is no number, and names no reason then.
    invalid = status == 500 and "Invalid value" in str(error)
    if invalid or status in {400, 404, 405, 406, 415, 422}:
        return Verdict(
            cause=Cause.REJECTED,
            after=max(error.after or 0.0, PROBE_PERIOD),
            blocked=f"{error}. It refuses the request itself: check `api` and `namespaces` of this source.",
        )
    return Verdict(cause=Cause.SERVER, after=error.after)
