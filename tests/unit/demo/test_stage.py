"""The demo as a whole: in this process for a number of changes, and as the command that people type."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from eventer.cli import main
from eventer.demo.apiserver import ApiServer
from eventer.demo.screen import Screen
from eventer.demo.stage import Stage
from eventer.demo.story import DROPPED, Pace

ROUND = 606
"""Changes in the recording."""
HASTE = Pace(between=0.0, books_every=ROUND, reading=0.0)


def lines_of(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


class Watcher:
    """Takes the demo's notices, and asks for its end at one of them."""

    def __init__(self, until: str) -> None:
        self.text = ""
        self.stage: Stage | None = None
        self._until = until

    def __call__(self, text: str) -> None:
        self.text += text
        if self._until in text and self.stage is not None:
            self.stage.stop()


@pytest.mark.usefixtures("capfd")  # the events go to standard output
async def test_nothing_is_lost_over_a_cut_and_a_whole_round(tmp_path: Path) -> None:
    watcher = Watcher(until="So far")
    stage = watcher.stage = Stage(tmp_path, Screen(watcher, colour=False), HASTE)
    assert await stage.recorded()
    said = watcher.text
    assert "THE SERVER CUTS THE CONNECTION" in said
    assert "Eventer has noticed" in said
    assert "nothing was listed again" in said
    proofs = re.findall(r"(\d+) changes at the server = (\d+) in the file \+ (\d+) left out .* \+ (\d+) missing", said)
    assert len(proofs) == 3  # after the cut, so far, at the end
    changes, found, left_out, missing = map(int, proofs[-1])
    assert changes > ROUND
    assert (missing, changes) == (0, found + left_out)
    events = lines_of(stage.events)
    assert len(events) == found
    assert set(Counter(event["id"] for event in events).values()) == {1}
    assert not [event for event in events if event["type"] == "Normal" and event["reason"] in DROPPED]
    assert f"received {changes} = filtered {left_out} + seen 0 + poison 0 + appended {found}  ✓" in said
    assert "✗" not in said


@pytest.mark.usefixtures("capfd")
async def test_only_the_events_are_left(tmp_path: Path) -> None:
    watcher = Watcher(until="Eventer has read")
    stage = watcher.stage = Stage(tmp_path, Screen(watcher, colour=False), HASTE)
    assert await stage.recorded()
    assert list(tmp_path.iterdir()) == [stage.events]
    assert str(stage.events) in watcher.text


async def test_the_screen_gets_what_the_file_gets(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    watcher = Watcher(until="After the cut")
    stage = watcher.stage = Stage(tmp_path, Screen(watcher, colour=False), HASTE)
    await stage.recorded()
    shown = [line for line in capfd.readouterr().out.splitlines() if line]
    events = lines_of(stage.events)
    assert len(shown) == len(events)
    assert [event["reason"] in line for event, line in zip(events, shown, strict=True)] == [True] * len(events)


@pytest.mark.usefixtures("capfd")
async def test_a_real_cluster_is_only_read_and_can_be_gone_on_with(tmp_path: Path) -> None:
    server = ApiServer()
    await server.start()
    kubeconfig = server.write_kubeconfig(tmp_path / "kubeconfig")
    for number in range(7):
        server.create(message=f"number {number}")
    directory = tmp_path / "demo"
    directory.mkdir()
    watcher = Watcher(until="Eventer has read")
    stage = watcher.stage = Stage(directory, Screen(watcher, colour=False), HASTE)
    try:
        assert await stage.real(kubeconfig, None)
    finally:
        await server.stop()
    assert len(lines_of(stage.events)) == 7
    assert "received 7 = filtered 0 + seen 0 + poison 0 + appended 7  ✓" in watcher.text
    assert f"eventer run -c {directory / 'eventer.yaml'}" in watcher.text
    assert {request.kind for request in server.requests} <= {"namespace", "probe", "list", "watch", "audit"}
    assert main(["check", "-c", str(directory / "eventer.yaml")]) == 0


async def test_ctrl_c_shows_the_books_and_ends_well(tmp_path: Path) -> None:
    demo = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "eventer", "demo", stdout=asyncio.subprocess.PIPE, env={"TMPDIR": str(tmp_path)}
    )
    assert demo.stdout is not None
    async with asyncio.timeout(60):
        while b"shop-metal-1" not in await demo.stdout.readline():
            pass
        demo.send_signal(signal.SIGINT)
        rest = (await demo.stdout.read()).decode()
        assert await demo.wait() == 0
    assert "At the end: nothing is lost ✓" in rest
    assert re.search(r"received (\d+) = .*  ✓", rest)
    (directory,) = tmp_path.iterdir()
    assert [file.name for file in directory.iterdir()] == ["events.jsonl"]


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
