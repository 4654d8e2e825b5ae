"""What people wait for: the check of a large configuration, and what commands cost that end at once.

As ratios to `python -c pass` in the same run, which nothing can be below; the daemon's imports beside a
person's, to see that each has only its own.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from tests.bench.rig import ENV, Bench, say

LINES: Final = 2_000
ROUNDS: Final = 7
BUDGET: Final = 1.0
"""Seconds for the check."""
_WITH: Final = (
    "import atexit, sys\n"
    "def told():\n"
    "    rows = open('/proc/self/status').read().splitlines()\n"
    "    sys.stderr.write('\\nVmHWM ' + next(row.split()[1] for row in rows if row.startswith('VmHWM')))\n"
    "atexit.register(told)\n"
)
"""Tells in the end how much was resident at most. What the kernel tells the parent is at least the parent's own."""
_RUN: Final = "import runpy\nsys.argv = ['eventer', *sys.argv[1:]]\nrunpy.run_module('eventer', run_name='__main__')"
_IMPORTS: Final = (
    # The daemon's: everything that is there when its event loop begins, the library of the API included.
    ("`eventer run` before its event loop", "import eventer.cli.run, eventer.app, kubernetes_asyncio.client"),
    ("`eventer status`", "import eventer.cli.status"),
    ("`eventer tail`", "import eventer.cli.tail"),
    ("`eventer demo`", "import eventer.cli.demo, eventer.demo.stage"),
)


def surface(bench: Bench) -> bool:
    """Measure, and say whether the check keeps its budget."""
    file = bench.dir / "large.yaml"
    file.write_text(large(LINES))
    bad = bench.dir / "large-and-wrong.yaml"
    bad.write_text(large(LINES).replace("type: Warning", "tipe: Warning"))
    assert file.read_text().count("\n") >= LINES
    python = _median("pass")
    say(f"\n| command, median of {ROUNDS} | s | ÷ python -c pass | MiB at most |")
    say("|---|---|---|---|")
    rows = (
        ("`python -c pass`", ("pass",)),
        ("`eventer --help`", _eventer("--help")),
        ("`eventer check`, the first example", _eventer("check", "-c", "config/examples/quickstart.yaml")),
        (f"`eventer check`, {LINES:,} lines", _eventer("check", "-c", file)),
        (f"`eventer check`, {LINES:,} lines, a fault in every other rule", _eventer("check", "-c", bad)),
        *((f"imports of {name}", (code,)) for name, code in _IMPORTS),
    )
    kept = True
    for name, argv in rows:
        seconds, most = _median(*argv)
        say(f"| {name} | {seconds:.2f} | {seconds / python[0]:.1f} | {most:.0f} |")
        kept &= f"{LINES:,}" not in name or seconds < BUDGET
    say(f"\nThe check of {LINES:,} lines has {BUDGET:g} s: {'kept' if kept else 'not kept'}.")
    return kept


def large(lines: int) -> str:
    """Write a configuration as teams write one that share a daemon: half rules, half sinks with a match of their own."""
    rules = lines // 2
    sinks = (lines - rules) // 6
    text = ["sources:", "  - cluster: prod", "filter:"]
    for number in range(rules):
        text.append(f"  - drop: {{type: Warning, namespace: team-{number}, reason: [Unhealthy, '/^Failed{number}/']}}")
    text.append("sinks:")
    for number in range(sinks):
        text += [
            f"  team-{number}:",
            "    kind: webhook",
            "    url: ${HOOK}",
            "    match:",
            f"      - {{namespace: team-{number}, type: Warning}}",
            f"      - {{namespace: shared-{number}, message: '/(?i)oom|killed {number}/'}}",
        ]
    return "\n".join([*text, ""] + ["# the end"] * max(0, lines - len(text)))


def _eventer(*words: object) -> tuple[str, ...]:
    return (_RUN, *map(str, words))


def _median(code: str, *words: str) -> tuple[float, float]:
    """Run a program and return the median of wall times in seconds, and the most MiB that were resident."""
    times: list[float] = []
    most = 0.0
    root = Path(__file__).parents[2]
    environment = ENV | {"HOOK": "https://hook.example/"}
    for _ in range(ROUNDS):
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", _WITH + code, *words],
            cwd=root, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
        times.append(time.perf_counter() - began)
        if done.returncode not in {0, 78}:
            raise RuntimeError(f"{words} ended with {done.returncode}: {done.stderr}")
        most = max(most, int(done.stderr.split()[-1]) / 1024)
    return statistics.median(times), most
