"""Row S25 against the real API server, with a process and signals: reload while events are written."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
from collections.abc import AsyncIterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from eventer.cli.daemon import Daemon as Asked
from eventer.cli.daemon import DaemonError
from tests.helpers.daemon import Daemon
from tests.helpers.farside import FarSide
from tests.helpers.process import until
from tests.helpers.writer import Writer
from tests.real.conftest import MakeDaemon, MakePlane
from tests.real.controlplane import ControlPlane
from tests.real.rows import end_well, source, truth_of, webhook, write

BROKEN = [
    # The others are only warned of.
    text.with_suffix(".yaml")
    for text in sorted((Path(__file__).parents[1] / "data/broken").glob("*.txt"))
    if re.search(r"\d faults?$", text.read_text().rstrip()) and text.with_suffix(".yaml").exists()
]
"""Configuration files that `eventer check` refuses; their messages are golden files."""


@contextlib.asynccontextmanager
async def writing(writer: Writer, rate: float) -> AsyncIterator[None]:
    """Write so many Events a second while the block runs."""

    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(writer.run(rate=rate, stop=stop))
        try:
            yield
            assert not task.done()
        finally:
            stop.set()  # not cancelled: a write that is under way could come after the survey


def put(daemon: Daemon, text: str) -> None:
    new = daemon.config_file.with_suffix(".new")
    new.write_text(text)
    new.replace(daemon.config_file)


async def report(daemon: Daemon) -> dict[str, Any]:
    return dict((await asyncio.to_thread(Asked(daemon.state).get, "/v1/status"))["config"])


async def test_s25_every_broken_file_under_load(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """S25. SIGHUP with each broken file in turn at 200 events/s: the old configuration stays, nothing is lost."""
    assert len(BROKEN) >= 60
    await plane.namespace("s25-broken")
    writer = Writer(plane.api, seed=25, namespaces=("s25-broken",))
    daemon = daemons(sources=[source(plane, namespaces=["s25-broken"])])
    await daemon.start()
    good = daemon.config_file.read_text()
    async with writing(writer, 200):
        for number, file in enumerate(BROKEN, 1):
            daemon.config_file.write_bytes(file.read_bytes())
            daemon.child.signal(signal.SIGHUP)

            async def refused(count: int = number) -> bool:
                found = await report(daemon)
                assert found["results"]["taken"] == 0
                return int(found["results"]["refused"]) >= count

            await until(refused, f"{file.name} to be refused")
        put(daemon, good)
        daemon.child.signal(signal.SIGHUP)

        async def well() -> bool:
            return (await report(daemon))["refused"] is None

        await until(well, "the good file to be taken")
    await end_well(daemon, await truth_of(plane, writer, "s25-broken"), exact=True)


async def test_s25_sinks_come_and_go_under_load_and_kills(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """S25. A file change, SIGHUP and `reload` in turn, 40 times in place of 100, with kill -9 in the midst of some."""
    await plane.namespace("s25-kill")
    writer = Writer(plane.api, seed=26, namespaces=("s25-kill",))
    daemon = daemons(sources=[source(plane, namespaces=["s25-kill"])], scaled={"eventer.app.reload:LOOK_EVERY": 0.1})
    async with FarSide() as far, writing(writer, 100):
        await daemon.start()
        first = daemon.descriptors()
        for turn in range(40):
            config = deepcopy(daemon.config)
            config["sinks"]["archive"]["timeout"] = f"{10 + turn % 2}s"
            config["filter"] = [{"drop": {"reason": f"Never{turn}"}}]
            config["sources"][0]["labels"] = {"turn": str(turn // 4)}
            if turn % 3:
                config["sinks"]["hook"] = webhook(far.url, timeout="2s")
            else:
                config["state"]["discard"] = ["hook"]
            daemon.config = config
            put(daemon, yaml.safe_dump(config))
            if turn % 5 == 4:
                daemon.child.signal(signal.SIGHUP)
                daemon.kill9()
                await daemon.child.ended()
                await daemon.start()
            elif turn % 2:
                daemon.child.signal(signal.SIGHUP)
            with contextlib.suppress(DaemonError):
                answer = await asyncio.to_thread(Asked(daemon.state, 60).post, "/v1/reload")
                assert answer["refused"] is None, answer
        await until(lambda: daemon.descriptors() < first + 12, "no descriptor to be left")
    await end_well(daemon, await truth_of(plane, writer, "s25-kill"), repeats=10**6)


async def test_s25_a_cluster_is_added_and_taken_away(
    planes: MakePlane, plane: ControlPlane, daemons: MakeDaemon
) -> None:
    """S25. A second cluster by reload, then without it: the first one's watch is never touched."""
    second = await planes(name="second")
    await plane.namespace("s25-two")
    await second.namespace("s25-two")
    one, two = (Writer(each.api, seed=27, namespaces=("s25-two",)) for each in (plane, second))
    daemon = daemons(sources=[source(plane, namespaces=["s25-two"])])
    await daemon.start()
    watches = await daemon.metric("eventer_watches_total", cluster=plane.name)
    await write(one, 20)
    config = deepcopy(daemon.config)
    config["sources"].append(source(second, namespaces=["s25-two"]))
    put(daemon, yaml.safe_dump(config))
    assert (await asyncio.to_thread(Asked(daemon.state).post, "/v1/reload"))["refused"] is None
    await write(two, 20)
    await until(lambda: len({sight.entity for sight in daemon.sights()}) == 40, "all Events of both")
    put(daemon, yaml.safe_dump(daemon.config))
    assert (await asyncio.to_thread(Asked(daemon.state).post, "/v1/reload"))["refused"] is None
    await write(two, 5)
    await write(one, 5)
    await until(lambda: len({sight.entity for sight in daemon.sights()}) == 45, "the Events of the first")
    assert await daemon.metric("eventer_watches_total", cluster=plane.name) == watches
    await end_well(daemon, await truth_of(plane, one, "s25-two") | {
        uid: truth for uid, truth in two.truth.items() if uid in {sight.entity for sight in daemon.sights()}
    }, exact=True)  # fmt: skip


