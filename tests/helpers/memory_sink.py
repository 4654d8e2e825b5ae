"""A sink in memory that answers by script, and a runner that feeds it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

from eventer.delivery.runner import Pace, Runner
from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.event import Outcome
from eventer.journal import Journal
from eventer.match import Rule
from eventer.sink import Batch, BatchConfig, ConcurrentSinkConfig, Sent, SinkConfig
from eventer.values import Duration, Rate, Repeats

__all__ = [
    "MemorySink",
    "RoutedSink",
    "bad",
    "blocked",
    "closed",
    "config",
    "hang",
    "lost_answer",
    "ok",
    "outcomes",
    "partly",
    "rejected",
    "retry",
    "running",
    "settled",
    "slow",
]

Answer = Callable[["MemorySink", Batch], Sent | Awaitable[Sent]]


def retry(after: float | None = None, reason: str = "unavailable") -> Retry:
    return Retry("not now", reason=reason, after=after)


def rejected(reason: str = "mapping") -> Rejected:
    return Rejected("never", reason=reason, answer="the far side's words")


def blocked(after: float | None = None) -> Blocked:
    return Blocked("who are you?", reason="denied", after=after)


def ok(*, duplicates: int = 0, state: bytes | None = None, note: str = "") -> Answer:
    """The whole batch arrives."""

    def answer(sink: MemorySink, batch: Batch) -> Sent:
        sink.keep(names(batch))
        return Sent(duplicates=duplicates, state=state, note=note)

    return answer


def partly(failed: dict[str, SinkError], *, state: bytes | None = None) -> Answer:
    """All arrive but the ones that are named, and what comes after one that may go later, of its entity."""

    def answer(sink: MemorySink, batch: Batch) -> Sent:
        errors: dict[int, SinkError] = {}
        behind: dict[str, SinkError] = {}
        for i, event in enumerate(batch.events):
            error = failed.get(event.name) or behind.get(event.entity)
            if error is not None:
                errors[i] = error
            if error is not None and not isinstance(error, Rejected):
                behind[event.entity] = error
        sink.keep(name for i, name in enumerate(names(batch)) if i not in errors)
        return Sent(state=state, failed=errors)

    return answer


def bad(*poison: str) -> Answer:
    """A far side without answers per item: one bad item, and it takes nothing."""

    def answer(sink: MemorySink, batch: Batch) -> Sent:
        if set(poison) & set(names(batch)):
            raise rejected()
        sink.keep(names(batch))
        return Sent()

    return answer


def hang() -> Answer:
    """No answer, ever."""

    async def answer(_: MemorySink, __: Batch) -> Sent:
        await asyncio.Event().wait()
        raise AssertionError

    return answer


def lost_answer(error: BaseException) -> Answer:
    """The batch arrives, and the answer does not."""

    def answer(sink: MemorySink, batch: Batch) -> Sent:
        sink.keep(names(batch))
        raise error

    return answer


def names(batch: Batch) -> list[str]:
    return [event.name for event in batch.events]


class MemorySink:
    """Each send takes the next answer of the script, or an exception to be raised; then `otherwise`, for ever."""

    def __init__(self, *script: Answer | BaseException, otherwise: Answer | BaseException | None = None) -> None:
        self.script = list(script)
        self.otherwise = otherwise or ok()
        self.opening: list[bytes | BaseException | None] = []
        """What the next calls of `open` return or raise; then they return None."""
        self.opened: list[bytes | None] = []
        """States that `open` was given."""
        self.sent: list[list[str]] = []
        """Names of each send, failed ones included."""
        self.times: list[float] = []
        """When the sends began, by the loop's time."""
        self.arrived: list[str] = []
        """Names that the far side holds, in order of arrival."""
        self.own: dict[str, str] = {}
        """Messages of Eventer's own records that were sent, by id."""
        self.closed = 0
        self.closing: BaseException | None = None
        self.overlap = 1
        """How many sends may be under way at once."""
        self.most = 0
        """How many were."""
        self._inside = 0

    def keep(self, these: Iterable[str]) -> None:
        self.arrived += these

    async def open(self, state: bytes | None) -> bytes | None:
        with self._alone():
            self.opened.append(state)
            result = self.opening.pop(0) if self.opening else None
            if isinstance(result, BaseException):
                raise result
            return result

    async def send(self, batch: Batch) -> Sent:
        with self._alone():
            assert len(batch) > 0
            self.sent.append(names(batch))
            self.own |= {event.id: event.message for event in batch.events if event.kind == "Eventer"}
            self.times.append(asyncio.get_running_loop().time())
            answer = self.script.pop(0) if self.script else self.otherwise
            if isinstance(answer, BaseException):
                raise answer
            result = answer(self, batch)
            return result if isinstance(result, Sent) or result is None else await result

    async def close(self) -> None:
        with self._alone():
            self.closed += 1
            if self.closing is not None:
                raise self.closing

    @contextlib.contextmanager
    def _alone(self) -> Any:
        assert self._inside < self.overlap, "too many calls at once"
        assert not self.closed, "a call after close"
        self._inside += 1
        self.most = max(self.most, self._inside)
        try:
            yield
        finally:
            self._inside -= 1


