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
from eventer.event import Event, Outcome, encode_lines, own_record
from eventer.journal import files, ledger, log
from eventer.journal import letters as letter
from eventer.journal.begin import Begun, begin
from eventer.journal.books import Books, snapshot
from eventer.journal.codec import sealed
from eventer.journal.reader import Reader
from eventer.journal.records import ClusterRecord, Letter, ParkedLetter, ReaderRecord, Slice, StreamKey, StreamRecord
from eventer.journal.ring import Ring
from eventer.journal.room import probe
from eventer.journal.writer import Writer

__all__ = ["OWN", "Journal"]

OWN: Final = StreamKey("", "own")
"""The stream of Eventer's own records."""
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


class Journal:
    """One open journal. Make it with `Journal.open`.

    Attributes:
        head: offset after the last committed event.
        ledger: which versions of entities have been seen.
        shed_to: offset below which readers must let events go, because `max_size` is reached.
        used: bytes of the database in use at the last round of housekeeping.
        backlog: bytes of events in it; what `max_size` bounds.
        beat: monotonic time at which housekeeping was last seen at work; liveness looks at it.
        commit_failures: commits that changed nothing because the disk refused.
        damaged: set when the file turned out to be damaged; set it aside and begin anew.
        quarantined: where the damaged database went that was found at the start, if one was.
    """

    def __init__(self, begun: Begun, directory: Path, max_size: int, clock: Clock) -> None:
        self._state = state = begun.state
        self._room = begun.room
        self._max_size = max_size
        self._clock = clock
        self._writer = Writer(begun.connection, self._failed)
        self._reader = Reader(directory, self._failed)
        self._on_reader = self._reader.run
        self._ring = Ring()
        self._waiters: list[asyncio.Future[None]] = []
        self._own = asyncio.Lock()
        self._bad_rows: set[int] = set()
        self.head = state.head
        self.ledger = ledger.Ledger(state.overlays, state.stream_ids, state.low, self._writer.submit, self._on_reader)
        # What was left unfolded may be of streams that are read no more: it goes first.
        self._folded_at = clock.monotonic() - (FOLD_EVERY if state.overlays else 0.0)
        self.shed_to = 0
        self.used = 0
        self.backlog = state.backlog
        self.beat = self._proved_at = clock.monotonic()
        self.commit_failures = 0
        self.damaged = asyncio.Event()
        self._untidy = asyncio.Event()
        self.quarantined = begun.quarantined

    @classmethod
    @contextlib.contextmanager
    def open(cls, directory: Path, *, max_size: int, clock: Clock, damaged: bool = False) -> Iterator[Journal]:
        """Lock the state directory and open the journal in it; a damaged one is set aside.

        Args:
            directory: made if it is not there.
            max_size: bytes of database beyond which laggards must let go.
            clock: time.
            damaged: set aside what is there in any case.

        Close it with `close` before the context ends, which only lets go of the lock.

        Raises:
            Locked, Newer, DiskRefused: each says what to do.
        """
        files.prepare(directory)
        with files.lock(directory):
            begun = begin(directory, clock.now(), damaged=damaged)
            journal = cls(begun, directory, max_size, clock)
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

    async def _stream_id(self, key: StreamKey) -> int:
        known = self._state.stream_ids.get(key)
        if known is not None:
            return known
        record = StreamRecord()
        body, crc = sealed(record, *key)
        _, low_crc = sealed(0, *key)

        def write(connection: sqlite3.Connection) -> int:
            cursor = connection.execute(
                "INSERT INTO stream(cluster, scope, record, crc, low_crc) VALUES (?, ?, ?, ?, ?)",
                (*key, body, crc, low_crc),
            )
            return int(cursor.lastrowid or 0)

        def then(id_: int) -> None:
            self._state.stream_ids[key] = id_
            self._state.streams[key] = record
            self._state.low[key] = 0

        await self._writer.submit(write, then)
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
        stream = await self._stream_id(key)
        record_body, record_crc = sealed(record, *key)
        facts = ledger.encode_facts(changes) if changes else b""
        at = self._clock.now().timestamp()
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
                self._ring.add(first, at, lines)
                self.backlog += size
                self.head = state.head = first + len(lines)
                waiters, self._waiters = self._waiters, []
                for waiter in waiters:
                    if not waiter.done():
                        waiter.set_result(None)

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

    # -- readers ---------------------------------------------------------------------------------

    @property
    def readers(self) -> Mapping[str, ReaderRecord]:
        """The committed records of all readers."""
        return self._state.readers

    async def oldest(self) -> int:
        """Offset of the oldest event that the log still holds."""
        row = await self._on_reader(lambda c: c.execute("SELECT min(first) FROM log").fetchone())
        return self.head if row[0] is None else int(row[0])

    async def offset_at(self, at: float) -> int:
        """Return the offset of the first event appended at a time (seconds since 1970) or later, or the head."""
        found = await self._on_reader(lambda c: log.offset_at(c, at))
        return self.head if found is None else found

    async def read(self, cursor: int, count: int, size: int) -> Slice:
        """Return up to `count` events or `size` bytes from `cursor` on, at least one if there is.

        Events whose stored bytes are damaged come as `Slice.lost`, alone, and leave a gap record.
        """
        if cursor >= self.head:
            return Slice(first=cursor, lines=[])
        found = self._ring.read(cursor, count, size)
        if found is None:
            found = await self._on_reader(lambda c: log.read(c, self._state.dictionary, cursor, self.head, count, size))
        if found.lost and cursor not in self._bad_rows:
            self._bad_rows.add(cursor)
            message = f"{found.lost} stored events are damaged on the disk and lost."
            try:
                await self.record(own_record(self._clock.now(), "GapDamaged", message))
            except BaseException:
                self._bad_rows.discard(cursor)  # nobody was told; the reader comes again
                raise
        return found

    async def grown(self, cursor: int) -> None:
        """Return as soon as there is an event at `cursor`."""
        while self.head <= cursor:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def settle(
        self, name: str, record: ReaderRecord, letters: Sequence[Letter] = (), gone: Sequence[int] = ()
    ) -> asyncio.Future[None]:
        """Store a reader's record and its new letters, and remove others by number, in one transaction.

        The returned future is done when it is on the disk; a runner may send its next batch
        meanwhile. It raises JournalError when nothing of it happened.
        """
        body, crc = sealed(record, name)

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO reader VALUES (?, ?, ?)", (name, body, crc))
            letter.change(connection, name, letters, gone)

        return self._writer.submit(write, lambda _: self._state.readers.update({name: record}))

    async def remove_reader(self, name: str) -> None:
        """Forget a reader and its letters."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM reader WHERE name = ?", (name,))
            letter.forget(connection, name)

        await self._writer.submit(write, lambda _: self._state.readers.pop(name, None))

    async def books(self) -> Books:
        """Return the books and what waits, of one moment, from the disk."""
        return await self._on_reader(snapshot)

    async def letters(self) -> dict[tuple[str, Outcome], int]:
        """Count the letters by (reader, state)."""
        return await self._on_reader(letter.count)

    async def parked(self, name: str) -> list[ParkedLetter]:
        """Return what is known of a reader's parked letters, in order."""
        return await self._on_reader(lambda c: letter.parked(c, name))

    async def letter_lines(self, name: str, numbers: Sequence[int]) -> dict[int, bytes]:
        """Return the encoded events of letters by number; one that is damaged is not in it."""
        return await self._on_reader(lambda c: letter.lines(c, name, numbers))

    # -- housekeeping ----------------------------------------------------------------------------

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
        settled = min((reader.cursor for reader in self.readers.values()), default=self.head)
        # First what only reads: a full disk must not keep laggards from being told.
        await self._measure()
        backlog = self.backlog
        removed = log.TRIM
        while removed == log.TRIM:
            removed, size = await self._writer.submit(lambda c: log.trim(c, settled))
            self.backlog -= size
        if self.backlog < backlog:
            await self._measure()
        await self.make_room()
        if self._clock.monotonic() - self._proved_at >= PROVE_EVERY:
            self._proved_at = self._clock.monotonic()
            await self._writer.submit(probe)
        due = self._clock.monotonic() - self._folded_at >= FOLD_EVERY
        for key, record in list(self.streams.items()):
            if self.ledger.unfolded(key) >= (1 if due else ledger.FOLD_AT):
                await self.ledger.fold(key, record)
        if due:
            self._folded_at = self._clock.monotonic()

    async def _measure(self) -> None:
        self.used = await self._on_reader(log.used)
        excess = self.backlog - self._max_size
        # Down to 90 %: shedding a little at each round would tear every batch.
        self.shed_to = await self._on_reader(lambda c: log.shed(c, excess + self._max_size // 10)) if excess > 0 else 0

    def _failed(self, error: Exception) -> None:
        self.commit_failures += 1
        if isinstance(error, Corrupt):
            self.damaged.set()
        elif isinstance(error, DiskRefused):
            self._room.refuse(str(error))
            self._reader.run_unattended(self._room.yield_reserve)
