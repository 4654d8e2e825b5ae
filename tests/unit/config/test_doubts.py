"""Warnings about rules: each true, each with what to write instead, and none where nothing is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eventer.config.load import examine
from eventer.config.types import Config
from eventer.errors import Fault

SOURCE: dict[str, Any] = {"cluster": "prod", "labels": {"team": "shop"}}


def faults(write: Any, *, rules: Any = (), match: Any = (), source: Any = None, **more: Any) -> list[Fault]:
    """Examine a file with this filter and one sink with this match. JSON is YAML."""
    file = {
        "sources": source or [SOURCE],
        "filter": list(rules),
        "sinks": {"s": {"kind": "stdout", "match": list(match)}},
        **more,
    }
    examined = examine(write(json.dumps(file, indent=1)), {"NAME": "Warning"})
    assert isinstance(examined.config, Config), examined.faults
    assert all(fault.warning and fault.line and fault.remedy for fault in examined.faults)
    return examined.faults


@pytest.mark.parametrize(
    ("rule", "path", "message", "remedy"),
    [
        ({"type": "warning"}, "type", "no event has the type warning", "did you mean Warning?"),
        ({"type": ["Normal", "!Error"]}, "type[1]", "no event has the type Error", "write Normal or Warning"),
        ({"type": "/^warn/"}, "type", "this matches none of Normal, Warning", "write Normal or Warning"),
        ({"origin": "events"}, "origin", "no event has the origin events", "did you mean event?"),
        ({"kind": "pods"}, "kind", "no object has the kind pods", "did you mean Pod?"),
        ({"kind": ["Pod", "replicaset"]}, "kind[1]", "no object has the kind replicaset", "did you mean ReplicaSet?"),
        (
            {"reason": "CrashLoopBackOff"},
            "reason",
            "CrashLoopBackOff is a state of a container, not the reason of an event",
            "did you mean BackOff? To find the word in the text, write message: /CrashLoopBackOff/",
        ),
        (
            {"namespace": "ci-*"},
            "namespace",
            "a word is compared as a whole, and * stands for itself",
            "write '/^ci-.*$/'",
        ),
        ({"state": "Firing"}, "state", "no event has the state Firing", "did you mean firing?"),
        ({"state": ["firing", "!off"]}, "state[1]", "no event has the state off", "write firing, resolved or unknown"),
        ({"state": "True"}, "state", "no event has the state True", 'did you mean status: "True"?'),
        (
            {"state": "/^FIR/"},
            "state",
            "this matches none of firing, resolved, unknown",
            "write firing, resolved or unknown",
        ),
        ({"status": "true"}, "status", "no event has the status true", 'did you mean "True"?'),
        ({"status": "firing"}, "status", "no event has the status firing", "did you mean state: firing?"),
        ({"status": "Ready"}, "status", "no event has the status Ready", 'write "True", "False" or Unknown'),
        (
            {"status": "/yes/"},
            "status",
            "this matches none of True, False, Unknown",
            'write "True", "False" or Unknown',
        ),
        (
            {"condition": "diskpressure"},
            "condition",
            "no node has the condition diskpressure",
            "did you mean DiskPressure?",
        ),
        (
            {"condition": "Disk*"},
            "condition",
            "a word is compared as a whole, and * stands for itself",
            "write '/^Disk.*$/'",
        ),
        ({"reason": "*"}, "reason", "* stands for itself here", "leave reason out to match any"),
        (
            {"namespace": "Shop"},
            "namespace",
            "no namespace can have the name Shop",
            "write small letters, digits and hyphens",
        ),
        ({"message": "OOM"}, "message", "a word must be the whole message", "write /OOM/ to find it anywhere"),
        ({"cluster": "Prod"}, "cluster", "no source has this name", "did you mean prod?"),
        ({"cluster": ["/x/", "y"]}, "cluster", "no source has this name", "the sources are prod"),
        (
            {"labels": {"team": "infra"}},
            "labels.team",
            "no source gives the label team this value",
            "labels are those of sources[].labels, not those of a pod; give them to a source",
        ),
    ],
)
def test_a_value_that_no_event_has(write: Any, rule: Any, path: str, message: str, remedy: str) -> None:
    in_filter = faults(write, rules=[{"drop": rule}])
    assert [(fault.path, fault.message, fault.remedy) for fault in in_filter] == [
        (f"filter[0].drop.{path}", message, remedy)
    ]
    # A rule beside it keeps the sink reached.
    in_match = faults(write, match=[{"reason": "BackOff", "type": "Warning"}, {**rule, "node": "n"}])
    assert [(fault.path, fault.message, fault.remedy) for fault in in_match] == [
        (f"sinks.s.match[1].{path}", message, remedy)
    ]


@pytest.mark.parametrize(
    "rule",
    [
        {"type": ["Warning", "!Normal"], "origin": "!node"},
        {"type": "${NAME}"},
        {"kind": ["Pod", "Widget", "widget", "!Node"]},
        {"reason": ["BackOff", "/CrashLoop/", "!/x*/"]},
        {"namespace": ["shop", "", "!kube-system", "/^ci-/"]},
        {"message": ["Back-off restarting failed container", "/OOM/", ""]},
        {"cluster": ["prod", "other"]},
        {"cluster": "!other"},
        {"labels": {"team": "/^s/", "stage": "!prod"}},
        {"state": ["firing", "!resolved"], "status": ["True", "Unknown", "!False"]},
        {"state": ["", "firing"], "status": "", "condition": ""},
        {"condition": ["Ready", "RaidDegraded", "!DiskPressure", "/Ready$/"]},
        {"name": "web-0", "node": "n1", "component": "kubelet"},
        {},
    ],
)
def test_a_value_that_events_have(write: Any, rule: Any) -> None:
    assert faults(write, rules=[{"keep": {"reason": "x"}}, {"drop": rule}]) == []
    assert faults(write, match=[rule]) == []


def test_a_condition_that_the_file_describes_is_known(write: Any) -> None:
    catalog = {"conditions": {"raid": {"severity": "critical"}, "ready": {"bad": "True"}}}
    assert faults(write, match=[{"condition": ["raid", "ready", "Ready"]}], catalog=catalog) == []
    (fault,) = faults(write, match=[{"condition": "Raid"}], catalog=catalog)
    assert (fault.message, fault.remedy) == ("no node has the condition Raid", "did you mean raid?")


def test_what_the_sources_do_not_tell_is_not_spoken_of(write: Any) -> None:
    rule = {"cluster": "x", "namespace": "y"}
    assert faults(write, rules=[{"drop": rule}], source=[{}]) == []
    assert faults(write, match=[rule], source=[{}]) == []


def test_a_namespace_that_no_source_reads(write: Any) -> None:
    source = [{"cluster": "a", "kubernetes": {"namespaces": ["shop"]}}]
    (fault,) = faults(write, rules=[{"drop": {"namespace": "ci"}}], source=source)
    assert (fault.path, fault.message, fault.remedy) == (
        "filter[0].drop.namespace",
        "no source reads this namespace",
        "the namespaces read are shop",
    )


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (
            [{"drop": {"type": "Normal"}}, {"drop": {"type": "Normal", "reason": "Pulled"}}],
            (
                "filter[1].drop",
                "this rule is never asked: filter[0] in line 11 matches all that it matches",
                "remove it",
            ),
        ),
        (
            [{"drop": {"namespace": "/^ci-/"}}, {"drop": {"kind": "Job"}}, {"keep": {"namespace": ["ci-1", "ci-2"]}}],
            (
                "filter[2].keep",
                "this rule is never asked: filter[0] in line 11 matches all that it matches",
                "remove it, or put it before filter[0]",
            ),
        ),
        (
            [{"drop": {"reason": "x"}}, {"drop": {}}],
            ("filter[1].drop", "this rule drops every event", "put rules before it that keep what you want"),
        ),
        (
            [{"drop": {"reason": "x"}}, {"keep": {"namespace": "shop"}}],
            (
                "filter[1].keep",
                "this rule changes nothing: what no rule matches is kept anyway",
                "add `- drop: {}` as the last rule to export only what is kept, or remove it",
            ),
        ),
        (
            [{"drop": {"origin": "eventer"}}],
            (
                "filter[0].drop",
                "the filter is not asked about what Eventer says about itself",
                "remove the rule; to keep such records from a sink, write match: [{origin: event}] there",
            ),
        ),
    ],
)
def test_a_rule_of_the_filter_that_changes_nothing_or_everything(write: Any, rules: Any, told: Any) -> None:
    (fault,) = faults(write, rules=rules)
    assert (fault.path, fault.message, fault.remedy) == told


@pytest.mark.parametrize(
    "rules",
    [
        [{"keep": {"namespace": "shop"}}, {"drop": {}}],
        [{"drop": {"type": "Normal", "reason": "Pulled"}}, {"drop": {"type": "Normal"}}],
        [{"keep": {"kind": "Node"}}, {"drop": {"kind": "/./", "type": "Normal"}}],
        [{"drop": {"reason": "/^P/"}}, {"drop": {"reason": "/^Pu/"}}],  # true, but nobody can know
    ],
)
def test_a_filter_in_which_every_rule_says_something(write: Any, rules: Any) -> None:
    assert faults(write, rules=rules) == []


@pytest.mark.parametrize(
    ("rules", "match", "message", "remedy"),
    [
        (
            [{"drop": {"reason": "x"}}, {"drop": {"type": "Normal"}}],
            [{"type": "Normal", "reason": "Pulled"}, {"type": "!Warning"}],
            "nothing reaches this sink: filter[1] in line 16 drops all that match[0] asks for",
            "put a keep rule before the one that drops, or remove the sink",
        ),
        (
            [{"keep": {"namespace": "shop"}}, {"drop": {}}],
            [{"namespace": ["ci", "dev"]}],
            "nothing reaches this sink: filter[1] in line 16 drops all that match[0] asks for",
            "put a keep rule before the one that drops, or remove the sink",
        ),
        (
            [],
            [{"type": "Warning", "origin": "node", "cluster": "test"}],
            "nothing reaches this sink: no event matches match[0]",
            "correct match, or let the filter keep what this sink is for",
        ),
    ],
)
def test_a_sink_that_nothing_reaches(write: Any, rules: Any, match: Any, message: str, remedy: str) -> None:
    found = [fault for fault in faults(write, rules=rules, match=match) if fault.path == "sinks.s.match"]
    assert [(fault.message, fault.remedy) for fault in found] == [(message, remedy)]


@pytest.mark.parametrize(
    ("rules", "match"),
    [
        ([{"drop": {"type": "Normal"}}], [{"type": "Normal"}, {"type": "Warning"}]),
        ([{"keep": {"namespace": "/^s/"}}, {"drop": {"type": "Normal"}}], [{"type": "Normal", "namespace": "shop"}]),
        ([{"keep": {"reason": "x"}}, {"drop": {}}], [{"origin": "eventer"}]),
        ([{"keep": {"reason": "x"}}, {"drop": {}}], []),
        ([{"keep": {"reason": "x"}}, {"drop": {}}], [{"type": "Warning"}]),  # gap records are warnings
    ],
)
def test_a_sink_that_something_reaches(write: Any, rules: Any, match: Any) -> None:
    assert faults(write, rules=rules, match=match) == []


def test_what_comes_after_a_rule_that_cannot_be_read_is_not_judged(write: Any) -> None:
    text = "sources: [{}]\nfilter: [{drop: {}, kep: 1}, {keep: {reson: x}}]\nsinks: {s: {kind: stdout}}\n"
    assert not any(fault.warning for fault in examine(write(text), {}).faults)
