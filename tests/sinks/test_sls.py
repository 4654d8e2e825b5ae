"""`kind: sls`: what goes over the wire, compared with what the official SDK sends, and in which shape."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventer.about import About, NamespaceFacts
from eventer.errors import Rejected
from eventer.event import Event, Origin
from eventer.sink import Batch, SinkContext
from eventer.values import Secret
from sinks import sls
from sinks._sls_credentials import Credentials, SlsAuthConfig
from sinks._sls_logs import AT_ONCE
from sinks._sls_protobuf import encode_group, encode_log
from sinks._sls_signature import signed
from tests.helpers.aliyun import Metadata, write_add_on, write_sts
from tests.helpers.farside import Answer
from tests.helpers.fastclock import FastClock
from tests.helpers.httpharness import HttpHarness
from tests.helpers.logservice import LogService, groups_of
from tests.helpers.sinks import CANARY, batch_of, columns, make_event

VECTORS = json.loads((Path(__file__).parents[1] / "data/sls/vectors.json").read_text(encoding="utf-8"))
ECHO = json.dumps({"errorCode": "Strange", "errorMessage": f"{CANARY} at /logstores/{CANARY}", "seen": CANARY}).encode()
VARIANTS = ["basic", "kube-eventer", "fields", "plain", "sts-file", "add-on", "role"]
FIELDS = {
    "which": "id",
    "what": "message",
    "when": "time | seconds",
    "team": "labels.team",
    "n": "count",
    "site": "=north",
}
ID = "LTAI5tExample"


class SlsHarness(HttpHarness[LogService]):
    """A played Log Service; the canary is in the keys and in what is echoed."""

    kind = "sls"
    sends_lines = False
    echo = ECHO

    def __init__(
        self, far: LogService, patch: pytest.MonkeyPatch, variant: str = "basic", file: Path | None = None
    ) -> None:
        super().__init__(far, patch, variant)
        self._file = file
        far.keys = {(ID, ""): CANARY, (ID, CANARY): CANARY}

    def options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "project": "my-project",
            "logstore": "k8s-events",
            "region": "cn-hangzhou",
            "endpoint": self.far.url,
            "auth": SlsAuthConfig(access_key_id=Secret.literal(ID), access_key_secret=Secret.literal(CANARY)),
        }
        match self._variant:
            case "kube-eventer":
                options["layout"] = "kube-eventer"
            case "fields":
                options["fields"] = columns(**FIELDS)
            case "plain":
                options["compression"] = "none"
            case "sts-file" | "add-on" as variant:
                assert self._file
                (write_sts if variant == "sts-file" else write_add_on)(self._file, ID, CANARY, CANARY)
                options["auth"] = SlsAuthConfig(sts_file=str(self._file))
            case "role":
                options["auth"] = SlsAuthConfig(ecs_role="auto")
        return options

    def arrived(self) -> list[str]:
        return [self._id(log.fields) for log in self.far.logs]

    def _id(self, fields: dict[str, str]) -> str:
        if "eventId" in fields:
            metadata = json.loads(fields["eventId"])["metadata"]
            return f"prod/0/{metadata['uid']}/{metadata['resourceVersion']}"
        return fields.get("id") or fields["which"]


@contextlib.asynccontextmanager
async def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str) -> AsyncIterator[SlsHarness]:
    async with LogService() as far, Metadata() as metadata:
        metadata.give(ID, CANARY, CANARY)
        metadata.stand_in(monkeypatch)
        yield SlsHarness(far, monkeypatch, variant, tmp_path / "token-config")


@pytest.fixture
async def service() -> AsyncIterator[LogService]:
    async with LogService() as far:
        yield far


def opened(far: LogService, **options: Any) -> contextlib.AbstractAsyncContextManager[Any]:
    return SlsHarness(far, pytest.MonkeyPatch()).opened(**options)


FULL = make_event(
    1,
    first=datetime(2026, 3, 1, 11, 0, tzinfo=UTC),
    delta=0,
    uid="pod-uid",
    api_version="v1",
    event="shop/web-1.18e9",
    labels={"team": "shop", "level": "high"},
    message='镜像 "拉取" 失败 💥\n\x1b[0m',
)

# -- as the official SDK sends it ----------------------------------------------------------------


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_the_same_bytes_as_the_official_sdk(case: dict[str, Any]) -> None:
    wanted = case["request"]
    logs = [encode_log(*each) for each in case["logs"]]
    body = encode_group(logs, case.get("topic", ""), case.get("source", "-"), case.get("tags", {}))
    assert body.hex() == wanted["body"]
    ours = ("Authorization", "x-log-content-sha256", "x-log-date", "x-acs-security-token")
    given = {name: value for name, value in wanted["headers"].items() if name not in ours}
    headers = signed(
        wanted["method"],
        "/logstores/k8s-events/shards/lb",
        given,
        body,
        credentials=Credentials(VECTORS["key"], VECTORS["secret"], case.get("token", "")),
        region=case.get("region", "cn-hangzhou"),
        now=datetime.strptime(VECTORS["time"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC),
    )
    assert headers == wanted["headers"]


class _Then(FastClock):
    def now(self) -> datetime:
        return datetime.strptime(VECTORS["time"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) + timedelta(seconds=0.5)


async def test_a_request_is_that_of_the_official_sdk_header_by_header(service: LogService) -> None:
    service.now = _Then().now
    service.keys = {(VECTORS["key"], ""): VECTORS["secret"]}
    (case,) = [case for case in VECTORS["cases"] if case["name"] == "one log"]
    service.fault = Answer(200)
    options = SlsHarness(service, pytest.MonkeyPatch()).options() | {
        "auth": SlsAuthConfig(
            access_key_id=Secret.literal(VECTORS["key"]), access_key_secret=Secret.literal(VECTORS["secret"])
        ),
        "fields": columns(message="message", count="count"),
        "compression": "none",
        "source": "-",
    }
    time = datetime.fromtimestamp(1795163401, UTC) + timedelta(microseconds=250000)
    sink = sls.Sink(sls.Config(kind="sls", **options), SinkContext(name="x", clock=_Then()))
    await sink.open(None)
    await sink.send(batch_of([make_event(message="Back-off restarting failed container", count=3, time=time)]))
    await sink.close()
    (sent,) = service.requests
    wanted = case["request"]
    assert sent.body.hex() == wanted["body"]
    theirs = {name.lower(): value for name, value in wanted["headers"].items()}
    # The host is in the signature, and here it is another one.
    assert sent.headers.pop("host") == f"my-project.127.0.0.1:{service.port}"
    assert sent.headers.pop("authorization").partition("Signature=")[0] in theirs.pop("authorization")
    theirs.pop("host")
    extra = {"accept", "accept-encoding", "connection", "user-agent", "content-length"}
    assert {name: value for name, value in sent.headers.items() if name not in extra} == theirs


# -- where to ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "url", "host"),
    [
        ({}, "https://p-1.cn-beijing-intranet.log.aliyuncs.com", "p-1.cn-beijing-intranet.log.aliyuncs.com"),
        ({"internal": False}, "https://p-1.cn-beijing.log.aliyuncs.com", "p-1.cn-beijing.log.aliyuncs.com"),
        ({"endpoint": "https://sls.example"}, "https://p-1.sls.example", "p-1.sls.example"),
        ({"endpoint": "http://sls.example:8080/"}, "http://p-1.sls.example:8080", "p-1.sls.example:8080"),
        ({"endpoint": "http://10.0.0.7:8080"}, "http://10.0.0.7:8080", "p-1.10.0.0.7:8080"),
        ({"endpoint": "http://[fd00::7]"}, "http://[fd00::7]", "p-1.[fd00::7]"),
    ],
)
def test_where_requests_go(options: dict[str, Any], url: str, host: str) -> None:
    auth = SlsAuthConfig(ecs_role="auto")
    config = sls.Config(kind="sls", project="p-1", logstore="events", region="cn-beijing", auth=auth, **options)
    assert sls._place(config) == (url, host)


# -- in which shape ------------------------------------------------------------------------------


async def test_an_event_as_it_is_has_its_fields_as_texts(service: LogService) -> None:
    async with opened(service, topic="prod", source="eventer", tags={"team": "ops"}) as sink:
        await sink.send(batch_of([FULL]))
    (group,) = service.groups
    assert (group.topic, group.source, group.tags) == ("prod", "eventer", {"team": "ops"})
    (taken,) = group.logs
    assert (taken.time, taken.nano) == (int(FULL.time.timestamp()), 0)
    line = json.loads(batch_of([FULL]).lines[0])
    assert json.loads(taken.fields["labels"]) == FULL.labels
    assert {name: text for name, text in taken.fields.items() if name != "labels"} == {
        name: str(value) for name, value in line.items() if name != "labels"
    }


TEXT = st.sampled_from(["", "x", 'é💥\n"\\\x1b', *("y" * length for length in (110, 127, 128, 255, 256, 20_000))])
TEXTS = st.dictionaries(TEXT, TEXT, min_size=1, max_size=2)
TIME = st.datetimes(timezones=st.just(UTC))


@given(
    st.lists(
        st.fixed_dictionaries(
            {"message": TEXT, "namespace": TEXT, "time": TIME},
            optional={
                "delta": st.integers(0, 1 << 40),
                "first": TIME,
                "action": TEXT,
                "duration": st.floats(0, 1e9),
                "labels": TEXTS,
                "about": st.builds(lambda labels: About(namespace=NamespaceFacts(labels=labels)), TEXTS),
            },
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_batch_has_of_each_event_the_fields_of_its_line(changes: list[dict[str, Any]]) -> None:
    batch = batch_of([make_event(number, **each) for number, each in enumerate(changes)])
    now = datetime(2026, 3, 1, tzinfo=UTC)
    expected = b""
    for line, event in zip(batch.lines, batch.events, strict=True):
        texts = {
            name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
            for name, value in msgspec.json.decode(line).items()
        }
        time = min(event.time, now)
        seconds = int(time.timestamp())
        expected += encode_log(seconds, time.microsecond * 1000, texts) if seconds >= 0 else encode_log(0, 0, texts)
    assert b"".join(sls.Logs("eventer", {}).of(batch, now)) == expected


async def test_a_large_batch_is_there_in_its_order(service: LogService) -> None:
    batch = batch_of([make_event(number) for number in range(2 * AT_ONCE + 1)])
    async with opened(service) as sink:
        await sink.send(batch)
    assert [taken.fields["id"] for taken in service.logs] == [event.id for event in batch.events]


async def test_the_layout_of_kube_eventer(service: LogService) -> None:
    node = make_event(2, kind="Node", namespace="", name="node-1", node="")
    async with opened(service, layout="kube-eventer") as sink:
        await sink.send(batch_of([FULL, node]))
    pod, other = (taken.fields for taken in service.logs)
    whole = json.loads(pod.pop("eventId"))
    assert pod == {"hostname": "node-1", "level": "Warning", "pod_id": "pod-uid", "pod_name": "web-1", "team": "shop"}
    assert whole["metadata"] | {"creationTimestamp": ""} == {
        "name": "web-1.18e9", "namespace": "shop", "uid": "uid-1", "resourceVersion": "1001", "creationTimestamp": "",
    }  # fmt: skip
    assert whole["involvedObject"]["name"] == "web-1"
    assert (whole["reason"], whole["message"], whole["count"]) == ("BackOff", FULL.message, 3)
    assert whole["source"] == {"component": "kubelet", "host": "node-1"}
    assert sorted(other) == ["eventId", "hostname", "level"]


async def test_fields_of_ones_own(service: LogService) -> None:
    async with opened(service, fields=columns(**FIELDS)) as sink:
        await sink.send(batch_of([FULL, make_event(2)]))
    one, two = (taken.fields for taken in service.logs)
    seconds = str(int(FULL.time.timestamp()))
    assert one == {
        "which": FULL.id, "what": FULL.message, "when": seconds, "team": "shop", "n": "3", "site": "north",
    }  # fmt: skip
    assert "team" not in two


@pytest.mark.parametrize("layout", ["eventer", "kube-eventer"])
@pytest.mark.parametrize(
    ("time", "seconds", "nano"),
    [
        (datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC), 1772366400, 123456000),
        (datetime(1969, 12, 31, tzinfo=UTC), 0, 0),
        (datetime(1970, 1, 1, tzinfo=UTC), 0, 0),
        (datetime(9999, 12, 31, tzinfo=UTC), 1795163401, 500_000_000),
    ],
)
async def test_the_time_is_that_of_the_event_but_never_in_the_future(
    service: LogService, layout: str, time: datetime, seconds: int, nano: int
) -> None:
    service.now = _Then().now
    options = SlsHarness(service, pytest.MonkeyPatch()).options() | {"layout": layout}
    sink = sls.Sink(sls.Config(kind="sls", **options), SinkContext(name="x", clock=_Then()))
    await sink.open(None)
    await sink.send(batch_of([make_event(time=time)]))
    await sink.close()
    (taken,) = service.logs
    assert (taken.time, taken.nano) == (seconds, nano)
    told = taken.fields["time"] if layout == "eventer" else json.loads(taken.fields["eventId"])["lastTimestamp"]
    assert datetime.fromisoformat(told) == time


# -- sizes ---------------------------------------------------------------------------------------


async def test_too_much_for_one_request_is_halved_before_it_is_sent(service: LogService) -> None:
    events = [make_event(number, message="x" * 16000) for number in range(200)]
    async with opened(service) as sink:
        with pytest.raises(Rejected) as caught:
            await sink.send(batch_of(events))
        assert caught.value.reason == "too_large"
        assert not service.requests
        await sink.send(batch_of(events[:100]))
    assert len(service.logs) == 100


async def test_a_single_large_event_is_the_services_to_judge(service: LogService) -> None:
    async with opened(service, compression="none") as sink:
        with pytest.raises(Rejected, match="InvalidBodyRawSize"):
            await sink.send(batch_of([make_event(message="x" * 4_000_000)]))
    assert len(service.requests) == 1


async def test_deflate_is_a_fraction(service: LogService) -> None:
    async with opened(service) as sink:
        await sink.send(batch_of([make_event(number) for number in range(300)]))
    (sent,) = service.requests
    assert sent.headers["x-log-compresstype"] == "deflate"
    assert len(sent.body) * 8 < int(sent.headers["x-log-bodyrawsize"])


async def test_the_default_batch_fits_into_a_request_in_both_layouts() -> None:
    size = sls.Config(
        kind="sls", project="p-1", logstore="events", region="cn-x", auth=SlsAuthConfig(ecs_role="auto")
    ).batch
    assert size.count <= 4096
    lines = batch_of([FULL])
    for layout in ("eventer", "kube-eventer"):
        logs = sls.Logs(layout, {}).of(lines, datetime.now(UTC))  # type: ignore[arg-type]
        assert len(logs[0]) * size.count < sls.MOST_BYTES


async def test_what_cannot_be_decoded_is_refused(service: LogService) -> None:
    async with opened(service) as sink:
        for line in (b"{", b"[]", b'{"id": "x"}', b'{"time": 1}', b'{"time": "soon"}'):
            with pytest.raises(Rejected) as caught:
                await sink.send(Batch([line]))
            assert caught.value.reason == "decode"


async def test_own_records_and_conditions_of_nodes_are_logs_too(service: LogService) -> None:
    events: list[Event] = [
        make_event(1, origin=Origin.EVENTER, kind="Eventer", namespace="", name="eventer", event="", entity=""),
        make_event(2, origin=Origin.NODE, kind="Node", namespace="", name="node-1", event=""),
    ]
    for layout in ("eventer", "kube-eventer"):
        async with opened(service, layout=layout) as sink:
            await sink.send(batch_of(events))
    assert len(service.logs) == 4


def test_the_reader_of_these_tests_reads_what_the_sdk_wrote() -> None:
    for case in VECTORS["cases"]:
        group = groups_of(bytes.fromhex(case["request"]["body"]))
        assert [[each.time, each.nano, each.fields] for each in group.logs] == case["logs"]
        assert group.tags == case.get("tags", {})
