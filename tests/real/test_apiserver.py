"""Rows in which the control plane itself is broken: frozen, killed, restored, exchanged."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.helpers.process import until
from tests.helpers.proxy import Proxy
from tests.helpers.writer import Truth, Writer, survey
from tests.real.conftest import MakeDaemon, MakePlane
from tests.real.controlplane import ControlPlane
from tests.real.rows import WATCH_TIMES, end_well, scale, settled, source, truth_of, write


async def test_w12_frozen_apiserver(planes: MakePlane, daemons: MakeDaemon) -> None:
    """W12. Frozen until the stall is noticed and the connection closed, in place of 10 minutes.

    A frozen process still has its kernel answer keep-alive probes, so only a timer can notice.
    Watches last seconds in place of minutes.
    """
    plane = await planes()
    async with Proxy(plane.port) as proxy:
        writer = Writer(plane.api, seed=12)
        daemon = daemons(sources=[source(plane, server=f"https://127.0.0.1:{proxy.port}")], scaled=WATCH_TIMES)
        await daemon.start()
        await write(writer, 30)
        await settled(writer.truth, daemon.sights)
        plane.freeze()
        before = proxy.connections
        await until(lambda: proxy.connections > before, "a new connection in place of the silent one", timeout=90)
        assert (await daemon.get("/livez"))[0] == 200
        plane.thaw()
        await plane.ready()
        await write(writer, 30)
        await end_well(daemon, await truth_of(plane, writer), exact=True)


async def test_w11_apiserver_killed(planes: MakePlane, daemons: MakeDaemon) -> None:
    """W11, with a real SIGKILL under load in place of a cut swept over one line."""
    plane = await planes()
    writer = Writer(plane.api, seed=11)
    daemon = daemons(sources=[source(plane)])
    await daemon.start()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.run(rate=100, stop=stop))
        for _ in range(2):
            goal = writer.acknowledged + 100
            await until(lambda goal=goal: writer.acknowledged >= goal, "writes")  # type: ignore[misc]
            plane.kill_apiserver()
            await plane.start_apiserver()
        stop.set()
    await end_well(daemon, await truth_of(plane, writer), exact=True)


async def test_w10_rolling_restart(planes: MakePlane, daemons: MakeDaemon) -> None:
    """W10. Two API servers behind one address, ended by SIGTERM in turn under load: 3 times, in place of 15 in 5 min.

    Nothing is lost, and each restart costs at most one reconnect and no list.
    """
    restarts = scale(3, 15)
    plane = await planes(servers=2)
    async with Proxy(plane.ports[0]) as proxy:
        address = f"https://127.0.0.1:{proxy.port}"
        api = plane.client("admin", url=address)
        writer = Writer(api, seed=10)
        daemon = daemons(sources=[source(plane, server=address)])
        await daemon.start()
        stop = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(writer.run(rate=50, stop=stop))
                for turn in range(restarts):
                    goal = writer.acknowledged + 50
                    await until(lambda goal=goal: writer.acknowledged >= goal, "writes")  # type: ignore[misc]
                    server = plane.apiservers[turn % 2]
                    proxy.upstream = plane.ports[1 - turn % 2]
                    server.signal(signal.SIGTERM)
                    await server.ended(timeout=120)
                    await plane.start_apiserver(turn % 2)
                stop.set()
        finally:
            await api.close()
        await settled(await truth_of(plane, writer), daemon.sights)
        # Nothing happens to nodes here, so their history may end before they are asked for again. A slow machine
        # may be at it for as long as a watch lasts.
        ended = await daemon.metric("eventer_watch_ended_total", scope="events")
        ended -= await daemon.metric("eventer_watch_ended_total", scope="events", cause="timeout")
        assert 1 <= ended <= restarts, daemon.child.tail()
        assert await daemon.metric("eventer_watch_relists_total", scope="events") == 1
        await end_well(daemon, await truth_of(plane, writer), exact=True)


async def test_w15_etcd_killed(planes: MakePlane, daemons: MakeDaemon) -> None:
    """W15. Until the API server itself has noticed, in place of 30 s."""
    plane = await planes()
    writer = Writer(plane.api, seed=15)
    daemon = daemons(sources=[source(plane)])
    await daemon.start()
    await write(writer, 20)
    plane.kill_etcd()

    async def notices() -> bool:
        try:
            await plane.api.text("/readyz")
        except Exception:
            return True
        return False

    await until(notices, "the API server to be unready")
    plane.start_etcd()
    await plane.ready()
    await write(writer, 20)
    await end_well(daemon, await truth_of(plane, writer), exact=True)


async def test_w4_down_longer_than_the_ttl(planes: MakePlane, daemons: MakeDaemon) -> None:
    """W4. Until what was written while down is gone, with a TTL of 20 s, in place of 60 s and 180 s."""
    plane = await planes(event_ttl="20s")  # within which a busy machine has started the daemon
    writer = Writer(plane.api, seed=4)
    daemon = daemons(sources=[source(plane, event_ttl="20s")])
    await daemon.start()
    await write(writer, 10)
    await settled(writer.truth, daemon.sights)
    daemon.kill9()
    missed = await write(writer, 10)
    await _expired(plane, missed)
    survivors = Writer(plane.api, seed=40)
    await write(survivors, 10)
    await plane.compact()
    await daemon.start()
    await end_well(daemon, survivors.truth)
    (gap,) = [sight for sight in daemon.sights() if sight.origin == "eventer"]
    assert "gap" in gap.reason.lower()


async def test_w23_many_expire_at_once(planes: MakePlane, daemons: MakeDaemon) -> None:
    """W23. 200 Events expire under few leases: nothing is exported of it, and nothing listed again."""
    plane = await planes(event_ttl="10s")
    writer = Writer(plane.api, seed=23)
    daemon = daemons(sources=[source(plane, event_ttl="10s")])
    await daemon.start()
    expiring = await write(writer, 200)
    await settled(writer.truth, daemon.sights)
    await _expired(plane, expiring)
    last = await writer.create()
    await end_well(daemon, {last.uid: last})
    # The API server itself writes an Event or two when it starts; they are not counted here.
    assert len([sight for sight in daemon.sights() if sight.entity in writer.truth]) == 201


async def _expired(plane: ControlPlane, truths: list[Truth]) -> None:
    uids = {truth.uid for truth in truths}

    async def gone() -> bool:
        return not uids & (await survey(plane.api)).keys()

    await until(gone, "the Events to expire", every=0.5)


@pytest.mark.parametrize("overtaken", [False, True], ids=["behind", "overtaken"])
async def test_w16_etcd_restored(planes: MakePlane, daemons: MakeDaemon, tmp_path: Path, *, overtaken: bool) -> None:
    """W16. Data copied, written on, put back, API server restarted.

    Behind: the daemon lives on, and versions are lower than its position. Overtaken: it was down,
    and comes back when versions have already passed its position, which only the audit can tell.
    """
    plane = await planes()
    writer = Writer(plane.api, seed=16)
    daemon = daemons(sources=[source(plane)])
    await daemon.start()
    known = await write(writer, 30)
    await plane.backup(tmp_path / "backup")
    await write(writer, 40)
    for truth in known[:5]:
        await writer.repeat(truth)
    await settled(writer.truth, daemon.sights)
    if overtaken:
        daemon.kill9()
    position = await plane.revision()
    await plane.restore(tmp_path / "backup")
    after = Writer(plane.api, seed=160)
    await write(after, 10)
    while overtaken and await plane.revision() <= position + 20:
        await write(after, 10)
    if overtaken:
        await daemon.start()
    else:
        assert await plane.revision() < position
    # What the restored cluster holds is the truth now: the undone states must be undone at the sink.
    # Their sums are not judged: occurrences that were counted and undone cannot add up.
    verdict = await settled(await truth_of(plane, after), daemon.sights, exact=True)
    assert (verdict.lost_objects, verdict.lost_states, verdict.disorder, verdict.repeats) == ([], [], [], {})
    assert max(sight.epoch for sight in daemon.sights() if sight.origin == "event") == 1
    await write(after, 10)
    verdict = await settled(await truth_of(plane, after), daemon.sights, exact=True)
    assert (verdict.lost_objects, verdict.lost_states, verdict.repeats) == ([], [], {})
    assert (await daemon.books()).faults() == []
    assert await daemon.term() == 0
    assert daemon.journal().faults() == []


async def test_w17_state_of_another_cluster(planes: MakePlane, daemons: MakeDaemon) -> None:
    """W17. The same name in the configuration, another cluster behind it."""
    first, second = await asyncio.gather(planes(name="shop"), planes(name="shop"))
    old, new = Writer(first.api, seed=17), Writer(second.api, seed=170)
    daemon = daemons(sources=[source(first)])
    await daemon.start()
    await write(old, 50)
    await settled(old.truth, daemon.sights)
    assert await daemon.term() == 0
    await write(new, 20)
    daemon.config["sources"] = [source(second)]
    await daemon.start()
    await write(new, 5)
    await end_well(daemon, await truth_of(second, new), exact=True)
    # Each once; the API server itself writes an Event or two, which are not counted here.
    assert len([sight for sight in daemon.sights() if sight.entity in old.truth | new.truth]) == 75


async def test_positions_of_two_clusters_two_namespaces_two_epochs(
    planes: MakePlane, daemons: MakeDaemon, tmp_path: Path
) -> None:
    """Streams must not share what belongs to one of them; one cluster is restored, the other is not."""
    one, two = await asyncio.gather(planes(), planes())
    writers: list[Writer] = []
    for plane in (one, two):
        for namespace in ("left", "right"):
            await plane.namespace(namespace)
            writers.append(Writer(plane.api, seed=len(writers), namespaces=(namespace,)))
    daemon = daemons(sources=[source(plane, namespaces=["left", "right"]) for plane in (one, two)])
    await daemon.start()
    for writer in writers:
        await write(writer, 20)
    await one.backup(tmp_path / "backup")
    for writer in writers:
        await write(writer, 20)
        await settled(writer.truth, daemon.sights)
    daemon.kill9()
    await one.restore(tmp_path / "backup")
    fresh = Writer(one.api, seed=50, namespaces=("left", "right"))
    await write(fresh, 4)
    await write(writers[2], 5)
    await two.compact()
    await daemon.start()
    await write(writers[3], 5)
    await settled(await truth_of(one, fresh), daemon.sights, exact=True)
    await end_well(daemon, await truth_of(two, writers[3]) | await truth_of(one, fresh), exact=True)
