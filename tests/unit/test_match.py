"""The matcher: what a rule means, and that many rules at once mean what each of them means alone."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from eventer.event import Event, Origin
from eventer.match import EVENT_FIELDS, FIELDS, MEANT, OPEN, SHARED, Part, Rule, RuleFault, Test, Verdicts
from eventer.patterns import compile_pattern
from tests.helpers.sinks import make_event

EVENT = make_event(0, labels={"team": "shop", "empty": ""})
"""Warning BackOff of the Pod shop/web-0, by the kubelet of node-1."""
CHANGE = make_event(origin=Origin.NODE, kind="Node", condition="Ready", status="False", state="firing")
"""The node is not ready."""


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        ({}, True),
        ({"type": "Warning"}, True),
        ({"type": "warning"}, False),
        ({"type": "Warn"}, False),
        ({"reason": ["Failed", "BackOff"]}, True),
        ({"reason": ["Failed"]}, False),
        ({"reason": "/Back/"}, True),
        ({"reason": "/^Off/"}, False),
        ({"reason": "!BackOff"}, False),
        ({"reason": "!Failed"}, True),
        ({"reason": "!/Back/"}, False),
        ({"reason": ["!Failed", "!Pulled"]}, True),
        ({"reason": ["/Off$/", "!BackOff"]}, False),
        ({"reason": ["BackOff", "!/^Front/"]}, True),
        ({"type": "Warning", "reason": "Failed"}, False),
        ({"origin": "event"}, True),
        ({"origin": "node"}, False),
        ({"name": "web-0", "namespace": "shop"}, True),
        ({"message": "/restarting failed/"}, True),
        ({"message": "Back-off"}, False),
        ({"node": ["node-1", "node-2"]}, True),
        ({"labels": {"team": "shop"}}, True),
        ({"labels": {"team": "!shop"}}, False),
        ({"labels": {"stage": "!prod"}}, True),
        ({"labels": {"stage": ""}}, True),
        ({"labels": {"team": "/./", "stage": "/./"}}, False),
        ({"reason": "/"}, False),
        ({"reason": "//"}, True),
        ({"reason": "!"}, True),
    ],
)
def test_what_a_rule_means(rule: dict[str, Any], matches: bool) -> None:
    assert Rule.parse(rule).matches(EVENT) is matches
    assert Verdicts([Rule.parse(rule)])([EVENT]) == [0 if matches else -1]


def test_every_field_of_the_language_is_a_field_of_the_event() -> None:
    for field in (*SHARED, *OPEN):
        value = str(getattr(CHANGE, field))
        assert value
        assert Rule.parse({field: value}).matches(CHANGE)
        assert not Rule.parse({field: f"!{value}"}).matches(CHANGE)
    assert set(EVENT_FIELDS) == {*SHARED, *OPEN, "labels"}
    assert set(FIELDS) == {*EVENT_FIELDS, *MEANT}


@pytest.mark.parametrize(
    ("rule", "change", "pod"),
    [
        ({"state": "firing"}, True, False),
        ({"state": ["firing", "resolved"]}, True, False),
        ({"state": "!resolved"}, True, True),
        ({"state": ""}, False, True),
        ({"condition": "Ready", "status": ["False", "Unknown"]}, True, False),
        ({"condition": "Ready", "status": "True"}, False, False),
        ({"condition": "/./"}, True, False),
        ({"condition": "ready"}, False, False),
    ],
)
def test_what_rules_say_of_conditions(rule: dict[str, Any], change: bool, pod: bool) -> None:
    assert [Rule.parse(rule).matches(event) for event in (CHANGE, EVENT)] == [change, pod]
    verdicts = Verdicts([Rule.parse(rule)])
    for _ in range(2):  # the second time from memory
        assert verdicts([CHANGE, EVENT]) == [0 if matches else -1 for matches in (change, pod)]


def test_all_faults_of_a_rule_are_told_at_once_with_their_places() -> None:
    with pytest.raises(RuleFault) as caught:
        Rule.parse({"resaon": "x", "type": [], "name": ["a", 5], "message": "/(/", "labels": {"team": None}})
    places = [path for path, _, _ in caught.value.faults]
    assert places == [("resaon",), ("type",), ("name", 1), ("message",), ("labels", "team")]
    assert all(message and remedy for _, message, remedy in caught.value.faults)
    with pytest.raises(RuleFault):
        Rule.parse({"labels": ["team"]})


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+", "(a*)*b", "(a+){10}", "((a+)b?)*", "(?:a?)+", "(a|aa)+$", "(a{1,2})+$", "(a?a)*$", "(?:a|b|ab)+$",
        "(?:fo|FO)+", r"(?:\w|\d\d)+", "(?:|a)+", "(.*,)*x", "(?:(?:ab?)*c)*", "(a+|b)*", "(x+x+)+y",
    ],
)  # fmt: skip
def test_patterns_that_can_take_for_ever_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="for ever"):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "", "^web-[0-9a-f]{5,10}$", "a.*b", r"(\d{1,3}\.){3}\d{1,3}", "(?:foo|bar)+", "(a|b)*c", "(ab)+", "(x+)?y",
        "(?i)oom|out of memory", r"\bkill(ed)?\b", "(?:a|b){1,9}", "[^/]+/[^/]+", "(?=a+)b", "(?P<x>y+)z",
    ],
)  # fmt: skip
def test_patterns_that_people_write_are_taken(pattern: str) -> None:
    assert compile_pattern(pattern).compiled == re.compile(pattern)


@pytest.mark.parametrize("pattern", ["(", "[", "a{2,1}", "(?P<x", "*", "(?<!a+)b", "(" * 5000])
def test_what_is_no_pattern_is_refused_in_words(pattern: str) -> None:
    with pytest.raises(ValueError, match="regular expression"):
        compile_pattern(pattern)


WORDS = ["a", "b", "ab", "", "aa", "B", "No"]
VALUES = st.sampled_from(
    [prefix + value for prefix in ("", "!") for value in [*WORDS, "/a/", "/^b$/", "/a|b/", "/./", "/^$/"]]
)
PARTS = st.one_of(VALUES, st.lists(VALUES, min_size=1, max_size=3))
TEXT_FIELDS = [field for field in (*SHARED, *OPEN) if field != "origin"]
RULES = st.dictionaries(
    st.sampled_from([*TEXT_FIELDS, "labels"]), st.none(), max_size=4
).flatmap(
    lambda fields: st.fixed_dictionaries(
        {
            field: st.dictionaries(st.sampled_from(["x", "y"]), PARTS, max_size=2) if field == "labels" else PARTS
            for field in fields
        }
    )
)  # fmt: skip
EVENTS = st.builds(
    make_event,
    **{field: st.sampled_from(WORDS) for field in TEXT_FIELDS},
    labels=st.dictionaries(st.sampled_from(["x", "y"]), st.sampled_from(WORDS)),
)


def _naively(rule: dict[str, Any], event: Event) -> bool:
    """What the documentation says, in the plainest way."""

    def holds(text: str, wanted: Any) -> bool:
        values = wanted if isinstance(wanted, list) else [wanted]

        def one(value: str) -> bool:
            if len(value) >= 2 and value.startswith("/") and value.endswith("/"):
                return re.search(value[1:-1], text) is not None
            return value == text

        refused = [value[1:] for value in values if value.startswith("!")]
        accepted = [value for value in values if not value.startswith("!")]
        return not any(map(one, refused)) and (not accepted or any(map(one, accepted)))

    return all(
        all(holds(event.labels.get(label, ""), value) for label, value in wanted.items())
        if field == "labels"
        else holds(getattr(event, field), wanted)
        for field, wanted in rule.items()
    )


@given(
    rules=st.lists(RULES, max_size=12).map(lambda few: (few * 50)[:50]) | st.lists(RULES, max_size=50),
    events=st.lists(EVENTS, min_size=1, max_size=20),
)
@settings(max_examples=150, deadline=None)
def test_fifty_rules_say_what_each_of_them_says_alone(rules: list[dict[str, Any]], events: list[Event]) -> None:
    verdicts = Verdicts([Rule.parse(rule) for rule in rules])
    expected = [next((i for i, rule in enumerate(rules) if _naively(rule, event)), -1) for event in events]
    assert verdicts(events) == expected
    assert verdicts(events[::-1]) == expected[::-1]  # now from memory


@given(rule=RULES, event=EVENTS)
@settings(max_examples=300, deadline=None)
def test_what_a_rule_says_field_by_field_is_what_it_says_as_a_whole(rule: dict[str, Any], event: Event) -> None:
    parsed = Rule.parse(rule)
    parts = parsed.parts(event)
    assert all(part.holds for part in parts) is parsed.matches(event)
    asked = {f"labels.{label}" for label in rule.get("labels", {})} | (set(rule) - {"labels"})
    assert {part.field for part in parts} == asked
    for part in parts:
        assert part.by == "" or part.by in (part.wanted if part.holds else part.refused)


@given(rule=RULES)
@settings(max_examples=200, deadline=None)
def test_a_rule_as_text_is_the_rule(rule: dict[str, Any]) -> None:
    parsed = Rule.parse(rule)
    again = Rule.parse(yaml.safe_load(str(parsed)))
    assert {field: _sets(test) for field, test in _tests(again).items()} == {
        field: _sets(test) for field, test in _tests(parsed).items()
    }


def _tests(rule: Rule) -> dict[str, Test]:
    return {**rule.shared, **rule.open, **{f"labels.{label}": test for label, test in rule.labels.items()}}


def _sets(test: Test) -> tuple[frozenset[str], ...]:
    return frozenset(test.wanted), frozenset(test.refused)


@pytest.mark.parametrize(
    ("rule", "part"),
    [
        ({"reason": ["BackOff", "/x/"]}, Part("reason", "BackOff", True, "BackOff", ("BackOff", "/x/"), ())),
        ({"reason": "/Off$/"}, Part("reason", "BackOff", True, "/Off$/", ("/Off$/",), ())),
        ({"reason": "Failed"}, Part("reason", "BackOff", False, "", ("Failed",), ())),
        ({"reason": ["!BackOff"]}, Part("reason", "BackOff", False, "BackOff", (), ("BackOff",))),
        ({"reason": ["!/^B/", "/x/"]}, Part("reason", "BackOff", False, "/^B/", ("/x/",), ("/^B/",))),
        ({"reason": "!Failed"}, Part("reason", "BackOff", True, "", (), ("Failed",))),
        ({"labels": {"team": "infra"}}, Part("labels.team", "shop", False, "", ("infra",), ())),
    ],
)
def test_a_field_tells_what_decided(rule: dict[str, Any], part: Part) -> None:
    assert Rule.parse(rule).parts(EVENT) == [part]


def test_a_rule_is_written_as_in_a_configuration() -> None:
    rule = Rule.parse({"type": "Warning", "reason": ["Failed", "!/it's/"], "name": "!", "labels": {"a b": "x: y"}})
    assert str(rule) == "{type: Warning, reason: [Failed, '!/it''s/'], name: '!', labels: {a b: 'x: y'}}"
    assert str(Rule()) == "{}"
    rule = Rule.parse({"condition": "Ready", "status": ["True", "no", "Nobody"]})
    assert str(rule) == "{condition: Ready, status: [Nobody, 'True', 'no']}"


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventer.match.REMEMBERED", 10)
    verdicts = Verdicts([Rule.parse({"reason": "/7$/"})])
    for number in range(100):
        assert verdicts([make_event(reason=f"R{number}")]) == [0 if number % 10 == 7 else -1]
    assert len(verdicts._memory) <= 11


def test_without_rules_nothing_matches_and_nothing_is_looked_at() -> None:
    assert Verdicts([])([EVENT, EVENT]) == [-1, -1]


def test_only_the_beginning_of_a_long_text_is_searched() -> None:
    far = make_event(message="x" * 5000 + "needle")
    assert not Rule.parse({"message": "/needle/"}).matches(far)
    began = time.process_time()
    assert not Rule.parse({"message": "/a.*b/"}).matches(make_event(message="a" * 1_000_000))
    assert time.process_time() - began < 20  # of a text of that length it would take hours
