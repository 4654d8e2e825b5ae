"""What the daemon costs at a steady rate, at rest, with a backlog, and under a limit of memory."""

from __future__ import annotations

import json
import time

from tests.bench.rig import Bench, Daemon, memory, say, sinks_of
from tests.helpers.process import free_port

LIMIT = 128
"""MiB of the row L5."""
JOURNAL = 16
"""MiB that the journal may hold there, so that it has to let go."""
STACK = 1
"""MiB for the stack of each thread, of which the limit counts all that could be used."""


def latency(bench: Bench) -> None:
    say("\n| write → webhook | p50 ms | p99 ms | worst ms | CPU µs/event |\n|---|---|---|---|---|")
    for rate, n in ((10, 300), (100, 3_000), (1_000, 20_000)):
        bench.fresh()
        delays, used, _ = paced(bench, bench.daemon(sinks_of(bench)["webhook"]), rate, n)
        say(f"| {rate} events/s | {delays[n // 2]:.1f} | {delays[n * 99 // 100]:.1f} | {delays[-1]:.1f} | {used:.0f} |")


def paced(bench: Bench, daemon: Daemon, rate: int, n: int) -> tuple[list[float], float, float]:
    """Write n events at a rate; return the sorted delays in ms, CPU µs an event and resident MiB; stop the daemon."""
    bench.received()
    before = daemon.cpu()
    bench.ask(f"/pace?n={n}&rate={rate}")
    daemon.wait(n)
    used = daemon.cpu() - before
    delays = sorted(float(x) * 1000 for x in bench.received()["delays"])  # type: ignore[attr-defined]
    assert len(delays) == n, f"{len(delays)} of {n} arrived"
    resident = memory(daemon.process.pid)
    daemon.stop()
    return delays, used / n * 1e6, resident


def idle(bench: Bench, seconds: int) -> None:
    """Row L4: an idle cluster, sinks that are well, nothing to do."""
    bench.fresh()
    daemon = bench.daemon(sinks_of(bench)["file"] | {"hook": sinks_of(bench)["webhook"]["out"]})
    daemon.until(lambda: daemon.metric("eventer_audits_total") == 1)
    before, asked, watches = daemon.cpu(), bench.requests(), daemon.metric("eventer_watches_total")
    began = time.perf_counter()
    time.sleep(seconds)
    share = (daemon.cpu() - before) / (time.perf_counter() - began)
    now = bench.requests()
    requests = {kind: now[kind] - asked.get(kind, 0) for kind in now}
    say(f"\n| idle for {seconds} s, file + webhook | |\n|---|---|")
    say(f"| CPU | {share:.2%} of a core |")
    say(f"| resident | {memory(daemon.process.pid):.0f} MiB |")
    say(f"| watches that came to their time-out | {daemon.metric('eventer_watches_total') - watches:.0f} |")
    say(f"| requests to the API server | {', '.join(f'{n} {kind}' for kind, n in requests.items() if n) or 'none'} |")
    daemon.stop()


def backlog(bench: Bench, n: int) -> None:
    say("\n| memory, dead webhook | MiB |\n|---|---|")
    bench.fresh()
    daemon = bench.daemon({"hook": {"kind": "webhook", "url": f"http://127.0.0.1:{free_port()}/"}})
    for done in range(100_000, n + 1, 100_000):
        bench.ask("/load?n=100000")
        bench.ask("/flood")
        daemon.wait(done, pending=False)
        if done in (n // 4, n // 2, n):
            say(f"| {done:,} distinct objects wait for a dead sink | {memory(daemon.process.pid):.0f} |")
    disk = sum(f.stat().st_size for f in (daemon.dir / "state").iterdir()) / (1 << 20)
    say(f"| peak of it ({disk:.0f} MiB on disk) | {memory(daemon.process.pid, 'VmHWM'):.0f} |")
    daemon.process.kill()
    daemon.process.wait()
    began = time.perf_counter()
    daemon.config.write_text(
        daemon.config.read_text().replace(
            str(json.loads(daemon.config.read_text())["sinks"]["hook"]["url"]), f"http://127.0.0.1:{bench.hook_port}/"
        )
    )
    daemon.start()
    started = time.perf_counter() - began
    daemon.wait(n)
    say(
        f"| peak while it is delivered after kill -9 (starts in {started:.1f} s, ends after "
        f"{time.perf_counter() - began:.1f} s) | {memory(daemon.process.pid, 'VmHWM'):.0f} |"
    )
    daemon.stop()


def limit(bench: Bench, n: int) -> None:
    """Row L5: dead sinks and a flood under a limit of memory, with a journal that must let go.

    The limit is RLIMIT_DATA, which needs no privilege: an allocation beyond it fails, which would end the
    daemon as surely as the kernel's killer. It counts all anonymous memory that could be touched, so it is
    stricter; pages of files, which the kernel takes back before it kills, it leaves out.
    """
    bench.fresh()
    gone = bench.dir / "gone"
    gone.mkdir(exist_ok=True)
    sinks: dict[str, object] = {
        "refused": {"kind": "webhook", "url": f"http://127.0.0.1:{free_port()}/"},
        "unwritable": {"kind": "file", "path": str(gone)},
    }
    daemon = bench.daemon(sinks, state={"max_size": f"{JOURNAL}MiB"}, limits=limits())
    say(
        f"\n| {n:,} events, two dead sinks, {JOURNAL} MiB of journal, limit {LIMIT} MiB | MiB resident | of it anonymous | dropped |\n|---|---|---|---|"
    )
    for done in range(100_000, n + 1, 100_000):
        bench.ask("/load?n=100000")
        bench.ask("/flood")
        daemon.wait(done, pending=False)
        daemon.until(lambda: daemon.metric("eventer_journal_backlog_bytes") <= JOURNAL << 20)
        dropped = daemon.metric('eventer_reader_events_total{outcome="dropped"')
        pid = daemon.process.pid
        say(f"| {done:,} | {memory(pid):.0f} | {memory(pid, 'RssAnon'):.0f} | {dropped:,.0f} |")
    say(f"| peak | {memory(daemon.process.pid, 'VmHWM'):.0f} | | |")
    daemon.stop()


def limits() -> list[str]:
    """Return the options of prlimit(1) that set the limit."""
    return [f"--data={LIMIT << 20}", f"--stack={STACK << 20}"]
