"""What the benchmarks share: the far ends, a daemon with a fresh state, and what the kernel says of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.helpers.process import free_port

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
ENV = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
TICKS = os.sysconf("SC_CLK_TCK")


BOUND = ("setpriv", "--pdeathsig", "KILL", "--")
"""The kernel ends what is started so with the benchmark, however that ends."""
PATIENCE = 180.0
"""Seconds for anything that a daemon is waited for."""


def start(*args: object) -> subprocess.Popen[str]:
    """Start one of our scripts, whose standard output is read."""
    return subprocess.Popen([*BOUND, sys.executable, *map(str, args)], env=ENV, text=True, stdout=subprocess.PIPE)


def end(process: subprocess.Popen[str]) -> None:
    """Kill a process, if it still runs, and close what it wrote to."""
    with process:
        process.kill()


def printed(*args: object) -> list[float]:
    """Run one of our scripts, and return the numbers in the first line that it prints."""
    process = start(*args)
    try:
        assert process.stdout is not None
        return [float(word) for word in process.stdout.readline().split()]
    finally:
        end(process)


def cpu(pid: int) -> float:
    """User and system seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid: int, field: str = "VmRSS") -> float:
    """MiB resident now (VmRSS), at most (VmHWM), or of these what no file backs (RssAnon)."""
    for row in Path(f"/proc/{pid}/status").read_text().splitlines():
        if row.startswith(field):
            return int(row.split()[1]) / 1024
    return 0.0


class Bench:
    """The far ends, and a fresh state for each daemon."""

    def __init__(self) -> None:
        self.dir = Path(tempfile.mkdtemp(prefix="eventer-bench-"))
        self.api_port, self.hook_port = free_port(), free_port()
        self.daemons: list[subprocess.Popen[str]] = []
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
        end(self.api)
        self.api = self._api()

    def ask(self, path: str) -> bytes:
        """Ask the API server for what only benchmarks want; see `feed.Api`."""
        context = ssl.create_default_context(cafile=self.dir / "api.pem")
        url = f"https://127.0.0.1:{self.api_port}{path}"
        answer: bytes = urllib.request.urlopen(url, context=context, timeout=900).read()
        return answer

    def received(self) -> dict[str, object]:
        answer: dict[str, object] = json.load(urllib.request.urlopen(f"http://127.0.0.1:{self.hook_port}/", timeout=60))
        return answer

    def close(self) -> None:
        for process in (self.api, self.hook, *self.daemons):
            end(process)
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
        end(reader)
        return seconds / n * 1e6, n / wall

    def requests(self) -> dict[str, int]:
        """Requests that the API server got, by kind."""
        answer: dict[str, int] = json.loads(self.ask("/requests"))
        return answer

    def daemon(self, sinks: dict[str, object], **options: object) -> Daemon:
        """Start a daemon and wait until it watches; see `Daemon`."""
        return Daemon(self, sinks, **options)  # type: ignore[arg-type]


