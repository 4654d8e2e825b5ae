"""Rows about the disk under the state directory: full, read-only, failing, slow."""

from __future__ import annotations

import base64
import json
import random
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.daemon import Daemon
from tests.helpers.oracle import Books
from tests.helpers.process import until
from tests.helpers.receiver import Receiver
from tests.helpers.writer import Writer
from tests.real import smalldisk
from tests.real.conftest import MakeDaemon
from tests.real.controlplane import ControlPlane
from tests.real.rows import SOON, WATCH_TIMES, end_well, scale, settled, source, truth_of, webhook, write


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[smalldisk.SmallDisk]:
    """The row's 16 MiB."""
    reason = smalldisk.unavailable()
    if reason:
        pytest.skip(f"{reason}; unit/journal/test_room plays the same on SQLite's own limits")
    with smalldisk.SmallDisk(tmp_path / "disk", 16) as made:
        yield made


def large(number: int) -> str:
    """A message as long as the daemon keeps, of which little can be compressed away."""
    return base64.b64encode(random.Random(number).randbytes(12_000)).decode()


async def _health(daemon: Daemon) -> dict[str, Any]:
    _, text = await daemon.get("/healthz")
    found: dict[str, Any] = json.loads(text)
    return found


async def _paused(daemon: Daemon) -> bool:
    """Whether it says that the disk refuses, and no watch is open."""
    health = await _health(daemon)
    return bool(health["journal"]["trouble"]) and not any(x["connected"] for x in health["streams"].values())


async def _goes_on(daemon: Daemon) -> bool:
    return (await _health(daemon))["status"] == "ok"


async def _end(daemon: Daemon, disk: smalldisk.SmallDisk, copy: Path) -> None:
    books = await daemon.books()
    assert books.faults() == []
    assert books.settled
    assert await daemon.term() == 0
    assert Books.from_journal(disk.copy(copy) / "state").faults() == []


@pytest.mark.parametrize("culprit", ["backlog", "somebody else"])
async def test_q3_disk_full(
    plane: ControlPlane, daemons: MakeDaemon, disk: smalldisk.SmallDisk, tmp_path: Path, culprit: str
) -> None:
    """Q3. The backlog of a dead sink, or another program, fills the disk to the last byte."""
    namespace = f"q3-{culprit.replace(' ', '-')}"
    await plane.namespace(namespace)
    writer = Writer(plane.api, seed=3, namespaces=(namespace,))
    async with Receiver() as receiver:
        receiver.status = 500
        daemon = daemons(sources=[source(plane, namespaces=[namespace])], enter=disk.enter, scaled=SOON)
        daemon.config["sinks"]["hook"] = webhook(receiver.url)
        daemon.config["state"]["path"] = str(disk.directory / "state")
        await daemon.start()
        first = daemon.child.pid
        await write(writer, 100, message=large)
        await settled(writer.truth, daemon.sights)
        if culprit == "somebody else":
            disk.fill()
        await write(writer, 900, message=large)
        await until(lambda: _paused(daemon), "reading to be paused")
        assert (await daemon.get("/livez"))[0] == 200
        assert (await _health(daemon))["status"] == "degraded"

        # The sink that lives gets the rest of what was read, and its cursor moves on the full disk.
        async def even() -> bool:
            books = await daemon.books()
            assert books.faults() == []
            return books.cursors["archive"] == books.head

        await until(even, "the cursor of the living sink to reach the head")
        assert (await daemon.books()).head < writer.acknowledged
        # The dead one comes back, drains, and with that makes room if it was its backlog.
        receiver.status = 200
        if culprit == "somebody else":
            await until(lambda: daemon.log() and len(receiver.sights) > 0, "the sink to drain")
            disk.free()
        await until(lambda: _goes_on(daemon), "reading to go on", timeout=120)
        truth = await truth_of(plane, writer, namespace)
        verdict = await settled(truth, lambda: receiver.sights, exact=True)
        assert verdict.faults() == []
        verdict = await settled(truth, daemon.sights, exact=True)
        assert verdict.faults() == []
        assert daemon.child.pid == first
        assert not [line for line in daemon.log() if line["event"].startswith("journal damaged")]
        await until(lambda: _even(daemon), "both cursors to reach the head")
        await _end(daemon, disk, tmp_path / "copy")


async def _even(daemon: Daemon) -> bool:
    return (await daemon.books()).settled


