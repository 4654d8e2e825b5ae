"""apprise: any service by its address. The far side here is a real HTTP server, asked by apprise's own `json://`."""

from __future__ import annotations

import asyncio
import builtins
import logging
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from eventer.alerting.render.message import View
from eventer.clock import SystemClock
from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.sink import NotifierConfig, SinkContext
from eventer.values import Duration, Secret
from sinks._apprise import Service, failure, hide
from sinks.apprise import Config, Sink, written
from tests.helpers.notes import SAMPLES, batch_of, item, note, rejects_what_is_no_notification, send, told_by
from tests.helpers.oncall import Server
from tests.helpers.sinks import CANARY, HOSTILE

# apprise's own, of a module that Python 3.13 removes.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


class Receiver(Server):
    """Takes whatever comes."""

    def answer(self, request: web.Request, body: Any, size: int) -> web.Response:
        return web.Response(status=404) if CANARY not in request.path else web.Response()


@pytest.fixture
async def far() -> AsyncIterator[Receiver]:
    async with Receiver() as made:
        yield made


def address(far: Receiver, query: str = "") -> str:
    return f"{far.url.replace('http', 'json')}/{CANARY}/{query}"


def sink_of(url: str, /, **options: Any) -> Sink:
    config = Config(kind="apprise", **({"url": Secret.literal(url), "timeout": Duration(30)} | options))
    return Sink(config, SinkContext(name="ops", clock=SystemClock()))


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("language", ["en", "zh"])
async def test_each_sample_is_taken(far: Receiver, sample: str, language: str) -> None:
    sent = await send(sink_of(address(far), language=language, zone="Asia/Shanghai"), SAMPLES[sample])
    assert (sent.failed, sent.note) == ({}, "")
    (body,) = far.bodies
    assert SAMPLES[sample].items[0].reason in body["title"] + body["message"]


@pytest.mark.parametrize(("sample", "kind"), [("oom", "failure"), ("crash", "warning"), ("resolved", "success")])
async def test_how_bad_it_is_is_told_in_words_of_apprise(far: Receiver, sample: str, kind: str) -> None:
    await send(sink_of(address(far)), SAMPLES[sample])
    assert far.bodies[0]["type"] == kind


@pytest.mark.parametrize(
    ("format_", "said"),
    [
        ("text", "2 < 3 & *bold*"),
        ("html", "2&nbsp;&lt;&nbsp;3&nbsp;&amp;&nbsp;*bold*"),
        ("markdown", r"2 < 3 & \*bold\*"),
    ],
)
async def test_text_is_written_in_the_markup_of_the_service(far: Receiver, format_: str, said: str) -> None:
    await send(sink_of(address(far, f"?format={format_}")), note(item(message="2 < 3 & *bold*")))
    assert said in far.bodies[0]["message"]


@pytest.mark.parametrize("format_", ["text", "html", "markdown"])
async def test_x3_hostile_text_mentions_nobody_links_nowhere_and_changes_no_address(
    far: Receiver, format_: str
) -> None:
    sink = sink_of(address(far, f"?format={format_}"))
    await sink.open(None)
    texts = [*HOSTILE.values(), "<!channel> <@U1> @everyone !here|x> :smile: ?to=other&format=html json://evil.example"]
    for text in texts:
        short = text[:253] or "x"
        await sink.send(batch_of(note(item(message=text, name=short, namespace=short, reason=short, node=short))))
    await sink.close()
    assert len(far.bodies) == len(texts)
    for body in far.bodies:
        said = body["title"] + body["message"]
        for wrong in ("<!channel>", "!channel", "@everyone", "<@U1>", "!here", "://evil.example", "\x1b"):
            assert wrong not in said
        assert not any(wrong in body["title"] for wrong in ("<b>", "](", "\n"))
        assert {"text": "\x1b", "html": "<b>", "markdown": "](http"}[format_] not in body["message"]


