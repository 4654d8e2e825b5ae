"""`kind: webhook`: what answers mean, for a whole request and for events that go one by one."""

from __future__ import annotations

from typing import Any

import pytest

from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.values import Duration
from sinks.webhook import SuccessConfig
from tests.helpers.farside import Answer, FarSide
from tests.sinks.test_webhook import opened, send


@pytest.mark.parametrize(
    ("body", "ok"),
    [
        (b'{"errcode": 0}', True),
        (b'{"errcode": 0.0}', True),
        (b'{"errcode": 310000}', False),
        (b'{"errcode": "0"}', False),
        (b'{"errcode": false}', False),
        (b'{"errcode": null}', False),
        (b"{}", False),
        (b"[]", False),
        (b"", False),
        (b"<html>ok</html>", False),
        (b"[" * 50_000, False),
    ],
)
@pytest.mark.parametrize(("otherwise", "error"), [("retry", Retry), ("reject", Rejected)])
async def test_success_by_a_field(far: FarSide, body: bytes, ok: bool, otherwise: Any, error: type[SinkError]) -> None:
    far.answer = Answer(200, body)
    async with opened(far, success=SuccessConfig(field="errcode", equals=0, otherwise=otherwise)) as sink:
        if ok:
            await send(sink, 1)
            return
        with pytest.raises(error) as caught:
            await send(sink, 1)
    assert caught.value.reason == "answer"
    assert caught.value.answer == body.decode()[:1000]


@pytest.mark.parametrize(
    ("field", "equals", "ok"),
    [
        ("data.items.0.ok", True, True),
        ("data.none", "None", False),
        ("data.missing", 0, False),
        ("data.items.0.ok", 1, False),
        ("data.items.1.ok", True, False),
        ("data.items.x.ok", True, False),
        ("data.items.0.ok.deeper", True, False),
        ("data.name", "fine", True),
    ],
)
async def test_a_field_may_lie_deep(far: FarSide, field: str, equals: Any, ok: bool) -> None:
    far.answer = Answer(200, b'{"data": {"items": [{"ok": true}], "none": null, "name": "fine"}}')
    async with opened(far, success=SuccessConfig(field=field, equals=equals)) as sink:
        if ok:
            await send(sink, 1)
            return
        with pytest.raises(Retry):
            await send(sink, 1)


async def test_single_names_rejected_ones_and_goes_on(far: FarSide) -> None:
    far.then(Answer(), Answer(422, b"no"), Answer())
    async with opened(far, format="single") as sink:
        sent = await send(sink, 1, 2, 3)
    assert {index: type(error) for index, error in sent.failed.items()} == {1: Rejected}
    assert len(far.requests) == 3


@pytest.mark.parametrize(("status", "error"), [(503, Retry), (401, Blocked)])
async def test_single_stops_at_the_first_that_must_wait(far: FarSide, status: int, error: type[SinkError]) -> None:
    far.then(Answer(), Answer(status))
    async with opened(far, format="single") as sink:
        sent = await send(sink, 1, 2, 3)
        assert {index: type(fault) for index, fault in sent.failed.items()} == {1: error, 2: error}
        assert len(far.requests) == 2, "nothing overtakes the event that waits"
        far.then(Answer(status))
        with pytest.raises(error):
            await send(sink, 2, 3)


async def test_single_leaves_for_later_what_time_does_not_allow(far: FarSide) -> None:
    class Clock:
        time = 0.0

        def monotonic(self) -> float:
            self.time += 4.0
            return self.time

    async with opened(far, format="single", timeout=Duration(30)) as sink:
        sink._clock = Clock()
        sent = await send(sink, *range(20))
    assert 1 <= len(far.requests) < 20
    assert list(sent.failed) == list(range(len(far.requests), 20))
    assert {(error.reason, error.after) for error in sent.failed.values()} == {("unsent", 0.0)}
