"""What was looked up, where people use it: in layouts, templates, rules, and in the lines that stores get."""

from __future__ import annotations

import json

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from eventer.about import NOTHING, About, NamespaceFacts, NodeFacts, Owner, PodFacts
from eventer.config.route import route
from eventer.event import Event, decode_lines, encode_lines
from eventer.layout import Column, Layout
from eventer.match import Rule, RuleFault, Verdicts
from eventer.template import Template
from tests.helpers.lookups import event_of, room
from tests.helpers.objects import Objects
from tests.helpers.sinks import batch_of, make_event
from tests.helpers.virtual import in_virtual_time

ABOUT = About(
    enriched="ok",
    pod=PodFacts(node="n1", phase="Running", labels={"app": "web"}, annotations={"x.example.com/y": "z"}),
    owner=Owner(kind="Deployment", name="web", api_version="apps/v1", chain=["ReplicaSet/web-1", "Deployment/web"]),
    namespace=NamespaceFacts(labels={"team": "shop"}),
    node=NodeFacts(name="n1", labels={"topology.kubernetes.io/zone": "a"}, zone="a", pool="general"),
    log='panic: "out"\nof memory',
)
ENRICHED = msgspec.structs.replace(make_event(), about=ABOUT)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LABELS = st.dictionaries(TEXTS, TEXTS, max_size=3)
FACTS = st.builds(
    About,
    enriched=st.sampled_from(["ok", "late"]),
    pod=st.builds(PodFacts, node=TEXTS, phase=TEXTS, labels=LABELS, annotations=LABELS),
    owner=st.builds(Owner, kind=TEXTS, name=TEXTS, chain=st.lists(TEXTS, max_size=3)),
    namespace=st.builds(NamespaceFacts, labels=LABELS),
    node=st.builds(NodeFacts, name=TEXTS, labels=LABELS, zone=TEXTS),
    log=TEXTS,
    unknown=st.lists(st.sampled_from(["owner", "node"]), max_size=2),
)


@given(FACTS)
def test_it_comes_through_a_line_as_it_is(about: About) -> None:
    (read,) = decode_lines(encode_lines([msgspec.structs.replace(make_event(), about=about)]))
    assert read.about == about


def test_a_stored_line_says_nothing_of_it() -> None:
    (line,) = encode_lines([make_event()])
    assert b'"about"' not in line
    assert decode_lines([line])[0].about is NOTHING


@in_virtual_time
async def test_the_line_is_the_stored_one_with_one_more_field() -> None:
    objects = Objects()
    made = objects.add("Deployment", "web", api="apps/v1")
    batch = batch_of([event_of(made)])
    async with room(objects, "owner") as look_up:
        enriched = await look_up.enricher(batch)
        again = await look_up.enricher(enriched)
    (before,), (after,) = batch.lines, enriched.lines
    assert after.startswith(before[:-1] + b',"about":{')
    assert json.loads(after).keys() - json.loads(before).keys() == {"about"}
    assert again.lines[0] == after and again.lines[0].count(b'"about"') == 1
    assert batch.events[0].about is NOTHING  # what others hold is as it was


def test_layouts_name_single_fields() -> None:
    names = {
        "owner": "about.owner.name", "team": "about.namespace.labels.team", "app": "about.pod.labels.app",
        "zone": "about.node.labels.topology.kubernetes.io/zone", "note": "about.pod.annotations.x.example.com/y",
        "log": "about.log", "went": "about.enriched",
    }  # fmt: skip
    layout = Layout({name: Column.parse(text) for name, text in names.items()})
    assert layout.document(ENRICHED) == {
        "owner": "web", "team": "shop", "app": "web", "zone": "a", "note": "z", "log": ABOUT.log, "went": "ok",
    }  # fmt: skip
    assert layout.document(make_event()) == {}
    assert Layout({"about": Column.parse("about")}).document(make_event()) == {}


@pytest.mark.parametrize("text", ["about.owner", "about.owners.name", "about.pod.labels.", "about.node.size", "about."])
def test_layouts_name_no_other_fields(text: str) -> None:
    with pytest.raises(ValueError, match=r"about\.owner\.name"):
        Column.parse(text)


def test_templates_see_it_and_need_no_guard() -> None:
    text = "{{ event.about.owner.kind }}/{{ event.about.owner.name }} {{ event.about.namespace.labels.team }} "
    template = Template(text + '{{ event.about.node.labels["topology.kubernetes.io/zone"] }}')
    assert template.render(ENRICHED) == "Deployment/web shop a"
    assert template.render(make_event()) == "/  "


RULES = [
    ({"owner": "Deployment/web"}, True),
    ({"owner": "/^CronJob\\//"}, False),
    ({"owner": "!Deployment/web"}, False),
    ({"namespace.labels": {"team": ["shop", "pay"]}}, True),
    ({"namespace.labels": {"team": "pay"}}, False),
    ({"node.labels": {"topology.kubernetes.io/zone": "a"}, "namespace.labels": {"team": "shop"}}, True),
    ({"node.labels": {"absent": "x"}}, False),
    ({"node.labels": {"absent": "!x"}}, True),
    ({"type": "Warning", "owner": "/web$/", "name": "/^web/"}, True),
]


@pytest.mark.parametrize(("mapping", "holds"), RULES)
def test_rules_go_by_it(mapping: dict[str, object], holds: bool) -> None:
    rule = Rule.parse(mapping)
    assert rule.matches(ENRICHED) is holds
    assert Verdicts([rule])([ENRICHED]) == [0 if holds else -1]
    assert all(part.holds for part in rule.parts(ENRICHED)) is holds
    assert Rule.parse(yaml.safe_load(str(rule))) == rule
    # What is not known is sent rather than left out.
    assert rule.matches(make_event())
    late = About(enriched="late", unknown=["owner", "namespace", "node"])
    assert rule.matches(msgspec.structs.replace(make_event(), about=late))


def test_what_is_known_to_be_empty_is_empty() -> None:
    bare: Event = msgspec.structs.replace(make_event(), about=About(enriched="ok"))
    assert not Rule.parse({"owner": "Deployment/web"}).matches(bare)
    assert Rule.parse({"node.labels": {"pool": "!gpu"}}).matches(bare)


def test_labels_take_a_mapping() -> None:
    with pytest.raises(RuleFault, match=r"node\.labels takes a mapping of names to values"):
        Rule.parse({"node.labels": "gpu"})


def test_explain_says_that_it_was_not_looked_up() -> None:
    (part,) = Rule.parse({"owner": "Deployment/web"}).parts(make_event())
    assert part.holds and part.text == "not looked up"
    assert route([], {}, make_event()).kept
