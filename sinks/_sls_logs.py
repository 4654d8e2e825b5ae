"""Events as logs: which fields, in which layout, at which time. All values are texts: the service knows no others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal, TypeAlias

import msgspec

from eventer.errors import Rejected
from eventer.event import Event, Origin
from eventer.layout import Column, Layout, core_event
from eventer.sink import Batch
from sinks._sls_protobuf import LATEST, encode_log, encode_logs

__all__ = ["LayoutName", "Logs", "check_field"]

LayoutName: TypeAlias = Literal["eventer", "kube-eventer"]

LONGEST_KEY: Final = 128
"""Bytes of the name of a field, as the service's list of basic resources says."""
AT_ONCE: Final = 250
"""Events whose fields are held at once: few enough for the processor's cache, which saves a quarter of the CPU."""

_FIELDS: Final = msgspec.structs.fields(Event)
_TEXTS: Final = tuple(field.type in (str, Origin, datetime, datetime | None) for field in _FIELDS)
_TIME: Final = [field.name for field in _FIELDS].index("time")
_Line: Final = msgspec.defstruct(
    "_Line",
    [
        (field.name, str, "") if text else (field.name, msgspec.Raw, msgspec.Raw(b""))
        for field, text in zip(_FIELDS, _TEXTS, strict=True)
    ],
    gc=False,
)
"""An event as its line has it: texts without their escapes, all else as the JSON that it is."""


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
        self._decode = msgspec.json.Decoder(_Line).decode

    def of(self, batch: Batch, now: datetime) -> list[bytes]:
        """Return a log for each event, in pieces to be joined.

        Args:
            now: a time behind it becomes this one: a pod can write any time into an Event, and the
                service refuses what lies in the future, with all that is sent beside it.

        Raises:
            Rejected: an event cannot be decoded or encoded.
        """
        try:
            if self._contents is None:
                lines = batch.lines
                starts = range(0, len(lines), AT_ONCE)
                return [piece for at in starts for piece in self._flat(lines[at : at + AT_ONCE], now)]
            contents = self._contents
            return [encode_log(*_instant(event.time, now), contents(event)) for event in batch.events]
        except (msgspec.MsgspecError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise Rejected("An event in the batch cannot be decoded.", reason="decode") from None

    def _flat(self, lines: Sequence[bytes], now: datetime) -> list[bytes]:
        """Return the logs of events' lines: their fields as they are, labels as JSON."""
        columns = list(zip(*map(msgspec.structs.astuple, map(self._decode, lines)), strict=True))
        times: Sequence[str] = columns[_TIME]
        at = {time: _instant(datetime.fromisoformat(time), now) for time in set(times)}  # a batch has few
        return encode_logs(
            [at[time] for time in times],
            [
                (field.name, [value.encode() for value in values] if text else values, field.required)
                for field, text, values in zip(_FIELDS, _TEXTS, columns, strict=True)
                if field.required or any(values)
            ],
        )


def _instant(time: datetime, now: datetime) -> tuple[int, int]:
    """Return the time of a log: seconds, and nanoseconds beyond them."""
    time = min(time, now)
    seconds = int(time.timestamp())
    return (seconds, time.microsecond * 1000) if 0 <= seconds <= LATEST else (0, 0)


def _kube_eventer(event: Event) -> dict[str, str]:
    """Write an event as kube-eventer's sink `sls` does: the whole object is the JSON of one field."""
    whole = msgspec.json.format(msgspec.json.encode(core_event(event)), indent=1)
    fields = {"eventId": whole.decode(), "hostname": event.node, "level": event.type}
    if event.kind == "Pod":
        fields |= {"pod_id": event.uid, "pod_name": event.name}
    return event.labels | fields
