"""What a real Kafka takes of the sink on its own: every listener, login and form of a record, and what the page shows."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from eventer.clock import SystemClock
from eventer.errors import Blocked, Rejected, SinkError
from eventer.event import encode_lines
from eventer.sink import SinkContext
from eventer.values import Duration, Secret
from sinks._kafka_options import SaslConfig
from sinks._tls import TlsConfig
from sinks.kafka import Config, Sink
from tests.helpers.documents import blocks, commands
from tests.helpers.process import until
from tests.helpers.sinks import batch_of, columns, make_event
from tests.helpers.writer import Writer
from tests.real.brokers import PASSWORD, TLS, USER, Kafka, Message, kafka, three_brokers
from tests.real.conftest import MakeDaemon
from tests.real.controlplane import ControlPlane
from tests.real.rows import end_well, source, truth_of, write

__all__ = ["kafka", "three_brokers"]

PAGE = "docs/sinks/kafka.md"
TOOLS = {
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
    "kafka-acls.sh": "org.apache.kafka.tools.AclCommand",
    "kafka-console-consumer.sh": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-get-offsets.sh": "org.apache.kafka.tools.GetOffsetShell",
}
"""What the scripts of a Kafka distribution run."""
AUTHORITY = {"ca_file": str(TLS / "ca.pem")}
OURS = AUTHORITY | {"cert_file": str(TLS / "good.pem"), "key_file": str(TLS / "key.pem")}


@contextlib.asynccontextmanager
async def made(cluster: Kafka, topic: str, *, listener: str = "PLAINTEXT", **options: Any) -> AsyncIterator[Sink]:
    """Make a sink that is not opened."""
    config = Config(
        kind="kafka", brokers=cluster.servers(listener), topic=topic, **({"timeout": Duration(5)} | options)
    )
    sink = Sink(config, SinkContext(name="under-test", clock=SystemClock()))
    try:
        yield sink
    finally:
        await sink.close()


def ids(messages: Sequence[Message]) -> list[str]:
    return [message.headers["event-id"].decode() for message in messages]


# -- who we are ----------------------------------------------------------------------------------


def login(mechanism: str, password: str = PASSWORD, username: str = USER) -> SaslConfig:
    return SaslConfig(mechanism=mechanism, username=username, password=Secret.literal(password))  # type: ignore[arg-type]


def bearer(expires: float) -> SaslConfig:
    """Make a token that the broker takes: without signature, as only brokers of tests do."""
    claims = {"sub": USER, "iat": int(min(expires, time.time())) - 3600, "exp": int(expires)}
    parts = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({"alg": "none"}, claims)
    )
    return SaslConfig(mechanism="OAUTHBEARER", token=Secret.literal(".".join(parts) + "."))


@pytest.mark.parametrize(
    ("listener", "tls", "sasl", "refused"),
    [
        ("PLAINTEXT", None, None, ""),
        ("SSL", AUTHORITY, None, ""),
        ("SSL", {}, None, "is not trusted"),
        ("SSL", None, None, "does not speak PLAINTEXT"),
        ("PLAINTEXT", AUTHORITY, None, "does not speak SSL"),
        ("MTLS", OURS, None, ""),
        ("MTLS", AUTHORITY, None, "tls.cert_file"),
        ("SASL", AUTHORITY, login("PLAIN"), ""),
        ("SASL", AUTHORITY, login("SCRAM-SHA-256"), ""),
        ("SASL", AUTHORITY, login("SCRAM-SHA-512"), ""),
        ("SASL", AUTHORITY, login("PLAIN", "wrong"), "refuses the user"),
        ("SASL", AUTHORITY, login("SCRAM-SHA-256", "wrong"), "refuses the user"),
        ("SASL", AUTHORITY, login("SCRAM-SHA-512", username="nobody"), "refuses the user"),
        ("LOGIN", None, bearer(time.time() + 86_400), ""),
        ("LOGIN", None, bearer(time.time() - 60), "refuses our token"),
        ("LOGIN", None, None, "does not speak PLAINTEXT"),
        ("PLAINTEXT", None, login("PLAIN"), "wants no login"),
    ],
)
async def test_listeners_and_logins(
    kafka: Kafka, listener: str, tls: dict[str, str] | None, sasl: SaslConfig | None, refused: str
) -> None:
    tls_config = None if tls is None else TlsConfig(**tls)
    async with made(kafka, "of-listeners", listener=listener, tls=tls_config, sasl=sasl) as sink:
        if refused:
            with pytest.raises(SinkError, match=refused):
                await sink.open(None)
            return
        await sink.open(None)
        with pytest.raises(Blocked, match="There is no topic"):
            await sink.probe()


# -- records -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        *({"compression": name} for name in ("none", "gzip", "snappy", "lz4", "zstd")),
        *({"key": name} for name in ("entity", "id", "none")),
        {"cloudevents": True},
        {"layout": "kube-eventer"},
        {"fields": columns(at="time | milliseconds", env="=prod", what="reason")},
        {"topic": "form-{{ event.cluster }}-9"},
        {"max_message": 4096, "client_id": "under-test"},
    ],
    ids=str,
)
async def test_every_form_of_a_record(kafka: Kafka, options: dict[str, Any]) -> None:
    """Each is taken by a real broker, checksums and compression included, and read back as it was meant."""
    topic = "form-prod-9" if "topic" in options else re.sub(r"[^a-z0-9]+", "-", f"form-{options}".lower())[:80]
    await kafka.topic(topic)
    events = [make_event(number) for number in range(300)]
    others = {name: value for name, value in options.items() if name != "topic"}
    async with made(kafka, options.get("topic", topic), **others) as sink:
        await sink.open(None)
        assert (await sink.send(batch_of(events))).failed == {}
    found = {message.headers["event-id"].decode(): message for message in await kafka.read(topic)}
    assert len(found) == await kafka.count(topic) == 300
    for event, line in zip(events, encode_lines(events), strict=True):
        message = found[event.id]
        key = options.get("key", "object")
        assert message.key == (None if key == "none" else getattr(event, key).encode())
        assert message.timestamp == int(event.time.timestamp() * 1000)
        assert message.headers["content-type"] == b"application/json"
        assert ("ce_id" in message.headers) == ("cloudevents" in options)
        if "fields" in options:
            assert json.loads(message.value) == {"at": message.timestamp, "env": "prod", "what": "BackOff"}
        elif "layout" in options:
            assert set(json.loads(message.value)) == {"EventValue", "EventTimestamp", "EventTags"}
        else:
            assert message.value == line


async def test_a_compacted_topic_wants_a_key(kafka: Kafka) -> None:
    topic = await kafka.topic("compacted", cleanup_policy="compact")
    async with made(kafka, topic, key="none") as sink:
        await sink.open(None)
        error = (await sink.send(batch_of([make_event(1)]))).failed[0]
        assert (type(error), error.reason) == (Rejected, "invalid")
    async with made(kafka, topic, key="entity") as sink:
        await sink.open(None)
        assert (await sink.send(batch_of([make_event(1)]))).failed == {}
    assert [message.key for message in await kafka.read(topic)] == [b"uid-1"]


async def test_a_topic_that_takes_no_old_times(kafka: Kafka) -> None:
    topic = await kafka.topic("fresh", partitions=1, message_timestamp_before_max_ms=60_000)
    now = SystemClock().now()
    async with made(kafka, topic) as sink:
        await sink.open(None)
        error = (await sink.send(batch_of([make_event(1, time=now - timedelta(hours=1))]))).failed[0]
        assert (type(error), error.reason) == (Rejected, "timestamp")
        assert (await sink.send(batch_of([make_event(2, time=now)]))).failed == {}
    assert ids(await kafka.read(topic)) == [make_event(2).id]


async def test_s11_what_is_too_large_is_cut_and_then_refused_alone(kafka: Kafka) -> None:
    """S11. The topic takes 2,500 bytes of a batch: batches shrink, a long message is cut, what cannot be cut is dead."""
    topic = await kafka.topic("s11-large", partitions=1, max_message_bytes=2500)
    long = make_event(10, message="head " + "x" * 9000 + " tail")
    hopeless = make_event(20, labels={"team": "x" * 9000})
    events = [make_event(n) for n in range(10)] + [long] + [make_event(n) for n in range(11, 20)] + [hopeless]
    async with made(kafka, topic) as sink:
        await sink.open(None)
        failed = (await sink.send(batch_of(events))).failed
    assert [(index, type(error), error.reason) for index, error in failed.items()] == [(20, Rejected, "too_large")]
    messages = await kafka.read(topic)
    assert ids(messages) == [event.id for event in events[:20]]
    said = json.loads(messages[10].value)["message"]
    assert said.startswith("head x")
    assert said.endswith("x tail")
    assert "bytes cut" in said


# -- a new user ----------------------------------------------------------------------------------


async def eventer(directory: Path, *words: str) -> tuple[int, str]:
    """Run a command of Eventer in a directory; return its exit code and what it printed."""
    command = [sys.executable, "-m", "eventer", *words]
    root = str(Path(__file__).parents[2])
    ended = await asyncio.to_thread(
        subprocess.run,
        command,
        cwd=directory,
        env=os.environ | {"PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.stderr == ""
    return ended.returncode, ended.stdout


async def test_the_page_as_a_new_user_follows_it(
    plane: ControlPlane, daemons: MakeDaemon, three_brokers: Kafka, tmp_path: Path
) -> None:
    """From the topic to the records that Kafka's own tools show, by the commands of the page and no others.

    The user has the rights that the page gives, and none beside. Only addresses and files are put in.
    """
    shown = [command for command in commands() if command.block.page == PAGE]
    example = next(block.text for block in blocks() if block.page == PAGE and block.language == "yaml")
    (tmp_path / "password").write_text(PASSWORD)
    sinks = yaml.safe_load(example)["sinks"]
    sinks["bus"] |= {"brokers": three_brokers.servers("SASL"), "tls": AUTHORITY}
    sinks["bus"]["sasl"]["password_file"] = str(tmp_path / "password")
    (tmp_path / "eventer.yaml").write_text(yaml.safe_dump({"sources": [source(plane)], "sinks": sinks}))

    async def run(line: str) -> str:
        program, *words = shlex.split(line.replace("kafka-0:9092", three_brokers.servers()[0]))
        return await asyncio.to_thread(three_brokers.tool, TOOLS[program], *words)

    *before, consume, offsets = shown
    assert [command.line.split()[0] for command in before] == ["kafka-topics.sh", "kafka-acls.sh", "eventer"]
    code, said = await eventer(tmp_path, *before[2].line.split()[1:])
    assert code == 1
    assert "may not see the topic k8s-events" in said or "There is no topic k8s-events" in said
    await run(before[0].line)
    code, said = await eventer(tmp_path, *before[2].line.split()[1:])
    assert code == 1
    assert "kafka-acls.sh --add --allow-principal User:NAME" in said
    await run(before[1].line)
    assert await eventer(tmp_path, *before[2].line.split()[1:]) == (0, before[2].output)
    assert await three_brokers.count("k8s-events") == 0

    await plane.namespace("page")
    daemon = daemons(sources=[source(plane, namespaces=["page"])])
    daemon.config["sinks"] |= sinks
    await daemon.start()
    writer = Writer(plane.api, seed=1, namespaces=("page",))
    await write(writer, 60)
    await until(lambda: _holds(three_brokers, 60), "the records")

    form = re.compile(r"Partition:(\d)\tevent-id:(\S+),content-type:application/json\t(\S+)\t(\{.*\})\n")
    shown_by_page = form.fullmatch(consume.output.replace(", ...}", "}"))
    printed = form.fullmatch(await run(consume.line))
    for found in (shown_by_page, printed):
        assert found is not None
        value = msgspec.json.decode(found[4])
        assert value["id"] == found[2]
        assert value.get("object", found[3]) == found[3]
    counts = dict(re.findall(r"^k8s-events:(\d):(\d+)$", await run(offsets.line), re.MULTILINE))
    assert set(counts) == set(dict(re.findall(r"^k8s-events:(\d):(\d+)$", offsets.output, re.MULTILINE)))
    assert sum(map(int, counts.values())) == 60
    await end_well(daemon, await truth_of(plane, writer, "page"), exact=True)


async def _holds(cluster: Kafka, wanted: int) -> bool:
    return await cluster.count("k8s-events") == wanted
