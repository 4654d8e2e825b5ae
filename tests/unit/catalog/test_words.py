"""What a person is told of an event: only what is true of it, with its names."""

from __future__ import annotations

from typing import Any

import pytest

from eventer.catalog import Advice, Catalog, Language, Reason, Text, advice
from eventer.event import Origin
from tests.helpers.sinks import make_event

DISK = make_event(origin=Origin.NODE, kind="Node", name="n1", condition="DiskPressure", status="True", state="firing")


@pytest.mark.parametrize(
    ("fields", "means", "command"),
    [
        ({}, True, True),
        ({"status": "False", "state": "resolved", "type": "Normal"}, False, False),
        ({"status": "", "state": "resolved", "type": "Normal", "reason": "ConditionRemoved"}, False, False),
        # Whoever checks it cannot tell: that the disk is full would be a guess, but a look at it helps.
        ({"status": "Unknown", "state": "unknown"}, False, True),
        ({"status": "Perhaps", "state": "unknown"}, False, True),
        # An Event that tells of the condition and not how it is.
        ({"origin": Origin.EVENT, "status": "", "state": "", "reason": "Nobody", "type": "Warning"}, True, True),
        ({"origin": Origin.EVENT, "status": "", "state": "", "reason": "Nobody", "type": "Normal"}, False, False),
    ],
)
def test_a_condition_is_told_as_trouble_only_while_it_is(fields: dict[str, Any], means: bool, command: bool) -> None:
    event = make_event(**{**_fields(), **fields})
    said = advice(Catalog().of(event), event, "en")
    assert (bool(said.means), bool(said.causes), bool(said.command)) == (means, means, command)
    assert said.command in {"", "kubectl describe node n1"}


def _fields() -> dict[str, Any]:
    return {name: getattr(DISK, name) for name in ("origin", "kind", "name", "condition", "status", "state", "type")}


def test_a_reason_that_says_that_a_condition_is_over_keeps_its_words() -> None:
    event = make_event(kind="Node", state="resolved")
    bad = Reason(names=("R",), severity="warning", family="x", command="look", en=Text(means="It burns."))
    good = Reason(names=("R",), severity="info", family="x", en=Text(means="It burns no more.", remedy="Rest."))
    assert advice(bad, event, "en") == Advice()
    assert advice(good, event, "en") == Advice(means="It burns no more.", remedy="Rest.")


@pytest.mark.parametrize(("language", "means"), [("en", "Only English."), ("zh", "Only English.")])
def test_a_text_in_one_language_is_told_in_that(language: Language, means: str) -> None:
    only = Reason(names=("R",), severity="info", family="x", en=Text(means="Only English."))
    assert advice(only, make_event(), language).means == means
    other = Reason(names=("R",), severity="info", family="x", zh=Text(means="只有中文。"))
    assert advice(other, make_event(), language).means == "只有中文。"


def test_of_what_nobody_described_nothing_is_told() -> None:
    assert advice(None, make_event(), "en") == Advice()
