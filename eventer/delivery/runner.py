"""One runner per sink: read, match, send, decide on every event, settle. Once, for all sinks.

A sink that is dead costs the others nothing: its runner waits, its cursor stays. Five outcomes of
a send: delivered, duplicate, retry (full jitter, Retry-After honoured), reject (a batch is halved
until the bad item stands alone and becomes a dead letter), blocked (probed slowly, nothing is
dropped). Events are let go only for the reasons that an operator set: `max_age` and `max_size`.

What waits for a part of the far side, or for the end of a window of repeats, is moved out of the way
of all others: parked, as a letter in the journal, and delivered from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any, Final

import structlog

from eventer.clock import Clock
from eventer.delivery.breaker import Breaker, Limit, Pace, State
from eventer.delivery.desk import Desk
from eventer.delivery.earlier import LeaveOut
from eventer.delivery.feed import Feed
from eventer.delivery.parked import Parked
from eventer.delivery.parts import Parts
from eventer.delivery.redelivery import Redelivery
from eventer.delivery.rejections import Rejections
from eventer.delivery.repeats import Windows
from eventer.delivery.selection import Selection, Wanted
from eventer.delivery.sender import Health, Sender, Status
from eventer.delivery.settlement import Settlement
from eventer.delivery.shedding import SHED_READ, TOLD_EVERY, Shedding
from eventer.delivery.sieve import Sieve
from eventer.delivery.telling import AT_ONCE, Telling
from eventer.delivery.trial import Trials
from eventer.errors import Blocked, DiskRefused, Rejected, Retry, SinkError
from eventer.event import Outcome
from eventer.journal import Journal, ReaderRecord, Slice
from eventer.journal.notes import LETTERS
from eventer.journal.records import ParkedLetter
from eventer.sink import ConcurrentSinkConfig, Enrich, Sent, Sink, SinkConfig

__all__ = ["Health", "Pace", "Runner", "Status"]

SLICE: Final = 5.0
"""Seconds of waiting at once: the loop must be seen to live, and a backlog may have to be let go of."""


class Runner:
    """Delivers one log to one sink: the event log, or, where `telling` is given, the notifications of one notifier.

    Args:
        name: of the sink in the configuration; the reader's name in the journal.
        sink: made, not opened.
        max_age: seconds after its append at which an event expires.
        enrich: looks up what the sink wants to be known of each event; None if that is nothing.
        telling: what it is told, and how.
    """

    def __init__(
        self,
        name: str,
        sink: Sink,
        config: SinkConfig,
        journal: Journal,
        clock: Clock,
        *,
        max_age: float,
        pace: Pace | None = None,
        enrich: Enrich | None = None,
        telling: Telling | None = None,
    ) -> None:
        self.name = name
        self.status = Status(beat=clock.monotonic(), forgiving=not config.repeats_unknown)
        self._config = config
        self._journal = journal
        self.feed: Feed = telling.log if telling else journal
        self._telling = telling
        self._clock = clock
        self._pace = pace or Pace()
        self._batch = AT_ONCE if telling else config.batch
        self._wanted = Wanted([] if telling else config.match, enrich)
        self._lanes = config.in_flight if isinstance(config, ConcurrentSinkConfig) and not telling else 1
        self._stop = asyncio.Event()
        self._wake = asyncio.Event()
        self._log = structlog.get_logger().bind(sink=name)
        self.sender = Sender(sink, name, config.timeout, clock, self.status, self._log, enrich)
        self._destinations = getattr(sink, "destinations", None)
        self._limit = Limit(config.limit, clock, getattr(sink, "bears", None))
        self._rejections = Rejections()
        self._windows = Windows(config.repeats, clock)
        self._shedding = Shedding(name, self.feed, clock, max_age, self._log, "notifications" if telling else "events")
        self.breaker = Breaker(clock, self._pace)
        self.parked = Parked(clock, self._pace)
        self.desk = Desk(name, self.feed, self.parked, self._wake, self._stop)
        self._rng = random.Random()  # noqa: S311 - which event is a probe is no secret
        # Made anew by each `run`, from the reader's record.
        self._settlement: Settlement
        self._trials: Trials
        self._selection: Selection
        self._redelivery: Redelivery

    @property
    def kind(self) -> str:
        """Kind of the sink."""
        return self._config.kind

    @property
    def letters(self) -> str:
        """What its letters are kept under."""
        return self.name if self._telling is None else LETTERS + self.name

    @property
    def pending(self) -> int:
        """Events, or notifications, behind the cursor as it is on the disk; parked ones are not among them."""
        record = self.feed.readers.get(self.name)
        return 0 if record is None else self.feed.head - record.cursor

    def stop(self) -> None:
        """Ask the runner to finish what is in flight, settle and end."""
        self._stop.set()
        self._wake.set()

    async def begin(self) -> ReaderRecord:
        """Return the reader's record, making it at the sink's first start.

        Called before any stream appends, so that a new sink misses nothing of what comes next.
        """
        record = self.feed.readers.get(self.name)
        if record is None:
            start = self.feed.head
            if self._config.start == "oldest":
                start = await self.feed.oldest()
            record = ReaderRecord(origin=start, cursor=start)
            await self.feed.settle(self.name, record)
        return record

    async def run(self) -> None:
        """Deliver until `stop`. Cancelling it is safe too: what is unsettled is sent again."""
        record = await self.begin()
        settlement = Settlement(self.feed, self.name, record, self._clock, self.stop)
        self._settlement = settlement
        self._trials = Trials(settlement, self._batch.count)
        sieve = Sieve(self.parked, self._windows, self._destinations)
        earlier = LeaveOut(self._journal, settlement)
        self._selection = Selection(self._wanted, earlier, sieve, self._trials, self._lanes, self._bury)
        self._redelivery = Redelivery(
            self.name,
            self.feed,
            settlement,
            self.parked,
            self._windows,
            self._shedding,
            self._trials,
            self._bury,
            self._telling.parts if self._telling else Parts,
        )
        opened = loaded = False
        try:
            if record.cursor < self.feed.head or record.outcomes.get(Outcome.PARKED):
                await self._trials.begin()
            while not self._stop.is_set():
                try:
                    if not loaded:
                        self.parked.load(await self.feed.parked(self.name))
                        loaded = True
                        self.desk.begin(settlement)
                    await self.desk.work()
                    if opened:
                        await self._step()
                    else:
                        opened = await self._open()
                except DiskRefused as error:  # what waits cannot be read just now
                    self._failed(Retry(str(error), reason="disk"))
                    await self._rest(self.breaker.wait)
            await self._shedding.tell(settlement)
            await self._trials.end()
            await settlement.done()
        finally:
            self.status.health = Health.STOPPED
            self.desk.close()
            settlement.abandon()
            await self.sender.close()

    async def _open(self) -> bool:
        """Try once to open the sink; wait and let go of what must not wait longer if that fails."""
        settlement = self._settlement
        state = await self.sender.open(settlement.record.state)
        if isinstance(state, SinkError):
            self._failed(state)
            await self._rest(self.breaker.wait)
            await self._redelivery.expire()
            while not self._stop.is_set() and settlement.cursor < self.feed.head:
                if await self._read() is not None:
                    break
            return False
        if state is not None and state != settlement.record.state:
            await settlement.settle({}, (), state)
            await settlement.done()
        self._well()
        return True

    async def _step(self) -> None:
        """Bring what may be sent now to an outcome, or wait for something to do."""
        self.status.beat = self._clock.monotonic()
        await self._rest(self.breaker.wait)
        await self._redelivery.expire()
        await self._redelivery.step(self._round, 1 if self._trials.careful else self._batch.count)
        if self._settlement.cursor >= self.feed.head or self._stop.is_set():
            await self._shedding.tell(self._settlement)
            await self._wait_for_events()
            return
        # What waits for its turn goes together with what comes meanwhile.
        wait = self._limit.wait or (self.parked.wait or 0.0 if self.parked.full else 0.0)
        if wait:
            await self._rest(wait)
        piece = await self._read()
        if piece is None:
            return
        await self._shedding.tell(self._settlement)
        if wait or self.parked.full or await self._wait_for_company(piece):
            return
        await self._deliver(piece)

    async def _wait_for_events(self) -> None:
        """Wait for the next event, for a parked one that is due, or for the moment to write the cursor."""
        settlement = self._settlement
        waits = [settlement.lazy_for(), self.parked.wait, TOLD_EVERY if settlement.record.untold else None]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min((wait for wait in waits if wait is not None), default=None)):
                await self._or_stop(self.feed.grown(settlement.cursor))
                return
        if settlement.lazy_for() == 0:
            await settlement.write_lazy()

    async def _wait_for_company(self, piece: Slice) -> bool:
        """With `batch.age`, wait until the first event is that old or the batch is full."""
        batch = self._batch
        if not batch.age or len(piece.lines) >= batch.count or piece.end < self.feed.head:
            return False
        left = piece.rows[0][1] + batch.age - self._clock.now().timestamp()
        if left <= 0:
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(left, batch.age)):
                await self._or_stop(self.feed.grown(piece.end))
        return (left > 0 and piece.end < self.feed.head) or bool(self.desk)

    # -- reading ---------------------------------------------------------------------------------

    async def _read(self) -> Slice | None:
        """Read what comes next.

        Returns:
            None when it was settled without sending: too old, damaged, or the journal has no room.
        """
        settlement, shedding = self._settlement, self._shedding
        if self._telling is not None and await self._telling.compact(settlement):
            return None
        batch = self._batch
        count = SHED_READ if shedding.over(settlement.cursor) else 1 if self._trials.careful else batch.count
        piece = await self.feed.read(settlement.cursor, count, batch.bytes)
        if piece.lost:
            await settlement.settle({Outcome.DROPPED: piece.lost}, told=True)
            return None
        n, outcome = shedding.due(piece)
        if not n:
            return piece
        wanted = len(self._wanted(piece.lines[:n])[1])
        outcomes = {Outcome.UNMATCHED: n - wanted, outcome: wanted}
        await settlement.settle({name: n for name, n in outcomes.items() if n})
        await shedding.tell(settlement, now=False)
        return None

    # -- sending ---------------------------------------------------------------------------------

    async def _deliver(self, piece: Slice) -> None:
        """Send what was read, again where needed, until every event of it has an outcome.

        Returns before that when told to stop; and with notifications when a message failed: what has come
        meanwhile may go with the next one.
        """
        if self._telling is None:
            parts = await self._selection.sort(piece)
        else:
            parts = self._telling.sort(piece, self._limit, self._trials, self._bury)
        state: bytes | None = None
        if parts.done:
            await self._settle(parts, state)
        while not parts.done:
            going, new = await self._round(parts, piece.first)
            # Kept until the cursor moves: what an answer in between delivered may be settled
            # later, by an answer that has no state.
            state = new if new is not None else state
            await self._settle(parts, state)
            if not going or self._stop.is_set():
                await self._rest(self.breaker.wait)
                n, outcome = self._shedding.due(piece)
                if n:
                    parts.give_up(n, outcome)
                if self._stop.is_set():
                    parts.leave()
                await self._settle(parts, state)
            if self._stop.is_set() or (self._telling is not None and not going):
                return

    async def _settle(self, parts: Parts, state: bytes | None) -> None:
        """Store what is decided."""
        decided = parts.decided()
        for letter in decided.letters:
            if letter.state is Outcome.DEAD:
                self._log.warning("dead letter", reason=letter.reason, error=letter.answer)
            elif letter.number not in self.parked:
                self.parked.add(ParkedLetter.of(letter))
        if decided.outcomes:
            await self._settlement.settle(decided.outcomes, decided.letters, state, gone=decided.gone)

    async def _round(self, parts: Parts, number: int) -> tuple[bool, bytes | None]:
        """Send what may be sent at once, and judge the answers.

        Args:
            parts: what is to be sent.
            number: offset of its first event.

        Returns:
            Whether it goes on, which it does not when the sink as a whole failed, when the limit of sends must not
            be waited for, or when told to stop; and the sink's new state.
        """
        await self._rest(self._limit.wait)
        if self._limit.wait or (self._stop.is_set() and self.breaker.wait):
            return False, None
        self.breaker.begin()
        most = min(self._lanes, self._limit.free) if self.breaker.state is State.CLOSED else 1
        if self._rejections.blocking:
            parts.single_out(self._rng)
            most = 1
        batches = parts.next(most)
        self._limit.begin(len(batches))
        send = self.sender.send
        if self._trials.careful:
            results = [await self._trials.attempt(number, lambda: send(batches[0][1]))]
        elif len(batches) == 1:
            results = [await send(batches[0][1])]
        else:
            results = await asyncio.gather(*(send(batch) for _, batch in batches))
        failure: SinkError | None = None
        state: bytes | None = None
        for (lane, batch), result in zip(batches, results, strict=True):
            if isinstance(result, Sent):
                state = result.state if result.state is not None else state
                if len(result.failed) < len(batch):
                    self._rejections.accepted(len(batch) - len(result.failed))
                    self._well()
            for error in parts.judge(lane, result):
                if error.destination and isinstance(result, Sent):
                    self.parked.failed(error.destination, error)
                elif failure is None or isinstance(error, Blocked):
                    failure = error
        if failure is not None:
            self._failed(failure)
        return failure is None and not self._stop.is_set(), state

    def _bury(self, error: Rejected) -> Blocked | None:
        return self._rejections.rejected(error, self._settlement.record.outcomes.get(Outcome.DEAD, 0))

    # -- waiting ---------------------------------------------------------------------------------

    def _failed(self, failure: SinkError) -> None:
        """Show a failure, and open the breaker."""
        self.status.failed(failure, self._log)
        self.breaker.failed(failure)

    async def _rest(self, seconds: float) -> None:
        """Wait, in slices, and attend; shorter when told to stop, or when the journal has no room for what waits."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while (left := until - loop.time()) > 0 and not self._stop.is_set():
            self.status.beat = self._clock.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, SLICE)):
                    await self._wake.wait()
                await self.desk.work()
            if self._shedding.over(self._settlement.record.cursor):
                return

    def _well(self) -> None:
        self.status.well(self._log)
        self.breaker.succeeded()

    async def _or_stop(self, waiting: Any) -> None:
        """Await something, or the request to stop, or another one."""
        tasks = {asyncio.ensure_future(waiting), asyncio.ensure_future(self._wake.wait())}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
