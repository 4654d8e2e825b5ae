"""The judge finds each kind of fault when one is planted, and nothing where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.helpers.oracle import Books, Sight, judge, read_file
from tests.helpers.writer import Truth

EPOCH = 1 << 48


def seen(uid: str, version: int, count: int, delta: int | None) -> Sight:
    return Sight(id=f"c/{uid}/{version}", entity=uid, version=version, count=count, delta=delta)


def truth(uid: str, version: int, count: int, *, deleted: bool = False) -> Truth:
    return Truth(uid=uid, namespace="default", name=uid, version=version, count=count, deleted=deleted)


TRUTH = {"a": truth("a", 12, 3), "b": truth("b", 11, 1)}
GOOD = [seen("a", 10, 1, 1), seen("b", 11, 1, 1), seen("a", 12, 3, 2)]


def test_nothing_is_found_where_all_is_well() -> None:
    verdict = judge(TRUTH, GOOD)
    assert verdict.faults() == []
    assert (verdict.objects, verdict.records) == (2, 3)


def test_lost_object() -> None:
    verdict = judge(TRUTH, [GOOD[0], GOOD[2]])
    assert verdict.lost_objects == ["b"]
    assert len(verdict.faults()) == 1


def test_lost_final_state() -> None:
    verdict = judge(TRUTH, GOOD[:2])
    assert verdict.lost_states == ["a"]
    assert verdict.lost_objects == []


def test_deleted_object_may_be_missing() -> None:
    verdict = judge(TRUTH | {"c": truth("c", 13, 1, deleted=True)}, GOOD)
    assert verdict.faults() == []
    assert verdict.objects == 2


def test_repeats_are_counted_and_allowed_up_to_a_number() -> None:
    verdict = judge(TRUTH, [*GOOD, GOOD[1], GOOD[1]])
    assert verdict.repeats == {"c/b/11": 2}
    assert verdict.faults(repeats=2) == []
    assert len(verdict.faults(repeats=1)) == 1


def test_broken_order() -> None:
    verdict = judge(TRUTH, [GOOD[2], GOOD[1], GOOD[0]])
    assert verdict.disorder == ["c/a/10"]


def test_repeated_batch_is_no_broken_order() -> None:
    assert judge(TRUTH, [*GOOD, *GOOD]).disorder == []


@pytest.mark.parametrize("delta", [1, 3])
def test_deltas_that_do_not_add_up(delta: int) -> None:
    verdict = judge(TRUTH, [GOOD[0], GOOD[1], seen("a", 12, 3, delta)])
    assert len(verdict.wrong_sums) == 1


def test_unknown_delta_leaves_the_sum_out() -> None:
    verdict = judge(TRUTH, [GOOD[0], GOOD[1], seen("a", 12, 3, None)])
    assert verdict.faults() == []
    assert verdict.unknown_deltas == 1


def test_state_that_was_undone_is_no_final_state() -> None:
    undone = TRUTH | {"a": truth("a", 10, 1)}
    assert judge(undone, GOOD).lost_states == []
    assert judge(undone, GOOD, exact=True).lost_states == ["a"]
    again = seen("a", EPOCH + 10, 1, 0)
    assert judge(undone, [*GOOD, again], exact=True).lost_states == []


def test_own_records_are_not_judged() -> None:
    gap = Sight(id="gap", entity="eventer", version=1, origin="eventer")
    assert judge(TRUTH, [*GOOD, gap]).records == 3


def test_file_is_read_with_rotated_parts_and_without_a_torn_line(tmp_path: Path) -> None:
    def line(name: str) -> bytes:
        return b'{"id":"%s","entity":"e","version":1}\n' % name.encode()

    (tmp_path / "a.jsonl.1").write_bytes(line("old"))
    (tmp_path / "a.jsonl").write_bytes(line("new") + line("torn")[:-5])
    assert [sight.id for sight in read_file(tmp_path / "a.jsonl")] == ["old", "new"]


PAGE: dict[str, Any] = {
    'eventer_intake_events_total{cluster="c",scope="*",outcome="received"}': 10,
    'eventer_intake_events_total{cluster="c",scope="*",outcome="poison"}': 1,
    'eventer_intake_events_total{cluster="c",scope="*",outcome="seen"}': 2,
    'eventer_intake_events_total{cluster="c",scope="*",outcome="filtered"}': 1,
    'eventer_intake_events_total{cluster="c",scope="*",outcome="appended"}': 6,
    "eventer_journal_head": 6,
    'eventer_reader_origin{sink="s"}': 0,
    'eventer_reader_cursor{sink="s"}': 5,
    'eventer_reader_pending{sink="s"}': 1,
    'eventer_reader_events_total{sink="s",outcome="delivered"}': 4,
    'eventer_reader_kept_events{sink="s",state="dead"}': 1,
    'eventer_letters{sink="s",state="dead"}': 1,
    'eventer_letters{sink="s",state="parked"}': 0,
}


def books(**changed: int) -> Books:
    page = dict(PAGE)
    for key, value in changed.items():
        (name,) = [name for name in page if key in name]
        page[name] = value
    return Books.from_metrics("".join(f"{name} {value}\n" for name, value in page.items()))


def test_balanced_books() -> None:
    assert books().faults() == []
    assert not books().settled
    assert books(cursor=6, pending=0, delivered=5).settled


@pytest.mark.parametrize("key", ["received", "filtered", "head", "cursor", "pending", "delivered", "kept", "letters"])
def test_each_term_of_the_books_is_checked(key: str) -> None:
    keys = {"kept": "reader_kept", "letters": 'letters{sink="s",state="dead"'}
    changed = {keys.get(key, key): 9}
    assert books(**changed).faults() != []


def test_missing_books_are_a_fault() -> None:
    assert Books.from_metrics("").faults() != []
