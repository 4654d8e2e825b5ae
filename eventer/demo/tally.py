"""The proof of the demo: what was written into the server, against what stands in the file.

It shares no code with what it checks: no ledger, no matcher, no books. It knows two things only, the
ids that a change must have and what the filter was told to drop.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

__all__ = ["Tally"]

REMEMBERED: Final = 100_000
"""Ids kept to notice one that comes twice; an hour of the demo."""


class _Line(msgspec.Struct):
    id: str
    origin: str


class Tally:
    """Counts changes at the server and finds them again in the file.

    Args:
        cluster: the name in the events' ids.
        file: what the file sink writes; rotations are followed.
        left_out: reasons of Normal events that the filter drops.

    Attributes:
        changes: made at the server so far.
        left_out: of them, those that the filter drops.
        found: of them, those that stand in the file.
        twice: lines of the file that stood in it before.
        strange: lines that the server never wrote, or that the filter should have dropped.
    """

    def __init__(self, cluster: str, file: Path, left_out: Collection[str]) -> None:
        self._prefix = f"{cluster}/0/"
        self._file = file
        self._reasons = frozenset(left_out)
        self._decoder = msgspec.json.Decoder(_Line)
        self._reading: BinaryIO | None = None
        self._open: dict[str, None] = {}
        self._done: dict[str, None] = {}
        self._torn = b""
        self.changes = self.left_out = self.found = self.twice = self.strange = 0

    @property
    def missing(self) -> int:
        """Changes that must be in the file and are not (yet)."""
        return len(self._open)

    @property
    def well(self) -> bool:
        """Whether everything is where it belongs, once."""
        return not (self.missing or self.twice or self.strange)

    def wrote(self, obj: Mapping[str, Any]) -> None:
        """Note one change, as the server keeps it."""
        self.changes += 1
        if obj["type"] == "Normal" and obj["reason"] in self._reasons:
            self.left_out += 1
            return
        metadata = obj["metadata"]
        self._open[f"{self._prefix}{metadata['uid']}/{metadata['resourceVersion']}"] = None

    def look(self) -> None:
        """Read what the file has got since the last look."""
        rotated = self._rotated()
        self._read()
        if rotated:
            self.close()
            self._read()

    def close(self) -> None:
        """Close the file."""
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    def _rotated(self) -> bool:
        """Whether another file has the name by now. Asked before reading: what is open gets no more then."""
        if self._reading is None or not self._file.exists():
            return False
        return not os.path.samestat(self._file.stat(), os.fstat(self._reading.fileno()))

    def _read(self) -> None:
        if self._reading is None:
            if not self._file.exists():
                return
            self._reading = self._file.open("rb")
        *lines, self._torn = (self._torn + self._reading.read()).split(b"\n")
        for line in lines:
            self._line(self._decoder.decode(line))

    def _line(self, line: _Line) -> None:
        if line.origin != "event":
            return
        if line.id in self._open:
            del self._open[line.id]
            self._done[line.id] = None
            self.found += 1
            if len(self._done) > REMEMBERED:
                del self._done[next(iter(self._done))]
        elif line.id in self._done:
            self.twice += 1
        else:
            self.strange += 1
