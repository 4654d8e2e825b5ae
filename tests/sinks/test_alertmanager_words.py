"""Annotations of one's own: beside Eventer's or in their place, and what becomes of those that fail."""

from __future__ import annotations

from typing import Any

import pytest

from eventer.alerting.notification import Notification, Why
from eventer.sink import Sent
from tests.helpers.intheirwords import config_of, refusal, sink_of
from tests.helpers.notes import SAMPLES, START, item, note, send
from tests.helpers.oncall import FakeAlertmanager


async def annotations(told: Notification, **given: str) -> tuple[list[dict[str, str]], Sent]:
    """Post the alerts of a notification; return their annotations, and what the sink says."""
    async with FakeAlertmanager() as far:
        sent = await send(sink_of("alertmanager", url=far.url, zone="Asia/Shanghai", annotations=given), told)
        (posted,) = far.bodies
    return [alert["annotations"] for alert in posted], sent


async def test_annotations_are_beside_ours_or_in_their_place() -> None:
    text = (
        "{{ problem.namespace }}/{{ problem.name }} {{ problem.since.strftime('%H:%M') }} {{ severity }} {{ firing }}"
    )
    (said,), sent = await annotations(note(item()), summary=text, dashboard="https://x/{{ problem.labels.team }}")
    assert sent == Sent()
    assert said["summary"] == "shop/api-7d9 16:00 warning 1"
    assert said["dashboard"] == "https://x/"
    assert said["description"].startswith("Back-off restarting failed container\n")
    assert said["runbook_url"].startswith("https://")


async def test_each_alert_of_a_post_is_told_by_itself_and_what_is_counted_in_the_usual_words() -> None:
    said, sent = await annotations(SAMPLES["storm"], summary="{{ problem.name }} {{ problems | length }} {{ events }}")
    assert sent == Sent()
    assert [each["summary"] for each in said[:-1]] == [f"{each.name} 1 {each.count}" for each in SAMPLES["storm"].items]
    assert said[-1]["summary"].startswith("[prod/shop/image]")


async def test_an_annotation_that_is_empty_is_left_out() -> None:
    (said,), sent = await annotations(note(item()), summary="{{ problem.owner }}", message="", command=" ")
    assert sent == Sent()
    assert not {"summary", "message", "command"} & set(said)


async def test_of_annotations_the_one_that_fails_is_as_usual() -> None:
    bad = "{{ 1 // (problem.count - 77) }}"
    (said,), sent = await annotations(note(item(count=77)), summary=bad, extra=bad, description="mine")
    assert sent.defaulted
    assert "The template `annotations.summary` fails" in sent.note
    assert "The template `annotations.extra` fails" in sent.note
    assert said["summary"] == "BackOff · Pod shop/api-7d9 ×77"
    assert said["description"] == "mine"
    assert "extra" not in said


async def test_an_annotation_knows_that_a_problem_is_over_and_still_what_it_means() -> None:
    text = "{{ title }} | {{ severity }} | {% if problem.ended %}{{ problem.ended.strftime('%H:%M') }}{% endif %}"
    meaning = "{% for part in parts %}{{ part.name }} {% endfor %}"
    told = note(item(ended=START + 60), why=Why.RESOLVED)
    (said,), _ = await annotations(told, summary=text, extra=meaning)
    assert said["summary"] == "[prod] ✅ Resolved: BackOff · Pod shop/api-7d9 ×14 | resolved | 16:01"
    assert "Meaning" in said["extra"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"annotations": {"a-b": "x"}}, "annotations: 'a-b' is no name that Alertmanager takes"),
        ({"annotations": {"__a": "x"}}, "annotations: '__a' is no name"),
        (
            {"annotations": {"logs": "x"}, "links": {"logs": "https://x.example/"}},
            "annotations: logs is one of links",
        ),
        ({"annotations": {"summary": "{{ problem.reasn }}"}}, "annotations.summary: the template fails on the sample"),
        ({"annotations": {"summary": "{{ problem.ended.year }}"}}, "guard what may be missing by `{% if problem.ended"),
    ],
)
def test_annotations_that_cannot_be_are_refused_with_a_remedy(options: dict[str, Any], said: str) -> None:
    assert said in refusal(lambda: config_of("alertmanager", url="http://a.example:9093", **options))
