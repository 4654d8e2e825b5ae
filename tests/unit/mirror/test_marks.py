"""Marks: a place in the log stands for positions of which everything lies below it, never for more."""

from __future__ import annotations

import random

from eventer.journal import StreamKey, StreamRecord
from eventer.mirror.marks import MOST, Marks
from eventer.mirror.record import Reached

A = StreamKey("a", "events")
B = StreamKey("b", "events")


def at(position: int | None) -> StreamRecord:
    return StreamRecord(position=position, contact=1.0)


def test_below_the_first_mark_nothing_is_known() -> None:
    marks = Marks()
    marks.take(10, {A: at(100)})
    assert marks.below(9) == {}
    assert marks.below(10) == {A: Reached(0, 100, 1.0)}


def test_a_position_that_moves_without_events_is_known_at_once() -> None:
    marks = Marks()
    marks.take(10, {A: at(100)})
    marks.take(10, {A: at(120)})
    assert marks.below(10)[A].position == 120
    assert len(marks) == 1


def test_a_stream_without_a_position_is_in_no_mark() -> None:
    marks = Marks()
    marks.take(5, {A: at(None), B: at(7)})
    assert list(marks.below(5)) == [B]


def test_nothing_is_claimed_that_is_not_settled_however_long_a_sink_stands_still() -> None:
    """Against a plain list of what was true when; marks become coarser, and only that."""
    dice = random.Random(7)
    marks, truth, head, position = Marks(), [], 0, 1
    for _ in range(5 * MOST):
        head += dice.choice([0, 0, 1, 50])
        position += dice.randrange(5)
        truth.append((head, position))
        marks.take(head, {A: at(position)})
        assert len(marks) <= MOST
    for cursor in range(0, head, 97):
        allowed = max((p for h, p in truth if h <= cursor), default=0)
        found = marks.below(cursor).get(A)
        assert (found.position if found else 0) <= allowed
    assert marks.below(head)[A].position == position
    assert marks.below(head // 2)[A].position > 1, "coarse, not empty"


def test_what_all_have_passed_is_forgotten() -> None:
    marks = Marks()
    for n in range(100):
        marks.take(n, {A: at(n)})
    marks.forget(50)
    assert marks.below(50)[A].position == 50
    assert len(marks) == 50
