"""The reader of the event log that makes one notifier's notifications. It waits, reads and settles; `alerts` decides.

Nothing is told that is not stored: events, the notifications made of them and what is remembered are settled in
one transaction. After kill -9 the events that were not settled are read and decided on again; of those nothing
had been told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

import msgspec
import structlog

from eventer import failpoint
from eventer.alerting.alerts import Alerts
from eventer.alerting.existence import Existence
from eventer.alerting.notification import Notification, encode
from eventer.alerting.plan import plan_of
from eventer.alerting.silences import Silences
from eventer.alerting.terms import Meanings
from eventer.alerting.wanted import Wanted
from eventer.clock import Backoff, Clock
from eventer.config.inhibition import Inhibit
from eventer.errors import DiskRefused
from eventer.event import Event, own_record
from eventer.group import GroupConfig
from eventer.journal import AlertingRecord, Journal, Slice
from eventer.journal.earlier import Earlier
from eventer.observe.metrics import UNREMEMBERED
from eventer.sink import Batch, Enrich, SinkConfig

__all__ = ["AlertReader"]

COUNT: Final = 2_000
SIZE: Final = 1 << 20
"""Events, and bytes of them, in one step: others get their turn after it."""
LAZY: Final = 1.0
"""Seconds that a step which told nothing may stay unstored: a restart takes it again."""
SLOW: Final = 1 << 20
"""Bytes of state for which storing waits a second more after the last time: that is what costs."""
LOOK: Final = 60.0
"""Most seconds of waiting at once: the wall clock, by which groups speak, may be set meanwhile."""
JUMP: Final = 30.0
"""Seconds by which the wall clock must go wrong against the other one to count as set."""


class AlertReader:
    """Makes the notifications of one notifier.

    Args:
        name: of the notifier.
        config: its options.
        group: how problems become messages.
        journal: what is read and written.
        meanings: the catalog.
        clock: time.
        inhibit: which problems keep quiet about which others.
        silences: what nobody wants to be told now.
        enrich: looks up what the notifier wants to be known; None if that is nothing.
        exists: looks up whether objects still exist; None where nothing that is known can tell.

    Attributes:
        beat: monotonic time of the last progress.
    """

    def __init__(
        self,
        name: str,
        config: SinkConfig,
        group: GroupConfig,
        journal: Journal,
        meanings: Meanings,
        clock: Clock,
        *,
        inhibit: Inhibit,
        silences: Silences,
        enrich: Enrich | None = None,
        exists: Enrich | None = None,
    ) -> None:
        self.name = name
        self.beat = clock.monotonic()
        self._start = config.start
        self._wanted = Wanted(config.match, meanings)
        self._enrich = enrich
        self._existence = Existence(exists) if exists is not None else None
        self._asked = self.beat
        self._plan = plan_of(group, inhibit, silences, every_end=config.keeps_open)
        self._silences = silences
        self._seen = silences.version
        self._journal = journal
        self._meanings = meanings
        self._clock = clock
        self._stop = asyncio.Event()
        self._log = structlog.get_logger().bind(sink=name)
        self._unremembered = UNREMEMBERED.labels(sink=name)
        # Made by `run`, from what is stored.
        self._alerts: Alerts
        self._record: AlertingRecord
        self._earlier: Earlier
        self._stored: bytes | None = None
        self._told: list[Notification] = []
        self._cursor = self._careful = 0
        self._settled_at = 0.0
        self._size = self._unfit = 0
        self._wall = self._monotonic = 0.0

    def stop(self) -> None:
        """Ask for an end: what was read is stored, and groups that wait go on to wait after the next start."""
        self._stop.set()

    async def begin(self) -> None:
        """Make the records at the first start, before any stream appends: a new notifier misses nothing."""
        start = await self._journal.oldest() if self._start == "oldest" else self._journal.head
        await self._journal.alerting.begin(self.name, start)

    async def run(self) -> None:
        """Read, decide and settle until `stop`. Cancelling it is safe too."""
        await self.begin()
        backoff = Backoff(0.2, 10.0, clock=self._clock)
        while not self._stop.is_set():
            try:
                stored = await self._journal.alerting.remembered(self.name)
                break
            except DiskRefused:
                await self._rest(backoff.next())
        else:
            return
        self._record = self._journal.alerting.readers[self.name]
        self._cursor = self._record.cursor
        self._earlier = Earlier(self._journal, self._record.resumed)
        self._remember(stored)
        while not self._stop.is_set():
            try:
                await self._step()
                backoff.reset()
            except DiskRefused as error:  # what comes next cannot be read just now
                self._log.warning("alerting waits for the disk", reason=str(error))
                await self._rest(backoff.next())
        await self._settle()

    async def _step(self) -> None:
        """Take what there is, say what is due, or wait for either."""
        over = min(self._journal.shed_to, self._journal.head) - self._cursor
        if over > 0:
            await self._shed(over)
            return
        if self._seen != self._silences.version:
            self._seen = self._silences.version
            self._alerts.ask_again()
        if self._existence is not None and self._clock.monotonic() - self._asked >= LOOK:
            self._asked = self._clock.monotonic()
            await self._existence.look(self._alerts, self._now())
        piece = await self._journal.read(self._cursor, 1 if self._cursor < self._careful else COUNT, SIZE)
        self.beat = self._clock.monotonic()
        try:
            self._told += self._alerts.step(self._new(await self._events(piece)), self._now())
        except Exception as error:  # noqa: BLE001 - what anybody may write into an Event must not end the daemon
            await self._stumble(piece, error)
            return
        careful = self._cursor < self._careful
        self._cursor = piece.end
        self._drop(piece.lost)
        if piece.lost or careful or self._left() == 0:
            await self._settle()
        elif self._cursor >= self._journal.head:
            await self._wait()

    async def _shed(self, n: int) -> None:
        """Let go of events for which the journal has no room, and tell it. A kill in between tells it again."""
        message = f"Alerting for {self.name} was too far behind: {n} events dropped (over state.max_size)."
        await self._journal.record(own_record(self._clock.now(), "GapBacklog", message))
        self._log.warning("events let go", dropped=n)
        self._cursor += n
        self._drop(n)
        await self._settle()

    async def _stumble(self, piece: Slice, error: Exception) -> None:
        """Go back to what is stored, and on event by event; the one at which it happens again is let go of."""
        self._remember(self._stored)
        if len(piece.lines) > 1 or self._cursor > self._record.cursor:
            self._cursor, self._careful = self._record.cursor, piece.end
            return
        self._alerts.step((), self._now())  # raises if it is not the event: nothing can go on then
        self._remember(self._stored)
        self._log.error("unexpected error in alerting; this is a bug", exc_info=error)
        self._cursor = piece.end
        self._drop(1)
        await self._settle()
        message = f"An event makes alerting for {self.name} fail, and is in none of its messages: a bug of Eventer's."
        await self._journal.record(own_record(self._clock.now(), "GapAlerting", message))

    def _remember(self, stored: bytes | None) -> None:
        self._stored, self._told, self._known = stored, [], 0
        self._alerts = Alerts(self._wanted, self._meanings, self._plan, stored)
        self._unfit = self._alerts.books.sources.unfit
        self._wall, self._monotonic = self._clock.now().timestamp(), self._clock.monotonic()
        if (ahead := self._alerts.books.at - self._wall) > 0:  # set back while it was down
            self._alerts.shift(-ahead)

    def _now(self) -> float:
        """Return the time, seconds since 1970. Where the clock was set, all times of alerting move with it."""
        wall, monotonic = self._clock.now().timestamp(), self._clock.monotonic()
        jump = (wall - self._wall) - (monotonic - self._monotonic)
        self._wall, self._monotonic = wall, monotonic
        if abs(jump) > JUMP:
            self._log.warning("the clock was set, alerting goes by the new time", seconds=round(jump))
            self._alerts.shift(jump)
        return wall

    def _drop(self, n: int) -> None:
        self._record = msgspec.structs.replace(self._record, dropped=self._record.dropped + n)

    def _new(self, events: Sequence[Event]) -> Sequence[Event]:
        """Leave out what was decided on before the journal was lost."""
        if not self._earlier:
            return events
        new = [event for event in events if not self._earlier.knows(event)]
        self._known += len(events) - len(new)
        return new

    async def _events(self, piece: Slice) -> Sequence[Event]:
        """Return the events; those that may be wanted with what was looked up about their objects."""
        if not piece.lines:
            return ()
        batch = Batch(piece.lines)
        events = batch.events
        if self._enrich is None:
            return events
        wanted = [i for i, wants in enumerate(self._wanted(events)) if wants]
        if not wanted:
            return events
        enriched = await self._enrich(batch.pick(wanted))
        self._enrich.count(enriched)
        found = dict(zip(wanted, enriched.events, strict=True))
        return [found.get(i, event) for i, event in enumerate(events)]

    async def _wait(self) -> None:
        """Wait for an event, for a group that is to speak, or for the moment to store what was taken."""
        left = self._left()
        waits = [self._alerts.due - self._clock.now().timestamp(), LOOK, *([] if left is None else [left])]
        sleep = self._clock.sleep(max(0.0, min(waits)))
        await self._first(self._journal.grown(self._cursor), self._silences.changed(self._seen), sleep)

    @property
    def _unstored(self) -> bool:
        """Whether anything was decided that is not stored; time alone can end what was held."""
        moved = self._cursor != self._record.cursor
        return moved or bool(self._told) or self._alerts.books.suppressed != self._record.suppressed

    def _left(self) -> float | None:
        """Seconds until what was decided is to be stored; None if there is nothing to store.

        What is told goes at once, unless there is very much to store each time.
        """
        if not self._unstored:
            return None
        pause = self._size // SLOW if self._told else max(LAZY, self._size // SLOW)
        return max(0.0, self._settled_at + pause - self._clock.monotonic())

    async def _settle(self) -> None:
        """Store what was decided, again and again until it is: there is no way back in memory."""
        if not self._unstored:
            return
        books = self._alerts.books
        self._record = record = msgspec.structs.replace(
            self._record,
            cursor=self._cursor,
            represented=books.represented,
            unmatched=books.unmatched,
            muted=dict(books.muted),
            waiting=books.waiting,
            duplicate=self._record.duplicate + self._known,
            opened=self._record.opened + len(self._told),
            resumed=None if self._earlier.over(self._cursor) else self._record.resumed,
        )
        assert record.balanced
        emit = [encode(note) for note in self._told]
        state = self._alerts.state()
        backoff = Backoff(0.2, 10.0, clock=self._clock)
        while True:
            failpoint.hit("alerting.settle")
            try:
                await self._journal.alerting.settle(self.name, record, emit, state)
            except DiskRefused:
                await self._clock.sleep(backoff.next())
            else:
                break
        failpoint.hit("alerting.settled")
        self._stored, self._told, self._known = state, [], 0
        self._unremembered.inc(books.sources.unfit - self._unfit)
        self._unfit = books.sources.unfit
        self._settled_at = self._clock.monotonic()
        self._size = len(state)

    async def _rest(self, seconds: float) -> None:
        if seconds > 0:
            await self._first(self._clock.sleep(seconds))

    async def _first(self, *waiting: Coroutine[Any, Any, object]) -> None:
        """Wait until any of these is done, or `stop` is asked for."""
        tasks = {asyncio.ensure_future(each) for each in (*waiting, self._stop.wait())}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
