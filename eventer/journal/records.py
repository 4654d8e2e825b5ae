"""What the journal stores and returns, as types."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from eventer.event import Outcome

__all__ = [
    "OWN",
    "REPLAY",
    "AlertingRecord",
    "Carried",
    "ClusterRecord",
    "Entry",
    "Letter",
    "ParkedLetter",
    "ReaderRecord",
    "Resumed",
    "Slice",
    "StreamKey",
    "StreamRecord",
    "Trial",
]


class StreamKey(NamedTuple):
    """Names one stream: a cluster and what of it is read."""

    cluster: str
    scope: str
    """`events` for all namespaces, `events/<namespace>` for one; then `?` and the field selector, if there is one.
    `nodes` for Nodes."""


OWN: Final = StreamKey("", "own")
"""The stream of Eventer's own records."""
REPLAY: Final = StreamKey("", "replay")
"""The stream of events that are given in again."""


class Entry(NamedTuple):
    """What the ledger knows of one entity."""

    version: int
    total: int
    """The API's count at that version; of a part of a Node, what its source keeps there."""
    hash: int
    """First 8 bytes of BLAKE2b over the content, signed; equal content has an equal hash."""


class ClusterRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster as it was seen last."""

    uid: str = ""
    """uid of its kube-system namespace; empty when that could not be read."""
    epoch: int = 0
    """Raised when versions went back or the uid changed."""


class StreamRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Position and books of one stream; written whole by its only owner, intake.

    `received = poison + seen + filtered + appended` in every committed record.
    """

    epoch: int = 0
    position: int | None = None
    """resourceVersion up to which everything is stored; None before the first full list."""
    high: int = 0
    """Highest version ever recorded: a watch ADDED above it cannot be known."""
    contact: float | None = None
    """When the API last answered, seconds since 1970."""
    received: int = 0
    poison: int = 0
    seen: int = 0
    filtered: int = 0
    appended: int = 0


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an event may be killing the process: gone as soon as the reader's cursor moves."""

    starts: int = 0
    """Starts at this cursor with events waiting, since the last clean end."""
    suspect: int | None = None
    """Offset of the event whose attempt began and did not end."""
    noted: int = 0
    """How often that one was noted."""


