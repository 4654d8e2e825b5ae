"""Reads what the `file` sink writes, as `tail -F` would.

The demo shows and checks what has arrived, not what was meant to.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

__all__ = ["Line", "Tail"]


class Line(msgspec.Struct, omit_defaults=True):
    """What the demo needs of one line of the file."""

    id: str
    origin: str
    time: datetime
    type: str = ""
    reason: str = ""
    message: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    count: int = 1
    delta: int | None = None
    first: datetime | None = None
    condition: str = ""
    status: str = ""
    previous: str = ""
    state: str = ""


_decoder: Final = msgspec.json.Decoder(Line)


class Tail:
    """Returns the lines that are new since it was asked last; rotations are followed.

    A file that was cut shorter meanwhile, as the sink does after `kill -9` with what it had not settled, is not
    read again: the same lines come again in the same places.

    Args:
        file: it need not be there yet.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._reading: BinaryIO | None = None
        self._torn = b""

    def read(self) -> list[Line]:
        """Return the lines that were completed since the last call.

        Raises:
            msgspec.MsgspecError: the file holds something else than events.
        """
        rotated = self._rotated()
        lines = self._more()
        if rotated:
            self.close()
            lines += self._more()
        return lines

    def close(self) -> None:
        """Close the file. The next `read` begins at the start of what has its name then."""
        if self._reading is not None:
            self._reading.close()
            self._reading = None
            self._torn = b""

    def _rotated(self) -> bool:
        """Whether another file has the name by now. Asked before reading: what is open gets no more then."""
        if self._reading is None or not self._file.exists():
            return False
        return not os.path.samestat(self._file.stat(), os.fstat(self._reading.fileno()))

    def _more(self) -> list[Line]:
        if self._reading is None:
            if not self._file.exists():
                return []
            self._reading = self._file.open("rb")
        *lines, self._torn = (self._torn + self._reading.read()).split(b"\n")
        return [_decoder.decode(line) for line in lines]
