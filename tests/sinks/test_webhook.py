"""`kind: webhook`: what goes over the wire, and what each answer means."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventer.errors import Blocked, Rejected, Retry
from eventer.event import Event
from eventer.sink import Batch
from eventer.values import Secret
from sinks._auth import AuthConfig, BasicConfig
from sinks._proxy import ProxyConfig
from sinks._sign import SignConfig
from sinks._tls import TlsConfig
from tests.helpers.farside import Answer, FarSide, Request
from tests.helpers.httpharness import HttpHarness
from tests.helpers.sinks import CANARY, batch_of, make_event
from tests.helpers.until import until

ECHO = (
    f'{{"error": "POST /hook/{CANARY}/x?key={CANARY} not found", "headers": {{"authorization": "Bearer {CANARY}"}}, '
    f'"seen": "{CANARY}"}}'
).encode()


TLS = Path(__file__).parent / "tls"
CERTIFICATE = {"ca": "ca", "cert": "good", "key": "key"}
SIGNING = base64.b64encode(b"0123456789" * 4).decode()
VARIANTS = [
    "array", "ndjson", "single", "cloudevents-binary", "cloudevents-structured", "cloudevents-batch",
    "key", "signed", "mtls", "proxy",
]  # fmt: skip


def server_tls() -> ssl.SSLContext:
    """Make a server that wants a certificate of its clients."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=TLS / "ca.pem")
    context.load_cert_chain(TLS / "good.pem", TLS / "key.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


class WebhookHarness(HttpHarness[FarSide]):
    """A scripted server; the canary is in the address, in its query and in the token."""

    kind = "webhook"
    sends_lines = True
    echo = ECHO

    def __init__(self, far: FarSide, patch: pytest.MonkeyPatch, variant: str = "array") -> None:
        super().__init__(far, patch, variant)
        self._refused = 0

    def options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "url": Secret.literal(f"{self.far.url}/hook/{CANARY}/x?key={CANARY}"),
            "auth": AuthConfig(bearer=Secret.literal(CANARY)),
        }
        match self._variant:
            case "key":
                options["auth"] = AuthConfig(header="X-Caller", value=Secret.literal(CANARY))
            case "signed":
                options["sign"] = SignConfig(secret=Secret.literal(f"whsec_{SIGNING}"))
            case "mtls":
                files = {f"{name}_file": str(TLS / f"{file}.pem") for name, file in CERTIFICATE.items()}
                options["tls"] = TlsConfig(**files)
            case "proxy":
                basic = BasicConfig(username="me", password=Secret.literal(CANARY))
                options["proxy"] = ProxyConfig(url=self.far.url, basic=basic)
                options["url"] = Secret.literal(f"http://far.example/hook/{CANARY}/x?key={CANARY}")
            case form:
                options["format"] = form
        return options

    def arrived(self) -> list[str]:
        return [event.id for request in self.far.requests[self._refused :] for event in events_of(request)]

    def heal(self) -> None:
        super().heal()
        self._refused = len(self.far.requests)


@contextlib.asynccontextmanager
async def harness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str = "array"
) -> AsyncIterator[WebhookHarness]:
    async with FarSide(server_tls() if variant == "mtls" else None) as far:
        yield WebhookHarness(far, monkeypatch, variant)


def opened(far: FarSide, **options: Any) -> contextlib.AbstractAsyncContextManager[Any]:
    given = {"url": Secret.literal(f"{far.url}/in"), "auth": None, **options}
    return WebhookHarness(far, pytest.MonkeyPatch()).opened(**given)


def events_of(request: Request) -> list[Event]:
    match request.headers["content-type"]:
        case "application/cloudevents+json":
            return [msgspec.convert(msgspec.json.decode(request.body)["data"], Event)]
        case "application/cloudevents-batch+json":
            return [msgspec.convert(item["data"], Event) for item in msgspec.json.decode(request.body)]
    if request.body.startswith(b"["):
        return msgspec.json.decode(request.body, type=list[Event])
    return [msgspec.json.decode(line, type=Event) for line in request.body.split(b"\n") if line]


async def send(sink: Any, *numbers: int) -> Any:
    return await sink.send(batch_of([make_event(number) for number in numbers]))


@pytest.mark.parametrize(
    ("form", "kind", "requests"),
    [("array", "application/json", 1), ("ndjson", "application/x-ndjson", 1), ("single", "application/json", 3)],
)
async def test_formats(far: FarSide, form: str, kind: str, requests: int) -> None:
    async with opened(far, format=form) as sink:
        await send(sink, 1, 2, 3)
    assert len(far.requests) == requests
    assert [event for request in far.requests for event in events_of(request)] == [make_event(n) for n in (1, 2, 3)]
    assert {(r.method, r.target, r.headers["content-type"]) for r in far.requests} == {("POST", "/in", kind)}
    if form == "ndjson":
        assert far.requests[0].body.endswith(b"}\n")


