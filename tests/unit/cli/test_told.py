"""What `eventer explain` says of alerting: which problem, when it is told, with what, and what keeps it quiet."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventer.cli import main

CONFIG = """\
sources: [{cluster: prod}]
silences:
  - name: registry-moves
    match: [{namespace: images}]
    until: 2099-01-01T00:00:00Z
    owner: ann
    reason: it moves
sinks:
  archive: {kind: stdout}
  chat:
    kind: slack
    url: https://hooks.slack.com/services/T/B/x
    match: [{namespace: "!sandbox"}]
    group:
      by: [cluster, namespace]
      thresholds:
        - {match: {reason: BackOff}, when: {count: 5, within: 10m}, for: 2m}
        - {match: {reason: FailedScheduling}}
      quiet: [{name: always, times: ["00:00-24:00"], zone: UTC, match: [{namespace: night}]}]
      quota: {messages: 10, within: 1h}
tests:
  - event: {reason: BackOff, type: Warning, namespace: shop}
    sinks: [archive, chat]
  - event: {reason: BackOff, type: Warning, namespace: sandbox}
    sinks: [archive]
"""


@pytest.fixture
def explain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[str]]:
    """Explain a sample; return what is said of the notifier."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    path = tmp_path / "eventer.yaml"
    path.write_text(CONFIG, encoding="utf-8")

    def explain(sample: str, *words: str) -> list[str]:
        assert main(["explain", "-c", str(path), "--sample", sample, *words]) == 0
        lines = capsys.readouterr().out.splitlines()
        if words:
            return lines
        chat = next(index for index, line in enumerate(lines) if line.startswith("sink chat"))
        return [line.strip() for line in lines[chat:] if ":  " in line or line.startswith("            ")]

    return explain


def test_each_stage_says_what_it_would_do(explain: Callable[..., list[str]]) -> None:
    said = explain("reason=BackOff,type=Warning,kind=Pod,namespace=shop,name=web-0")
    assert said == [
        "problem:  prod/Pod/shop/web-0/crash_loop",
        "over:     by Started, or when nothing is heard of it for 45 min",
        "told:     after 5 occurrences within 10 min and when it lasts 2 min",
        "quiet:    while another problem lasts: node down",
        "10 s after the first of them, then every 5 min if there is news, and again after 4 h; at most 10 in 1 h",
    ]


def test_what_the_catalog_has_patience_with_and_what_a_threshold_makes_of_it(explain: Callable[..., list[str]]) -> None:
    assert "told:     when it lasts 5 min" in explain("reason=Unhealthy,type=Warning,kind=Pod,namespace=shop,name=w")
    assert "told:     at once" in explain("reason=FailedScheduling,type=Warning,kind=Pod,namespace=shop,name=w")


def test_a_silence_and_a_quiet_time_that_are_on_are_named(explain: Callable[..., list[str]]) -> None:
    said = explain("reason=OOMKilling,type=Warning,kind=Node,namespace=images,name=n")
    assert "quiet:    now, by the silence registry-moves" in said
    (quiet,) = [line for line in explain("reason=Odd,type=Warning,kind=Job,namespace=night") if line[:6] == "quiet:"]
    assert quiet.startswith("quiet:    now, by the quiet time always")


def test_what_would_keep_it_quiet_goes_by_what_the_catalog_knows(explain: Callable[..., list[str]]) -> None:
    said = explain("reason=NodeNotReady,type=Normal,kind=Node,name=n1")
    assert "quiet:    while another problem lasts: node leaving, node starting" in said
    assert "keeps:    others quiet that follow from it: node down" in said


def test_a_condition_ends_by_itself(explain: Callable[..., list[str]]) -> None:
    said = explain("origin=node,condition=Ready,status=False,state=firing,type=Warning,kind=Node,name=n1,reason=X")
    assert "over:     when the condition Ready is well again" in said


def test_for_programs_the_same(explain: Callable[..., list[str]]) -> None:
    lines = explain("reason=BackOff,type=Warning,kind=Pod,namespace=shop,name=web-0", "--output", "json")
    (event,) = json.loads("\n".join(lines))["events"]
    told: dict[str, Any] = event["told"]["chat"]
    assert (told["problem"], told["needs"]["count"], told["group"]) == (
        "prod/Pod/shop/web-0/crash_loop",
        5,
        {"cluster": "prod", "namespace": "shop"},
    )
    assert "archive" not in event["told"]


def test_g6_the_tests_of_a_configuration_say_which_notifier_gets_an_event(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "eventer.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    assert main(["check", "--test", "-c", str(path)]) == 0
    path.write_text(CONFIG.replace("sinks: [archive]\n", "sinks: [archive, chat]\n"), encoding="utf-8")
    capsys.readouterr()
    assert main(["check", "--test", "-c", str(path)]) == 1
    said = capsys.readouterr().out
    assert "expected  archive, chat" in said
    assert "got       archive" in said


def test_trouble_of_eventers_own_reaches_a_notifier_whatever_its_rules_say(
    explain: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = explain("origin=eventer,kind=Eventer,reason=GapDamaged,type=Warning,namespace=sandbox", "--output", "json")
    (event,) = json.loads("\n".join(lines))["events"]
    assert "chat" in event["told"]
