"""`kind: elasticsearch`: who answers, what is prepared before the first send, which node, and by what right."""

from __future__ import annotations

import base64
import hashlib
import hmac
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from eventer.about import About, Owner, PodFacts
from eventer.errors import Blocked, Retry
from eventer.values import Duration, Secret
from sinks._auth import BasicConfig
from sinks._elasticsearch_auth import AwsConfig, SearchAuthConfig
from sinks._tls import TlsConfig
from tests.helpers.farside import Answer, Request
from tests.helpers.process import free_port
from tests.helpers.search import Search, root
from tests.helpers.sinks import CANARY, batch_of, columns, make_event
from tests.sinks.test_elasticsearch import SearchHarness, opened, search
from tests.sinks.test_tls import server_tls

__all__ = ["search"]

FLATTENED = {"type": "flattened", "ignore_above": 1024}
UNKNOWN = {"type": "object", "enabled": False}
STREAM: dict[str, Any] = {"mode": "data-stream", "index": "logs-k8s.events-prod"}


async def mapping(search: Search, **options: Any) -> dict[str, Any]:
    async with opened(search, template=True, **options):
        pass
    (template,) = search.templates.values()
    found: dict[str, Any] = template["template"]["mappings"]
    return found


@pytest.mark.parametrize(
    ("info", "labels"),
    [
        ({"number": "7.17.0"}, FLATTENED),
        ({"number": "8.19.0"}, FLATTENED),
        ({"number": "9.1.0"}, FLATTENED),
        ({"number": "8.11.0", "flavor": "serverless"}, FLATTENED),
        ({"number": "7.10.2", "flavor": "oss"}, UNKNOWN),
        ({"product": "opensearch", "number": "1.3.20"}, UNKNOWN),
        ({"product": "opensearch", "number": "2.7.0"}, {"type": "flat_object"}),
        ({"product": "opensearch", "number": "3.3.0"}, {"type": "flat_object"}),
        ({"product": "opensearch", "number": "3.0.0-beta1"}, {"type": "flat_object"}),
    ],
)
async def test_labels_are_mapped_as_the_product_can(
    search: Search, info: dict[str, str], labels: dict[str, Any]
) -> None:
    search.root = root(**info)
    assert (await mapping(search))["properties"]["labels"] == labels


@pytest.mark.parametrize("number", ["2.4.6", "5.6.16", "6.8.23"])
async def test_a_version_that_is_too_old_is_told(search: Search, number: str) -> None:
    search.root = root(number=number)
    with pytest.raises(Blocked, match=number) as caught:
        async with opened(search):
            pass
    assert caught.value.reason == "version"


@pytest.mark.parametrize("answer", [403, 404])
async def test_who_must_not_ask_the_version_can_send_all_the_same(search: Search, answer: int) -> None:
    search.root = answer
    async with opened(search) as sink:
        assert not (await sink.send(batch_of([make_event(1)]))).failed


async def test_nobody_there_is_a_wait_and_wrong_credentials_are_told(search: Search) -> None:
    with pytest.raises(Retry):
        async with opened(search, url=f"http://127.0.0.1:{free_port()}"):
            pass
    search.fault = Answer(401, b"{}")
    with pytest.raises(Blocked):
        async with opened(search):
            pass


# -- template ------------------------------------------------------------------------------------


async def test_no_template_without_being_told(search: Search) -> None:
    async with opened(search):
        pass
    assert not search.templates
    assert [request.method for request in search.requests] == ["GET"]


