"""The life of one stream: find out where we are, list if we must, watch until it ends, and again.

Three layers, each for one reason. `_watch` is one request: it ends when the server, the network or the
deadline says so. `_turn` knows what must come before a watch: a probe when the last end was odd, a list
when history is not to be had. `run` never ends: it turns failures into waits. The rules in words:

- the position moves only in stream order, in the transaction that stores what lies before it, so it is
  the target's; before each request the stream asks for it anew;
- silence is a fault: each read has a deadline a little beyond the time-out the server was given;
- a version from the future is accepted by the server in silence, so it is looked for: after each odd
  end, and after some watches in a row that brought nothing;
- no loop is hot: whatever ends a request early, the next one waits.
"""

from __future__ import annotations

import asyncio
import random
from typing import Final

import structlog

from eventer.clock import Backoff, Clock
from eventer.errors import JournalError, SourceError
from eventer.event import Arrivals
from eventer.source.answers import Unreadable
from eventer.source.audit import Audit, Findings
from eventer.source.contact import Contact
from eventer.source.envelope import Envelope
from eventer.source.kube import Cluster, Reads
from eventer.source.lines import Lines
from eventer.source.outcomes import Cause, Empty, Garbled, Torn, judge
from eventer.source.port import Target
from eventer.source.relist import Relist
from eventer.source.schedule import AuditSchedule
from eventer.source.settings import StreamSettings, StreamStatus
from eventer.source.subjects import Subject

__all__ = ["Stream"]

log = structlog.get_logger()

_LITTLE: Final = 64 << 10
"""Bytes of a read after which more may be waited for."""


