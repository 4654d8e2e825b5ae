"""Row Q7: how a start, and the memory after it, depend on the backlog in the journal. They should not.

And how long the first event takes, from the start of the process on.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
import urllib.request

from tests.bench.rig import Bench, Daemon, memory, say
from tests.helpers.backlog import fill
from tests.helpers.process import free_port

LEDGER = 300_000
"""Entries in the ledger, 9,000 of them not folded; as after a crash in the middle of the day."""


def start(bench: Bench, mib: int) -> None:
    """Start with an empty journal, and with so many MiB of it in large rows and in rows of one event.

    Measured from the start of the process until its port answers and its watch is open, while a sink is
    dead; then for ten seconds while that sink retries and its reader waits. The file is in the page cache.
    """
    say(f"\n| journal at the start, {LEDGER:,} entries of the ledger | answers after s | MiB then | MiB 10 s later |")
    say("|---|---|---|---|")
    for name, size, per_row in (("empty", 0, 2000), ("2,000 a row", mib, 2000), ("1 a row", mib, 1)):
        bench.fresh()
        daemon = bench.daemon({"hook": {"kind": "webhook", "url": f"http://127.0.0.1:{free_port()}/"}})
        daemon.end()
        state = daemon.dir / "state"
        shutil.rmtree(state)
        events = fill(state, size << 20, per_row=per_row, known=LEDGER)
        began = time.perf_counter()
        daemon.start(wait=False)
        daemon.until(lambda daemon=daemon: _answers(daemon))  # type: ignore[misc]
        answers = time.perf_counter() - began
        daemon.until(lambda daemon=daemon: daemon.metric("eventer_watch_connected") == 1)  # type: ignore[misc]
        then = memory(daemon.process.pid)
        time.sleep(10)
        label = f"{size} MiB, {events:,} events, {name}" if size else "empty"
        say(f"| {label} | {answers:.2f} | {then:.0f} | {memory(daemon.process.pid):.0f} |")
        daemon.stop()


def first(bench: Bench, rounds: int) -> None:
    """Measure from the start of the process until the first event is in the file, synced.

    An event happens every 10 ms from the moment of the start; beside it what imports alone take.
    """
    say("\n| first start | s until the first event is delivered | imports of `run` alone, s |")
    say("|---|---|---|")
    out = bench.dir / "first.jsonl"
    imports = "import eventer.app, eventer.cli.run, kubernetes_asyncio.client, kubernetes_asyncio.config"
    for number in range(rounds):
        bench.fresh()
        daemon = bench.daemon({"out": {"kind": "file", "path": str(out)}})
        daemon.end()
        shutil.rmtree(daemon.dir / "state")
        out.unlink(missing_ok=True)
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", imports], check=True, cwd=daemon.tree)
        alone = time.perf_counter() - began
        began = time.perf_counter()
        daemon.start(wait=False)
        while not (out.exists() and out.stat().st_size):
            bench.ask("/load?n=1")
            bench.ask("/flood")
            time.sleep(0.01)
        say(f"| {number + 1} | {time.perf_counter() - began:.2f} | {alone:.2f} |")
        daemon.stop()


def _answers(daemon: Daemon) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{daemon.port}/livez", timeout=5) as answer:
        return bool(answer.status == 200)
