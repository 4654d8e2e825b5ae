"""A journal with a backlog of any size, made in seconds: rows are written as the journal would, without its commits."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import msgspec

from eventer.clock import SystemClock
from eventer.event import encode_lines
from eventer.journal import Entry, Journal, ReaderRecord, StreamKey, StreamRecord, codec, schema
from eventer.journal.codec import sealed
from tests.helpers.sinks import make_event

__all__ = ["fill"]

KEY = StreamKey("bench", "events")


def _event(number: int) -> bytes:
    """An event of usual size whose names and ids do not repeat."""
    uid = hashlib.blake2b(number.to_bytes(8), digest_size=16).hexdigest()
    name = f"web-{uid[:10]}-{uid[10:15]}"
    event = make_event(number, id=f"bench/0/{uid}/{number}", entity=uid, name=name, cluster="bench")
    event.event = f"shop/{name}.{uid[:16]}"
    event.object = f"bench/Pod/shop/{name}"
    event.problem = f"{event.object}/BackOff/web"
    return encode_lines([event])[0]


def fill(
    directory: Path, size: int, *, per_row: int = 2000, readers: tuple[str, ...] = ("hook",), known: int = 0
) -> int:
    """Make a journal whose log has bodies of so many bytes; return how many events that are.

    Args:
        size: bytes, at least; a row is written whole.
        per_row: events in a row. All rows have the same ones.
        readers: have all of it before them.
        known: entries of the ledger; a tenth, 9,000 at most, is not folded.
    """
    head = asyncio.run(_begin(directory, readers, known))
    assert head == 0
    connection = schema.connect(directory)
    try:
        lines = [_event(number) for number in range(per_row)]
        (dictionary,) = connection.execute("SELECT value FROM meta WHERE name = 'dictionary'").fetchone()
        body, _ = codec.pack(lines, 0, 0.0, dictionary)
        at = SystemClock().now().timestamp()
        connection.execute("PRAGMA synchronous=OFF")
        rows = -(-size // len(body))
        for begin in range(0, rows, 5000):
            connection.execute("BEGIN")
            connection.executemany(
                "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    (n * per_row, per_row, 1, at, n * len(body), codec._checksum(body, n * per_row, per_row, at), body)
                    for n in range(begin, min(begin + 5000, rows))
                ),
            )
            connection.execute("COMMIT")
        key, stored = connection.execute("SELECT cluster, scope FROM stream").fetchone(), rows * per_row
        (record,) = connection.execute("SELECT record FROM stream").fetchone()
        changed = msgspec.structs.replace(
            msgspec.json.decode(record, type=StreamRecord), received=stored, appended=stored
        )
        connection.execute("UPDATE stream SET record = ?, crc = ?", sealed(changed, *key))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
    return stored


async def _begin(directory: Path, readers: tuple[str, ...], known: int) -> int:
    with Journal.open(directory, max_size=1 << 40, clock=SystemClock()) as journal:
        for name in readers:
            await journal.settle(name, ReaderRecord(origin=0, cursor=0))
        unfolded = min(known // 10, 9000)
        for begin in [*range(0, known - unfolded, 9000), known - unfolded]:
            end = known if begin == known - unfolded else min(begin + 9000, known - unfolded)
            uids = (hashlib.blake2b(n.to_bytes(8), digest_size=16).hexdigest() for n in range(begin, end))
            changes = {uid: Entry(1, 1, n) for n, uid in enumerate(uids)}
            await journal.append(KEY, msgspec.structs.replace(journal.stream(KEY), position=1), [], changes)
            if end < known:
                await journal.ledger.fold(KEY, journal.streams)
        head = journal.head
        await journal.close()
    return head
