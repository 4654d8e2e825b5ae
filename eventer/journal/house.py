"""How large the log is: what waits for sinks, what is kept beyond that, and what must go.

What every reader has passed is kept for a while (`state.keep`), so that people can look back. It takes no
room from what waits: it is in no figure of the backlog, has at most a quarter of what the log may hold, and
goes first of all when room is short. No reader is ever told to let go because of it.
"""

from __future__ import annotations

from eventer.clock import Clock
from eventer.journal import log
from eventer.journal.reader import Reader
from eventer.journal.writer import Writer

__all__ = ["House"]


class House:
    """The sizes of one journal's log, and its trimming.

    Args:
        stored: bytes of bodies in the log.
        kept: bytes of them that every reader has passed.
        max_size: bytes of bodies that may wait.
        keep: seconds after its append for which an event stays.

    Attributes:
        shed_to: offset below which readers must let events go.
        used: bytes of the database in use at the last look.
    """

    def __init__(
        self,
        stored: int,
        kept: int,
        reader: Reader,
        writer: Writer,
        clock: Clock,
        *,
        max_size: int,
        keep: float,
    ) -> None:
        self._stored = stored
        self._kept = kept
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._max_size = max_size
        self._keep = keep
        self.shed_to = 0
        self.used = 0

    @property
    def backlog(self) -> int:
        """Bytes of events that some reader has not passed."""
        return max(0, self._stored - self._kept)

    def added(self, size: int) -> None:
        """Count the body of an append."""
        self._stored += size

    async def tidy(self, settled: int, *, short: bool) -> None:
        """Look at the sizes, and trim.

        Args:
            settled: offset that every reader has reached.
            short: the disk has no room, so nothing is kept that need not be.

        Raises:
            JournalError: the disk refuses. The sizes are known all the same, if it can be read.
        """
        # First what only reads: a full disk must not keep laggards from being told.
        await self._measure(settled)
        upto = settled
        if self._keep and self._kept and not short:
            most = min(self._max_size // 4, max(0, self._max_size - self.backlog))
            since = self._clock.now().timestamp() - self._keep
            upto = await self._reader.run(lambda c: log.kept_from(c, settled, since, most))
        trimmed = False
        removed = log.TRIM
        while removed == log.TRIM:
            removed, size = await self._writer.submit(lambda c: log.trim(c, upto))
            self._stored -= size
            trimmed = trimmed or removed > 0
        if trimmed:
            await self._measure(settled)

    async def _measure(self, settled: int) -> None:
        self.used, self._kept = await self._reader.run(lambda c: (log.used(c), log.passed(c, settled)))
        excess = self.backlog - self._max_size
        # Down to 90 %: shedding a little at each round would tear every batch.
        enough = excess + self._max_size // 10
        self.shed_to = await self._reader.run(lambda c: log.shed(c, settled, enough)) if excess > 0 else 0
