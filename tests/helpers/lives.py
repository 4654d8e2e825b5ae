"""A journal that is closed, killed and opened again, and beside it what it must know: for tests against a model."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from eventer import failpoint
from eventer.event import Outcome
from eventer.journal import Entry, Journal, ReaderRecord, StreamKey, StreamRecord, read_books
from eventer.journal.records import AlertingRecord, ClusterRecord
from tests.helpers.journals import count_threads, killed
from tests.helpers.virtual import LoopClock, VirtualLoop

__all__ = ["AFTER", "BEFORE", "KILLED", "Lives", "Model"]

RING = 2_000  # bytes: a few batches
KILLED = BEFORE, AFTER = "journal.commit", "journal.committed"
"""Names of fates: killed just before a commit, and just after it."""


class Model(msgspec.Struct):
    """What the journal must know."""

    lines: list[bytes] = []
    times: list[float] = []
    """When each was appended."""
    streams: dict[StreamKey, StreamRecord] = {}
    clusters: dict[str, ClusterRecord] = {}
    readers: dict[str, ReaderRecord] = {}
    alerting: dict[str, AlertingRecord] = {}
    notifiers: dict[str, ReaderRecord] = {}
    letters: dict[tuple[str, Outcome], int] = {}
    ledger: dict[tuple[str, str], Entry] = {}
    """By cluster and entity; deleted ones are not in it."""


class Lives:
    """One journal through all its lives, in virtual time.

    Args:
        limits: constants of the journal's modules, made small.
    """

    journal: Journal

    def __init__(self, limits: Mapping[tuple[ModuleType, str], int]) -> None:
        self.stack = contextlib.ExitStack()
        self.root = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.runner = self.stack.enter_context(asyncio.Runner(loop_factory=VirtualLoop))
        patch = self.stack.enter_context(pytest.MonkeyPatch.context())
        for (module, name), value in limits.items():
            patch.setattr(module, name, value)
        self.clock = LoopClock()
        self.model = Model()
        self._lives = 0
        self.directory = self.next_directory()
        self._open = contextlib.ExitStack()
        self.run(self.open_journal())

    def run(self, work: Any) -> Any:
        """Run a coroutine to its end."""
        return self.runner.run(work)

    async def now(self) -> datetime:
        """Return the time on the loop's clock."""
        return self.clock.now()

    def next_directory(self) -> Path:
        """Return a directory that is not there yet."""
        self._lives += 1
        return self.root / f"{self._lives}"

    async def open_journal(self, *, damaged: bool = False) -> None:
        """Open it; whether it is found damaged must be as expected."""
        self.journal = self._open.enter_context(Journal.open(self.directory, max_size=1 << 30, clock=self.clock))
        self.journal._ring._capacity = RING
        count_threads(self.journal)
        assert (self.journal.quarantined is not None) == damaged

    def close_journal(self) -> None:
        """Close it in order, and compare the books that it leaves."""
        self.run(self.journal.close())
        self._open.close()
        books = read_books(self.directory)
        assert books.head == len(self.model.lines)
        assert books.streams == self.model.streams
        assert books.readers == self.model.readers
        assert (books.alerting, books.notifiers) == (self.model.alerting, self.model.notifiers)
        assert books.letters == self.model.letters

    def end(self) -> None:
        """Close it for good."""
        self.close_journal()
        self.stack.close()

    @contextlib.contextmanager
    def dying(self, fate: str) -> Iterator[None]:
        """At the first pass of the place that `fate` names, take what kill -9 leaves there; live on from that."""
        if fate not in KILLED:
            yield
            return
        self.run(self.journal.make_room())  # what that commits is not meant
        copy = self.next_directory()

        def hit(name: str) -> None:
            if name == fate and not copy.exists():
                killed(self.directory, copy)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(failpoint, "hit", hit)
            yield
        self.live_on_in(copy)

    def live_on_in(self, copy: Path) -> None:
        """Open a copy of the files, and end the journal whose files they were."""
        self.directory = copy
        corpse, self._open = (self.journal, self._open), contextlib.ExitStack()
        self.run(self.open_journal())
        self.run(corpse[0].close())
        corpse[1].close()
