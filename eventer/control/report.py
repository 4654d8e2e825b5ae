"""What a daemon says of itself, as types: made by the daemon, read by the commands. Light to import."""

from __future__ import annotations

import msgspec

from eventer.errors import Fault
from eventer.event import Outcome
from eventer.journal.books import Books
from eventer.journal.notes import LETTERS
from eventer.journal.records import OWN, REPLAY
from eventer.version import version

__all__ = ["ConfigReport", "JournalReport", "SinkReport", "Status", "StreamReport", "Traced", "of_books"]


class ConfigReport(msgspec.Struct, kw_only=True):
    """The configuration that runs, and what came of reading its file again. Times are seconds since 1970."""

    file: str = ""
    """Empty where there is none, and nothing is ever read again."""
    taken: float = 0.0
    """When what runs now was read."""
    results: dict[str, int] = msgspec.field(default_factory=lambda: {"taken": 0, "unchanged": 0, "refused": 0})
    """How often it was read again, by what came of it."""
    refused: float | None = None
    """When the last reading was refused; None if the file is what runs."""
    faults: list[Fault] = []
    """Why."""
    waiting: list[str] = []
    """Options that were changed and take effect at the next start."""


class StreamReport(msgspec.Struct, kw_only=True):
    """One stream. Times are seconds since 1970."""

    cluster: str
    scope: str
    connected: bool = False
    blocked: bool = False
    """Only a person can help."""
    error: str = ""
    """Why it is not connected, in words."""
    position: int | None = None
    contact: float | None = None
    """When the API answered last, by its own clock."""
    last_event: float | None = None
    lag: float | None = None
    """Seconds that the newest Event was old when it came; None where nothing tells."""
    received: int = 0
    poison: int = 0
    seen: int = 0
    filtered: int = 0
    appended: int = 0
    dead: int = 0
    """Lines that are no event and are kept."""


class SinkReport(msgspec.Struct, kw_only=True):
    """One sink. Times are seconds since 1970."""

    name: str
    kind: str = ""
    state: str = ""
    """See `eventer.delivery.sender.Health`; empty where no daemon runs."""
    reason: str = ""
    """One word of why, from the sink's closed set."""
    error: str = ""
    """The last failure in words."""
    pending: int = 0
    parked: int = 0
    dead: int = 0
    oldest: float | None = None
    """When the oldest event that waits was appended; None if none waits."""
    pending_bytes: int = 0
    last_success: float | None = None
    destinations: dict[str, str] = {}
    """Parts of the far side that fail, and how."""
    outcomes: dict[str, int] = {}
    """What became of events; of a notifier, of notifications."""
    alerting: dict[str, int] | None = None
    """Of a notifier, what became of the events that notifications are made of; None for any other sink."""

    @property
    def letters(self) -> str:
        """What its dead letters are listed under."""
        return self.name if self.alerting is None else LETTERS + self.name


class JournalReport(msgspec.Struct, kw_only=True):
    """The journal."""

    directory: str
    head: int = 0
    used: int = 0
    """Bytes of the database."""
    backlog: int = 0
    """Bytes of events that wait, which `max_size` bounds."""
    max_size: int = 0
    trouble: str = ""
    """What is wrong with the disk, in words."""
    damaged: int = 0
    """Damaged databases set aside since the start."""


class Traced(msgspec.Struct, kw_only=True):
    """One occurrence that the journal holds, and where it is."""

    offset: int
    at: float | None
    """When it was appended, seconds since 1970; None where only letters of it are left."""
    event: msgspec.Raw
    sinks: dict[str, str]
    """Sink to what became of it there, in words; `waits` or `passed` where it is in no letter."""
    quieted: dict[str, str] = {}
    """Sink that notifies to what the problems of its object keep quiet there, in words; those that keep nothing quiet
    are left out."""


class Status(msgspec.Struct, kw_only=True):
    """All of it, at one moment."""

    version: str
    pid: int = 0
    """0 where no daemon runs, and the journal was looked into."""
    now: float
    """Wall clock, seconds since 1970."""
    started: float = 0.0
    live: bool = False
    not_ready: list[str] = []
    """Why it is not ready, in words."""
    config: ConfigReport = msgspec.field(default_factory=ConfigReport)
    journal: JournalReport
    streams: list[StreamReport] = []
    sinks: list[SinkReport] = []
    replayed: StreamReport | None = None
    """Events that were given in again by `eventer replay`."""
    own: int = 0
    """Records of Eventer's own."""
    forbidden: dict[str, list[str]] = {}
    """Rights that look-ups lack, by cluster: `get on pods`."""
    mirror: str | None = None
    """Why the mirror is not written, in words; empty while it is, None where there is none."""


def of_books(books: Books, directory: str, now: float) -> Status:
    """Return what the journal alone can tell.

    Args:
        books: of one moment.
        directory: the state directory.
        now: wall clock, seconds since 1970.
    """
    streams = {
        key: StreamReport(
            cluster=key.cluster,
            scope=key.scope,
            position=record.position,
            contact=record.contact,
            received=record.received,
            poison=record.poison,
            seen=record.seen,
            filtered=record.filtered,
            appended=record.appended,
            dead=books.letters.get((f"intake:{key.cluster}/{key.scope}", Outcome.DEAD), 0),
        )
        for key, record in sorted(books.streams.items())
    }
    sinks = []
    for name, reader in books.readers.items():
        waiting = books.waiting[name]
        sinks.append(
            SinkReport(
                name=name,
                pending=books.head - reader.cursor,
                parked=books.letters.get((name, Outcome.PARKED), 0),
                dead=books.letters.get((name, Outcome.DEAD), 0),
                oldest=waiting.since,
                pending_bytes=waiting.bytes,
                outcomes={str(outcome): n for outcome, n in reader.outcomes.items()},
            )
        )
    for name, alerting in books.alerting.items():
        notifier, waiting = books.notifiers[name], books.told[name]
        counts = ("represented", "suppressed", "expired", "unmatched", "duplicate", "dropped", "waiting")
        sinks.append(
            SinkReport(
                name=name,
                pending=alerting.opened - notifier.cursor,
                parked=notifier.outcomes.get(Outcome.PARKED, 0),
                dead=notifier.outcomes.get(Outcome.DEAD, 0),
                oldest=waiting.since,
                pending_bytes=waiting.bytes,
                outcomes={str(outcome): n for outcome, n in notifier.outcomes.items()},
                alerting={"pending": books.head - alerting.cursor} | {each: getattr(alerting, each) for each in counts},
            )
        )
    journal = JournalReport(directory=directory, head=books.head)
    own, replayed = streams.get(OWN), streams.get(REPLAY)
    return Status(
        version=version(),
        now=now,
        journal=journal,
        streams=[stream for key, stream in streams.items() if key.cluster],
        sinks=sinks,
        replayed=replayed,
        own=own.appended if own is not None else 0,
    )
