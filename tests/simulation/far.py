"""The far side of a sink, which outlives the daemon, and the sink, which does not.

The far side notes what it got and whether it said so: an event may come twice only if the answer to the
first time was no clear yes, or was on its way to the disk when the daemon died.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.event import Event
from eventer.match import Rule
from eventer.sink import Batch, BatchConfig, ConcurrentSinkConfig, Sent, SinkConfig
from eventer.values import Duration, Repeats
from tests.simulation.loop import SimLoop

__all__ = ["BAD", "FarSide", "SimSink"]

BAD = "no destination takes this"
"""Message of an event that every far side rejects."""


class FarSide:
    """One destination, with the configuration of the sink that sends to it.

    Its `kind` is `hook` (a batch is one answer), `items` (each item has one), `store` (knows ids and says
    which it had), `file` (goes back to what was settled when it is opened, so nothing is there twice), or
    `parts` (several destinations in one, each of which can fail alone).
    """

    def __init__(self, name: str, kind: str, loop: SimLoop, dice: random.Random) -> None:
        self.name = name
        self.kind = kind
        self.trouble = 0.0
        self.state = "up"
        """Or `down`, `blocked`, `hanging`; of `parts`, only the destination `a` is."""
        self.arrived: list[Event] = []
        self.faults: list[str] = []
        self.unsure: set[str] = set()
        """Ids that may come again."""
        self.sends = 0
        self.failed_at = 0
        """Number of the last send that did not go through as a whole."""
        self._seen: Counter[str] = Counter()
        self._newest: dict[str, int] = {}
        self._loop = loop
        self._dice = dice
        self.config = self._configure()

    def _configure(self) -> SinkConfig:
        dice = self._dice
        options: dict[str, Any] = {
            "kind": self.kind,
            "batch": BatchConfig(count=dice.choice((1, 5, 50)), age=Duration(dice.choice((0, 0, 2)))),
            "timeout": Duration(3),
        }
        if dice.random() < 0.3:
            options["match"] = [Rule.parse({"type": "Warning"})]
        if dice.random() < 0.2:
            options["repeats"] = Repeats.parse(dice.choice(("changes", "4s")))
        if self.kind in {"hook", "items", "store"} and dice.random() < 0.4:
            return ConcurrentSinkConfig(in_flight=dice.choice((2, 4)), **options)
        return SinkConfig(**options)

    @property
    def in_flight(self) -> int:
        return getattr(self.config, "in_flight", 1)

    @property
    def even(self) -> bool:
        """Whether the sends that went together last all went through."""
        return self.sends - self.failed_at >= self.in_flight

    @property
    def held(self) -> set[str]:
        """Ids that it holds."""
        return {id_ for id_, times in self._seen.items() if times}

    def newest(self, entity: str) -> int:
        """Version of the newest state of an entity that came."""
        return self._newest.get(entity, -1)

    def wants(self, type_: str) -> bool:
        return not self.config.match or type_ == "Warning"

    def accept(self, events: list[Event], *, sure: bool) -> int:
        """Take events in; return how many of them it had."""
        known = 0
        for event in events:
            times = self._seen[event.id]
            if times:
                known += 1
                if event.id not in self.unsure:
                    self.faults.append(f"{event.id} came again without a reason")
            elif self._newest.get(event.entity, -1) > event.version:
                self.faults.append(f"{event.id} came after a newer state")
            self._newest[event.entity] = max(event.version, self._newest.get(event.entity, -1))
            if times and self.kind == "store":
                continue
            self._seen[event.id] = times + 1
            self.arrived.append(event)
        ids = [event.id for event in events]
        if sure:
            self.unsure.difference_update(ids)
        else:
            self.unsure.update(ids)
        return known

    def cut_to(self, length: int) -> None:
        """Forget everything from there on, as a file that is cut off."""
        del self.arrived[length:]
        self._seen, self._newest = Counter(event.id for event in self.arrived), {}
        for event in self.arrived:
            self._newest[event.entity] = max(event.version, self._newest.get(event.entity, -1))
        self.unsure &= self._seen.keys()

    def sink(self, dead: Callable[[], bool]) -> SimSink:
        """Make the sink for one life of the daemon; `dead` says when that is over."""
        return (PartsSink if self.kind == "parts" else SimSink)(self, self._loop, self._dice, dead)


class SimSink:
    """A sink in one life of the daemon; does nothing any more when that is over."""

    def __init__(self, far: FarSide, loop: SimLoop, dice: random.Random, dead: Callable[[], bool]) -> None:
        self._far = far
        self._loop = loop
        self._dice = dice
        self._dead = dead
        self._inside = 0
        self._closed = False

    async def _travel(self, most: float = 0.1) -> None:
        await asyncio.sleep(self._loop.latency(most))
        if self._dead():
            await asyncio.Event().wait()

    async def open(self, state: bytes | None) -> bytes | None:
        await self._travel()
        far = self._far
        if far.state == "down" and far.kind != "parts":
            raise Retry("not now", reason="down")
        if far.kind != "file":
            return None
        far.cut_to(int(state or b"0"))
        return None if state else b"0"

    async def send(self, batch: Batch) -> Sent:
        far = self._far
        if self._closed:
            far.faults.append("a send after close")
        self._inside += 1
        if self._inside > far.in_flight:
            far.faults.append("too many sends at once")
        far.sends += 1
        well = False
        try:
            await self._travel()
            sent = await self._send(list(batch.events))
            well = isinstance(sent, Sent) and not sent.failed
            return sent
        finally:
            self._inside -= 1
            if not well:
                far.failed_at = far.sends

    async def _send(self, events: list[Event]) -> Sent:
        far, dice = self._far, self._dice
        if not events:
            far.faults.append("an empty send")
        failed: dict[int, SinkError] = {}
        if far.state != "up":
            where = "a" if far.kind == "parts" else ""
            blocked = far.state == "blocked"
            error = (Blocked if blocked else Retry)("not now", reason=far.state, destination=where)
            if not where:
                if far.state == "hanging":
                    await asyncio.sleep(1e6)
                raise error
            failed = {i: error for i, event in enumerate(events) if event.namespace == where}
        elif dice.random() < far.trouble:
            match dice.choice(("retry", "after", "hang", "lost", "late", "raise", "return", "cancel", "some")):
                case "retry":
                    raise Retry("not now", reason="busy")
                case "after":
                    raise Retry("not now", reason="busy", after=dice.choice((0.0, 3.0, -1.0)))
                case "hang":
                    await asyncio.sleep(1e6)
                case "lost":
                    far.accept(self._good(events), sure=False)
                    raise Retry("the answer was lost", reason="lost")
                case "late":
                    far.accept(self._good(events), sure=False)
                    await asyncio.sleep(1e6)
                case "raise":
                    far.accept(self._good(events), sure=False)
                    raise dice.choice((KeyError("x"), ValueError("y"), RuntimeError("z"), OSError(5, "io")))
                case "return":
                    far.accept(self._good(events), sure=False)
                    return dice.choice((None, Sent(failed={len(events): Retry("no", reason="x")}), Sent(duplicates=-1)))  # type: ignore[return-value]
                case "cancel":
                    raise asyncio.CancelledError
                case "some" if far.kind in {"items", "store", "parts"}:
                    failed = self._some(events)
        bad = {i: Rejected("bad", reason="bad") for i, event in enumerate(events) if event.message == BAD}
        if bad and far.kind in {"hook", "file"}:
            raise Rejected("something in it is bad", reason="bad")
        failed = {**failed, **bad}
        taken = [event for i, event in enumerate(events) if i not in failed]
        known = far.accept(taken, sure=True)
        state = b"%d" % len(far.arrived) if far.kind == "file" else None
        await self._travel(0.02)
        return Sent(state=state, failed=failed, duplicates=known if far.kind == "store" else 0)

    def _some(self, events: list[Event]) -> dict[int, SinkError]:
        """Fail some items; of one object all after the first that fails.

        A far side that takes a later state and, in the same request, not the one before it breaks the
        order, and no sender can help it.
        """
        failing = {event.entity for event in events if self._dice.random() < 0.3}
        return {i: Retry("busy", reason="busy") for i, event in enumerate(events) if event.entity in failing}

    def _good(self, events: list[Event]) -> list[Event]:
        bad = any(event.message == BAD for event in events)
        if bad and self._far.kind in {"hook", "file"}:
            return []
        return [event for event in events if event.message != BAD]

    async def close(self) -> None:
        self._closed = True


class PartsSink(SimSink):
    """Knows the destination of each event before it sends."""

    def destinations(self, batch: Batch) -> list[str]:
        return ["a" if event.namespace == "a" else "b" for event in batch.events]
