"""The journal: what Eventer remembers, in one SQLite file, and the only truth about progress.

**Log.** `append` stores a batch of events, the stream's new position and counters, and the
ledger's changes in one transaction. An event's offset is its place in the log, from 0.
**Readers.** `settle` moves a reader's cursor (an offset, nothing else), counts what became of the
events it passed, and stores dead letters and the sink's state in one transaction. Because each
counter changes only in the transaction that settles a unit, the books balance at any time, across
kill -9: head = sum of `appended` over all streams, and cursor - origin = sum of a reader's
outcomes. Both are checked at every start; a file in which they do not hold is damaged.
**Second log.** Alerting reads the event log for each notifier, and writes what is to be told into a log of that
notifier's (`alerting`): its cursor, its books, the notifications and what it remembers, in one transaction.
**Silences** that people made by command are a table of their own (`silences`).
**Ledger.** What version of each entity has been seen, so that a new list tells new from known. A
batch's changes are one blob in its transaction, folded into the table later (`ledger`).
**Threads.** One writer thread commits whatever operations have gathered while it was busy (group
commit); one reader thread answers look-ups and reads from disk. All else lives on the event loop.
**Room.** On a full disk nothing new is taken, and what is owed to the past is done: `room`.
**Promise.** When `append` or `settle` returns, the change survives power loss (WAL with
synchronous=FULL). When it raises, nothing of it happened. A successful `append` does not promise
that the batch is in the ring: readers cannot tell where an answer comes from.
**Limits.** The log is trimmed behind the slowest reader, after a while (`house`); over `max_size` the journal names an
offset (`shed_to`) up to which laggards must let go, and their runners count it.
"""

from eventer.journal.alerting import Alerting, Notes
from eventer.journal.books import read_books
from eventer.journal.journal import Journal
from eventer.journal.records import (
    AlertingRecord,
    Entry,
    Letter,
    ParkedLetter,
    ReaderRecord,
    Slice,
    StreamKey,
    StreamRecord,
    Trial,
)
from eventer.journal.silences import SilenceRecord

__all__ = [
    "Alerting",
    "AlertingRecord",
    "Entry",
    "Journal",
    "Letter",
    "Notes",
    "ParkedLetter",
    "ReaderRecord",
    "SilenceRecord",
    "Slice",
    "StreamKey",
    "StreamRecord",
    "Trial",
    "read_books",
]
