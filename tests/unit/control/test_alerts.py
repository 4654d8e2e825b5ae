"""docs/alert-rules.yaml asks only for what /metrics has: series that do not exist never raise an alarm."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from eventer.demo.apiserver import ApiServer
from tests.helpers.farside import Answer, FarSide
from tests.helpers.inprocess import Site
from tests.helpers.until import until

ROOT = Path(__file__).parents[3]
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "docs/alert-rules.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
SELECTOR = re.compile(r"\b((?:eventer|process)_[a-z_]+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(=~|=)"([^"]*)"')


def selectors() -> list[tuple[str, list[tuple[str, str]]]]:
    """Each metric of each rule with the labels and values it asks for; alternatives one by one."""
    found = []
    for rule in RULES:
        names = SELECTOR.findall(rule["expr"])
        assert names, rule["alert"]
        for name, matchers in names:
            for label, _, values in MATCHER.findall(matchers) or [("", "", "")]:
                found += [(name, [(label, value)] if label else []) for value in values.split("|")]
    return found


async def test_each_series_that_a_rule_asks_for_exists(tmp_path: Path, server: ApiServer) -> None:
    site = Site(tmp_path, server)
    async with FarSide() as far:
        far.answer = Answer(400)
        site.document["sinks"]["picky"] = {"kind": "webhook", "url": far.url}
        site.document["sinks"]["chat"] = {"kind": "webhook", "url": far.url, "format": "single", "group": {}}
        server.create("refused")
        async with site.running() as life:
            await until(lambda: life.journal.readers["picky"].cursor == 1, "a dead letter")
            _, text = await life.get("/metrics")
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    asked = selectors()
    assert len(asked) > 10
    for name, labels in asked:
        assert any(s.name == name and set(labels) <= set(s.labels.items()) for s in samples), (name, labels)


def test_what_a_summary_names_is_a_label_of_the_series() -> None:
    for rule in RULES:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"warning", "critical"}
        used = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert used <= {"instance", "cluster", "scope", "sink", "outcome"}, rule["alert"]


def test_every_alert_is_documented_and_no_other() -> None:
    table = OPERATIONS.partition("### Alert rules\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [rule["alert"] for rule in RULES]
