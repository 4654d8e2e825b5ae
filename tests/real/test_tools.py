"""What the tools that others trust say of us: kubeconform of the chart's objects, promtool of rules and metrics.

Schemas come from the API server that runs here, so no other host is asked.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.daemon import Daemon
from tests.helpers.helm import CHART, render
from tests.helpers.writer import Writer
from tests.real.conftest import MakeDaemon
from tests.real.controlplane import ControlPlane
from tests.real.parts.build import binary
from tests.real.rows import settled, source, webhook, write

ROOT = CHART.parents[1]
RULES = CHART / "files/alert-rules.yaml"
FOREIGN = ("ServiceMonitor", "PrometheusRule")
"""Kinds of the Prometheus operator, which this API server does not know."""


def run(*argv: object, stdin: str = "") -> str:
    """Run a program; its complaint is the failure."""
    done = subprocess.run(list(map(str, argv)), input=stdin, text=True, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Make a schema of OpenAPI one of JSON Schema that takes no field it does not name."""
    text = json.dumps(schema).replace("#/components/schemas/", "#/definitions/")
    made: dict[str, Any] = json.loads(text)
    for definition in made.values():
        if "properties" in definition:
            definition.setdefault("additionalProperties", False)
    return made


async def write_schemas(plane: ControlPlane, target: Path) -> None:
    """Write a schema for each kind that the API server has, as kubeconform looks for them."""
    target.mkdir()
    for group in (await plane.api.request("GET", "/openapi/v3"))["paths"].values():
        page = await plane.api.request("GET", group["serverRelativeURL"])
        definitions = strict(page.get("components", {}).get("schemas", {}))
        for name, definition in definitions.items():
            for known in definition.get("x-kubernetes-group-version-kind", []):
                version = "-".join(filter(None, (known["group"].partition(".")[0], known["version"])))
                schema = {"$ref": f"#/definitions/{name}", "definitions": definitions}
                (target / f"{known['kind'].lower()}-{version}.json").write_text(json.dumps(schema))


async def test_kubeconform_takes_every_object_of_the_chart(plane: ControlPlane, tmp_path: Path) -> None:
    schemas = tmp_path / "schemas"
    await write_schemas(plane, schemas)
    place = schemas / "{{ .ResourceKind }}{{ .KindSuffix }}.json"
    conform = (
        binary("kubeconform"),
        "-summary",
        "-output=json",
        f"-skip={','.join(FOREIGN)}",
        f"-schema-location={place}",
        "-",
    )
    for file in sorted((CHART / "ci").iterdir()):
        objects = render(file)
        said = json.loads(run(*conform, stdin=yaml.safe_dump_all(objects)))
        foreign = sum(item["kind"] in FOREIGN for item in objects)
        wanted = {"valid": len(objects) - foreign, "invalid": 0, "errors": 0, "skipped": foreign}
        assert said["summary"] == wanted, file.name
    objects[0]["unheard"] = 1
    with pytest.raises(AssertionError, match="unheard"):
        run(*conform, stdin=yaml.safe_dump_all(objects))


def test_promtool_takes_the_alert_rules(tmp_path: Path) -> None:
    """Those of the chart and of the docs; and they fire when they should, with the words that they should."""
    for rules in (RULES, ROOT / "docs/alert-rules.yaml"):
        assert "SUCCESS: 12 rules found" in run(
            binary("promtool"), "check", "rules", "--lint=all", "--lint-fatal", rules
        )
    shutil.copy(RULES, tmp_path / RULES.name)
    shutil.copy(ROOT / "tests/chart/alerts.yaml", tmp_path)
    assert "SUCCESS" in run(binary("promtool"), "test", "rules", tmp_path / "alerts.yaml")
    broken = RULES.read_text().replace("> 900", "> 9000")
    (tmp_path / RULES.name).write_text(broken)
    with pytest.raises(AssertionError, match="FAILED"):
        run(binary("promtool"), "test", "rules", tmp_path / "alerts.yaml")


async def test_promtool_takes_the_metrics(plane: ControlPlane, daemons: MakeDaemon) -> None:
    """Of a daemon with a filter, a sink that works and one that is dead."""
    await plane.namespace("tools")
    daemon: Daemon = daemons(sources=[source(plane, namespaces=["tools"])], rules=[{"drop": {"reason": "Never"}}])
    daemon.config["sinks"]["dead"] = webhook("http://127.0.0.1:9/")
    await daemon.start()
    writer = Writer(plane.api, seed=7, namespaces=("tools",))
    await write(writer, 10)
    assert (await settled(writer.truth, daemon.sights)).faults() == []
    status, text = await daemon.get("/metrics")
    assert status == 200
    assert text.count("\n# TYPE ") > 30
    run(binary("promtool"), "check", "metrics", stdin=text)
    with pytest.raises(AssertionError, match="total"):
        run(binary("promtool"), "check", "metrics", stdin=text + "# HELP x X.\n# TYPE x counter\nx 1\n")
