"""Intake: what a source brings becomes journal appends. Filter, dedupe, counts, the books.

Before the journal nothing is held for a window and nothing depends on time: an event is dropped
only because a filter rule names it, or because the ledger knows this occurrence. Each stream has
one `Intake`; it owns the stream's record, and writes it whole with each append.

Pace: after quiet an event goes at once; otherwise an append begins at most every 10 ms, or at
256 KiB. Without that pace, 1,000 events/s would be 1,000 commits and fill a core.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import msgspec

from eventer.clock import Clock
from eventer.config.types import FilterRule
from eventer.errors import JournalError
from eventer.event import EPOCH_SHIFT, Arrivals, Event, Outcome, encode_lines, version_of
from eventer.journal import Entry, Journal, Letter, StreamKey, StreamRecord
from eventer.journal.records import ClusterRecord
from eventer.match import Verdicts
from eventer.redaction import Redaction, RedactRule
from eventer.sightings import Sightings

__all__ = ["Intake", "content_hash"]

PACE: Final = 0.010
"""Seconds between the beginnings of two appends. 10 ms brought 1,000 events/s from 948 to 397
microseconds of CPU each, for 6 ms more of p99 latency."""
FULL: Final = 256 << 10
"""Bytes of input that do not wait for the pace."""
HELD: Final = 1 << 20
"""Bytes taken and not committed at which `take` waits: bounds memory in a flood."""
FLUSH_AFTER: Final = 1.0
"""Seconds that a position, or facts without events, may wait for company. A restart before that
only reads and filters them again."""
MANY: Final = 2_000
"""Facts that wait for nothing: a list of nodes that are well brings tens of thousands in a second, and no event."""
CONTACT_EVERY: Final = 60.0
"""Seconds between commits of a quiet stream's time of contact; bounds the error of a gap record."""

_hash_encoder = msgspec.json.Encoder()


def content_hash(event: Event) -> int:
    """Hash what the event says, without what every write changes (version, metadata).

    An update that only touches metadata, and an object that is listed again under a new epoch,
    have the hash that the ledger knows.
    """
    content = _hash_encoder.encode(
        (event.type, event.reason, event.message, event.count, event.time, event.first, event.component, event.action,
         event.instance, event.node, event.object, event.field_path)
    )  # fmt: skip
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big", signed=True)


