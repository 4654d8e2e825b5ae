"""Rows about a bus: a real Kafka that dies, changes its leaders, refuses, or wants other credentials.

What its topics hold at the end is compared by `id` with what the API server acknowledged. While the daemon
lives nothing is there twice either: a batch without an answer is repeated under the same number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tests.helpers.daemon import Daemon
from tests.helpers.oracle import judge, read_lines
from tests.helpers.process import until
from tests.helpers.proxy import Mode
from tests.helpers.writer import Truth, Writer
from tests.real.brokers import PASSWORD as OLD
from tests.real.brokers import TLS, USER, Kafka, kafka, three_brokers
from tests.real.conftest import MakeDaemon
from tests.real.controlplane import ControlPlane
from tests.real.rows import end_well, scale, settled, source, truth_of, write

__all__ = ["kafka", "three_brokers"]

SOON = {f"eventer.delivery.breaker:Pace.{name}": 1.0 for name in ("retry_cap", "probe_base", "probe_cap")}
"""How often what fails is tried again: up to a minute otherwise, and what is blocked every one to five minutes."""


def bus(cluster: Kafka, topic: str, *, listener: str = "PLAINTEXT", **options: Any) -> dict[str, Any]:
    """Return an entry of `sinks:`."""
    return {"kind": "kafka", "brokers": cluster.servers(listener), "topic": topic, "timeout": "4s"} | options


async def begun(plane: ControlPlane, daemons: MakeDaemon, name: str, sink: dict[str, Any]) -> tuple[Daemon, Writer]:
    """Start a daemon with this sink beside a file, on a namespace of its own."""
    await plane.namespace(name)
    daemon = daemons(sources=[source(plane, namespaces=[name])], scaled=SOON)
    daemon.config["sinks"]["bus"] = sink
    await daemon.start()
    return daemon, Writer(plane.api, seed=11, namespaces=(name,))


async def all_there(
    cluster: Kafka, topic: str, truth: Mapping[str, Truth], daemon: Daemon, *, repeats: int = 0
) -> None:
    """Wait until the sink has settled everything, and compare the topic with the truth."""
    # The file first: only then has the daemon read it all.
    assert (await settled(truth, daemon.sights, exact=True)).faults(repeats=repeats) == []

    async def even() -> bool:
        books = await daemon.books()
        return books.cursors.get("bus") == books.head and not books.letters.get("bus", {}).get("parked")

    await until(even, "the sink to be settled", timeout=90)
    verdict = judge(truth, await cluster.sights(topic), exact=True)
    assert verdict.faults(repeats=repeats) == []
    assert verdict.records > 0


async def state(daemon: Daemon, wanted: str) -> None:
    """Wait until the sink is in this state."""

    async def says() -> bool:
        return await daemon.metric("eventer_sink_state", sink="bus", state=wanted) == 1

    await until(says, f"the sink to be {wanted}")


def said(daemon: Daemon) -> str:
    """Return what the daemon logged of the sink."""
    return " ".join(str(line.get("error", "")) for line in daemon.log() if line.get("sink") == "bus")


async def steady(writer: Writer, seconds: int) -> int:
    """Create 500 Events a second for so long, or longer where the API takes fewer; return how many."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for tenth in range(1, seconds * 10 + 1):
        await write(writer, 50)
        await asyncio.sleep(max(0.0, began + tenth / 10 - loop.time()))  # the pace is what the row asks for
    return seconds * 500


async def test_s10_a_broker_killed_in_mid_batch_writes_nothing_twice(
    plane: ControlPlane, daemons: MakeDaemon, kafka: Kafka
) -> None:
    """S10. Killed at full load and started again, in place of a minute later; then frozen for as long as sends wait."""
    topic = await kafka.topic("s10")
    daemon, writer = await begun(plane, daemons, "s10", bus(kafka, topic, timeout="2s"))
    seconds = scale(1, 60)
    await write(writer, 50)

    async def some() -> bool:
        return await kafka.count(topic) > 0

    await until(some, "the first records")
    writing = asyncio.create_task(steady(writer, seconds))
    kafka.kill()
    load = await writing
    truth = await truth_of(plane, writer, "s10")
    assert (await settled(truth, daemon.sights, exact=True)).faults() == []  # the sink beside it goes on
    await state(daemon, "retrying")
    await kafka.restart()
    await until(lambda: _more(kafka, topic, load + 49), "all records")
    kafka.freeze()
    await steady(writer, seconds)

    async def timed_out() -> bool:
        return await daemon.metric("eventer_sink_sends_total", sink="bus", result="retry:timeout") > 0

    await until(timed_out, "a send without an answer")
    kafka.thaw()
    truth = await truth_of(plane, writer, "s10")
    await all_there(kafka, topic, truth, daemon)
    assert "aiokafka" not in daemon.child.log.read_text()
    await end_well(daemon, truth, exact=True)


