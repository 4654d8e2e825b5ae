"""Writing the mirror while the daemon runs, and beginning from it where the journal is new.

Nothing here stops the export: what fails is counted, told once, and tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, Protocol

import msgspec
import structlog

from eventer.clock import Backoff, Clock
from eventer.errors import EventerError, JournalError, Refused, SourceError
from eventer.event import Outcome, own_record
from eventer.journal import Journal, StreamKey
from eventer.journal.notes import LETTERS
from eventer.journal.records import OWN, Resumed
from eventer.mirror.marks import Marks
from eventer.mirror.record import Cluster, Kept, Reached, StreamKept, TooLarge, Unusable, decode, encode
from eventer.mirror.told import Told

__all__ = ["Mirror", "MirrorStatus", "Store"]

EVERY: Final = 10.0
"""Least seconds between two writes: what a new pod repeats at most, and 8,640 writes a day for the API server."""
MARKS: Final = 20
"""Marks in that time: how fine positions are."""
WAIT: Final = 60.0
"""Most seconds that a start waits for the mirror. Events are not read meanwhile; a cluster keeps them for an hour."""
YIELD: Final = 300.0
"""Seconds without a change after which another writer counts as gone. Where its API answers, each writes once a
minute at least, because the time of contact moves."""
LAST: Final = 3.0
"""Seconds for the write at the end: with the 25 of the sinks less than the 30 that Kubernetes grants a pod."""
_CONFLICT: Final = 409

log = structlog.get_logger()


class Store(Protocol):
    """Where the text is kept; see `eventer.source.configmap`."""

    shown: str

    async def read(self) -> tuple[str | None, str]:
        """Return the text, if there is one, and the version of what holds it."""
        ...

    async def write(self, text: str, version: str) -> str:
        """Replace the text in what has that version; return the new one. Raises Refused (409) if it has another."""
        ...


class MirrorStatus(msgspec.Struct):
    """What can be seen of it. Times are monotonic."""

    writes: int = 0
    failures: int = 0
    conflicts: int = 0
    """How often somebody else had written."""
    error: str = ""
    """Why it is not written, or not read at the start, in words; empty while it is."""
    current: float | None = None
    """When it last held what there was to hold."""
    resuming: bool = False
    """Whether the start waits for it."""


class _TakenError(EventerError):
    """Another Eventer writes here."""


class Mirror:
    """The mirror of one journal.

    Args:
        store: where it is kept.
        journal: open.
        clock: time.
    """

    def __init__(self, store: Store, journal: Journal, clock: Clock) -> None:
        self.status = MirrorStatus()
        self._store = store
        self._journal = journal
        self._clock = clock
        self._marks = Marks()
        self._backoff = Backoff(1.0, 60.0, clock=clock)
        self._version: str | None = None
        """Of what holds the mirror, as we know it; None before it was read."""
        self._written: Kept | None = None
        self._floors: dict[str, dict[StreamKey, Reached]] = {}
        """What sinks have settled for certain, by an earlier mirror or the last look."""
        self._told = Told(journal)
        """Of the moments of which the floors of notifiers are."""
        self._dead: dict[str, int] = {}
        self._other = ""
        self._yield_until = 0.0

    # -- the start -------------------------------------------------------------------------------

    async def resume(
        self,
        sinks: Mapping[str, bool],
        scopes: Iterable[tuple[str | None, str]],
        notifiers: Collection[str] = (),
        readable: Callable[[bytes], bool] = bool,
    ) -> bool:
        """Take over what the mirror holds, if no stream was ever read into this journal; a journal that knows wins.

        Call it before any reader or stream is begun.

        Args:
            sinks: names in the configuration; whether each, if new, begins with what comes next.
            scopes: cluster (None: it has no name of its own) and scope of each stream; a scope may have `*` in it.
            notifiers: those of the sinks that are told of problems.
            readable: whether alerting understands what the mirror says that it remembered.

        Returns:
            False if the mirror could not be used. What the clusters hold must all be exported then.

        Raises:
            JournalError: it could not be stored.
        """
        usable = True
        if all(key == OWN for key in self._journal.streams):
            self.status.resuming = True
            try:
                usable = await self._resume(sinks, scopes, notifiers, readable)
            finally:
                self.status.resuming = False
        self._dead = {name: resumed.dead for name, resumed in self._resumed().items() if resumed.dead}
        return usable

    def _resumed(self) -> dict[str, Resumed]:
        """Return what readers settled in an earlier journal, as far as it may come again."""
        found = {name: reader.resumed for name, reader in self._journal.readers.items()}
        found |= {name: reader.resumed for name, reader in self._journal.alerting.readers.items()}
        return {name: resumed for name, resumed in found.items() if resumed is not None}

    async def _resume(
        self,
        sinks: Mapping[str, bool],
        scopes: Iterable[tuple[str | None, str]],
        notifiers: Collection[str],
        readable: Callable[[bytes], bool],
    ) -> bool:
        try:
            kept = await self._found()
        except (SourceError, Unusable) as error:
            reason = str(error)
        else:
            return await self._adopt(kept, sinks, scopes, notifiers, readable)
        log.error("mirror of no use, everything is exported again", configmap=self._store.shown, reason=reason)
        return False

    async def _found(self) -> Kept | None:
        """Read the mirror, with patience. None: there is none yet."""
        deadline = self._clock.monotonic() + WAIT
        while True:
            try:
                return await self._read()
            except SourceError as error:
                if isinstance(error, Refused) and error.status == 404:
                    return None  # `run` says what is missing
                self._failed(error)
                wait = self._backoff.next(getattr(error, "after", None))
                if self._clock.monotonic() + wait > deadline:
                    raise
            await self._clock.sleep(wait)

    async def _adopt(
        self,
        kept: Kept | None,
        sinks: Mapping[str, bool],
        scopes: Iterable[tuple[str | None, str]],
        notifiers: Collection[str],
        readable: Callable[[bytes], bool],
    ) -> bool:
        self.status.error = ""
        if kept is None:
            log.info("no mirror yet, this is the first start", configmap=self._store.shown)
            return True
        for name, carried in kept.notifiers.items():
            if carried.state and not readable(carried.state):
                log.error("what a notifier was told is unreadable, it is told again", sink=name)
                kept.forget(name)
        adopted = kept.adopted(sinks, scopes, notifiers)
        self._restore(kept)
        gone = [name for name in kept.sinks if name not in sinks]
        if gone:
            log.warning("sinks of the mirror are not in the configuration any more", sinks=gone)
        await self._journal.silences.change(kept.silences)
        await self._journal.adopt(adopted)
        log.warning(
            "the journal is new, streams go on by the mirror",
            configmap=self._store.shown,
            positions={f"{key.cluster} {key.scope}": record.position for key, record in adopted.streams.items()},
        )
        return True

    async def tell(self) -> None:
        """Record which dead letters went with an earlier journal, once the readers are begun.

        A kill in the moments after that repeats the record.

        Raises:
            JournalError: it could not be stored.
        """
        if self._dead:
            lost = ", ".join(f"{n} of {name}" for name, n in sorted(self._dead.items()))
            message = f"The journal went with its pod, and with it dead letters that nobody had looked at: {lost}."
            log.error("dead letters lost", sinks=self._dead)
            await self._journal.record(own_record(self._clock.now(), "GapDeadLetters", message))

    # -- while it runs ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Write what has changed, for ever."""
        due = self._clock.monotonic() + EVERY
        while True:
            await self._clock.sleep(EVERY / MARKS)
            self._mark()
            if self._clock.monotonic() >= due:
                wait = await self.round()
                due = self._clock.monotonic() + wait

    async def finish(self) -> None:
        """Write a last time, when everything is settled that will be."""
        if self._clock.monotonic() >= self._yield_until:
            self._mark()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST):
                    await self.round()

    def _mark(self) -> None:
        self._marks.take(self._journal.head, self._journal.streams)

    async def round(self) -> float:
        """Write if there is something new; return the seconds until the next time."""
        try:
            await self._round()
        except (SourceError, JournalError, TooLarge, _TakenError) as error:
            self._failed(error)
            if isinstance(error, _TakenError):
                return EVERY
            return max(EVERY, self._backoff.next(getattr(error, "after", None)))
        self._backoff.reset()
        if self.status.error:
            log.warning("mirror is written again", configmap=self._store.shown)
        self.status.error = ""
        self.status.current = self._clock.monotonic()
        return EVERY

    async def _round(self) -> None:
        if self._version is None or self._clock.monotonic() < self._yield_until:
            await self._look()
        if self._clock.monotonic() < self._yield_until:
            raise _TakenError(self._other)
        kept = await self._gather()
        if kept == self._written:
            return
        try:
            self._version = await self._store.write(encode(kept), self._version or "")
        except Refused as error:
            if error.status == 404:  # whoever makes it anew gives it another version
                self._version = None
            if error.status != _CONFLICT:
                raise
            await self._look()
            if self._other:
                raise _TakenError(self._other) from None
            # The answer to an earlier write was lost, or something beside our key was changed.
            self._version = await self._store.write(encode(kept), self._version or "")
        self._written = kept
        self.status.writes += 1

    async def _look(self) -> None:
        """Read the mirror again, and whether another Eventer writes it."""
        before = self._version
        try:
            kept = await self._read()
        except Unusable as error:
            log.warning("mirror unusable, it is written anew", configmap=self._store.shown, reason=str(error))
            kept = None
        mine = kept is None or kept.instance == self._journal.instance
        if before is None:
            # The first look. A journal that began from this mirror has no positions of its own for sinks that are
            # behind; what another journal wrote says nothing of this one.
            if kept is not None and (mine or self._resumed()) and not self._floors:
                self._restore(kept)
        elif mine:
            self._other = ""
            self._yield_until = 0.0
        elif self._version != before:
            self.status.conflicts += 1
            self._written = None
            self._yield_until = self._clock.monotonic() + YIELD
            self._other = (
                f"Another Eventer writes the mirror {self._store.shown} as well, so this one leaves it alone until the "
                f"other has been silent for {YIELD:.0f} s. Stop one of them, or give each a ConfigMap of its own."
            )

    def _restore(self, kept: Kept) -> None:
        self._floors = {name: kept.reached(name) for name in kept.sinks}
        self._told.restore(kept.notifiers)

    async def _read(self) -> Kept | None:
        text, self._version = await self._store.read()
        return None if text is None else decode(text)

    async def _gather(self) -> Kept:
        """Return what the mirror is to hold, of one moment or a little before."""
        journal = self._journal
        read = self._marks.take(journal.head, journal.streams)
        clusters = {
            name: Cluster(uid=record.uid, epoch=record.epoch)
            for name in {key.cluster for key in read}
            if (record := journal.cluster(name)) is not None
        }
        # Cursors first: what is parked between this and the look at the letters lies behind them.
        readers = dict(journal.readers)
        settled: dict[str, dict[StreamKey, Reached]] = {}
        offsets: list[int] = []
        for name, reader in readers.items():
            offset = reader.cursor
            if reader.outcomes.get(Outcome.PARKED):
                parked = await journal.parked(name)
                offset = min([offset, *(letter.number for letter in parked[:1])])
            offsets.append(offset)
            settled[name] = self._furthest(name, self._marks.below(offset))
        for name, alerting in dict(journal.alerting.readers).items():
            offsets.append(alerting.cursor)
            told = await self._told.look(name)
            floor = self._floors.get(name, {})
            settled[name] = floor if told is None else self._furthest(name, self._marks.below(told))
        for name in self._told.gone():
            settled.pop(name, None)
        self._marks.forget(min(offsets, default=journal.head))
        self._floors = settled
        dead = await journal.letters()
        letters = {name: LETTERS + name if name in self._told.kept else name for name in settled}
        return Kept(
            instance=journal.instance,
            clusters=clusters,
            streams=[
                StreamKept(
                    cluster=key.cluster,
                    scope=key.scope,
                    read=reached,
                    sinks={name: found[key] for name, found in settled.items() if key in found},
                )
                for key, reached in sorted(read.items())
                if key.cluster in clusters
            ],
            sinks={name: dead.get((each, Outcome.DEAD), 0) for name, each in letters.items()},
            notifiers=dict(self._told.kept),
            silences=self._told.silences(self._clock.now().timestamp()),
        )

    def _furthest(self, sink: str, marked: Mapping[StreamKey, Reached]) -> dict[StreamKey, Reached]:
        """Join what marks say with what was known of a sink before: what is settled stays so.

        A dead letter that is tried again is parked, far behind; but it counted as settled when it died.
        """
        found = dict(self._floors.get(sink, {}))
        for key, reached in marked.items():
            if key not in found or found[key].version <= reached.version:
                found[key] = reached
        return found

    def _failed(self, error: EventerError) -> None:
        self.status.failures += 1
        if str(error) != self.status.error:
            if self.status.resuming:
                log.error("mirror cannot be read, the start waits", configmap=self._store.shown, reason=str(error))
            else:
                log.error("mirror is not written", configmap=self._store.shown, reason=str(error))
        self.status.error = str(error)
