"""Rules of inhibition in a configuration: what they become, and which are refused with a way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventer.alerting.nodes import inhibits
from eventer.config.load import load
from eventer.config.types import Config
from eventer.errors import ConfigError


def loaded(tmp_path: Path, inhibit: str) -> Config:
    path = tmp_path / "eventer.yaml"
    path.write_text(
        f"sources: [{{cluster: prod}}]\nsinks: {{out: {{kind: file, path: {tmp_path}/out}}}}\ninhibit: {inhibit}\n",
        encoding="utf-8",
    )
    return load(path, environ={}).config


def test_rules_of_ones_own_come_beside_those_about_nodes(tmp_path: Path) -> None:
    rule = "{source: {kind: Node, condition: NetworkUnavailable}, target: {kind: Pod}, equal: [cluster, node]}"
    names = [each.name for each in inhibits(loaded(tmp_path, f"{{rules: [{rule}]}}").inhibit)]
    assert names[-1] == "{kind: Node, condition: NetworkUnavailable}"
    assert "node down" in names
    alone = inhibits(loaded(tmp_path, f"{{nodes: false, rules: [{rule}]}}").inhibit)
    assert [each.equal for each in alone] == [("cluster", "node")]
    named = rule.replace("{source", "{name: no network, source", 1)
    assert inhibits(loaded(tmp_path, f"{{nodes: false, rules: [{named}]}}").inhibit)[0].name == "no network"
    assert inhibits(loaded(tmp_path, "{nodes: false}").inhibit) == []


@pytest.mark.parametrize(
    ("rule", "path", "told"),
    [
        ("{target: {kind: Pod}, equal: [node]}", "source", "source is missing"),
        ("{source: {kind: Node}, equal: [node]}", "target", "target is missing"),
        ("{source: {kind: Node}, target: {kind: Pod}}", "equal", "equal is missing"),
        ("{source: {kind: Node}, target: {kind: Pod}, equal: []}", "equal", "expected a list"),
        ("{source: {}, target: {kind: Pod}, equal: [node]}", "source", "any event would keep others quiet"),
        ("{source: {owner: Job/x}, target: {kind: Pod}, equal: [node]}", "source.owner", "is looked up"),
        ("{source: {kind: Node}, target: {owner: Job/x}, equal: [node]}", "target.owner", "is looked up"),
        ("{source: {kind: Node}, target: {kind: Pod}, equal: [cluster, family]}", "equal[1]", "belong together"),
        ("{source: {kind: Node}, target: {kind: Pod}, equal: ['']}", "equal[0]", "belong together"),
        ("{source_matchers: [x=y], target: {kind: Pod}, equal: [node]}", "source_matchers", "not known here"),
    ],
)
def test_what_would_keep_nothing_or_everything_quiet_is_refused(
    tmp_path: Path, rule: str, path: str, told: str
) -> None:
    with pytest.raises(ConfigError) as error:
        loaded(tmp_path, f"{{rules: [{rule}]}}")
    faults = {fault.path: fault for fault in error.value.faults if not fault.warning}
    fault = faults[f"inhibit.rules[0].{path}"]
    assert told in fault.message
    assert fault.remedy


def test_what_can_never_hold_is_doubted(tmp_path: Path) -> None:
    path = tmp_path / "eventer.yaml"
    path.write_text(
        f"""
sources: [{{cluster: prod, labels: {{team: shop}}}}]
inhibit:
  rules:
    - {{source: {{kind: Nod}}, target: {{kind: Pod, family: crash_lop}}, equal: [cluster, team]}}
    - {{source: {{kind: Node}}, target: {{kind: Pod}}, equal: [cluster, nodes]}}
sinks:
  out: {{kind: file, path: {tmp_path}/out}}
""",
        encoding="utf-8",
    )
    doubts = {fault.path: fault.remedy for fault in load(path, environ={}).warnings}
    assert doubts["inhibit.rules[0].target.family"] == "did you mean crash_loop?"
    assert doubts["inhibit.rules[1].equal[1]"] == "did you mean node?"
    assert set(doubts) == {"inhibit.rules[0].target.family", "inhibit.rules[1].equal[1]"}