async def _more(cluster: Kafka, topic: str, least: int) -> bool:
    return await cluster.count(topic) > least


async def test_s10_leaders_change_under_load(plane: ControlPlane, daemons: MakeDaemon, three_brokers: Kafka) -> None:
    """S10. The broker that leads is killed and comes back, then the next one, then all: nothing lost, nothing twice."""
    topic = await three_brokers.topic("leaders", partitions=3, replicas=3, min_insync_replicas=2)
    daemon, writer = await begun(plane, daemons, "leaders", bus(three_brokers, topic, timeout="3s"))
    await write(writer, 30)
    for _ in range(2):
        writing = asyncio.create_task(steady(writer, scale(1, 60)))
        leader = await three_brokers.leader(topic)
        three_brokers.kill(leader)
        await writing

        async def moved(old: int = leader) -> bool:
            return await three_brokers.leader(topic) not in {old, -1, -2}

        await until(moved, "another leader")
        truth = await truth_of(plane, writer, "leaders")
        await all_there(three_brokers, topic, truth, daemon)
        await three_brokers.restart(leader)
    writing = asyncio.create_task(steady(writer, scale(1, 60)))
    for number in range(3):
        three_brokers.kill(number)
    await writing
    await state(daemon, "retrying")
    await three_brokers.restart(0, 1, 2)
    truth = await truth_of(plane, writer, "leaders")
    await all_there(three_brokers, topic, truth, daemon)
    await end_well(daemon, truth, exact=True)


async def test_s10_one_of_three_brokers_freezes(plane: ControlPlane, daemons: MakeDaemon, three_brokers: Kafka) -> None:
    """S10. It hangs until sends have run out of time, again and again; what the others confirmed does not come twice."""
    topic = await three_brokers.topic("frozen", partitions=3)
    daemon, writer = await begun(plane, daemons, "frozen", bus(three_brokers, topic, timeout="1s"))
    await write(writer, 30)
    truth = await truth_of(plane, writer, "frozen")
    await all_there(three_brokers, topic, truth, daemon)
    leader = await three_brokers.leader(topic)
    three_brokers.freeze(leader)
    await steady(writer, scale(1, 60))

    async def timed_out() -> bool:
        return await daemon.metric("eventer_sink_sends_total", sink="bus", result="retry:timeout") > 0

    await until(timed_out, "a send without an answer")
    three_brokers.thaw(leader)
    truth = await truth_of(plane, writer, "frozen")
    await all_there(three_brokers, topic, truth, daemon)
    await end_well(daemon, truth, exact=True)


async def test_s11_size_topic_and_rights(plane: ControlPlane, daemons: MakeDaemon, kafka: Kafka) -> None:
    """S11. Cut to what the topic takes; the events of a missing topic wait for it, those of others do not."""
    for name in ("small", "lost", "mine"):
        await plane.namespace(f"s11-{name}")
    await kafka.topic("of-s11-small", max_message_bytes=2500)
    await kafka.topic("of-s11-mine")
    sink = bus(kafka, "of-{{ event.namespace }}")
    names = tuple(f"s11-{name}" for name in ("small", "lost", "mine"))
    daemon = daemons(sources=[source(plane, namespaces=list(names))], scaled=SOON)
    daemon.config["sinks"]["bus"] = sink
    await daemon.start()
    writers = {name: Writer(plane.api, seed=11, namespaces=(name,)) for name in names}
    # The API server takes 1 KiB of a message and no more, so a batch is too large before an event is.
    await write(writers["s11-small"], 20, message=lambda _: "x" * 900)
    await write(writers["s11-lost"], 20)
    await write(writers["s11-mine"], 20)

    async def arrived() -> bool:
        return await kafka.count("of-s11-small") == await kafka.count("of-s11-mine") == 20

    await until(arrived, "the events of the topics that are there")

    async def parked() -> bool:
        return (await daemon.books()).letters.get("bus", {}).get("parked") == 20

    await until(parked, "the others to be parked")
    await kafka.topic("of-s11-lost")
    for name, writer in writers.items():
        truth = await truth_of(plane, writer, name)
        await all_there(kafka, f"of-{name}", truth, daemon)
    everything: dict[str, Truth] = {}
    for name, writer in writers.items():
        everything |= await truth_of(plane, writer, name)
    await end_well(daemon, everything, exact=True)


