"""The chaos driver: everything that can break, breaks, each by a schedule of its own from one seed.

Five schedules run at once: servers, network, daemon, disk (with the daemon: its failpoints are set at a
start), sinks. What it can see from outside of the daemon is measured all the while.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from tests.helpers.daemon import Daemon
from tests.helpers.proxy import Mode, Proxy
from tests.helpers.receiver import Receiver
from tests.real.controlplane import ControlPlane

__all__ = ["Chaos", "Figures", "Sample"]

Fault = Callable[[random.Random], Coroutine[Any, Any, None]]

SIGKILLED: Final = -9
DISK: Final = ("full", "error", "readonly")
DEADLY: Final = (
    "journal.commit",
    "journal.committed",
    "delivery.send",
    "delivery.sent",
    "delivery.settle",
    "delivery.settled",
    "file.write",
    "file.sync",
    "file.synced",
)
SAMPLE_EVERY: Final = 2.0


@dataclass
class Sample:
    """What the daemon takes at one moment."""

    at: float
    life: int
    rss: int
    descriptors: int
    threads: int
    state: int
    """Bytes of the state directory."""


@dataclass
class Figures:
    """What was measured."""

    samples: list[Sample] = field(default_factory=list)
    missed: Counter[int] = field(default_factory=Counter)
    """Life to what its audits found missing."""
    quarantines: Counter[int] = field(default_factory=Counter)
    relists: Counter[int] = field(default_factory=Counter)
    refusals: Counter[int] = field(default_factory=Counter)

    def growth(self, samples: Sequence[Sample]) -> float:
        """Bytes by which memory grew over these samples, by the line through them (least squares)."""
        n = len(samples)
        mean = sum(sample.at for sample in samples) / n, sum(sample.rss for sample in samples) / n
        above = sum((sample.at - mean[0]) * (sample.rss - mean[1]) for sample in samples)
        below = sum((sample.at - mean[0]) ** 2 for sample in samples)
        return above / below * (samples[-1].at - samples[0].at)


class Chaos:
    """Breaks a control plane, the network before and behind the daemon, the daemon itself, disk and sinks.

    Args:
        hook: a sink that is disturbed now and then; `far`, a proxy, lies before it.
        late: a sink that is down for long.
    """

    def __init__(
        self,
        plane: ControlPlane,
        near: Proxy,
        daemon: Daemon,
        far: Proxy,
        hook: Receiver,
        late: Receiver,
        *,
        seed: int,
    ) -> None:
        self._plane = plane
        self._near = near
        self._daemon = daemon
        self._far = far
        self._hook = hook
        self._late = late
        self._seed = seed
        self.done: Counter[str] = Counter()
        self.deaths = 0
        self.unknown = 0
        """Sends to `hook` whose outcome the daemon may not have learnt."""
        self.figures = Figures()
        self._life = 0
        self._may_die = True
        self._failpoints = ""
        hook.on_request = self._count_unanswered

    def _count_unanswered(self) -> None:
        self.unknown += not self._hook.answering.is_set()

    async def run(self, seconds: float, *, steady: float) -> None:
        """Break and repair for so long, and leave everything repaired.

        Args:
            seconds: how long altogether.
            steady: for how much of it, at the end, the daemon is left alive, so that what it takes
                can be seen to stay the same.
        """
        schedules: list[tuple[list[Fault], float]] = [
            ([self.kill_apiserver, self.freeze_apiserver, self.kill_etcd], seconds),
            ([self.cut, self.freeze_network, self.drip, self.delay], seconds),
            ([self.kill_daemon, self.end_daemon, self.break_disk, self.slow_disk, self.kill_at_a_failpoint], 0),
            ([self.refuse, self.hang, self.lose_answers, self.cut_far], seconds),
            ([self.go_for_long], seconds),
        ]
        compacting, measuring = asyncio.create_task(self._compact()), asyncio.create_task(self._measure())
        try:
            async with asyncio.TaskGroup() as group:
                for number, (faults, length) in enumerate(schedules):
                    dice = random.Random(self._seed * 10 + number)
                    group.create_task(self._break(faults, dice, length or seconds - steady))
            await self._revive()
        finally:
            for task in (compacting, measuring):
                task.cancel()
            await asyncio.gather(compacting, measuring, return_exceptions=True)
        self._near.mode = self._far.mode = Mode.PASS
        self._near.delay = self._near.drip = 0.0

    async def _break(self, faults: Sequence[Fault], dice: random.Random, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            # Each fault comes once before any comes again, so that no seed leaves one out.
            for fault in dice.sample(faults, len(faults)):
                if loop.time() >= end:
                    break
                await asyncio.sleep(dice.uniform(0.5, 5.0))
                self.done[fault.__name__] += 1
                await fault(dice)
        if self.kill_daemon in faults:
            # A last life without failpoints.
            await self._revive()
            self._failpoints = ""
            await self.end_daemon(dice)

    # -- servers ---------------------------------------------------------------------------------

    async def kill_apiserver(self, dice: random.Random) -> None:
        self._plane.kill_apiserver()
        await asyncio.sleep(dice.uniform(0.0, 2.0))
        await self._plane.start_apiserver()

    async def freeze_apiserver(self, dice: random.Random) -> None:
        self._plane.freeze()
        await asyncio.sleep(dice.uniform(1.0, 6.0))
        self._plane.thaw()

    async def kill_etcd(self, dice: random.Random) -> None:
        self._plane.kill_etcd()
        await asyncio.sleep(dice.uniform(0.0, 4.0))
        self._plane.start_etcd()
        await self._plane.ready()

    async def _compact(self) -> None:
        """Cut history off every 6 s, without end; not while there is no etcd."""
        while True:
            await asyncio.sleep(6)
            try:
                await self._plane.compact()
            except (OSError, aiohttp.ClientError):  # also where nothing was written since the last one
                self.done["compaction refused"] += 1
            else:
                self.done["compact"] += 1

    # -- network ---------------------------------------------------------------------------------

    async def cut(self, dice: random.Random) -> None:
        if dice.random() < 0.5:
            self._near.cut()
        else:
            self._near.cut_after(dice.randrange(1, 5000))

    async def freeze_network(self, dice: random.Random) -> None:
        self._near.mode = Mode.FREEZE
        await asyncio.sleep(dice.uniform(1.0, 8.0))
        self._near.mode = Mode.PASS
        self._near.cut()

    async def drip(self, dice: random.Random) -> None:
        self._near.drip = 0.0005
        await asyncio.sleep(dice.uniform(1.0, 4.0))
        self._near.drip = 0.0

    async def delay(self, dice: random.Random) -> None:
        self._near.delay = dice.uniform(0.01, 0.3)
        await asyncio.sleep(dice.uniform(1.0, 5.0))
        self._near.delay = 0.0

    # -- the daemon and its disk -----------------------------------------------------------------

    async def _revive(self) -> None:
        """Start the daemon if it is dead; it may have died of a failpoint, or of a disk at its start."""
        daemon = self._daemon
        if daemon.child.alive:
            return
        code = daemon.child.exit_code
        assert code in {0, SIGKILLED} or self._failpoints, f"the daemon ended with {code}:\n{daemon.child.tail()}"
        self.deaths += code != 0
        assert daemon.journal().faults() == []
        self._launch("")

    def _launch(self, failpoints: str) -> None:
        self._failpoints = failpoints
        self._life += 1
        self._daemon.launch(failpoints=failpoints)

    async def kill_daemon(self, dice: random.Random) -> None:
        self._daemon.kill9()
        await asyncio.sleep(dice.uniform(0.0, 4.0))
        await self._revive()

    async def end_daemon(self, dice: random.Random) -> None:
        await self._revive()
        # One that is still starting has no handler of the signal yet.
        while self._daemon.child.alive and (await self._daemon.get("/livez"))[0] == 0:
            await asyncio.sleep(0.05)
        code = await self._daemon.term()
        assert code in {0, SIGKILLED} or self._failpoints, f"SIGTERM ended it with {code}"
        await asyncio.sleep(dice.uniform(0.0, 2.0))
        await self._revive()

    async def _relaunch(self, failpoints: str, seconds: float) -> None:
        """Live so long with failpoints set, or until one kills."""
        self._daemon.kill9()
        self.deaths += 1
        assert self._daemon.journal().faults() == []
        self._launch(failpoints)
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end and self._daemon.child.alive:
            await asyncio.sleep(0.1)
        await self._revive()

    async def break_disk(self, dice: random.Random) -> None:
        """Commits are refused for a while, and some reads."""
        start = dice.randrange(8, 80)
        points = [f"journal.commit={dice.choice(DISK)}@{start}-{start + dice.randrange(1, 15)}"]
        if dice.random() < 0.5:
            start = dice.randrange(8, 60)
            points.append(f"journal.read=error@{start}-{start + dice.randrange(1, 6)}")
        await self._relaunch(";".join(points), dice.uniform(8.0, 20.0))

    async def slow_disk(self, dice: random.Random) -> None:
        start = dice.randrange(8, 80)
        await self._relaunch(f"journal.commit=sleep:0.5@{start}-{start + 10}", dice.uniform(6.0, 12.0))

    async def kill_at_a_failpoint(self, dice: random.Random) -> None:
        await self._relaunch(f"{dice.choice(DEADLY)}=kill@{dice.randrange(1, 60)}", 15.0)

    # -- sinks -----------------------------------------------------------------------------------

    async def refuse(self, dice: random.Random) -> None:
        self._hook.status = dice.choice((503, 500, 429, 401))
        await asyncio.sleep(dice.uniform(1.0, 6.0))
        self._hook.status = 200

    async def hang(self, dice: random.Random) -> None:
        self._hook.answering.clear()
        await asyncio.sleep(dice.uniform(1.0, 6.0))
        self._hook.answering.set()

    async def lose_answers(self, dice: random.Random) -> None:
        before = self._far.dropped
        self._far.mode = Mode.DROP_ANSWER
        await asyncio.sleep(dice.uniform(0.5, 3.0))
        self._far.mode = Mode.PASS
        self.unknown += self._far.dropped - before

    async def cut_far(self, dice: random.Random) -> None:
        self.unknown += 1
        self._far.cut()

    async def go_for_long(self, dice: random.Random) -> None:
        """The other sink is down for up to a minute and a half."""
        self._late.status = 503
        await asyncio.sleep(dice.uniform(10.0, 90.0))
        self._late.status = 200

    # -- measuring -------------------------------------------------------------------------------

    async def _measure(self) -> None:
        while True:
            await asyncio.sleep(SAMPLE_EVERY)
            life = self._life
            try:
                process = Path(f"/proc/{self._daemon.child.pid}")
                sample = Sample(
                    at=time.monotonic(),
                    life=life,
                    rss=self._daemon.rss(),
                    descriptors=self._daemon.descriptors(),
                    threads=len(list((process / "task").iterdir())),
                    state=sum(file.stat().st_size for file in self._daemon.state.iterdir()),
                )
            except (OSError, AssertionError):  # dead just now
                continue
            self.figures.samples.append(sample)
            for name, counter in (
                ("eventer_audit_missed_total", self.figures.missed),
                ("eventer_journal_quarantines_total", self.figures.quarantines),
                ("eventer_watch_relists_total", self.figures.relists),
                ("eventer_journal_commit_failures_total", self.figures.refusals),
            ):
                value = int(await self._daemon.metric(name))
                if life == self._life:
                    counter[life] = max(counter[life], value)
