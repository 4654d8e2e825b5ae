"""One seed: a cluster, a daemon that dies and lives again, far sides, a disk, and what breaks them when."""

from __future__ import annotations

import asyncio
import errno
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from tests.helpers.virtual import LoopClock
from tests.simulation.api import Api
from tests.simulation.far import FarSide
from tests.simulation.journal import left_behind
from tests.simulation.life import CLUSTER, GRACE, Life, Site
from tests.simulation.loop import BEGIN, SimLoop
from tests.simulation.nodes import NodeWork
from tests.simulation.verdict import Verdict
from tests.simulation.workload import Workload

__all__ = ["World"]

POINTS = (
    "journal.commit",
    "journal.committed",
    "delivery.send",
    "delivery.sent",
    "delivery.settle",
    "delivery.settled",
)
ERRNOS = (errno.ENOSPC, errno.EIO, errno.EROFS)
REST_WITHIN = 900.0
"""Seconds (virtual) within which everything must have come to rest after all is healed."""
DIES_WITHIN = 60.0
"""Seconds (virtual) within which all tasks of a life must have ended when they are cancelled."""


class World:
    """Everything that happens under one seed. `faults` is what was found; `story` is what happened."""

    def __init__(self, directory: Path, loop: SimLoop, dice: random.Random) -> None:
        self.story: list[str] = []
        self.hits: Counter[str] = Counter()
        self._loop = loop
        self._dice = dice
        self._directory = directory
        self.clock = LoopClock()
        self.api = Api(loop, dice)
        kinds = dice.sample(("hook", "items", "store", "file", "parts"), dice.choice((1, 2, 2, 3)))
        self.fars = [FarSide(kind, kind, loop, dice) for kind in kinds]
        self.site = Site(self.api, self.fars, self.clock, dice)
        self.work = Workload(self.api, self.clock, dice)
        self.nodes = NodeWork(self.api, self.clock, dice, CLUSTER)
        self.site.nodes = dice.random() < 0.5
        self.verdict = Verdict(self.site, self.work, self.nodes)
        self._life: Life | None = None
        self._lives = 0
        self._disk = 0
        """Error number of every commit; 0 while the disk works."""
        self._disk_trouble = 0.0
        self._kill_at: tuple[str, int] = ("", 0)
        self._task: asyncio.Task[None] | None = None

    def say(self, what: str) -> None:
        self.story.append(f"{self._loop.now - BEGIN:9.3f} {what}")

    # -- failpoints ------------------------------------------------------------------------------

    def hit(self, name: str) -> None:
        """Stand where `eventer.failpoint.hit` does."""
        self.hits[name] += 1
        life = self._life
        if life is None or life.dead:
            return
        point, left = self._kill_at
        if name == point:
            self._kill_at = (point, left - 1)
            if left == 1:
                self._kill(f"at {name}")
                return
        if name in {"journal.commit", "journal.read"}:
            number = self._disk if name == "journal.commit" else 0
            if not number and self._dice.random() < self._disk_trouble:
                number = self._dice.choice(ERRNOS)
            if number:
                raise OSError(number, "the disk refuses")

    def _kill(self, how: str) -> None:
        life = self._life
        if life is None or life.dead or self._task is None:
            return
        self.say(f"killed {how}")
        life.dead = True
        left_behind(life.directory, self._place(self._lives + 1))
        self._loop.call_soon(self._task.cancel)

    def _place(self, number: int) -> Path:
        return self._directory / f"life{number}"

    # -- the story -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Play the whole story and judge its end."""
        dice = self._dice
        events = dice.choice((40, 80, 80, 140))
        troubles = [self.work.run(events)]
        if self.site.nodes:
            troubles.append(self.nodes.run(events))
        for play, likely in (
            (self._server_trouble, 0.8),
            (self._sink_trouble, 0.8),
            (self._disk_trouble_play, 0.3),
            (self._clock_jumps, 0.15),
            (self._backup, 0.12),
            (self._short_patience, 0.1),
        ):
            if dice.random() < likely:
                troubles.append(play())
        playing = [asyncio.ensure_future(play) for play in troubles]
        for _ in range(dice.choice((0, 1, 1, 2, 3, 5))):
            await self._live(self._end_somehow)
            await asyncio.sleep(dice.choice((0.5, 2.0, 10.0 * dice.random())))
        await self._live(lambda: self._to_rest(playing))
        while self._life is not None and self._life.refused:  # the disk, before it was healed
            await self._live(lambda: self._to_rest(playing))
        self.verdict.at_end(self._place(self._lives))

    async def _live(self, until: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """One life: begin it, let it end, and see that nothing is left of it."""
        self._lives += 1
        place = self._place(self._lives)
        others = asyncio.all_tasks()
        life = self._life = Life(self.site, place, self.verdict.at_start)
        self.say(f"life {self._lives} begins")
        task = self._task = asyncio.create_task(life.run())
        ending = asyncio.create_task(until())
        await asyncio.wait({task, ending}, return_when=asyncio.FIRST_COMPLETED)
        self._loop.alarm, self._kill_at = 0, ("", 0)
        if not task.done() and not life.dead:
            await asyncio.wait({task}, timeout=GRACE + DIES_WITHIN)
        elif not task.done():
            await asyncio.wait({task}, timeout=DIES_WITHIN)
        ending.cancel()
        await asyncio.gather(ending, return_exceptions=True)
        if not ending.cancelled() and ending.exception() is not None:
            raise ending.exception()  # type: ignore[misc]
        if not task.done():
            self.verdict.fault("a life does not end")
        elif not task.cancelled() and task.exception() is not None:
            self.verdict.fault(f"a life ended by {task.exception()!r}")
        elif not task.cancelled() and not life.dead and not life.refused and not ending.done():
            self.verdict.fault("a life ended by itself")
        await asyncio.sleep(0)
        leaked = [each for each in asyncio.all_tasks() - others if not each.done() and each is not ending]
        if leaked:
            self.verdict.fault(f"tasks are left over: {leaked}")
        if self.api.watching:
            self.verdict.fault("a watch is left open")
        self.say(f"life {self._lives} is over" + (", the disk refused" if life.refused else ""))
        if not life.dead:
            left_behind(place, self._place(self._lives + 1))
        self.verdict.after_life(life, clean=not life.dead and not life.cut_off and not life.refused)

    async def _end_somehow(self) -> None:
        """Choose how this life ends, and let it."""
        dice = self._dice
        assert self._life is not None
        self._loop.on_alarm = lambda: self._kill(f"after {self._loop.steps} steps")
        how = dice.choice(("time", "steps", "steps", "point", "point", "stop"))
        await asyncio.sleep(dice.choice((0.0, 1.0, 15.0 * dice.random())))
        if how == "steps":
            self._loop.alarm = self._loop.steps + dice.randrange(1, 600)
        elif how == "point":
            self._kill_at = (dice.choice(POINTS), dice.randrange(1, 12))
        await asyncio.sleep(0.0 if how in {"time", "stop"} else 8.0)
        if how == "stop":
            self.say("asked to stop")
            self._life.stop()
            return
        self._kill("at a moment of rest")

    async def _to_rest(self, playing: list[asyncio.Future[None]]) -> None:
        """Wait until the story is over, heal everything, and wait until nothing is left to be done."""
        await asyncio.wait(playing)  # not gather, which would end them with a life that was refused
        self._heal()
        life = self._life
        assert life is not None
        end = self._loop.now + REST_WITHIN
        while not self.verdict.at_rest(life):
            await asyncio.sleep(1.0)
            if self._loop.now > end:
                self.verdict.fault(f"no rest: {self.verdict.why_no_rest(life)}")
                break
        life.stop()

    def _heal(self) -> None:
        self.say("all is healed")
        self.api.trouble = self._disk_trouble = 0.0
        self._disk = 0
        self.api.set_state("up")
        for far in self.fars:
            far.trouble, far.state = 0.0, "up"

    # -- what breaks -----------------------------------------------------------------------------

    async def _pauses(self, rounds: int, longest: float) -> Any:
        for _ in range(rounds):
            await asyncio.sleep(self._dice.random() * longest)
            yield

    async def _server_trouble(self) -> None:
        self.api.trouble = self._dice.choice((0.0, 0.1, 0.4))
        async for _ in self._pauses(self._dice.randrange(1, 8), 6.0):
            what = self._dice.choice(("compact", "compact", "cut", "down", "frozen"))
            self.say(f"server: {what}")
            if what == "compact":
                self.api.compact()
            elif what == "cut":
                self.api.cut()
            else:
                self.api.set_state(what)
                await asyncio.sleep(self._dice.choice((0.2, 2.0, 15.0)))
                self.api.set_state("up")

    async def _sink_trouble(self) -> None:
        for far in self.fars:
            far.trouble = self._dice.choice((0.0, 0.1, 0.5))
        async for _ in self._pauses(self._dice.randrange(1, 6), 6.0):
            far = self._dice.choice(self.fars)
            far.state = self._dice.choice(("down", "blocked", "hanging"))
            self.say(f"{far.name}: {far.state}")
            await asyncio.sleep(self._dice.choice((0.5, 4.0, 12.0)))
            far.state = "up"

    async def _disk_trouble_play(self) -> None:
        self._disk_trouble = self._dice.choice((0.0, 0.02, 0.1))
        async for _ in self._pauses(self._dice.randrange(1, 4), 8.0):
            self._disk = self._dice.choice(ERRNOS)
            self.say(f"disk: {errno.errorcode[self._disk]}")
            await asyncio.sleep(self._dice.choice((0.1, 1.0, 6.0)))
            self._disk = 0

    async def _clock_jumps(self) -> None:
        async for _ in self._pauses(2, 12.0):
            self.clock.skew += self._dice.choice((-7200.0, 7200.0, 1800.0))
            self.say("the clock jumps")

    async def _backup(self) -> None:
        """Save the cluster, and set it back a while later.

        Nothing is written until it was noticed. A history that has overtaken our position by then cannot be
        told from the old one where an object has the same version in both.
        """
        await asyncio.sleep(self._dice.random() * 8.0)
        backup = self.work.backup()
        await asyncio.sleep(1.0 + self._dice.random() * 8.0)
        self.say("the cluster is set back")
        self.work.restore(backup)
        self.work.quiet.clear()
        for _ in range(90):
            await asyncio.sleep(1.0)
            journal = self._life.journal if self._life is not None and not self._life.dead else None
            cluster = journal.cluster(CLUSTER) if journal is not None else None
            if cluster is not None and cluster.epoch:
                break
        self.work.quiet.set()

    async def _short_patience(self) -> None:
        """Let events expire, or the journal be small."""
        if self._dice.random() < 0.5:
            self.site.max_age = 8.0
        else:
            self.site.max_size = 4000
        await asyncio.sleep(0)
