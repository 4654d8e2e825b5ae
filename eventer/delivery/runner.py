"""One runner per sink: read, match, send, decide on every event, settle. Once, for all sinks.

A sink that is dead costs the others nothing: its runner waits, its cursor stays. Five outcomes of
a send: delivered, duplicate, retry (full jitter, Retry-After honoured), reject (a batch is halved
until the bad item stands alone and becomes a dead letter), blocked (probed slowly, nothing is
dropped). Events are let go only for the reasons that an operator set: `max_age` and `max_size`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec
import structlog

from eventer import failpoint
from eventer.clock import Backoff, Clock
from eventer.delivery.parts import Parts, checked
from eventer.delivery.settlement import Settlement
from eventer.errors import Blocked, DiskRefused, JournalError, Retry, SinkError
from eventer.event import Outcome, own_record
from eventer.journal import Journal, ReaderRecord, Slice
from eventer.match import Verdicts
from eventer.observe.metrics import SEND_SECONDS
from eventer.sink import Batch, Sent, Sink, SinkConfig

__all__ = ["Health", "Pace", "Runner", "Status"]

RETRY_AFTER_MOST: Final = 3600.0
"""Seconds; a far side that asks for more is asked again after this."""
SLACK: Final = 1.0
"""Seconds beyond its time-out after which a sink is cancelled: it knows better words for what it
was waiting for, and may return what it has sent already."""
SHED_READ: Final = 5_000
"""Events in one read while letting go of a backlog."""
TOLD_EVERY: Final = 10.0
"""Seconds between two gap records while letting go: exact counts are in the books at all times."""


class Health(StrEnum):
    """State of a sink, as people see it."""

    OPENING = "opening"
    OK = "ok"
    RETRYING = "retrying"
    BLOCKED = "blocked"
    STOPPED = "stopped"


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How long a runner waits, in seconds."""

    retry_base: float = 0.5
    retry_cap: float = 60.0
    probe_base: float = 60.0
    """A blocked destination is probed every one to five minutes: credentials get rotated."""
    probe_cap: float = 300.0


class Status(msgspec.Struct, kw_only=True):
    """What a runner shows of itself."""

    health: Health = Health.OPENING
    error: str = ""
    """Last failure in words; empty while all is well."""
    reason: str = ""
    attempts: Counter[str] = msgspec.field(default_factory=Counter)
    """Sends by result: `sent`, or `<class>:<reason>` of the failure."""
    last_success: float | None = None
    """Monotonic time."""
    beat: float = 0.0
    """Monotonic time of the loop's last progress."""
    oldest: float | None = None
    """Wall-clock time at which the oldest event in hand was appended; None with nothing in hand."""