async def test_s11_a_right_that_is_missing_is_named_and_waited_for(
    plane: ControlPlane, daemons: MakeDaemon, kafka: Kafka, tmp_path: Path
) -> None:
    """S11. Somebody else's topic: blocked, with the command that gives the right; given, everything goes."""
    topic = await kafka.topic("s11-acl")
    tool = tmp_path / "admin.properties"
    tool.write_text("")
    acl = (
        "--bootstrap-server",
        kafka.servers()[0],
        "--topic",
        topic,
        "--operation",
        "Write",
        "--operation",
        "Describe",
    )
    await asyncio.to_thread(
        kafka.tool, "org.apache.kafka.tools.AclCommand", *acl, "--add", "--allow-principal", "User:other"
    )
    password = tmp_path / "password"
    password.write_text(OLD)
    sasl = {"mechanism": "PLAIN", "username": USER, "password_file": str(password)}
    daemon, writer = await begun(plane, daemons, "s11-acl", bus(kafka, topic, listener="LOGIN", sasl=sasl))
    await write(writer, 20)
    await state(daemon, "blocked")
    assert f"--operation Describe --topic {topic}" in said(daemon)
    await asyncio.to_thread(
        kafka.tool, "org.apache.kafka.tools.AclCommand", *acl, "--add", "--allow-principal", f"User:{USER}"
    )
    truth = await truth_of(plane, writer, "s11-acl")
    await all_there(kafka, topic, truth, daemon)
    await end_well(daemon, truth, exact=True)


async def test_s12_a_confirmed_batch_that_a_killed_daemon_did_not_settle(
    plane: ControlPlane, daemons: MakeDaemon, kafka: Kafka
) -> None:
    """S12. Killed between Kafka's answer and the commit: written again, under the same header `event-id`."""
    topic = await kafka.topic("s12")
    await plane.namespace("s12")
    daemon = daemons(sources=[source(plane, namespaces=["s12"])], sinks={"bus": bus(kafka, topic)}, scaled=SOON)
    writer = Writer(plane.api, seed=12, namespaces=("s12",))
    await write(writer, 20)
    before = 0
    while not before:  # a send that got no answer in time is over as well
        daemon.launch(failpoints="delivery.sent=kill@1")
        await daemon.child.ended()
        before = await kafka.count(topic)
    await daemon.start()
    await write(writer, 20)
    truth = await truth_of(plane, writer, "s12")

    async def even() -> bool:
        return (await daemon.books()).cursors.get("bus") == 40

    await until(even, "the sink to be settled")
    messages = await kafka.read(topic)
    verdict = judge(truth, read_lines(message.value for message in messages), exact=True)
    assert verdict.faults(repeats=before) == []
    assert verdict.repeated == before
    assert len({message.headers["event-id"] for message in messages}) == 40
    assert all(msgspec.json.decode(m.value)["id"].encode() == m.headers["event-id"] for m in messages)
    assert (await daemon.books()).faults() == []
    assert await daemon.term() == 0
    books = daemon.journal()
    assert books.faults() == []
    assert books.outcome("bus", "delivered") == books.head == 40


async def test_s12_an_answer_that_got_lost(plane: ControlPlane, daemons: MakeDaemon, kafka: Kafka) -> None:
    """S12. Kafka wrote it and the daemon does not know: not again while it lives; killed, under the same `event-id`."""
    topic = await kafka.topic("s12-lost", partitions=1)
    async with kafka.proxies[0] as proxy:
        daemon, writer = await begun(plane, daemons, "s12-lost", bus(kafka, topic, listener="PROXIED"))
        known = 0
        for ends in ("healed", "killed"):
            await write(writer, 20)
            known += 20
            await until(lambda: _more(kafka, topic, known - 1), "the records")  # noqa: B023 - awaited within the turn
            await all_there(kafka, topic, await truth_of(plane, writer, "s12-lost"), daemon)
            proxy.mode = Mode.DROP_ANSWER
            await write(writer, 20)
            known += 20
            await until(lambda: _more(kafka, topic, known - 20), "records without an answer")  # noqa: B023
            await state(daemon, "retrying")
            if ends == "killed":
                daemon.kill9()
                await daemon.child.ended()
            unknown = await kafka.count(topic) - (known - 20)
            proxy.mode = Mode.PASS
        assert 0 < unknown <= 20
        await daemon.start()
        truth = await truth_of(plane, writer, "s12-lost")
        await all_there(kafka, topic, truth, daemon, repeats=unknown)
        messages = await kafka.read(topic)
        assert len(messages) == known + unknown
        assert len({message.headers["event-id"] for message in messages}) == known
        await end_well(daemon, truth, exact=True)