class Intake:
    """One stream's way into the journal. Implements `eventer.source.port.Target`.

    Run `run` as a task for as long as the source may call.
    """

    def __init__(
        self,
        journal: Journal,
        key: StreamKey,
        rules: Sequence[FilterRule],
        clock: Clock,
        redact: Sequence[RedactRule] = (),
    ) -> None:
        self._journal = journal
        self.key = key
        self.use(rules, redact)
        self._clock = clock
        self._pending: list[Arrivals] = []
        self._pending_bytes = 0
        self._failure: JournalError | None = None
        self._failed = asyncio.Event()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._room = asyncio.Event()
        self._room.set()
        self._urgent = False
        self._looked = journal.stream(key).contact
        self._reset()

    def use(self, rules: Sequence[FilterRule], redact: Sequence[RedactRule]) -> None:
        """Filter and redact by these rules from the next append on."""
        self._rules = rules
        self._verdicts = Verdicts([rule.rule for rule in rules])
        self._redact = Redaction(redact)

    def _reset(self) -> None:
        """Forget everything that is not committed; go on from the journal's record."""
        self._record = self._journal.stream(self.key)
        self._changes: dict[str, Entry | None] = {}
        self._sightings = Sightings(self._journal, self.key, self._looked)
        self._dirty_since: float | None = None
        self._contact = self._record.contact
        self._contact_saved = self._clock.monotonic()

    # -- what the source sees --------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """The cluster's epoch."""
        return self._cluster.epoch

    @property
    def position(self) -> int | None:
        """The committed resourceVersion; None if there is none in the cluster's epoch."""
        record = self._journal.stream(self.key)
        return record.position if record.epoch == self.epoch else None

    @property
    def contact(self) -> float | None:
        """When the API last answered, by its own clock, seconds since 1970."""
        return self._contact

    @property
    def _cluster(self) -> ClusterRecord:
        return self._journal.cluster(self.key.cluster) or ClusterRecord()

    def touch(self, at: float) -> None:
        """Note that the API has answered just now, at that time of its own."""
        self._contact = at
        if self._clock.monotonic() - self._contact_saved >= CONTACT_EVERY:
            self._dirty()

    async def take(self, arrivals: Arrivals) -> None:
        """Accept one block; see `Target.take`."""
        self._raise_failure()
        self._pending.append(arrivals)
        self._pending_bytes += arrivals.size
        self._idle.clear()
        if self._pending_bytes >= HELD:
            self._room.clear()
        self._wake.set()
        await self._room.wait()
        self._raise_failure()

    async def flush(self) -> None:
        """Return when everything taken is committed; see `Target.flush`."""
        if self._contact != self._record.contact:
            self._dirty()
        self._urgent = True
        self._wake.set()
        await self._idle.wait()
        self._raise_failure()
        await self._journal.make_room()  # a watch that is opened before would bring what cannot be kept

    async def failed(self) -> None:
        """Return when a block could not be stored; see `Target.failed`."""
        await self._failed.wait()

    async def raise_epoch(self) -> None:
        """Begin a new epoch of the cluster: every stream of it must be listed anew."""
        with contextlib.suppress(JournalError):  # what could not be stored will be listed again
            await self.flush()
        if self._journal.stream(self.key).epoch == self.epoch:  # else another stream has raised it already
            cluster = msgspec.structs.replace(self._cluster, epoch=self.epoch + 1)
            await self._journal.set_cluster(self.key.cluster, cluster)
        self._reset()

    async def unknown(self, listed: Sequence[tuple[str, int]]) -> tuple[list[str], bool]:
        """Compare a listing with the ledger; see `Target.unknown`."""
        known = await self._journal.ledger.look_up(self.key, [entity for entity, _ in listed])
        low = self._journal.ledger.low(self.key)
        epoch = self.epoch
        missing: list[str] = []
        back = False
        for entity, resource_version in listed:
            version = version_of(epoch, resource_version)
            entry = known.get(entity)
            if entry is None:
                if version > low:
                    missing.append(entity)
            elif entry.version < version:
                missing.append(entity)
            elif entry.version > version and entry.version >> EPOCH_SHIFT == epoch:
                back = True
        return missing, back

    async def record(self, event: Event) -> None:
        """Append one of Eventer's own records."""
        await self._journal.record(event)

    # -- the appender ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Append what was taken, for ever. Cancel to stop; call `flush` before for a clean stop."""
        began = -PACE
        while True:
            await self._wait()
            wait = began + PACE - self._clock.monotonic()
            if wait > 0 and self._pending_bytes < FULL and not self._urgent:
                await self._clock.sleep(wait)
            began = self._clock.monotonic()
            batch, self._pending, self._pending_bytes = self._pending, [], 0
            urgent, self._urgent = self._urgent, False
            self._wake.clear()
            try:
                await self._append(batch, urgent=urgent)
            except JournalError as error:
                # The source hears of it at its next call, closes its watch and comes back from the
                # committed position. What came meanwhile is of the same watch: forgotten too.
                self._failure = error
                self._failed.set()
                self._pending, self._pending_bytes = [], 0
                self._reset()
            del batch  # with all that a list has shown, it would be kept until something comes
            if not self._pending and self._dirty_since is None:
                self._idle.set()
            self._room.set()

    async def _wait(self) -> None:
        """Wait for something to append, or until what is dirty must be written."""
        if self._wake.is_set():
            return
        timeout = None
        if self._dirty_since is not None:
            timeout = max(0.0, self._dirty_since + FLUSH_AFTER - self._clock.monotonic())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._wake.wait()

    async def _append(self, batch: list[Arrivals], *, urgent: bool) -> None:
        lines: list[bytes] = []
        letters: list[Letter] = []
        changes = self._changes
        at = self._clock.now().timestamp()
        counts = dict.fromkeys(("received", "poison", "seen", "filtered", "appended"), 0)
        before = self._record
        epoch, position, high = before.epoch, before.position, before.high
        for arrivals in batch:
            if arrivals.events:
                kept = await self._sort_out(arrivals, changes, high, counts)
                self._redact(kept)
                lines += encode_lines(kept)
                high = max(high, *(event.version for event in arrivals.events))
            if arrivals.sightings or arrivals.roll is not None:
                kept = self._filter(await self._sightings.sort_out(arrivals, changes, counts), counts)
                self._redact(kept)
                lines += encode_lines(kept)
            for entity in arrivals.gone:
                changes[entity] = None
            if arrivals.poison:
                fresh = self._redact.raw(await self._new_poison(arrivals, changes, high, counts))
                letters += [
                    Letter(number=before.poison + n, state=Outcome.DEAD, reason="undecodable", at=at, event=raw)
                    for n, raw in enumerate(fresh, len(letters))
                ]
            if arrivals.position is not None:
                position = arrivals.position
                if arrivals.listed:
                    # Only a whole list brings a stream into an epoch: the one it was read in, which
                    # another stream of the cluster may have ended meanwhile.
                    epoch = arrivals.epoch
        self._record = StreamRecord(
            epoch=epoch,
            position=position,
            high=high,
            contact=before.contact,
            received=before.received + counts["received"],
            poison=before.poison + counts["poison"],
            seen=before.seen + counts["seen"],
            filtered=before.filtered + counts["filtered"],
            appended=before.appended + counts["appended"],
        )
        if changes or self._record != before:
            self._dirty()
        if self._dirty_since is None:
            return
        due = self._clock.monotonic() - self._dirty_since >= FLUSH_AFTER
        if lines or letters or urgent or due or len(changes) >= MANY:
            self._record = msgspec.structs.replace(self._record, contact=self._contact)
            await self._journal.append(self.key, self._record, lines, changes, letters)
            self._changes = {}
            self._dirty_since = None
            self._contact_saved = self._clock.monotonic()

    async def _sort_out(
        self, arrivals: Arrivals, changes: dict[str, Entry | None], high: int, counts: dict[str, int]
    ) -> list[Event]:
        """Tell new from known, set `delta`, note everything in `changes`, apply the filter."""
        events = arrivals.events
        asked = [
            event.entity
            for event, added in zip(events, arrivals.added, strict=True)
            if event.entity not in changes and not (added and event.version > high)
        ]
        known = await self._journal.ledger.look_up(self.key, asked) if asked else {}
        low = self._journal.ledger.low(self.key)
        before = arrivals.seen_before
        whole = not arrivals.partial
        fresh: list[Event] = []
        for event, added in zip(events, arrivals.added, strict=True):
            entity = event.entity
            entry = changes[entity] if entity in changes else known.get(entity)
            if entry is None:
                if event.version <= low:
                    counts["seen"] += not arrivals.listed
                    counts["received"] += not arrivals.listed
                    continue
                # Evicted entries have a past that is not known any more: no delta then.
                first = (added or (arrivals.listed and not low)) and (whole or event.count == 1)
                event.delta = event.count if first else None
                digest = content_hash(event)
            else:
                if event.version <= entry.version:
                    if not arrivals.listed:
                        counts["seen"] += 1
                        counts["received"] += 1
                    continue
                digest = content_hash(event)
                if digest == entry.hash:
                    changes[entity] = Entry(event.version, event.count, digest)
                    counts["seen"] += 1
                    counts["received"] += 1
                    continue
                event.delta = max(0, event.count - entry.total)
            changes[entity] = Entry(event.version, event.count, digest)
            counts["received"] += 1
            if before is not None and event.time < before:
                counts["seen"] += 1
                continue
            fresh.append(event)
        return self._filter(fresh, counts)

    def _filter(self, fresh: list[Event], counts: dict[str, int]) -> list[Event]:
        if not self._rules:
            counts["appended"] += len(fresh)
            return fresh
        rules = self._rules
        kept = [
            event
            for event, verdict in zip(fresh, self._verdicts(fresh), strict=True)
            if verdict < 0 or rules[verdict].keeps
        ]
        counts["appended"] += len(kept)
        counts["filtered"] += len(fresh) - len(kept)
        return kept

    async def _new_poison(
        self, arrivals: Arrivals, changes: dict[str, Entry | None], high: int, counts: dict[str, int]
    ) -> list[bytes]:
        """Tell poison that is new from what a list or a watch from the same position brings again.

        What the source cannot name goes by its bytes: as a line of a watch and as an item of a list, which look
        different, the same thing is kept twice then, and never more.
        """
        called = arrivals.called
        names = [f"poison/{called.get(raw) or blake2b(raw, digest_size=16).hexdigest()}" for raw in arrivals.poison]
        known = await self._journal.ledger.look_up(self.key, names)
        fresh: list[bytes] = []
        for name, raw in zip(names, arrivals.poison, strict=True):
            if name in known or name in changes:
                counts["seen"] += not arrivals.listed
                counts["received"] += not arrivals.listed
                continue
            # It has no version either. That of its neighbours lets the ledger forget it when it forgets them.
            changes[name] = Entry(high, 0, 0)
            fresh.append(raw)
        counts["poison"] += len(fresh)
        counts["received"] += len(fresh)
        return fresh

    # -- small things ----------------------------------------------------------------------------

    def _dirty(self) -> None:
        if self._dirty_since is None:
            self._dirty_since = self._clock.monotonic()
            self._idle.clear()
            self._wake.set()

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        self._failed.clear()
        if failure is not None:
            raise failure
