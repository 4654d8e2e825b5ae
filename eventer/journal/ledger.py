"""The ledger: which version of each entity has been seen.

Changes arrive with every batch, in its transaction, as one blob (`delta`). An upsert per event
into a large table of random uids would cost 13 microseconds and 7 KB of writes; folding many
changes at once, sorted by key, costs a third of the time and a seventh of the writes. Until they
are folded, changes are answered from memory; after a start, from the blobs that were left.

A deleted entity leaves the ledger. Beyond `CAPACITY` entries of a stream its oldest go, and the
stream's low-water mark rises over them: what is unknown and not above it counts as seen.
"""

from __future__ import annotations

import asyncio
import functools
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from eventer.event import version_of
from eventer.journal.codec import sealed
from eventer.journal.records import Entry, StreamKey, StreamRecord

__all__ = ["CAPACITY", "FOLD_AT", "HELD", "Changes", "Ledger", "Overlay", "decode_facts", "encode_facts"]

CAPACITY: Final = 500_000
"""Entries of one stream before eviction; about 100 bytes each on disk."""
FOLD_AT: Final = 10_000
"""Unfolded entries at which folding begins."""
HELD: Final = 15_000
"""Unfolded entries of a stream, some 300 bytes each in memory, at which its next append waits for the fold."""
SAMPLED_FROM: Final = 50_000
"""Entries above which one in 64 stands for all when the oldest are looked for."""
SLICE: Final = 2_000
"""Entries in one commit of a fold: 30,000 at once held the writer for 80 ms."""

Changes = Mapping[str, Entry | None]
"""Entity -> what is known of it now; None where it was deleted."""


class Submit(Protocol):
    """`Writer.submit`."""

    def __call__(
        self, operation: Callable[[sqlite3.Connection], Any], then: Callable[[Any], object] | None = None
    ) -> Awaitable[Any]:
        """Queue an operation; `then` is called with its result once it is committed."""
        ...


_facts_encoder = msgspec.json.Encoder()


def encode_facts(changes: Changes) -> bytes:
    """Encode one batch's changes for the `delta` table."""
    return _facts_encoder.encode(
        [(entity,) if entry is None else (entity, *entry) for entity, entry in changes.items()]
    )


def decode_facts(facts: bytes) -> dict[str, Entry | None]:
    """Decode what `encode_facts` made."""
    rows: list[list[str | int]] = msgspec.json.decode(facts)
    return {str(row[0]): None if len(row) == 1 else Entry(*map(int, row[1:])) for row in rows}


class Overlay:
    """The unfolded changes of one stream, newest first: those still gathering, those being folded."""

    def __init__(self) -> None:
        self.gathering: dict[str, Entry | None] = {}
        self.folding: dict[str, Entry | None] = {}
        self.last_seq = 0
        """Number of the last `delta` row whose changes are in `gathering`."""

    def begin(self) -> int:
        """Move what has gathered to be folded (what an earlier, failed fold left stays in it).

        Returns:
            The last `delta` row that may be deleted when the fold is done.
        """
        self.folding = {**self.folding, **self.gathering} if self.folding else self.gathering
        self.gathering = {}
        return self.last_seq

    def end(self, folded: dict[str, Entry | None]) -> None:
        """Forget what is in the table, unless more is being folded by now: a fold can be cancelled at its end."""
        if self.folding is folded:
            self.folding = {}

    def __len__(self) -> int:
        return len(self.gathering) + len(self.folding)

    def __contains__(self, entity: str) -> bool:
        return entity in self.gathering or entity in self.folding

    def get(self, entity: str) -> Entry | None:
        """Return what is known of an entity that is in it; None where it was deleted."""
        return self.gathering[entity] if entity in self.gathering else self.folding[entity]


