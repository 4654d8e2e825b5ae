"""Rows about ending on request: quickly, with exit code 0, and with nothing lost."""

from __future__ import annotations

import signal

import pytest

from tests.helpers.process import until
from tests.helpers.proxy import Proxy
from tests.helpers.receiver import Receiver
from tests.helpers.writer import Writer
from tests.real.conftest import MakeDaemon
from tests.real.controlplane import ControlPlane
from tests.real.rows import end_well, settled, source, truth_of, webhook, write

DEADLINE = 30.0
"""Seconds; what Kubernetes gives a pod to end unless told otherwise."""


@pytest.mark.parametrize("trouble", ["hang", "500", "slow"])
async def test_s23_shutdown_with_dead_sink(plane: ControlPlane, daemons: MakeDaemon, trouble: str) -> None:
    """S23. SIGTERM with a backlog of 300 for a sink that hangs, fails, or takes a byte every 50 ms."""
    namespace = f"s23-{trouble}"
    await plane.namespace(namespace)
    writer = Writer(plane.api, seed=23, namespaces=(namespace,))
    async with Receiver() as receiver, Proxy(receiver.port) as proxy:
        if trouble == "hang":
            receiver.answering.clear()
        elif trouble == "500":
            receiver.status = 500
        else:
            proxy.drip = 0.05
        daemon = daemons(sources=[source(plane, namespaces=[namespace])])
        url = receiver.url.replace(str(receiver.port), str(proxy.port))
        daemon.config["sinks"]["hook"] = webhook(url, batch={"count": 50})
        await daemon.start()
        await write(writer, 300)
        await settled(writer.truth, daemon.sights)
        await until(lambda: receiver.requests > 0, "a request")
        assert await daemon.term(timeout=DEADLINE) == 0
        assert daemon.journal().faults() == []
        receiver.answering.set()
        receiver.status, proxy.drip = 200, 0.0
        await daemon.start()
        truth = await truth_of(plane, writer, namespace)
        verdict = await settled(truth, lambda: receiver.sights, exact=True)
        assert verdict.faults(repeats=50 * receiver.requests) == []
        await end_well(daemon, truth, exact=True)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
async def test_s24_a_second_signal_ends_the_drain_at_once(
    plane: ControlPlane, daemons: MakeDaemon, second: signal.Signals
) -> None:
    """S24. SIGTERM with a sink that hangs, and before its time-out a second one, or SIGKILL."""
    namespace = f"s24-{second.name.lower()}"
    await plane.namespace(namespace)
    writer = Writer(plane.api, seed=24, namespaces=(namespace,))
    async with Receiver() as receiver:
        receiver.answering.clear()
        daemon = daemons(sources=[source(plane, namespaces=[namespace])])
        daemon.config["sinks"]["hook"] = webhook(receiver.url, batch={"count": 50}, timeout="1h")
        await daemon.start()
        await write(writer, 200)
        await settled(writer.truth, daemon.sights)
        await until(lambda: receiver.requests > 0, "a request")
        daemon.child.signal(signal.SIGTERM)
        await until(lambda: any(line.get("event") == "stopping" for line in daemon.log()), "the drain")
        daemon.child.signal(second)
        assert await daemon.child.ended(DEADLINE) != 0
        assert daemon.journal().faults() == []
        receiver.answering.set()
        await daemon.start()
        truth = await truth_of(plane, writer, namespace)
        verdict = await settled(truth, lambda: receiver.sights, exact=True)
        assert verdict.faults(repeats=50 * receiver.requests) == []
        await end_well(daemon, truth, exact=True)


async def test_ctrl_c_and_start_again_under_writes(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """What a new user tries first: nothing missing, nothing twice in the file."""
    await plane.namespace("ctrl-c")
    writer = Writer(plane.api, seed=99, namespaces=("ctrl-c",))
    daemon = daemons(sources=[source(plane, namespaces=["ctrl-c"])])
    for _ in range(3):
        await daemon.start()
        await write(writer, 100)
        daemon.child.signal(signal.SIGINT)
        await write(writer, 100)
        assert await daemon.child.ended(DEADLINE) == 0
    await daemon.start()
    verdict = await end_well(daemon, await truth_of(plane, writer, "ctrl-c"), exact=True)
    assert verdict.records == 600
