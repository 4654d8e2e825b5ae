"""How the notifications of one notifier are delivered: one message each, or one for several.

A robot takes few messages, and punishes who sends more. So where more wait than may go now, or where the first
has waited so long that one message each would bury what is new, all of them go as one: a notification that
stands for several. It is made from them at each try, so what comes meanwhile goes with it. A far side that is
away for days is owed no more than `WAITING_MOST` of them: beyond that the oldest are folded where they lie.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

import structlog

from eventer.clock import Clock
from eventer.delivery.breaker import Limit
from eventer.delivery.parts import Parts
from eventer.delivery.rejections import UNKNOWN
from eventer.delivery.settlement import Settlement
from eventer.delivery.trial import Trials, guilty
from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.event import Outcome
from eventer.journal import Letter, Notes, Slice
from eventer.sink import Batch, BatchConfig, Sent

__all__ = ["AT_ONCE", "LATE", "WAITING_MOST", "Fold", "Messages", "Telling"]

AT_ONCE: Final = BatchConfig(count=500)
"""Notifications in one read, for which one message may stand."""
LATE: Final = 900.0
"""Seconds that a notification waits before it is told together with what waits behind it."""
WAITING_MOST: Final = 1_000
"""Notifications that wait for one notifier, about 10 KiB each at most."""

log = structlog.get_logger()

Fold = Callable[[Sequence[bytes]], bytes]
"""Makes one encoded notification that stands for several. It raises ValueError where one of them cannot be read."""
Bury = Callable[[Rejected], Blocked | None]


class Messages(Parts):
    """Notifications on their way: each part is one message.

    Args:
        fold: makes the message of a part with several.
        again: whether a message that may have arrived, though no answer tells, is sent again.
    """

    def __init__(
        self,
        lines: Sequence[bytes],
        letter: Callable[[int, Outcome, SinkError], Letter],
        bury: Bury,
        fold: Fold,
        *,
        again: bool,
    ) -> None:
        super().__init__(lines, letter, bury)
        self._all = lines
        self._fold = fold
        self._again = again

    def send(self, indexes: Sequence[int], lanes: int = 1) -> None:
        """Set what is to be sent: each as a message of its own, in order."""
        assert lanes == 1
        self._lanes = [[[i] for i in indexes]]

    def fold(self) -> None:
        """Send one message for all."""
        self._lanes = [[range(len(self._all))]]

    def _batch(self, part: Sequence[int]) -> Batch:
        if len(part) == 1:
            return Batch([self._all[part[0]]])
        return Batch([self._fold([self._all[i] for i in part])])

    def single_out(self, rng: Random) -> None:
        """Let the next message be the first notification alone."""
        self.send([i for lane in self._lanes for part in lane for i in part])

    def judge(self, lane: int, result: Sent | SinkError) -> list[SinkError]:
        """Take the answer to a message; see `Parts.judge`."""
        part = self._lanes[lane][0]
        if isinstance(result, Sent) and result.failed:
            result = next(iter(result.failed.values()))
        if isinstance(result, Retry) and result.unknown and not self._again:
            return self._skip(lane, result)
        if isinstance(result, SinkError):
            return super().judge(lane, result)
        for i in part[:-1]:
            self._fates[i] = Outcome.FOLDED
        self._fates[part[-1]] = Outcome.DUPLICATE if result.duplicates else Outcome.DELIVERED
        self._lanes[lane].pop(0)
        return []

    def _skip(self, lane: int, error: Retry) -> list[SinkError]:
        """Keep a message that may have arrived for a person to decide on, and all that it stands for with it."""
        said = f"{error} It may have arrived all the same, and on_unknown: skip sends nothing twice."
        skipped = Rejected(said, reason=UNKNOWN)
        instead = self._bury(skipped)
        if instead is not None:
            return [instead]
        for i in self._lanes[lane].pop(0):
            self._fates[i] = Outcome.DEAD
            self._letters[i] = self._letter(i, Outcome.DEAD, skipped)
        return [error]


class Telling:
    """Decides how what waits for one notifier goes out.

    Args:
        name: of the notifier.
        log: its notifications.
        fold: makes one of several.
        clock: time.
        again: whether a message that may have arrived, though no answer tells, is sent again.
    """

    def __init__(self, name: str, log: Notes, fold: Fold, clock: Clock, *, again: bool = True) -> None:
        self._name = name
        self.log = log
        self._fold = fold
        self._clock = clock
        self._again = again
        self._since = -math.inf
        self._at: float | None = None
        """When what is sent now began to wait, monotonic seconds; and the same as it was stored."""

    def parts(
        self, lines: Sequence[bytes], letter: Callable[[int, Outcome, SinkError], Letter], bury: Bury
    ) -> Messages:
        """Return notifications that are to go one by one or folded, as `Parts`."""
        return Messages(lines, letter, bury, self._fold, again=self._again)

    def sort(self, piece: Slice, limit: Limit, trials: Trials, bury: Bury) -> Messages:
        """Set up what was read."""

        def letter(index: int, state: Outcome, error: SinkError) -> Letter:
            number = piece.first + index
            return Letter(
                number=number,
                state=state,
                reason=error.reason,
                answer=error.answer or str(error),
                entity=f"{self._name}/{number}",
                destination=error.destination,
                at=piece.appended(index),
                event=piece.lines[index],
            )

        parts = self.parts(piece.lines, letter, bury)
        n = len(piece.lines)
        if trials.guilty(piece.first):
            parts.decide(0, Outcome.DEAD, letter(0, Outcome.DEAD, guilty()))
            parts.send(range(1, n))
            return parts
        late = self._waited(piece.rows[0][1]) > LATE
        if n > 1 and (late or n > limit.free) and self._together(piece.lines) is not None:
            parts.fold()
        else:
            parts.send(range(n))
        return parts

    def _waited(self, at: float) -> float:
        """Return the seconds that the first notification that is not settled has waited.

        The wall clock is believed once, after a restart: one that is set afterwards makes nothing older or younger.

        Args:
            at: when it was stored, seconds since 1970; nothing before it waits.
        """
        now = self._clock.monotonic()
        if at != self._at:
            # It came after what was looked at before.
            self._since = max(self._since, now - max(0.0, self._clock.now().timestamp() - at))
            self._at = at
        return now - self._since

    async def compact(self, settlement: Settlement) -> bool:
        """Fold the oldest where they lie, if more wait than may; return whether it was done."""
        notes = self.log
        if notes.head - settlement.cursor <= WAITING_MOST:
            return False
        await settlement.done()
        piece = await notes.read(settlement.cursor, AT_ONCE.count, AT_ONCE.bytes)
        body = self._together(piece.lines) if len(piece.lines) > 1 else None
        if body is None:
            return False
        await settlement.fold(len(piece.lines) - 1, lambda record: notes.settle(self._name, record, instead=body))
        await settlement.done()  # what is read next must be what stands for all
        log.warning("notifications wait in vain, the oldest are folded", sink=self._name, folded=len(piece.lines))
        return True

    def _together(self, lines: Sequence[bytes]) -> bytes | None:
        """Return what stands for all; None where one of them cannot be read, and must be met alone."""
        try:
            return self._fold(lines)
        except ValueError:
            return None
