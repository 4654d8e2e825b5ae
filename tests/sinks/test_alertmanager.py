"""Alertmanager: what is posted, how it ends, and what of several replicas counts.

A real one is asked in tests/real/test_alertmanager.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from eventer.alerting.digest import fold
from eventer.alerting.notification import FOLDED, Notification, Why
from eventer.alerting.render.alertmanager import LABEL, OURS
from eventer.clock import SystemClock
from eventer.config.load import load
from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.group import Quota
from eventer.sink import NotifierConfig, SinkContext
from eventer.values import Duration, Secret
from sinks._auth import AuthConfig
from sinks.alertmanager import AlertGroupConfig, Config, Sink
from tests.helpers.looptime import pass_by
from tests.helpers.notes import (
    SAMPLES,
    START,
    batch_of,
    item,
    leaves_nothing_open,
    note,
    rejects_what_is_no_notification,
    send,
    told_by,
)
from tests.helpers.oncall import FakeAlertmanager
from tests.helpers.sinks import CANARY, HOSTILE
from tests.helpers.until import until

HOLD = 3 * 300
NOW = START + 10_000


class At(SystemClock):
    """A clock that stands still, some time after the samples began."""

    def now(self) -> datetime:
        return datetime.fromtimestamp(NOW, UTC)


@pytest.fixture
async def far() -> AsyncIterator[FakeAlertmanager]:
    async with FakeAlertmanager() as made:
        yield made


@pytest.fixture
async def other() -> AsyncIterator[FakeAlertmanager]:
    async with FakeAlertmanager() as made:
        yield made


def sink_of(url: str, **options: Any) -> Sink:
    config = Config(kind="alertmanager", url=url, **({"timeout": Duration(30)} | options))
    return Sink(config, SinkContext(name="ops", clock=At()))


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


async def test_a_problem_is_one_alert_whose_labels_never_change(far: FakeAlertmanager) -> None:
    first = item(container="web", node="n1", labels={"region": "cn-1"}, owner="Deployment api")
    later = msgspec.structs.replace(first, count=40, last=START + 9_000, message="other words", returns=3)
    sent = await send(sink_of(far.url, labels={"team": "shop"}), note(first), note(later, why=Why.REPEAT))
    assert (sent.note, sent.failed) == ("", {})
    (one,), (two,) = far.bodies
    assert one["labels"] == two["labels"]
    assert one["labels"] == {
        "alertname": "BackOff", "severity": "warning", "cluster": "prod", "namespace": "shop", "kind": "Pod",
        "name": "api-7d9", "node": "n1", "container": "web", "reason": "BackOff", "family": "crash",
        "region": "cn-1", "team": "shop",
    }  # fmt: skip
    assert one["startsAt"] == two["startsAt"] == "2027-01-15T08:00:00.000+00:00"
    assert len(far.alerts) == 1


async def test_annotations_say_how_it_stands_and_what_it_means(far: FakeAlertmanager) -> None:
    sink = sink_of(
        far.url, zone="Asia/Shanghai", links={"logs": "https://logs.example/{{ event.namespace }}/{{ event.name }}"}
    )
    await send(sink, note(item(owner="Deployment api")))
    ((alert,),) = far.bodies
    said = alert["annotations"]
    assert said["summary"] == "BackOff · Pod shop/api-7d9 ×14"
    assert said["description"].startswith("Back-off restarting failed container\n")
    assert (said["count"], said["owner"], said["component"]) == ("14", "Deployment api", "kubelet")
    assert (said["first_seen"], said["last_seen"]) == ("2027-01-15T16:00:00+08:00", "2027-01-15T16:23:00+08:00")
    assert said["meaning"] in said["description"]
    assert said["remedy"] in said["description"]
    assert said["command"].startswith("kubectl ")
    assert said["runbook_url"].startswith("https://")
    assert said["logs"] == alert["generatorURL"] == "https://logs.example/shop/api-7d9"


async def test_an_alert_ends_by_itself_long_after_the_next_repeat_and_at_once_where_it_is_over(
    far: FakeAlertmanager,
) -> None:
    lasting = item(since=NOW - 60, last=NOW)
    over = msgspec.structs.replace(lasting, ended=NOW - 5)
    await send(sink_of(far.url), note(lasting))
    ((alert,),) = far.bodies
    assert seconds(alert["endsAt"]) == NOW + HOLD
    assert len(far.going(NOW + 300)) == 1
    await send(sink_of(far.url), note(over, why=Why.RESOLVED))
    assert far.going(NOW) == []
    assert len(far.alerts) == 1


async def test_what_lies_in_the_future_by_a_wrong_clock_is_still_taken(far: FakeAlertmanager) -> None:
    ahead = NOW + 7_200
    over = [item(name="a", since=ahead, last=ahead, ended=ahead), item(name="b", since=NOW - 5, ended=NOW - 10)]
    await send(sink_of(far.url), note(*over), note(item(name="c", since=ahead, last=ahead)))
    assert len(far.alerts) == 3
    assert [labels["name"] for labels in far.going(NOW)] == ["c"]


async def test_what_is_counted_and_not_named_is_one_alert_that_ends_by_itself(far: FakeAlertmanager) -> None:
    await send(sink_of(far.url), SAMPLES["storm"])
    (posted,) = far.bodies
    assert len(posted) == len(SAMPLES["storm"].items) + 1
    rest = posted[-1]
    assert rest["labels"] == {
        "alertname": "EventerMoreProblems", "severity": "warning", "cluster": "prod", "namespace": "shop",
        "family": "image",
    }  # fmt: skip
    assert "and 188 more problems" in rest["annotations"]["description"]
    assert seconds(rest["endsAt"]) == NOW + HOLD


async def test_a_digest_names_what_it_can_and_leaves_nothing_firing_for_ever(far: FakeAlertmanager) -> None:
    now = NOW - 1
    names = [f"web-{n}" for n in range(FOLDED + 10)]
    going = [note(item(name=name, since=now, last=now), group={"name": name}) for name in names]
    over = note(item(name="old", since=now - 60, last=now, ended=now), why=Why.RESOLVED, group={"name": "old"})
    await send(sink_of(far.url), fold([*going, over]))
    names = [labels["alertname"] for labels in far.going(now + 1)]
    assert names.count("BackOff") == FOLDED
    assert names.count("EventerMoreProblems") == 1
    assert far.going(now + HOLD + 60) == []


async def test_a_summary_of_old_events_is_an_alert_for_a_while_and_a_heartbeat_lasts_to_the_next(
    far: FakeAlertmanager,
) -> None:
    summary = Notification(
        number=1, why=Why.SUMMARY, at=NOW, group={}, severity="info", reasons={"Failed": 7}, events=7
    )
    alive = msgspec.structs.replace(summary, why=Why.ALIVE, reasons={}, events=0)
    sink = sink_of(far.url, group=AlertGroupConfig(heartbeat=Duration(3600)))
    await send(sink, summary, alive)
    (old,), (beat,) = far.bodies
    assert old["labels"] == {"alertname": "EventerOldEvents", "severity": "info"}
    assert "7 earlier events" in old["annotations"]["summary"]
    assert beat["labels"] == {"alertname": "EventerHeartbeat", "severity": "info"}
    assert seconds(beat["endsAt"]) == NOW + 3 * 3600


async def test_labels_of_a_source_get_names_that_every_version_takes_and_ours_stay_ours(far: FakeAlertmanager) -> None:
    labels = {"app.kubernetes.io/name": "api", "8th": "a", "区域": "b", "severity": "none", "__x": "c", "empty": ""}
    await send(sink_of(far.url), note(item(labels=labels)))
    ((alert,),) = far.bodies
    assert alert["labels"]["app_kubernetes_io_name"] == "api"
    assert alert["labels"]["severity"] == "warning"
    assert {"_8th", "label", "x"} < set(alert["labels"])
    assert all(alert["labels"].values())
    assert all(LABEL.fullmatch(name) for name in alert["labels"])


async def test_x3_hostile_text_is_taken_and_stays_a_value(far: FakeAlertmanager) -> None:
    sink = sink_of(far.url)
    await sink.open(None)
    for text in HOSTILE.values():
        short = text[:253] or "x"
        told = item(
            message=text[:5_000], name=short, namespace=short, reason=short, node=short, labels={text[:60]: short}
        )
        await sink.send(batch_of(note(told)))
    await sink.close()
    assert len(far.bodies) == len(far.alerts) == len(HOSTILE)
    for (alert,) in far.bodies:
        assert all(len(value.encode()) <= 512 for value in alert["labels"].values())
        assert set(alert["labels"]) - set(OURS) <= {name for name in alert["labels"] if LABEL.fullmatch(name)}


# -- answers ---------------------------------------------------------------------------------------


async def test_of_a_post_that_is_refused_the_bad_alert_is_found_and_the_others_are_there(far: FakeAlertmanager) -> None:
    far.refused = "bad"
    told = note(item(name="good-1"), item(name="bad"), item(name="good-2"))
    with pytest.raises(Rejected) as caught:
        await send(sink_of(far.url), told)
    assert "1 of 3 alerts were refused" in str(caught.value)
    assert "Pod shop/bad" in str(caught.value)
    assert "invalid value" in caught.value.answer
    assert {dict(key)["name"] for key in far.alerts} == {"good-1", "good-2"}
    assert [len(posted) for posted in far.bodies] == [3, 1, 2, 1, 1]  # all, and then by halves


async def test_a_400_that_is_gone_when_each_is_posted_alone_is_none(far: FakeAlertmanager) -> None:
    far.script.append(web.Response(status=400))
    sent = await send(sink_of(far.url), note(item(name="a"), item(name="b")))
    assert not sent.failed
    assert len(far.alerts) == 2


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (lambda: web.Response(status=500, text="no"), Retry),
        (lambda: web.Response(status=401, text=CANARY), Blocked),
        (lambda: web.Response(status=404, text=CANARY), Blocked),
        (lambda: web.Response(status=302, headers={"Location": "http://elsewhere.example/"}), Blocked),
        (lambda: web.Response(status=429, headers={"Retry-After": "7"}), Retry),
        (lambda: web.Response(status=400, text=f"token {CANARY}"), Rejected),
        (lambda: web.Response(status=413), Rejected),
        (lambda: web.Response(text="<html>please log in</html>"), Retry),
    ],
)
async def test_what_is_no_success_is_never_taken_for_one(
    far: FakeAlertmanager, answer: Any, kind: type[SinkError], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    sink = sink_of(far.url, auth=AuthConfig(bearer=Secret.literal(CANARY)))
    await sink.open(None)
    far.script.append(answer())
    with pytest.raises(SinkError) as caught:
        await sink.send(batch_of(SAMPLES["oom"]))
    error = caught.value
    assert type(error) is kind
    assert CANARY not in told_by(error, sink) + caplog.text
    await sink.send(batch_of(SAMPLES["oom"]))
    assert far.headers[-1]["Authorization"] == f"Bearer {CANARY}"
    await sink.close()


async def test_what_is_no_notification_is_rejected(far: FakeAlertmanager) -> None:
    await rejects_what_is_no_notification(sink_of(far.url))


# -- replicas --------------------------------------------------------------------------------------


async def test_every_replica_gets_every_alert(far: FakeAlertmanager, other: FakeAlertmanager) -> None:
    await send(sink_of(f"{far.url}/, {other.url}"), SAMPLES["crash"])
    assert far.alerts == other.alerts != {}


async def test_one_replica_is_enough_and_one_that_failed_is_left_alone_for_a_while(
    far: FakeAlertmanager, other: FakeAlertmanager
) -> None:
    sink = sink_of(f"{far.url},{other.url}")
    await sink.open(None)
    far.script += [web.Response(status=503), web.Response(status=503)]
    sent = await sink.send(batch_of(SAMPLES["crash"]))
    assert sent.note.startswith("One of the replicas did not take alerts, another did: http://127.0.0.1")
    assert (len(far.alerts), len(other.alerts)) == (0, 1)
    sent = await sink.send(batch_of(SAMPLES["oom"]))
    assert sent.note == ""
    assert (len(far.bodies), len(other.alerts)) == (1, 2)
    other.script.append(web.Response(status=503))  # then the one that rests is better than none
    with pytest.raises(Retry):
        await sink.send(batch_of(SAMPLES["node"]))
    assert len(far.bodies) == 2
    await sink.send(batch_of(SAMPLES["node"]))
    assert len(far.alerts) == 1
    await sink.close()


async def test_where_none_takes_it_what_can_change_counts_most(far: FakeAlertmanager, other: FakeAlertmanager) -> None:
    sink = sink_of(f"{far.url},{other.url}")
    await sink.open(None)
    for answers, kind in (((401, 503), Retry), ((401, 400), Blocked), ((400, 413), Rejected)):
        far.script.append(web.Response(status=answers[0]))
        other.script.append(web.Response(status=answers[1]))
        with pytest.raises(SinkError) as caught:
            await sink.send(batch_of(SAMPLES["crash"]))
        assert type(caught.value) is kind
    await sink.close()


async def test_a_replica_that_hangs_costs_its_time_out_once(far: FakeAlertmanager, other: FakeAlertmanager) -> None:
    sink = sink_of(f"{far.url},{other.url}", timeout=Duration(0.3))
    await sink.open(None)
    far.answering.clear()
    sent = await sink.send(batch_of(SAMPLES["crash"]))
    assert "gave no complete answer in time" in sent.note
    await sink.send(batch_of(SAMPLES["oom"]))
    assert len(far.headers) == 1
    assert len(other.alerts) == 2
    await sink.close()


class Slow(FakeAlertmanager):
    """Refuses a value of a label, and takes longer for each answer than half of the time that a send may take."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.refused = "bad"
        self._monkeypatch = monkeypatch

    def answer(self, request: web.Request, body: Any, size: int) -> web.Response:
        pass_by(2000, self._monkeypatch)
        return super().answer(request, body, size)