class Runner:
    """Delivers one log to one sink.

    Args:
        name: of the sink in the configuration; the reader's name in the journal.
        sink: made, not opened.
        max_age: seconds after its append at which an event expires.
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
    ) -> None:
        self.name = name
        self.status = Status(beat=clock.monotonic())
        self._sink = sink
        self._config = config
        self._journal = journal
        self._clock = clock
        self._max_age = max_age
        self._verdicts = Verdicts(config.match)
        pace = pace or Pace()
        self._retry = Backoff(pace.retry_base, pace.retry_cap, clock=clock)
        self._probe = Backoff(pace.probe_base, pace.probe_cap, clock=clock, floor=pace.probe_base)
        self._stop = asyncio.Event()
        self._shed: Counter[Outcome] = Counter()
        self._told = clock.monotonic()
        self._log = structlog.get_logger().bind(sink=name)
        self._seconds = SEND_SECONDS.labels(sink=name)

    def stop(self) -> None:
        """Ask the runner to finish what is in flight, settle and end."""
        self._stop.set()

    async def run(self) -> None:
        """Deliver until `stop`. Cancelling it is safe too: what is unsettled is sent again."""
        settlement = Settlement(self._journal, self.name, await self.begin(), self._clock, self._stop.set)
        opened = False
        try:
            while not self._stop.is_set():
                try:
                    if opened:
                        await self._step(settlement)
                    else:
                        opened = await self._open(settlement)
                except DiskRefused as error:  # what waits cannot be read just now
                    await self._fail(Retry(str(error), reason="disk"))
            await self._tell_shed()
            await settlement.done()
        finally:
            self.status.health = Health.STOPPED
            settlement.abandon()
            await self._close()

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(self._config.timeout + SLACK):
                await self._sink.close()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the books are closed: only told
            self._log.warning("sink did not close", error=str(self._classify(error)))

    async def begin(self) -> ReaderRecord:
        """Return the reader's record, making it at the sink's first start.

        Called before any stream appends, so that a new sink misses nothing of what comes next.
        """
        record = self._journal.readers.get(self.name)
        if record is None:
            start = self._journal.head
            if self._config.start == "oldest":
                start = await self._journal.oldest()
            record = ReaderRecord(origin=start, cursor=start)
            await self._journal.settle(self.name, record)
        return record

    async def _open(self, settlement: Settlement) -> bool:
        """Try once to open the sink; wait and let go of what must not wait longer if that fails."""
        try:
            async with asyncio.timeout(self._config.timeout + SLACK):
                state = await self._sink.open(settlement.record.state)
                if not isinstance(state, bytes | None):
                    raise TypeError(f"open returned {type(state).__name__}, no bytes")
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - classified
            await self._fail(self._classify(error))
            while not self._stop.is_set() and settlement.cursor < self._journal.head:
                if await self._read(settlement) is not None:
                    break
            return False
        if state is not None and state != settlement.record.state:
            await settlement.settle({}, (), state)
            await settlement.done()
        self._well()
        return True

    async def _step(self, settlement: Settlement) -> None:
        """Read once and bring every event read to an outcome, or stop trying because told to."""
        self.status.beat = self._clock.monotonic()
        if settlement.cursor >= self._journal.head:
            self.status.oldest = None
            await self._tell_shed()
            await self._wait_for_events(settlement)
            return
        piece = await self._read(settlement)
        if piece is None:
            return
        await self._tell_shed()
        self.status.oldest = piece.rows[0][1]
        if await self._wait_for_company(piece):
            return
        await self._deliver(settlement, piece)

    async def _wait_for_events(self, settlement: Settlement) -> None:
        timeout = settlement.lazy_for()
        if timeout is None and +self._shed:  # the disk refused the gap record
            timeout = TOLD_EVERY
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._or_stop(self._journal.grown(settlement.cursor))
                return
        await settlement.write_lazy()

    async def _wait_for_company(self, piece: Slice) -> bool:
        """With `batch.age`, wait until the first event is that old or the batch is full."""
        batch = self._config.batch
        if not batch.age or len(piece.lines) >= batch.count or piece.end < self._journal.head:
            return False
        left = piece.rows[0][1] + batch.age - self._clock.now().timestamp()
        if left <= 0:
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(left, batch.age)):
                await self._or_stop(self._journal.grown(piece.end))
        return left > 0 and piece.end < self._journal.head

    # -- matching and letting go -----------------------------------------------------------------

    def _wanted(self, lines: Sequence[bytes]) -> tuple[Batch, Sequence[int]]:
        """Return the events that the sink's `match` wants, and their indexes."""
        batch = Batch(lines)
        if not self._config.match:
            return batch, range(len(lines))
        wanted = [i for i, verdict in enumerate(self._verdicts(batch.events)) if verdict >= 0]
        return (batch if len(wanted) == len(lines) else batch.pick(wanted)), wanted

    def _due(self, piece: Slice) -> tuple[int, Outcome]:
        """How many events at the beginning must not wait any longer, and what becomes of them."""
        over = min(self._journal.shed_to - piece.first, len(piece.lines))
        if over > 0:
            return over, Outcome.DROPPED
        limit = self._clock.now().timestamp() - self._max_age
        old = itertools.takewhile(lambda row: row[1] < limit, piece.rows)
        return sum(count for count, _ in old), Outcome.EXPIRED

    async def _read(self, settlement: Settlement) -> Slice | None:
        """Read what comes next.

        Returns:
            None when it was settled without sending: too old, damaged, or the journal has no room.
        """
        over = self._journal.shed_to - settlement.cursor
        count = SHED_READ if over > 0 else self._config.batch.count
        piece = await self._journal.read(settlement.cursor, count, self._config.batch.bytes)
        if piece.lost:
            await settlement.settle({Outcome.DROPPED: piece.lost})
            return None
        n, outcome = self._due(piece)
        if not n:
            return piece
        batch, _ = self._wanted(piece.lines[:n])
        outcomes = {Outcome.UNMATCHED: n - len(batch), outcome: len(batch)}
        await settlement.settle({name: n for name, n in outcomes.items() if n})
        self._shed[outcome] += len(batch)
        if self._clock.monotonic() - self._told >= TOLD_EVERY:
            await self._tell_shed()
        return None

    async def _tell_shed(self) -> None:
        """Say in the log and in a gap record what was let go since the last time."""
        shed = +self._shed
        if not shed:
            return
        why = {Outcome.EXPIRED: "older than state.max_age", Outcome.DROPPED: "over state.max_size"}
        parts = [f"{n} events {outcome} ({why[outcome]})" for outcome, n in sorted(shed.items())]
        message = f"Sink {self.name} was too far behind: {', '.join(parts)}."
        try:
            await self._journal.record(own_record(self._clock.now(), "GapBacklog", message))
        except JournalError:
            return  # kept in the counter, told with the next one
        self._shed.clear()
        self._told = self._clock.monotonic()
        self._log.warning("events let go", **{str(outcome): n for outcome, n in shed.items()})

    # -- sending ---------------------------------------------------------------------------------

    async def _deliver(self, settlement: Settlement, piece: Slice) -> None:
        """Send what was read, again where needed, until every event of it has an outcome.

        Returns before that when told to stop, or when the events may be let go of.
        """
        batch, wanted = self._wanted(piece.lines)
        unmatched = len(piece.lines) - len(batch)
        if not len(batch):
            await settlement.settle({Outcome.UNMATCHED: unmatched})
            return
        result = await self._send(batch)
        if isinstance(result, Sent) and not result.failed:
            new = max(0, len(batch) - result.duplicates)
            outcomes = {
                Outcome.UNMATCHED: unmatched,
                Outcome.DUPLICATE: len(batch) - new,
                Outcome.DELIVERED: new,
            }
            await settlement.settle({name: n for name, n in outcomes.items() if n}, (), result.state)
            return
        parts = Parts(piece.lines, wanted)
        state: bytes | None = None
        while True:
            if isinstance(result, Sent) and result.state is not None:
                # Kept until the cursor moves: what an answer in between delivered may be settled
                # later, by an answer that has no state.
                state = result.state
            failure = parts.judge(result)
            decided, letters = parts.decided()
            for letter in letters:
                self._log.warning("dead letter", reason=letter.reason, error=letter.answer)
            if decided:
                await settlement.settle(decided, letters, state)
            if parts.done:
                return
            if failure is not None:
                await self._fail(failure)
            n, outcome = self._due(piece)
            if n:
                self._shed[outcome] += parts.give_up(n, outcome)
                decided, letters = parts.decided()
                await settlement.settle(decided, letters, state)
            if parts.done or self._stop.is_set():
                return
            result = await self._send(parts.next())

    async def _send(self, batch: Batch) -> Sent | SinkError:
        """Send once; whatever happens is returned, counted and shown in the status."""
        began = self._clock.monotonic()
        failpoint.hit("delivery.send")
        result: Sent | SinkError
        try:
            async with asyncio.timeout(self._config.timeout + SLACK):
                answer: object = await self._sink.send(batch)
            result = checked(answer, len(batch))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - nothing that a sink raises ends the loop
            result = self._classify(error)
        failpoint.hit("delivery.sent")
        now = self.status.beat = self._clock.monotonic()
        self._seconds.observe(now - began)
        if isinstance(result, Sent):
            self.status.attempts["sent"] += 1
            if len(result.failed) < len(batch):
                self.status.last_success = now
                self._well()
        else:
            self.status.attempts[f"{type(result).__name__.lower()}:{result.reason}"] += 1
        return result

    def _classify(self, error: Exception | asyncio.CancelledError) -> SinkError:
        if isinstance(error, SinkError):
            return error
        if isinstance(error, TimeoutError):
            return Retry(f"No answer within {self._config.timeout:g} s.", reason="timeout")
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise error  # it is us who are cancelled, not something within the sink
        self._log.error("unexpected error in a sink; this is a bug", exc_info=error)
        return Retry(f"Unexpected {type(error).__name__} in the sink.", reason="unexpected")

    async def _fail(self, failure: SinkError) -> None:
        """Show a failure, and wait as long as it asks for; shorter when told to stop."""
        blocked = isinstance(failure, Blocked)
        health = Health.BLOCKED if blocked else Health.RETRYING
        if (health, failure.reason) != (self.status.health, self.status.reason):
            self._log.warning("sink does not take events", state=health, reason=failure.reason, error=str(failure))
        self.status.health, self.status.reason, self.status.error = health, failure.reason, str(failure)
        after = None if failure.after is None else min(max(0.0, failure.after), RETRY_AFTER_MOST)
        wait = (self._probe if blocked else self._retry).next(after)
        while wait > 0 and not self._stop.is_set():
            # In slices: the loop must be seen to live, and a backlog may have to be let go of.
            self.status.beat = self._clock.monotonic()
            slice_ = min(wait, 5.0)
            wait -= slice_
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(slice_):
                    await self._stop.wait()
            reader = self._journal.readers.get(self.name)
            if reader is not None and reader.cursor < self._journal.shed_to:
                return

    def _well(self) -> None:
        if self.status.health is not Health.OK:
            log = self._log.info if self.status.health is Health.OPENING else self._log.warning
            log("sink takes events")
        self.status.health, self.status.reason, self.status.error = Health.OK, "", ""
        self._retry.reset()
        self._probe.reset()

    async def _or_stop(self, waiting: Any) -> None:
        """Await something, or the request to stop."""
        tasks = {asyncio.ensure_future(waiting), asyncio.ensure_future(self._stop.wait())}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
