"""What a power cut may leave on a disk, by what was recorded of a program's calls.

What was synced is there. Of what was written since, each write may be there or not, whole or in part, whatever
its order; of names made, changed and removed since the directory was synced, a beginning. That is more than any
one file system does, and what POSIX leaves open. What it does not cover: disks that lie about a sync, a sector
that is damaged by a write beside it, and what the file system itself gets wrong.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.helpers.syscalls import Call

__all__ = ["Disk"]

SECTOR: Final = 512
"""Bytes that a disk writes whole or not at all."""


class _File:
    """Bytes that are safe, and what was asked for since."""

    def __init__(self) -> None:
        self.safe = b""
        self.pending: list[Call] = []

    def sync(self) -> None:
        self.safe = _carried_out(self.safe, self.pending)
        self.pending = []

    def after_cut(self, dice: random.Random, share: float) -> bytes:
        return _carried_out(self.safe, [part for call in self.pending for part in _part(call, dice, share)])


def _part(call: Call, dice: random.Random, share: float) -> list[Call]:
    """Return what becomes of one call that was not synced: all of it, some sectors, nothing."""
    if dice.random() >= share:
        return []
    if call[0] != "write" or dice.random() < 0.8:
        return [call]
    _, inode, offset, data = call
    parts: list[Call] = []
    start = 0
    while start < len(data):
        end = min(len(data), (offset + start) // SECTOR * SECTOR + SECTOR - offset)
        if dice.random() < 0.5:
            parts.append(("write", inode, offset + start, data[start:end]))
        start = end
    return parts


def _carried_out(content: bytes, calls: Sequence[Call]) -> bytes:
    data = bytearray(content)
    for kind, _, *rest in calls:
        if kind == "write":
            offset, piece = rest
            data.extend(bytes(max(0, offset - len(data))))
            data[offset : offset + len(piece)] = piece
        elif kind == "cut":
            del data[rest[0] :]
            data.extend(bytes(rest[0] - len(data)))
        else:
            data.extend(bytes(max(0, rest[0] - len(data))))
    return bytes(data)


class _Directory:
    """Names that are safe, and what was done to names since."""

    def __init__(self) -> None:
        self.safe: dict[str, _File | _Directory] = {}
        self.now: dict[str, _File | _Directory] = {}
        self.pending: list[dict[str, _File | _Directory]] = []
        """The names after each change since the last sync."""

    def changed(self) -> None:
        self.pending.append(dict(self.now))

    def sync(self) -> None:
        self.safe = dict(self.now)
        self.pending = []


class Disk:
    """The disk under one directory.

    Args:
        root: inode of that directory, which exists.
    """

    def __init__(self, root: int) -> None:
        self.root = _Directory()
        self._inodes: dict[int, _File | _Directory] = {root: self.root}

    def __call__(self, call: Call) -> None:
        """Take in the next call."""
        match call:
            case ("write" | "cut" | "extend", inode, *_):
                file = self._inodes[inode]
                assert isinstance(file, _File)
                file.pending.append(call)
            case ("sync", inode):
                self._inodes[inode].sync()
            case ("name", directory, name, inode, is_directory):
                where = self._directory(directory)
                if name not in where.now:  # opening what exists may ask for its making as well
                    made = self._inodes[inode] = _Directory() if is_directory else _File()
                    where.now[name] = made
                    where.changed()
            case ("forget", directory, name):
                where = self._directory(directory)
                del where.now[name]
                where.changed()
            case ("move", directory, name, other, new):
                assert directory == other
                where = self._directory(directory)
                where.now[new] = where.now.pop(name)
                where.changed()

    def _directory(self, inode: int) -> _Directory:
        found = self._inodes[inode]
        assert isinstance(found, _Directory)
        return found

    def cut(self, target: Path, dice: random.Random, share: float) -> None:
        """Write what a power cut at this moment may leave.

        Args:
            target: an empty directory.
            dice: decides what is left.
            share: of what was not synced that is there all the same; 0 and 1 are cases of their own.
        """
        self._write(self.root, target, dice, share)

    def _write(self, directory: _Directory, target: Path, dice: random.Random, share: float) -> None:
        states = [directory.safe, *directory.pending]
        last = len(states) - 1
        names = states[0 if share == 0 else last if share == 1 else dice.randint(0, last)]
        for name, item in names.items():
            if isinstance(item, _Directory):
                (target / name).mkdir()
                self._write(item, target / name, dice, share)
            else:
                (target / name).write_bytes(item.after_cut(dice, share))
