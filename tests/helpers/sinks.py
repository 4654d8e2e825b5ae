"""What the conformance suite needs of each sink's test module: a harness.

`tests/sinks/test_<kind>.py` holds an async context manager `harness(tmp_path, monkeypatch, variant)`
that yields a `Harness`: it makes configured sinks, knows what arrived at the far side, and plays the
faults of the shared table, or says why its kind of sink cannot have one of them. A list `VARIANTS`
there names the ways to configure the kind that the suite runs over; without it there is one, "".
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import msgspec

from eventer.clock import SystemClock
from eventer.event import Event, Origin, encode_lines
from eventer.layout import Column
from eventer.sink import Batch, SinkContext, load
from eventer.values import Duration

__all__ = ["CANARY", "FAULTS", "HOSTILE", "Harness", "batch_of", "columns", "make_event"]

CANARY = "canary-5f1d0c7e9a"
"""Stands in every secret of a harness, in what a far side echoes, and in undocumented exceptions."""

FAULTS = ("rejected", "denied", "too_large", "throttled", "unavailable", "timeout", "cut", "unknown")
"""4xx; 401; 413; 429 with a wait of 7 seconds; 5xx or a full disk; no answer; half an answer; an
exception that no documentation names."""

HOSTILE = {
    "control": "a\x00b\x07c\x1b[31mred\x1b[0m\x7f\x9b1m",
    "lines": "one\ntwo\r\nthree\u2028four\u2029five\x85six\x0bseven",
    "bidi": "safe \u202egnp.exe\u202c \u2066x\u2069 \u200f",
    "invisible": "zero\u200bwidth\u200d\ufeff\u2060 tag\U000e0041",
    "surrogate": "was \ufffd alone, was \ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    "template": "{{ 7 * 7 }} {% for x in range(9) %} ${HOME} %s {0} #{x}",
    "markup": "[click](http://evil.example) @all <b>&amp; `code` *_~|",
    "quotes": '"\'\\\\" ]},{"id":"forged"}',
    "emoji": "💥" * 100 + "é" + "日本語",
    "empty": "",
    "large": "x" * 1_000_000,
}


def make_event(number: int = 0, **changes: Any) -> Event:
    """Make an event like those that the kubelet reports."""
    object_key = f"prod/Pod/shop/web-{number}"
    event = Event(
        id=f"prod/0/uid-{number}/{1000 + number}",
        time=datetime(2026, 3, 1, 12, 0, tzinfo=UTC) + timedelta(seconds=number),
        cluster="prod",
        origin=Origin.EVENT,
        type="Warning",
        reason="BackOff",
        message=f"Back-off restarting failed container web in pod web-{number}",
        kind="Pod",
        namespace="shop",
        name=f"web-{number}",
        count=3,
        component="kubelet",
        node="node-1",
        field_path="spec.containers{web}",
        entity=f"uid-{number}",
        version=1000 + number,
        object=object_key,
        problem=f"{object_key}/BackOff/web",
    )
    return msgspec.structs.replace(event, **changes)


def batch_of(events: list[Event]) -> Batch:
    """Make a batch as the journal gives it: lines only."""
    return Batch(encode_lines(events))


def columns(**fields: str) -> dict[str, Column]:
    """Make the value of `fields:`, by name."""
    return {name: Column.parse(text) for name, text in fields.items()}


class Harness(abc.ABC):
    """One sink with its far side."""

    kind: ClassVar[str]
    sends_lines: ClassVar[bool]
    """Whether the sink, as configured here, promises to send without decoding."""
    absent: ClassVar[Mapping[str, str]] = {}
    """Faults that this kind cannot have, and why."""

    @abc.abstractmethod
    def options(self) -> dict[str, Any]:
        """Return the options of the sink, beside those that every sink has."""

    @abc.abstractmethod
    def arrived(self) -> list[str]:
        """Return the ids of the events that the far side holds, in order."""

    @abc.abstractmethod
    def play(self, fault: str) -> None:
        """Let every send fail in this way, until `heal`."""

    @abc.abstractmethod
    def heal(self) -> None:
        """Let sends succeed again."""

    @abc.abstractmethod
    async def stall(self) -> None:
        """Let the next send hang; returns at once."""

    @abc.abstractmethod
    async def stalled(self) -> None:
        """Return when the send hangs."""

    @abc.abstractmethod
    async def unstall(self) -> None:
        """Let go of what hangs, and return when the sink holds nothing open any more."""

    def config(self, **options: Any) -> Any:
        """Make a configuration, with these options in place of the usual ones."""
        return load(self.kind).Config(kind=self.kind, **{"timeout": Duration(30), **self.options(), **options})

    def sink(self, **options: Any) -> Any:
        """Make a sink; it is not opened yet."""
        return load(self.kind).Sink(self.config(**options), SinkContext(name="under-test", clock=SystemClock()))

    @contextlib.asynccontextmanager
    async def opened(self, **options: Any) -> AsyncIterator[Any]:
        """Give a sink that is open, and close it."""
        sink = self.sink(**options)
        try:
            await sink.open(None)
            yield sink
        finally:
            await sink.close()
