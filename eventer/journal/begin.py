"""Opening a state directory: whatever is found there, a journal comes of it, or a word on what to do."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from eventer.errors import Corrupt, DiskRefused
from eventer.journal import files, schema
from eventer.journal.room import Room

__all__ = ["Begun", "begin"]


class Begun(NamedTuple):
    """An open database, and what was found out on the way."""

    connection: sqlite3.Connection
    state: schema.State
    quarantined: Path | None
    """Where a damaged database went, if there was one."""
    room: Room


def begin(directory: Path, now: datetime, *, damaged: bool) -> Begun:
    """Open the database of a locked directory, setting a damaged one aside.

    Args:
        directory: locked by this process.
        now: names what is set aside.
        damaged: set aside what is there in any case.

    Raises:
        Newer, DiskRefused: each says what to do.
    """
    room = Room(directory)
    try:
        begun = _begin(directory, now, damaged, room)
    except DiskRefused:
        # A full disk has no room for SQLite's side files: this is what the reserve is for.
        room.release()
        begun = _begin(directory, now, damaged, room)
    try:
        room.begin()
    except OSError as error:
        begun.connection.close()
        raise schema.translate(error) from error
    return begun


def _begin(directory: Path, now: datetime, damaged: bool, room: Room) -> Begun:  # noqa: FBT001
    known = files.known(directory)
    # SQLite would take an empty file for a new one, and delete the log beside it.
    damaged = damaged or (known and files.empty(directory))
    quarantined = files.quarantine(directory, now) if damaged else None
    try:
        connection, state = _open(directory, known=known and not damaged)
    except Corrupt:
        quarantined = files.quarantine(directory, now)
        connection, state = _open(directory, known=False)
    files.know(directory)
    return Begun(connection, state, quarantined, room)


def _open(directory: Path, *, known: bool) -> tuple[sqlite3.Connection, schema.State]:
    connection = schema.connect(directory)
    try:
        return connection, schema.load(connection, known=known)
    except BaseException:
        connection.close()
        raise
