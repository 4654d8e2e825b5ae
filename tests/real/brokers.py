"""Real Kafka for tests: one broker or three, with every kind of listener, which a test can break at will.

Brokers are processes on free ports of loopback, each its own controller too (KRaft). The certificates
are those of `tests/sinks/tls`.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.transaction import InitProducerIdRequest

from tests.helpers.oracle import Sight, read_lines
from tests.helpers.process import Child, free_port, until
from tests.helpers.proxy import Proxy
from tests.real.parts import maven
from tests.real.parts.build import cache

__all__ = ["PASSWORD", "TLS", "USER", "Kafka", "Message", "kafka", "three_brokers"]

TLS: Final = Path(__file__).parents[1] / "sinks" / "tls"
USER: Final = "eventer"
PASSWORD: Final = "right-password"
_LISTENERS: Final = {
    "PLAINTEXT": "PLAINTEXT",
    "SSL": "SSL",
    "MTLS": "SSL",
    "WRONGHOST": "SSL",
    "SASL": "SASL_SSL",
    "LOGIN": "SASL_PLAINTEXT",
    "PROXIED": "PLAINTEXT",
    "CONTROLLER": "PLAINTEXT",
}
"""Listeners of each broker, and what they speak. MTLS asks for a certificate; WRONGHOST shows that of another host;
PROXIED sends its clients to the broker's proxy."""
_JAVA: Final = ("-Xms48m", "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")


