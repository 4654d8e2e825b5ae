"""The section `catalog`: the rules of the file follow it, and what is wrong in it is told."""

from __future__ import annotations

from typing import Any

import pytest

from eventer.catalog import Catalog, Reason
from eventer.config.load import examine, load
from eventer.config.route import route
from eventer.config.samples import Sample, to_event

CATALOG = """
catalog:
  reasons: {BackOff: {severity: critical}, PaymentRefused: {family: payments}}
  conditions: {RaidReady: {bad: "True", severity: critical}}
"""
FILE = """
sources: [{cluster: prod}]
filter: [{drop: {severity: info}}]
sinks:
  chat: {kind: stdout, match: [{severity: critical}]}
  shop: {kind: stdout, match: [{family: payments}]}
"""


def sinks_of(config: Any, **fields: str) -> list[str]:
    event = to_event(Sample(**fields), config.sources)
    return route(config.filter, config.sinks, event).sinks


def test_rules_follow_the_catalog_of_the_file(write: Any) -> None:
    config = load(write(FILE + CATALOG), {}).config
    assert sinks_of(config, type="Warning", reason="BackOff", kind="Pod") == ["chat"]
    assert sinks_of(config, type="Warning", reason="PaymentRefused") == ["shop"]
    assert sinks_of(config, type="Normal", reason="PaymentRefused") == []
    plain = load(write(FILE), {}).config
    assert sinks_of(plain, type="Warning", reason="BackOff", kind="Pod") == []
    assert sinks_of(plain, type="Normal", reason="NodeNotReady", kind="Node") == ["chat"]


def test_a_sink_is_the_same_only_under_the_same_catalog(write: Any) -> None:
    """A reload restarts the sinks that have changed: also those whose rules mean something else now."""
    one, again, other = (load(write(text), {}).config for text in (FILE, FILE, FILE + CATALOG))
    assert one.sinks == again.sinks
    assert one.sinks["chat"] != other.sinks["chat"]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("{reasons: {BackOff: {severity: fatal}}}", "catalog.reasons.BackOff.severity"),
        ("{reasons: {BackOff: {famly: x}}}", "catalog.reasons.BackOff.famly"),
        ("{reasons: {BackOff: {family: Crash Loop}}}", "catalog.reasons.BackOff.family"),
        ("{conditions: {RaidReady: {bad: Unknown}}}", "catalog.conditions.RaidReady.bad"),
    ],
)
def test_what_is_wrong_in_it_is_told(write: Any, text: str, path: str) -> None:
    faults = examine(write(f"{FILE}catalog: {text}\n"), {}).faults
    assert [fault.path for fault in faults if not fault.warning] == [path]
    assert all(fault.message and fault.remedy and fault.line for fault in faults)


@pytest.mark.parametrize(
    ("rule", "message", "remedy"),
    [
        ("{severity: Critical}", "no event has the severity Critical", "did you mean critical?"),
        ("{family: crash-loop}", "no reason has the family crash-loop", "did you mean crash_loop?"),
        ("{family: zzz}", "no reason has the family zzz", "docs/catalog.md lists the families"),
        ("{family: '/^zzz/'}", None, None),
        ("{family: payments}", None, None),
        ("{family: crash_loop, severity: warning}", None, None),
    ],
)
def test_values_that_nothing_has_are_doubted(write: Any, rule: str, message: str | None, remedy: str | None) -> None:
    text = f"sources: [{{}}]\nsinks: {{chat: {{kind: stdout, match: [{rule}]}}}}\n{CATALOG}"
    faults = examine(write(text), {}).faults
    told = [(fault.message, fault.remedy) for fault in faults if fault.path != "sinks.chat.match"]
    assert told == ([] if message is None else [(message, remedy)])
    assert all(fault.warning for fault in faults)


def test_rules_that_ask_for_severity_are_compared_with_others(write: Any) -> None:
    """A rule for some severities covers none without; all three severities are all there are."""
    text = "sources: [{}]\nfilter: [{drop: {severity: info}}, {drop: {type: Normal}}, {drop: {severity: info, kind: Pod}}]\n"
    faults = examine(write(text + "sinks: {a: {kind: stdout}}\n"), {}).faults
    assert [fault.path for fault in faults] == ["filter[2].drop"]


def test_patience_is_changed_like_all_else(write: Any) -> None:
    file = "catalog: {reasons: {Unhealthy: {patience: 1m}}}\nsources: [{cluster: prod}]\nsinks: {s: {kind: stdout}}\n"
    config = load(write(file), {}).config
    event = to_event(Sample(reason="Unhealthy", type="Warning", kind="Pod"), config.sources)
    known = [catalog.of(event) for catalog in (Catalog(), Catalog(config.catalog))]
    assert [each.patience for each in known if isinstance(each, Reason)] == [300, 60]
