"""How many requests a far side bears now, as its vendor counts: whichever sink sends them, and across restarts.

A robot in a chat takes so many messages in a minute, and some punish whoever sends more. Neither asks which sink sent
them, nor whether the process was killed in between. So each request is noted before it begins, under what the far side
is known by; of that a hash alone is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

from eventer.clock import Clock
from eventer.errors import JournalError, Retry

__all__ = ["MINUTE", "MOST", "Allowance", "Allowances", "Bears", "Together"]

MINUTE: Final = 61.0
"""Seconds of a vendor's minute, and one more because it counts when requests arrive."""
MOST: Final = 100
"""Requests that are remembered of one far side."""

Keep = Callable[[str, Sequence[float]], Awaitable[None]]
"""Stores when the last requests to a far side began, seconds since 1970. It may raise JournalError."""


class Bears(Protocol):
    """What a runner asks before it sends."""

    @property
    def free(self) -> int:
        """How many requests may begin now."""
        ...

    @property
    def wait(self) -> float:
        """Seconds until one may begin; 0 when one may now."""
        ...


class Allowances:
    """All far sides that somebody asks about.

    Args:
        clock: time.
        known: when the last requests of earlier processes began, by far side, seconds since 1970.
        keep: stores the same; None to forget it with the process.
    """

    def __init__(self, clock: Clock, known: Mapping[str, Sequence[float]] = {}, keep: Keep | None = None) -> None:
        self._clock = clock
        self._keep = keep
        now, wall = clock.monotonic(), clock.now().timestamp()
        # A wall clock that was set back meanwhile makes them younger, and nobody is sent more by that.
        self._begun = {
            key: deque(sorted(now - max(0.0, wall - at) for at in times), maxlen=MOST) for key, times in known.items()
        }

    def of(self, address: Callable[[], str], most: int, seconds: float) -> Allowance:
        """Return what one far side bears.

        Args:
            address: what it is known by, asked each time: a file with a secret may be replaced. It may raise OSError.
            most: requests that may begin in any stretch of `seconds`; `MOST` at most.
            seconds: length of that stretch.
        """
        return Allowance(self, address, most, seconds)

    def begun(self, address: str) -> deque[float]:
        """Return when the last requests to a far side began, monotonic seconds, in order."""
        return self._begun.setdefault(_key(address), deque(maxlen=MOST))

    @property
    def now(self) -> float:
        """Monotonic seconds."""
        return self._clock.monotonic()

    async def begin(self, address: str) -> None:
        """Note that a request begins, so that it is known after kill -9."""
        now, wall = self.now, self._clock.now().timestamp()
        times = self.begun(address)
        times.append(now)
        if self._keep is not None:
            # A disk that refuses must not keep people from being told.
            with contextlib.suppress(JournalError):
                await self._keep(_key(address), [wall - (now - at) for at in times])
            if now in times:  # it begins when it is noted, and a disk may be slow
                times.remove(now)
                times.append(self.now)


class Allowance:
    """What one far side bears; see `Allowances.of`."""

    def __init__(self, all_: Allowances, address: Callable[[], str], most: int, seconds: float) -> None:
        assert 0 < most <= MOST
        self._all = all_
        self._address = address
        self._most = most
        self._seconds = seconds

    @property
    def free(self) -> int:
        """See `Bears`."""
        since = self._all.now - self._seconds
        return max(0, self._most - sum(at > since for at in self._begun()))

    @property
    def wait(self) -> float:
        """See `Bears`."""
        if self.free:
            return 0.0
        return max(0.001, self._begun()[-self._most] + self._seconds - self._all.now)

    @property
    def last(self) -> float:
        """When the last request began, monotonic seconds; minus infinity if none did."""
        return max(self._begun(), default=float("-inf"))

    async def take(self) -> None:
        """Note a request that begins now.

        Raises:
            Retry: the far side would be sent too much; it says when it would not.
        """
        if wait := self.wait:
            message = f"It has been sent {self._most} messages within {self._seconds:.0f} s, which is what it bears."
            raise Retry(message, reason="paced", after=wait)
        await self._all.begin(self._address())

    def _begun(self) -> Sequence[float]:
        try:
            return self._all.begun(self._address())
        except (OSError, UnicodeDecodeError):
            return ()  # whoever sends says what is wrong with the file


class Together:
    """What several far sides bear that stand in for each other."""

    def __init__(self, parts: Sequence[Bears]) -> None:
        self._parts = parts

    @property
    def free(self) -> int:
        """See `Bears`."""
        return sum(part.free for part in self._parts)

    @property
    def wait(self) -> float:
        """See `Bears`."""
        return min(part.wait for part in self._parts)


def _key(address: str) -> str:
    return hashlib.sha256(address.strip().encode("utf-8", "surrogatepass")).hexdigest()[:32]
