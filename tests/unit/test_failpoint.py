"""Failpoints: nothing without the variable, and exactly what it says with it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys

import pytest

from eventer.failpoint import _make, _parse, hit


def test_without_the_variable_nothing_happens() -> None:
    hit("journal.commit")
    assert hit.__name__ == "_nothing"


def test_a_place_fails_at_each_pass_or_at_the_one_that_is_named() -> None:
    hit = _make(_parse("a=error; b=full@3;"))
    for _ in range(3):
        with pytest.raises(OSError, match="failpoint a") as caught:
            hit("a")
        assert caught.value.errno == errno.EIO
    hit("b")
    hit("b")
    with pytest.raises(OSError, match="failpoint b") as caught:
        hit("b")
    assert caught.value.errno == errno.ENOSPC
    hit("b")
    hit("c")


@pytest.mark.parametrize(("passes", "code"), [(1, 0), (2, -signal.SIGKILL)])
def test_kill_is_what_the_kernel_would_do(passes: int, code: int) -> None:
    script = f"from eventer.failpoint import hit\nfor _ in range({passes}): hit('x')"
    environment = {**os.environ, "EVENTER_FAILPOINTS": "x=kill@2"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert done.returncode == code
