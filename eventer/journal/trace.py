"""Where the events of one entity are: what became of each at every reader, as far as the journal knows."""

from __future__ import annotations

import sqlite3
import zlib
from typing import NamedTuple

from eventer.event import Outcome

__all__ = ["Kept", "kept"]


class Kept(NamedTuple):
    """One letter of an entity."""

    reader: str
    number: int
    """Offset of the event in the log."""
    state: Outcome
    reason: str
    answer: str
    event: bytes
    """Empty where it is damaged."""


def kept(connection: sqlite3.Connection, entity: str) -> list[Kept]:
    """Return the letters of an entity, in order of their numbers. It walks the table: only people ask for it."""
    rows = connection.execute(
        "SELECT reader, number, state, reason, answer, crc, event FROM letter WHERE entity = ? ORDER BY number, reader",
        (entity,),
    )
    return [
        Kept(
            reader,
            number,
            Outcome(state),
            reason,
            answer,
            event if isinstance(event, bytes) and zlib.crc32(event) == crc else b"",
        )
        for reader, number, state, reason, answer, crc, event in rows
    ]
