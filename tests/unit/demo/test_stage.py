"""The demo as a whole: its story in haste, its claims when they are false, and the command that people type."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from rich.cells import cell_len

from eventer.cli import main
from eventer.demo.apiserver import ApiServer
from eventer.demo.incident import DROPPED, Pace
from eventer.demo.picture import Picture
from eventer.demo.process import DaemonProcess
from eventer.demo.stage import Stage
from eventer.errors import EventerError

ROUND = 606
"""Changes in the recording."""
LEFT_OUT = 230
"""Of them, those that the filter drops."""
HASTE = Pace(between=0.0, reading=0.0, quiet=0.0)


def lines_of(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


class Watcher:
    """Takes the demo's pictures, and does something at one of them."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.words: list[str] = []
        self.said: list[str] = []
        self.last: Picture | None = None
        self.waited = 0
        self._then: dict[str, Callable[[], object]] = {}

    def at(self, words: str, then: Callable[[], object]) -> None:
        self._then[words] = then

    def begin(self, *lines: str) -> None:
        self.said += lines

    def draw(self, picture: Picture) -> None:
        if picture.status is not None:
            self.waited = max([self.waited, *(sink.pending for sink in picture.status.sinks)])
        self._look(" ".join(f"{event.reason} {event.name}" for event in picture.events))

    def tell(self, picture: Picture) -> None:
        if picture.headline not in self.steps:
            self.steps.append(picture.headline)
        self.words += [words for words in picture.words if words not in self.words]
        self._look(" ".join([picture.headline, *picture.words]))

    def end(self, picture: Picture | None, *lines: str) -> None:
        self.last = picture and msgspec.structs.replace(picture)
        self.said += lines

    def _look(self, text: str) -> None:
        for words in [words for words in self._then if words in text]:
            self._then.pop(words)()

    @property
    def text(self) -> str:
        return "\n".join([*self.words, *self.said])


async def test_the_whole_story_is_true(tmp_path: Path) -> None:
    watcher = Watcher()
    stage = Stage(tmp_path, watcher, HASTE)
    assert await stage.recorded(), watcher.text
    assert [step.removeprefix(f"{n}/6  ") for n, step in enumerate(watcher.steps, 1)] == [
        "events stream in",
        "a sink dies",
        "now Eventer itself is killed",
        "the sink comes back",
        "a node goes down",
        "a rollout goes wrong",
        "And nothing was lost",
    ]
    waiting = re.search(r"kill -9 \d+, while (\d+) events wait", watcher.text)
    assert waiting is not None
    assert 50 < int(waiting[1]) <= watcher.waited
    assert "✓ All 50 were read, nothing was listed again; the file has each event once." in watcher.words
    assert re.search(r"✓ The webhook has them all: \d+ events, none twice", watcher.text)
    assert re.search(
        r"▲ 3 pods of shop/checkout cannot get their image: \d+ times in \d+ seconds? \(.*9.1.0", watcher.text
    )
    kept = ROUND - LEFT_OUT
    assert f"✓ {ROUND} changes = {LEFT_OUT} filtered + {kept} in the file (0 twice) + 0 missing" in watcher.said
    assert f"✓ the webhook has {kept}, 0 missing; came twice, as may be after a crash: 0" in watcher.said
    assert "✓ the books balance, over a dead sink and a kill -9" in watcher.said
    assert "✗" not in watcher.text
    assert "✓ It is back, resolved. Each change was told once, and 30 heartbeats were not." in watcher.words
    lines = lines_of(stage.events)
    edges = [line for line in lines if line["origin"] == "node"]
    assert [(edge["name"], edge["status"]) for edge in edges] == [("worker-2", "Unknown"), ("worker-2", "True")]
    events = [line for line in lines if line["origin"] == "event"]
    assert len(events) == kept
    assert set(Counter(event["id"] for event in events).values()) == {1}
    assert not [event for event in events if event["type"] == "Normal" and event["reason"] in DROPPED]
    assert watcher.last is not None
    assert watcher.last.status is not None
    assert watcher.last.chat
    assert {sink.name: sink.outcomes for sink in watcher.last.status.sinks} == {
        "chat": {"delivered": len(watcher.last.chat)},
        "file": {"delivered": kept + len(edges)},
        "webhook": {"delivered": kept + len(edges)},
    }
    assert list(tmp_path.iterdir()) == [stage.events]
    # What carries the story is not cut off on a terminal of 80 columns.
    assert [words for words in watcher.words if cell_len(words) > 79 and not words.startswith("▲")] == []


