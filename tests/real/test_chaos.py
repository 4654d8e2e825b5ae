"""One minute in which everything goes wrong at once, from one seed; nothing may be lost."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from tests.helpers.daemon import Daemon
from tests.helpers.receiver import Receiver
from tests.helpers.writer import Truth, Writer
from tests.real.conftest import MakeDaemon, MakePlane
from tests.real.controlplane import ControlPlane
from tests.real.rows import end_well, scale, settled, source, truth_of, webhook

Fault = Callable[[random.Random], Coroutine[Any, Any, None]]
SEED = int(os.environ.get("EVENTER_CHAOS_SEED", "2026"))


class Chaos:
    """Breaks cluster, daemon and sink at the same time, each by a schedule of its own."""

    def __init__(self, plane: ControlPlane, daemon: Daemon, receiver: Receiver) -> None:
        self._plane = plane
        self._daemon = daemon
        self._receiver = receiver
        self.done: list[str] = []

    async def run(self, seconds: float) -> None:
        """Break and repair for so long, and leave everything repaired."""
        async with asyncio.TaskGroup() as group:
            for number, faults in enumerate(
                ([self.kill_apiserver, self.freeze_apiserver], [self.kill_daemon], [self.refuse, self.hang])
            ):
                group.create_task(self._break(faults, random.Random(SEED + number), seconds))

    async def _break(self, faults: Sequence[Fault], dice: random.Random, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            # Each fault comes once before any comes again, so that no seed leaves one out.
            for fault in dice.sample(faults, len(faults)):
                await asyncio.sleep(dice.uniform(0.5, 4.0))
                self.done.append(fault.__name__)
                await fault(dice)

    async def kill_apiserver(self, dice: random.Random) -> None:
        self._plane.kill_apiserver()
        await asyncio.sleep(dice.uniform(0.0, 2.0))
        await self._plane.start_apiserver()

    async def freeze_apiserver(self, dice: random.Random) -> None:
        self._plane.freeze()
        await asyncio.sleep(dice.uniform(1.0, 6.0))
        self._plane.thaw()

    async def kill_daemon(self, dice: random.Random) -> None:
        self._daemon.kill9()
        assert self._daemon.journal().faults() == []
        await asyncio.sleep(dice.uniform(0.0, 4.0))
        self._daemon.launch()

    async def refuse(self, dice: random.Random) -> None:
        self._receiver.status = 503
        await asyncio.sleep(dice.uniform(1.0, 6.0))
        self._receiver.status = 200

    async def hang(self, dice: random.Random) -> None:
        self._receiver.answering.clear()
        await asyncio.sleep(dice.uniform(1.0, 6.0))
        self._receiver.answering.set()

    async def compact(self) -> None:
        """Cut history off every 6 s, without end."""
        while True:
            await asyncio.sleep(6)
            await self._plane.compact()


async def test_chaos_one_minute(planes: MakePlane, daemons: MakeDaemon) -> None:
    """API server killed and frozen, history compacted every 6 s, daemon killed -9, sink dead.

    Ends with no object and no final state lost, at either sink, and balanced books. The file sink
    has nothing twice. Under `make soak` it lasts an hour. EVENTER_CHAOS_SEED sets another seed.
    """
    plane = await planes()
    stop = asyncio.Event()
    writers = [Writer(plane.api, seed=SEED + number, prefix=f"c{number}-") for number in range(3)]
    async with Receiver() as receiver:
        daemon = daemons(sources=[source(plane)])
        daemon.config["sinks"]["hook"] = webhook(receiver.url, timeout="3s")
        await daemon.start()
        chaos = Chaos(plane, daemon, receiver)
        async with asyncio.TaskGroup() as group:
            writing = [group.create_task(writer.run(rate=25, stop=stop)) for writer in writers]
            compacting = group.create_task(chaos.compact())
            await chaos.run(scale(60, 3600))
            stop.set()
            await asyncio.gather(*writing)
            compacting.cancel()
        await daemon.ready()
        truth: dict[str, Truth] = {}
        for writer in writers:
            truth |= await truth_of(plane, writer)
        deleted = {uid for writer in writers for uid, item in writer.truth.items() if item.deleted}
        truth = {uid: item for uid, item in truth.items() if uid not in deleted}
        print(f"seed {SEED}: {len(truth)} objects, faults: {' '.join(chaos.done)}")
        assert len(truth) > 500
        hook = await settled(truth, lambda: receiver.sights, exact=True, timeout=120)
        # A webhook gets again what was in flight whenever the daemon or the answer died.
        assert hook.faults(repeats=hook.records) == []
        await end_well(daemon, truth, exact=True)
