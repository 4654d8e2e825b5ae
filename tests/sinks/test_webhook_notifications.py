"""`kind: webhook` as a notifier: one request for each notification, in the format that was asked for."""

from __future__ import annotations

import json

import pytest

from eventer.alerting.notification import Notification, Why, decode, encode
from eventer.clock import SystemClock
from eventer.errors import Rejected
from eventer.sink import GroupConfig, SinkContext
from eventer.values import Secret
from sinks.webhook import Config, Sink
from tests.helpers.farside import Answer, FarSide, Request
from tests.helpers.notes import send as tell

NOTE = Notification(number=1, why=Why.FIRST, at=1.5, group={"name": "日志"}, severity="warning", firing=1, events=2)


async def send(far: FarSide, format_: str, *notes: Notification) -> list[Request]:
    config = Config(kind="webhook", url=Secret.literal(far.url), format=format_, group=GroupConfig())  # type: ignore[arg-type]
    await tell(Sink(config, SinkContext(name="chat", clock=SystemClock())), *notes)
    return far.requests


@pytest.mark.parametrize(
    ("format_", "before", "after"), [("single", b"", b""), ("array", b"[", b"]"), ("ndjson", b"", b"\n")]
)
async def test_each_format(format_: str, before: bytes, after: bytes) -> None:
    async with FarSide() as far:
        (request,) = await send(far, format_, NOTE)
    assert request.body == before + encode(NOTE) + after
    assert decode(encode(NOTE)) == NOTE
    assert json.loads(encode(NOTE))["group"] == {"name": "日志"}


async def test_only_the_same_notification_is_named_by_the_same_key() -> None:
    """Numbers begin anew with a new journal: an endpoint that honours the key must not take that for a repeat."""
    later = Notification(number=1, why=Why.FIRST, at=2.5, group={}, severity="warning", events=2)
    async with FarSide() as far:
        first, again, other = await send(far, "single", NOTE, NOTE, later)
    assert first.headers["idempotency-key"] == again.headers["idempotency-key"] != other.headers["idempotency-key"]


async def test_a_refusal_is_that_of_any_other_request() -> None:
    async with FarSide() as far:
        far.then(Answer(400, b"no"))
        with pytest.raises(Rejected):
            await send(far, "single", NOTE)
