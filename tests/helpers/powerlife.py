"""A journal's life for the power-loss model: says each thing that it was promised, when it was promised.

    python -m tests.helpers.powerlife DIRECTORY SEED

Says one line when a call has returned: `append HEAD`, `settle CURSOR`, `alert CURSOR OPENED`, `tell CURSOR`, `damaged` before it damages its own
file, `anew` when the journal begun after that is open, and then `append HEAD` of the new one.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

import msgspec

from eventer.clock import SystemClock
from eventer.event import Outcome, encode_lines
from eventer.journal import Entry, Journal, ReaderRecord, ledger, log
from eventer.journal.files import FILE
from tests.helpers.journals import KEY
from tests.helpers.sinks import make_event

ROWS = 14
"""Appends in one run of the journal."""


def line_of(seed: int, life: int, number: int) -> bytes:
    """Return what is appended at an offset; of a length that takes pages of its own now and then."""
    dice = random.Random(f"{seed} {life} {number}")
    return encode_lines([make_event(number, message=dice.randbytes(dice.choice([10, 10, 300, 4000])).hex())])[0]


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


async def live(directory: Path, seed: int, life: int, *, first: bool) -> None:
    dice = random.Random(f"{seed} {life} {first}")
    with Journal.open(directory, max_size=1 << 30, clock=SystemClock()) as journal:
        journal._writer._connection.execute("PRAGMA wal_autocheckpoint=12")  # many copies in a short life
        if first and life:
            say("anew")
        if "a" not in journal.readers:
            await journal.settle("a", ReaderRecord(origin=0, cursor=0))
        await journal.alerting.begin("n", 0)
        for _ in range(ROWS):
            lines = [line_of(seed, life, journal.head + n) for n in range(dice.randrange(1, 5))]
            before = journal.stream(KEY)
            record = msgspec.structs.replace(
                before,
                position=journal.head + len(lines),
                received=before.received + len(lines),
                appended=before.appended + len(lines),
            )
            changes = {f"uid-{journal.head + n}": Entry(journal.head + n, 1, 1) for n in range(len(lines))}
            await journal.append(KEY, record, lines, changes)
            say(f"append {journal.head}")
            if dice.random() < 0.4:
                reader = journal.readers["a"]
                moved = dice.randrange(journal.head - reader.cursor + 1)
                await journal.settle("a", reader.moved({Outcome.DELIVERED: moved}))
                say(f"settle {reader.cursor + moved}")
            if dice.random() < 0.4:
                await notify(journal, dice)
            if dice.random() < 0.3:
                await journal.tidy()
        # The last run before the damage ends in order: a log that is not copied would make up for it.
        if first and dice.random() < 0.5:
            os._exit(0)  # as kill -9 would end it, with a log that is not copied
        await journal.close()


def note_of(number: int) -> bytes:
    """Return the notification at an offset of the second log."""
    return (
        b"note %d " % number
        + random.Random(number).randbytes(random.Random(number).choice([10, 300, 3000])).hex().encode()
    )


async def notify(journal: Journal, dice: random.Random) -> None:
    """Read events for the notifier, make notifications of them, and tell some, or fold them."""
    before = journal.alerting.readers["n"]
    n = dice.randrange(journal.head - before.cursor + 1)
    emit = [note_of(before.opened + i) for i in range(dice.randrange(3))]
    record = msgspec.structs.replace(
        before, cursor=before.cursor + n, represented=before.represented + n, opened=before.opened + len(emit)
    )
    await journal.alerting.settle("n", record, emit, b"state %d" % record.cursor)
    say(f"alert {record.cursor} {record.opened}")
    notes = journal.alerting.log("n")
    notifier = journal.alerting.notifiers["n"]
    waiting = record.opened - notifier.cursor
    if waiting > 1 and dice.random() < 0.3:
        notifier = notifier.moved({Outcome.FOLDED: 1})
        await notes.settle("n", notifier, instead=b"folded %d" % notifier.cursor)
    else:
        notifier = notifier.moved({Outcome.DELIVERED: dice.randrange(waiting + 1)})
        await notes.settle("n", notifier)
    say(f"tell {notifier.cursor}")


def child(directory: Path, seed: int, life: int, *, first: bool) -> None:
    """Live in a process of its own, which half of the times is killed instead of ending."""
    if not os.fork():
        asyncio.run(live(directory, seed, life, first=first))
        os._exit(0)
    os.wait()


def main(directory: Path, seed: int) -> None:
    ledger.FOLD_AT, ledger.HELD, ledger.SLICE, log.TRIM = 6, 9, 3, 2  # type: ignore[misc]
    child(directory, seed, 0, first=True)
    child(directory, seed, 0, first=False)
    say("damaged")
    fd = os.open(directory / FILE, os.O_RDWR)
    os.pwrite(fd, bytes(100), 0)
    os.fsync(fd)
    os.close(fd)
    child(directory, seed, 1, first=True)
    child(directory, seed, 1, first=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