class Message(msgspec.Struct, frozen=True):
    """One record as it was read back."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    headers: dict[str, bytes]


class Kafka:
    """A cluster.

    Args:
        directory: holds data and logs; must be empty.
        brokers: how many; with three a topic can survive the loss of one.
        strict: who was given no right has none, but for the listeners without login.
    """

    def __init__(self, directory: Path, *, brokers: int = 1, strict: bool = False) -> None:
        self.directory = directory
        self._strict = strict
        self.ports = [{name: free_port() for name in _LISTENERS} for _ in range(brokers)]
        self.proxies = [Proxy(ports["PROXIED"]) for ports in self.ports]
        """One before the listener PROXIED of each broker; a test that uses them starts them."""
        self._java = maven.java(maven.KAFKA)
        self._libraries = maven.classpath(maven.KAFKA, cache())
        self._stores: dict[str, Path] = {}
        for name in ("good", "wronghost"):
            path = directory / f"{name}-store.pem"
            path.write_text((TLS / "key.pem").read_text() + (TLS / f"{name}.pem").read_text())
            self._stores[name] = path
        self.children = [self._make(number) for number in range(brokers)]

    def servers(self, listener: str = "PLAINTEXT") -> list[str]:
        """Return `host:port` of all brokers, as seen by one kind of listener."""
        if listener == "PROXIED":
            return [f"127.0.0.1:{proxy.port}" for proxy in self.proxies]
        return [f"127.0.0.1:{ports[listener]}" for ports in self.ports]

    def _make(self, number: int) -> Child:
        ports = self.ports[number]
        home = self.directory / f"broker{number}"
        home.mkdir()
        voters = ",".join(f"{i + 1}@127.0.0.1:{each['CONTROLLER']}" for i, each in enumerate(self.ports))
        most = len(self.ports)
        told = {**ports, "PROXIED": self.proxies[number].port}
        login = "org.apache.kafka.common.security"
        properties = {
            "process.roles": "broker,controller",
            "node.id": number + 1,
            "controller.quorum.voters": voters,
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items()),
            "advertised.listeners": ",".join(
                f"{name}://127.0.0.1:{port}" for name, port in told.items() if name != "CONTROLLER"
            ),
            "listener.security.protocol.map": ",".join(f"{name}:{kind}" for name, kind in _LISTENERS.items()),
            "log.dirs": home / "data",
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": most,
            "offsets.topic.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
            "controller.quorum.election.timeout.ms": 500,
            "controller.quorum.fetch.timeout.ms": 1500,
            "replica.lag.time.max.ms": 5000,
            "log.cleaner.enable": "false",
            "log.segment.bytes": 16 << 20,
            "num.network.threads": 2,
            "num.io.threads": 2,
            "background.threads": 2,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "allow.everyone.if.no.acl.found": str(not self._strict).lower(),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self._stores["good"],
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": TLS / "ca.pem",
            "listener.name.mtls.ssl.client.auth": "required",
            "listener.name.mtls.ssl.keystore.type": "PEM",
            "listener.name.mtls.ssl.keystore.location": self._stores["good"],
            "listener.name.mtls.ssl.truststore.type": "PEM",
            "listener.name.mtls.ssl.truststore.location": TLS / "ca.pem",
            "listener.name.wronghost.ssl.keystore.type": "PEM",
            "listener.name.wronghost.ssl.keystore.location": self._stores["wronghost"],
        }
        for name in ("sasl", "login"):
            prefix = f"listener.name.{name}"
            # So short that every test of some seconds meets the end of a session; a client that does not log
            # in again is then cut off (KIP-368).
            properties[f"{prefix}.connections.max.reauth.ms"] = 3000
            scram = f"{login}.scram.ScramLoginModule required;"
            properties |= {
                f"{prefix}.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
                f"{prefix}.plain.sasl.jaas.config": (
                    f'{login}.plain.PlainLoginModule required user_{USER}="{PASSWORD}" user_poor="poor-password";'
                ),
                f"{prefix}.scram-sha-256.sasl.jaas.config": scram,
                f"{prefix}.scram-sha-512.sasl.jaas.config": scram,
                f"{prefix}.oauthbearer.sasl.jaas.config": (
                    f'{login}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";'
                ),
            }
        path = home / "server.properties"
        path.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        return Child(f"broker{number}", [*self._command("kafka.Kafka"), path], self.directory)

    def _command(self, main: str) -> list[str]:
        return [str(self._java), *_JAVA, "-cp", self._libraries, main]

    def tool(self, main: str, *arguments: object) -> str:
        """Run one of Kafka's own tools to its end, and return what it says."""
        command = [*self._command(main), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout

    # -- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Format the directories and start all brokers; return when each answers."""

        def format_one(number: int) -> None:
            scram = [f"{kind}=[name={USER},password={PASSWORD}]" for kind in ("SCRAM-SHA-256", "SCRAM-SHA-512")]
            adding = [word for one in scram for word in ("--add-scram", one)]
            properties = self.directory / f"broker{number}" / "server.properties"
            self.tool("kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAA", "-c", properties, *adding)

        await asyncio.gather(*(asyncio.to_thread(format_one, number) for number in range(len(self.ports))))
        for child in self.children:
            child.start()
        await self.ready()

    def stop(self) -> None:
        """End everything at once."""
        for child in self.children:
            child.kill()

    def kill(self, number: int = 0) -> None:
        """Kill one broker (SIGKILL)."""
        self.children[number].kill()

    def freeze(self, number: int = 0) -> None:
        """Stop one broker in mid-air (SIGSTOP): connections stay open, nobody answers."""
        self.children[number].signal(signal.SIGSTOP)

    def thaw(self, number: int = 0) -> None:
        """Let it go on (SIGCONT)."""
        self.children[number].signal(signal.SIGCONT)

    async def restart(self, *numbers: int) -> None:
        """Start brokers that were killed (the first, if none is named), and wait until all answer."""
        for number in numbers or (0,):
            self.children[number].start()
        await self.ready()

    async def ready(self) -> None:
        """Wait until every broker that lives is known to each that lives, and each gives out producer ids.

        For its first moments a broker has none, and the first batch of a producer that has just begun fails.

        Raises:
            RuntimeError: a broker ended instead.
        """
        wanted = sum(child.alive for child in self.children)

        async def answers() -> bool:
            for child in self.children:
                if child.exit_code is not None and not child.alive and child.exit_code != -signal.SIGKILL:
                    raise RuntimeError(f"{child.name} ended ({child.exit_code}):\n{child.tail()}")
            with contextlib.suppress(KafkaError, OSError):
                for node, (ports, child) in enumerate(zip(self.ports, self.children, strict=True), 1):
                    if not child.alive:
                        continue
                    async with self._admin([f"127.0.0.1:{ports['PLAINTEXT']}"]) as admin:
                        if len((await admin.describe_cluster())["brokers"]) < wanted:
                            return False
                        numbers = InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=60_000)
                        if (await admin._client.send(node, numbers)).error_code:
                            return False
                return True
            return False

        await until(answers, "Kafka to be ready", timeout=180, every=0.2)

    # -- data ------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _admin(self, servers: Sequence[str] = ()) -> AsyncIterator[Any]:
        admin = AIOKafkaAdminClient(bootstrap_servers=list(servers) or self.servers(), request_timeout_ms=10_000)
        try:
            await admin.start()
            yield admin
        finally:
            await admin.close()

    async def topic(self, name: str, *, partitions: int = 3, replicas: int = 1, **options: object) -> str:
        """Create a topic and return its name; options as Kafka calls them, with _ for dots."""
        configs = {key.replace("_", "."): str(value) for key, value in options.items()}
        async with self._admin() as admin:
            answer = await admin.create_topics([NewTopic(name, partitions, replicas, topic_configs=configs)])
        errors = [error for error in answer.topic_errors if error[1]]
        assert not errors, errors

        async def led() -> bool:
            async with self._admin() as admin:
                (found,) = await admin.describe_topics([name])
                return len(found["partitions"]) == partitions and all(p["leader"] >= 0 for p in found["partitions"])

        await until(led, f"leaders of {name}")
        await self.count(name)  # a leader can be told of before it knows of it itself: this asks it until it does
        return name

    async def leader(self, topic: str, partition: int = 0) -> int:
        """Return the number of the broker that leads a partition, beginning with 0; negative without one."""
        live = [f"127.0.0.1:{p['PLAINTEXT']}" for p, c in zip(self.ports, self.children, strict=True) if c.alive]
        client = AIOKafkaClient(bootstrap_servers=live)
        try:
            await client.bootstrap()
            await client.set_topics([topic])
            return int(client.cluster.leader_for_partition(TopicPartition(topic, partition)) or 0) - 1
        finally:
            await client.close()

    async def read(self, topic: str) -> list[Message]:
        """Read everything that a topic holds, in the order of each partition."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.servers(), auto_offset_reset="earliest")
        await consumer.start()
        try:
            await consumer._client.force_metadata_update()
            partitions = [TopicPartition(topic, number) for number in await _partitions(consumer, topic)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            found: list[Message] = []
            for partition in partitions:
                await consumer.seek_to_beginning(partition)
            for partition, end in ends.items():
                while await consumer.position(partition) < end:
                    for records in (await consumer.getmany(*partitions, timeout_ms=500)).values():
                        found += [
                            Message(r.partition, r.offset, r.timestamp, r.key, r.value, dict(r.headers))
                            for r in records
                        ]
            return sorted(found, key=lambda message: (message.partition, message.offset))
        finally:
            await consumer.stop()

    async def sights(self, topic: str) -> list[Sight]:
        """Read everything that a topic holds, as the judge wants it."""
        return read_lines(message.value for message in await self.read(topic))

    async def count(self, topic: str) -> int:
        """Return how many records a topic holds."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.servers())
        await consumer.start()
        try:
            partitions = [TopicPartition(topic, number) for number in await _partitions(consumer, topic)]
            return sum((await consumer.end_offsets(partitions)).values())
        finally:
            await consumer.stop()


async def _partitions(consumer: Any, topic: str) -> list[int]:
    await consumer._client._wait_on_metadata(topic)
    return sorted(consumer.partitions_for_topic(topic) or ())


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def kafka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kafka]:
    """One broker for all tests of a module; a test that breaks it puts it right again."""
    async with _running(Kafka(tmp_path_factory.mktemp("kafka"))) as cluster:
        yield cluster


@pytest_asyncio.fixture(loop_scope="session")
async def three_brokers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kafka]:
    """Three brokers for this test alone, and no rights for those who log in."""
    async with _running(Kafka(tmp_path_factory.mktemp("kafka3"), brokers=3, strict=True)) as cluster:
        yield cluster


@contextlib.asynccontextmanager
async def _running(cluster: Kafka) -> AsyncIterator[Kafka]:
    try:
        await cluster.start()
        yield cluster
    finally:
        cluster.stop()
