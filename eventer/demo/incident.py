"""The story of the recording, told in under a minute: what Eventer does, and what it does when things break.

Each step claims something, and each claim is computed from what was written into the server and what has arrived at
the far sides. A claim that is wrong is shown as such, and the demo fails.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from eventer.demo.apiserver import ApiServer
from eventer.demo.books import balanced
from eventer.demo.receiver import Receiver
from eventer.demo.recording import Replay
from eventer.demo.story import FINISH, Show, Story
from eventer.demo.tally import Tally

__all__ = ["DROPPED", "Pace", "Recorded", "World"]

DROPPED: Final = ("Pulling", "Pulled", "Created", "Started", "Scheduled")
"""Reasons of Normal events that the demo's filter drops: the noise of every pod that starts."""
ROLLOUT: Final = "shop/checkout"
"""The deployment whose new release goes wrong in the recording."""
CATCH_UP: Final = 30.0
"""Seconds for reading what was missed; the back-off after some failures waits 6 s at most."""
NODES: Final = ("worker-1", "worker-2", "worker-3")
STEPS: Final = 6


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How fast the demo goes. Changes are counted from the recording's beginning, times are in seconds."""

    between: float = 0.055
    """Between two changes: what can be followed, and looks alive. Those that the filter drops take a fifth of it,
    so that the screen does not stand still."""
    before: int = 12
    """Changes made before Eventer starts."""
    sink_dies: int = 180
    daemon_dies: int = 285
    daemon_back: int = 335
    sink_back: int = 370
    rollout: int = 471
    """Where in the recording the release is rolled out."""
    end: int = 606
    """The recording's end."""
    reading: float = 4.0
    """Time to read a sentence that events do not explain by themselves."""
    quiet: float = 0.25
    """Between two changes after the story."""
    prove_every: int = 400
    """Changes between two proofs after the story."""


class World(NamedTuple):
    """What surrounds the daemon in the recorded story."""

    server: ApiServer
    """Started."""
    receiver: Receiver
    """Started; the far side of the webhook."""
    tally: Tally
    """Fresh, for the cluster's name, the file and the receiver."""


