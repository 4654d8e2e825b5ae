"""`kind: file` and kill -9: whichever step is the last one, nothing is lost and nothing is there twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sinks.test_file import everything, ids

KILLED = [
    "file.made",  # before anything is written
    "file.write",
    "file.sync@3",
    "file.synced@3",
    "file.synced@5",
    "file.renamed@2",
    "file.made@3",
    "file.pruned@2",
]


@pytest.mark.parametrize("point", KILLED)
@pytest.mark.parametrize("again", ["", "file.undone", "file.back"])
def test_kill_9_leaves_nothing_twice_and_loses_nothing(tmp_path: Path, point: str, again: str) -> None:
    """A writer that settles each place one send late, as the journal may, is killed and started again."""
    name, _, nth = point.partition("@")
    keep = 2 if name == "file.pruned" else 100
    (tmp_path / "out").mkdir()
    assert writer(tmp_path, keep, f"{name}=kill@{nth or 1}") == -signal.SIGKILL
    if again:
        writer(tmp_path, keep, f"{again}=kill@1")  # killed where there is a rotation to undo
    assert writer(tmp_path, keep, "") == 0
    kept = everything(tmp_path / "out/events.jsonl")
    assert kept == ids(*range(12))[-len(kept) :]
    assert len(kept) == 12 or keep == 2


WRITER = """
import asyncio, sys
from pathlib import Path
from eventer.clock import SystemClock
from eventer.sink import SinkContext
from eventer.values import Size
from sinks.file import Config, Sink
from tests.helpers.sinks import batch_of, make_event

async def main(where: Path) -> None:
    note = where / "journal"
    settled = note.read_bytes().split(b" ", 1) if note.exists() else [b"0", b""]
    config = Config(kind="file", path=str(where / "out/events.jsonl"), max_size=Size(1000), keep=int(sys.argv[2]))
    sink = Sink(config, SinkContext(name="x", clock=SystemClock()))
    await sink.open(settled[1] or None)
    late = None
    for number in range(int(settled[0]), 12):
        sent = await sink.send(batch_of([make_event(number)]))
        if late is not None:
            note.with_suffix(".new").write_bytes(late)
            note.with_suffix(".new").rename(note)
        late = str(number + 1).encode() + b" " + sent.state
    await sink.close()

asyncio.run(main(Path(sys.argv[1])))
"""


def writer(where: Path, keep: int, points: str) -> int:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "EVENTER_FAILPOINTS": points}
    return subprocess.run(
        [sys.executable, "-c", WRITER, str(where), str(keep)], env=environment, check=False
    ).returncode