@pytest.mark.parametrize("layout", ["eventer", "ecs", "kube-eventer"])
async def test_the_template_maps_every_field_of_the_layout(search: Search, layout: str) -> None:
    from tests.sinks.test_elasticsearch import FULL

    found = await mapping(search, layout=layout)
    assert found["dynamic"] is False
    about = About(
        enriched="ok",
        pod=PodFacts(phase="Running", labels={"a": "1"}),
        owner=Owner(kind="Deployment", chain=["ReplicaSet/web-1"]),
        log="one",
        unknown=["node"],
    )
    edge = {"condition": "Ready", "status": "False", "state": "firing", "since": FULL.time, "duration": 0.5}
    async with opened(search, layout=layout) as sink:
        await sink.send(batch_of([msgspec.structs.replace(FULL, about=about, **edge)]))
    (document,) = search.documents.values()

    def unmapped(part: dict[str, Any], properties: dict[str, Any], path: str = "") -> list[str]:
        missing = []
        for name, value in part.items():
            kind = properties.get(name)
            flat = kind is not None and kind.get("type") in {"flattened", "flat_object"}
            if kind is None or isinstance(value, dict) != (flat or "properties" in kind):
                missing.append(path + name)
            elif "properties" in kind:
                missing += unmapped(value, kind["properties"], f"{path}{name}.")
        return missing

    assert unmapped(document, found["properties"]) == []


async def test_the_template_of_fields_of_ones_own(search: Search) -> None:
    fields = columns(what="message", at="time", s="time | seconds", ms="first | milliseconds", n="count",
                     team="labels.team", size="labels.size | integer", site="=north", text="version | text",
                     last="about.log", zone="about.node.zone", took="duration")  # fmt: skip
    found = (await mapping(search, fields=fields))["properties"]
    assert {name: kind["type"] for name, kind in found.items()} == {
        "@timestamp": "date", "what": "text", "at": "date", "s": "date", "ms": "date", "n": "long", "team": "keyword",
        "size": "long", "site": "keyword", "text": "keyword", "last": "text", "zone": "keyword", "took": "double",
    }  # fmt: skip
    assert (found["s"]["format"], found["ms"]["format"]) == ("epoch_second", "epoch_millis")


async def test_a_template_is_for_its_index_only(search: Search) -> None:
    async with opened(search, template=True), opened(search, template=True, mode="latest", index="current-events"):
        pass
    days, latest = search.templates.values()
    assert (days["index_patterns"], latest["index_patterns"]) == (["events-*"], ["current-events"])
    assert 100 < days["priority"] < latest["priority"]
    assert list(search.templates) == ["eventer-events-x", "eventer-current-events"]


async def test_a_template_is_renewed_when_options_change_and_left_alone_when_people_change_it(search: Search) -> None:
    await mapping(search)
    (name,) = search.templates
    search.templates[name]["template"]["settings"] = {"number_of_replicas": 2}
    async with opened(search, template=True):
        pass
    assert "settings" in search.templates[name]["template"]
    async with opened(search, template=True, layout="ecs"):
        pass
    assert "settings" not in search.templates[name]["template"]
    search.templates[name] = {"index_patterns": ["events-*"]}
    async with opened(search, template=True):
        pass
    assert search.templates[name] == {"index_patterns": ["events-*"]}


@pytest.mark.parametrize(("status", "reason", "remedy"), [(403, "denied", "right"), (400, "template", "by hand")])
async def test_a_template_that_is_refused_is_told(search: Search, status: int, reason: str, remedy: str) -> None:
    search.then(Answer(200, b"{}"), Answer(404), Answer(status, b'{"error":"x"}'))
    with pytest.raises(Blocked, match=remedy) as caught:
        async with opened(search, template=True):
            pass
    assert caught.value.reason == reason


# -- data streams --------------------------------------------------------------------------------


async def test_a_data_stream_is_made_before_the_first_document(search: Search) -> None:
    async with opened(search, template=True, **STREAM):
        assert search.streams == {"logs-k8s.events-prod"}
    async with opened(search, **STREAM):
        pass


async def test_without_a_template_no_plain_index_is_made_in_its_place(search: Search) -> None:
    with pytest.raises(Blocked, match="template: true") as caught:
        async with opened(search, **STREAM):
            pass
    assert caught.value.reason == "template"


