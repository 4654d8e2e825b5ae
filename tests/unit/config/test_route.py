"""What people are told of the way of an event is the way that it takes."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventer.config.route import route
from eventer.config.types import FilterRule
from eventer.event import Origin, own_record
from eventer.match import Rule, Verdicts
from eventer.sink import SinkConfig
from tests.helpers.intakes import state, stored, taking, watched
from tests.helpers.memory_sink import MemorySink, config, running, settled
from tests.helpers.sinks import make_event
from tests.helpers.virtual import BEGIN, in_virtual_time

WORDS = ["a", "b", "ab", ""]
VALUE = st.sampled_from([sign + value for sign in ("", "!") for value in [*WORDS, "/a/", "/^b$/", "/./", "/^$/"]])
TEST = VALUE | st.lists(VALUE, min_size=1, max_size=3)
FIELDS = ["cluster", "type", "reason", "kind", "namespace", "component", "name", "node", "message"]
RULE = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(FIELDS, TEST)
    | {"origin": st.sampled_from(["event", "node", "eventer", "!event", "!eventer"])}
    | {"labels": st.dictionaries(st.sampled_from(["x", "y"]), TEST, max_size=2)},
).map(Rule.parse)
FILTER_RULE = st.builds(lambda rule, keeps: FilterRule(**{"keep" if keeps else "drop": rule}), RULE, st.booleans())
EVENT = st.builds(
    make_event,
    origin=st.sampled_from(list(Origin)),
    labels=st.dictionaries(st.sampled_from(["x", "y"]), st.sampled_from(WORDS)),
    **{field: st.sampled_from(WORDS) for field in FIELDS},
)


@given(
    rules=st.lists(FILTER_RULE, max_size=8),
    matches=st.lists(st.lists(RULE, max_size=4), min_size=1, max_size=4),
    events=st.lists(EVENT, min_size=1, max_size=10),
)
@settings(max_examples=100, deadline=None)
def test_it_agrees_with_how_intake_and_runners_decide(rules: Any, matches: Any, events: Any) -> None:
    sinks = {f"s{number}": SinkConfig(kind="x", match=match) for number, match in enumerate(matches)}
    decided = Verdicts([rule.rule for rule in rules])(events)
    wanted = {name: Verdicts(sink.match)(events) for name, sink in sinks.items()}
    for index, event in enumerate(events):
        way = route(rules, sinks, event)
        own = event.origin is Origin.EVENTER  # stored by the journal itself, past intake
        kept = own or decided[index] < 0 or rules[decided[index]].keeps
        assert way.kept is kept
        decider = -1 if way.decider is None else way.decider.index
        assert decider == (-1 if own else decided[index])
        for answer in way.answers:
            verdict = wanted[answer.name][index]
            assert answer.matches is (not sinks[answer.name].match or verdict >= 0)
            assert [each.index for each in answer.asked if each.matches] == ([verdict] if verdict >= 0 else [])
        assert way.sinks == [name for name in sinks if kept and (not sinks[name].match or wanted[name][index] >= 0)]


FILTER = [
    FilterRule(keep=Rule.parse({"namespace": "kube-system", "type": "Warning"})),
    FilterRule(drop=Rule.parse({"type": "Normal", "reason": ["Pulled", "/^Creat/"]})),
    FilterRule(keep=Rule.parse({"message": "/panic/"})),
    FilterRule(drop=Rule.parse({"namespace": ["!shop", "!kube-system"]})),
]
WANTED = [{"type": "Warning", "name": "!/-1$/"}, {"origin": "eventer"}]
MATCH = [Rule.parse(rule) for rule in WANTED]


@in_virtual_time
async def test_it_agrees_with_the_daemon(tmp_path: Path) -> None:
    table = product(
        ["Normal", "Warning"],
        ["Pulled", "Created", "BackOff"],
        ["shop", "kube-system", "ci"],
        ["ok", "a panic"],
        [1, 2],
    )
    events = [
        state(f"u{number}", number + 1, type=kind, reason=reason, namespace=namespace, message=text, name=f"web-{n}")
        for number, (kind, reason, namespace, text, n) in enumerate(table)
    ]
    gap = own_record(BEGIN, "GapDamaged", "Something was lost.")
    sink = MemorySink()
    async with taking(tmp_path, *FILTER) as (intake, journal), running(journal, sink, config(*WANTED)):
        await intake.take(watched(*events))
        await intake.flush()
        await intake.record(gap)
        await settled(journal, journal.head)
        kept = {event.entity for event in await stored(journal) if event.origin is Origin.EVENT}
        got = sorted(sink.arrived)
    ways = {event.entity: route(FILTER, {"s": SinkConfig(kind="x", match=MATCH)}, event) for event in [*events, gap]}
    assert kept == {entity for entity, way in ways.items() if way.kept and not way.own}
    expected = [event.name for event in [*events, gap] if ways[event.entity].sinks == ["s"]]
    assert got == sorted(expected)
    assert 0 < len(expected) < len(kept) < len(events)


@pytest.mark.parametrize(("rules", "asked"), [([], 0), (FILTER, 2)])
def test_rules_are_asked_up_to_the_first_that_matches(rules: list[FilterRule], asked: int) -> None:
    way = route(rules, {}, make_event(type="Normal", reason="Pulled"))
    assert len(way.asked) == asked
    assert way.kept is (not rules)


def test_own_records_pass_the_filter_unasked() -> None:
    way = route([FilterRule(drop=Rule())], {"s": SinkConfig(kind="x")}, own_record(BEGIN, "GapDamaged", "x"))
    assert (way.own, way.kept, way.asked, way.sinks) == (True, True, [], ["s"])