class RoutedSink(MemorySink):
    """Sends each event to the destination that its namespace names, and says so before."""

    def destinations(self, batch: Batch) -> list[str]:
        return [event.namespace for event in batch.events]


def closed(*places: str, error: type[SinkError] = Retry) -> Answer:
    """All arrive but those for these destinations, which are down."""

    def answer(sink: MemorySink, batch: Batch) -> Sent:
        down = {
            i: error("down", reason="down", destination=event.namespace)
            for i, event in enumerate(batch.events)
            if event.namespace in places
        }
        sink.keep(name for i, name in enumerate(names(batch)) if i not in down)
        return Sent(failed=down)

    return answer


def slow(seconds: float) -> Answer:
    """The whole batch arrives, after a while."""

    async def answer(sink: MemorySink, batch: Batch) -> Sent:
        await asyncio.sleep(seconds)
        sink.keep(names(batch))
        return Sent()

    return answer


def config(
    *rules: dict[str, Any],
    count: int = 500,
    age: float = 0,
    timeout: float = 15,
    in_flight: int = 1,
    repeats: str = "all",
    limit: str = "",
    **options: Any,
) -> ConcurrentSinkConfig:
    return ConcurrentSinkConfig(
        kind="memory",
        match=[Rule.parse(rule) for rule in rules],
        batch=BatchConfig(count=count, age=Duration(age), **options),
        timeout=Duration(timeout),
        in_flight=in_flight,
        repeats=Repeats.parse(repeats),
        limit=Rate.parse(limit) if limit else None,
    )


@contextlib.asynccontextmanager
async def running(
    journal: Journal,
    sink: MemorySink,
    configuration: SinkConfig | None = None,
    *,
    name: str = "memory",
    max_age: float = 86_400.0,
    pace: Pace | None = None,
    stop: bool = True,
) -> AsyncIterator[Runner]:
    """Run a runner; at the end stop it in order, or cancel it."""
    runner = Runner(name, sink, configuration or config(), journal, journal._clock, max_age=max_age, pace=pace)
    await runner.begin()
    task = asyncio.create_task(runner.run())
    try:
        yield runner
        assert not task.done(), "the runner ended by itself"
        if stop:
            runner.stop()
            async with asyncio.timeout(3600):
                await task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert sink.closed == 1


def outcomes(journal: Journal, name: str = "memory") -> Counter[Outcome]:
    """What became of the events so far, as the journal has it."""
    return +Counter(journal.readers[name].outcomes)


async def settled(journal: Journal, upto: int, name: str = "memory") -> None:
    """Return when the journal has the reader's cursor at an offset, or beyond."""
    async with asyncio.timeout(7 * 86_400):
        wait = 0.01
        while journal.readers[name].cursor < upto:
            await asyncio.sleep(wait)
            wait = min(wait * 1.2, 10.0)
