"""Failpoints: nothing without the variable, and exactly what it says with it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from eventer.failpoint import _make, _parse, hit


def passes(text: str, count: int) -> list[int]:
    """Numbers of the passes of `a` at which it fails."""
    hit = _make(_parse(text))
    failed = []
    for number in range(1, count + 1):
        try:
            hit("a")
        except OSError:
            failed.append(number)
    return failed


def test_without_the_variable_nothing_happens() -> None:
    hit("journal.commit")
    assert hit.__name__ == "_nothing"


@pytest.mark.parametrize(
    ("text", "failed"),
    [
        ("a=error", [1, 2, 3, 4, 5, 6]),
        ("a=error@3", [3]),
        ("a=error@3-5", [3, 4, 5]),
        ("a=error@5-", [5, 6]),
        ("a=error@2; a=full@4-5;", [2, 4, 5]),
        ("b=error", []),
    ],
)
def test_a_place_fails_at_the_passes_that_are_named(text: str, failed: list[int]) -> None:
    assert passes(text, 6) == failed


@pytest.mark.parametrize(("word", "number"), [("error", errno.EIO), ("full", errno.ENOSPC), ("readonly", errno.EROFS)])
def test_an_error_is_what_a_disk_says(word: str, number: int) -> None:
    with pytest.raises(OSError, match="failpoint a") as caught:
        _make(_parse(f"a={word}"))("a")
    assert caught.value.errno == number
    assert os.strerror(number) in str(caught.value.strerror)


def test_a_sleep_lets_the_place_pass_later(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    hit = _make(_parse("a=sleep:0.5@2-3"))
    for _ in range(4):
        hit("a")
    assert slept == [0.5, 0.5]


@pytest.mark.parametrize("text", ["a", "a=explode", "a=sleep", "a=kill:1", "a=error@x", "a=sleep:long"])
def test_what_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a"):
        _parse(text)


@pytest.mark.parametrize(("count", "code"), [(1, 0), (2, -signal.SIGKILL)])
def test_kill_is_what_the_kernel_would_do(count: int, code: int) -> None:
    script = f"from eventer.failpoint import hit\nfor _ in range({count}): hit('x')"
    environment = {**os.environ, "EVENTER_FAILPOINTS": "x=kill@2"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert done.returncode == code