async def test_links_of_the_user_stay_whole_and_one_that_fails_is_told(far: Receiver) -> None:
    links = {
        "Logs": "https://logs.example/{{ event.name }}",
        "Bad": "https://logs.example/{{ 1 // (event.count - 3) }}",
    }
    sent = await send(sink_of(address(far), links=links), SAMPLES["oom"])
    assert "Logs: https://logs.example/cn-shanghai.10.0.3.17" in far.bodies[0]["message"]
    assert "The link Bad is missing" in sent.note


@pytest.mark.parametrize("most", [100, 160, 1_000, 30_000])
@pytest.mark.parametrize("text", ["x" * 65_536, "汉" * 65_536, "@!" * 30_000, "\x00" * 20_000])
def test_a_message_is_as_long_as_the_service_takes_it(text: str, most: int) -> None:
    long = item(message=text, name=text[:253], namespace=text[:253], reason=text[:1024], owner=text[:500])
    for told in (note(long), note(*[long] * 20, firing=700, unnamed=680)):
        made = written(told, View(), 250, most)
        title, body = made.title, made.body
        assert 0 < len(title) + len(body) < most or (title == "" and len(body) <= most)
        assert len(title) <= 250


def test_a_text_message_says_what_a_lock_screen_would() -> None:
    made = written(SAMPLES["oom"], View(), 0, 160)
    assert (made.title + made.body).startswith("[prod] 🔴 OOMKilling · Node cn-shanghai.10.0.3.17 ×3")
    assert made.kind == "failure"


