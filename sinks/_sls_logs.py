"""Events as logs: which fields, in which layout, at which time. All values are texts: the service knows no others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

import msgspec

from eventer.errors import Rejected
from eventer.event import Event
from eventer.layout import Column, Layout, core_event
from eventer.sink import Batch
from sinks._sls_protobuf import LATEST, encode_log

__all__ = ["LayoutName", "Logs", "check_field"]

LayoutName: TypeAlias = Literal["eventer", "kube-eventer"]

LONGEST_KEY: Final = 128
"""Bytes of the name of a field, as the service's list of basic resources says."""


def check_field(name: str) -> None:
    """Check that a log can have a field of this name.

    Raises:
        ValueError: with the remedy.
    """
    if not name or len(name.encode()) > LONGEST_KEY:
        raise ValueError(f"{name[:60]!r} is no name of a field; take 1 to {LONGEST_KEY} bytes")
    # https://www.alibabacloud.com/help/en/log-service/latest/reserved-fields
    if name.startswith("__"):
        raise ValueError(f"{name[:60]!r} is a name that the service keeps for itself; take one without __ in front")


class Logs:
    """Makes logs of events.

    Args:
        layout: `eventer` or `kube-eventer`.
        columns: fields of the user's own, in place of a layout; empty without.
    """

    def __init__(self, layout: LayoutName, columns: Mapping[str, Column]) -> None:
        self._contents: Callable[[Event], Mapping[str, str]] | None = None
        if columns:
            self._contents = Layout(columns).texts
        elif layout == "kube-eventer":
            self._contents = _kube_eventer
        self._decode = msgspec.json.Decoder(dict[str, Any]).decode

    def of(self, batch: Batch, now: datetime) -> list[bytes]:
        """Return a log for each event.

        Args:
            now: a time behind it becomes this one: a pod can write any time into an Event, and the
                service refuses what lies in the future, with all that is sent beside it.

        Raises:
            Rejected: an event cannot be decoded or encoded.
        """
        try:
            if self._contents is None:
                return [self._flat(line, now) for line in batch.lines]
            contents = self._contents
            return [_log(event.time, contents(event), now) for event in batch.events]
        except (msgspec.MsgspecError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise Rejected("An event in the batch cannot be decoded.", reason="decode") from None

    def _flat(self, line: bytes, now: datetime) -> bytes:
        """Return the log of an event's line: its fields as they are, labels as JSON."""
        fields = self._decode(line)
        for name, value in fields.items():
            if type(value) is not str:
                fields[name] = str(value) if type(value) is int else msgspec.json.encode(value).decode()
        return _log(datetime.fromisoformat(fields["time"]), fields, now)


def _log(time: datetime, contents: Mapping[str, str], now: datetime) -> bytes:
    time = min(time, now)
    seconds = int(time.timestamp())
    if not 0 <= seconds <= LATEST:
        return encode_log(0, 0, contents)
    return encode_log(seconds, time.microsecond * 1000, contents)


def _kube_eventer(event: Event) -> dict[str, str]:
    """Write an event as kube-eventer's sink `sls` does: the whole object is the JSON of one field."""
    whole = msgspec.json.format(msgspec.json.encode(core_event(event)), indent=1)
    fields = {"eventId": whole.decode(), "hostname": event.node, "level": event.type}
    if event.kind == "Pod":
        fields |= {"pod_id": event.uid, "pod_name": event.name}
    return event.labels | fields
