"""Reads of a watch in, blocks that end on a line break out.

The API server sends one line per event and the network cuts where it likes. The usual line readers
yield a last line that has no line break; on a watch that is half an event, so here it is only counted.
They also cost a call per line, where a block can be decoded at once.
"""

from __future__ import annotations

from typing import Final

from eventer.errors import Broken

__all__ = ["LINE_CAP", "Lines", "Oversize"]

LINE_CAP: Final = 32 << 20
"""Bytes of one line. etcd takes 1.5 MB (https://etcd.io/docs/v3.6/dev-guide/limit/), and JSON escapes
can make six characters of one: 9 MB, plus managedFields. Beyond this it is no event."""


class Oversize(Broken):
    """A line never ended within the cap."""


class Lines:
    """Joins reads and cuts them at the last line break.

    Args:
        cap: bytes that a line may have.
    """

    def __init__(self, cap: int = LINE_CAP) -> None:
        self._cap = cap
        self._tail: list[bytes] = []
        self._size = 0

    @property
    def torn(self) -> int:
        """Bytes since the last line break. At the end of a stream: of a torn line, never to be parsed."""
        return self._size

    def feed(self, read: bytes) -> bytes:
        """Return everything up to the last line break, empty if there is none yet.

        Raises:
            Oversize: a line is longer than the cap.
        """
        cut = read.rfind(b"\n") + 1
        if not cut:
            self._keep(read)
            return b""
        block = b"".join((*self._tail, read[:cut])) if self._tail else read[:cut]
        self._tail.clear()
        self._size = 0
        if cut < len(read):
            self._keep(read[cut:])
        return block

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._cap:
            raise Oversize(f"A line of the watch is longer than {self._cap >> 20} MiB.")
        # Parts are joined once, when the line ends: joining at each read is quadratic in its length.
        self._tail.append(part)