class Daemon:
    """One daemon with an empty state directory.

    Args:
        rules: for `filter:`.
        state: options beside the path.
        flags: for `daemon.py`.
        tree: checkout whose program it runs.
        limits: options of prlimit(1).
    """

    def __init__(
        self,
        bench: Bench,
        sinks: dict[str, object],
        *,
        rules: Sequence[object] = (),
        state: dict[str, object] | None = None,
        flags: Sequence[str] = (),
        tree: Path = ROOT,
        limits: Sequence[str] = (),
    ) -> None:
        self.dir = Path(tempfile.mkdtemp(dir=bench.dir))
        self.port = free_port()
        config = {
            "sources": [{"cluster": "bench", "kubernetes": {"kubeconfig": str(bench.kubeconfig)}}],
            "filter": list(rules),
            "sinks": sinks,
            "state": {"path": str(self.dir / "state"), "max_size": "8GiB"} | (state or {}),
            "server": {"listen": f"127.0.0.1:{self.port}"},
            "log": {"level": "error"},
        }
        self.log = self.dir / "log"
        self.config = self.dir / "eventer.yaml"
        self.config.write_text(json.dumps(config))
        program = [HERE / "daemon.py"] if flags else ["-m", "eventer"]
        self.argv = [sys.executable, *program, "run", "-c", self.config, *flags]
        if limits:
            self.argv = ["prlimit", *limits, "--", *self.argv]
        self.tree = tree
        self._all = bench.daemons
        self.start()

    def start(self, *, wait: bool = True) -> None:
        """Start it (again), and wait until it watches."""
        env = {**ENV, "PYTHONPATH": str(self.tree)}
        # The null device is also what the sink `stdout` writes to.
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*BOUND, *map(str, self.argv)], env=env, cwd=self.tree, text=True, stdout=subprocess.DEVNULL, stderr=log
            )
        self._all.append(self.process)
        if wait:
            self.until(lambda: self.metric("eventer_watch_connected") == 1)

    def until(self, condition: Callable[[], bool], every: float = 0.1) -> None:
        """Wait for a condition; raise if the daemon ends, or if nothing comes of it.

        Args:
            condition: looked at again and again; a look at its metrics costs the daemon a millisecond and a half.
            every: seconds between looks.
        """
        patience = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError):
                if condition():
                    return
            assert self.process.poll() is None, f"the daemon ended:\n{self.log.read_text()}"
            assert time.monotonic() < patience, f"waited in vain:\n{self.log.read_text()}"
            time.sleep(every)

    def metrics(self) -> str:
        """Return the page of metrics."""
        text: str = urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=60).read().decode()
        return text

    def metric(self, name: str) -> float:
        """Sum of a metric over its labels."""
        text = self.metrics()
        return sum(
            float(row.rsplit(" ", 1)[1]) for row in text.splitlines() if re.match(rf"{re.escape(name)}[{{ ,]", row)
        )

    def wait(self, n: int, *, pending: bool = True, every: float = 0.1) -> None:
        """Wait until n events were appended or filtered, and, with `pending`, delivered; `every` as for `until`."""
        self.until(
            lambda: (
                self.metric("eventer_journal_head") + self.filtered() >= n
                and not (pending and self.metric("eventer_reader_pending"))
            ),
            every,
        )

    def filtered(self) -> float:
        """How many events the filter took."""
        return self.metric('eventer_intake_events_total{cluster="bench",outcome="filtered"')

    def cpu(self) -> float:
        """User and system seconds so far."""
        return cpu(self.process.pid)

    def end(self) -> int:
        """End it in order, and return its exit code."""
        self.process.terminate()
        return self.process.wait()

    def stop(self) -> None:
        """End it in order, and remove what it made."""
        self.end()
        shutil.rmtree(self.dir)


def say(text: str) -> None:
    print(text, flush=True)


def sinks_of(bench: Bench) -> dict[str, dict[str, object]]:
    """Return the sinks that are measured, by name."""
    return {
        "null": {"out": {"kind": "stdout"}},
        "file": {"out": {"kind": "file", "path": str(bench.dir / "out.jsonl"), "max_size": "4GiB"}},
        "webhook": {"out": {"kind": "webhook", "url": f"http://127.0.0.1:{bench.hook_port}/"}},
    }


def flat_out(
    bench: Bench, n: int, sinks: dict[str, object], *, every: float = 0.1, **options: object
) -> tuple[float, float, float, float]:
    """Microseconds of CPU an event, events/s, peak MiB and sends of the whole path for n events at once.

    Progress is looked at `every` so many seconds; see `Daemon.until`.
    """
    bench.fresh()
    daemon = bench.daemon(sinks, **options)
    bench.ask(f"/load?n={n}")
    before, began = daemon.cpu(), time.perf_counter()
    bench.ask("/flood")
    daemon.wait(n, every=every)
    wall = time.perf_counter() - began
    used, peak = daemon.cpu() - before, memory(daemon.process.pid, "VmHWM")
    sends = daemon.metric("eventer_sink_sends_total")
    daemon.stop()
    (bench.dir / "out.jsonl").unlink(missing_ok=True)
    return used / n * 1e6, n / wall, peak, sends
