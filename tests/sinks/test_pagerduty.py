"""PagerDuty: which incident an event is about, what it says, and what each documented answer means."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection
from typing import Any

import msgspec
import pytest
from aiohttp import web

from eventer.alerting.digest import fold
from eventer.alerting.notification import FOLDED, SAID, Notification, Why
from eventer.alerting.render.pagerduty import dedup_key
from eventer.clock import SystemClock
from eventer.errors import Blocked, Rejected, Retry, SinkError
from eventer.sink import NotifierConfig, SinkContext
from eventer.values import Duration, Secret
from sinks.pagerduty import Config, IncidentGroupConfig, Sink, outcome
from tests.helpers.notes import (
    SAMPLES,
    START,
    batch_of,
    item,
    leaves,
    leaves_nothing_open,
    note,
    rejects_what_is_no_notification,
    send,
    told_by,
)
from tests.helpers.oncall import FakePagerDuty
from tests.helpers.sinks import HOSTILE

KEY = "canary5f1d0c7e9acanary5f1d0c7e9a"


@pytest.fixture
async def far() -> AsyncIterator[FakePagerDuty]:
    async with FakePagerDuty(KEY) as made:
        yield made


def sink_of(far: FakePagerDuty, **options: Any) -> Sink:
    given = {"url": f"{far.url}/v2/enqueue", "routing_key": Secret.literal(KEY), "timeout": Duration(30)} | options
    return Sink(Config(kind="pagerduty", **given), SinkContext(name="ops", clock=SystemClock()))


async def test_a_group_is_one_incident_from_its_first_problem_to_its_end(far: FakePagerDuty) -> None:
    more = note(item(name="api-1"), item(name="api-2"), why=Why.NEW, number=2)
    again = note(item(name="api-2"), why=Why.REPEAT, number=3)
    sink = sink_of(far)
    await send(sink, note(item(name="api-1")), more, again)
    assert far.calls == ['eventer:{"cluster":"prod","namespace":"shop"}']
    assert len(far.bodies) == 3
    await send(sink_of(far), note(item(name="api-2", ended=START + 7_300), why=Why.RESOLVED, number=4))
    assert (far.incidents, far.resolved) == ({}, far.calls)
    assert set(far.bodies[-1]) == {"routing_key", "event_action", "dedup_key"}


async def test_an_event_says_what_is_wrong_where_and_what_to_do(far: FakePagerDuty) -> None:
    links = {"Logs": "https://logs.example/{{ event.name }}"}
    await send(sink_of(far, links=links, zone="Asia/Shanghai"), SAMPLES["oom"])
    (event,) = far.bodies
    payload = event["payload"]
    assert payload["summary"] == "[prod] 🔴 OOMKilling · Node cn-shanghai.10.0.3.17 ×3"
    assert (payload["source"], payload["severity"]) == ("prod/cn-shanghai.10.0.3.17", "critical")
    assert (payload["component"], payload["class"]) == ("cn-shanghai.10.0.3.17", "OOMKilling")
    assert payload["timestamp"] == "2027-01-15T08:00:00+00:00"
    details = payload["custom_details"]
    assert "Memory cgroup out of memory" in details["Message"]
    assert {"Cluster", "Object", "Seen", "Meaning", "Look first"} < set(details)
    assert {"href": "https://logs.example/cn-shanghai.10.0.3.17", "text": "Logs"} in event["links"]
    assert event["client"] == "Eventer"


async def test_many_problems_are_listed_and_the_rest_is_counted(far: FakePagerDuty) -> None:
    await send(sink_of(far), SAMPLES["storm"])
    payload = far.bodies[0]["payload"]
    assert payload["summary"].startswith("[prod/shop/image] 🟠 200 problems · Deployment checkout · Failed 124")
    assert len(payload["custom_details"]["problems"]) == 12
    assert payload["custom_details"]["more"] == ["and 188 more problems"]
    assert payload["source"] == "prod/shop"


@pytest.mark.parametrize(("severity", "theirs"), [("critical",) * 2, ("warning",) * 2, ("info",) * 2])
async def test_each_severity_is_one_of_theirs(far: FakePagerDuty, severity: str, theirs: str) -> None:
    await send(sink_of(far), note(item(severity=severity), severity=severity))
    assert far.bodies[0]["payload"]["severity"] == theirs


async def test_nobody_is_called_for_old_events_and_it_is_said(far: FakePagerDuty) -> None:
    summary = Notification(
        number=1, why=Why.SUMMARY, at=START, group={}, severity="info", reasons={"Failed": 7}, events=7
    )
    sent = await send(sink_of(far), summary)
    assert far.bodies == []
    assert sent.note == "No incident is opened for a summary: 🔵 7 earlier events · Failed 7"


async def test_events_that_are_not_followed_keep_an_incident_open(far: FakePagerDuty) -> None:
    await send(sink_of(far), note(why=Why.FIRST, untracked=7), note(why=Why.REPEAT, number=2))
    over = note(item(name="short", ended=START + 9), why=Why.NEW, number=3)
    await send(sink_of(far), over)  # of severity warning: what is not followed goes on
    assert len(far.incidents) == 1
    await send(sink_of(far), note(why=Why.RESOLVED, number=4))
    assert not far.incidents


# -- the key ---------------------------------------------------------------------------------------


def test_a_key_is_as_long_as_it_may_be_and_that_of_one_group_only() -> None:
    groups = [
        {"cluster": "prod", "name": "x" * 400},
        {"cluster": "prod", "name": "x" * 401},
        {"cluster": "汉" * 100},
        {"cluster": "a", "namespace": 'b","name":"c'},
        {"cluster": "a", "namespace": "b", "name": "c"},
        {},
    ]
    keys = [dedup_key(group) for group in groups]
    assert len(set(keys)) == len(groups)
    assert all(len(key) <= 255 for key in keys)
    assert dedup_key({"cluster": "a", "namespace": "b"}) == 'eventer:{"cluster":"a","namespace":"b"}'


# -- several at once -------------------------------------------------------------------------------


def _digest(groups: int = 30) -> Notification:
    going = [
        note(item(name=f"web-{n}", since=START + n), number=n + 1, group={"cluster": "prod", "name": f"web-{n}"})
        for n in range(groups)
    ]
    over = [
        note(
            item(name=f"old-{n}", ended=START + 9),
            why=Why.RESOLVED,
            severity="info",
            number=31 + n,
            group={"cluster": "prod", "name": f"old-{n}"},
        )
        for n in range(30)
    ]
    summary = Notification(number=61, why=Why.SUMMARY, at=START, group={}, severity="info", events=7)
    return fold([fold([*going[:20], *over[:10]]), *going[20:], *over[10:], summary])


async def test_of_a_digest_each_group_gets_its_own_last_word(far: FakePagerDuty) -> None:
    """Nothing is left open for ever, and nothing is lost, though the digest names some problems only."""
    for n in range(30):
        far.incidents[dedup_key({"cluster": "prod", "name": f"old-{n}"})] = {}
    await send(sink_of(far), _digest(FOLDED + 10))
    assert set(far.incidents) == {dedup_key({"cluster": "prod", "name": f"web-{n}"}) for n in range(FOLDED + 10)}
    assert len(far.resolved) == 30
    summaries = [event["payload"]["summary"] for event in far.incidents.values()]
    assert sum("BackOff · Pod shop/web-" in summary for summary in summaries) == FOLDED
    assert sum("] 🟠 1 problem" in summary for summary in summaries) == 10


async def test_a_group_that_comes_back_in_the_meantime_is_not_over(far: FakePagerDuty) -> None:
    group = {"name": "web"}
    over = note(item(ended=START + 9), why=Why.RESOLVED, group=group)
    await send(sink_of(far), fold([over, note(item(), group=group, number=2)]))
    assert list(far.incidents) == [dedup_key(group)]
    await send(sink_of(far), fold([note(item(), group=group, number=3), over]))
    assert not far.incidents


async def test_groups_that_share_a_quota_are_incidents_of_their_own_in_a_digest_too(far: FakePagerDuty) -> None:
    groups = [{"name": "a"}, {"name": "b"}]
    shared = msgspec.structs.replace(
        fold([note(item(name=each["name"]), group=each) for each in groups]), why=Why.QUOTA, folded=0, groups=2
    )
    await send(sink_of(far), shared)
    assert far.calls == [dedup_key(group) for group in groups]
    over = note(item(name="a", ended=START + 9), why=Why.RESOLVED, group=groups[0], number=3)
    await send(sink_of(far), fold([shared, over]))
    assert list(far.incidents) == [dedup_key(groups[1])]


async def test_summaries_in_a_digest_open_nothing(far: FakePagerDuty) -> None:
    summary = Notification(number=1, why=Why.SUMMARY, at=START, group={}, severity="info", events=7)
    sent = await send(sink_of(far), fold([summary, msgspec.structs.replace(summary, number=2)]))
    assert far.bodies == []
    assert "No incident" in sent.note


async def test_a_digest_that_was_taken_in_part_goes_on_where_it_stopped(far: FakePagerDuty) -> None:
    sink = sink_of(far)
    await sink.open(None)
    throttle = web.Response(status=429, headers={"Retry-After": "7"})
    far.script += [throttle]
    with pytest.raises(Retry) as caught:
        await sink.send(batch_of(_digest()))
    assert caught.value.after == 7.0
    assert len(far.bodies) == 4
    await sink.send(batch_of(_digest()))
    assert len(far.bodies) == 61  # none of those that were taken came twice
    await sink.send(batch_of(_digest()))
    assert len(far.bodies) == 121  # another digest begins anew
    await sink.close()


class Losing(FakePagerDuty):
    """Takes the events of some groups, and its answers get lost on the way."""

    lost: Collection[str] = ()

    def answer(self, request: web.Request, body: Any, size: int) -> web.Response:
        answer = super().answer(request, body, size)
        return web.Response(status=502) if body["dedup_key"] in self.lost else answer


async def test_an_incident_that_an_event_without_an_answer_opened_is_ended() -> None:
    group, other = {"name": "web"}, {"name": "other"}
    over = note(item(ended=START + 9), why=Why.RESOLVED, severity="info", group=group)
    again = note(item(), group=group, number=2)
    key, waits = dedup_key(group), dedup_key(other)
    async with Losing(KEY) as far:
        sink = sink_of(far)
        await sink.open(None)
        for words, lost in (([over], {waits}), ([over, again], {waits, key})):
            far.lost = lost
            with pytest.raises(Retry):
                await sink.send(batch_of(fold([*words, note(item(name="other"), group=other, number=9)])))
        assert set(far.incidents) == {key, waits}
        far.lost = ()
        await sink.send(batch_of(fold([over, again, over, note(item(name="other"), group=other, number=9)])))
        assert set(far.incidents) == {waits}
        await sink.close()


def test_of_very_many_groups_those_that_are_over_are_all_in_the_digest() -> None:
    notes = [note(item(), group={"n": str(n)}, number=n) for n in range(SAID)]
    notes += [note(why=Why.RESOLVED, group={"n": f"over-{n}"}, number=SAID + n) for n in range(100)]
    said = fold(notes).said
    assert len(said) == SAID
    assert [each.firing for each in said[:101]] == [0] * 100 + [1]


async def test_one_refused_event_of_a_digest_does_not_hold_up_the_others(far: FakePagerDuty) -> None:
    sink = sink_of(far)
    await sink.open(None)
    far.script.append(web.json_response({"errors": ["too strange"]}, status=400))
    with pytest.raises(Rejected):
        await sink.send(batch_of(_digest()))
    assert len(far.bodies) == 60
    await sink.close()


# -- text of strangers -----------------------------------------------------------------------------


async def test_x3_hostile_text_is_taken_and_links_nowhere(far: FakePagerDuty) -> None:
    sink = sink_of(far)
    await sink.open(None)
    for text in [*HOSTILE.values(), "汉" * 65_536, "💥" * 20_000]:
        short = text[:253] or "x"
        told = item(message=text, name=short, namespace=short, reason=short, node=short, labels={short: short})
        await sink.send(batch_of(note(told, group={"name": short})))
        await sink.send(batch_of(note(*[told] * 20, group={"name": short}, firing=700, unnamed=680)))
    await sink.close()
    assert len(far.incidents) == len(HOSTILE) + 2
    for event in far.bodies:
        payload = event["payload"]
        assert not any("http://evil.example" in text for text in leaves(payload))
        assert len(payload["summary"].encode()) <= 1024


# -- answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "kind", "reason"),
    [
        (400, b'{"status":"invalid event","errors":["Invalid routing key"]}', Blocked, "routing_key"),
        (
            400,
            b'{"errors":["Length of \'routing_key\' is incorrect (should be 32 characters)"]}',
            Blocked,
            "routing_key",
        ),
        (
            400,
            b'{"message":"Event object is invalid","errors":["\'payload.source\' is missing"]}',
            Rejected,
            "refused_data",
        ),
        (400, b"routing key", Rejected, "refused_data"),
        (202, b'{"status":"failure"}', Retry, "answer"),
        (202, b"", Retry, "answer"),
        (202, b"[" * 50_000, Retry, "answer"),
        (200, b'{"status":"success"}', Retry, "answer"),
        (200, b"<html>please log in</html>", Retry, "answer"),
    ],
)
def test_an_answer_is_read(status: int, body: bytes, kind: type[SinkError], reason: str) -> None:
    error = outcome(status, body, "shown")
    assert type(error) is kind
    assert (error.reason, error.answer) == (reason, "shown")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (lambda: web.Response(status=500, text=KEY), Retry),
        (lambda: web.Response(status=429, headers={"Retry-After": "7"}), Retry),
        (lambda: web.Response(status=403, text=KEY), Blocked),
        (lambda: web.Response(status=404, text=KEY), Blocked),
        (lambda: web.json_response({"errors": [f"Invalid routing key {KEY}"]}, status=400), Blocked),
        (lambda: web.json_response({"errors": [f"{KEY} has a bad day"]}, status=400), Rejected),
        (lambda: web.Response(text=f"<html>{KEY}</html>"), Retry),
        (lambda: web.Response(status=413, text=KEY), Rejected),
    ],
)
async def test_x1_no_answer_is_taken_for_another_and_none_shows_the_routing_key(
    far: FakePagerDuty, answer: Any, kind: type[SinkError], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    sink = sink_of(far)
    await sink.open(None)
    far.script.append(answer())
    with pytest.raises(SinkError) as caught:
        await sink.send(batch_of(SAMPLES["oom"]))
    error = caught.value
    assert type(error) is kind
    assert KEY not in told_by(error, sink) + caplog.text + repr(sink._config)
    await sink.send(batch_of(SAMPLES["oom"]))
    assert len(far.calls) == 1
    await sink.close()


async def test_a_key_that_is_unknown_is_blocked_with_a_remedy(far: FakePagerDuty) -> None:
    with pytest.raises(Blocked, match="Write the integration key"):
        await send(sink_of(far, routing_key=Secret.literal("x" * 32)), SAMPLES["oom"])


async def test_what_is_no_notification_is_rejected(far: FakePagerDuty) -> None:
    await rejects_what_is_no_notification(sink_of(far))


async def test_no_answer_is_given_up_and_a_cancelled_send_leaves_nothing_open(far: FakePagerDuty) -> None:
    far.answering.clear()
    with pytest.raises(Retry) as caught:
        await send(sink_of(far, timeout=Duration(0.2)), SAMPLES["oom"])
    assert caught.value.reason == "timeout"
    await leaves_nothing_open(sink_of(far), far)


# -- configuration ---------------------------------------------------------------------------------


async def test_can_be_closed_without_having_been_opened(far: FakePagerDuty) -> None:
    await sink_of(far).close()


def test_by_default_incidents_are_few_and_told_of_again_every_hour() -> None:
    config = Config(kind="pagerduty", routing_key=Secret.literal(KEY))
    assert issubclass(Config, NotifierConfig)
    assert (config.group.by, config.group.repeat) == (["cluster", "namespace", "family"], 3600)
    assert config.url == "https://events.pagerduty.com/v2/enqueue"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"url": "events.eu.pagerduty.com"}, "url: the address is no URL"),
        ({"group": IncidentGroupConfig(heartbeat=Duration(3600))}, "group.heartbeat: it would call somebody"),
        ({"links": {"a": "{{ event.name }}"}}, "links: a: a link begins with a host"),
        ({"zone": "Mars/Phobos"}, "is no time zone"),
        ({"repeats": "x"}, "repeats: it is about events"),
    ],
)
def test_bad_options_are_refused_with_a_remedy(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        Config(kind="pagerduty", **({"routing_key": Secret.literal(KEY)} | options))
    assert said in str(caught.value)
