"""X12, the receiver: the code that docs/sinks/webhook.md gives to receivers takes what we send, and nothing else."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventer.clock import SystemClock
from eventer.values import Secret
from sinks._sign import SignConfig
from tests.helpers.farside import Answer, FarSide, Request
from tests.sinks.test_webhook import VARIANTS, opened, send

PAGE = Path(__file__).parents[2] / "docs/sinks/webhook.md"
NEW, OLD, FOREIGN = (f"whsec_{base64.b64encode(byte * 32).decode()}" for byte in (b"n", b"o", b"f"))
Verify = Callable[..., bool]


@pytest.fixture
def verify() -> Verify:
    """Take the function out of the page, as a reader does."""
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if "def verify" in code]
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    found: Verify = names["verify"]
    return found


async def received(far: FarSide, *secrets: str, **options: Any) -> Request:
    named = dict(zip(("secret", "previous"), map(Secret.literal, secrets), strict=False))
    async with opened(far, sign=SignConfig(**named), **options) as sink:
        await send(sink, 1, 2)
    return far.requests[-1]


@pytest.mark.parametrize("form", [variant for variant in VARIANTS if variant not in ("key", "signed", "mtls", "proxy")])
async def test_x12_what_the_sink_sends_is_taken(verify: Verify, form: str) -> None:
    async with FarSide() as far:
        request = await received(far, NEW, format=form)
    assert verify(request.body, request.headers, [NEW])


@pytest.mark.parametrize(
    ("sender", "receiver", "taken"),
    [
        ([NEW], [NEW], True),
        ([NEW], [OLD, NEW], True),
        ([NEW, OLD], [OLD], True),
        ([NEW, OLD], [NEW], True),
        ([NEW, OLD], [FOREIGN], False),
        ([OLD], [NEW], False),
        ([NEW], [], False),
    ],
)
async def test_x12_either_secret_is_enough(verify: Verify, sender: list[str], receiver: list[str], taken: bool) -> None:
    async with FarSide() as far:
        request = await received(far, *sender)
    assert verify(request.body, request.headers, receiver) is taken


async def test_x12_what_was_changed_on_the_way_is_refused(verify: Verify) -> None:
    async with FarSide() as far:
        request = await received(far, NEW, OLD)
    body, headers = request.body, request.headers
    signature = headers["webhook-signature"]
    bad = base64.b64encode(bytes(32)).decode()
    for changed in (
        {"webhook-id": headers["webhook-id"] + "0"},
        {"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)},
        {"webhook-signature": f"v1,{bad}"},
        {"webhook-signature": signature.replace("v1,", "v2,")},
        {"webhook-signature": signature.replace("v1,", "")},
        {"webhook-signature": signature[:20]},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "ümlaut é"},
        {"webhook-signature": ""},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": "nan"},
        {"webhook-timestamp": "9" * 400},
    ):
        assert verify(body, headers | changed, [NEW, OLD]) is False
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        assert verify(body, {key: value for key, value in headers.items() if key != name}, [NEW, OLD]) is False
    assert verify(body + b" ", headers, [NEW, OLD]) is False
    assert verify(b"", headers, [NEW, OLD]) is False
    assert verify(body, headers | {"webhook-signature": f"v1,{bad} {signature}"}, [NEW, OLD]) is True


@pytest.mark.parametrize(
    ("age", "taken"), [(0, True), (299, True), (-299, True), (302, False), (-302, False), (86_400, False)]
)
async def test_x12_what_is_old_or_of_the_future_is_refused(verify: Verify, age: int, taken: bool) -> None:
    async with FarSide() as far:
        request = await received(far, NEW)
    now = int(request.headers["webhook-timestamp"]) + age
    assert verify(request.body, request.headers, [NEW], now=now) is taken


async def test_x12_a_repeat_has_the_id_of_the_first_and_its_own_time(verify: Verify) -> None:
    class Clock(SystemClock):
        ahead = 0.0

        def now(self) -> Any:
            return super().now().fromtimestamp(super().now().timestamp() + self.ahead, super().now().tzinfo)

    clock = Clock()
    async with FarSide() as far:
        far.then(Answer(503))
        async with opened(far, sign=SignConfig(secret=Secret.literal(NEW))) as sink:
            sink._clock = clock
            with pytest.raises(Exception, match="503"):
                await send(sink, 1, 2)
            clock.ahead = 3600.0
            await send(sink, 1, 2)
    first, second = far.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == second.headers["idempotency-key"]
    later = int(second.headers["webhook-timestamp"])
    assert later - int(first.headers["webhook-timestamp"]) >= 3600
    assert verify(second.body, second.headers, [NEW], now=later), "an hour late, and fresh all the same"


async def test_x12_signatures_are_compared_in_constant_time(verify: Verify, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[Any, Any]] = []
    original = hmac.compare_digest

    def watched(one: Any, other: Any) -> bool:
        compared.append((one, other))
        return original(one, other)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    async with FarSide() as far:
        request = await received(far, NEW, OLD)
    assert verify(request.body, request.headers, [OLD])
    assert any(one == other for one, other in compared)