# -- failures --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (lambda: web.Response(status=503, text=CANARY), Retry),
        (lambda: web.Response(status=429), Retry),
        (lambda: web.Response(status=401, text=CANARY), Blocked),
        (lambda: web.Response(status=404, text=CANARY), Blocked),
        (lambda: web.Response(status=400, text=f"bad {CANARY}"), Rejected),
        (lambda: web.Response(status=413), Rejected),
    ],
)
async def test_what_is_no_success_is_never_taken_for_one(
    far: Receiver,
    answer: Any,
    kind: type[SinkError],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    sink = sink_of(address(far))
    await sink.open(None)
    far.script.append(answer())
    with pytest.raises(SinkError) as caught:
        await sink.send(batch_of(SAMPLES["oom"]))
    error = caught.value
    assert type(error) is kind
    assert "JSON" in error.answer  # what apprise logged
    assert CANARY not in told_by(error, sink) + caplog.text + "".join(capfd.readouterr())
    assert error.reason.isalpha() or "_" in error.reason
    await sink.send(batch_of(SAMPLES["oom"]))
    await sink.close()


async def test_a_service_that_is_away_is_tried_again(far: Receiver) -> None:
    sink = sink_of(f"json://127.0.0.1:1/{CANARY}")
    with pytest.raises(Retry) as caught:
        await send(sink, SAMPLES["oom"])
    assert "Connection error" in str(caught.value)
    assert CANARY not in f"{caught.value} {caught.value.answer}"


@pytest.mark.parametrize(
    ("said", "kind", "reason"),
    [
        (["Failed to send: Forbidden, error=403."], Blocked, "denied"),
        (["Failed: Bad Request, error=400.", "Failed: Forbidden, error=403."], Retry, "failed"),
        (["Failed: Too Many, error=429."], Retry, "throttled"),
        (["A Connection error occurred."], Retry, "failed"),
        ([], Retry, "failed"),
    ],
)
def test_what_it_logs_tells_whose_fault_it_is(said: list[str], kind: type[SinkError], reason: str) -> None:
    error = failure(said, "json://host/x")
    assert (type(error), error.reason) == (kind, reason)


def test_x1_no_piece_of_an_address_is_told() -> None:
    url = "sns://AKIAEXAMPLEKEY/abc%2Fdef%2Bsecret/us-east-1/+15550001234?pass=hunter2hunter2"
    text = f"{url} abc/def+secret AKIAEXAMPLEKEY +15550001234 hunter2hunter2 failed"
    hidden = hide(text, url)
    assert not any(word in hidden for word in ("AKIA", "def+secret", "5550001234", "hunter2"))
    assert hidden.endswith("failed")


async def test_a_call_that_hangs_blocks_neither_the_loop_nor_the_end(far: Receiver) -> None:
    sink = sink_of(address(far), timeout=Duration(30))
    await sink.open(None)
    far.answering.clear()
    sending = asyncio.create_task(sink.send(batch_of(SAMPLES["oom"])))
    await far.came.wait()  # the loop turns
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    with pytest.raises(Retry) as caught:
        await sink.send(batch_of(SAMPLES["oom"]))
    assert caught.value.reason == "hangs"
    (left,) = [thread for thread in threading.enumerate() if thread.name == "apprise"]
    assert left.daemon  # it does not keep the process
    far.answering.set()
    await asyncio.to_thread(left.join)
    await sink.send(batch_of(SAMPLES["oom"]))
    await sink.close()


async def test_a_send_is_given_up_after_its_time(far: Receiver) -> None:
    sink = sink_of(address(far))
    await sink.open(None)
    sink._config.timeout = Duration(0.1)
    far.answering.clear()
    with pytest.raises(Retry) as caught:
        await sink.send(batch_of(SAMPLES["oom"]))
    assert caught.value.reason == "timeout"
    far.answering.set()
    for thread in threading.enumerate():
        if thread.name == "apprise":
            await asyncio.to_thread(thread.join)
    await sink.close()


async def test_an_exception_of_its_code_is_an_outcome(far: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service.make(address(far))
    monkeypatch.setattr(service._made, "notify", lambda **_: 1 / 0)
    error = service.tell("t", "b", "info")
    assert type(error) is Retry
    assert "ZeroDivisionError" in str(error)


async def test_what_is_no_notification_is_rejected(far: Receiver) -> None:
    await rejects_what_is_no_notification(sink_of(address(far)))


# -- opening and options ---------------------------------------------------------------------------


@pytest.mark.parametrize("url", [f"nonsense://{CANARY}", f"slack://{CANARY}", "tgram://"])
async def test_an_address_that_it_does_not_know_is_blocked_with_a_remedy(url: str) -> None:
    if url == "tgram://":
        url += "/x"
    with pytest.raises(Blocked) as caught:
        await sink_of(url).open(None)
    assert "https://appriseit.com/services/" in str(caught.value)
    assert CANARY not in str(caught.value)


async def test_an_address_in_a_file_that_is_replaced_is_read_again(far: Receiver, tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(address(far) + "\n")
    sink = sink_of("x://y", url=Secret.file(file))
    await sink.open(None)
    await sink.send(batch_of(SAMPLES["oom"]))
    file.write_text(address(far, "?format=html") + "\n")
    await sink.send(batch_of(SAMPLES["oom"]))
    await sink.close()
    assert "<br/>" not in far.bodies[0]["message"]
    assert "<br/>" in far.bodies[1]["message"]


async def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "sinks._apprise":
            raise ModuleNotFoundError(name, name="apprise")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(Blocked, match="eventer\\[apprise\\]"):
        await sink_of("json://host/x").open(None)


async def test_a_probe_names_the_service_and_sends_nothing(far: Receiver) -> None:
    sink = sink_of(address(far))
    assert (await sink.probe()).startswith("apprise reads the address as one of JSON;")
    await sink.close()
    assert not far.headers


async def test_can_be_closed_without_having_been_opened() -> None:
    await sink_of("json://host/x").close()


def test_it_is_sent_notifications() -> None:
    assert issubclass(Config, NotifierConfig)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"url": Secret.literal("slack")}, "url: this is no address of one service"),
        ({"url": Secret.literal("json://a json://b")}, "for several services several sinks"),
        ({"links": {"a": "{{ event.name }}"}}, "links: a: a link begins with a host"),
        ({"zone": "Mars/Phobos"}, "is no time zone"),
        ({"repeats": "x"}, "repeats: it is about events"),
    ],
)
def test_bad_options_are_refused_with_a_remedy(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        Config(kind="apprise", **({"url": Secret.literal("json://a")} | options))
    assert said in str(caught.value)