class Recorded(Story):
    """A recording, played on the fake API server.

    Args:
        show: what it plays with.
        world: what it breaks.
        pace: how fast.
        goes_on: whether events go on after the story, until `stop` is set.
    """

    def __init__(self, show: Show, world: World, pace: Pace, *, goes_on: bool) -> None:
        super().__init__(show)
        self._server, self._receiver, self._tally = world
        self._pace = pace
        self._goes_on = goes_on
        self._replay = Replay(self._server)
        self._told = False
        for name in NODES:
            self._server.nodes.add(name)
        for _ in range(pace.before):
            self._write()

    async def run(self) -> None:
        """Tell it, and let events go on after it if that is wanted."""
        try:
            await self._tell()
        finally:
            await self._mend()
        await self.until(self._level, FINISH, stoppable=False)

    async def _tell(self) -> None:
        await self._stream()
        await self._sink_dies()
        await self._daemon_dies()
        await self._sink_comes_back()
        await self._node_dies()
        await self._rollout()
        if self.stop.is_set():
            return
        self._told = True
        await self._prove("And nothing was lost")
        if not self._goes_on:
            return
        self.picture.after = "the story is over, Ctrl-C ends"
        while not self.stop.is_set():
            await self._feed(self._tally.changes + self._pace.prove_every, self._pace.quiet)
            await self._prove("Still nothing lost")

    # -- the steps -------------------------------------------------------------------------------

    async def _stream(self) -> None:
        self._step(
            1,
            "events stream in",
            "A recording of a real cluster plays; Kubernetes forgets it in an hour.",
            "Eventer puts each event on disk first, then sends it on: a file, a webhook.",
            "The filter leaves out the noise of starting pods, and counts it.",
        )
        await self.start()
        await self.until(lambda: self.picture.daemon == "running" and self._level(), CATCH_UP)
        await self._feed(self._pace.sink_dies)

    async def _sink_dies(self) -> None:
        if self.stop.is_set():
            return
        await self._receiver.stop()
        self._step(
            2,
            "a sink dies",
            "The webhook refuses connections. Its events wait on disk, counted below;",
            "the file gets all of them, as before.",
            mood="trouble",
        )
        await self._feed(self._pace.daemon_dies)

    async def _daemon_dies(self) -> None:
        if self.stop.is_set():
            return
        await self.until(lambda: self.picture.status is not None and self._read_all(), FINISH)
        waiting = self.waiting("webhook")
        lists = self._lists()
        self.expected = False
        pid = self.daemon.pid
        await self.daemon.kill()
        self.picture.daemon = "killed"
        self._step(
            3,
            "now Eventer itself is killed",
            f"kill -9 {pid}, while {waiting} events wait for the webhook. The cluster goes on.",
            mood="trouble",
        )
        first = self._tally.changes
        await self._feed(self._pace.daemon_back)
        await self.pause(self._pace.reading / 2)
        missed = self._tally.changes - first
        await self.start()
        self.add(f"{missed} changes later it is started again, and reads on where it stopped.")
        back = await self.until(lambda: self.picture.daemon == "running" and self._read_all(), CATCH_UP)
        if self.stop.is_set():
            return
        self._tally.look_anew()
        kept = self.waiting("webhook") >= waiting and not self._tally.file.missing and not self._tally.file.twice
        listed = self._lists() - lists
        again = "nothing was listed again" if not listed else f"{listed} lists were read again"
        if self._claim(back and kept and not listed):
            self.add(f"✓ All {missed} were read, {again}; the file has each event once.")
        else:
            self.add(f"✗ {self._tally.file.missing} are missing, {self._tally.file.twice} are twice; {again}.")
        await self.pause(self._pace.reading)

    async def _sink_comes_back(self) -> None:
        await self._feed(self._pace.sink_back)
        if self.stop.is_set():
            return
        await self.until(self._read_all, FINISH)
        waiting = self.waiting("webhook")
        await self._receiver.start()
        self._step(
            4,
            "the sink comes back",
            f"{waiting} events waited on disk for the webhook, also while Eventer was dead.",
            "One small request tries it; as that goes through, the others follow.",
        )
        fed = self._pace.rollout
        while not self.stop.is_set() and self.waiting("webhook") and self._tally.changes < fed:
            await self._feed(self._tally.changes + 1)
        drained = await self.until(lambda: not self.waiting("webhook"), CATCH_UP)
        if self.stop.is_set():
            return
        there = self._tally.webhook
        if self._claim(drained and not there.strange):
            repeats = f"{there.twice} came twice" if there.twice else "none twice"
            self.add(f"✓ The webhook has them all: {there.found} events, {repeats}.")
        else:
            self.add(f"✗ {self.waiting('webhook')} events still wait for the webhook.")
        self.picture.mood = "good"
        await self.pause(self._pace.reading)

    async def _node_dies(self) -> None:
        if self.stop.is_set():
            return
        name, nodes = NODES[1], self._server.nodes
        self._step(
            5,
            "a node goes down",
            f"The control plane hears nothing of {name} any more, and keeps no history.",
            "Eventer makes an event of each change, and none of thousands of heartbeats.",
            mood="trouble",
        )
        wanted = [("True", "Unknown", "firing"), ("Unknown", "True", "resolved")]
        nodes.condition(name, "Ready", "Unknown", "NodeStatusUnknown", writer="kube-controller-manager")
        fell = await self.until(lambda: self._changes_of(name) == wanted[:1], FINISH)
        if self.stop.is_set():
            return
        if fell:
            self.add(f"▲ {name} is not Ready: NodeStatusUnknown, firing")
        await self.pause(self._pace.reading)
        nodes.condition(name, "Ready", "True", "KubeletReady", writer="kubelet")
        for _ in range(10):
            for each in NODES:
                nodes.heartbeat(each)
        rose = await self.until(lambda: self._changes_of(name) == wanted, FINISH)
        if self.stop.is_set():
            return
        if self._claim(fell and rose):
            self.add("✓ It is back, resolved. Each change was told once, and 30 heartbeats were not.")
        else:
            self.add(f"✗ {len(self._changes_of(name))} changes were told, in place of 2.")
        await self.pause(self._pace.reading)

    def _changes_of(self, node: str) -> list[tuple[str, str, str]]:
        """What was told of the node's readiness: before, now, whether that is trouble."""
        told = [line for line in self.edges if line.name == node and line.condition == "Ready"]
        return [(line.previous, line.status, line.state) for line in told]

    async def _rollout(self) -> None:
        await self._feed(self._pace.rollout, self._pace.between / 3)
        if self.stop.is_set():
            return
        self._step(
            6,
            "a rollout goes wrong",
            f"A new release of {ROLLOUT} is rolled out. Who would see it in the stream?",
        )
        await self._feed(self._pace.end, self._pace.between * 1.5)
        await self.until(self._level, CATCH_UP)
        if self.stop.is_set():
            return
        await self.look()
        named = [problem.text for problem in self.problems.of(ROLLOUT) if "image" in problem.text]
        if self._claim(bool(named)):
            self.tell(self.picture.headline, *self.picture.words, f"▲ {named[0]}", mood="trouble")
        else:
            self.add("✗ Eventer has not noticed.")
        await self.pause(self._pace.reading)

    # -- what the steps are made of --------------------------------------------------------------

    def _step(self, number: int, headline: str, *words: str, mood: str = "calm") -> None:
        self.tell(f"{number}/{STEPS}  {headline}", *words, mood=mood)

    def _write(self) -> None:
        self._tally.wrote(self._replay.write())
        self.picture.changes = self._tally.changes

    async def _feed(self, upto: int, between: float | None = None) -> None:
        """Make changes until there are so many."""
        between = self._pace.between if between is None else between
        while self._tally.changes < upto and not self.stop.is_set():
            left_out = self._tally.left_out
            self._write()
            await self.pause(between / (5 if self._tally.left_out > left_out else 1))

    async def _prove(self, headline: str) -> None:
        """Wait until everything has arrived, say what was found, and let the server forget its history."""
        await self.until(self._level, CATCH_UP)
        if self.stop.is_set():
            return  # the end tells it
        await self.look()
        self._tally.look()
        well = self._claim(self._tally.well)
        self.tell(headline if well else "This is wrong", *self._found(), mood="good" if well else "trouble")
        if self._level():  # the watch has everything, so this is no 410; without it memory would grow for ever
            self._server.compact()
        await self.pause(self._pace.reading)

    def _found(self) -> list[str]:
        """Compare what was written with what is at the far sides."""
        tally = self._tally
        mark = "✓" if tally.well else "✗"
        file, webhook = tally.file, tally.webhook
        there = f"{tally.left_out} filtered + {file.found} in the file ({file.twice} twice) + {file.missing} missing"
        again = f"came twice, as may be after a crash: {webhook.twice}"
        rows = [
            f"{mark} {tally.changes} changes = {there}",
            f"{mark} the webhook has {webhook.found}, {webhook.missing} missing; {again}",
        ]
        strange = file.strange + webhook.strange
        return [*rows, f"✗ {strange} arrived that nobody expected"] if strange else rows

    def verdict(self) -> list[str]:
        """Compare once more, with the whole file, and say what to do next."""
        tally = self._tally
        tally.look_anew()
        tally.close()
        status = self.picture.status
        books = status is not None and balanced(status)
        self._claim(tally.well)
        self._claim(books)
        over = "over a dead sink and a kill -9" if self._told else "up to where you stopped it"
        return [
            *self._found(),
            f"{'✓' if books else '✗'} the books {'balance' if books else 'DO NOT BALANCE'}, {over}",
            "" if self.well else "✗ NOT ALL THAT WAS SHOWN WAS AS IT SHOULD BE",
        ]

    def _claim(self, holds: bool) -> bool:  # noqa: FBT001 - it says what it is
        self.well = self.well and holds
        return holds

    async def _mend(self) -> None:
        """Bring back what the story has broken, so that the end can be told wherever it was stopped."""
        self._server.faults.clear()
        if not self._receiver.up:
            await self._receiver.start()
        if not self.daemon.alive and not self.expected:
            await self.start()

    def _lists(self) -> int:
        """How many lists the server has answered."""
        return sum(request.kind == "list" for request in self._server.requests)

    def _read_all(self) -> bool:
        """Whether the journal holds everything that was written, and the file as well."""
        self._tally.look()
        status = self.picture.status
        if status is None or not status.streams:
            return False
        position = max((stream.position or 0 for stream in status.streams if stream.scope == "events"), default=0)
        return position == self._server.store.version and not self.waiting("file") and not self._tally.file.missing

    def _level(self) -> bool:
        """Whether everything that was written has arrived everywhere."""
        return self._read_all() and not self.waiting() and not self._tally.webhook.missing
