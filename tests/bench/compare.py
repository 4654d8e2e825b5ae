"""Row L1: throughput of this checkout against another revision, interleaved in one run.

    python -m tests.bench compare --baseline HEAD~5

Ratios of pairs, one after the other, so that a slow minute of the machine meets both.
"""

from __future__ import annotations

import statistics
import subprocess
import tempfile
from pathlib import Path

from tests.bench.rig import ROOT, Bench, flat_out, say, sinks_of

ALARM = 0.9


def compare(bench: Bench, revision: str, n: int, rounds: int) -> bool:
    """Return whether no sink lost more than a tenth, by the median, in throughput or CPU."""
    well = True
    say(
        f"\n| this checkout ÷ {revision}, {n:,} events | events/s | lowest to highest | events per CPU second | lowest to highest |"
        "\n|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory(prefix="eventer-baseline-") as directory:
        old = Path(directory)
        archive = subprocess.run(["git", "archive", revision], cwd=ROOT, check=True, capture_output=True)
        subprocess.run(["tar", "-x"], cwd=old, input=archive.stdout, check=True)
        for name, sinks in sinks_of(bench).items():
            rates, costs = [], []
            for index in range(rounds):
                # The one that goes first changes, in case the first of two is always the slower one.
                first, second = (ROOT, old) if index % 2 else (old, ROOT)
                runs = {tree: flat_out(bench, n, sinks, tree=tree) for tree in (first, second)}
                rates.append(runs[ROOT][1] / runs[old][1])
                costs.append(runs[old][0] / runs[ROOT][0])
            rate, cost = statistics.median(rates), statistics.median(costs)
            fine = rate > ALARM and cost > ALARM
            well = well and fine
            say(
                f"| {name}{'' if fine else ' ALARM'} | {rate:.1%} | {min(rates):.1%} to {max(rates):.1%} "
                f"| {cost:.1%} | {min(costs):.1%} to {max(costs):.1%} |"
            )
    return well
