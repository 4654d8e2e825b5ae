"""A dead letter as commands get it, and as `eventer dead-letters export` writes it. Light to import."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from eventer.journal import Letter
from eventer.journal.notes import LETTERS

__all__ = ["DeadLetter", "encode"]


class DeadLetter(msgspec.Struct, kw_only=True):
    """One letter, whole. In JSON one line; `eventer replay` reads what is under `event`."""

    sink: str
    """Whose it is; `notifications:<name>` for a notification of that notifier, `intake:<cluster>/<scope>` for a line
    that is no event."""
    number: int
    """With the sink, its name: `archive/123`."""
    time: datetime
    """Since when it is kept: the time of the event's append, or of the last retry."""
    reason: str
    answer: str
    """What the far side said."""
    destination: str
    attempts: int
    """How often it was sent."""
    event: msgspec.Raw
    """The event; `null` for a line that is none, and where the disk has damaged it."""
    line: str | None = None
    """What was read, where it is no event; bytes that are no text show as escapes."""

    @property
    def name(self) -> str:
        """What commands call it."""
        return f"{self.sink}/{self.number}"

    @property
    def of_intake(self) -> bool:
        """Whether it is a line that is no event."""
        return self.line is not None

    @property
    def of_notifier(self) -> bool:
        """Whether it is a notification in place of an event."""
        return self.sink.startswith(LETTERS)

    @property
    def damaged(self) -> bool:
        """Whether nothing of it can be read any more."""
        return not self.of_intake and bytes(self.event) == _NOTHING


_NOTHING = b"null"


def encode(letter: Letter) -> bytes:
    """Return a letter of the journal as a line of JSON, without line break."""
    of_intake = letter.reader.startswith("intake:")
    return msgspec.json.encode(
        DeadLetter(
            sink=letter.reader,
            number=letter.number,
            time=datetime.fromtimestamp(letter.at, UTC),
            reason=letter.reason,
            answer=letter.answer,
            destination=letter.destination,
            attempts=letter.attempts,
            event=msgspec.Raw(_NOTHING if of_intake or not letter.event else letter.event),
            line=letter.event.decode("utf-8", "backslashreplace") if of_intake else None,
        )
    )
