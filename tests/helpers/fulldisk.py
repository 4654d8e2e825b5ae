"""A life on a disk that is full, from a seed; run by tests/real/test_disk.py where a small disk can be mounted.

    python -m tests.helpers.fulldisk DIRECTORY SEED

Events are appended until the disk refuses. From then on a reader must be able to settle all of them, with a
gap record now and then, and when it has, events must be taken again: thrice, on one disk, without anybody's
help, and across a restart on the full disk. Prints the books at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from pathlib import Path

import msgspec

from eventer.clock import SystemClock
from eventer.errors import DiskRefused
from eventer.event import Outcome, encode_lines, own_record
from eventer.journal import Entry, Journal, ReaderRecord
from tests.helpers.journals import KEY
from tests.helpers.sinks import make_event

FAILURES = 20
"""Most refusals in a row of what must be possible."""


class Life:
    def __init__(self, directory: Path, seed: int) -> None:
        self.directory = directory
        self.dice = random.Random(seed)
        self.clock = SystemClock()
        self.number = 0
        self.size = self.dice.choice([200, 2_000, 40_000])

    async def run(self) -> None:
        for _ in range(3):
            with Journal.open(self.directory, max_size=1 << 30, clock=self.clock) as journal:
                if "a" not in journal.readers:
                    await journal.settle("a", ReaderRecord(origin=0, cursor=0))
                await self.fill(journal)
                await journal._on_reader(lambda _: None)  # the reserve has come to its use
                ballast = self.directory / "ballast"
                if self.dice.random() < 0.5:  # somebody else takes what is left, to the last byte
                    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                        while True:
                            file.write(bytes(4096))
                again = self.dice.random() < 0.5
                if not again:
                    await self.drain(journal)
                await journal.close()
            if again:  # a start on the full disk
                with Journal.open(self.directory, max_size=1 << 30, clock=self.clock) as journal:
                    assert journal.quarantined is None
                    await self.drain(journal)
                    await journal.close()
            ballast.unlink(missing_ok=True)
            with Journal.open(self.directory, max_size=1 << 30, clock=self.clock) as journal:
                await self.insist(journal.tidy)
                assert not journal.trouble, journal.trouble
                await self.append(journal)
                await journal.close()

    async def append(self, journal: Journal) -> None:
        events = []
        for _ in range(self.dice.randrange(1, 40)):
            self.number += 1
            events.append(make_event(self.number, message=self.dice.randbytes(self.size).hex()))
        lines = encode_lines(events)
        before = journal.stream(KEY)
        record = msgspec.structs.replace(
            before, received=before.received + len(lines), appended=before.appended + len(lines), position=self.number
        )
        changes = {event.entity: Entry(event.version, 1, 1) for event in events}
        await journal.append(KEY, record, lines, changes)

    async def fill(self, journal: Journal) -> None:
        while True:
            try:
                await self.append(journal)
            except DiskRefused:
                return
            if self.dice.random() < 0.1:
                with contextlib.suppress(DiskRefused):
                    await journal.tidy()

    async def insist(self, what) -> None:  # type: ignore[no-untyped-def]
        for _ in range(FAILURES):
            try:
                await what()
                return
            except DiskRefused:
                await asyncio.sleep(0.01)
        await what()

    async def drain(self, journal: Journal) -> None:
        while (reader := journal.readers["a"]).cursor < journal.head:
            n = min(self.dice.randrange(1, 100), journal.head - reader.cursor)
            moved = reader.moved({Outcome.DELIVERED: n})
            await self.insist(lambda moved=moved: journal.settle("a", moved))
            if self.dice.random() < 0.1:
                await self.insist(lambda: journal.record(own_record(self.clock.now(), "GapBacklog", "words " * 20)))
            if self.dice.random() < 0.3:
                with contextlib.suppress(DiskRefused):
                    await journal.tidy()
        with contextlib.suppress(DiskRefused):
            await journal.tidy()


if __name__ == "__main__":
    asyncio.run(Life(Path(sys.argv[1]), int(sys.argv[2])).run())