async def test_a_line_that_is_lost_and_one_that_is_twice_in_the_file_are_told(tmp_path: Path) -> None:
    watcher = Watcher()
    stage = Stage(tmp_path, watcher, HASTE)

    def lose_the_last_for_the_first() -> None:
        lines = stage.events.read_bytes().splitlines(keepends=True)
        stage.events.write_bytes(b"".join([*lines[:-1], lines[0]]))

    watcher.at("nothing was lost", lose_the_last_for_the_first)
    assert not await stage.recorded()
    kept = ROUND - LEFT_OUT - 1
    assert f"✗ {ROUND} changes = {LEFT_OUT} filtered + {kept} in the file (1 twice) + 1 missing" in watcher.said
    assert "✗ NOT ALL THAT WAS SHOWN WAS AS IT SHOULD BE" in watcher.said


@pytest.mark.parametrize("words", ["2/6", "The cluster goes on", "it is started again", "4/6", "5/6", "6/6"])
async def test_stopped_at_any_step_the_end_is_still_told_and_true(tmp_path: Path, words: str) -> None:
    watcher = Watcher()
    stage = Stage(tmp_path, watcher, HASTE)
    watcher.at(words, stage.stop)
    assert await stage.recorded(), watcher.text
    assert "✓ the books balance, up to where you stopped it" in watcher.said
    assert "And nothing was lost" not in watcher.steps
    assert "✗" not in watcher.text


async def test_after_the_story_events_go_on_until_the_end_is_asked_for(tmp_path: Path) -> None:
    watcher = Watcher()
    stage = Stage(tmp_path, watcher, msgspec.structs.replace(HASTE, prove_every=ROUND), goes_on=True)
    watcher.at("Still nothing lost", stage.stop)
    assert await stage.recorded(), watcher.text
    counts = [int(n) for n in re.findall(r"✓ (\d+) changes", watcher.text)]
    assert max(counts) >= 2 * ROUND
    assert "✗" not in watcher.text


async def test_a_real_cluster_is_only_read_and_can_be_gone_on_with(tmp_path: Path) -> None:
    server = ApiServer()
    await server.start()
    kubeconfig = server.write_kubeconfig(tmp_path / "kubeconfig")
    for number in range(7):
        server.create(message=f"number {number}", reason=f"Seventh{number}")
    directory = tmp_path / "demo"
    directory.mkdir()
    watcher = Watcher()
    stage = Stage(directory, watcher, HASTE)
    watcher.at("Seventh6", stage.stop)
    try:
        assert await stage.real(kubeconfig, None), watcher.text
    finally:
        await server.stop()
    assert len(lines_of(stage.events)) == 7
    assert "✓ The 7 events that the cluster holds are read." in watcher.words
    assert "✓ 7 changes read, and the books balance." in watcher.said
    assert f"Go on where this stopped:  eventer run -c {directory / 'eventer.yaml'}" in watcher.said
    reads = {"list", "watch", "audit"}
    assert {request.kind.removeprefix("nodes-") for request in server.requests} <= {"namespace", "probe", *reads}
    assert main(["check", "-c", str(directory / "eventer.yaml")]) == 0