class Ledger:
    """What is known of the entities of all streams: in memory what is new, in the table the rest.

    Args:
        overlays: unfolded changes found at the start.
        ids: number of each stream in the tables; grows as streams are made.
        low: low-water mark of each stream.
        submit: runs an operation on the writer.
        read: runs a query on the reader.
    """

    def __init__(
        self,
        overlays: dict[StreamKey, Overlay],
        ids: Mapping[StreamKey, int],
        low: dict[StreamKey, int],
        submit: Submit,
        read: Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]],
    ) -> None:
        self._overlays = overlays
        self._ids = ids
        self._low = low
        self._submit = submit
        self._read = read
        self._turn = asyncio.Lock()
        """Held while anything is folded: housekeeping does it, and whoever brings changes faster than that."""

    def note(self, key: StreamKey, changes: Changes, seq: int) -> None:
        """Take over changes that are committed as `delta` row `seq`."""
        overlay = self._overlays.setdefault(key, Overlay())
        overlay.gathering.update(changes)
        overlay.last_seq = seq

    def unfolded(self, key: StreamKey) -> int:
        """How many entries wait to be folded."""
        overlay = self._overlays.get(key)
        return 0 if overlay is None else len(overlay)

    def low(self, key: StreamKey) -> int:
        """Version up to which what is not known counts as seen."""
        return self._low.get(key, 0)

    async def look_up(self, key: StreamKey, entities: Sequence[str]) -> dict[str, Entry]:
        """Return what is known of these entities of a stream's cluster, by whichever stream.

        Raises:
            JournalError: the file cannot be read.
        """
        overlays = [overlay for other, overlay in self._overlays.items() if other.cluster == key.cluster and overlay]
        known: dict[str, Entry] = {}
        asked: list[str] = []
        for entity in entities:
            found = [overlay.get(entity) for overlay in overlays if entity in overlay]
            if not found:
                asked.append(entity)
            elif None not in found:  # a deleted uid never comes back
                # Several where namespaces were read by other streams before the last start.
                known[entity] = max(entry for entry in found if entry is not None)
        if asked:
            known.update(await self._read(functools.partial(_look_up, key.cluster, asked)))
        return known

    async def under(self, key: StreamKey, heads: Collection[str]) -> dict[str, Entry]:
        """Return everything that is known by names which begin with one of these and a slash.

        Raises:
            JournalError: the file cannot be read.
        """
        # First of memory: what is folded while the table is read would be in neither.
        newer: dict[str, Entry | None] = {}
        for other, overlay in self._overlays.items():
            if other.cluster == key.cluster:
                for changes in (overlay.folding, overlay.gathering):
                    newer |= {name: entry for name, entry in changes.items() if name.partition("/")[0] in heads}
        known: dict[str, Entry | None] = await self._read(functools.partial(_under, key.cluster, sorted(heads)))
        known |= newer
        return {name: entry for name, entry in known.items() if entry is not None}

    async def tidy(self, streams: Mapping[StreamKey, StreamRecord], most: int) -> None:
        """Fold the changes of those streams that have at least so many.

        Raises:
            JournalError: as `fold`.
        """
        for key in list(streams):
            await self.fold(key, streams, most)

    async def fold(self, key: StreamKey, streams: Mapping[StreamKey, StreamRecord], most: int = 1) -> None:
        """Bring a stream's changes into the table if there are at least so many, and bound the table.

        Raises:
            JournalError: what was not done is done by the next call.
        """
        if self.unfolded(key) < most:
            return
        async with self._turn:
            if self.unfolded(key) >= most:
                await self._fold(key, streams[key])

    async def _fold(self, key: StreamKey, record: StreamRecord) -> None:
        stream = self._ids[key]
        overlay = self._overlays[key]
        last = overlay.begin()
        folding = overlay.folding
        changes = sorted(folding)
        for start in range(0, len(changes), SLICE):
            part = [(entity, folding[entity]) for entity in changes[start : start + SLICE]]
            await self._submit(functools.partial(_fold, key.cluster, stream, part))
        await self._submit(
            lambda c: c.execute("DELETE FROM delta WHERE stream = ? AND seq <= ?", (stream, last)),
            lambda _: overlay.end(folding),
        )
        # What lies above the stream's position may not be in its log yet, and must stay known.
        if record.position is not None:
            await self._evict(key, stream, version_of(record.epoch, record.position))

    async def _evict(self, key: StreamKey, stream: int, highest: int) -> None:
        version = await self._read(functools.partial(_threshold, stream, CAPACITY))
        if version is None:
            return
        # In memory first, since all up to the position is in the log: a look-up must not find the
        # entries gone and the mark still low.
        low = self._low[key] = max(self._low[key], min(version, highest))
        _, crc = sealed(low, *key)
        removed = SLICE
        while removed == SLICE:
            removed = await self._submit(functools.partial(_evict, stream, low, crc))


