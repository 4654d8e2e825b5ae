"""Teams: what each answer of a workflow means (the sources are named in `sinks.teams`), and what is told how."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from eventer.alerting.notification import Notification
from eventer.alerting.render.teams import KEPT, LEAST
from eventer.clock import SystemClock
from eventer.errors import Blocked, Rejected, Retry
from eventer.match import Rule
from eventer.sink import SinkContext
from eventer.values import Secret
from sinks._chat import MentionConfig, TemplateConfig
from sinks.teams import Config, Sink, outcome
from tests.helpers.flows import REFUSALS, refusal
from tests.helpers.notes import SAMPLES, item, note
from tests.helpers.notes import send as tell
from tests.helpers.robots import Robot, Robots

OBJECT_ID = "87d349ed-44d7-43e1-9a83-5f2406dee5bd"


@pytest.fixture
async def flow() -> AsyncIterator[Robot]:
    async with Robots(time.time) as robots:
        yield robots.add("teams", "canary")


async def send(flow: Robot, told: Notification = SAMPLES["node"], **options: Any) -> None:
    config = Config(kind="teams", url=Secret.literal(flow.url), **options)
    await tell(Sink(config, SinkContext(name="ops", clock=SystemClock())), told)


def card_of(flow: Robot) -> dict[str, Any]:
    content: dict[str, Any] = flow.messages[-1]["attachments"][0]["content"]
    return content


def test_only_202_is_a_success() -> None:
    assert outcome(202, b"") is None
    for status in (200, 201, 204):
        error = outcome(status, b"1", "1")
        assert isinstance(error, Retry)
        assert "It would be 202" in str(error)


@pytest.mark.parametrize(
    ("code", "reason", "said"),
    [
        ("WorkflowTriggerIsNotEnabled", "stopped", "switched off or deleted"),
        ("WorkflowNotFound", "address", "Make a new one"),
        ("DirectApiAuthorizationRequired", "token", "Copy it from the workflow anew"),
        ("TriggerInputSchemaMismatch", "workflow", "made from the template"),
    ],
)
async def test_what_a_workflow_refuses_by_is_told_with_a_remedy(flow: Robot, code: str, reason: str, said: str) -> None:
    flow.script.append(refusal(code))
    with pytest.raises(Blocked) as caught:
        await send(flow)
    assert caught.value.reason == reason
    assert said in str(caught.value)
    assert REFUSALS[code][1] in caught.value.answer


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, b"", "address"),
        (400, b'{"error":{"code":["x"]}}', "address"),
        (403, b"[" * 50_000, "address"),
        (404, b'{"error":"x"}', "address"),
        (410, b'{"error":{"code":"Unheard"}}', "address"),
    ],
)
def test_whatever_else_it_refuses_by_is_about_the_address(status: int, body: bytes, reason: str) -> None:
    error = outcome(status, body, "shown")
    assert type(error) is Blocked
    assert (error.reason, error.answer) == (reason, "shown")


async def test_a_workflow_that_is_switched_off_is_blocked(flow: Robot) -> None:
    flow.stopped = True
    with pytest.raises(Blocked, match="switched off"):
        await send(flow)
    flow.stopped = False
    await send(flow)
    assert len(flow.messages) == 1


async def test_too_many_wait_as_told(flow: Robot) -> None:
    flow.taken += [time.time() + 1] * 4
    with pytest.raises(Retry) as caught:
        await send(flow)
    assert (caught.value.reason, caught.value.after) == ("throttled", 7.0)


async def test_what_is_too_large_is_tried_once_more_with_half_of_it(flow: Robot) -> None:
    storm = note(*[item(message="汉" * 600, name="汉" * 84)] * 20, firing=20)
    flow.script.append(web.Response(status=413))
    await send(flow, storm)
    await send(flow, storm)
    half, whole = (len(json.dumps(message, ensure_ascii=False).encode()) for message in flow.messages)
    assert LEAST < half <= whole // 2
    assert whole <= KEPT
    flow.script += [web.Response(status=413), web.Response(status=413)]
    with pytest.raises(Rejected) as caught:
        await send(flow, storm)
    assert caught.value.reason == "too_large"
    assert len(flow.requests) == 5


@pytest.mark.parametrize(("sample", "style"), [("node", "attention"), ("crash", "warning"), ("resolved", "good")])
async def test_the_colour_is_the_severity(flow: Robot, sample: str, style: str) -> None:
    await send(flow, SAMPLES[sample])
    assert card_of(flow)["body"][0]["style"] == style


async def test_who_is_mentioned_is_told_by_the_workflow(flow: Robot) -> None:
    mention = [
        MentionConfig(match=[Rule.parse({"severity": "critical"})], users=["ann@example.com", OBJECT_ID]),
    ]
    await send(flow, mention=mention)
    assert flow.mentioned == [["ann@example.com", OBJECT_ID]]
    await send(flow, SAMPLES["crash"], mention=mention)
    assert flow.mentioned[1] == []


async def test_x3_text_of_strangers_mentions_nobody(flow: Robot) -> None:
    tag = "<at>ann@example.com</at>"
    mention = [MentionConfig(users=["bob@example.com"])]
    await send(flow, note(item(message=tag, name=tag)), mention=mention)
    assert flow.mentioned == [["bob@example.com"]]
    assert tag not in json.dumps(card_of(flow))


async def test_x2_nothing_in_an_event_is_evaluated(flow: Robot) -> None:
    text = "{{DATE(2017-02-14T06:00:00Z, SHORT)}} {{{{TIME(2017-02-14T06:00:00Z)}}"
    words = "{% for problem in problems %}{{ problem.message }}{{ problem.name }}{% endfor %}"
    await send(flow, note(item(message=text + "{", name=text[1:])), template=TemplateConfig(body=words))
    await send(flow, note(item(message=text, name=text)))
    for message in flow.messages:
        assert "{{" not in json.dumps(message)


async def test_links_are_buttons_six_in_a_row(flow: Robot) -> None:
    links = {f"Logs {number}": f"https://logs.example/{number}" for number in range(8)}
    await send(flow, SAMPLES["oom"], links=links)
    rows = [element["actions"] for element in card_of(flow)["body"] if element["type"] == "ActionSet"]
    assert [len(row) for row in rows] == [6, 3]  # and one to documentation
    assert rows[0][0] == {"type": "Action.OpenUrl", "title": "Logs 0", "url": "https://logs.example/0"}


@pytest.mark.parametrize(
    ("mention", "said"),
    [
        (MentionConfig(all=True), "mentions people only"),
        (MentionConfig(mobiles=["13800000000"]), "mentions people only"),
        (MentionConfig(users=["ann"]), "write the sign-in name"),
        (MentionConfig(users=["U024BE7LH"]), "write the sign-in name"),
    ],
)
def test_whom_it_cannot_mention_is_refused(mention: MentionConfig, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Config(kind="teams", url=Secret.literal("https://x.example/workflows/x"), mention=[mention])
