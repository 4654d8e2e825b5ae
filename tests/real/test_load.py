"""Rows about load, as far as they are no matter of time: what is counted and bounded, not how long it takes.

The API server is the one of the benchmarks, which streams faster than a real one can be written to; the
daemon is a process of its own. How fast it all is, `python -m tests.bench` says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.bench.load import LIMIT, limits
from tests.bench.rig import Bench, memory, sinks_of
from tests.helpers.oracle import Books
from tests.helpers.process import free_port, until
from tests.real.conftest import MakeDaemon
from tests.real.rows import WATCH_TIMES, webhook

IDLE = 100
"""MiB resident with nothing to do: the budget."""


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


@pytest.mark.parametrize(("rate", "n"), [(10, 20), (100, 200), (1000, 3000)])
def test_l3_each_event_comes_once_and_requests_are_shared(bench: Bench, rate: int, n: int) -> None:
    """L3. At three rates, for two or three seconds: every delay is measured, no event is missing or twice.

    At 1,000/s an append takes what came in 10 ms, and a send what came since the last one began. A slow
    machine makes fewer requests of it, never more.
    """
    daemon = bench.daemon(sinks_of(bench)["webhook"])
    bench.ask(f"/pace?n={n}&rate={rate}")
    daemon.wait(n)
    got = bench.received()
    assert (got["n"], len(got["delays"])) == (n, n)  # type: ignore[arg-type]
    assert min(got["delays"]) >= 0  # type: ignore[call-overload]
    if rate == 1000:
        assert 0 < got["requests"] < n / 4  # type: ignore[operator]
    assert Books.from_metrics(daemon.metrics()).faults() == []
    assert daemon.end() == 0
    assert Books.from_journal(daemon.dir / "state").faults() == []


async def test_l4_an_idle_daemon_asks_once_a_watch(bench: Bench, daemons: MakeDaemon) -> None:
    """L4. Seven watches of 3 to 5 s for an hour of two to four minutes each: requests and memory.

    Of three watches in a row that brought nothing, the last is followed by a probe: a position of the
    future would be as silent.
    """
    # That server has no nodes.
    source = {"cluster": "idle", "kubernetes": {"kubeconfig": str(bench.kubeconfig), "nodes": False}}
    daemon = daemons(sources=[source], scaled=WATCH_TIMES)
    daemon.config["sinks"]["hook"] = webhook(f"http://127.0.0.1:{bench.hook_port}/")
    await daemon.start()

    async def audited() -> bool:
        return await daemon.metric("eventer_audits_total") == 1

    await until(audited, "the audit of the start")

    async def requests() -> dict[str, int]:
        return await asyncio.to_thread(bench.requests)

    async def rose() -> bool:
        return (await requests())["watch"] - before["watch"] >= 7

    before = await requests()
    await until(rose, "seven watches", every=0.5)
    after = await requests()
    made = {kind: after[kind] - before.get(kind, 0) for kind in after}
    watches = made.pop("watch")
    assert 7 <= watches <= 9  # two at most end between two looks of a busy machine
    assert made.pop("probe", 0) <= watches / 3 + 1
    assert not any(made.values()), made
    assert (await asyncio.to_thread(bench.received))["requests"] == 0
    assert daemon.rss() < IDLE << 20
    assert (await daemon.books()).faults() == []
    assert await daemon.term() == 0


def test_l5_a_flood_with_dead_sinks_stays_below_the_limit(bench: Bench) -> None:
    """L5. 300,000 events, two dead sinks, 16 MiB of journal: it lets go, lives, and every event is in the books.

    The limit is RLIMIT_DATA: an allocation beyond it fails. The kernel's killer would count the same memory.
    """
    n = 300_000
    (bench.dir / "gone").mkdir()
    sinks: dict[str, object] = {
        "refused": {"kind": "webhook", "url": f"http://127.0.0.1:{free_port()}/"},
        "unwritable": {"kind": "file", "path": str(bench.dir / "gone")},
    }
    daemon = bench.daemon(sinks, state={"max_size": "16MiB"}, limits=limits())
    bench.ask(f"/load?n={n}")
    bench.ask("/flood")
    daemon.wait(n, pending=False)
    daemon.until(lambda: daemon.metric("eventer_journal_backlog_bytes") <= 16 << 20)
    assert 0 < memory(daemon.process.pid, "RssAnon") < LIMIT
    books = Books.from_metrics(daemon.metrics())
    assert books.faults() == []
    assert books.head >= n
    for sink in sinks:
        assert 0 < books.outcome(sink, "dropped") < n
    assert daemon.end() == 0
    assert Books.from_journal(daemon.dir / "state").faults() == []
