"""The books as equations: what a daemon says of itself, and whether it adds up."""

from __future__ import annotations

import msgspec
import pytest

from eventer.control.report import JournalReport, SinkReport, Status, StreamReport
from eventer.demo.books import balanced, equations

BOOKS = Status(
    version="0",
    now=0.0,
    journal=JournalReport(directory="/state", head=3),
    streams=[
        StreamReport(cluster="a", scope="events", received=9, filtered=5, seen=1, poison=1, appended=2),
        StreamReport(cluster="b", scope="events", received=2, filtered=1, appended=1),
    ],
    sinks=[
        SinkReport(name="web", pending=1, outcomes={"dead": 1, "delivered": 1, "parked": 0}),
        SinkReport(name="file", outcomes={"delivered": 3}),
    ],
)


def test_they_are_sums_over_all_streams_and_one_for_each_sink() -> None:
    assert balanced(BOOKS)
    assert [f"{row.name}: {row}" for row in equations(BOOKS)] == [
        "intake: received 11 = poison 1 + seen 1 + filtered 6 + appended 3  ✓",
        "file: offered 3 = delivered 3 + waiting 0  ✓",
        "web: offered 3 = delivered 1 + dead 1 + waiting 1  ✓",
    ]


def test_of_a_notifier_they_say_what_became_of_events() -> None:
    counts = {"pending": 0, "represented": 1, "suppressed": 0, "unmatched": 2, "waiting": 0}
    told = SinkReport(name="chat", outcomes={"delivered": 7}, alerting=counts)
    status = msgspec.structs.replace(BOOKS, sinks=[told])
    assert str(equations(status)[1]) == "offered 3 = represented 1 + unmatched 2  ✓"
    assert balanced(status)


@pytest.mark.parametrize(
    ("wrong", "which"),
    [
        ({"streams": [StreamReport(cluster="a", scope="events", received=3, appended=2)]}, "intake"),
        ({"journal": JournalReport(directory="/state", head=4)}, "file"),
        ({"sinks": [SinkReport(name="chat", alerting={"represented": 2, "unmatched": 0})]}, "chat"),
        ({"sinks": [SinkReport(name="web", pending=1, outcomes={"delivered": 1})]}, "web"),
    ],
)
def test_books_that_do_not_balance_are_called_so(wrong: dict[str, object], which: str) -> None:
    status = msgspec.structs.replace(BOOKS, **wrong)
    assert not balanced(status)
    (row, *_) = [row for row in equations(status) if not row.holds]
    assert row.name == which
    assert str(row).endswith("✗ does not balance")
