"""Taking over what a lost journal knew, from wherever a copy of that was kept, in one transaction.

Only a journal in which no stream was ever read can do so: it begins where the other one was, not at the start.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

import msgspec

from eventer.event import version_of
from eventer.journal import notes
from eventer.journal.codec import sealed
from eventer.journal.records import Carried, ClusterRecord, ReaderRecord, Resumed, StreamKey, StreamRecord
from eventer.journal.schema import State

__all__ = ["Adopted"]


class Adopted(msgspec.Struct, kw_only=True):
    """What is known of another journal.

    Everything of a stream up to its position counts as seen, without an entry in the ledger for any of it.
    """

    clusters: Mapping[str, ClusterRecord]
    streams: Mapping[StreamKey, StreamRecord]
    """Positions and times of contact; their books are empty."""
    readers: Mapping[str, Resumed]
    notifiers: Mapping[str, tuple[Carried, Resumed]] = {}

    def write(self, connection: sqlite3.Connection, state: State) -> dict[StreamKey, int]:
        """Store it; return the numbers of the streams. Runs inside a transaction.

        Args:
            connection: the writer's.
            state: as it is committed.
        """
        for name, cluster in self.clusters.items():
            connection.execute("INSERT OR REPLACE INTO cluster VALUES (?, ?, ?)", (name, *sealed(cluster, name)))
        ids: dict[StreamKey, int] = {}
        for key, stream in self.streams.items():
            low = _low(stream)
            row = connection.execute(
                "INSERT INTO stream(cluster, scope, record, crc, low, low_crc) VALUES (?, ?, ?, ?, ?, ?)",
                (*key, *sealed(stream, *key), low, sealed(low, *key)[1]),
            )
            ids[key] = row.lastrowid or 0
        for name, reader in self._readers(state).items():
            connection.execute("INSERT OR REPLACE INTO reader VALUES (?, ?, ?)", (name, *sealed(reader, name)))
        for name, carried in self._carried(state).items():
            notes.go_on(connection, name, carried)
        return ids

    def remember(self, ids: Mapping[StreamKey, int], state: State) -> None:
        """Let memory follow the disk."""
        state.readers.update(self._readers(state))
        carried = self._carried(state)
        state.alerting.update({name: each.alerting for name, each in carried.items()})
        state.notifiers.update({name: each.notifier for name, each in carried.items()})
        state.clusters.update(self.clusters)
        state.streams.update(self.streams)
        state.stream_ids.update(ids)
        state.low.update({key: _low(stream) for key, stream in self.streams.items()})

    def _readers(self, state: State) -> dict[str, ReaderRecord]:
        new = ReaderRecord(origin=state.head, cursor=state.head)
        return {
            name: msgspec.structs.replace(state.readers.get(name, new), resumed=resumed)
            for name, resumed in self.readers.items()
        }

    def _carried(self, state: State) -> dict[str, Carried]:
        found = {}
        for name, (carried, resumed) in self.notifiers.items():
            known = state.alerting.get(name)
            if known is None or not known.opened:
                found[name] = carried.begun(state.head, resumed)
            else:  # it was told of this journal's own records; its books are this journal's then
                alerting = msgspec.structs.replace(known, resumed=resumed)
                found[name] = Carried(alerting=alerting, notifier=state.notifiers[name])
        return found


def _low(stream: StreamRecord) -> int:
    return 0 if stream.position is None else version_of(stream.epoch, stream.position)
