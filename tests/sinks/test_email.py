"""Mail: what is sent to whom, who has it when some are refused, and options that cannot be."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec
import pytest

from eventer.alerting.render.message import compose
from eventer.clock import SystemClock
from eventer.errors import Blocked, ConfigError, Rejected, Retry, SinkError
from eventer.sink import Batch, NotifierConfig, Sent, SinkContext
from eventer.values import Duration, Secret
from sinks.email import Config, LoginConfig, Sink
from tests.helpers.mailhost import MailHost, Strange
from tests.helpers.notes import SAMPLES, batch_of, item, leaves_nothing_open, note, send
from tests.helpers.sinks import CANARY, HOSTILE


class StillClock(SystemClock):
    """Time that stands, but for `advance`."""

    def __init__(self) -> None:
        self._now = 1000.0

    def monotonic(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


ANN, BOB = "ann@example.com", "bob@example.com"


@pytest.fixture
async def host() -> AsyncIterator[MailHost]:
    async with MailHost() as made:
        yield made


def sink_of(host: MailHost | Strange, clock: Any = None, **options: Any) -> Sink:
    given: dict[str, Any] = {
        "host": "localhost",
        "port": host.port,
        "security": "none",
        "sender": "Eventer 告警 <eventer@example.com>",
        "to": [f"On call <{ANN}>"],
        "timeout": Duration(30),
    }
    config = Config(kind="email", **(given | options))
    return Sink(config, SinkContext(name="oncall", clock=clock or SystemClock()))


def login(password: str = CANARY) -> LoginConfig:
    return LoginConfig(username="eventer", password=Secret.literal(password))


async def failed(sink: Sink) -> SinkError:
    with pytest.raises(SinkError) as caught:
        await send(sink)
    return caught.value


# -- what is sent --------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("language", ["en", "zh"])
async def test_each_sample_is_told(host: MailHost, sample: str, language: Any) -> None:
    told = SAMPLES[sample]
    sink = sink_of(host, language=language, zone="Asia/Shanghai", cc=[BOB])
    sent = await send(sink, told)
    assert (sent.failed, sent.note, sent.duplicates) == ({}, "", 0)
    (got,) = host.got
    assert (got.sender, got.recipients) == ("eventer@example.com", [ANN, BOB])
    title = compose(told, sink._view).title
    assert str(got.mail["Subject"]) == title
    for kind in ("plain", "html"):
        assert title in got.text(kind)
        assert told.items[-1].name in got.text(kind)  # a mail has room for all


async def test_headers_say_who_it_is_and_that_nobody_is_to_answer(host: MailHost) -> None:
    await send(sink_of(host, cc=[BOB], reply_to="Ops, all <ops@example.com>"))
    mail = host.got[0].mail
    assert dict(mail.items()) | {"Date": "", "Subject": "", "Message-ID": "", "Content-Type": ""} == {
        "Date": "",
        "From": "Eventer 告警 <eventer@example.com>",
        "To": f"On call <{ANN}>",
        "Cc": BOB,
        "Reply-To": '"Ops, all" <ops@example.com>',
        "Subject": "",
        "Message-ID": "",
        "In-Reply-To": mail["References"],
        "References": mail["References"],
        "List-Id": "<oncall.eventer.example.com>",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
        "MIME-Version": "1.0",
        "Content-Type": "",
    }
    assert mail.get_content_type() == "multipart/alternative"
    now = SystemClock().now()
    assert abs((parsedate_to_datetime(str(mail["Date"])) - now).total_seconds()) < 600
    assert not mail.defects


async def test_all_of_it_is_ascii_in_lines_that_any_server_takes(host: MailHost) -> None:
    sender = f"{'值班' * 30} <eventer@{'a' * 60}.{'b' * 60}.example>"
    to = [f"{'长名字' * 20}{number} <a{number}@{'c' * 60}.example>" for number in range(9)]
    await send(sink_of(host, sender=sender, to=to), note(item(message="汉" * 3000, name="é" * 120)))
    await send(sink_of(host, language="zh"), SAMPLES["resolved"])
    lines = b"\r\n".join(got.content for got in host.got).split(b"\r\n")
    assert all(line.isascii() and b"\r" not in line and b"\n" not in line for line in lines)
    assert max(map(len, lines)) <= 998
    for name in ("Subject", "To", "From"):
        (folded,) = re.findall(rf"(?ms)^{name}: (.*?)\r\n(?=[A-Z])", host.got[0].content.decode())
        assert all(len(word) <= 75 for word in re.findall(r"=\?.*?\?=", folded))
    assert len(host.got[0].mail["To"].addresses) == 9


async def test_an_attempt_has_the_id_of_its_notification_and_the_group_is_a_thread(host: MailHost) -> None:
    oom, again = SAMPLES["oom"], msgspec.structs.replace(SAMPLES["oom"], number=2)
    other = msgspec.structs.replace(again, group={"cluster": "test"})
    digest = msgspec.structs.replace(again, folded=3)
    mixed = msgspec.structs.replace(again, group={})
    for told in (oom, oom, again, other, digest, mixed):
        await send(sink_of(host), told)
    mails = [got.mail for got in host.got]
    ids = [str(mail["Message-ID"]) for mail in mails]
    threads = [str(mail["References"]) for mail in mails]
    assert all(re.fullmatch(r"<[0-9a-f]{32}@example\.com>", each) for each in (*ids, *threads[:4]))
    assert ids[0] == ids[1]
    assert len(set(ids)) == 5
    assert threads[0] == threads[1] == threads[2] != threads[3]
    assert threads[4:] == ["None", "None"]


async def test_a_notifier_of_another_name_has_other_ids(host: MailHost) -> None:
    one = sink_of(host)
    other = Sink(one._config, SinkContext(name="second", clock=SystemClock()))
    await send(one)
    await send(other)
    assert host.got[0].mail["Message-ID"] != host.got[1].mail["Message-ID"]
    assert host.got[0].mail["References"] != host.got[1].mail["References"]


BREAKING = [
    "x\r\nBcc: evil@example.net\r\n\r\n<script>",
    "x\nTo: evil@example.net",
    "=?utf-8?q?=0D=0ABcc:_evil@example.net?=",
    "\r\n.\r\nMAIL FROM:<evil@example.net>\r\n",
    "\u2028Bcc: evil@example.net\x85Cc: evil@example.net\x0b\x0c",
    "evil@example.net, <evil@example.net>",
]


async def test_x3_what_an_event_says_adds_no_header_and_no_recipient(host: MailHost) -> None:
    sink = sink_of(host)
    await sink.open(None)
    names = None
    for number, text in enumerate([*HOSTILE.values(), *BREAKING]):
        told = item(
            message=text, name=text[:253] or "x", namespace=text[:60], reason=text[:120], node=text[:60],
            cluster=text[:60], container=text[:60], owner=text[:60],
        )  # fmt: skip
        await sink.send(batch_of(note(told, number=number, group={"cluster": text[:60]})))
        got = host.got[-1]
        assert got.recipients == [ANN]
        names = names or got.mail.keys()
        assert got.mail.keys() == names
        assert not re.search("[\x00-\x1f]", str(got.mail["Subject"]))
        assert [part.get_content_type() for part in got.mail.walk()] == [
            "multipart/alternative", "text/plain", "text/html",
        ]  # fmt: skip
        assert "<script" not in got.text("html")
    await sink.close()


@pytest.mark.parametrize("text", ["x" * 65_536, "汉" * 65_536, "🔥" * 20_000, ".\r\n" * 20_000, "<&>" * 20_000])
async def test_what_is_long_is_cut(host: MailHost, text: str) -> None:
    long = item(message=text, name=text[:253], namespace=text[:253], reason=text[:1024], owner=text[:500])
    await send(sink_of(host), note(*[long] * 20, firing=700, unnamed=680))
    assert len(host.got[0].content) < 200_000
    assert "680" in host.got[0].text()


async def test_the_same_notification_again_is_known_as_one(host: MailHost) -> None:
    sink = sink_of(host)
    assert (await sink.send(batch_of(SAMPLES["oom"]))).duplicates == 0
    assert (await sink.send(batch_of(SAMPLES["oom"]))).duplicates == 1
    assert len(host.got) == 1


async def test_a_link_that_fails_is_left_out_and_told(host: MailHost) -> None:
    links = {"Logs": "https://logs.example/{{ event.name }}", "Bad": "https://x.example/{{ 1 // (event.count - 3) }}"}
    sent = await send(sink_of(host, links=links))
    assert 'href="https://logs.example/cn-shanghai.10.0.3.17"' in host.got[0].text("html")
    assert "The link Bad is missing" in sent.note


async def test_what_is_no_notification_is_rejected(host: MailHost) -> None:
    sink = sink_of(host)
    for line in (b"{}", b"", b"\xff", b"[" * 50_000):
        with pytest.raises(Rejected) as caught:
            await sink.send(Batch([line]))
        assert caught.value.reason == "decode"
    assert not host.said


# -- some recipients are refused -----------------------------------------------------------------


async def test_who_is_refused_for_good_is_named_and_the_others_get_it(host: MailHost) -> None:
    host.answer(BOB, "550 5.1.1 no such user")
    sent = await send(sink_of(host, cc=[BOB]))
    assert host.got[0].recipients == [ANN]
    assert sent == Sent(note=f"{BOB} did not get a mail (550 5.1.1 no such user).")


async def test_who_is_refused_for_now_gets_it_later_and_the_others_once(host: MailHost) -> None:
    clock = StillClock()
    sink = sink_of(host, clock, cc=[BOB])
    host.answer(BOB, *["450 4.2.0 greylisted"] * 2)
    for _ in range(2):
        with pytest.raises(Retry) as caught:
            await sink.send(batch_of(SAMPLES["oom"]))
        assert caught.value.reason == "recipients"
        assert BOB in str(caught.value)
        clock.advance(200)
    assert await sink.send(batch_of(SAMPLES["oom"])) == Sent()
    assert [got.recipients for got in host.got] == [[ANN], [BOB]]
    assert host.got[0].mail["Message-ID"] == host.got[1].mail["Message-ID"]


async def test_a_full_mailbox_keeps_the_others_waiting_once_and_not_for_ever(host: MailHost) -> None:
    clock = StillClock()
    sink = sink_of(host, clock, cc=[BOB])
    full = "452 4.2.2 mailbox full"
    host.answer(BOB, *[full] * 4)
    for _ in range(2):
        with pytest.raises(Retry):
            await sink.send(batch_of(SAMPLES["oom"]))
        clock.advance(300)
    sent = await sink.send(batch_of(SAMPLES["oom"]))
    assert sent.note == f"{BOB} did not get a mail ({full})."
    assert (await sink.send(batch_of(SAMPLES["node"]))).note == sent.note  # known: no wait any more
    assert await sink.send(batch_of(SAMPLES["crash"])) == Sent()
    host.answer(BOB, full)
    with pytest.raises(Retry):  # it had room again: a wait begins anew
        await sink.send(batch_of(SAMPLES["resolved"]))
    assert [got.recipients for got in host.got] == [[ANN], [ANN], [ANN, BOB], [ANN]]


async def test_where_nobody_is_taken_for_now_it_is_tried_for_ever(host: MailHost) -> None:
    clock = StillClock()
    sink = sink_of(host, clock)
    host.answer(ANN, *["450 later"] * 3)
    for _ in range(3):
        with pytest.raises(Retry):
            await sink.send(batch_of(SAMPLES["oom"]))
        clock.advance(3600)
    assert await sink.send(batch_of(SAMPLES["oom"])) == Sent()


# -- life ----------------------------------------------------------------------------------------


async def test_a_cancelled_send_leaves_nothing_open(host: MailHost) -> None:
    await leaves_nothing_open(sink_of(host), host)


async def test_the_library_can_be_missing(host: MailHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiosmtplib", None)
    monkeypatch.delitem(sys.modules, "sinks._smtp", raising=False)
    error = await failed(sink_of(host))
    assert (type(error), error.reason) == (Blocked, "library")
    assert "pip install 'eventer[email]'" in str(error)


async def test_can_be_closed_without_having_been_opened(host: MailHost) -> None:
    await sink_of(host).close()


# -- options -------------------------------------------------------------------------------------


def test_a_mail_takes_its_time() -> None:
    config = Config(kind="email", host="mail.example", sender="a@example.com", to=[ANN])
    assert isinstance(config, NotifierConfig)
    assert (config.notifies.wait, config.notifies.interval, str(config.limit)) == (60, 900, "1/m")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sender": "eventer"}, "sender: 'eventer' is no address of mail"),
        (
            {"to": [ANN, "ops@example.com, evil@example.net"]},
            "to[1]: 'ops@example.com, evil@example.net' is no address",
        ),
        ({"to": ["a@b.example\r\nRCPT TO:<c@d.example>"]}, "is no address of mail"),
        ({"cc": ["x <a@b.example> <c@d.example>"]}, "cc[0]: "),
        ({"reply_to": "运维@example.com"}, "reply_to: "),
        ({"to": ["ops@例子.example"]}, "a domain that is not ASCII as xn--..."),
        ({"to": ["x"], "sender": "y", "reply_to": "z"}, "sender: 'y' is no address of mail"),
        ({"to": ["x"], "sender": "y", "reply_to": "z"}, "reply_to: 'z' is no address of mail"),
        ({"sender": f"{'x' * 65} <a@b.example>"}, "sender: "),
        ({"host": "smtp://mail.example"}, "host: this is no name; write it alone"),
        ({"host": "mail.example\r\nx"}, "host: this is no name; write it alone"),
        ({"host": "mail.example:587"}, "and the port as `port`"),
        ({"host": "fe80::1%eth0"}, "host: to link-local addresses"),
        ({"host": "169.254.169.254"}, "host: to link-local addresses"),
        ({"zone": "Mars/Phobos"}, "zone: 'Mars/Phobos' is no time zone"),
        ({"links": {"a": "{{ event.name }}"}}, "links: a: a link begins with a host"),
    ],
)
def test_bad_options_are_refused_with_a_remedy(options: dict[str, Any], said: str) -> None:
    good: dict[str, Any] = {"host": "mail.example", "sender": "a@example.com", "to": [ANN]}
    with pytest.raises((ValueError, ConfigError)) as caught:
        Config(kind="email", **(good | options))
    error = caught.value
    faults = error.faults if isinstance(error, ConfigError) else ()
    assert said in f"{error} {[f'{fault.path}: {fault.message}; {fault.remedy}' for fault in faults]}"


def test_who_is_named_twice_gets_it_once() -> None:
    config = Config(kind="email", host="mail.example", sender="a@example.com", to=[ANN, f"Ann <{ANN}>"], cc=[BOB, ANN])
    assert Sink(config, SinkContext(name="x", clock=SystemClock()))._envelope.recipients == [ANN, BOB]
