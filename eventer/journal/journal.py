"""The journal's face: what intake and the runners call. The design is in the package's docstring."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from eventer.clock import Clock
from eventer.errors import Corrupt, DiskRefused
from eventer.event import Event, encode_lines
from eventer.journal import files, ledger, log
from eventer.journal import letters as letter
from eventer.journal.adopt import Adopted
from eventer.journal.alerting import Alerting
from eventer.journal.begin import Begun, begin
from eventer.journal.codec import sealed
from eventer.journal.house import House
from eventer.journal.reader import Reader
from eventer.journal.readers import Readers
from eventer.journal.records import OWN, ClusterRecord, Letter, StreamKey, StreamRecord
from eventer.journal.room import probe
from eventer.journal.sent import SentTimes
from eventer.journal.silences import SilenceTable
from eventer.journal.writer import Writer

__all__ = ["Journal"]

FOLD_EVERY: Final = 30.0
"""Seconds after which changes are folded even if they are few; bounds what a start must read."""
HOUSE_EVERY: Final = 1.0
"""Most seconds between rounds of trimming, folding and looking at the size."""
PROVE_EVERY: Final = 60.0
"""Seconds between writes of no other use: where nothing happens, nobody would see that the disk went away."""
SLOW: Final = 10.0
"""Seconds without an answer to a write after which a disk is called slow."""
STUCK: Final = 600.0
"""Seconds after which it is no slow disk any more; a restart may bring the pod to its volume again."""


class Journal(Readers):
    """One open journal. Make it with `Journal.open`.

    Attributes:
        head: offset after the last committed event.
        alerting: the second log, and the readers that write it.
        silences: those that people made by command.
        ledger: which versions of entities have been seen.
        beat: monotonic time at which housekeeping was last seen at work; liveness looks at it.
        commit_failures: commits that changed nothing because the disk refused.
        damaged: set when the file turned out to be damaged; set it aside and begin anew.
        quarantined: where the damaged database went that was found at the start, if one was.
    """

    def __init__(self, begun: Begun, directory: Path, max_size: int, keep: float, clock: Clock) -> None:
        self._state = state = begun.state
        self._room = begun.room
        self._clock = clock
        self._writer = Writer(begun.connection, self._failed)
        self._reader = Reader(directory, self._failed)
        super().__init__(state, self._writer, self._reader.run)
        self._own = asyncio.Lock()
        self.alerting = Alerting(state, self._writer, self._reader.run, self._damaged, self.record, clock)
        self.silences = SilenceTable(state.silences, self._writer.submit)
        self.sent = SentTimes(state.sent, self._writer.submit, clock.now().timestamp())
        self.ledger = ledger.Ledger(state.overlays, state.stream_ids, state.low, self._writer.submit, self._on_reader)
        # What was left unfolded may be of streams that are read no more: it goes first.
        self._folded_at = clock.monotonic() - (FOLD_EVERY if state.overlays else 0.0)
        reader, writer = self._reader, self._writer
        self._house = House(state.stored, state.passed, reader, writer, clock, max_size=max_size, keep=keep)
        self.beat = self._proved_at = clock.monotonic()
        self.commit_failures = 0
        self.damaged = asyncio.Event()
        self._untidy = asyncio.Event()
        self.quarantined = begun.quarantined

    @classmethod
    @contextlib.contextmanager
    def open(
        cls, directory: Path, *, max_size: int, clock: Clock, keep: float = 0.0, damaged: bool = False
    ) -> Iterator[Journal]:
        """Lock the state directory and open the journal in it; a damaged one is set aside.

        Args:
            directory: made if it is not there.
            max_size: bytes of database beyond which laggards must let go.
            clock: time.
            keep: seconds after its append for which an event stays, though every reader has passed it; see `House`.
            damaged: set aside what is there in any case.

        Close it with `close` before the context ends, which only lets go of the lock.

        Raises:
            Locked, Newer, DiskRefused: each says what to do.
        """
        files.prepare(directory)
        with files.lock(directory):
            begun = begin(directory, clock.now(), damaged=damaged)
            journal = cls(begun, directory, max_size, keep, clock)
            try:
                yield journal
            finally:
                journal._reader.close()
                begun.connection.close()
                begun.room.end()

    async def close(self) -> None:
        """Commit what is queued and stop the writer."""
        await self._writer.close()

    async def drained(self) -> None:
        """Return when everything asked for so far is committed or has failed, also what nobody waits for any more.

        Raises:
            JournalError: the disk refuses.
        """
        await self._writer.submit(lambda _: None)

    # -- clusters and streams --------------------------------------------------------------------

    def cluster(self, name: str) -> ClusterRecord | None:
        """Return what is known of a cluster."""
        return self._state.clusters.get(name)

    async def set_cluster(self, name: str, record: ClusterRecord) -> None:
        """Store a cluster's uid and epoch."""
        body, crc = sealed(record, name)

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO cluster VALUES (?, ?, ?)", (name, body, crc))

        await self._writer.submit(write, lambda _: self._state.clusters.update({name: record}))

    def stream(self, key: StreamKey) -> StreamRecord:
        """Return the record of a stream, an empty one if it was never written."""
        return self._state.streams.get(key) or StreamRecord()

    @property
    def streams(self) -> Mapping[StreamKey, StreamRecord]:
        """The committed records of all streams, own records included."""
        return self._state.streams

    @property
    def instance(self) -> str:
        """Random name of this journal."""
        return self._state.instance

    async def adopt(self, found: Adopted) -> None:
        """Take over what another journal knew; no stream may have been read yet, and no reader may run."""
        state = self._state
        await self._writer.submit(lambda c: found.write(c, state), lambda ids: found.remember(ids, state))

    async def _stream_id(self, key: StreamKey) -> int:
        if key not in self._state.stream_ids:
            await self.adopt(Adopted(clusters={}, streams={key: StreamRecord()}, readers={}))
        return self._state.stream_ids[key]

    async def append(
        self,
        key: StreamKey,
        record: StreamRecord,
        lines: list[bytes],
        changes: ledger.Changes,
        letters: Sequence[Letter] = (),
    ) -> None:
        """Store a batch, the stream's new record and the ledger's changes in one transaction.

        Args:
            key: whose batch it is; only one caller may append for a stream.
            record: the stream's record with this batch counted.
            lines: encoded events, without line breaks.
            changes: what the ledger is to know after it.
            letters: lines that are no event, kept as dead letters.

        Raises:
            JournalError: nothing of it happened.
        """
        if key != OWN:
            await self.make_room()
        if changes:
            await self.ledger.fold(key, self.streams, ledger.HELD)
        stream = await self._stream_id(key)
        record_body, record_crc = sealed(record, *key)
        facts = ledger.encode_facts(changes) if changes else b""
        at = self.now
        state = self._state

        def write(connection: sqlite3.Connection) -> tuple[int, int, int]:
            first = seq = size = 0
            if lines:
                first, size = log.add(connection, state.dictionary, state.head, stream, at, lines)
            if facts:
                added = connection.execute(
                    "INSERT INTO delta(stream, crc, facts) VALUES (?, ?, ?)", (stream, zlib.crc32(facts), facts)
                )
                seq = added.lastrowid or 0
            connection.execute("UPDATE stream SET record = ?, crc = ? WHERE id = ?", (record_body, record_crc, stream))
            letter.change(connection, f"intake:{key.cluster}/{key.scope}", letters)
            return first, seq, size

        def then(result: tuple[int, int, int]) -> None:
            first, seq, size = result
            state.streams[key] = record
            if changes:
                self.ledger.note(key, changes, seq)
                if self.ledger.unfolded(key) >= ledger.FOLD_AT:
                    self._untidy.set()
            if lines:
                self._house.added(size)
                state.head = first + len(lines)
                self._grew(first, at, lines)

        await self._writer.submit(write, then)

    async def record(self, event: Event) -> None:
        """Append one of Eventer's own records, giving it its keys (instance and sequence).

        Raises:
            JournalError: as `append`.
        """
        # A caller may go away, but the next record counts on from this one and must wait for it.
        await asyncio.shield(self._record(event))

    async def _record(self, event: Event) -> None:
        async with self._own:
            before = self.stream(OWN)
            sequence = before.appended + 1
            event.entity = event.id = f"{self._state.instance}/{sequence}"
            event.version = sequence
            record = msgspec.structs.replace(before, received=before.received + 1, appended=sequence)
            await self.append(OWN, record, encode_lines([event]), {})

    # -- housekeeping ----------------------------------------------------------------------------

    @property
    def _settled(self) -> int:
        """Offset that every reader has reached, alerting included."""
        return self._state.settled

    @property
    def shed_to(self) -> int:
        """Offset below which readers must let events go, because `max_size` is reached."""
        return self._house.shed_to

    @property
    def used(self) -> int:
        """Bytes of the database in use at the last round of housekeeping."""
        return self._house.used

    @property
    def backlog(self) -> int:
        """Bytes of events that wait for readers; what `max_size` bounds."""
        return self._house.backlog

    @property
    def trouble(self) -> str:
        """What is wrong with the disk, in words; empty while it takes writes in time."""
        silent = self._writer.silent
        return self._room.refused or (f"The disk has not answered for {silent:.0f} s." if silent > SLOW else "")

    async def make_room(self) -> None:
        """Return when streams may append, or raise DiskRefused with what is missing: reading would be in vain."""
        if self._room.refused:
            try:
                await self._room.regain(self._on_reader, self._writer.submit)
            except DiskRefused as error:
                self._room.refuse(str(error))
                raise

    async def keep_house(self) -> None:
        """Trim, fold and watch the size, for ever. A failed round is repeated by the next one.

        A round may take long where the disk is slow, so the beat goes on until nothing was answered for `STUCK`.

        Raises:
            Corrupt: the file is damaged; nothing can go on with it.
        """
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HOUSE_EVERY):
                    await self._untidy.wait()
            self._untidy.clear()
            tidying = asyncio.ensure_future(self.tidy())
            try:
                while not tidying.done():
                    await asyncio.wait([tidying], timeout=HOUSE_EVERY)
                    if self._writer.silent < STUCK:
                        self.beat = self._clock.monotonic()
            finally:
                tidying.cancel()
            with contextlib.suppress(DiskRefused):
                tidying.result()

    async def tidy(self) -> None:
        """One round of housekeeping."""
        await self._house.tidy(self._settled, short=bool(self._room.refused))
        await self.make_room()
        if self._clock.monotonic() - self._proved_at >= PROVE_EVERY:
            self._proved_at = self._clock.monotonic()
            await self._writer.submit(probe)
        due = self._clock.monotonic() - self._folded_at >= FOLD_EVERY
        await self.ledger.tidy(self.streams, 1 if due else ledger.FOLD_AT)
        if due:
            self._folded_at = self._clock.monotonic()

    def _failed(self, error: Exception) -> None:
        self.commit_failures += 1
        if isinstance(error, Corrupt):
            self.damaged.set()
        elif isinstance(error, DiskRefused):
            self._room.refuse(str(error))
            self._reader.run_unattended(self._room.yield_reserve)