async def test_what_one_replica_took_is_sent_however_long_another_takes_to_say_what_is_bad(
    far: FakeAlertmanager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each alert is asked for by itself: what is answered in time each could take longer than a send may."""
    async with Slow(monkeypatch) as slow:
        slow.answering.clear()
        sink = sink_of(f"{slow.url},{far.url}", timeout=Duration(3000))
        await sink.open(None)
        sending = asyncio.create_task(sink.send(batch_of(note(item(name="bad"), item(name="good")))))
        await until(lambda: len(far.bodies) == 1, "the other to answer")
        slow.answering.set()
        sent = await sending
        assert "gave no complete answer in time" in sent.note
        assert len(slow.bodies) <= 2
        await sink.close()


async def test_a_cancelled_send_leaves_nothing_open(far: FakeAlertmanager) -> None:
    await leaves_nothing_open(sink_of(far.url), far)


# -- configuration ---------------------------------------------------------------------------------


async def test_a_probe_names_the_version_and_posts_nothing(far: FakeAlertmanager, other: FakeAlertmanager) -> None:
    sink = sink_of(f"{far.url},{other.url}")
    assert await sink.probe() == "Alertmanager 0.27.0 answers at 2 of 2 addresses."
    far.script.append(web.json_response({"version": "2.42"}))
    with pytest.raises(Blocked, match="not that of an Alertmanager"):
        await sink.probe()
    await sink.close()
    assert not far.alerts


async def test_can_be_closed_without_having_been_opened() -> None:
    await sink_of("http://alertmanager.example").close()


def test_by_default_each_problem_is_told_by_itself_and_again_before_its_alert_ends(tmp_path: Path) -> None:
    config = Config(kind="alertmanager", url="http://a:9093")
    assert issubclass(Config, NotifierConfig)
    assert config.notifies.by == ["cluster", "kind", "namespace", "name", "family"]
    assert (config.notifies.wait, config.notifies.repeat) == (0, 300)
    file = tmp_path / "c.yaml"
    file.write_text("sources: [{}]\nsinks: {am: {kind: alertmanager, url: http://a:9093, group: {repeat: 1m}}}\n")
    partly = load(file, {}).config.sinks["am"]
    assert isinstance(partly, Config)
    assert (partly.group.repeat, partly.group.interval, partly.group.by) == (60, 10, config.group.by)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"url": " , "}, "url: this is no address"),
        ({"url": "http://user:word@a:9093"}, "write them under auth"),
        ({"url": "http://a:9093,alertmanager"}, "url: the address is no URL"),
        ({"url": "http://a:9093/api/v2/alerts"}, "url: leave out /api/v2"),
        ({"labels": {"severity": "page"}}, "labels: severity is set by Eventer"),
        (
            {"group": AlertGroupConfig(quota=Quota(messages=3, per=[]))},
            "group.quota: an alert that is not posted again",
        ),
        ({"labels": {"a-b": "x"}}, "labels: 'a-b' is no name"),
        ({"labels": {"__a": "x"}}, "labels: '__a' is no name"),
        ({"links": {"日志": "https://x.example/"}}, "links: '日志' is no name"),
        ({"links": {"logs": "{{ event.name }}"}}, "links: logs: a link begins with a host"),
        ({"zone": "Mars/Phobos"}, "is no time zone"),
        ({"repeats": "x"}, "repeats: it is about events"),
    ],
)
def test_bad_options_are_refused_with_a_remedy(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        Config(kind="alertmanager", **({"url": "http://a:9093"} | options))
    assert said in str(caught.value)