async def test_one_connection_serves_all_sends(far: FarSide) -> None:
    async with opened(far, format="single") as sink:
        await send(sink, 1, 2, 3)
        await send(sink, 4)
    assert len(far.requests) == 4
    assert far.connections == 1


async def test_method_and_headers(far: FarSide) -> None:
    headers = {"X-Team": " shop ", "content-type": "application/vnd.shop+json"}
    async with opened(far, method="PUT", headers=headers) as sink:
        await send(sink, 1)
    request = far.requests[0]
    assert request.method == "PUT"
    assert request.headers["x-team"] == "shop"
    assert request.headers["content-type"] == "application/vnd.shop+json"
    assert request.headers["accept-encoding"] == "identity"


async def test_the_key_is_the_same_for_the_same_events_only(far: FarSide) -> None:
    for _ in range(2):  # also in another process
        async with opened(far) as sink:
            await send(sink, 1, 2)
            await send(sink, 1)
    first, one, again, one_again = [request.headers["idempotency-key"] for request in far.requests]
    assert first == again != one == one_again
    assert one == hashlib.sha256(make_event(1).id.encode()).hexdigest()[:32]


async def test_bearer_and_basic_are_read_for_every_request(far: FarSide, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    async with opened(far, auth=AuthConfig(bearer=Secret.file(file))) as sink:
        await send(sink, 1)
        file.write_text("second\n")
        await send(sink, 2)
        file.unlink()
        with pytest.raises(Blocked, match=str(file)) as caught:
            await send(sink, 3)
        assert caught.value.reason == "secret"
    basic = BasicConfig(username="me", password=Secret.literal("pä:ss"))
    async with opened(far, auth=AuthConfig(basic=basic)) as sink:
        await send(sink, 4)
    seen = [request.headers["authorization"] for request in far.requests]
    assert seen[:2] == ["Bearer first", "Bearer second"]
    assert base64.b64decode(seen[2].removeprefix("Basic ")).decode() == "me:pä:ss"


async def test_a_key_goes_in_the_header_named_for_it(far: FarSide, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("Splunk first\n")
    async with opened(far, auth=AuthConfig(header="X-Api-Key", value=Secret.file(file))) as sink:
        await send(sink, 1)
        file.write_text("second")
        await send(sink, 2)
        for content in ("line\nbreak", " blank", "ümlaut", ""):
            file.write_text(content)
            with pytest.raises(Blocked) as caught:
                await send(sink, 3)
            assert caught.value.reason == "secret"
    assert [request.headers["x-api-key"] for request in far.requests] == ["Splunk first", "second"]
    assert not [request for request in far.requests if "authorization" in request.headers]


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "", "ümlaut"])
async def test_a_token_that_cannot_be_sent_blocks(far: FarSide, token: str) -> None:
    async with opened(far, auth=AuthConfig(bearer=Secret.literal(token))) as sink:
        with pytest.raises(Blocked) as caught:
            await send(sink, 1)
    assert caught.value.reason == "secret"
    assert not token or token not in str(caught.value)
    assert not far.requests


async def test_a_template_writes_the_body(far: FarSide) -> None:
    template = '{"text": {{ ("%s: %s" | format(event.reason, event.message)) | tojson }},\n "n": {{ event.count }}}'
    for form in ("array", "ndjson", "single"):
        async with opened(far, format=form, template=template) as sink:
            await sink.send(batch_of([make_event(1, message='say "hi"\n{{ 7 * 7 }}')]))
    one = b'{"text":"BackOff: say \\"hi\\"\\n{{ 7 * 7 }}","n":3}'
    assert [request.body for request in far.requests] == [b"[" + one + b"]", one + b"\n", one]


async def test_a_template_may_write_what_is_no_json_where_the_header_says_so(far: FarSide) -> None:
    options = {"format": "single", "template": "{{ event.reason }}\n", "headers": {"Content-Type": "text/plain"}}
    async with opened(far, **options) as sink:
        await send(sink, 1)
    assert far.requests[0].body == b"BackOff"
    assert far.requests[0].headers["content-type"] == "text/plain"