def test_q3_whenever_the_disk_is_full_what_is_there_can_be_settled(disk: smalldisk.SmallDisk) -> None:
    """Q3. Rows of many sizes, restarts on the full disk, somebody who takes what is left: from seeds."""
    for seed in range(scale(6, 200)):
        where = disk.directory / f"{seed}"
        command = ["nsenter", *disk.enter, sys.executable, "-m", "tests.helpers.fulldisk", str(where), str(seed)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, f"seed {seed}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        subprocess.run(["nsenter", *disk.enter, "rm", "-r", str(where)], check=True)


async def test_q4_a_read_only_disk_is_named_at_the_start(
    plane: ControlPlane, daemons: MakeDaemon, tmp_path: Path
) -> None:
    """Q4. It ends at once and says which directory, why, and what to do."""
    if reason := smalldisk.unavailable():
        pytest.skip(reason)
    with smalldisk.SmallDisk(tmp_path / "disk", 1, "ro") as disk:
        daemon = daemons(sources=[source(plane)], enter=disk.enter)
        daemon.config["state"]["path"] = str(disk.directory)
        daemon.launch()
        assert await daemon.child.ended() == 1
        assert f"{disk.directory} lies on a file system that is mounted read-only" in daemon.child.tail()


async def test_q4_writes_that_fail(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """Q4. The kernel refuses to write beyond a length, for any file: the journal's log cannot go on.

    A true EIO needs a broken device; this is another errno of the same system call, and SQLite makes the
    same of it (SQLITE_IOERR_WRITE). The errors themselves are played in unit/journal/test_room.
    """
    await plane.namespace("q4")
    writer = Writer(plane.api, seed=4, namespaces=("q4",))
    daemon = daemons(sources=[source(plane, namespaces=["q4"])], scaled=WATCH_TIMES)
    await daemon.start()
    await write(writer, 100)
    await settled(writer.truth, daemon.sights)
    soft, hard = resource.prlimit(daemon.child.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(daemon.child.pid, resource.RLIMIT_FSIZE, (256 << 10, hard))
    await write(writer, 60)
    await until(lambda: _paused(daemon), "reading to be paused")
    await write(writer, 10)  # the others may just have found room, and what a sink has settled of them none
    health = await _health(daemon)
    assert health["status"] == "degraded"
    assert "The disk under the state directory refuses" in health["journal"]["trouble"]
    assert (await daemon.get("/livez"))[0] == 200
    books = await daemon.books()
    assert books.faults() == []
    assert books.head < writer.acknowledged
    resource.prlimit(daemon.child.pid, resource.RLIMIT_FSIZE, (soft, hard))
    await until(lambda: _goes_on(daemon), "reading to go on")
    await end_well(daemon, await truth_of(plane, writer, "q4"), exact=True)


@pytest.mark.parametrize("action", ["full", "error", "readonly"])
async def test_q4_any_word_of_the_disk(plane: ControlPlane, daemons: MakeDaemon, action: str) -> None:
    """Q4, Q3. ENOSPC, EIO, EROFS at 16 commits in a row: nothing is acknowledged, it goes on by itself."""
    namespace = f"q4-{action}"
    await plane.namespace(namespace)
    writer = Writer(plane.api, seed=5, namespaces=(namespace,))
    daemon = daemons(sources=[source(plane, namespaces=[namespace])])
    await daemon.start(failpoints=f"journal.commit={action}@12-27")

    async def refused() -> bool:
        await write(writer, 10)
        return await daemon.metric("eventer_journal_commit_failures_total") == 16

    await until(refused, "16 commits to be refused")
    truth = await truth_of(plane, writer, namespace)
    assert (await settled(truth, daemon.sights, exact=True)).faults() == []
    paused = [line["event"] for line in daemon.log() if line["event"].startswith("disk ")]
    assert paused == ["disk refuses, reading is paused", "disk takes writes again, reading goes on"]
    await end_well(daemon, truth, exact=True)


async def test_q10_slow_fsync(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """Q10. Each commit takes half a second, for 10 seconds of 200 events a second."""
    await plane.namespace("q10")
    writer = Writer(plane.api, seed=10, namespaces=("q10",))
    daemon = daemons(sources=[source(plane, namespaces=["q10"])], scaled=WATCH_TIMES)
    await daemon.start(failpoints="journal.commit=sleep:0.5@10-")
    before = await daemon.books()
    await write(writer, 2000)
    assert (await daemon.get("/livez"))[0] == 200
    verdict = await settled(await truth_of(plane, writer, "q10"), daemon.sights, exact=True)
    assert verdict.faults() == []
    commits = await daemon.metric("eventer_journal_commit_seconds_count")
    books = await daemon.books()
    assert books.head - before.head >= 2000
    assert commits < 1000  # however slowly events are written: one for each would have taken a quarter of an hour
    ended = [line["cause"] for line in daemon.log() if line["event"] == "stream is down"]
    assert ended == []
    await end_well(daemon, await truth_of(plane, writer, "q10"), exact=True)
