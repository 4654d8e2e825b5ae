"""`kind: stdout`: the formats, and what a reader can do to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from eventer.errors import Blocked, Rejected, Retry
from eventer.event import Event
from eventer.sink import Batch
from sinks import stdout
from tests.helpers.sinks import CANARY, HOSTILE, Harness, batch_of, make_event


class StdoutHarness(Harness):
    """Standard output is a file, a pipe or a full device."""

    kind = "stdout"
    sends_lines = True
    absent: ClassVar = {
        "rejected": "standard output takes everything",
        "too_large": "standard output takes everything",
        "throttled": "standard output names no wait",
        "timeout": "a slow reader is waited for; the runner gives up by cancelling, which is tested",
        "cut": "a reader that goes away is 'denied'",
    }

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._path = path
        self._patch = monkeypatch
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._fds = [self._file]
        self._write = os.write
        self._reader = -1
        self.use(self._file)

    def use(self, fd: int) -> None:
        self._patch.setattr(stdout, "STDOUT", fd)

    def options(self) -> dict[str, Any]:
        return {}

    def arrived(self) -> list[str]:
        lines = [line for line in self._path.read_bytes().split(b"\n") if line]
        return [msgspec.json.decode(line, type=Event).id for line in lines]

    def play(self, fault: str) -> None:
        if fault == "unavailable":
            self._fds.append(os.open("/dev/full", os.O_WRONLY))
        elif fault == "denied":
            reader, writer = os.pipe()
            os.close(reader)
            self._fds.append(writer)
        else:

            def broken(fd: int, data: bytes) -> int:
                raise ZeroDivisionError(CANARY)

            self._patch.setattr(os, "write", broken)
        self.use(self._fds[-1])

    def heal(self) -> None:
        self._patch.setattr(os, "write", self._write)
        self.use(self._file)

    async def stall(self) -> None:
        self._reader, writer = os.pipe()
        self._fds += [self._reader, writer]
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self._write(writer, b"\n" * stdout.PIECE)
        os.set_blocking(writer, True)
        self.use(writer)

    async def stalled(self) -> None:
        await asyncio.sleep(0)  # the pipe is full: the send hangs wherever it is by now

    async def unstall(self) -> None:
        pass  # nobody reads the pipe: the sink must give up by itself

    def close(self) -> None:
        for fd in self._fds:
            os.close(fd)


@contextlib.asynccontextmanager
async def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str = "") -> AsyncIterator[StdoutHarness]:
    made = StdoutHarness(tmp_path / "stdout", monkeypatch)
    yield made
    made.heal()
    made.close()


@pytest.fixture
async def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StdoutHarness]:
    async with harness(tmp_path, monkeypatch) as made:
        yield made


async def test_json_is_the_line_of_the_journal(out: StdoutHarness, tmp_path: Path) -> None:
    batch = batch_of([make_event(1), make_event(2)])
    sink = out.sink()
    await sink.open(None)
    await sink.send(batch)
    assert (tmp_path / "stdout").read_bytes() == b"".join(line + b"\n" for line in batch.lines)


async def test_line_is_for_people(out: StdoutHarness, tmp_path: Path) -> None:
    sink = out.sink(format="line")
    await sink.open(None)
    node = make_event(2, namespace="", name="node-1", kind="Node", type="Normal", count=1, message="ready")
    await sink.send(batch_of([make_event(1), node]))
    pod, ready = (tmp_path / "stdout").read_text().splitlines()
    assert pod == f"2026-03-01T12:00:01Z Warning BackOff prod Pod shop/web-1 (x3): {make_event(1).message}"
    assert ready == "2026-03-01T12:00:02Z Normal  BackOff prod Node node-1: ready"


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_line_stays_one_printable_line(out: StdoutHarness, tmp_path: Path, name: str) -> None:
    sink = out.sink(format="line")
    await sink.open(None)
    await sink.send(batch_of([make_event(1, message=HOSTILE[name], name="\x1b]0;title\x07")]))
    text = (tmp_path / "stdout").read_text(encoding="utf-8")
    assert len(text.splitlines()) == 1
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", text)


@pytest.mark.parametrize(
    ("terminal", "environment", "coloured"),
    [
        (True, {}, True),
        (True, {"NO_COLOR": ""}, True),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (False, {}, False),
    ],
)
async def test_colour_is_for_terminals_that_want_it(
    out: StdoutHarness, monkeypatch: pytest.MonkeyPatch, terminal: bool, environment: dict[str, str], coloured: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    reader, writer = pty.openpty() if terminal else os.pipe()
    out.use(writer)
    sink = out.sink(format="line")
    await sink.open(None)
    await sink.send(batch_of([make_event(1)]))
    shown = os.read(reader, 4096)
    os.close(reader)
    os.close(writer)
    assert (b"\x1b[" in shown) is coloured
    assert b"BackOff" in shown


async def test_a_reader_that_went_away_blocks(out: StdoutHarness) -> None:
    sink = out.sink()
    await sink.open(None)
    out.play("denied")
    with pytest.raises(Blocked) as caught:
        await sink.send(batch_of([make_event(1)]))
    assert caught.value.reason == "closed"


async def test_a_full_disk_is_tried_again(out: StdoutHarness) -> None:
    sink = out.sink()
    await sink.open(None)
    out.play("unavailable")
    with pytest.raises(Retry) as caught:
        await sink.send(batch_of([make_event(1)]))
    assert caught.value.reason == "disk"


async def test_half_a_line_does_not_spoil_the_next(out: StdoutHarness) -> None:
    reader, writer = os.pipe()
    out.use(writer)
    sink = out.sink()
    await sink.open(None)
    long = batch_of([make_event(1, message="x" * 1_000_000)])
    sending = asyncio.create_task(sink.send(long))
    await asyncio.to_thread(os.read, reader, 1)  # some of it is written, and the pipe cannot take all
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await sink.close()
    os.set_blocking(reader, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.read(reader, 1 << 20)
    await sink.send(batch_of([make_event(2)]))
    torn, line, rest = os.read(reader, 1 << 20).split(b"\n")
    assert (torn, rest) == (b"", b"")
    assert msgspec.json.decode(line, type=Event).id == make_event(2).id
    os.close(reader)
    os.close(writer)


async def test_what_is_no_event_is_rejected_not_raised(out: StdoutHarness) -> None:
    sink = out.sink(format="line")
    await sink.open(None)
    with pytest.raises(Rejected):
        await sink.send(Batch([b'{"id": 1}']))
