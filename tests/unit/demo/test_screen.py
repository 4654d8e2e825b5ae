"""Notices, and the books as equations."""

from __future__ import annotations

from pathlib import Path

import msgspec

from eventer.clock import SystemClock
from eventer.demo.screen import Screen, balanced, books
from eventer.event import Outcome, own_record
from eventer.journal import Journal, ReaderRecord, StreamKey, StreamRecord


def test_a_notice_stands_out_and_goes_out_in_one_write() -> None:
    written: list[str] = []
    Screen(written.append, colour=False).notice("After the cut", "0 missing")
    assert written == ["== After the cut\n   0 missing\n"]


def test_colour_is_undone_before_the_line_ends() -> None:
    written: list[str] = []
    Screen(written.append, colour=True).notice("After the cut")
    assert written == ["\x1b[1;36m== After the cut\x1b[0m\n"]


async def test_the_books_are_equations_of_what_the_journal_holds(tmp_path: Path) -> None:
    clock = SystemClock()
    with Journal.open(tmp_path / "state", max_size=1 << 30, clock=clock) as journal:
        stream = StreamRecord(position=9, received=8, filtered=5, seen=2, poison=1)
        await journal.append(StreamKey("demo", "events"), stream, [], {})
        for _ in range(3):
            await journal.record(own_record(clock.now(), "GapTest", "a gap"))
        reader = ReaderRecord(origin=1, cursor=2, outcomes={Outcome.DEAD: 1})
        await journal.settle("file", reader)
        lines = books(journal)
        assert balanced(journal)
        await journal.close()
    assert lines == [
        "intake   received 11 = filtered 5 + seen 2 + poison 1 + appended 3  ✓",
        "journal  appended 3  = head 3  ✓",
        "file     offered 2   = delivered 0 + dead 1 + pending 1  ✓",
    ]


async def test_books_that_do_not_balance_are_called_so(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "state", max_size=1 << 30, clock=SystemClock()) as journal:
        stream = StreamRecord(position=9, received=8, filtered=5)
        await journal.append(StreamKey("demo", "events"), stream, [], {})
        whole = msgspec.structs.replace(stream, filtered=8)
        assert not balanced(journal)
        assert books(journal)[0].endswith("✗ does not balance")
        await journal.append(StreamKey("demo", "events"), whole, [], {})
        assert balanced(journal)
        await journal.close()
