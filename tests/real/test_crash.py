"""Rows about death: the daemon is killed (SIGKILL) at any moment, and nothing is lost nor written twice."""

from __future__ import annotations

import asyncio
import random
import re
import shutil
from pathlib import Path

import pytest

import eventer
import sinks
from tests.helpers.oracle import judge
from tests.helpers.process import until
from tests.helpers.receiver import Receiver
from tests.helpers.writer import Writer
from tests.real.conftest import MakeDaemon
from tests.real.controlplane import ControlPlane
from tests.real.rows import end_well, pages_of, scale, settled, source, truth_of, webhook, write

SIGKILLED = -9
BATCH = 50


def failpoints() -> list[str]:
    """Every failpoint in the program, so that a new one is tested without a word here."""
    names: set[str] = set()
    for package in (eventer, sinks):
        for root in package.__path__:
            for file in Path(root).rglob("*.py"):
                names |= set(re.findall(r'\bhit\("([^"]+)"\)', file.read_text()))
    return sorted(names)


RARE = frozenset({"file.undone", "file.back", "file.pruned", "alerting.settle", "alerting.settled"})
"""Failpoints that ordinary work does not pass: `test_q1_kill_while_a_rotation_is_undone`, `..._pruned`; and those of
alerting, which are in `test_notifiers`."""