# -- namespaces by label ----------------------------------------------------------------------------------


async def test_namespaces_come_and_go_with_their_labels(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """A namespace is read while it has the labels, and from its first Event on, however late it is noticed."""
    for name in ("label-a", "label-b", "label-c"):
        await plane.namespace(name)
    await plane.api.merge("/api/v1/namespaces/label-a", {"metadata": {"labels": {"team": "shop"}}})
    writer = Writer(plane.api, seed=28, namespaces=("label-a", "label-b", "label-c"))
    daemon = daemons(
        sources=[source(plane, namespace_selector="team=shop,env notin (test)", start="now")],
        scaled={"eventer.app.reading:LOOK_EVERY": 0.2},
    )
    await daemon.start()
    await writer.create(namespace="label-c")
    await writer.create(namespace="label-b", name="before-its-label")
    await writer.create(namespace="label-a", name="in-a")
    await until(lambda: {"label-a/in-a"} <= seen(daemon), "the namespace with the label")
    await plane.api.merge("/api/v1/namespaces/label-b", {"metadata": {"labels": {"team": "shop"}}})
    await until(lambda: {"label-b/before-its-label"} <= seen(daemon), "the one that got it")
    await plane.api.merge("/api/v1/namespaces/label-a", {"metadata": {"labels": {"env": "test"}}})

    async def streams(count: int) -> bool:
        _, text = await daemon.get("/metrics")
        return text.count("eventer_watch_connected{") == count

    await until(lambda: streams(1), "the one that is gone")
    await writer.create(namespace="label-a", name="while-away")
    await writer.create(namespace="label-b", name="late")
    await until(lambda: {"label-b/late"} <= seen(daemon), "the one that stayed")
    assert "label-a/while-away" not in seen(daemon)
    await plane.api.merge("/api/v1/namespaces/label-a", {"metadata": {"labels": {"env": None}}})
    await until(lambda: {"label-a/while-away"} <= seen(daemon), "the one that came back")
    truth = {uid: truth for uid, truth in writer.truth.items() if truth.namespace != "label-c"}
    await end_well(daemon, truth, exact=True)


async def test_the_right_to_list_namespaces_is_named_and_waited_for(planes: MakePlane, daemons: MakeDaemon) -> None:
    plane = await planes(users=("reader",))
    await plane.namespace("label-d")
    await plane.api.merge("/api/v1/namespaces/label-d", {"metadata": {"labels": {"team": "d"}}})
    events = {"apiGroups": [""], "resources": ["events"], "verbs": ["list", "watch"]}
    daemon = daemons(
        sources=[source(plane, user="reader", namespace_selector="team=d")],
        scaled={"eventer.app.reading:LOOK_EVERY": 0.2},
    )
    daemon.launch()

    async def named() -> bool:
        status, text = await daemon.get("/readyz")
        return status == 503 and 'cannot list resource "namespaces"' in text

    await until(named, "the missing right to be named")
    await plane.grant("reader", [events, {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list"]}])
    await daemon.ready()
    writer = Writer(plane.api, seed=29, namespaces=("label-d",))
    await write(writer, 5)
    await end_well(daemon, writer.truth, exact=True)


def seen(daemon: Daemon) -> set[str]:
    return {sight.event for sight in daemon.sights()}
