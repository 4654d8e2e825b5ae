"""Row Q2: power cuts at any moment of a journal's life, under a model in which only what was synced is sure.

No real disk is switched off. A life of the journal is recorded call by call (by the real SQLite, the real kernel),
and the model says what may be left; that is opened, and compared with what the journal had promised until then.
"""

from __future__ import annotations

import asyncio
import pickle
import random
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from eventer.clock import SystemClock
from eventer.journal import Journal
from tests.helpers import syscalls
from tests.helpers.journals import balanced, everything
from tests.helpers.powerlife import line_of, note_of
from tests.helpers.powerloss import Disk
from tests.real.rows import scale


@dataclass
class Promised:
    """What the journal had said when the power was cut."""

    life: int = 0
    head: int = 0
    cursor: int = 0
    read: int = 0
    opened: int = 0
    told: int = 0
    damaged: bool = False
    """Damaged by the test just now, or as good as, and nothing promised since."""
    said: list[str] = field(default_factory=list)

    def hear(self, line: str) -> None:
        self.said.append(line)
        word, *numbers = line.split(" ")
        number = numbers[0] if numbers else ""
        match word:
            case "append":
                self.head = int(number)
            case "settle":
                self.cursor = int(number)
            case "alert":
                self.read, self.opened = map(int, numbers)
            case "tell":
                self.told = int(number)
            case "damaged":
                self.damaged = True
            case "anew":
                self.life, self.head, self.cursor, self.damaged = 1, 0, 0, False
                self.read = self.opened = self.told = 0


def record(directory: Path, seed: int) -> list[syscalls.Call]:
    root = directory / "root"
    root.mkdir()
    out = directory / "calls"
    life = [sys.executable, "-m", "tests.helpers.powerlife", str(root / "deep" / "state"), str(seed)]
    command = [sys.executable, "-m", "tests.helpers.syscalls", str(out), str(root), *life]
    done = subprocess.run(command, check=False, timeout=120, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    calls: list[syscalls.Call] = pickle.loads(out.read_bytes())
    assert sum(call[0] == "sync" for call in calls) > 100
    return [("root", root.stat().st_ino), *calls]


async def check(directory: Path, promised: Promised, seed: int) -> None:
    """Open what is left, and compare."""
    state = directory / "deep" / "state"
    kept = [file.name for file in state.glob("journal.db.damaged-*")] if state.exists() else []
    with Journal.open(state, max_size=1 << 30, clock=SystemClock()) as journal:
        told = journal.quarantined is not None
        try:
            if promised.damaged and (told or kept):
                # Found once more, or set aside just now: the daemon tells of either, and the evidence is there.
                assert journal.head == 0
                assert list(state.glob("journal.db.damaged-*"))
                return
            assert not told
            assert journal.head >= promised.head
            first = await journal.oldest()
            lines = await everything(journal, first)
            life = promised.life
            assert lines == [line_of(seed, life, number) for number in range(first, journal.head)]
            if "a" in journal.readers:
                assert journal.readers["a"].cursor >= promised.cursor
                assert first <= journal.readers["a"].cursor
            else:
                assert promised.head == 0
            if "n" in journal.alerting.readers:
                await check_notes(journal, promised)
            else:
                assert promised.head == 0
            for number in range(promised.head):
                found = await journal.ledger.look_up(next(iter(journal.streams)), [f"uid-{number}"])
                assert found, number
        finally:
            await journal.close()
    balanced(state)


async def check_notes(journal: Journal, promised: Promised) -> None:
    """The second log is whole from the notifier's cursor on, and what is remembered is of the same moment."""
    reader, notifier = journal.alerting.readers["n"], journal.alerting.notifiers["n"]
    assert reader.cursor >= promised.read
    assert reader.opened >= promised.opened
    assert notifier.cursor >= promised.told
    state = await journal.alerting.remembered("n")
    assert state == (b"state %d" % reader.cursor if state is not None else None)
    assert state is not None or reader.cursor == 0
    notes = journal.alerting.log("n")
    cursor = notifier.cursor
    while cursor < notes.head:
        piece = await notes.read(cursor, 100, 1 << 20)
        assert not piece.lost
        for number, line in enumerate(piece.lines, cursor):
            assert line in {note_of(number), b"folded %d" % number}
        cursor = piece.end


def test_q2_power_cuts(tmp_path: Path) -> None:
    """Q2. Two lives from seeds; cuts before and after promises, and at random, each with six ways to lose."""
    if reason := syscalls.unavailable():
        pytest.skip(reason)
    for seed in range(scale(2, 20)):
        directory = tmp_path / f"{seed}"
        directory.mkdir()
        (_, root), *calls = record(directory, seed)
        dice = random.Random(seed)
        disk, promised = Disk(root), Promised()
        cuts = 0
        for number, call in enumerate(calls):
            if call[0] == "said":
                for line in call[1].decode().splitlines():
                    promised.hear(line)
            else:
                disk(call)
            if call[0] != "said" and dice.random() > 0.04:
                continue
            for share in (0.0, dice.choice([0.1, 0.3, 0.5, 0.7, 0.9, 1.0])):
                cuts += 1
                left = directory / f"cut{cuts}"
                left.mkdir()
                disk.cut(left, random.Random(f"{seed} {cuts}"), share)
                try:
                    asyncio.run(check(left, promised, seed))
                except BaseException as error:
                    error.add_note(f"seed {seed}, call {number}, share {share}; said: {promised.said[-3:]}")
                    raise
                subprocess.run(["rm", "-r", str(left)], check=True)
        assert promised.life == 1
        assert cuts > 200