class Stream:
    """One subject of one cluster, from the API server to a target.

    Args:
        cluster: the connection, shared by the streams of a cluster.
        subject: what is read.
        target: who takes what arrives.
        clock: time.
        settings: numbers.
    """

    def __init__(
        self,
        *,
        cluster: Cluster,
        subject: Subject,
        target: Target,
        clock: Clock,
        settings: StreamSettings | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.status = StreamStatus()
        self._settings = settings = settings or StreamSettings()
        self._cluster = cluster
        self.subject = subject
        self._selection = dict(subject.selection)
        self._target = target
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._log = log.bind(**subject.where)
        self._path = subject.path
        base, cap = settings.backoff
        self._backoff = Backoff(base, cap, clock=clock, rng=rng)
        self._patience = Backoff(base, settings.patience, clock=clock, rng=rng)
        self._contact = Contact(target, subject.where, settings, self.status, clock)
        self._audits = AuditSchedule(self._audit, self._found, settings, self.status, clock, subject.where)
        self._relist = Relist(
            cluster,
            self._path,
            self._selection,
            target,
            decoder=self._decoder,
            compare=self._compare,
            contact=self._contact,
            settings=settings,
            status=self.status,
        )
        self._must_list = False
        self._unsure = True
        """Whether the server's version must be probed before the position is trusted."""
        self._silent = 0
        self._gones = 0
        """410s in a row without a watch between them that worked."""
        self._spoiled: tuple[int | None, int, bytes] = (None, 0, b"")
        """Position of the last unreadable line, how often it failed there, and the line."""
        self._down = ""
        """Cause for which the stream is down, as it was logged; empty while it is up."""
        self._last_up: float | None = None
        self._live: Reads | None = None
        self._interrupted = False
        self._unstored = False
        self._rolled_back = False

    async def run(self) -> None:
        """Stream for ever; cancel it to stop. Never raises SourceError or JournalError."""
        try:
            while True:
                try:
                    wait = await self._turn()
                except (SourceError, JournalError) as error:
                    wait = self._failed(error)
                if wait:
                    await self._clock.sleep(wait)
        finally:
            await self._audits.stop()

    async def _turn(self) -> float:
        """Do what must come before a watch, then watch once. Returns the seconds to wait after it."""
        target = self._target
        await target.flush()
        if self._rolled_back:
            self._rolled_back = False
            await self._raise_epoch("The audit found objects at versions below those already seen.")
        if self._unsure and target.position is not None:
            await self._compare(await self._current())
        self._unsure = False
        if self._must_list or target.position is None:
            await self._list()
        self.status.listed = True
        return await self._watch()

    async def _watch(self) -> float:
        """Send one watch request and take what it brings until it ends."""
        target, settings, status = self._target, self._settings, self.status
        position = target.position
        if position is None:  # another stream of this cluster has raised the epoch just now
            return 0.0
        decoder = self._decoder()
        lines = Lines()
        timeout = self._rng.randint(*settings.watch_timeout)
        params = {
            **self._selection,
            "watch": "1",
            "resourceVersion": str(position),
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(timeout),
        }
        status.watches += 1
        started = self._clock.monotonic()
        moved = False
        timer: asyncio.TimerHandle | None = None
        async with self._cluster.watch(self._path, params, idle=timeout + settings.idle_margin) as reads:
            self._live = reads
            unstored = asyncio.create_task(self._close_unstored(reads))
            self._contact.heard(reads.date)
            try:
                if not self._down:
                    self._up()
                else:
                    # After a failure an open watch is no success yet: a server may end each one at once.
                    timer = asyncio.get_running_loop().call_later(settings.short, self._up)
                while data := await reads.read():
                    whole = lines.feed(data)
                    if whole:
                        moved = await self._block(decoder, whole, position) or moved
                    if self._interrupted or target.epoch != decoder.epoch:
                        self._interrupted = False
                        status.ended[Cause.AUDIT if self._must_list else Cause.EPOCH] += 1
                        return 0.0
                    if settings.pause and len(data) < _LITTLE:
                        with reads.resting():
                            await self._clock.sleep(settings.pause)
            finally:
                self._live = None
                unstored.cancel()
                if timer is not None:
                    timer.cancel()
                if self._clock.monotonic() - started >= settings.settled:
                    self._gones = 0
        if lines.torn:
            raise Torn(f"The watch ended within a line, after {lines.torn} bytes of it.")
        lasted = self._clock.monotonic() - started
        if lasted < settings.short and not moved:
            raise Empty("The watch ended at once and brought nothing.")
        await target.flush()
        self._contact.touch()
        if lasted < timeout * 0.9:
            status.ended[Cause.EOF] += 1
            self._unsure = True
            return max(0.05, self._rng.uniform(0.0, settings.jitter))
        status.ended[Cause.TIMEOUT] += 1
        self._silent = 0 if moved else self._silent + 1
        if self._silent >= settings.silent_watches:
            self._silent = 0
            self._unsure = True
        return 0.0

    async def _block(self, decoder: Envelope, data: bytes, start: int) -> bool:
        """Take one block; return whether it brought the stream forward.

        Raises:
            SourceError: an ERROR line, or a line that is none. What stood before it has been taken.
        """
        target, status = self._target, self.status
        block = decoder.block(data)
        arrivals = block.arrivals
        arrivals.partial = bool(self._selection)
        if block.lines:
            if self._down:
                self._up()
            self._audits.note(arrivals)
            now = self._contact.now()
            status.last_line = now.timestamp()
            if arrivals.events or arrivals.sightings:
                status.last_event = status.last_line
            if arrivals.events:
                # They come in the order of their writing, so the last one is the newest.
                status.lag = max(0.0, (now - arrivals.events[-1].time).total_seconds())
            status.bookmarks += block.bookmarks
            status.poison += len(arrivals.poison)
            before = target.position
            await target.take(arrivals)
            # Contact is noted for what is committed only: while the disk refuses, time without contact
            # must go on counting, or a gap would pass unseen.
            if before is not None and before > start:
                self._contact.touch()
            self._gones = 0
        if block.error is not None:
            raise block.error
        if block.garbage is not None:
            status.garbage += 1
            raise Garbled("A line of the watch is none of Kubernetes'.", block.garbage)
        return arrivals.position is not None and arrivals.position != start

    async def _list(self) -> None:
        """List everything that exists."""
        target = self._target
        _, count, line = self._spoiled
        if count >= self._settings.spoiled and line:
            # It failed as often as we are willing to ask again: keep what came, then go around it.
            self._spoiled = (None, 0, b"")
            self.status.poison += 1
            await target.take(Arrivals(events=[], added=[], poison=[line], size=len(line)))
        self._audits.abandon()
        items = await self._relist.run()
        self._must_list = False
        self._log.info("listed", items=items, position=target.position)

    async def _current(self) -> int:
        """Probe: the cluster's current version, by a quorum read of one item.

        It is never used as a position: the watch may not have brought what lies before it. It is asked
        without selector: the version is that of all, and the server need not search for an item that matches.
        """
        answer = await self._cluster.get(self._path, {"limit": "1"}, deadline=self._settings.deadline)
        self._contact.heard(answer.date)
        return self._decoder().page(answer.body).version

    async def _compare(self, current: int) -> None:
        """Raise the epoch if the cluster's version lies before our position, twice in a row."""
        position = self._target.position
        if position is None or current >= position:
            return
        await self._clock.sleep(self._settings.confirm)
        current = await self._current()
        if self._target.position is not None and current < self._target.position:
            await self._raise_epoch(f"The cluster is at version {current}, we had read up to {position}.")

    async def _raise_epoch(self, why: str) -> None:
        self.status.rollbacks += 1
        self._log.warning("rollback: the cluster's history went back, starting a new epoch", why=why)
        await self._target.raise_epoch()
        self._must_list = True

    def _decoder(self) -> Envelope:
        return self.subject.decoder(self._target.epoch, self._contact.now)

    def _up(self) -> None:
        """A watch is open and looks well; start an audit if one is due."""
        status = self.status
        now = self._clock.monotonic()
        if not status.connected:
            self._log.info("stream is up", position=self._target.position, after=self._down or "start")
            if self._last_up is not None:
                self._audits.after_outage(now - self._last_up)
        status.connected = True
        status.blocked = ""
        self._down = ""
        self._audits.begin()

    async def _close_unstored(self, reads: Reads) -> None:
        """Close a watch of which something could not be stored: it would bring that no second time."""
        await self._target.failed()
        self._unstored = True
        reads.close()

    def _failed(self, error: SourceError | JournalError) -> float:
        """Note what failed; return the seconds until the next try."""
        status, settings = self.status, self._settings
        if self._interrupted:  # we closed the socket ourselves
            self._interrupted = False
            status.ended[Cause.AUDIT] += 1
            return 0.0
        if self._unstored:
            self._unstored = False
            if isinstance(error, SourceError):  # the same; the next flush says what happened
                return 0.0
        verdict = judge(error, self.subject.what)
        cause = verdict.cause
        status.ended[cause] += 1
        if cause is Cause.GONE:
            self._must_list = True
            self._gones += 1
            self._log.info("history is compacted, listing", position=self._target.position)
            return self._rng.uniform(0.0, settings.jitter) if self._gones == 1 else self._backoff.next()
        self._unsure = True
        status.last_error = str(error)
        if status.connected:
            self._last_up = self._clock.monotonic()
        status.connected = False
        if cause in {Cause.GARBAGE, Cause.OVERSIZE}:
            self._spoil(error)
        if cause != self._down or verdict.blocked != status.blocked:
            level = self._log.error if verdict.blocked else self._log.warning
            seen = {"excerpt": error.excerpt} if isinstance(error, Unreadable) else {}
            level("stream is down", cause=str(cause), reason=str(error), **seen)
        self._down = cause
        status.blocked = verdict.blocked
        backoff = self._patience if verdict.patient else self._backoff
        return backoff.next(at_least=verdict.after)

    def _spoil(self, error: SourceError | JournalError) -> None:
        """Count unreadable lines at one position: after some of them the list goes around."""
        position, count, _ = self._spoiled
        count = count + 1 if position == self._target.position else 1
        self._spoiled = (self._target.position, count, error.body if isinstance(error, Garbled) else b"")
        if count >= self._settings.spoiled:
            self._must_list = True

    def _audit(self) -> Audit:
        return Audit(
            self._cluster, self._path, self._selection, self._target, self._decoder(), self._settings, self._clock
        )

    def _found(self, findings: Findings) -> None:
        """Close the watch for what an audit found; a list brings it in."""
        self._rolled_back = findings.rolled_back
        self._must_list = True
        if self._live is not None:
            self._interrupted = True
            self._live.close()
