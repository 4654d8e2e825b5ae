"""What every performance of the demo has: the daemon's process, a picture of the moment, waiting, and an end.

`Recorded` (in `incident`) plays a recording on the fake API server and can prove what it says, because it knows
everything that was written. `Real` watches a real cluster, read only, and shows the books and the audit.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from eventer.demo.books import balanced
from eventer.demo.picture import Picture, Screen
from eventer.demo.problems import Problems
from eventer.demo.process import DaemonProcess
from eventer.demo.tail import Line, Tail
from eventer.text import escape, redact

__all__ = ["Real", "Show", "Story"]

TICK: Final = 0.05
"""Seconds between two looks at a condition."""
LOOK: Final = 0.15
"""Seconds between two pictures."""
FINISH: Final = 8.0
"""Seconds for what is still on its way when the demo ends."""


class Show(NamedTuple):
    """What every story plays with."""

    screen: Screen
    picture: Picture
    """The first one."""
    daemon: DaemonProcess
    """Not started yet."""
    events: Path
    """What the file sink writes."""


class Story(ABC):
    """What all stories share.

    Args:
        show: what it plays with.
    """

    def __init__(self, show: Show) -> None:
        self.stop = asyncio.Event()
        """Set it to end the story."""
        self.well = True
        """Whether everything that was claimed was true."""
        self.picture = show.picture
        self.problems = Problems(lambda: datetime.now(UTC))
        self.screen = show.screen
        self.daemon = show.daemon
        self.expected = False
        """Whether the daemon is meant to run; it has ended by itself if it does not."""
        self.edges: list[Line] = []
        """What was told of nodes."""
        self._tail = Tail(show.events)
        self._began = asyncio.get_running_loop().time()

    @abstractmethod
    async def run(self) -> None:
        """Start the daemon, and tell the story until it is over or `stop` is set."""

    @abstractmethod
    def verdict(self) -> list[str]:
        """Say how it ended, after the daemon has stopped. What is claimed here is computed here."""

    async def watch(self) -> None:
        """Keep the picture up to date and show it, until cancelled.

        Raises:
            EventerError: the daemon has ended by itself; the message holds what it said.
        """
        while True:
            await self.look()
            if self.expected and not self.daemon.alive:
                raise self.daemon.failure()
            await asyncio.sleep(LOOK)

    async def look(self) -> None:
        """Look at everything once, and show it."""
        picture = self.picture
        picture.seconds = asyncio.get_running_loop().time() - self._began
        status = await self.daemon.status()
        if status is not None:
            picture.status = status
            if picture.daemon == "starting" and status.streams:
                picture.daemon = "running"
        lines = self._tail.read()
        events = [line for line in lines if line.origin != "eventer"]
        self.edges += [line for line in lines if line.origin == "node"]
        picture.events.extend(events)
        picture.arrived += len(events)
        self.problems.hear(lines)
        picture.problems = self.problems.worst()
        self.screen.draw(picture)

    async def start(self) -> None:
        """Start the daemon."""
        self.picture.daemon = "starting"
        await self.daemon.start()
        self.expected = True

    async def finish(self) -> None:
        """Stop the daemon."""
        self.expected = False
        self.picture.daemon = "stopping"
        await self.daemon.stop()

    def close(self) -> None:
        """Close what is open."""
        self._tail.close()

    def hear(self, level: str, line: Mapping[str, Any]) -> None:
        """Take one line of the daemon's log; what a person should know is shown.

        Args:
            level: `info`, `warning`...
            line: the line's fields; `event` is what happened.
        """
        event = str(line.get("event"))
        if level in {"warning", "error", "critical"} and not self.expects(event):
            fields = ", ".join(f"{name}: {value}" for name, value in line.items() if name != "event")
            self.tell("Eventer says", escape(redact(f"{event} ({fields})" if fields else event)), mood="trouble")

    def expects(self, event: str) -> bool:
        """Whether this line of the log is part of the story, and shown in another way."""
        return event in {"stream is down", "sink does not take events", "sink takes events"}

    def tell(self, headline: str, *words: str, mood: str = "calm") -> None:
        """Begin a new step."""
        picture = self.picture
        picture.headline, picture.words = headline, list(words)
        picture.mood = "trouble" if mood == "trouble" else "good" if mood == "good" else "calm"
        picture.seconds = asyncio.get_running_loop().time() - self._began
        self.screen.tell(picture)

    def add(self, words: str) -> None:
        """Add a sentence to the step."""
        self.tell(self.picture.headline, *self.picture.words, words, mood=self.picture.mood)

    async def until(self, condition: Callable[[], bool], within: float, *, stoppable: bool = True) -> bool:
        """Wait for a condition; return whether it came true before the time was over or the end was asked for."""
        loop = asyncio.get_running_loop()
        end = loop.time() + within
        while not condition():
            if loop.time() >= end or (stoppable and self.stop.is_set()):
                return False
            await asyncio.sleep(min(TICK, max(0.0, end - loop.time())))
        return True

    async def pause(self, seconds: float) -> None:
        """Wait, unless the end is asked for."""
        await asyncio.sleep(0)  # also where there is nothing to wait for, others get their turn
        await self.until(lambda: False, seconds)

    def waiting(self, *names: str) -> int:
        """How many events wait for these sinks, or for all."""
        status = self.picture.status
        sinks = status.sinks if status else []
        return sum(sink.pending for sink in sinks if not names or sink.name in names)


class Real(Story):
    """A real cluster, read only. What it holds is not known, so the daemon's own audit stands for the proof."""

    def hear(self, level: str, line: Mapping[str, Any]) -> None:
        """Say also what the first list brought, and take an audit that missed something as what it is."""
        if line.get("event") == "listed":
            none = "The cluster holds no events. Make some: kubectl create deployment hello --image=nginx"
            self.add(f"✓ The {line['items']} events that the cluster holds are read." if line["items"] else none)
        if str(line.get("event")).startswith("audit: objects exist"):
            self.well = False
        super().hear(level, line)

    async def run(self) -> None:
        """Show it until `stop` is set."""
        self.tell(
            "Your cluster, read only",
            "Eventer lists what the cluster holds and watches for more, and never writes to it.",
            "Each change is on disk, with its place, before it goes to the file.",
        )
        await self.start()
        await self.stop.wait()
        await self.until(lambda: not self.waiting(), FINISH, stoppable=False)

    def verdict(self) -> list[str]:
        """Say whether the books balance."""
        status = self.picture.status
        good = status is not None and balanced(status)
        self.well = self.well and good
        read = sum(stream.received for stream in status.streams) if status else 0
        return [f"{'✓' if good else '✗'} {read} changes read, and the books {'balance' if good else 'DO NOT BALANCE'}."]

    def expects(self, event: str) -> bool:
        """Only what the picture shows anyway."""
        return event in {"stream is down", "sink takes events"}
