"""One send: its deadline, its limit, its numbers, and what an exception of a sink means."""

from __future__ import annotations

import asyncio
from collections import Counter
from enum import StrEnum
from typing import Any, Final

import msgspec

from eventer import failpoint
from eventer.clock import Clock
from eventer.delivery.parts import checked
from eventer.errors import Blocked, Retry, SinkError
from eventer.observe.metrics import DEFAULTED, SEND_SECONDS
from eventer.sink import Batch, Enrich, Sent, Sink

__all__ = ["SLACK", "Health", "Sender", "Status"]

SLACK: Final = 1.0
"""Seconds beyond its time-out after which a sink is cancelled: it knows better words for what it
was waiting for, and may return what it has sent already."""
CUT: Final = 2.0
"""Seconds for closing a sink that was cancelled."""


class Health(StrEnum):
    """State of a sink, as people see it."""

    OPENING = "opening"
    OK = "ok"
    RETRYING = "retrying"
    BLOCKED = "blocked"
    STOPPED = "stopped"


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
    in_flight: int = 0
    """Sends under way."""
    forgiving: bool = False
    """Whether nothing is sent again of which no answer tells. Then nothing would show that all is well after a single
    answer that was lost, so only the second in a row is taken for a failure of the sink."""
    lost: bool = False
    """Whether the last answer was lost, and forgiven."""

    def failed(self, failure: SinkError, log: Any) -> None:
        """Show a failure; it is logged where it is another one than before."""
        if self.forgiving and not self.lost and isinstance(failure, Retry) and failure.unknown:
            self.lost = True
            return
        health = Health.BLOCKED if isinstance(failure, Blocked) else Health.RETRYING
        if (health, failure.reason) != (self.health, self.reason):
            log.warning("sink does not take events", state=health, reason=failure.reason, error=str(failure))
        self.health, self.reason, self.error = health, failure.reason, str(failure)

    def well(self, log: Any) -> None:
        """Show that the sink takes what it is sent."""
        self.lost = False
        if self.health is not Health.OK:
            level = log.info if self.health is Health.OPENING else log.warning
            level("sink takes events")
        self.health, self.reason, self.error = Health.OK, "", ""


class Sender:
    """Calls a sink so that nothing it does can end the runner."""

    def __init__(
        self,
        sink: Sink,
        name: str,
        timeout: float,
        clock: Clock,
        status: Status,
        log: Any,
        enrich: Enrich | None = None,
    ) -> None:
        self._sink = sink
        self._timeout = timeout
        self._clock = clock
        self._status = status
        self._log = log
        self._enrich = enrich
        self._seconds = SEND_SECONDS.labels(sink=name)
        self._name = name
        self._note = ""
        self._deadlines: set[asyncio.Timeout] = set()
        self._cut = False

    async def open(self, state: bytes | None) -> bytes | SinkError | None:
        """Open the sink; a failure is returned."""
        try:
            async with asyncio.timeout(self._timeout + SLACK):
                opened: object = await self._sink.open(state)
            if not isinstance(opened, bytes | None):
                raise TypeError(f"open returned {type(opened).__name__}, no bytes")
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - classified
            return self._classify(error)
        return opened

    async def close(self) -> None:
        """Close the sink. The books are closed by now, so a failure is only told."""
        task = asyncio.current_task()
        cut = task is not None and task.cancelling()  # it had its time, and others wait for the end
        try:
            async with asyncio.timeout(CUT if cut else self._timeout + SLACK):
                await self._sink.close()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - only told
            self._log.warning("sink did not close", error=str(self._classify(error)))

    def cut(self) -> None:
        """End the sends that are under way: they come back without an answer, beside those that have one."""
        self._cut = True
        for deadline in self._deadlines:
            if not deadline.expired():
                deadline.reschedule(asyncio.get_running_loop().time())

    async def send(self, batch: Batch) -> Sent | SinkError:
        """Send once; whatever happens is returned, and counted in the status."""
        status = self._status
        if self._enrich is not None:  # here, so that what is sent again later is looked up as it is then
            batch = await self._enrich(batch)
        began = self._clock.monotonic()
        failpoint.hit("delivery.send")
        result: Sent | SinkError
        status.in_flight += 1
        deadline = asyncio.timeout(self._timeout + SLACK)
        try:
            async with deadline:
                self._deadlines.add(deadline)
                answer: object = await self._sink.send(batch)
            result = checked(answer, len(batch))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - nothing that a sink raises ends the loop
            result = self._classify(error)
        finally:
            self._deadlines.discard(deadline)
            status.in_flight -= 1
        failpoint.hit("delivery.sent")
        now = status.beat = self._clock.monotonic()
        self._seconds.observe(now - began)
        if isinstance(result, Sent):
            status.attempts["sent"] += 1
            if len(result.failed) < len(batch):
                status.last_success = now
            if result.defaulted:
                DEFAULTED.labels(sink=self._name).inc()
            if result.note and result.note != self._note:
                self._note = result.note
                self._log.warning("sink has a note", note=result.note)
            if self._enrich is not None:
                self._enrich.count(batch)
        else:
            status.attempts[f"{type(result).__name__.lower()}:{result.reason}"] += 1
        return result

    def _classify(self, error: Exception | asyncio.CancelledError) -> SinkError:
        if isinstance(error, SinkError):
            return error
        if isinstance(error, TimeoutError):
            within = "before Eventer had to end it" if self._cut else f"within {self._timeout:g} s"
            return Retry(f"No answer {within}.", reason="timeout", unknown=True)
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise error  # it is us who are cancelled, not something within the sink
        self._log.error("unexpected error in a sink; this is a bug", exc_info=error)
        return Retry(f"Unexpected {type(error).__name__} in the sink.", reason="unexpected", unknown=True)
