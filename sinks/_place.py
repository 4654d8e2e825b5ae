"""How far a file is written, told by what is written there and not by where the file lies.

A place is a length and the bytes before it. So a rotation after the settled place, another device
number after the volume moved to another node, or a reused inode do not lead astray.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import msgspec

__all__ = ["TAIL", "Place", "holds", "place_of"]

TAIL: Final = 1024
"""Bytes before a place that identify it: more than the id of the last event, which is unique."""


class Place(msgspec.Struct, frozen=True):
    """How far a file is written: what the journal keeps as a file sink's state."""

    length: int
    tail: str
    """Digest of up to `TAIL` bytes before `length`."""


def place_of(length: int, tail: bytes) -> Place:
    """Return the place at a length, with up to `TAIL` bytes before it."""
    return Place(length, _digest(tail))


def holds(path: Path, place: Place) -> bool:
    """Whether the bytes before the place are in this file."""
    first = max(0, place.length - TAIL)
    try:
        with path.open("rb") as file:
            file.seek(first)
            tail = file.read(place.length - first)
    except FileNotFoundError:
        return False
    return len(tail) == place.length - first and _digest(tail) == place.tail


def _digest(tail: bytes) -> str:
    return hashlib.sha256(tail).hexdigest()[:32]
