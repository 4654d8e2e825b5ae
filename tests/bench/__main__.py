"""`make bench`: the whole durable path against read + decode, as ratios in one run.

    python -m tests.bench                 everything (about ten minutes)
    python -m tests.bench flat latency    some of it: flat, profile, rules, sync, latency, memory
    python -m tests.bench --events 100000 --rounds 3

Absolute figures are of the machine that ran it; only the ratios are claims.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from tests.bench import stages

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
ENV = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(*args: object, **more: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, *map(str, args)], env=ENV, text=True, stdout=subprocess.PIPE, **more)  # type: ignore[call-overload,no-any-return]


def cpu(pid: int) -> float:
    """User and system seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid: int, field: str = "VmRSS") -> float:
    """MiB resident now (VmRSS) or at most (VmHWM)."""
    for row in Path(f"/proc/{pid}/status").read_text().splitlines():
        if row.startswith(field):
            return int(row.split()[1]) / 1024
    return 0.0


class Bench:
    """The far ends, and a fresh state for each daemon."""

    def __init__(self) -> None:
        self.dir = Path(tempfile.mkdtemp(prefix="eventer-bench-"))
        self.api_port, self.hook_port = free_port(), free_port()
        self.hook = start(HERE / "feed.py", "receiver", self.hook_port)
        self.api = self._api()
        self.kubeconfig = self.dir / "kubeconfig"
        self.kubeconfig.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "bench",
                    "clusters": [
                        {
                            "name": "bench",
                            "cluster": {
                                "server": f"https://127.0.0.1:{self.api_port}",
                                "certificate-authority": str(self.dir / "api.pem"),
                            },
                        }
                    ],
                    "users": [{"name": "u", "user": {"token": "t"}}],
                    "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "u"}}],
                }
            )
        )

    def _api(self) -> subprocess.Popen[str]:
        process = start(HERE / "feed.py", "api", self.api_port, self.dir)
        process.stdout.readline()  # type: ignore[union-attr]
        return process

    def fresh(self) -> None:
        """A new API server: its events begin anew."""
        self.api.kill()
        self.api.wait()
        self.api = self._api()

    def ask(self, path: str) -> None:
        import ssl

        context = ssl.create_default_context(cafile=self.dir / "api.pem")
        urllib.request.urlopen(f"https://127.0.0.1:{self.api_port}{path}", context=context, timeout=900).read()

    def received(self) -> dict[str, object]:
        answer: dict[str, object] = json.load(urllib.request.urlopen(f"http://127.0.0.1:{self.hook_port}/", timeout=60))
        return answer

    def close(self) -> None:
        for process in (self.api, self.hook):
            process.kill()
            process.wait()
        shutil.rmtree(self.dir)

    def baseline(self, n: int) -> tuple[float, float]:
        """Microseconds of CPU and events/s of read + decode."""
        self.fresh()
        self.ask(f"/load?n={n}")
        reader = start(HERE / "baseline.py", self.kubeconfig, n)
        assert reader.stdout is not None
        reader.stdout.readline()
        self.ask("/flood")
        seconds, wall = map(float, reader.stdout.readline().split())
        reader.wait()
        return seconds / n * 1e6, n / wall

    def daemon(
        self, sinks: dict[str, object], rules: list[object] | None = None, flags: tuple[str, ...] = ()
    ) -> Daemon:
        return Daemon(self, sinks, rules or [], flags)


