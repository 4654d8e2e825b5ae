"""Rows about destinations: dead, slow, or with answers that get lost on the way."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from tests.helpers.process import until
from tests.helpers.proxy import Mode, Proxy
from tests.helpers.receiver import Receiver
from tests.helpers.writer import Writer
from tests.real.conftest import MakeDaemon
from tests.real.controlplane import ControlPlane
from tests.real.rows import SOON, end_well, settled, source, truth_of, webhook, write


@pytest.mark.parametrize("death", ["refused", "black hole", "500", "hang", "tls"])
async def test_s1_one_dead_sink(plane: ControlPlane, daemons: MakeDaemon, death: str) -> None:
    """S1. Dead for as long as 200 events take, in place of 5 minutes; then it comes back.

    That the others' latency does not change is measured by the benchmarks, not asserted here.
    """
    namespace = f"s1-{death.replace(' ', '-')}"
    await plane.namespace(namespace)
    writer = Writer(plane.api, seed=1, namespaces=(namespace,))
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(Receiver())
        proxy = await stack.enter_async_context(Proxy(receiver.port))
        url = receiver.url.replace(str(receiver.port), str(proxy.port))
        match death:
            case "refused":
                proxy.mode = Mode.REFUSE
            case "black hole":
                proxy.mode = Mode.FREEZE
            case "500":
                receiver.status = 500
            case "hang":
                receiver.answering.clear()
            case "tls":
                url = url.replace("http:", "https:")
        daemon = daemons(sources=[source(plane, namespaces=[namespace])], scaled=SOON)
        daemon.config["sinks"]["dead"] = webhook(url, timeout="2s")
        await daemon.start()
        await write(writer, 200)
        truth = await truth_of(plane, writer, namespace)
        assert (await settled(truth, daemon.sights, exact=True)).faults() == []
        await until(lambda: proxy.connections > 0, "the sink to be tried")
        books = await daemon.books()
        assert books.faults() == []
        assert books.cursors["dead"] == books.origins["dead"]
        assert receiver.sights == []
        assert (await daemon.get("/livez"))[0] == 200
        if death != "tls":
            proxy.mode = Mode.PASS
            receiver.status = 200
            receiver.answering.set()
            # What a sender gave up on while it hung was taken all the same, and so comes again; what the proxy held
            # back arrives now, whether or not its sender still waits.
            allowed = 200 * proxy.connections if death in {"hang", "black hole"} else 0
            assert (await settled(truth, lambda: receiver.sights, exact=True)).faults(repeats=allowed) == []
        await end_well(daemon, truth, exact=True)


async def test_s5_lost_answer(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """S5, for the webhook: what was taken without an answer is sent again, and counted once."""
    await plane.namespace("s5")
    writer = Writer(plane.api, seed=5, namespaces=("s5",))
    async with Receiver() as receiver, Proxy(receiver.port) as proxy:
        daemon = daemons(sources=[source(plane, namespaces=["s5"])])
        daemon.config["sinks"]["hook"] = webhook(receiver.url.replace(str(receiver.port), str(proxy.port)))
        await daemon.start()
        proxy.mode = Mode.DROP_ANSWER
        await write(writer, 20)
        await until(lambda: proxy.dropped >= 2, "two lost answers")
        proxy.mode = Mode.PASS
        truth = await truth_of(plane, writer, "s5")

        async def acknowledged() -> bool:
            books = await daemon.books()
            return books.settled and books.head == 20

        # All of it has arrived before; what is waited for is an answer that gets through.
        await until(acknowledged, "both sinks to be settled")
        await end_well(daemon, truth, exact=True)
        verdict = await settled(truth, lambda: receiver.sights, exact=True)
        assert verdict.lost_objects == []
        assert 0 < verdict.repeated <= 20 * proxy.dropped
        books = daemon.journal()
        assert books.outcome("hook", "delivered") == books.head == 20