async def test_a_header_may_be_a_template(far: FarSide) -> None:
    headers = {"X-Where": "{{ event.namespace }}/{{ event.name }}", "X-Plain": "a"}
    async with opened(far, format="single", headers=headers) as sink:
        await sink.send(batch_of([make_event(1), make_event(2, name="日本")]))
    assert [request.headers["x-where"] for request in far.requests] == [
        "shop/web-1",
        "shop/日本".encode().decode("latin-1"),
    ]
    assert {request.headers["x-plain"] for request in far.requests} == {"a"}


async def test_an_event_cannot_add_a_header(far: FarSide) -> None:
    async with opened(far, format="single", headers={"X-Name": "{{ event.name }}"}) as sink:
        sent = await sink.send(batch_of([make_event(1), make_event(2, name="a\r\nX-Evil: 1"), make_event(3)]))
    assert list(sent.failed) == [1]
    assert isinstance(sent.failed[1], Rejected)
    assert sent.failed[1].reason == "template"
    assert [request.headers["x-name"] for request in far.requests] == ["web-1", "web-3"]


@pytest.mark.parametrize("form", ["array", "ndjson", "single"])
async def test_only_the_event_on_which_the_template_fails_is_rejected(far: FarSide, form: str) -> None:
    template = '{"m": {{ event.message | tojson }}}'
    async with opened(far, format=form, template=template) as sink:
        sent = await sink.send(batch_of([make_event(1), make_event(2, message="x" * 70_000), make_event(3)]))
        nothing = await sink.send(batch_of([make_event(2, message="x" * 70_000)]))
    assert list(sent.failed) == [1]
    assert list(nothing.failed) == [0]
    assert len(far.requests) == (2 if form == "single" else 1)


async def test_what_is_no_event_is_rejected_not_raised(far: FarSide) -> None:
    async with opened(far) as sink:
        with pytest.raises(Rejected) as caught:
            await sink.send(Batch([b'{"id": 1}']))
    assert caught.value.reason == "decode"


async def test_a_secret_that_is_no_address_blocks(far: FarSide, tmp_path: Path) -> None:
    """What was an address when the configuration was read, and is none after its file was rewritten."""
    file = tmp_path / "url"
    for text in ("ftp://h/x", "no url", "https://", "http://[::1", "http://h:port/" + CANARY):
        file.write_text(far.url)
        async with opened(far, url=Secret.file(file)) as sink:
            file.write_text(text)
            with pytest.raises(Blocked) as caught:
                await send(sink, 1)
            assert caught.value.reason == "address"
            assert CANARY not in str(caught.value)
    sink = WebhookHarness(far, pytest.MonkeyPatch()).sink(url=Secret.file(tmp_path / "absent"))
    with pytest.raises(Blocked, match="absent"):
        await sink.open(None)
    await sink.close()


async def test_s5_a_lost_answer_is_repeated_with_the_same_key(far: FarSide) -> None:
    """S5: the far side has processed it, its answer is lost."""
    far.then(Answer(cut=0))
    async with opened(far) as sink:
        with pytest.raises(Retry) as caught:
            await send(sink, 1, 2)
        await send(sink, 1, 2)
    assert caught.value.reason == "cut"
    first, second = far.requests
    assert first.body == second.body
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


@pytest.mark.parametrize("variant", [variant for variant in VARIANTS if variant != "mtls"])
async def test_sends_may_overlap(far: FarSide, variant: str) -> None:
    """Each with its own body, headers and answer, on connections of its own, which are kept."""
    release = asyncio.Event()
    far.before = release.wait
    sink = WebhookHarness(far, pytest.MonkeyPatch(), variant).sink(in_flight=8, headers={"X-Team": "shop"})
    await sink.open(None)
    for turn in range(2):
        far.requests.clear()
        sending = [asyncio.create_task(send(sink, number)) for number in range(8)]
        await until(lambda: len(far.requests) == 8, "all to be under way at once")
        release.set()
        assert all([not (await task).failed for task in sending])
        release.clear()
        ids = {request.headers["idempotency-key"]: events_of(request)[0].id for request in far.requests}
        assert ids == {hashlib.sha256(f"{found}".encode()).hexdigest()[:32]: found for found in ids.values()}
        assert len(ids) == 8, turn
    assert far.connections == 8
    await sink.close()


async def test_a_cancelled_request_leaves_the_connection_usable(far: FarSide) -> None:
    async with opened(far) as sink:
        for _ in range(6):  # more than the pool has connections
            far.came.clear()
            far.gone.clear()
            far.then(Answer(hang=True))
            task = asyncio.create_task(send(sink, 1))
            await far.came.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await far.gone.wait()
        await send(sink, 2)