class Daemon:
    """One daemon with an empty state directory."""

    def __init__(self, bench: Bench, sinks: dict[str, object], rules: list[object], flags: tuple[str, ...]) -> None:
        self.dir = Path(tempfile.mkdtemp(dir=bench.dir))
        self.port = free_port()
        config = {
            "sources": [{"cluster": "bench", "kubernetes": {"kubeconfig": str(bench.kubeconfig)}}],
            "filter": rules,
            "sinks": sinks,
            "state": {"path": str(self.dir / "state"), "max_size": "8GiB"},
            "server": {"listen": f"127.0.0.1:{self.port}"},
            "log": {"level": "warning"},
        }
        self.config = self.dir / "eventer.yaml"
        self.config.write_text(json.dumps(config))
        self.flags = flags
        self.start()

    def start(self) -> None:
        self.process = start(HERE / "daemon.py", "run", "-c", self.config, *self.flags)
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5).read()
                break
            except OSError:
                assert self.process.poll() is None, "the daemon ended"
                time.sleep(0.05)
        while self.metric("eventer_watch_connected") != 1:
            time.sleep(0.05)

    def metric(self, name: str) -> float:
        """Sum of a metric over its labels."""
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=60).read().decode()
        return sum(float(row.rsplit(" ", 1)[1]) for row in text.splitlines() if row.startswith(name))

    def pending(self) -> float:
        return self.metric("eventer_reader_pending")

    def wait(self, n: int, *, pending: bool = True) -> None:
        """Wait until n events were appended or filtered, and, with `pending`, delivered."""
        while self.metric("eventer_journal_head") + self.filtered() < n or (pending and self.pending()):
            time.sleep(0.05)

    def filtered(self) -> float:
        return self.metric('eventer_intake_events_total{cluster="bench",outcome="filtered"')

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.dir)


def flat_out(
    bench: Bench, n: int, sinks: dict[str, object], rules: list[object] | None = None, flags: tuple[str, ...] = ()
) -> tuple[float, float, float]:
    """Microseconds of CPU an event, events/s and peak MiB of the whole path for n events at once."""
    bench.fresh()
    daemon = bench.daemon(sinks, rules, flags)
    bench.ask(f"/load?n={n}")
    before, began = cpu(daemon.process.pid), time.perf_counter()
    bench.ask("/flood")
    daemon.wait(n)
    wall = time.perf_counter() - began
    used, peak = cpu(daemon.process.pid) - before, memory(daemon.process.pid, "VmHWM")
    daemon.stop()
    return used / n * 1e6, n / wall, peak


def say(text: str) -> None:
    print(text, flush=True)


def row(name: str, runs: list[tuple[float, ...]], base: float) -> None:
    micros = statistics.median(run[0] for run in runs)
    rate = statistics.median(run[1] for run in runs)
    peak = f"{statistics.median(run[2] for run in runs):.0f}" if len(runs[0]) > 2 else ""
    say(f"| {name} | {micros:.1f} | {rate:,.0f} | {base / micros:.1%} | {peak} |")


RULES = [{"drop": {"namespace": f"absent-{i}", "reason": ["Killing", "Pulling"]}} for i in range(40)] + [
    {"drop": {"type": "Normal", "component": f"/^nobody-{i}/"}} for i in range(10)
]


def sinks_of(bench: Bench, where: Path) -> dict[str, dict[str, object]]:
    return {
        "file": {"out": {"kind": "file", "path": str(where / "out.jsonl"), "max_size": "4GiB"}},
        "webhook": {"out": {"kind": "webhook", "url": f"http://127.0.0.1:{bench.hook_port}/"}},
    }


def flat(bench: Bench, n: int, rounds: int, *, what: str) -> None:
    say(
        f"\n| {what}, {n:,} events | CPU µs/event | events/s | read + decode ÷ path | peak MiB |\n|---|---|---|---|---|"
    )
    bases: list[tuple[float, ...]] = []
    results: dict[str, list[tuple[float, ...]]] = {}
    for _ in range(rounds):  # in turn, so that what else the machine does meets all alike
        bases.append(bench.baseline(n))
        for name, sinks in sinks_of(bench, bench.dir).items():
            if what == "flat out":
                results.setdefault(name, []).append(flat_out(bench, n, sinks))
            elif what == "filter rules" and name == "file":
                for count in (1, 50):
                    results.setdefault(f"file, {count} rules", []).append(flat_out(bench, n, sinks, RULES[:count]))
            elif what == "fsync" and name == "file":
                results.setdefault("file, FULL", []).append(flat_out(bench, n, sinks))
                results.setdefault("file, NORMAL", []).append(flat_out(bench, n, sinks, flags=("--normal",)))
            (bench.dir / "out.jsonl").unlink(missing_ok=True)
    base = statistics.median(run[0] for run in bases)
    row("read + decode", bases, base)
    for name, runs in results.items():
        row(name, runs, base)