class Resumed(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader had settled in a journal that is lost, as far as it may come again."""

    versions: dict[str, dict[str, int]]
    """cluster: scope: `Event.version` up to which everything of that stream is settled."""
    dead: int = 0
    """Dead letters that were lost with that journal."""


class ReaderRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Cursor and books of one reader; written whole by its only owner.

    `cursor - origin = sum(outcomes.values())` in every committed record.
    """

    origin: int
    """Offset at which the reader began."""
    cursor: int
    """Offset of the first event that is not settled."""
    outcomes: dict[Outcome, int] = {}
    state: bytes | None = None
    """What the sink returned with the last settled send."""
    trial: Trial = Trial()
    untold: dict[Outcome, int] = {}
    """Events let go of that no gap record tells yet."""
    resumed: Resumed | None = None
    """None as soon as nothing of it can come any more."""

    def moved(self, outcomes: dict[Outcome, int], state: bytes | None = None) -> ReaderRecord:
        """Return the record after settling; `outcomes` sums to the events that the cursor moves by.

        A parked event that comes to its end counts as one parked less.
        """
        total, untold = dict(self.outcomes), dict(self.untold)
        for outcome, n in outcomes.items():
            if n:
                total[outcome] = total.get(outcome, 0) + n
            if n and outcome in {Outcome.EXPIRED, Outcome.DROPPED}:
                untold[outcome] = untold.get(outcome, 0) + n
        return ReaderRecord(
            origin=self.origin,
            cursor=self.cursor + sum(outcomes.values()),
            outcomes=total,
            state=self.state if state is None else state,
            untold=untold,
            resumed=self.resumed,
        )

    def decided(self, outcomes: dict[Outcome, int]) -> ReaderRecord:
        """Return the record after a person decided on letters: the cursor stays, and nobody need be told."""
        moved = self.moved(outcomes)
        return msgspec.structs.replace(moved, trial=self.trial, untold=self.untold)


class AlertingRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Cursor and books of the reader that makes one notifier's notifications; written whole by its only owner.

    `cursor - origin = represented + suppressed + expired + unmatched + dropped + waiting` in every committed record.
    The books of what it opened are the `ReaderRecord` of the notifier: a reader of the second log.
    """

    origin: int
    """Offset in the event log at which it began; negative where its books go on from a journal that is lost."""
    cursor: int
    """Offset of the first event that was not looked at, or whose effect is not stored yet."""
    represented: int = 0
    """Events in the count of some notification."""
    muted: dict[str, int] = {}
    """Events of which nobody wanted to be told, by what kept quiet about them: a stage, a space, its name for it."""
    expired: int = 0
    """Events too old to be told, and not even counted in a message."""
    unmatched: int = 0
    """Events that are no problem of this notifier's."""
    dropped: int = 0
    """Events that could not be read any more."""
    waiting: int = 0
    """Events that the next notifications will stand for; the stored state holds them."""
    duplicate: int = 0
    """Events that were decided on in a journal that is lost."""
    opened: int = 0
    """Notifications made: the head of the notifier's log."""
    resumed: Resumed | None = None
    """None as soon as nothing of it can come any more."""

    @property
    def suppressed(self) -> int:
        """Events of which nobody wanted to be told."""
        return sum(self.muted.values())

    @property
    def balanced(self) -> bool:
        """Whether each event is in exactly one count."""
        told = (self.represented, self.suppressed, self.expired, self.unmatched, self.duplicate)
        counts = (*told, self.dropped, self.waiting)
        return self.cursor - self.origin == sum(counts) and min(*counts, self.opened) >= 0


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """What of one notifier goes on in another journal: of a moment at which nothing was left to be told."""

    alerting: AlertingRecord
    notifier: ReaderRecord
    state: bytes = b""
    """What alerting remembered, as the journal keeps it; empty where that is nothing."""

    @property
    def size(self) -> int:
        """Bytes of what is not bounded by itself."""
        return len(self.state) + len(self.notifier.state or b"")

    @property
    def balanced(self) -> bool:
        """Whether its books are those of such a moment."""
        notifier = self.notifier
        told = notifier.origin == 0 and notifier.cursor == self.alerting.opened == sum(notifier.outcomes.values())
        return self.alerting.balanced and told and min(notifier.outcomes.values(), default=0) >= 0

    def begun(self, head: int, resumed: Resumed) -> Carried:
        """Return it with its cursor at the head of a new journal. The letters of the other one are lost."""
        reader = self.alerting
        outcomes = dict(self.notifier.outcomes)
        dead = outcomes.pop(Outcome.DEAD, 0)
        if dead:
            outcomes[Outcome.DROPPED] = outcomes.get(Outcome.DROPPED, 0) + dead
        return Carried(
            alerting=msgspec.structs.replace(
                reader, origin=head - reader.cursor + reader.origin, cursor=head, resumed=resumed
            ),
            notifier=msgspec.structs.replace(self.notifier, outcomes=outcomes),
            state=self.state,
        )


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """An event that is kept though its reader has passed it, or a line that is no event."""

    number: int
    """Offset of the event in the log; of intake's letters, how many there were before."""
    reader: str = ""
    """Whose it is, where letters of several are together; `intake:<cluster>/<scope>` for lines that are no event."""
    state: Outcome
    """`Outcome.DEAD`: a person decides. `Outcome.PARKED`: delivered later, by itself."""
    reason: str
    """From the sink's closed set, or `undecodable`."""
    answer: str = ""
    """What was said about it, redacted."""
    entity: str = ""
    destination: str = ""
    """Which part of the far side it waits for."""
    at: float
    """Since when it waits, seconds since 1970: since the event was appended, or since a person had it tried again."""
    due: float | None = None
    """When the window ends for which it is held back, seconds since 1970; None if it waits for the far side."""
    attempts: int = 1
    """How often it was sent before it was put here: one more each time that it is retried in vain."""
    event: bytes
    """The encoded event, or the raw line."""


class ParkedLetter(NamedTuple):
    """What must be known of a parked letter while it waits; see `Letter`."""

    number: int
    entity: str
    destination: str
    at: float
    due: float | None
    attempts: int = 1

    @classmethod
    def of(cls, letter: Letter) -> ParkedLetter:
        """Return what must be known of a letter."""
        return cls(letter.number, letter.entity, letter.destination, letter.at, letter.due, letter.attempts)


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive events from `first` on."""

    first: int
    lines: list[bytes]
    rows: list[tuple[int, float]] = []
    """(number of events, wall-clock time of their append), in order; sums to len(lines)."""
    lost: int = 0
    """Events at `first` whose stored bytes are damaged. Then there are no lines."""

    def appended(self, index: int) -> float:
        """Return when the event with this index was appended, seconds since 1970."""
        for count, at in self.rows:
            if index < count:
                return at
            index -= count
        raise IndexError(index)

    @property
    def end(self) -> int:
        """Offset after the last event."""
        return self.first + len(self.lines) + self.lost