# -- nodes ---------------------------------------------------------------------------------------


async def test_the_next_node_is_asked_at_once_where_one_is_gone() -> None:
    async with Search() as one, Search() as two:
        nodes = f"http://127.0.0.1:{free_port()}, {one.url} ,{two.url}/"
        async with opened(one, url=nodes) as sink:
            await sink.send(batch_of([make_event(1)]))
        assert (len(one.bulks), len(two.bulks)) == (1, 0)


async def test_a_node_that_fails_is_left_for_the_next_send() -> None:
    async with Search() as one, Search() as two:
        async with opened(one, url=f"{one.url},{two.url}") as sink:
            for fault in (Answer(503), Answer(200, b"x" * 100, cut=50), Answer(502)):
                one.fault, two.fault = fault, None
                with pytest.raises(Retry):
                    await sink.send(batch_of([make_event(1)]))
                await sink.send(batch_of([make_event(1)]))
                one.fault, two.fault = None, fault
                with pytest.raises(Retry):
                    await sink.send(batch_of([make_event(1)]))
                await sink.send(batch_of([make_event(1)]))
        assert len(one.bulks) == len(two.bulks) == 3


async def test_a_send_that_is_refused_stays_at_its_node() -> None:
    async with Search() as one, Search() as two:
        async with opened(one, url=f"{one.url},{two.url}") as sink:
            one.fault = Answer(413)
            with pytest.raises(Exception, match="413"):
                await sink.send(batch_of([make_event(1)]))
            one.fault = None
            await sink.send(batch_of([make_event(1)]))
        assert not two.requests


async def test_a_node_that_hangs_costs_one_time_out_not_one_for_each_node() -> None:
    async with Search() as one:
        one.fault = Answer(hang=True)
        nodes = ",".join([one.url] * 50)
        with pytest.raises(Retry) as caught:
            async with opened(one, url=nodes, timeout=Duration(0.2)):
                pass
        assert caught.value.reason == "timeout"


async def test_the_certificate_of_another_host_blocks_and_another_node_helps() -> None:
    async with Search(server_tls("wronghost")) as wrong, Search(server_tls("good")) as good:
        tls = TlsConfig(ca_file=str(Path(__file__).parent / "tls/ca.pem"))
        with pytest.raises(Blocked) as caught:
            async with opened(wrong, tls=tls):
                pass
        assert caught.value.reason == "tls"
        assert not wrong.requests
        async with opened(wrong, tls=tls, url=f"{wrong.url},{good.url}") as sink:
            await sink.send(batch_of([make_event(1)]))
        assert len(good.bulks) == 1


# -- who we are ----------------------------------------------------------------------------------


async def test_credentials_are_read_for_every_request(search: Search, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("id:first\n")
    async with opened(search, auth=SearchAuthConfig(api_key=Secret.file(file))) as sink:
        await sink.send(batch_of([make_event(1)]))
        file.write_text("c2Vjb25k")
        await sink.send(batch_of([make_event(2)]))
        file.write_text("")
        with pytest.raises(Blocked):
            await sink.send(batch_of([make_event(3)]))
    seen = [request.headers["authorization"] for request in search.bulks]
    assert seen == [f"ApiKey {base64.b64encode(b'id:first').decode()}", "ApiKey c2Vjb25k"]


async def test_name_and_password_or_a_token(search: Search) -> None:
    basic = BasicConfig(username="me", password=Secret.literal("pä:ss"))
    for auth in (SearchAuthConfig(basic=basic), SearchAuthConfig(bearer=Secret.literal("abc"))):
        async with opened(search, auth=auth) as sink:
            await sink.send(batch_of([make_event(1)]))
    first, second = (request.headers["authorization"] for request in search.bulks)
    assert base64.b64decode(first.removeprefix("Basic ")).decode() == "me:pä:ss"
    assert second == "Bearer abc"


def expected_signature(request: Request, secret: str) -> str:
    """Sign a request as its receiver does, after
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html."""
    fields = dict(part.split("=", 1) for part in request.headers["authorization"].split(" ", 1)[1].split(", "))
    _, day, region, service, _ = fields["Credential"].split("/")
    names = fields["SignedHeaders"].split(";")
    target = urlsplit(request.target)
    canonical = "\n".join(
        [
            request.method,
            target.path,
            "&".join(sorted(target.query.split("&"))),
            *(f"{name}:{request.headers[name]}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(request.body).hexdigest(),
        ]
    )
    scope = f"{day}/{region}/{service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", request.headers["x-amz-date"], scope, digest])
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    assert "host" in names
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


