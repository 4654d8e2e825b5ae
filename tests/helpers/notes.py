"""Notifications as alerting makes them, and what is done with every sink that is sent them.

The samples: an OOM kill, a node that is gone, a storm, and the end of a problem.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterator
from datetime import timedelta, timezone
from typing import Any, Protocol

import pytest

from eventer.alerting.notification import Item, Notification, Why, encode
from eventer.alerting.samples import sample
from eventer.errors import Rejected, SinkError
from eventer.sink import Batch

SHANGHAI = timezone(timedelta(hours=8))
START = 1_800_000_000.0


def item(**given: Any) -> Item:
    values = {
        "cluster": "prod",
        "kind": "Pod",
        "namespace": "shop",
        "name": "api-7d9",
        "component": "kubelet",
        "reason": "BackOff",
        "severity": "warning",
        "family": "crash",
        "message": "Back-off restarting failed container",
        "count": 14,
        "since": START,
        "last": START + 1380,
    }
    return Item(**(values | given))


def note(*items: Item, **given: Any) -> Notification:
    ended = sum(each.ended is not None for each in items)
    values: dict[str, Any] = {
        "number": 1,
        "why": Why.FIRST,
        "at": START + 1400,
        "group": {"cluster": "prod", "namespace": "shop"},
        "severity": "warning",
        "items": list(items),
        "firing": len(items) - ended,
        "resolved": ended,
        "events": 14,
    }
    return Notification(**(values | given))


SAMPLES = {
    "oom": sample("oom", "prod", START + 1400),
    "node": sample("node", "prod", START + 1400),
    "storm": sample("storm", "prod", START + 1400),
    "crash": note(item(owner="Deployment api", container="web", node="n1", returns=2)),
    "resolved": sample("resolved", "prod", START + 7320),
}


def leaves(node: Any) -> Iterator[str]:
    """All texts of a request's body."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for value in node.values():
            yield from leaves(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from leaves(value)


def batch_of(told: Notification) -> Batch:
    """Make a batch as alerting gives it to a sink."""
    return Batch([encode(told)])


async def send(sink: Any, *told: Notification) -> Any:
    """Open a sink, send it notifications (without any, of an OOM kill), close it, and return what it said of the last."""
    await sink.open(None)
    try:
        for each in told or (SAMPLES["oom"],):
            sent = await sink.send(batch_of(each))
        return sent
    finally:
        await sink.close()


def told_by(error: SinkError, sink: Any) -> str:
    """Return all that may be logged of an error of a sink, to look for secrets in."""
    return "".join(traceback.format_exception(error)) + f"{error!r} {error.answer} {error.reason} {sink!r}"


class Far(Protocol):
    """A far side that leaves requests without answer while `answering` is clear."""

    answering: asyncio.Event
    came: asyncio.Event


async def leaves_nothing_open(sink: Any, far: Far) -> None:
    """Check that a sink can be sent to after a cancelled send, and that its end leaves no task."""
    await sink.open(None)
    far.answering.clear()
    far.came.clear()
    sending = asyncio.create_task(sink.send(batch_of(SAMPLES["oom"])))
    await far.came.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    far.answering.set()
    await sink.send(batch_of(SAMPLES["node"]))
    await sink.close()
    mine = asyncio.current_task()
    assert not [task for task in asyncio.all_tasks() if task is not mine and "sinks/" in str(task.get_coro())]


async def rejects_what_is_no_notification(sink: Any) -> None:
    """Check that lines which are none are each rejected, and not raised as what broke."""
    await sink.open(None)
    for line in (b"{}", b"", b"\xff", b"[" * 50_000):
        with pytest.raises(Rejected) as caught:
            await sink.send(Batch([line]))
        assert caught.value.reason == "decode"
    await sink.close()
