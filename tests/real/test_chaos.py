"""L2: everything goes wrong at once, from one seed, for as long as there is time; nothing may be lost.

`EVENTER_CHAOS_SECONDS` says for how long (two minutes; an hour under `make soak`), `EVENTER_CHAOS_SEED`
which faults come when. The moments are random numbers of seconds, so a seed repeats the faults and their
order, not the very schedule of two machines.
"""

from __future__ import annotations

import asyncio
import os

from tests.helpers.proxy import Proxy
from tests.helpers.receiver import Receiver
from tests.helpers.writer import Truth, Writer
from tests.real.chaos import Chaos
from tests.real.conftest import MakeDaemon, MakePlane
from tests.real.rows import WATCH_TIMES, end_well, scale, settled, source, truth_of, webhook

SEED = int(os.environ.get("EVENTER_CHAOS_SEED", "2026"))
SECONDS = int(os.environ.get("EVENTER_CHAOS_SECONDS") or scale(120, 3600))
BATCH = 50
RATE = 25
"""Writes a second by each of three writers."""
TTL = 180
"""Seconds that Events live, so that lists stay short however long it lasts."""
MIB = 1 << 20


async def test_l2_chaos(planes: MakePlane, daemons: MakeDaemon) -> None:
    """Servers, network, daemon, disk and sinks fail; history is cut off every 6 s.

    Ends with no object and no final state lost, at any of three sinks, and balanced books; the file has
    nothing twice, a webhook only what was under way when something died. In the last third the daemon is
    left alive: its memory, descriptors and threads must stay what they are.
    """
    plane = await planes(event_ttl=f"{TTL}s")
    stop = asyncio.Event()
    writers = [Writer(plane.api, seed=SEED + number, prefix=f"c{number}-") for number in range(3)]
    async with Receiver() as hook, Receiver() as late, Proxy(plane.port) as near, Proxy(hook.port) as far:
        entry = source(plane, server=f"https://127.0.0.1:{near.port}", event_ttl=f"{TTL}s", audit="60s")
        daemon = daemons(sources=[entry], scaled=WATCH_TIMES)
        daemon.config["sinks"] = {
            "archive": daemon.file_sink(max_size="512KiB", keep=10_000),
            "hook": webhook(f"http://127.0.0.1:{far.port}/events", timeout="3s", batch={"count": BATCH}),
            "late": webhook(late.url, timeout="3s", batch={"count": 500}),
        }
        await daemon.start()
        chaos = Chaos(plane, near, daemon, far, hook, late, seed=SEED)
        async with asyncio.TaskGroup() as group:
            writing = [group.create_task(writer.run(rate=RATE, stop=stop)) for writer in writers]
            await chaos.run(SECONDS, steady=SECONDS / 3)
            stop.set()
            await asyncio.gather(*writing)
        await daemon.ready(timeout=120)
        truth: dict[str, Truth] = {}
        for writer in writers:
            truth |= await truth_of(plane, writer)
        deleted = {uid for writer in writers for uid, item in writer.truth.items() if item.deleted}
        truth = {uid: item for uid, item in truth.items() if uid not in deleted}
        at_hook = await settled(truth, lambda: hook.sights, exact=True, timeout=180)
        at_late = await settled(truth, lambda: late.sights, exact=True, timeout=180)
        _tell(chaos, truth, {"hook": at_hook.records, "late": at_late.records}, at_hook.repeated)
        assert len(truth) > SECONDS * RATE / 4
        # What was sent last, and the send before that, when the daemon died; what had no answer.
        assert at_hook.faults(repeats=BATCH * (2 * chaos.deaths + 2 * chaos.unknown)) == []
        assert at_late.faults(repeats=500 * 2 * chaos.deaths) == []
        verdict = await end_well(daemon, truth, exact=True)
        assert verdict.repeated == 0
    _judge_figures(chaos)
    assert "Traceback" not in daemon.child.log.read_text(errors="replace")


def _tell(chaos: Chaos, truth: dict[str, Truth], records: dict[str, int], repeats: int) -> None:
    figures = chaos.figures
    steady = [sample for sample in figures.samples if sample.life == figures.samples[-1].life]
    half = steady[len(steady) // 2 :]
    print(
        f"\nseed {SEED}, {SECONDS} s: {len(truth)} objects, records {records}, repeats at hook {repeats}, "
        f"deaths {chaos.deaths}, sends of unknown outcome {chaos.unknown}\n"
        f"faults: {', '.join(f'{name} {n}' for name, n in sorted(chaos.done.items()))}\n"
        f"lists {figures.relists.total()}, commits refused {figures.refusals.total()}, "
        f"missed {figures.missed.total()}, quarantines {figures.quarantines.total()}\n"
        f"last life, {steady[-1].at - steady[0].at:.0f} s: memory {steady[0].rss / MIB:.1f} to "
        f"{steady[-1].rss / MIB:.1f} MiB, in its second half {figures.growth(half) / MIB:+.2f} MiB; descriptors "
        f"{half[0].descriptors} to {half[-1].descriptors}, threads {half[0].threads} to {half[-1].threads}; state "
        f"directory at most {max(sample.state for sample in figures.samples) / MIB:.1f} MiB, at the end "
        f"{steady[-1].state / MIB:.1f} MiB"
    )


def _judge_figures(chaos: Chaos) -> None:
    figures = chaos.figures
    assert figures.missed.total() == 0
    assert figures.quarantines.total() == 0
    last = [sample for sample in figures.samples if sample.life == figures.samples[-1].life]
    half = last[len(last) // 2 :]
    assert len(half) >= 5
    assert figures.growth(half) < 8 * MIB
    assert max(sample.rss for sample in figures.samples) < 256 * MIB
    # A webhook whose answers were lost has a connection more for a while.
    assert max(sample.descriptors for sample in half) - min(sample.descriptors for sample in half) <= 12
    assert max(sample.threads for sample in half) - min(sample.threads for sample in half) <= 2
    assert max(sample.state for sample in figures.samples) < 128 * MIB
