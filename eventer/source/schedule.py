"""When an audit runs: after the start, after a long outage, every few hours, and never beside a list."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

import structlog

from eventer.clock import Clock
from eventer.errors import JournalError, SourceError
from eventer.event import Arrivals
from eventer.source.audit import Audit, Findings
from eventer.source.settings import StreamSettings, StreamStatus

__all__ = ["AuditSchedule"]

log = structlog.get_logger()


class AuditSchedule:
    """Runs the audits of one stream, one at a time, in a task of its own.

    Args:
        make: an audit of the stream as it is now.
        found: told what an audit found, if that is anything.
        settings, status, clock: the stream's.
        where: cluster and namespace, for the log.
    """

    def __init__(
        self,
        make: Callable[[], Audit],
        found: Callable[[Findings], None],
        settings: StreamSettings,
        status: StreamStatus,
        clock: Clock,
        where: Mapping[str, str],
    ) -> None:
        self._make = make
        self._found = found
        self._settings = settings
        self._status = status
        self._clock = clock
        self._log = log.bind(**where)
        self._audit: Audit | None = None
        self._task: asyncio.Task[None] | None = None
        self.due = clock.monotonic()
        """When the next one begins, by the monotonic clock."""

    def note(self, arrivals: Arrivals) -> None:
        """Tell a running audit what the watch brings meanwhile."""
        if self._audit is not None:
            self._audit.note(arrivals)

    def after_outage(self, seconds: float) -> None:
        """Have an audit begin with the next watch if the outage was long."""
        if seconds > self._settings.audit_after:
            self.due = self._clock.monotonic()

    def begin(self) -> None:
        """Start an audit if one is due and none runs."""
        now = self._clock.monotonic()
        if now >= self.due and (self._task is None or self._task.done()):
            self.due = now + self._settings.audit_every
            self._task = asyncio.create_task(self._run_audit())

    def abandon(self) -> None:
        """Give up a running audit: a list changes the ledger under its hands. It begins anew after it."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            self.due = self._clock.monotonic()

    async def stop(self) -> None:
        """End a running audit and wait for that."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run_audit(self) -> None:
        status = self._status
        self._audit = self._make()
        try:
            findings = await self._audit.run()
        except (SourceError, JournalError) as error:
            status.audits_failed += 1
            self.due = self._clock.monotonic() + self._settings.audit_retry
            self._log.info("audit failed, it will be tried again", reason=str(error))
            return
        finally:
            self._audit = None
        status.audits += 1
        status.audit_missed += findings.missed
        if findings.missed:
            self._log.warning("audit: objects exist that were never seen, listing", missed=findings.missed)
        if findings.missed or findings.rolled_back:
            self.due = self._clock.monotonic() + self._settings.audit_retry
            self._found(findings)
