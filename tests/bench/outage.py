"""What waits for a dead store: how much memory that takes, and how fast it goes when the store is back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from tests.bench.rig import Bench, memory

_TIMES = 5
"""How many times as many events wait at the end as at the first look."""


def outage(
    bench: Bench, n: int, sink: Mapping[str, object], revive: Callable[[], object], count: Callable[[], int]
) -> str:
    """Let events wait for a store that is not there, bring it back, and say what was seen.

    Args:
        bench: to run the daemon on.
        n: events at the first look at its memory.
        sink: its options; nothing must listen there.
        revive: starts the store.
        count: says how many events it has.
    """
    bench.fresh()
    daemon = bench.daemon({"out": dict(sink)})
    resident = []
    for waiting in range(n, _TIMES * n + 1, n):
        bench.ask(f"/load?n={n}")
        bench.ask("/flood")
        daemon.wait(waiting, pending=False)
        resident.append(memory(daemon.process.pid))
    revive()
    while not (already := count()):
        time.sleep(0.05)
    began = time.perf_counter()
    daemon.wait(_TIMES * n)
    rate = (_TIMES * n - already) / (time.perf_counter() - began)
    assert count() == _TIMES * n, "not every event is there once"
    daemon.stop()
    return (
        f"dead store: {resident[0]:.0f} MiB resident with {n:,} events waiting, {resident[-1]:.0f} with {_TIMES * n:,}; "
        f"back, they go at {rate:,.0f} events/s"
    )
