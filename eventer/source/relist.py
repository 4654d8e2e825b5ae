"""RELIST: bring in everything that exists, when history is not to be had.

A list is ordered by name, not by version, so a position is worth nothing before its last item is in:
pages are handed on as they come, without a position, and the list's version goes with the last one. What
was stored before a crash or a 410 between pages is skipped by the ledger when the list starts over.

A 410 between pages brings a token with which the server would go on "inconsistently": from another
version, silently missing what was created behind the cursor meanwhile. It is never used
(https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from eventer.errors import Gone
from eventer.source.contact import Contact
from eventer.source.envelope import Envelope, Page
from eventer.source.kube import Cluster, Oversized
from eventer.source.port import Target
from eventer.source.settings import Start, StreamSettings, StreamStatus

__all__ = ["Relist"]

PAGED_TRIES: Final = 2
"""Paged lists that may end in 410 before one list without pages is asked for, as client-go does."""


class Relist:
    """Lists one stream.

    Args:
        cluster, path, selection: what to list, and the parameters that select of it.
        target: who takes it.
        decoder: makes a decoder for the epoch as it is now.
        compare: told the list's version before anything of it is taken; raises the epoch on a rollback.
        contact: told when everything but the end of the list is committed, before the position moves.
        settings, status: the stream's.
    """

    def __init__(
        self,
        cluster: Cluster,
        path: str,
        selection: Mapping[str, str],
        target: Target,
        *,
        decoder: Callable[[], Envelope],
        compare: Callable[[int], Awaitable[None]],
        contact: Contact,
        settings: StreamSettings,
        status: StreamStatus,
    ) -> None:
        self._cluster = cluster
        self._path = path
        self._selection = dict(selection)
        self._target = target
        self._decoder = decoder
        self._compare = compare
        self._contact = contact
        self._settings = settings
        self._status = status
        self._page = settings.page
        self._partial = self._first = False

    async def run(self) -> int:
        """List everything; return how many items there were.

        When it returns, everything is committed, and the target's position is the list's version.

        Raises:
            SourceError: the list was not completed; nothing is lost, the position is as before.
            JournalError: as `Target.take`.
        """
        first = self._first = self._target.position is None and self._target.contact is None
        self._partial = bool(self._selection) and not first
        for _ in range(PAGED_TRIES):
            try:
                return await self._list(self._page, first=first)
            except Gone:
                # The pages took longer than history lasts, or the server compacts eagerly.
                continue
            except Oversized:
                self._page = max(1, self._page // 8)
                raise
        return await self._list(None, first=first)

    async def _list(self, limit: int | None, *, first: bool) -> int:
        target = self._target
        seen_before: datetime | None = None
        decoder: Envelope | None = None
        version = items = 0
        params = self._selection | ({} if limit is None else {"limit": str(limit)})
        while True:
            answer = await self._cluster.get(self._path, params, deadline=self._settings.deadline)
            self._contact.heard(answer.date)
            if decoder is None:
                decoder = self._decoder()
                page = decoder.page(answer.body)
                await self._compare(page.version)
                decoder = self._decoder()  # the epoch may have been raised by that
                version = page.version
                if first:
                    seen_before = _seen_before(self._settings.start, self._contact.now())
            else:
                page = decoder.page(answer.body)
            if page.version != version or target.epoch != decoder.epoch:
                raise Gone("The list changed its version between two pages.")
            items += len(page.items)
            await self._take(page, decoder, seen_before)
            if not page.more:
                break
            params["continue"] = page.more
        await target.flush()
        self._status.relists += 1
        return items

    async def _take(self, page: Page, decoder: Envelope, seen_before: datetime | None) -> None:
        """Hand on one page; one without limit goes piece by piece, so that it need not be decoded whole."""
        size = self._settings.page
        starts = range(0, len(page.items), size) or range(1)
        for start in starts:
            arrivals = decoder.items(page.items[start : start + size])
            arrivals.seen_before = seen_before
            arrivals.partial = self._partial
            arrivals.first = self._first
            if not page.more and start == starts[-1]:
                await self._target.flush()
                await self._contact.listed()
                arrivals.position = page.version
            self._status.poison += len(arrivals.poison)
            await self._target.take(arrivals)


def _seen_before(start: Start, now: datetime) -> datetime | None:
    if start == "all":
        return None
    if isinstance(start, timedelta):
        return now - start
    return datetime.max.replace(tzinfo=UTC)
