"""The proof of the demo: what was written into the server, against what has arrived at each far side.

It shares no code with what it checks: no ledger, no matcher, no books. It knows two things only, the
ids that a change must have and what the filter was told to drop.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from eventer.demo.tail import Tail

__all__ = ["Arrivals", "Tally"]

REMEMBERED: Final = 100_000
"""Ids kept to notice one that comes twice; an hour of the demo and more."""


class Arrivals:
    """What must come to one far side, and what has.

    Attributes:
        found: changes that have arrived.
        twice: arrivals of a change that had arrived before.
        strange: arrivals that the server never wrote, or that the filter should have dropped.
    """

    def __init__(self) -> None:
        self._open: dict[str, None] = {}
        self._done: dict[str, None] = {}
        self.found = self.twice = self.strange = 0

    @property
    def missing(self) -> int:
        """Changes that must arrive and have not (yet)."""
        return len(self._open)

    def expect(self, id_: str) -> None:
        """Note that this one must come."""
        self._open[id_] = None

    def came(self, id_: str) -> None:
        """Note that this one is there."""
        if id_ in self._open:
            del self._open[id_]
            self._done[id_] = None
            self.found += 1
            if len(self._done) > REMEMBERED:
                del self._done[next(iter(self._done))]
        elif id_ in self._done:
            self.twice += 1
        else:
            self.strange += 1

    def forget(self) -> None:
        """Begin anew: nothing has come so far."""
        self._open = self._done | self._open
        self._done = {}
        self.found = self.twice = self.strange = 0


class Tally:
    """Counts changes at the server and finds them again in the file and at the webhook.

    Args:
        cluster: the name in the events' ids.
        file: what the file sink writes; rotations are followed.
        left_out: reasons of Normal events that the filter drops.

    Attributes:
        changes: made at the server so far.
        left_out: of them, those that the filter drops.
        file: what has come to the file, by the last look.
        webhook: what has come to the webhook, by those who call `webhook.came`.
    """

    def __init__(self, cluster: str, file: Path, left_out: Collection[str]) -> None:
        self._prefix = f"{cluster}/0/"
        self._reasons = frozenset(left_out)
        self._path = file
        self._tail = Tail(file)
        self.file = Arrivals()
        self.webhook = Arrivals()
        self.changes = self.left_out = 0

    @property
    def well(self) -> bool:
        """Whether everything is where it belongs: in the file once, at the webhook at least once."""
        return not (
            self.file.missing or self.file.twice or self.file.strange or self.webhook.missing or self.webhook.strange
        )

    def wrote(self, obj: Mapping[str, Any]) -> None:
        """Note one change, as the server keeps it."""
        self.changes += 1
        if obj["type"] == "Normal" and obj["reason"] in self._reasons:
            self.left_out += 1
            return
        metadata = obj["metadata"]
        id_ = f"{self._prefix}{metadata['uid']}/{metadata['resourceVersion']}"
        self.file.expect(id_)
        self.webhook.expect(id_)

    def look(self) -> None:
        """Read what the file has got since the last look."""
        for line in self._tail.read():
            if line.origin == "event":
                self.file.came(line.id)

    def look_anew(self) -> None:
        """Forget what was read, and read the whole file: what was in it before a crash proves nothing after it."""
        self.close()
        self._tail = Tail(self._path)
        self.file.forget()
        self.look()

    def close(self) -> None:
        """Close the file."""
        self._tail.close()
