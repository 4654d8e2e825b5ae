"""`--match` with severity and family: by the catalog of the configuration, as the daemon does it."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from eventer.cli.matching import rules_of
from tests.helpers.sinks import make_event

HEAD = "sources: [{}]\nsinks: {screen: {kind: stdout}}\n"


def matches(config: Path, *match: str) -> bool:
    rules = rules_of(argparse.Namespace(config=config, match=list(match)))
    return any(rule.matches(make_event()) for rule in rules)


def test_severity_follows_the_catalog_of_the_configuration(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    assert not matches(config, "severity=critical")
    assert matches(config, "severity=warning,family=crash_loop")
    config.write_text(HEAD + "catalog: {reasons: {BackOff: {severity: critical}}}\n")
    assert matches(config, "severity=critical")
    assert matches(config, "{severity: critical, reason: BackOff}", "type=Normal")


def test_a_configuration_with_faults_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(HEAD + "catalog: {reasons: {BackOff: {severity: fatal}}}\n")
    assert matches(config, "severity=warning")
    assert "has faults: severity and family are told without its catalog" in capsys.readouterr().err
    assert matches(config, "type=Warning")
    assert not capsys.readouterr().err