async def test_w2_kill9_at_random(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """W2. 12 kills in place of 100; the moments are random numbers of writes, from a fixed seed."""
    await plane.namespace("w2")
    writer = Writer(plane.api, seed=2, namespaces=("w2",))
    dice = random.Random(2)
    kills = scale(12, 100)
    stop = asyncio.Event()
    async with Receiver() as receiver, asyncio.TaskGroup() as group:
        daemon = daemons(sources=[source(plane, namespaces=["w2"])])
        daemon.config["sinks"]["hook"] = webhook(receiver.url, batch={"count": BATCH})
        writing = group.create_task(writer.run(rate=100, stop=stop))
        for _ in range(kills):
            daemon.launch()
            goal = writer.acknowledged + dice.randrange(20, 300)
            await until(lambda goal=goal: writer.acknowledged >= goal, "more writes", every=0.01)  # type: ignore[misc]
            daemon.kill9()
            # The first life may end before there is anything to account for.
            if (daemon.state / "journal.db").exists() and (books := daemon.journal()).cursors and books.intake:
                assert books.faults() == []
        stop.set()
        await writing
        await daemon.start()
        truth = await truth_of(plane, writer, "w2")
        hook = await settled(truth, lambda: receiver.sights, exact=True)
        assert hook.faults(repeats=2 * kills * BATCH) == []
        # The file keeps its length in the journal, so not even the record in flight comes twice.
        await end_well(daemon, truth, exact=True)


async def test_w27_crash_in_relist(plane: ControlPlane, daemons: MakeDaemon, tmp_path: Path) -> None:
    """W27. Killed at the k-th commit of a list of seven pages, for every k that the list has."""
    await plane.namespace("w27")
    writer = Writer(plane.api, seed=27, namespaces=("w27",))
    daemon = daemons(sources=[source(plane, namespaces=["w27"])], scaled=pages_of(10))
    await daemon.start()
    known = await write(writer, 20)
    await settled(writer.truth, daemon.sights)
    assert await daemon.term() == 0
    await write(writer, 40)
    for truth in known[:10]:
        await writer.repeat(truth)
    await plane.compact()
    truths = await truth_of(plane, writer, "w27")
    before = tmp_path / "before"
    shutil.copytree(daemon.directory, before)

    def complete() -> bool:
        verdict = judge(truths, daemon.sights(), exact=True)
        return not verdict.lost_objects and not verdict.lost_states

    deaths = 0
    for k in range(1, 40):
        shutil.rmtree(daemon.directory)
        shutil.copytree(before, daemon.directory)
        daemon.launch(failpoints=f"journal.commit=kill@{k}")
        await until(lambda: not daemon.child.alive or complete(), f"death at commit {k}, or the end")
        survived = daemon.child.alive
        if not survived:
            assert daemon.child.exit_code == SIGKILLED
            deaths += 1
            assert daemon.journal().faults() == []
            await daemon.start()
        await settled(truths, daemon.sights, exact=True)
        daemon.kill9()
        verdict = judge(truths, daemon.sights(), exact=True)
        assert verdict.faults() == [], f"killed at commit {k}"
        assert daemon.journal().faults() == [], f"killed at commit {k}"
        if survived:
            break
    assert deaths >= 3, "the list must have taken several commits, or this proves nothing"


@pytest.mark.parametrize("passes", [1, 4])
@pytest.mark.parametrize("name", sorted(set(failpoints()) - RARE))
async def test_q1_kill_at_every_failpoint(plane: ControlPlane, daemons: MakeDaemon, name: str, passes: int) -> None:
    """Q1. Once early and once in mid-work; file: exactly once, webhook: repeats of two batches at most."""
    namespace = f"q1-{name.replace('.', '-').replace('_', '-')}-{passes}"
    await plane.namespace(namespace)
    writer = Writer(plane.api, seed=1, namespaces=(namespace,))
    stop = asyncio.Event()
    async with Receiver() as receiver, asyncio.TaskGroup() as group:
        daemon = daemons(sources=[source(plane, namespaces=[namespace])])
        daemon.config["sinks"] = {
            "archive": daemon.file_sink(
                max_size="8KiB", keep=1000, gzip=name.startswith(("file.pack", "file.exchange"))
            ),
            "hook": webhook(receiver.url, batch={"count": BATCH}),
        }
        writing = group.create_task(writer.run(rate=50, stop=stop))
        daemon.launch(failpoints=f"{name}=kill@{passes}")
        try:
            assert await daemon.child.ended() == SIGKILLED
        finally:
            stop.set()
        await writing
        await daemon.start()
        truth = await truth_of(plane, writer, namespace)
        hook = await settled(truth, lambda: receiver.sights, exact=True)
        assert hook.faults(repeats=2 * BATCH) == []
        await end_well(daemon, truth, exact=True)


@pytest.mark.parametrize("name", ["file.undone", "file.back"])
async def test_q1_kill_while_a_rotation_is_undone(plane: ControlPlane, daemons: MakeDaemon, name: str) -> None:
    """Q1. Two deaths in a row: within a rotation of the file, and within its repair."""
    namespace = f"q1-{name.replace('.', '-')}"
    await plane.namespace(namespace)
    writer = Writer(plane.api, seed=1, namespaces=(namespace,))
    daemon = daemons(sources=[source(plane, namespaces=[namespace])])
    daemon.config["sinks"] = {"archive": daemon.file_sink(max_size="8KiB", keep=1000, batch={"count": 5})}
    await write(writer, 100)
    for failpoint in ("file.renamed=kill@2", f"{name}=kill@1"):
        daemon.launch(failpoints=failpoint)
        assert await daemon.child.ended() == SIGKILLED
    await daemon.start()
    await end_well(daemon, await truth_of(plane, writer, namespace), exact=True)


async def test_q1_kill_while_an_old_file_is_pruned(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """Q1. The file keeps little here, so the webhook is judged; at most one file too many is left."""
    await plane.namespace("q1-pruned")
    writer = Writer(plane.api, seed=1, namespaces=("q1-pruned",))
    async with Receiver() as receiver:
        daemon = daemons(sources=[source(plane, namespaces=["q1-pruned"])])
        daemon.config["sinks"] = {
            "archive": daemon.file_sink(max_size="8KiB", keep=2, batch={"count": 5}),
            "hook": webhook(receiver.url, batch={"count": BATCH}),
        }
        await write(writer, 200)
        daemon.launch(failpoints="file.pruned=kill@1")
        assert await daemon.child.ended() == SIGKILLED
        await daemon.start()
        await write(writer, 50)
        verdict = await settled(await truth_of(plane, writer, "q1-pruned"), lambda: receiver.sights, exact=True)
        assert verdict.faults(repeats=2 * BATCH) == []
        assert await daemon.term() == 0
        assert daemon.journal().faults() == []
        assert len(list(daemon.directory.glob("archive.jsonl.*"))) == 2


async def test_q8_second_daemon_on_one_state_is_refused(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """Q8. The second says so and ends; the first does not notice."""
    await plane.namespace("q8")
    writer = Writer(plane.api, seed=8, namespaces=("q8",))
    first = daemons(sources=[source(plane, namespaces=["q8"])])
    second = daemons(sources=[source(plane, namespaces=["q8"])], state={"path": str(first.state)})
    await first.start()
    second.launch()
    assert await second.child.ended() not in (0, SIGKILLED)
    assert str(first.state) in second.child.tail()
    assert "Traceback" not in second.child.tail()
    await writer.create()
    await end_well(first, await truth_of(plane, writer, "q8"), exact=True)