def _look_up(cluster: str, entities: Sequence[str], connection: sqlite3.Connection) -> dict[str, Entry]:
    """Read entries from the table in one statement.

    CROSS JOIN keeps the given list outermost; left to itself SQLite scanned the table instead
    (https://www.sqlite.org/optoverview.html#crossjoin).
    """
    rows = connection.execute(
        "SELECT l.entity, l.version, l.count, l.hash FROM json_each(?) AS j CROSS JOIN ledger AS l "
        "ON l.cluster = ? AND l.entity = j.value",
        (msgspec.json.encode(entities).decode(), cluster),
    )
    # A damaged entry may hold anything. What does not look like one is not known: better twice than never.
    return {row[0]: Entry(*row[1:]) for row in rows if all(type(number) is int for number in row[1:])}


def _under(cluster: str, heads: Sequence[str], connection: sqlite3.Connection) -> dict[str, Entry]:
    """Read the entries whose names begin with one of these and a slash: a range of the table's key each."""
    found: dict[str, Entry] = {}
    for head in heads:
        rows = connection.execute(
            "SELECT entity, version, count, hash FROM ledger WHERE cluster = ? AND entity > ? AND entity < ?",
            (cluster, f"{head}/", f"{head}0"),  # 0 comes after the slash
        )
        found |= {row[0]: Entry(*row[1:]) for row in rows if all(type(number) is int for number in row[1:])}
    return found


def _fold(cluster: str, stream: int, part: Sequence[tuple[str, Entry | None]], connection: sqlite3.Connection) -> None:
    """Bring one sorted slice of changes into the table, unless it knows newer ones by another stream."""
    connection.executemany(
        "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET stream = excluded.stream, "
        "version = excluded.version, count = excluded.count, hash = excluded.hash "
        "WHERE excluded.version >= version OR typeof(version) <> 'integer'",
        [(cluster, entity, stream, *entry) for entity, entry in part if entry is not None],
    )
    connection.executemany(
        "DELETE FROM ledger WHERE cluster = ? AND entity = ?",
        [(cluster, entity) for entity, entry in part if entry is None],
    )


def _threshold(stream: int, capacity: int, connection: sqlite3.Connection) -> int | None:
    """Return the version up to which entries of a stream must go to leave about 90 % of the capacity.

    Of a large table a sample is sorted (hashes are as good as random), not half a million rows.

    Returns:
        None while the stream has no more entries than its capacity.
    """
    (entries,) = connection.execute("SELECT count(*) FROM ledger WHERE stream = ?", (stream,)).fetchone()
    if entries <= capacity:
        return None
    mask = 63 if entries > SAMPLED_FROM else 0
    sample = [
        version
        for (version,) in connection.execute(
            "SELECT version FROM ledger WHERE stream = ? AND hash & ? = 0 ORDER BY version", (stream, mask)
        )
    ]
    return int(sample[len(sample) * (entries - capacity * 9 // 10) // entries - 1])


def _evict(stream: int, low: int, crc: int, connection: sqlite3.Connection) -> int:
    """Raise the low-water mark and remove one slice of what lies under it.

    Returns:
        Entries removed; fewer than a slice means that it is done.
    """
    connection.execute("UPDATE stream SET low = ?, low_crc = ? WHERE id = ?", (low, crc, stream))
    return connection.execute(
        "DELETE FROM ledger WHERE (cluster, entity) IN "
        "(SELECT cluster, entity FROM ledger WHERE stream = ? AND version <= ? LIMIT ?)",
        (stream, low, SLICE),
    ).rowcount
