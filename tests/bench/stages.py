"""Where the path's CPU goes: each stage on its own, on the same lines, in one process.

    python -m tests.bench.stages        prints microseconds of CPU an event

The daemon's threads show the rest (`python -m tests.bench profile`): what they use beyond the
stages is the event loop, TLS, aiohttp, system calls and waiting for the interpreter's lock.
"""

from __future__ import annotations

import functools
import sqlite3
import time
from collections.abc import Callable

import msgspec

from eventer.event import encode_lines
from eventer.intake import content_hash
from eventer.journal import codec, ledger, schema
from eventer.journal.records import Entry
from eventer.match import Rule, Verdicts
from eventer.source.shapes import CoreLine
from eventer.source.wire import Decoder
from tests.bench.feed import line

EVENTS = 20_000
BLOCK = 200
"""Events decoded at once: about 256 KiB, as the daemon reads them in a flood."""


def cost(name: str, work: Callable[[int], object]) -> None:
    """Run work(0), work(1)... for all blocks three times; print the best time an event."""
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        for index in range(EVENTS // BLOCK):
            work(index)
        best = min(best, time.process_time() - began)
    print(f"| {name} | {best / EVENTS * 1e6:.2f} |", flush=True)


def main() -> None:
    print("| stage | CPU µs/event |\n|---|---|")
    blocks = [b"".join(line(i) for i in range(at, at + BLOCK)) for at in range(0, EVENTS, BLOCK)]
    raw = msgspec.json.Decoder(CoreLine)
    decoder = Decoder("core", "bench", 0, {})
    cost("decode (msgspec alone)", lambda i: raw.decode_lines(blocks[i]))
    cost("decode and flatten, with keys", lambda i: decoder.block(blocks[i]))
    events = [decoder.block(block).arrivals.events for block in blocks]
    cost("content hash", lambda i: [content_hash(event) for event in events[i]])
    rules = [Rule.parse({"namespace": f"absent-{i}", "reason": ["Killing"]}) for i in range(50)]
    for count in (1, 50):
        verdicts = Verdicts(rules[:count])
        cost(f"filter, {count} rules", lambda i, verdicts=verdicts: verdicts(events[i]))  # type: ignore[misc]
    cost("encode", lambda i: encode_lines(events[i]))
    lines = [encode_lines(batch) for batch in events]
    cost("compress and checksum", lambda i: codec.pack(lines[i], 0, 0.0, codec.DICTIONARY))
    changes = [{e.entity: Entry(e.version, e.count, content_hash(e)) for e in batch} for batch in events]
    cost("encode the ledger's changes", lambda i: ledger.encode_facts(changes[i]))
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for statement in schema.TABLES.split(";\n"):
        connection.execute(statement)
    rows = sorted(item for batch in changes for item in batch.items())
    per = len(rows) // (EVENTS // BLOCK)
    cost("fold the ledger", lambda i: ledger._fold("bench", 1, rows[i * per : (i + 1) * per], connection))
    cost(
        "read back from disk",
        functools.partial(_unpack, [codec.pack(batch, 0, 0.0, codec.DICTIONARY) for batch in lines]),
    )


def _unpack(packed: list[tuple[bytes, int]], index: int) -> list[bytes]:
    body, crc = packed[index]
    return codec.unpack(body, crc, 0, BLOCK, 0.0, codec.DICTIONARY)


if __name__ == "__main__":
    main()
