"""One minute in which everything goes wrong at once, from one seed; nothing may be lost."""

from __future__ import annotations

import asyncio
import os
import random

from tests.helpers.daemon import Daemon
from tests.helpers.receiver import Receiver
from tests.helpers.writer import Truth, Writer
from tests.real.conftest import MakeDaemon, MakePlane
from tests.real.controlplane import ControlPlane
from tests.real.rows import end_well, scale, settled, source, truth_of, webhook

SEED = int(os.environ.get("EVENTER_CHAOS_SEED", "2026"))


class Chaos:
    """Breaks one thing after the other for a while, and repairs everything at its end."""

    def __init__(self, plane: ControlPlane, daemon: Daemon, receiver: Receiver) -> None:
        self._plane = plane
        self._daemon = daemon
        self._receiver = receiver
        self._dice = random.Random(SEED)
        self.done: list[str] = []

    async def run(self, seconds: float) -> None:
        """Break and repair."""
        faults = [self.kill_apiserver, self.freeze_apiserver, self.kill_daemon, self.kill_daemon, self.kill_sink]
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            # Each fault comes once before any comes again, so that no seed leaves one out.
            for fault in self._dice.sample(faults, len(faults)):
                self.done.append(fault.__name__)
                await fault()
                await self._pause(0.2, 2.0)

    async def _pause(self, least: float, most: float) -> None:
        await asyncio.sleep(self._dice.uniform(least, most))

    async def kill_apiserver(self) -> None:
        self._plane.kill_apiserver()
        await self._pause(0.0, 2.0)
        await self._plane.start_apiserver()

    async def freeze_apiserver(self) -> None:
        self._plane.freeze()
        await self._pause(1.0, 5.0)
        self._plane.thaw()

    async def kill_daemon(self) -> None:
        self._daemon.kill9()
        assert self._daemon.journal().faults() == []
        await self._pause(0.0, 4.0)
        self._daemon.launch()

    async def kill_sink(self) -> None:
        if self._dice.random() < 0.5:
            self._receiver.status = 503
        else:
            self._receiver.answering.clear()
        await self._pause(2.0, 6.0)
        self._receiver.status = 200
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
