"""The worst problems of the moment: what is said of which events, in which order, and what is safe to show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from eventer.demo.problems import Problems, span
from eventer.demo.tail import Line

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CRASH = "Back-off restarting failed container app in pod web-0_shop(1)"
PULL = 'Failed to pull image "acme/web:2": not found'


def line(reason: str, message: str = "words", name: str = "web-0", **fields: Any) -> Line:
    given = {"kind": "Pod", "namespace": "shop", "type": "Warning", "time": NOW, "delta": 1, **fields}
    return Line(id="x", origin="event", reason=reason, message=message, name=name, **given)


def said(*lines: Line, now: datetime = NOW) -> list[str]:
    problems = Problems(lambda: now)
    problems.hear(lines)
    return [problem.text for problem in problems.worst()]


def test_a_crash_loop_is_counted_over_its_time() -> None:
    first = line("BackOff", CRASH, first=NOW - timedelta(minutes=3), time=NOW - timedelta(minutes=1), delta=10)
    assert said(first, line("BackOff", CRASH, first=NOW - timedelta(minutes=3), delta=4)) == [
        "pod shop/web-0 crash-loops: 14 times in 3 minutes"
    ]


def test_pods_of_one_release_are_one_problem_and_of_another_release_another() -> None:
    pods = [line("BackOff", CRASH, f"web-7d46489475-{pod}") for pod in ("khmld", "mk4m6", "xcmnz")]
    old = line("BackOff", CRASH, "web-6f647f47f5-6vf78", time=NOW - timedelta(seconds=1))
    assert said(*pods, old) == [
        "3 pods of shop/web crash-loop: 3 times in 1 second",
        "pod shop/web-6f647f47f5-6vf78 crash-loops: once",
    ]


def test_a_failed_pull_is_counted_once_though_the_kubelet_tells_of_it_three_times() -> None:
    told = [line("Failed", PULL), line("Failed", "Error: ErrImagePull"), line("Failed", "Error: ImagePullBackOff")]
    assert said(*told) == ["pod shop/web-0 cannot get its image: once (acme/web:2)"]


def test_the_worst_come_first() -> None:
    lines = [
        line("Odd"),
        line("FailedScheduling", name="a"),
        line("FailedScheduling", name="b", delta=9),
        line("OOMKilling", name="node-1", kind="Node", namespace=""),
    ]
    assert [text.split(":")[0] for text in said(*lines)] == [
        "node node-1 ran out of memory",
        "pod shop/b finds no node to run on",
        "pod shop/a finds no node to run on",
        "pod shop/web-0",
    ]


def test_a_reason_that_nobody_knows_speaks_for_itself() -> None:
    assert said(line("Odd", "it broke", delta=None)) == ["pod shop/web-0: once, Odd: it broke"]


def test_what_is_old_or_normal_is_no_problem_of_the_moment() -> None:
    assert said(line("BackOff", CRASH), now=NOW + timedelta(minutes=5)) == []
    assert said(line("BackOff", CRASH, type="Normal")) == []


def test_a_hostile_text_commands_nothing() -> None:
    (text,) = said(line("Odd", "\x1b[2J\u202e[bold]red[/bold]\r\n", "web\x07"))
    assert text == r"pod shop/web\x07: once, Odd: \x1b[2J\u202e[bold]red[/bold]\r\n"


def test_problems_are_found_by_their_workload() -> None:
    problems = Problems(lambda: NOW)
    problems.hear([line("BackOff", CRASH, "web-7d46489475-khmld"), line("BackOff", CRASH, "api-7d46489475-khmld")])
    assert [problem.text for problem in problems.of("shop/web")] == ["pod shop/web-7d46489475-khmld crash-loops: once"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "1 second"), (8, "8 seconds"), (119, "119 seconds"), (180, "3 minutes"), (7200, "2 hours")],
)
def test_times_are_said_as_people_do(seconds: int, words: str) -> None:
    assert span(timedelta(seconds=seconds)) == words
