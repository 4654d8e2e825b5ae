"""What every sink must do (eventer/sink.py), whatever its far side is.

The suite runs over every kind that the registry finds, so a new sink is under test by being there.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import logging
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.sink import Batch, NotifierConfig, Sent, SinkConfig, kinds, load
from eventer.values import Duration
from tests.helpers.sinks import CANARY, FAULTS, HOSTILE, Harness, batch_of, make_event

ROOT = Path(__file__).parents[2]
KINDS = [kind for kind, module in kinds().items() if module.startswith("sinks.")]
EXPECTED: dict[str, type[SinkError]] = {
    "rejected": Rejected,
    "denied": Blocked,
    "too_large": Rejected,
    "throttled": Retry,
    "unavailable": Retry,
    "timeout": Retry,
    "cut": Retry,
    "unknown": Retry,
}


def _variants(kind: str) -> list[str]:
    return getattr(importlib.import_module(f"tests.sinks.test_{kind}"), "VARIANTS", [""])


CASES = [
    (kind, variant)
    for kind in KINDS
    if not issubclass(load(kind).Config, NotifierConfig)  # those are sent other things: test_notifiers.py
    for variant in _variants(kind)
]


@pytest.fixture(params=CASES, ids=lambda case: "-".join(filter(None, case)))
async def harness(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Harness]:
    kind, variant = request.param
    module = importlib.import_module(f"tests.sinks.test_{kind}")
    async with module.harness(tmp_path, monkeypatch, variant) as made:
        yield made


async def failure(sink: Any, batch: Batch) -> SinkError:
    """Return why a send failed: raised, or said of every item."""
    try:
        sent = await sink.send(batch)
    except SinkError as error:
        return error
    assert list(sent.failed) == list(range(len(batch)))
    return sent.failed[0]


@pytest.mark.parametrize("kind", KINDS)
def test_has_its_test_module_and_its_page(kind: str) -> None:
    assert (ROOT / f"tests/sinks/test_{kind}.py").is_file(), f"write tests/sinks/test_{kind}.py with a harness"
    page = ROOT / f"docs/sinks/{kind}.md"
    assert page.is_file(), f"write docs/sinks/{kind}.md"
    text = page.read_text(encoding="utf-8")
    for marker in ("<!-- options:start -->", "<!-- options:end -->"):
        assert text.count(marker) == 1, f"the table of options needs one {marker}"
    assert f"kind: {kind}" in text, "show an example"


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_is_explained_below_it(kind: str) -> None:
    module = load(kind)
    assert issubclass(module.Config, SinkConfig)
    assert module.__file__ is not None
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    for cls in (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name.endswith("Config")):
        for option, below in zip(cls.body, [*cls.body[1:], None], strict=True):
            if isinstance(option, ast.AnnAssign):
                assert isinstance(below, ast.Expr), f"{cls.name}: a docstring is missing below {ast.unparse(option)}"


async def test_plays_every_fault_or_says_why_not(harness: Harness) -> None:
    assert set(harness.absent) <= set(FAULTS)
    assert all(harness.absent.values())


@pytest.mark.parametrize("count", [1, 300])
async def test_delivers_in_order(harness: Harness, count: int) -> None:
    sink = harness.sink()
    await sink.open(None)
    events = [make_event(number) for number in range(count)]
    sent = await sink.send(batch_of(events))
    assert isinstance(sent, Sent)
    assert not sent.failed
    assert harness.arrived() == [event.id for event in events]
    await sink.close()


async def test_what_send_confirmed_is_there_before_close(harness: Harness) -> None:
    sink = harness.sink()
    await sink.open(None)
    for number in range(3):
        await sink.send(batch_of([make_event(number)]))
        assert len(harness.arrived()) == number + 1
    await sink.close()


async def test_goes_on_from_its_state_after_a_restart(harness: Harness) -> None:
    state = None
    for number in range(3):
        sink = harness.sink()
        await sink.open(state)
        state = (await sink.send(batch_of([make_event(number)]))).state
        await sink.close()
    assert harness.arrived() == [make_event(number).id for number in range(3)]


async def test_the_same_batch_can_be_sent_again(harness: Harness) -> None:
    sink = harness.sink()
    await sink.open(None)
    batch = batch_of([make_event(1), make_event(2)])
    await sink.send(batch)
    assert not (await sink.send(batch)).failed
    await sink.close()


async def test_takes_hostile_text(harness: Harness) -> None:
    sink = harness.sink()
    await sink.open(None)
    events = [make_event(number, message=text) for number, text in enumerate(HOSTILE.values())]
    events.append(make_event(99, name="../../etc", namespace="\x1b[2J", reason="a\r\nb: c", labels={"\n": "\u202e"}))
    sent = await sink.send(batch_of(events))
    assert all(isinstance(error, Rejected) for error in sent.failed.values())
    expected = [event.id for index, event in enumerate(events) if index not in sent.failed]
    assert harness.arrived() == expected
    await sink.close()


async def test_sends_lines_without_decoding(harness: Harness) -> None:
    if not harness.sends_lines:
        pytest.skip("as configured here it makes no such promise")
    sink = harness.sink()
    await sink.open(None)
    batch = batch_of([make_event(number) for number in range(10)])
    await sink.send(batch)
    assert batch._events is None
    await sink.close()


@pytest.mark.parametrize("fault", FAULTS)
async def test_names_what_failed_tells_no_secret_and_recovers(
    harness: Harness, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    if fault in harness.absent:
        pytest.skip(harness.absent[fault])
    caplog.set_level(logging.DEBUG)
    sink = harness.sink(timeout=Duration(0.3)) if fault == "timeout" else harness.sink()
    await sink.open(None)
    batch = batch_of([make_event(1), make_event(2)])
    harness.play(fault)
    error = await failure(sink, batch)
    assert type(error) is EXPECTED[fault]
    assert error.reason.replace("_", "").isalpha(), "a reason is a word: it becomes a metric label"
    if fault == "throttled":
        assert error.after == 7.0
    told = "".join(traceback.format_exception(error))
    told += f"{error!r} {error.answer} {error.reason} {sink!r} {harness.config()!r}"
    assert CANARY not in told
    harness.heal()
    if fault == "timeout":  # its short patience is not what recovers
        await sink.close()
        sink = harness.sink()
        await sink.open(None)
    sent = await sink.send(batch)
    assert not sent.failed
    assert harness.arrived()[-2:] == [make_event(1).id, make_event(2).id]
    await sink.close()
    assert CANARY not in caplog.text


async def test_gives_up_when_cancelled_and_leaves_nothing_open(harness: Harness) -> None:
    sink = harness.sink()
    await sink.open(None)
    await harness.stall()
    sending = asyncio.create_task(sink.send(batch_of([make_event(number) for number in range(50)])))
    await harness.stalled()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    closing = asyncio.create_task(sink.close())
    await harness.unstall()
    await closing
    mine = asyncio.current_task()
    left = [task for task in asyncio.all_tasks() if task is not mine and "sinks/" in str(task.get_coro())]
    assert not left


async def test_sends_again_after_a_cancelled_send(harness: Harness) -> None:
    sink = harness.sink()
    await sink.open(None)
    await harness.stall()
    sending = asyncio.create_task(sink.send(batch_of([make_event(1)])))
    await harness.stalled()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await harness.unstall()
    harness.heal()
    await sink.send(batch_of([make_event(2)]))
    assert harness.arrived()[-1] == make_event(2).id
    await sink.close()


async def test_a_probe_says_what_it_found_and_sends_nothing(harness: Harness) -> None:
    sink = harness.sink()
    if not hasattr(sink, "probe"):
        pytest.skip("this kind cannot be probed")
    said = await sink.probe()
    assert said.endswith(".")
    assert CANARY not in said
    assert harness.arrived() == []
    await sink.close()


async def test_can_be_closed_without_having_been_opened(harness: Harness) -> None:
    await harness.sink().close()
