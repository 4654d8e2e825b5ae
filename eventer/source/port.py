"""What a source needs of whoever takes its events: implemented by `eventer.intake`.

The two rooms never import each other; the wiring in `eventer.app` joins them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from eventer.event import Arrivals, Event

__all__ = ["Target"]


class Target(Protocol):
    """One stream's way into the journal: a cluster and a scope (all namespaces, or one)."""

    @property
    def position(self) -> int | None:
        """resourceVersion up to which everything of this stream is committed; None: never read.

        None also when the cluster's epoch has moved on since: the stream must be listed anew.
        """
        ...

    @property
    def epoch(self) -> int:
        """The cluster's epoch; goes into `Event.version` and `Event.id` (`version_of`)."""
        ...

    @property
    def contact(self) -> float | None:
        """What `touch` was told last, across restarts."""
        ...

    async def take(self, arrivals: Arrivals) -> None:
        """Accept one block. Returns at once as a rule; waits while 1 MiB is not committed yet.

        Raises:
            JournalError: an earlier block could not be stored. Everything taken since the last
                commit is forgotten: close the watch, back off, go on from `position`.
        """
        ...

    async def flush(self) -> None:
        """Return when everything taken so far is committed, positions included.

        Raises:
            JournalError: as `take`.
        """
        ...

    async def failed(self) -> None:
        """Return when a block could not be stored. A quiet watch has no next call that would say so."""
        ...

    def touch(self, at: float) -> None:
        """Note that the API has answered just now (a line, a page, a clean end of a watch).

        Args:
            at: the server's time, seconds since 1970.
        """
        ...

    async def raise_epoch(self) -> None:
        """The server's versions went back (restored etcd) or it is another cluster: start over."""
        ...

    async def unknown(self, listed: Sequence[tuple[str, int]]) -> tuple[list[str], bool]:
        """Audit: compare (entity, resourceVersion) of listed objects with the ledger.

        Returns:
            Entities that the ledger has not seen at that version though it should have, and
            whether any entity was listed *below* the version that the ledger holds (a rollback).
        """
        ...

    async def record(self, event: Event) -> None:
        """Append one of Eventer's own records (a gap), bypassing filter and ledger.

        `id`, `entity` and `version` are set by the target (instance and sequence).
        """
        ...
