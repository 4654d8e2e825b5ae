"""Events that are given in by hand: past the ledger, which knows them, through filter and redaction, into the journal.

They have a stream of their own, whose books balance like those of any other. Each portion is named by its
session and its number, and the stream's record remembers the last one: so a portion that is sent again,
because nobody knows what became of it, is in the journal once. Ids are the same as before; stores that have
identity keep one of each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from eventer.config.types import Config
from eventer.errors import EventerError
from eventer.event import Event, Origin, decode_lines, encode_lines
from eventer.journal import Journal
from eventer.journal.records import REPLAY
from eventer.match import Verdicts
from eventer.redaction import Redaction

__all__ = ["Admitted", "Readmission"]


class Admitted(msgspec.Struct, kw_only=True, frozen=True):
    """What became of a portion; it is on the disk."""

    appended: int = 0
    filtered: int = 0
    known: bool = False
    """It had been taken before, and was not taken again."""
    wait: str = ""
    """Why it was not taken yet, in words; send it again in a moment."""


class Readmission:
    """Takes portions, one after the other.

    Args:
        config: returns the configuration as it is now, of which filter and redaction are followed.
    """

    def __init__(self, journal: Journal, config: Callable[[], Config]) -> None:
        self._journal = journal
        self._config = config
        self._lock = asyncio.Lock()

    async def take(self, session: int, number: int, lines: Sequence[bytes]) -> Admitted:
        """Store one portion; return when it is on the disk.

        Args:
            session: names the replay.
            number: of the portion; rises within a session.
            lines: encoded events.

        Raises:
            EventerError: a line is no event of Eventer's, and nothing of the portion was taken.
            JournalError: the disk refuses, likewise.
        """
        try:
            events = decode_lines(list(lines))
        except (msgspec.MsgspecError, ValueError) as error:
            raise EventerError(f"A line is no event of Eventer's: {error}.") from None
        # Whoever asked may go away, but the next portion counts on from this one and must wait for it.
        return await asyncio.shield(self._take(session, number, events))

    async def _take(self, session: int, number: int, events: list[Event]) -> Admitted:
        async with self._lock:
            before = self._journal.stream(REPLAY)
            if before.high == session and before.position is not None and number <= before.position:
                return Admitted(known=True)
            kept = self._admitted(events)
            record = msgspec.structs.replace(
                before,
                high=session,
                position=number,
                received=before.received + len(events),
                filtered=before.filtered + len(events) - len(kept),
                appended=before.appended + len(kept),
            )
            await self._journal.append(REPLAY, record, encode_lines(kept), {})
            return Admitted(appended=len(kept), filtered=len(events) - len(kept))

    def _admitted(self, events: list[Event]) -> list[Event]:
        config = self._config()
        rules = config.filter
        verdicts = Verdicts([rule.rule for rule in rules])(events)
        kept = [
            event
            for event, verdict in zip(events, verdicts, strict=True)
            if verdict < 0 or rules[verdict].keeps or event.origin is Origin.EVENTER
        ]
        Redaction(config.redact)(kept)
        return kept
