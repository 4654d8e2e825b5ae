"""Every exception that Eventer raises on purpose, and who answers it.

    EventerError
    ├── ConfigError          the configuration has faults: all of them, each with line and remedy
    ├── SourceError          reading a cluster failed
    │   ├── Gone             410: history is compacted. Normal; answered by a new list
    │   ├── Refused          the server said no (status); `after` if it said when to come back
    │   └── Broken           no answer, a cut or silent connection, an answer that makes no sense
    ├── JournalError         the journal could not do it; nothing of the call took effect
    │   ├── Locked           another process has this state directory
    │   ├── Newer            written by a newer Eventer
    │   ├── Corrupt          the file is damaged; to be quarantined and begun anew
    │   └── DiskRefused      full, read-only, I/O error; the same call may work later
    └── SinkError            a destination did not take it
        ├── Retry            may work later; `after` if the far side said when
        ├── Rejected         this payload can never succeed
        └── Blocked          the configuration is wrong (credentials, topic): a person must act

Messages are sentences for people. They never hold a URL with credentials, a token or a header:
whoever raises passes text through `eventer.text.redact` where it came from elsewhere.
"""

from __future__ import annotations

import math

import msgspec

__all__ = [
    "Blocked",
    "Broken",
    "ConfigError",
    "Corrupt",
    "DiskRefused",
    "EventerError",
    "Fault",
    "Gone",
    "JournalError",
    "Locked",
    "Newer",
    "Refused",
    "Rejected",
    "Retry",
    "SinkError",
    "SourceError",
]


class EventerError(Exception):
    """Root of the tree."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong in a configuration file."""

    path: str
    """Where in the document, as in `sinks.archive.url`; empty for the document itself."""
    message: str
    """What is wrong and what was expected, in one sentence."""
    remedy: str = ""
    """What to write instead."""
    line: int | None = None
    """1-based; None where the place is not in a file."""
    column: int | None = None
    file: str = ""
    warning: bool = False
    """True where the daemon can run with it all the same."""

    @property
    def told(self) -> str:
        """All of it on one line: where, what is wrong and what to write, which may be sentences or parts of one."""
        said, remedy = self.message.rstrip(), self.remedy.strip().rstrip(".")
        if remedy and said.endswith((".", "!", "?")):
            said = f"{said} {remedy[0].upper()}{remedy[1:]}."
        elif remedy:
            said = f"{said}; {remedy}."
        elif not said.endswith((".", "!", "?")):
            said += "."
        return f"{self.path}: {said}" if self.path else said


class ConfigError(EventerError):
    """The configuration cannot be used. `faults` holds all that is wrong with it."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults
        super().__init__(f"The configuration has {len(faults)} fault(s).")


class SourceError(EventerError):
    """Reading a cluster failed."""


class Gone(SourceError):
    """The version asked for is compacted (HTTP or in-stream 410)."""


class Refused(SourceError):
    """The API server answered with a status that is no success."""

    def __init__(self, status: int, message: str, after: float | None = None, cause: str = "") -> None:
        self.status = status
        self.after = after
        """Seconds the server asked us to wait (Retry-After), if it did."""
        self.cause = cause
        """`reason` or first cause of the Status object, e.g. ResourceVersionTooLarge."""
        super().__init__(message)


class Broken(SourceError):
    """The connection or what came over it is unusable; the position stays where it was."""


class JournalError(EventerError):
    """A journal operation failed and changed nothing."""


class Locked(JournalError):
    """Another process holds the state directory."""


class Newer(JournalError):
    """The journal was written by a newer version."""


class Corrupt(JournalError):
    """The journal's file is damaged beyond what a checksum contains."""


class DiskRefused(JournalError):
    """The disk is full, read-only or failing."""


def _text(value: object) -> str:
    """Return anything as text that can be encoded."""
    return str(value).encode("utf-8", "replace").decode()


class SinkError(EventerError):
    """A destination did not take a batch, or one item of it.

    `reason` is a short word from a closed set per sink; it becomes a metric label.
    """

    def __init__(
        self, message: str, *, reason: str, after: float | None = None, answer: str = "", destination: str = ""
    ) -> None:
        # Sinks by third parties bring what they like, and this is stored: it must be text, and short.
        self.reason = _text(reason)[:100]
        self.after = after if isinstance(after, int | float) and not math.isnan(after) else None
        """Seconds the far side asked us to wait; None if it said nothing."""
        self.answer = _text(answer)[:2048]
        """First part of what the far side answered, redacted; kept with a dead letter."""
        self.destination = _text(destination)[:200]
        """Which part of the far side failed (a topic, an index, a robot), so that events for others go
        on; empty for all of it. Looked at where single items failed."""
        super().__init__(_text(message))


class Retry(SinkError):
    """Transient: network, time-out, 408, 425, 429, 5xx, "busy"."""

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        after: float | None = None,
        answer: str = "",
        destination: str = "",
        unknown: bool = False,
    ) -> None:
        super().__init__(message, reason=reason, after=after, answer=answer, destination=destination)
        self.unknown = bool(unknown)
        """Whether the far side may have taken it all the same: it was sent, and no answer tells."""


class Rejected(SinkError):
    """This payload can never succeed; with several items the runner bisects."""


class Blocked(SinkError):
    """Wrong configuration at the far side; nothing is dropped, the runner probes slowly."""