async def test_credentials_that_rotate_under_load(
    plane: ControlPlane, daemons: MakeDaemon, kafka: Kafka, tmp_path: Path
) -> None:
    """The password changes at the cluster first, then in the file; sessions end every 3 s: nothing lost, nothing twice."""
    topic = await kafka.topic("rotated")
    password = tmp_path / "password"
    password.write_text(OLD)
    sasl = {"mechanism": "SCRAM-SHA-512", "username": USER, "password_file": str(password)}
    tls = {"ca_file": str(TLS / "ca.pem")}
    sink = bus(kafka, topic, listener="SASL", sasl=sasl, tls=tls, compression="zstd")
    daemon, writer = await begun(plane, daemons, "rotated", sink)
    await write(writer, 100)
    config = ("--bootstrap-server", kafka.servers()[0], "--alter", "--entity-type", "users", "--entity-name", USER)

    async def change(word: str) -> None:
        option = ("--add-config", f"SCRAM-SHA-512=[password={word}]")
        await asyncio.to_thread(kafka.tool, "kafka.admin.ConfigCommand", *config, *option)

    try:
        await change("new-password")

        async def refused() -> bool:
            await write(writer, 5)
            return await daemon.metric("eventer_sink_state", sink="bus", state="blocked") == 1

        await until(refused, "the old password to be refused", every=0.3)
        assert f"refuses the user {USER}" in said(daemon)
        assert OLD not in daemon.child.log.read_text()
        password.write_text("new-password")
        await write(writer, 100)
        truth = await truth_of(plane, writer, "rotated")
        await all_there(kafka, topic, truth, daemon)
        await end_well(daemon, truth, exact=True)
    finally:
        await change(OLD)


async def test_a_certificate_of_another_host(plane: ControlPlane, daemons: MakeDaemon, kafka: Kafka) -> None:
    """Blocked, and nothing is sent to whoever that is; with the right address everything goes."""
    topic = await kafka.topic("wronghost")
    tls = {"ca_file": str(TLS / "ca.pem")}
    daemon, writer = await begun(plane, daemons, "wronghost", bus(kafka, topic, listener="WRONGHOST", tls=tls))
    await write(writer, 20)
    await state(daemon, "blocked")
    assert "not valid for '127.0.0.1'" in said(daemon)
    assert await kafka.count(topic) == 0
    assert await daemon.term() == 0
    daemon.config["sinks"]["bus"] = bus(kafka, topic, listener="SSL", tls=tls)
    await daemon.start()
    truth = await truth_of(plane, writer, "wronghost")
    await all_there(kafka, topic, truth, daemon)
    await end_well(daemon, truth, exact=True)


async def test_dead_beside_two_that_live(plane: ControlPlane, daemons: MakeDaemon, kafka: Kafka) -> None:
    """Dead from the start, for 2 s in place of 10 minutes, at 500 events/s."""
    topic = await kafka.topic("dead")
    kafka.kill()
    await plane.namespace("dead")
    daemon = daemons(sources=[source(plane, namespaces=["dead"])], scaled=SOON)
    daemon.config["sinks"] |= {"bus": bus(kafka, topic), "other": daemon.file_sink("other")}
    await daemon.start()
    writer = Writer(plane.api, seed=11, namespaces=("dead",))
    await steady(writer, scale(2, 600))
    truth = await truth_of(plane, writer, "dead")
    for name in ("archive", "other"):
        assert (await settled(truth, lambda name=name: daemon.sights(name), exact=True)).faults() == []  # type: ignore[misc]
    await state(daemon, "retrying")
    books = await daemon.books()
    assert books.cursors["bus"] == books.origins["bus"]
    await kafka.restart()
    await all_there(kafka, topic, truth, daemon)
    await end_well(daemon, truth, exact=True)
