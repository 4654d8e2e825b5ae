"""Rows in which packets vanish: neither side is told, and only the daemon's own patience ends it."""

from __future__ import annotations

from tests.helpers.daemon import Daemon
from tests.helpers.process import until
from tests.helpers.proxy import Mode, Proxy
from tests.helpers.writer import Writer
from tests.real import netns
from tests.real.conftest import MakeDaemon
from tests.real.controlplane import ControlPlane
from tests.real.rows import WATCH_TIMES, end_well, scale, settled, source, truth_of, write

KEEPALIVE = [["TCP_KEEPIDLE", 3], ["TCP_KEEPINTVL", 1], ["TCP_KEEPCNT", 3], ["TCP_USER_TIMEOUT", 6000]]

DEADLINE = "eventer.source.settings:StreamSettings.deadline"


async def test_w13_half_open(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """W13. Every packet of the established stream vanishes, both ways; noticed by TCP keep-alive.

    Keep-alive of 6 s in place of 60 s. Where a network namespace cannot be made, the proxy freezes
    instead; its kernel still answers probes, so the watch's own timer must notice, as in W12.
    """
    await plane.namespace("w13")
    writer = Writer(plane.api, seed=13, namespaces=("w13",))
    reason = netns.unavailable()
    if reason:
        print(f"{reason}: a frozen proxy stands in for the black hole")
        await _with_proxy(plane, daemons, writer)
        return
    with netns.Namespace() as namespace:
        async with Proxy(plane.port, listener=namespace.listener()) as proxy:
            daemon = daemons(
                sources=[source(plane, server=f"https://127.0.0.1:{proxy.port}", namespaces=["w13"])],
                netns=namespace.path,
                scaled={"eventer.source.keepalive:_KEEPALIVE": KEEPALIVE, DEADLINE: 5.0},
            )
            daemon.launch()
            await write(writer, 20)
            await settled(writer.truth, daemon.sights)
            assert namespace.established(proxy.port) > 0
            namespace.swallow()
            await write(writer, 20)
            await until(lambda: _down(daemon), "the daemon to notice")
            await write(writer, 20)
            namespace.heal()
            await _end(plane, daemon, writer)


async def test_w14_idle_connection_forgotten(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """W14. A box in the middle forgets connections after 1 s without a byte, in place of 30 s, and tells nobody.

    Watches of seconds in place of minutes. What is written then comes by the next watch.
    """
    await plane.namespace("w14")
    writer = Writer(plane.api, seed=14, namespaces=("w14",))
    async with Proxy(plane.port) as proxy:
        proxy.forget_after = 1.0
        daemon = daemons(
            sources=[source(plane, server=f"https://127.0.0.1:{proxy.port}", namespaces=["w14"])], scaled=WATCH_TIMES
        )
        await daemon.start()
        await write(writer, 20)
        await settled(writer.truth, daemon.sights)
        for _ in range(scale(1, 5)):
            before = await daemon.metric("eventer_watch_ended_total", cause="stall")
            await until(lambda: proxy.idle > 1.0, "the watch to be idle")
            await write(writer, 20)
            await settled(writer.truth, daemon.sights)
            assert await daemon.metric("eventer_watch_ended_total", cause="stall") > before
        assert proxy.forgotten
        proxy.forget_after = 0.0
        await end_well(daemon, await truth_of(plane, writer, "w14"), exact=True)


def _down(daemon: Daemon) -> bool:
    return any(line.get("event") == "stream is down" for line in daemon.log())


async def _with_proxy(plane: ControlPlane, daemons: MakeDaemon, writer: Writer) -> None:
    async with Proxy(plane.port) as proxy:
        daemon = daemons(
            sources=[source(plane, server=f"https://127.0.0.1:{proxy.port}", namespaces=["w13"])], scaled=WATCH_TIMES
        )
        await daemon.start()
        await write(writer, 20)
        await settled(writer.truth, daemon.sights)
        proxy.mode = Mode.FREEZE
        before = proxy.connections
        await write(writer, 20)
        await until(lambda: proxy.connections > before, "a new connection")
        proxy.mode = Mode.PASS
        await _end(plane, daemon, writer)


async def _end(plane: ControlPlane, daemon: Daemon, writer: Writer) -> None:
    # Not `end_well`: from outside its namespace the daemon's metrics cannot be read.
    verdict = await settled(await truth_of(plane, writer, "w13"), daemon.sights, exact=True, timeout=120)
    assert verdict.faults() == []
    assert await daemon.term() == 0
    assert daemon.journal().faults() == []
