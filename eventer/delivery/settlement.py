"""One reader's cursor and books: what is settled, and what is on its way to the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import msgspec

from eventer import failpoint
from eventer.clock import Backoff, Clock
from eventer.delivery.feed import Feed
from eventer.errors import DiskRefused
from eventer.event import Outcome
from eventer.journal import Letter, ReaderRecord, Trial

__all__ = ["Settlement"]

LAZY: Final = 1.0
"""Seconds that a cursor over events which nobody wanted may stay unwritten: a restart reads them again."""


_Store = Callable[[ReaderRecord], Awaitable[None]]


class Settlement:
    """Owns one reader's record. A settle is not awaited before the next send, but the one after is.

    A settle that fails for good is raised by the next one and by `done`; `failed` is called at once,
    so that its owner comes to that also if nothing more is to be sent.

    So after kill -9 at most two batches are repeated, and in steady state sending and fsync overlap.
    """

    def __init__(
        self, journal: Feed, name: str, record: ReaderRecord, clock: Clock, failed: Callable[[], object]
    ) -> None:
        self._journal = journal
        self._name = name
        self._clock = clock
        self._failed = failed
        self._writing: asyncio.Task[None] | None = None
        self._unwritten_since: float | None = None
        self.record = record

    @property
    def cursor(self) -> int:
        """Offset of the first event that nothing was decided on."""
        return self.record.cursor

    async def settle(
        self,
        outcomes: Mapping[Outcome, int],
        letters: Sequence[Letter] = (),
        state: bytes | None = None,
        *,
        gone: Sequence[int] = (),
        told: bool = False,
    ) -> None:
        """Count what became of events, and begin to write it.

        Args:
            outcomes: sums to the number of events that the cursor moves by.
            letters: the dead and parked ones among them.
            state: what the sink returned with the send.
            gone: numbers of letters that came to their end.
            told: a gap record tells already what is let go of by this.
        """
        untold = self.record.untold
        self.record = self.record.moved(dict(outcomes), state)
        if told:
            self.record = msgspec.structs.replace(self.record, untold=untold)
        if outcomes.keys() == {Outcome.UNMATCHED}:
            if self._unwritten_since is None:
                self._unwritten_since = self._clock.monotonic()
            if self._clock.monotonic() - self._unwritten_since < LAZY:
                return
        await self._write(letters, gone)

    async def decide(self, outcomes: Mapping[Outcome, int], gone: Sequence[int], again: Sequence[int]) -> None:
        """Count what a person decided on dead letters, and begin to write it.

        Args:
            outcomes: sums to 0.
            gone: numbers of those to remove.
            again: numbers of those that wait again.
        """
        self.record = self.record.decided(dict(outcomes))
        await self._write((), gone, again)

    async def fold(self, n: int, store: _Store) -> None:
        """Count notifications for which another one stands that `store` puts in their place, and begin to write it."""
        self.record = self.record.moved({Outcome.FOLDED: n})
        await self._begin(store)

    async def told(self) -> None:
        """Note that a gap record tells what was let go of."""
        self.record = msgspec.structs.replace(self.record, untold={})
        await self._write((), ())

    def resumed(self) -> None:
        """Note that nothing comes any more that was settled in a journal that is lost. Written with what comes next."""
        self.record = msgspec.structs.replace(self.record, resumed=None)

    async def note(self, trial: Trial) -> None:
        """Store what is known of an event that may be killing the process; return when it is on the disk."""
        self.record = msgspec.structs.replace(self.record, trial=trial)
        await self._write((), ())
        await self.done()

    def lazy_for(self) -> float | None:
        """Seconds until `write_lazy` is due; None if all is written or being written."""
        if self._unwritten_since is None:
            return None
        return max(0.0, self._unwritten_since + LAZY - self._clock.monotonic())

    async def write_lazy(self) -> None:
        """Write what only moved over events that nobody wanted."""
        if self._unwritten_since is not None:
            await self._write((), ())

    async def done(self) -> None:
        """Return when everything settled is on the disk."""
        await self.write_lazy()
        if self._writing is not None:
            await self._writing

    def abandon(self) -> None:
        """Try no longer to write what the disk refused. What has reached the journal is still written."""
        if self._writing is not None:
            self._writing.cancel()

    async def _write(self, letters: Sequence[Letter], gone: Sequence[int], again: Sequence[int] = ()) -> None:
        await self._begin(lambda record: self._journal.settle(self._name, record, letters, gone, again))

    async def _begin(self, store: _Store) -> None:
        if self._writing is not None:
            await self._writing
        self._unwritten_since = None
        failpoint.hit("delivery.settle")
        first = store(self.record)  # at once: who is cancelled now has it on its way all the same
        self._writing = asyncio.create_task(self._commit(self.record, store, first), name=f"settle {self._name}")
        self._writing.add_done_callback(self._written)

    def _written(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._failed()

    async def _commit(self, record: ReaderRecord, store: _Store, writing: Awaitable[None]) -> None:
        """Write until it is written: the far side has these events, so there is no way back.

        A record holds all counts so far, so repeating it is safe; a failed one took no effect.
        """
        backoff = Backoff(0.2, 10.0, clock=self._clock)
        while True:
            try:
                await writing
            except DiskRefused:
                await self._clock.sleep(backoff.next())
                failpoint.hit("delivery.settle")
                writing = store(record)
            else:
                failpoint.hit("delivery.settled")
                return
