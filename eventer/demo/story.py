"""What happens in the demo, in order: events flow, the connection is cut, nothing is lost.

There are two stories. `Recorded` plays a recording on the fake API server and can prove what it says,
because it knows everything that was written. `Real` watches a real cluster, read only, and shows the
books and the audit. The daemon under both is the one that `eventer run` runs.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final

import msgspec

from eventer.control.view import View
from eventer.demo.apiserver import ApiServer
from eventer.demo.faults import Fault
from eventer.demo.recording import Replay
from eventer.demo.screen import Screen, balanced, books
from eventer.demo.tally import Tally
from eventer.journal import Journal
from eventer.text import escape, redact

__all__ = ["DROPPED", "Pace", "Real", "Recorded", "Story"]

DROPPED: Final = ("Pulling", "Pulled", "Created", "Started", "Scheduled")
"""Reasons of Normal events that the demo's filter drops: the noise of every pod that starts."""
TICK: Final = 0.05
"""Seconds between two looks at a condition."""
CATCH_UP: Final = 30.0
"""Seconds for reading what was missed; the back-off after some failures waits 6 s at most."""
FINISH: Final = 8.0
"""Seconds for what is still on its way when the demo ends."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How fast the demo goes. Changes are counted, times are in seconds."""

    between: float = 0.04
    """Between two changes: 25 a second can be followed, and look alive. Those that the filter drops take a
    fifth of it, so that the screen does not stand still."""
    before: int = 12
    """Changes made before Eventer starts."""
    cut_after: int = 85
    """Changes until the connection is cut: two to three seconds."""
    cut_for: int = 60
    """Changes while it is cut."""
    books_every: int = 500
    """Changes between two looks at the books: every 20 seconds."""
    reading: float = 4.0
    """Time to read what was proved before events push it off the screen."""


class Story(ABC):
    """What both stories share: notices, waiting, the books.

    Args:
        screen: where notices go.
    """

    def __init__(self, screen: Screen) -> None:
        self.stop = asyncio.Event()
        """Set it to end the story."""
        self.screen = screen
        self.running: View | None = None
        """The daemon's parts, once it runs."""
        self._notes: deque[list[str]] = deque()
        self.well = True
        """Whether everything that was claimed was true."""
        self._unseen = False
        """Whether standard output is closed: nobody looks any more."""

    @abstractmethod
    async def run(self) -> None:
        """Tell it until `stop` is set."""

    @abstractmethod
    def finish(self) -> None:
        """Say how it ended; the daemon has stopped."""

    def hear(self, level: str, line: MutableMapping[str, Any]) -> None:
        """Put one line of the daemon's log into words.

        Args:
            level: `info`, `warning`...
            line: the line's fields; `event` is what happened.
        """
        if line.get("event") == "sink does not take events" and line.get("reason") == "closed":
            self._unseen = True
            self.stop.set()
            return
        words = _WORDS.get(str(line.get("event")))
        if words is not None:
            text = words(line)
        elif level == "info":
            return
        else:
            fields = ", ".join(f"{name}: {value}" for name, value in line.items() if name != "event")
            text = f"Eventer says: {line.get('event')} ({fields})."
        if text:
            self._notes.append([escape(redact(text))])

    def say(self, *lines: str) -> None:
        """Have lines shown as soon as the screen is free."""
        self._notes.append(list(lines))

    @property
    def journal(self) -> Journal:
        """The daemon's journal."""
        assert self.running is not None
        return self.running.journal

    async def show(self) -> None:
        """Show what is to be said, when no event is on its way to the screen."""
        if not self._notes:
            return
        await self.until(self.idle, 1.0, stoppable=False)
        self.flush()

    def flush(self) -> None:
        """Show it now."""
        while self._notes:
            self.screen.notice(*self._notes.popleft())

    def idle(self) -> bool:
        """Whether every sink has everything, or there is nobody to wait for."""
        if self.running is None or self._unseen:
            return True
        journal = self.running.journal
        return all(reader.cursor == journal.head for reader in journal.readers.values())

    async def until(self, condition: Callable[[], bool], within: float, *, stoppable: bool = True) -> bool:
        """Wait for a condition; return whether it came true before the time was over or the end was asked for."""
        loop = asyncio.get_running_loop()
        end = loop.time() + within
        while not condition():
            if loop.time() >= end or (stoppable and self.stop.is_set()):
                return False
            await asyncio.sleep(min(TICK, end - loop.time()))
        return True

    async def pause(self, seconds: float) -> None:
        """Wait, unless the end is asked for."""
        await self.until(lambda: False, seconds)

    def tell_books(self) -> None:
        """Say how the books stand."""
        self.say("The books:", *books(self.journal))
        self.well = self.well and balanced(self.journal)