def profile(bench: Bench, n: int) -> None:
    stages.main()
    say("\n| thread of the daemon, flat out to file | CPU µs/event |\n|---|---|")
    bench.fresh()
    daemon = bench.daemon(sinks_of(bench, bench.dir)["file"])
    before = threads(daemon.process.pid)
    bench.ask(f"/load?n={n}")
    bench.ask("/flood")
    daemon.wait(n)
    for name, used in sorted(threads(daemon.process.pid).items(), key=lambda item: -item[1]):
        if (spent := used - before.get(name, 0.0)) > 0:
            say(f"| {name} | {spent / n * 1e6:.1f} |")
    daemon.stop()


def threads(pid: int) -> dict[str, float]:
    """CPU seconds of each thread, by order of their start: event loop, journal writer, then reader and files."""
    found = {}
    for task in sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda path: int(path.name)):
        name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
        fields = rest.split()
        found[f"{len(found)} {name}"] = (int(fields[11]) + int(fields[12])) / TICKS
    return found


def latency(bench: Bench) -> None:
    say("\n| write → webhook | p50 ms | p99 ms | worst ms | CPU µs/event |\n|---|---|---|---|---|")
    for rate, n in ((100, 3_000), (1_000, 20_000)):
        bench.fresh()
        daemon = bench.daemon(sinks_of(bench, bench.dir)["webhook"])
        bench.received()
        before = cpu(daemon.process.pid)
        bench.ask(f"/pace?n={n}&rate={rate}")
        daemon.wait(n)
        used = cpu(daemon.process.pid) - before
        delays = sorted(float(x) * 1000 for x in bench.received()["delays"])  # type: ignore[attr-defined]
        assert len(delays) == n, f"{len(delays)} of {n} arrived"
        say(
            f"| {rate} events/s | {delays[n // 2]:.1f} | {delays[n * 99 // 100]:.1f} | {delays[-1]:.1f} | {used / n * 1e6:.0f} |"
        )
        daemon.stop()


def idle_and_backlog(bench: Bench, n: int) -> None:
    say("\n| memory, file + webhook | MiB |\n|---|---|")
    bench.fresh()
    where = {**sinks_of(bench, bench.dir)["file"]}
    daemon = bench.daemon({**where, "hook": {"kind": "webhook", "url": f"http://127.0.0.1:{bench.hook_port}/"}})
    began = cpu(daemon.process.pid)
    time.sleep(30)
    say(
        f"| idle after 30 s ({(cpu(daemon.process.pid) - began) / 30:.2%} of a core) | {memory(daemon.process.pid):.0f} |"
    )
    daemon.stop()
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
    daemon.wait(n)
    say(
        f"| peak while it is delivered after kill -9, start to end {time.perf_counter() - began:.1f} s | {memory(daemon.process.pid, 'VmHWM'):.0f} |"
    )
    daemon.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "what", nargs="*", default=[], help="flat, profile, rules, sync, latency, memory (default: all)"
    )
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--backlog", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    what = args.what or ["flat", "profile", "rules", "sync", "latency", "memory"]
    say(
        f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}"
    )
    bench = Bench()
    try:
        if "flat" in what:
            flat(bench, args.events, args.rounds, what="flat out")
        if "profile" in what:
            profile(bench, args.events * 3)
        if "rules" in what:
            flat(bench, args.events, args.rounds, what="filter rules")
        if "sync" in what:
            flat(bench, args.events, args.rounds, what="fsync")
        if "latency" in what:
            latency(bench)
        if "memory" in what:
            idle_and_backlog(bench, args.backlog)
    finally:
        bench.close()


if __name__ == "__main__":
    main()
