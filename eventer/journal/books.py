"""The books of a journal that no daemon has open, for tests and for a person after a crash."""

from __future__ import annotations

from pathlib import Path

import msgspec

from eventer.event import Outcome
from eventer.journal import files, schema
from eventer.journal.records import ReaderRecord, StreamKey, StreamRecord

__all__ = ["Books", "read_books"]


class Books(msgspec.Struct, kw_only=True):
    """All counters of a journal at one moment."""

    head: int
    streams: dict[StreamKey, StreamRecord]
    readers: dict[str, ReaderRecord]
    letters: dict[tuple[str, Outcome], int]


def read_books(directory: Path) -> Books:
    """Read the books of a state directory; they are checked while they are read.

    Raises:
        Locked: a daemon has it open; ask that daemon's /metrics.
        Corrupt: a record is damaged, or the books do not balance.
    """
    with files.lock(directory):
        connection = schema.connect(directory)
        try:
            state = schema.load(connection)
            rows = connection.execute("SELECT reader, state, count(*) FROM letter GROUP BY reader, state").fetchall()
        except schema.FAILURES as error:
            raise schema.translate(error) from error
        finally:
            connection.close()
    return Books(
        head=state.head,
        streams=state.streams,
        readers=state.readers,
        letters={(reader, Outcome(name)): n for reader, name, n in rows},
    )
