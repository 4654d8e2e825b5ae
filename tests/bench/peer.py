"""CPU at 1,000 events/s to a webhook, against kubernetes-event-exporter in the same run.

    python -m tests.bench peer --peer PATH      PATH: its program (v1.7), built elsewhere

Both read the same API server and send to the same receiver; it sends one event a request and looks
nothing up (`omitLookup`), which is the cheapest that it can do.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from pathlib import Path

from tests.bench.load import paced
from tests.bench.rig import Bench, cpu, memory, say, sinks_of
from tests.helpers.process import free_port

RATE = 1_000


def peer(bench: Bench, program: Path, n: int, rounds: int) -> None:
    ours, theirs = [], []
    for _ in range(rounds):
        bench.fresh()
        ours.append(_ours(bench, n))
        bench.fresh()
        theirs.append(_theirs(bench, program, n))
    say(
        f"\n| {RATE:,} events/s to a webhook | CPU µs/event | p50 ms | p99 ms | MiB resident | lost of {n:,} |\n|---|---|---|---|---|---|"
    )
    for name, runs in (("eventer", ours), ("kubernetes-event-exporter", theirs)):
        say(
            "| "
            + " | ".join([name, *(f"{statistics.median(column):.1f}" for column in zip(*runs, strict=True))])
            + " |"
        )
    ratios = [a[0] / b[0] for a, b in zip(ours, theirs, strict=True)]
    say(f"\nCPU, eventer ÷ peer: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def _ours(bench: Bench, n: int) -> tuple[float, ...]:
    delays, used, resident = paced(bench, bench.daemon(sinks_of(bench)["webhook"]), RATE, n)
    return used, delays[n // 2], delays[n * 99 // 100], resident, 0.0


def _theirs(bench: Bench, program: Path, n: int) -> tuple[float, ...]:
    config = bench.dir / "peer.yaml"
    config.write_text(
        json.dumps(
            {
                "logLevel": "error",
                "logFormat": "json",
                "maxEventAgeSeconds": 10**9,
                "omitLookup": True,
                "route": {"routes": [{"match": [{"receiver": "hook"}]}]},
                "receivers": [{"name": "hook", "webhook": {"endpoint": f"http://127.0.0.1:{bench.hook_port}/"}}],
            }
        )
    )
    options = [
        "-conf",
        str(config),
        "-kubeconfig",
        str(bench.kubeconfig),
        "-metrics-address",
        f"127.0.0.1:{free_port()}",
    ]
    process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not bench.requests().get("watch"):
            assert process.poll() is None, "the peer ended"
            time.sleep(0.05)
        bench.received()
        before = cpu(process.pid)
        bench.ask(f"/pace?n={n}&rate={RATE}")
        delays: list[float] = []
        patience = time.perf_counter() + 10
        while len(delays) < n and time.perf_counter() < patience:
            time.sleep(0.1)
            delays += bench.received()["delays"]  # type: ignore[operator]
        used, resident = cpu(process.pid) - before, memory(process.pid)
    finally:
        process.kill()
        process.wait()
    delays.sort()
    got = len(delays)
    return used / n * 1e6, delays[got // 2] * 1000, delays[got * 99 // 100] * 1000, resident, float(n - got)