class Recorded(Story):
    """A recording, played on the fake API server.

    Args:
        screen: where notices go.
        server: started.
        tally: fresh, for the cluster's name and the sink's file.
        pace: how fast.
    """

    def __init__(self, screen: Screen, server: ApiServer, tally: Tally, pace: Pace) -> None:
        super().__init__(screen)
        self.tally = tally
        self._server = server
        self._pace = pace
        self._replay = Replay(server)
        for _ in range(pace.before):
            self._write()

    async def run(self) -> None:
        """Tell it until `stop` is set."""
        await self.until(lambda: self.running is not None and self._level(), CATCH_UP)
        await self._feed(self._pace.cut_after)
        if not self.stop.is_set():
            await self._cut()
        while not self.stop.is_set():
            await self._feed(self._pace.books_every)
            if not self.stop.is_set():
                await self._prove("So far")
        self._server.faults.clear()
        await self.until(self._level, FINISH, stoppable=False)

    def finish(self) -> None:
        """Say how it ended; the daemon has stopped."""
        if self.running is not None:
            self._claim("At the end")
            self.tell_books()
        self.flush()
        self.tally.close()

    def _write(self) -> None:
        self.tally.wrote(self._replay.write())

    async def _feed(self, changes: int) -> None:
        for _ in range(changes):
            if self.stop.is_set():
                return
            left_out = self.tally.left_out
            self._write()
            await self.show()
            await asyncio.sleep(self._pace.between / (5 if self.tally.left_out > left_out else 1))

    async def _cut(self) -> None:
        """Cut the connection from the server's side, go on writing, let it come back, and compare."""
        listed = self._lists()
        n = self._pace.cut_for
        self.say(f"NOW THE SERVER CUTS THE CONNECTION, and the cluster goes on: {n} changes that nobody reads.")
        await self.show()
        for kind in ("watch", "list", "probe", "audit"):
            self._server.faults.add(kind, Fault(raw=b""), times=None)  # closed without an answer
        self._server.cut()
        await self._feed(n)
        self._server.faults.clear()
        self.say(f"The server answers again. {self._behind()} changes wait there for Eventer's next try.")
        await self.show()
        if await self.until(self._level, CATCH_UP) and self._lists() == listed:
            self.say("It asked only for what came after that version; nothing was listed again.")
        await self._prove("After the cut")

    async def _prove(self, when: str) -> None:
        """Wait until everything has arrived, compare, show the books, and let the server forget its history."""
        if not await self.until(self._level, CATCH_UP) and self.stop.is_set():
            return  # the end tells it
        self._claim(when)
        self.tell_books()
        await self.show()
        if self._level():  # the watch has everything, so this is no 410; without it memory would grow for ever
            self._server.compact()
        await self.pause(self._pace.reading)

    def _claim(self, when: str) -> None:
        tally = self.tally
        tally.look()
        self.well = self.well and tally.well
        verdict = "nothing is lost ✓" if tally.well else "THAT IS WRONG ✗"
        extra = f", {tally.strange} not expected" if tally.strange else ""
        self.say(
            f"{when}: {verdict}",
            f"{tally.changes} changes at the server = {tally.found} in the file + {tally.left_out} left out by the "
            f"filter + {tally.missing} missing",
            f"{tally.twice} in the file twice{extra}",
        )

    def _lists(self) -> int:
        """How many lists were read so far."""
        streams = self.running.streams.values() if self.running is not None else ()
        return sum(stream.status.relists for stream in streams)

    def _behind(self) -> int:
        """Changes that are not in the journal yet."""
        return self.tally.changes - sum(stream.received for stream in self.journal.streams.values())

    def _level(self) -> bool:
        """Whether the journal has read everything that was written, and every sink has it."""
        if self.running is None:
            return False
        position = max((stream.position or 0 for stream in self.journal.streams.values()), default=0)
        return position == self._server.store.version and self.idle()


class Real(Story):
    """A real cluster, read only. What it holds is not known, so the audit stands for the proof.

    Args:
        screen: where notices go.
        books_every: seconds.
    """

    def __init__(self, screen: Screen, books_every: float = 20.0) -> None:
        super().__init__(screen)
        self._every = books_every
        self._audits = 0

    async def run(self) -> None:
        """Tell it until `stop` is set."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._every / 4  # the first look comes soon
        while not self.stop.is_set():
            await self.pause(TICK)
            if self.running is not None:
                self._tell_audit()
                if loop.time() >= due:
                    due = loop.time() + self._every
                    self.tell_books()
            await self.show()
        await self.until(self.idle, FINISH, stoppable=False)

    def finish(self) -> None:
        """Say how it ended; the daemon has stopped."""
        if self.running is not None:
            self.tell_books()
        self.flush()

    def _tell_audit(self) -> None:
        assert self.running is not None
        audits = sum(stream.status.audits for stream in self.running.streams.values())
        if audits == self._audits:
            return
        self._audits = audits
        missed = sum(stream.status.audit_missed for stream in self.running.streams.values())
        self.well = self.well and not missed
        self.say(f"The audit has compared what the cluster lists with what was read: {missed} missed.")


def _listed(line: Mapping[str, Any]) -> str:
    return f"Eventer has read the {line['items']} events that the cluster holds, and watches for more."


def _up(line: Mapping[str, Any]) -> str:
    if line["after"] == "start":
        return ""
    return f"Eventer is connected again. It went on after version {line['position']}, the last one in its journal."


def _down(line: Mapping[str, Any]) -> str:
    if line["cause"] == "network":
        return "Eventer has noticed, and tries again at growing intervals."
    return f"Eventer cannot read: {line['reason']}"


def _nothing(_: Mapping[str, Any]) -> str:
    return ""


_WORDS: Final[dict[str, Callable[[Mapping[str, Any]], str]]] = {
    "listed": _listed,
    "stream is up": _up,
    "stream is down": _down,
    "sink takes events": _nothing,
}
"""Log lines that every demo shows, in words."""