@pytest.mark.parametrize("service", ["es", "aoss"])
async def test_requests_are_signed_for_aws(search: Search, service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token/+=")
    aws = AwsConfig(region="eu-central-1", service=service)
    async with opened(search, auth=SearchAuthConfig(aws=aws), gzip=True, pipeline="geo") as sink:
        await sink.send(batch_of([make_event(1)]))
    for request in search.requests:
        assert f"Signature={expected_signature(request, CANARY)}" in request.headers["authorization"]
        assert f"/eu-central-1/{service}/aws4_request" in request.headers["authorization"]
        assert request.headers["x-amz-security-token"] == "token/+="
        hashed = hashlib.sha256(request.body).hexdigest()
        assert request.headers.get("x-amz-content-sha256") == (hashed if service == "aoss" else None)


async def test_without_aws_credentials_it_is_told(
    search: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for profile in (None, "absent"):
        auth = SearchAuthConfig(aws=AwsConfig(region="eu-central-1", profile=profile))
        with pytest.raises(Blocked, match="AWS credentials") as caught:
            async with opened(search, auth=auth):
                pass
        assert caught.value.reason == "secret"


async def test_without_the_library_for_aws_the_command_to_get_it_is_told(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    with pytest.raises(Blocked, match=r"pip install 'eventer\[aws\]'"):
        async with opened(search, auth=SearchAuthConfig(aws=AwsConfig(region="eu-central-1"))):
            pass


@pytest.mark.parametrize(("mode", "index"), [("events", "events-{yyyy}"), ("latest", "now"), ("data-stream", "logs-a")])
async def test_a_probe_says_what_was_proved_and_writes_nothing(search: Search, mode: Any, index: str) -> None:
    year = f"{datetime.now(UTC):%Y}"
    name = index.replace("{yyyy}", year)
    sink = SearchHarness(search, pytest.MonkeyPatch()).sink(
        url=search.url, auth=None, mode=mode, index=index, template=True
    )
    try:
        assert await sink.probe() == f"Elasticsearch 9.1.0 answers, and we may create documents in {name}."
        search.privileges = False
        with pytest.raises(Blocked, match=f"we may not create documents in {name}: give"):
            await sink.probe()
        search.privileges = None
        assert "is known only with the first event" in await sink.probe()
        search.root = root("opensearch", "3.3.0")
        assert (await sink.probe()).startswith("OpenSearch 3.3.0 answers, and lets us in.")
        search.root = 403
        assert (await sink.probe()).startswith("The cluster answers")
        search.root = 401
        with pytest.raises(Blocked, match="credentials"):
            await sink.probe()
    finally:
        await sink.close()
    assert (search.documents, search.templates, search.streams) == ({}, {}, set())


async def test_a_probe_finds_a_pipeline_that_is_missing(search: Search) -> None:
    sink = SearchHarness(search, pytest.MonkeyPatch()).sink(url=search.url, auth=None, pipeline="stamp")
    try:
        with pytest.raises(Blocked, match="no ingest pipeline stamp") as caught:
            await sink.probe()
        assert caught.value.reason == "pipeline"
        search.pipelines.add("stamp")
        assert "may create documents" in await sink.probe()
    finally:
        await sink.close()
