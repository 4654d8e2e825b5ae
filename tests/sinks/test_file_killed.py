"""`kind: file` and kill -9: whichever step is the last one, nothing is lost and nothing is there twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

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


class Writer(Protocol):
    """Writes twelve events to the file sink of a directory in a process of its own; returns how that ended.

    `keep` is the sink's, `points` are failpoints.
    """

    def __call__(self, where: Path, keep: int, points: str, *, gzip: bool = False) -> int: ...


@pytest.mark.parametrize("point", KILLED)
@pytest.mark.parametrize("again", ["", "file.undone", "file.back"])
def test_kill_9_leaves_nothing_twice_and_loses_nothing(writer: Writer, tmp_path: Path, point: str, again: str) -> None:
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


@pytest.mark.parametrize("point", ["file.pack", "file.packed", "file.packed@2", "file.exchange", "file.exchanged"])
def test_kill_9_while_compressing_leaves_the_plain_file_or_the_whole_compressed_one(
    writer: Writer, tmp_path: Path, point: str
) -> None:
    name, _, nth = point.partition("@")
    out = tmp_path / "out"
    out.mkdir()
    assert writer(tmp_path, 100, f"{name}=kill@{nth or 1}", gzip=True) == -signal.SIGKILL
    found = everything(out / "events.jsonl")  # reads each number once, and fails on half a file
    assert found == ids(*range(12))[: len(found)]
    assert len(found) > 2
    assert writer(tmp_path, 100, "", gzip=True) == 0
    assert everything(out / "events.jsonl") == ids(*range(12))
    forms = [path.name.removesuffix(".gz") for path in out.iterdir()]
    assert len(forms) == len(set(forms)), "a file is there in one form only"
    assert not list(out.glob("*.part"))


WRITERS = """
import asyncio, json, os, sys
from pathlib import Path
from eventer.clock import SystemClock
from eventer.sink import SinkContext
from eventer.values import Size
from tests.helpers.sinks import batch_of, make_event
from tests.helpers.until import until

async def write(where: Path, keep: int, gzip: bool) -> None:
    from sinks.file import Config, Sink  # with the failpoints of this process
    note = where / "journal"
    settled = note.read_bytes().split(b" ", 1) if note.exists() else [b"0", b""]
    config = Config(kind="file", path=str(where / "out/events.jsonl"), max_size=Size(1000), keep=keep, gzip=gzip)
    sink = Sink(config, SinkContext(name="x", clock=SystemClock()))
    await sink.open(settled[1] or None)
    late = None
    for number in range(int(settled[0]), 12):
        sent = await sink.send(batch_of([make_event(number)]))
        if late is not None:
            note.with_suffix(".new").write_bytes(late)
            note.with_suffix(".new").rename(note)
        late = str(number + 1).encode() + b" " + sent.state
    if gzip:
        await until(lambda: list(where.glob("out/*.gz")), "a file to be compressed")
    await sink.close()

for line in sys.stdin:
    where, keep, points, gzip = json.loads(line)
    child = os.fork()
    if not child:
        os.environ["EVENTER_FAILPOINTS"] = points
        asyncio.run(write(Path(where), keep, gzip))
        sys.exit()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def writer() -> Iterator[Writer]:
    """One process that has imported all that is needed, and becomes two for each writer."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", WRITERS], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        commands, ended = process.stdin, process.stdout
        assert commands is not None
        assert ended is not None

        def write(where: Path, keep: int, points: str, *, gzip: bool = False) -> int:
            commands.write(json.dumps([str(where), keep, points, gzip]) + "\n")
            commands.flush()
            return int(ended.readline())

        yield write
        commands.close()
