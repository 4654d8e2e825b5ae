"""Rows about reading: history that is gone, changes missed while down, lists that break in the middle."""

from __future__ import annotations

import random

import pytest

from eventer.config.sources import SELECTABLE
from tests.helpers.process import until
from tests.helpers.proxy import Mode, Proxy
from tests.helpers.writer import Writer
from tests.real.conftest import MakeDaemon
from tests.real.controlplane import ControlPlane
from tests.real.rows import WATCH_TIMES, end_well, pages_of, settled, source, truth_of, write

IMPATIENT = {"eventer.source.settings:StreamSettings.patience": 2.0}
"""Seconds between tries where a person must help, in place of 60."""
PAGE = 50
"""Items of a list that come at a time, in place of 500."""


def incompressible(seed: int) -> str:
    """A message of 3 kB that gzip leaves at more than half of that, whether or not it is used."""
    return random.Random(seed).randbytes(1500).hex()


async def test_w3_restart_after_compaction(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """W3. Compacted by hand while down, in place of 60 s down with compaction every 6 s."""
    await plane.namespace("w3")
    writer = Writer(plane.api, seed=3, namespaces=("w3",))
    daemon = daemons(sources=[source(plane, namespaces=["w3"])])
    await daemon.start()
    known = await write(writer, 100)
    await settled(writer.truth, daemon.sights)
    assert await daemon.term() == 0
    await write(writer, 100)
    for truth in known[:10]:
        await writer.repeat(truth, by=3)
    await writer.delete(known[20])
    await plane.compact()
    await daemon.start()
    verdict = await end_well(daemon, await truth_of(plane, writer, "w3"), exact=True)
    # 200 new ones and 10 changes, each once; nothing of before came again.
    assert verdict.records == 210
    assert [sight.reason for sight in daemon.sights() if sight.origin == "eventer"] == []


async def test_w5_history_gone_while_watching_keeps_health_green(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """W5. Old position, compacted history: the 410 comes as a line of the stream, and is no error."""
    await plane.namespace("w5")
    writer = Writer(plane.api, seed=5, namespaces=("w5",))
    daemon = daemons(sources=[source(plane, namespaces=["w5"])])
    await daemon.start()
    await write(writer, 5)
    await settled(writer.truth, daemon.sights)
    assert await daemon.term() == 0
    await write(writer, 5)
    await plane.compact()
    await daemon.start()
    await settled(writer.truth, daemon.sights)
    assert (await daemon.get("/healthz"))[0] == 200
    await end_well(daemon, await truth_of(plane, writer, "w5"), exact=True)
    assert {line.get("level") for line in daemon.log()} <= {"debug", "info"}


async def test_w7_compaction_between_pages(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """W7. The proxy freezes in page 2; meanwhile history goes and an object appears before the cursor.

    Page 3 is then answered with 410 and a token for an inconsistent rest, in which that object is
    missing: whoever uses it loses the object.
    """
    await plane.namespace("w7")
    writer = Writer(plane.api, seed=7, namespaces=("w7",))
    await write(writer, 3 * PAGE, message=incompressible)
    async with Proxy(plane.port) as proxy:
        daemon = daemons(
            sources=[source(plane, server=f"https://127.0.0.1:{proxy.port}", namespaces=["w7"])],
            scaled=pages_of(PAGE),
        )
        # Beyond page 1 even if sent plain (190 kB), before the end of page 2 even if sent as gzip (230 kB).
        proxy.freeze_after(210_000)
        daemon.launch()
        await proxy.frozen()
        early = await writer.create(name="a-early")
        await plane.compact()
        await writer.create(name="z-late")
        proxy.mode = Mode.PASS
        verdict = await end_well(daemon, await truth_of(plane, writer, "w7"), exact=True)
    assert early.uid in {sight.entity for sight in daemon.sights()}
    assert verdict.records == 3 * PAGE + 2


async def test_w9_quiet_namespace_in_a_busy_cluster(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """W9. Three compactions while only another namespace is written to; restarts make each one count."""
    for namespace in ("w9", "busy"):
        await plane.namespace(namespace)
    quiet = Writer(plane.api, seed=9, namespaces=("w9",))
    busy = Writer(plane.api, seed=90, namespaces=("busy",))
    await write(quiet, 3)
    daemon = daemons(sources=[source(plane, namespaces=["w9"])])
    for _ in range(3):
        await daemon.start()
        await settled(quiet.truth, daemon.sights)
        daemon.kill9()
        await write(busy, 20)
        await plane.compact()
    await daemon.start()
    await quiet.create()
    verdict = await end_well(daemon, await truth_of(plane, quiet, "w9"), exact=True)
    assert verdict.records == 4


async def test_w19_counted_up_live(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """W19. Each of 20 changes comes, with the right count."""
    await plane.namespace("w19")
    writer = Writer(plane.api, seed=19, namespaces=("w19",))
    daemon = daemons(sources=[source(plane, namespaces=["w19"])])
    await daemon.start()
    truth = await writer.create()
    for _ in range(20):
        await writer.repeat(truth)
    await end_well(daemon, await truth_of(plane, writer, "w19"), exact=True)
    assert [sight.count for sight in daemon.sights()] == list(range(1, 22))


@pytest.mark.parametrize("history", ["kept", "compacted"])
async def test_w20_updates_while_down(plane: ControlPlane, daemons: MakeDaemon, history: str) -> None:
    """W20. Where history is kept every change comes; where it is gone, one record with all five."""
    namespace = f"w20-{history}"
    await plane.namespace(namespace)
    writer = Writer(plane.api, seed=20, namespaces=(namespace,))
    daemon = daemons(sources=[source(plane, namespaces=[namespace])])
    await daemon.start()
    truth = await writer.create()
    await settled(writer.truth, daemon.sights)
    assert await daemon.term() == 0
    for _ in range(5):
        await writer.repeat(truth)
    if history == "compacted":
        await plane.compact()
    await daemon.start()
    await end_well(daemon, await truth_of(plane, writer, namespace), exact=True)
    changes = [(sight.count, sight.delta) for sight in daemon.sights()]
    expected = [(6, 5)] if history == "compacted" else [(count, 1) for count in range(2, 7)]
    assert changes == [(1, 1), *expected]


async def test_w21_series_heartbeat(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """W21. The count of events.k8s.io stands in the series; a recorder's heartbeat lets it jump."""
    await plane.namespace("w21")
    writer = Writer(plane.api, seed=21, namespaces=("w21",))
    daemon = daemons(sources=[source(plane, namespaces=["w21"])])
    await daemon.start()
    truth = await writer.create(series=True)
    await writer.repeat(truth)
    await writer.repeat(truth, by=3998)
    await end_well(daemon, await truth_of(plane, writer, "w21"), exact=True)
    assert [(sight.count, sight.delta) for sight in daemon.sights()] == [(1, 1), (2, 1), (4000, 3998)]


async def test_w22_deleted_and_made_again(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """W22. Two objects of one name are two."""
    await plane.namespace("w22")
    writer = Writer(plane.api, seed=22, namespaces=("w22",))
    daemon = daemons(sources=[source(plane, namespaces=["w22"])])
    await daemon.start()
    first = await writer.create(name="same")
    await settled(writer.truth, daemon.sights)
    await writer.delete(first)
    second = await writer.create(name="same")
    await end_well(daemon, await truth_of(plane, writer, "w22"), exact=True)
    assert [sight.entity for sight in daemon.sights()] == [first.uid, second.uid]


async def test_w33_message_as_large_as_the_api_takes(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """W33, the half that a real server can do: 1.4 MB. It is cut, and the stream goes on."""
    await plane.namespace("w33")
    writer = Writer(plane.api, seed=33, namespaces=("w33",))
    daemon = daemons(sources=[source(plane, namespaces=["w33"])])
    await daemon.start()
    large = await writer.create(message="x" * 1_400_000)
    await writer.create()
    await end_well(daemon, await truth_of(plane, writer, "w33"), exact=True)
    (sight,) = [sight for sight in daemon.sights() if sight.entity == large.uid]
    assert 0 < len(sight.message) < 20_000


async def test_w24_what_leaves_the_selector(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """W24. Turned from Warning to Normal: the server says DELETED. That is not exported; nor is what comes after."""
    await plane.namespace("w24")
    writer = Writer(plane.api, seed=24, namespaces=("w24",))
    daemon = daemons(sources=[source(plane, namespaces=["w24"], field_selector="type=Warning")])
    await writer.create(type_="Normal")
    await daemon.start()
    leaves, stays = await writer.create(), await writer.create()
    path = f"/api/v1/namespaces/w24/events/{leaves.name}"
    await settled({truth.uid: truth for truth in (leaves, stays)}, daemon.sights)
    await plane.api.merge(path, {"type": "Normal", "count": 2})
    await plane.api.merge(path, {"count": 3})
    last = await writer.create()
    await settled({last.uid: last}, daemon.sights)
    assert [(sight.entity, sight.count) for sight in daemon.sights()] == [
        (leaves.uid, 1),
        (stays.uid, 1),
        (last.uid, 1),
    ]
    await plane.api.merge(path, {"type": "Warning"})
    survey = await truth_of(plane, writer, "w24")
    await end_well(daemon, {uid: survey[uid] for uid in (leaves.uid, stays.uid, last.uid)}, exact=True)
    assert [(sight.count, sight.delta) for sight in daemon.sights() if sight.entity == leaves.uid] == [
        (1, 1),
        (3, None),
    ]
    assert "looks deleted" in daemon.child.tail(), "the configuration warns of it"


async def test_every_selector_that_may_be_configured_is_one_of_the_api(plane: ControlPlane) -> None:
    for api, path in (("core", "/api/v1/events"), ("events", "/apis/events.k8s.io/v1/events")):
        for field in sorted(SELECTABLE[api]):
            await plane.api.request("GET", f"{path}?limit=1&fieldSelector={field}%21%3Dx")


async def test_w25_no_bookmarks_on_events(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """W25, the half about Events: five idle watches of 3 to 5 s in place of 3 min; busy elsewhere meanwhile."""
    for namespace in ("w25", "w25-busy"):
        await plane.namespace(namespace)
    quiet = Writer(plane.api, seed=25, namespaces=("w25",))
    busy = Writer(plane.api, seed=250, namespaces=("w25-busy",))
    daemon = daemons(sources=[source(plane, namespaces=["w25"])], scaled=WATCH_TIMES)
    await daemon.start()
    await write(quiet, 3)
    await settled(quiet.truth, daemon.sights)
    position = await daemon.metric("eventer_watch_position")

    async def watched() -> bool:
        await busy.create()
        return await daemon.metric("eventer_watches_total") > 5

    await until(watched, "five watches", every=0.5)
    assert await daemon.metric("eventer_watch_position") == position
    assert await daemon.metric("eventer_watch_bookmarks_total") == 0
    assert await daemon.metric("eventer_watch_relists_total") == 1
    assert (await daemon.get("/healthz"))[0] == 200
    await quiet.create()
    await end_well(daemon, await truth_of(plane, quiet, "w25"), exact=True)


READ_EVENTS = [{"apiGroups": [""], "resources": ["events"], "verbs": ["list", "watch"]}]


async def test_w30_rights_granted_later(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """W30. Not ready while forbidden, saying which right is missing; recovers without a restart."""
    await plane.namespace("w30")
    writer = Writer(plane.api, seed=30, namespaces=("w30",))
    daemon = daemons(sources=[source(plane, user="reader", namespaces=["w30"])], scaled=IMPATIENT)
    daemon.launch()
    await until(lambda: "forbidden" in daemon.child.tail().lower(), "word of the missing right")
    assert (await daemon.get("/readyz"))[0] != 200
    assert "events" in daemon.child.tail()
    await write(writer, 10)
    await plane.grant("reader", READ_EVENTS, namespace="w30")
    await daemon.ready()
    await end_well(daemon, await truth_of(plane, writer, "w30"), exact=True)


async def test_w31_one_namespace_forbidden(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """W31. Two of three namespaces are readable, and flow."""
    names = ("w31-a", "w31-b", "w31-closed")
    for name in names:
        await plane.namespace(name)
    for name in names[:2]:
        await plane.grant("reader", READ_EVENTS, namespace=name)
    writer = Writer(plane.api, seed=31, namespaces=names[:2])
    daemon = daemons(sources=[source(plane, user="reader", namespaces=list(names))])
    daemon.launch()
    await write(writer, 20)
    await end_well(daemon, writer.truth, exact=True)
