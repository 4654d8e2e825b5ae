"""What is said of rules without events is true of every event."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventer.config.reach import CLOSED, ORIGINS, TYPES, Covering, Origins, apart, could_be_own, covers
from eventer.event import Event, Origin, own_record
from eventer.match import Rule
from tests.helpers.sinks import make_event

WORDS = ["a", "b", "ab"]
VALUE = st.sampled_from([sign + value for sign in ("", "!") for value in [*WORDS, "/a/", "/^b$/", "/./"]])
TEST = VALUE | st.lists(VALUE, min_size=1, max_size=3)


def closed(words: tuple[str, ...]) -> st.SearchStrategy[Any]:
    value = st.sampled_from([sign + word for sign in ("", "!") for word in words])
    return value | st.lists(value, min_size=1, max_size=2)


STATES = tuple(CLOSED["state"])
RULE = st.fixed_dictionaries(
    {},
    optional={
        "type": closed(TYPES),
        "origin": closed(ORIGINS),
        "state": closed(STATES),
        "reason": TEST,
        "name": TEST,
        "labels": st.dictionaries(st.just("x"), TEST),
    },
).map(Rule.parse)
EVENT = st.builds(
    make_event,
    type=st.sampled_from(TYPES),
    origin=st.sampled_from(list(Origin)),
    state=st.sampled_from(STATES),
    reason=st.sampled_from(WORDS),
    name=st.sampled_from(WORDS),
    labels=st.dictionaries(st.just("x"), st.sampled_from(WORDS)),
)

SPACE = [
    make_event(type=kind, origin=origin, state=state, reason=reason, name=name, labels={"x": label})
    for kind in TYPES for origin in Origin for state in STATES for reason in WORDS for name in WORDS for label in WORDS
]  # fmt: skip


@given(wide=RULE, narrow=RULE, events=st.lists(EVENT, min_size=1, max_size=10))
@settings(max_examples=150, deadline=None)
def test_it_is_never_wrong(wide: Rule, narrow: Rule, events: list[Event]) -> None:
    covering, separate = covers(wide, narrow), apart(wide, narrow)
    for event in events:
        if covering and narrow.matches(event):
            assert wide.matches(event)
        if separate:
            assert not (wide.matches(event) and narrow.matches(event))


@given(rules=st.lists(RULE, max_size=12), narrow=RULE)
@settings(max_examples=150, deadline=None)
def test_many_rules_at_once_say_what_each_says_alone(rules: list[Rule], narrow: Rule) -> None:
    covering = Covering()
    for at, rule in enumerate(rules):
        covering.add(at, rule)
    alone = next((at for at, rule in enumerate(rules) if covers(rule, narrow)), None)
    # Of what matches nothing, nothing need be said.
    assert covering.first(narrow) == alone or not any(map(narrow.matches, SPACE))


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ({}, {"type": "Normal"}, True),
        ({"type": "Normal"}, {}, False),
        ({"type": "Normal"}, {"type": "Normal", "reason": "Pulled"}, True),
        ({"type": "!Warning"}, {"type": "Normal"}, True),
        ({"type": "Normal"}, {"type": "!Warning"}, True),
        ({"state": ["firing", "unknown"]}, {"state": "/^(firing|unknown)$/"}, True),
        ({"state": ["firing", "unknown"]}, {"state": "!resolved"}, False),
        ({"status": ["False", "Unknown", ""]}, {"status": "!True"}, False),
        ({"reason": ["a", "b"]}, {"reason": "a"}, True),
        ({"reason": "a"}, {"reason": ["a", "b"]}, False),
        ({"reason": "/^P/"}, {"reason": ["Pulled", "Pulling"]}, True),
        ({"reason": "/^P/"}, {"reason": ["Pulled", "Failed"]}, False),
        ({"reason": ["/^P/", "Failed"]}, {"reason": ["/^P/"]}, True),
        ({"reason": "/^P/"}, {"reason": "/^Pu/"}, False),
        ({"reason": "!a"}, {"reason": ["!a", "!b"]}, True),
        ({"reason": ["!a", "!b"]}, {"reason": "!a"}, False),
        ({"reason": ["!a", "!/x/"]}, {"reason": "!a"}, False),
        ({"reason": "!/x/"}, {"reason": ["!a", "!/x/"]}, True),
        ({"reason": "!a"}, {"reason": ["a", "b", "!a"]}, True),
        ({"labels": {"team": "shop"}}, {"labels": {"team": "shop", "x": "y"}}, True),
        ({"labels": {"team": "shop"}}, {"labels": {"team": "infra"}}, False),
    ],
)
def test_when_one_rule_covers_another(wide: Any, narrow: Any, expected: bool) -> None:
    assert covers(Rule.parse(wide), Rule.parse(narrow)) is expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({}, {"type": "Normal"}, False),
        ({"type": "Normal"}, {"type": "Warning"}, True),
        ({"type": "!Normal"}, {"type": "!Warning"}, True),
        ({"state": "firing"}, {"state": "resolved"}, True),
        ({"state": "!firing"}, {"state": "!resolved"}, False),
        ({"condition": "Ready"}, {"condition": "DiskPressure"}, True),
        ({"namespace": "a"}, {"namespace": ["b", "c"]}, True),
        ({"namespace": "a"}, {"namespace": "/^a/"}, False),
        ({"namespace": "a"}, {"namespace": "/^b/"}, True),
        ({"namespace": "a"}, {"name": "b"}, False),
        ({"namespace": "/a/"}, {"namespace": "/b/"}, False),
        ({"labels": {"team": "a"}}, {"labels": {"team": "b"}}, True),
    ],
)
def test_when_two_rules_never_meet(one: Any, other: Any, expected: bool) -> None:
    assert apart(Rule.parse(one), Rule.parse(other)) is expected
    assert apart(Rule.parse(other), Rule.parse(one)) is expected


def test_own_records_are_known_by_what_they_always_have() -> None:
    record = own_record(datetime(2026, 3, 1, tzinfo=UTC), "GapDamaged", "x")
    for field in ("origin", "type", "kind", "namespace", "name", "component", "node", "condition", "status", "state"):
        text = str(getattr(record, field))
        assert could_be_own(Rule.parse({field: text}))
        assert not could_be_own(Rule.parse({field: f"!{text}"}))
    assert could_be_own(Rule.parse({"reason": "x", "message": "y", "cluster": "z"}))
    assert not could_be_own(Rule.parse({"labels": {"team": "shop"}}))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({}, True),
        ({"type": "warning"}, False),
        ({"type": "/warn/"}, False),
        ({"state": "fired"}, False),
        ({"state": "!firing"}, True),
        ({"status": "Failed"}, True),
        ({"cluster": "prod"}, True),
        ({"cluster": "Prod"}, False),
        ({"namespace": "/^sh/"}, True),
        ({"namespace": "ci"}, False),
        ({"labels": {"team": "shop"}}, True),
        ({"labels": {"stage": "!prod"}}, True),
        ({"labels": {"stage": "prod"}}, False),
    ],
)
def test_what_a_source_can_bring(rule: Any, expected: bool) -> None:
    source = Origins(cluster="prod", labels={"team": "shop"}, namespaces=["shop"])
    assert source.admits(Rule.parse(rule)) is expected
    unknown = Origins(cluster=None, labels={"team": "shop"}, namespaces=[])
    named = {field for field in rule if field in ("cluster", "namespace")}
    assert unknown.admits(Rule.parse(rule)) is (expected or bool(named))
