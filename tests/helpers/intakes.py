"""An intake over a real journal, and what a source would hand to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from eventer.config.types import FilterRule
from eventer.event import EPOCH_SHIFT, Arrivals, Event, decode_lines
from eventer.intake import Intake
from eventer.journal import Journal, ReaderRecord, StreamKey
from tests.helpers.journals import KEY, everything, opened
from tests.helpers.sinks import make_event

__all__ = ["books", "listed", "state", "stored", "taking", "watched"]


@contextlib.asynccontextmanager
async def taking(directory: Path, *rules: FilterRule, key: StreamKey = KEY) -> AsyncIterator[tuple[Intake, Journal]]:
    """An intake that runs, over a journal whose log is kept."""
    async with opened(directory) as journal:
        if not journal.readers:
            await journal.settle("all", ReaderRecord(origin=0, cursor=0))
        intake = Intake(journal, key, rules, journal._clock)
        task = asyncio.create_task(intake.run())
        try:
            yield intake, journal
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def state(uid: str, version: int, **changes: Any) -> Event:
    """One state of one object."""
    changes.setdefault("count", 1)
    return make_event(0, id=f"prod/0/{uid}/{version}", entity=uid, version=version, **changes)


def watched(*events: Event, added: Sequence[bool] | bool = True, **more: Any) -> Arrivals:
    flags = [added] * len(events) if isinstance(added, bool) else list(added)
    position = max((event.version for event in events), default=None)
    return Arrivals(events=list(events), added=flags, **{"position": position, "size": 100 * len(events), **more})


def listed(*events: Event, position: int | None, **more: Any) -> Arrivals:
    more.setdefault("epoch", max((event.version >> EPOCH_SHIFT for event in events), default=0))
    return watched(*events, added=False, position=position, listed=True, **more)


async def stored(journal: Journal) -> list[Event]:
    return decode_lines(await everything(journal))


def books(journal: Journal) -> tuple[int, int, int, int, int]:
    r = journal.stream(KEY)
    return r.received, r.poison, r.seen, r.filtered, r.appended
