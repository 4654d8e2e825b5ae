"""The whole path flat out, as ratios to read + decode: by sink, filter and fsync, and where the CPU goes."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

from tests.bench import stages
from tests.bench.rig import TICKS, Bench, flat_out, say, sinks_of

Run = tuple[float, ...]
RULES = [{"drop": {"namespace": f"absent-{i}", "reason": ["Killing", "Pulling"]}} for i in range(40)] + [
    {"drop": {"type": "Normal", "component": f"/^nobody-{i}/"}} for i in range(10)
]


def row(name: str, runs: list[Run], base: float) -> None:
    micros = statistics.median(run[0] for run in runs)
    rate = statistics.median(run[1] for run in runs)
    peak = f"{statistics.median(run[2] for run in runs):.0f}" if len(runs[0]) > 2 else ""
    say(f"| {name} | {micros:.1f} | {rate:,.0f} | {base / micros:.1%} | {peak} |")


def in_turn(bench: Bench, n: int, rounds: int, what: str, cases: dict[str, Callable[[], Run]]) -> None:
    """Run read + decode and all cases in turn, so that what else the machine does meets all alike."""
    say(
        f"\n| {what}, {n:,} events | CPU µs/event | events/s | read + decode ÷ path | peak MiB |\n|---|---|---|---|---|"
    )
    bases: list[Run] = []
    runs: dict[str, list[Run]] = {name: [] for name in cases}
    for _ in range(rounds):
        bases.append(bench.baseline(n))
        for name, case in cases.items():
            runs[name].append(case())
    base = statistics.median(run[0] for run in bases)
    row("read + decode", bases, base)
    for name in cases:
        row(name, runs[name], base)


def flat(bench: Bench, n: int, rounds: int) -> None:
    cases: dict[str, Callable[[], Run]] = {
        name: lambda sinks=sinks: flat_out(bench, n, sinks)  # type: ignore[misc]
        for name, sinks in sinks_of(bench).items()
    }
    in_turn(bench, n, rounds, "flat out", cases)


def rules(bench: Bench, n: int, rounds: int) -> None:
    file = sinks_of(bench)["file"]
    cases: dict[str, Callable[[], Run]] = {
        f"file, {count} rules": lambda count=count: flat_out(bench, n, file, rules=RULES[:count])  # type: ignore[misc]
        for count in (1, 50)
    }
    in_turn(bench, n, rounds, "filter rules", cases)


def sync(bench: Bench, n: int, rounds: int) -> None:
    file = sinks_of(bench)["file"]
    cases: dict[str, Callable[[], Run]] = {
        "file, FULL": lambda: flat_out(bench, n, file),
        "file, NORMAL": lambda: flat_out(bench, n, file, flags=("--normal",)),
    }
    in_turn(bench, n, rounds, "fsync", cases)


def profile(bench: Bench, n: int) -> None:
    stages.main()
    say("\n| thread of the daemon, flat out to file | CPU µs/event |\n|---|---|")
    bench.fresh()
    daemon = bench.daemon(sinks_of(bench)["file"])
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
