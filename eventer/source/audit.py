"""AUDIT: prove, beside the running watch, that nothing slipped through.

Everything else here believes what the watch says. The audit does not: it lists what exists (metadata
only, page by page, in no haste) and asks the ledger about each object. What should be known and is not is
a miss: counted, and brought in by a list. It also finds a cluster that was restored from a backup and has
meanwhile overtaken our position, which no comparison of versions shows.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from eventer.clock import Clock
from eventer.errors import Gone
from eventer.event import Arrivals
from eventer.source.envelope import Envelope
from eventer.source.kube import Cluster
from eventer.source.namespaces import METADATA_ONLY
from eventer.source.port import Target
from eventer.source.settings import StreamSettings

__all__ = ["Audit", "Findings"]


class Findings(msgspec.Struct, kw_only=True):
    """What an audit found."""

    checked: int = 0
    missed: int = 0
    rolled_back: bool = False
    """An object is listed at a version below the one that we have seen of it."""


class Audit:
    """One audit of one stream. The stream reports what arrives meanwhile to `note`."""

    def __init__(
        self,
        cluster: Cluster,
        path: str,
        selection: Mapping[str, str],
        target: Target,
        decoder: Envelope,
        settings: StreamSettings,
        clock: Clock,
    ) -> None:
        self._cluster = cluster
        self._path = path
        self._selection = dict(selection)
        self._target = target
        self._decoder = decoder
        self._settings = settings
        self._clock = clock
        self._touched: set[str] = set()

    def note(self, arrivals: Arrivals) -> None:
        """Leave out what the watch brings while the audit runs: its list is older than the ledger there."""
        self._touched.update(event.entity for event in arrivals.events)
        self._touched.update(arrivals.gone)
        self._touched.update(sighting.entity for sighting in arrivals.sightings)

    async def run(self) -> Findings:
        """Compare all that exists with the ledger. Stops at the first page with a finding.

        Raises:
            SourceError: the list was not completed, 410 included; to be tried again later.
            JournalError: the ledger cannot be read.
        """
        findings = Findings()
        # The committed position: what the watch brought beyond it is above it in version as well. No
        # flush: the failure of an append must reach the watch, and is told to one caller only.
        position = self._target.position
        epoch = self._target.epoch
        if position is None:
            return findings
        params = self._selection | {"limit": str(self._settings.page)}
        while True:
            answer = await self._cluster.get(self._path, params, accept=METADATA_ONLY, deadline=self._settings.deadline)
            listing = self._decoder.listing(answer.body)
            if self._target.epoch != epoch:
                raise Gone("The cluster's epoch moved on during the audit.")
            # Objects above the position are still on their way through the watch.
            await self._check([entry for entry in listing.entries if entry[1] <= position], findings)
            if findings.missed or findings.rolled_back or not listing.more:
                return findings
            params["continue"] = listing.more
            await self._clock.sleep(self._settings.audit_pause)

    async def _check(self, entries: list[tuple[str, int]], findings: Findings) -> None:
        while True:
            entries = [entry for entry in entries if entry[0] not in self._touched]
            if not entries:
                return
            unknown, below = await self._target.unknown(entries)
            # The watch went on while the ledger was asked: what it brought may be the whole finding.
            if (unknown or below) and any(entry[0] in self._touched for entry in entries):
                continue
            findings.checked += len(entries)
            findings.missed += len(unknown)
            findings.rolled_back = below
            return
