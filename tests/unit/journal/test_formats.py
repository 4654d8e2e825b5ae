"""Row Q6: the journal of every former format is opened by this version, with all that is in it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from eventer.event import Outcome, decode_lines
from eventer.journal import Entry, ReaderRecord, StreamKey
from eventer.journal.files import FILE
from eventer.journal.records import ClusterRecord
from eventer.journal.schema import VERSION
from tests.helpers.journals import append, balanced, everything, numbered, opened
from tests.helpers.virtual import in_virtual_time

KEPT = Path(__file__).parents[2] / "data" / "journals"
PROD, SHOP = StreamKey("prod", "events"), StreamKey("test", "events/shop")


def test_q6_the_format_of_this_version_is_kept_for_later_ones() -> None:
    assert (KEPT / f"{VERSION}.db").exists()


@pytest.mark.parametrize("version", [int(file.stem) for file in KEPT.glob("*.db")])
@in_virtual_time
async def test_q6_a_former_format_is_opened(version: int, tmp_path: Path) -> None:
    shutil.copy(KEPT / f"{version}.db", tmp_path / FILE)
    async with opened(tmp_path) as journal:
        assert journal.quarantined is None
        assert (journal.head, await journal.oldest()) == (20, 0)
        assert [event.name for event in decode_lines(await everything(journal))] == [f"web-{n}" for n in range(20)]
        assert journal.cluster("prod") == ClusterRecord(uid="uid-of-prod", epoch=2)
        prod, shop = journal.stream(PROD), journal.stream(SHOP)
        assert (prod.received, prod.poison, prod.appended, prod.position) == (11, 1, 10, 1009)
        assert (shop.received, shop.appended, shop.position) == (10, 10, 1019)
        assert journal.readers["archive"] == ReaderRecord(
            origin=0,
            cursor=12,
            outcomes={Outcome.DELIVERED: 10, Outcome.DEAD: 1, Outcome.PARKED: 1},
            state=b"\x00length 4711",
        )
        assert journal.readers["chat"] == ReaderRecord(origin=0, cursor=0)
        letters = {
            ("archive", Outcome.DEAD): 1,
            ("archive", Outcome.PARKED): 1,
            ("intake:prod/events", Outcome.DEAD): 1,
        }
        if version > 1:  # what notifiers have is in test_notes.py
            letters["notifications:oncall", Outcome.DEAD] = 1
        assert await journal.letters() == letters
        (waiting,) = await journal.parked("archive")
        assert (waiting.number, waiting.entity, waiting.destination) == (7, "uid-7", "room-1")
        (line,) = (await journal.letter_lines("archive", [7])).values()
        assert decode_lines([line])[0].name == "web-7"
        for key, numbers in ((PROD, range(10)), (SHOP, range(10, 20))):
            known = await journal.ledger.look_up(key, [f"uid-{n}" for n in numbers])
            assert known == {f"uid-{n}": Entry(1000 + n, 3, n * 7) for n in numbers}
        lines = await append(journal, numbered(99), PROD)
        assert await everything(journal, 20) == lines
    balanced(tmp_path)