async def test_a_daemon_that_ends_by_itself_says_why(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("{}")
    directory = tmp_path / "demo"
    directory.mkdir()
    with pytest.raises(ExceptionGroup) as raised:
        await Stage(directory, Watcher(), HASTE).real(kubeconfig, None)
    (error,) = raised.value.exceptions
    assert isinstance(error, EventerError)
    assert "The daemon under the demo has ended" in str(error)
    assert str(kubeconfig) in str(error)


async def test_the_daemon_ends_when_the_demo_is_no_more(tmp_path: Path) -> None:
    config = tmp_path / "eventer.yaml"
    config.write_text(
        f"sources: [{{cluster: a, kubernetes: {{kubeconfig: {tmp_path / 'none'}}}}}]\n"
        f"sinks: {{file: {{kind: file, path: {tmp_path / 'events'}}}}}\nstate: {{path: {tmp_path / 'state'}}}\n"
        "server: {listen: 127.0.0.1:0}\n"
    )
    server = ApiServer()
    await server.start()
    server.write_kubeconfig(tmp_path / "none")
    heard: list[object] = []
    daemon = DaemonProcess(config, tmp_path / "state", lambda _, line: heard.append(line["event"]))
    try:
        await daemon.start()
        async with asyncio.timeout(60):
            while (await daemon.status()) is None:
                assert daemon.alive
            assert daemon._process is not None
            assert daemon._process.stdin is not None
            daemon._process.stdin.close()  # as the end of this process would
            while daemon.alive:
                await asyncio.sleep(0.01)
    finally:
        await daemon.kill()
        await server.stop()
    assert heard[-1] == "stopped"


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "eventer", "demo", *args]


async def test_in_a_pipe_it_writes_lines_and_ctrl_c_ends_it_well(tmp_path: Path) -> None:
    demo = await asyncio.create_subprocess_exec(
        *command(), stdout=asyncio.subprocess.PIPE, env={"TMPDIR": str(tmp_path)}
    )
    assert demo.stdout is not None
    async with asyncio.timeout(60):
        while b"shop-metal-" not in await demo.stdout.readline():
            pass
        demo.send_signal(signal.SIGINT)
        rest = (await demo.stdout.read()).decode()
        assert await demo.wait() == 0
    assert "\x1b" not in rest
    assert "✓ the books balance, up to where you stopped it" in rest
    assert re.search(r"received (\d+) = .*  ✓", rest)
    (directory,) = tmp_path.iterdir()
    assert [file.name for file in directory.iterdir()] == ["events.jsonl"]


@pytest.mark.parametrize(("term", "picture"), [("xterm-256color", True), ("dumb", False)])
async def test_on_a_terminal_it_draws_where_that_is_possible(tmp_path: Path, term: str, *, picture: bool) -> None:
    ours, theirs = pty.openpty()
    demo = await asyncio.create_subprocess_exec(
        *command(), stdout=theirs, stdin=theirs, env={"TMPDIR": str(tmp_path), "TERM": term, "NO_COLOR": "1"}
    )
    os.close(theirs)
    seen = b""
    try:
        async with asyncio.timeout(60):
            while b"shop-metal-" not in seen:
                seen += await asyncio.to_thread(os.read, ours, 65536)
            demo.send_signal(signal.SIGINT)
            while part := await asyncio.to_thread(_read, ours):
                seen += part
            assert await demo.wait() == 0
    finally:
        os.close(ours)
    assert (b"\x1b[?1049h" in seen) is picture
    assert (b"\x1b" in seen) is picture
    assert not re.search(rb"\x1b\[[0-9;]*3[0-7]m", seen)
    assert "✓ the books balance".encode() in seen


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except OSError:  # the other end is closed
        return b""


async def test_it_ends_when_nobody_looks_any_more(tmp_path: Path) -> None:
    demo = await asyncio.create_subprocess_exec(
        *("sh", "-c", f"{sys.executable} -m eventer demo | head -n 12 >/dev/null"), env={"TMPDIR": str(tmp_path)}
    )
    async with asyncio.timeout(60):
        await demo.wait()
    (directory,) = tmp_path.iterdir()
    assert [file.name for file in directory.iterdir()] == ["events.jsonl"]


def test_a_context_needs_a_kubeconfig(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--context", "prod"]) == 2
    assert "--kubeconfig" in capsys.readouterr().err


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--kubeconfig", str(tmp_path / "none")]) == 1
    assert str(tmp_path / "none") in capsys.readouterr().err
