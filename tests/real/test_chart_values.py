"""What the chart makes of values, without a cluster: refused ones, written ones, and the tools' opinion."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from eventer.config.generate.chart import Value, values
from eventer.config.generate.options import sample_kinds
from eventer.config.load import examine
from tests.helpers.helm import CHART, KUBERNETES, HelmError, helm, one, render
from tests.real.parts.build import binary

ROOT = CHART.parents[1]
REFUSED = ROOT / "tests/chart/refused"
CI = sorted((CHART / "ci").iterdir())


@pytest.mark.parametrize("file", sorted(REFUSED.glob("*.yaml")), ids=lambda file: file.stem)
def test_wrong_values_are_refused_in_words(file: Path) -> None:
    """Beside each file stands what Helm says; a person has read it."""
    with pytest.raises(HelmError) as refusal:
        render(file)
    said = str(refusal.value).replace("Use --debug flag to render out invalid YAML", "").strip() + "\n"
    said = said.replace(", ".join(f"'{kind}'" for kind in sample_kinds()), "(every kind)")
    assert said == file.with_suffix(".txt").read_text()
    assert "hunter2" not in said  # what the secrets in these files are


def test_two_daemons_on_one_journal_are_refused_without_the_schema_too() -> None:
    with pytest.raises(HelmError, match="replicas: 2 Eventers would fight for one journal"):
        render({"replicas": 2}, "--skip-schema-validation")


@pytest.mark.parametrize("file", CI, ids=lambda file: file.stem)
def test_what_the_chart_writes_is_what_the_daemon_takes(file: Path, tmp_path: Path) -> None:
    """Files of secrets are not there yet: that is the only thing it may say."""
    # The mirror's ConfigMap comes without data.
    (filled,) = (item for item in render(file) if item["kind"] == "ConfigMap" and "data" in item)
    (tmp_path / "eventer.yaml").write_text(filled["data"]["eventer.yaml"])
    found = examine(tmp_path / "eventer.yaml", {"WEBHOOK_URL": "https://hook.example/"})
    assert [fault for fault in found.faults if "there is no such file" not in fault.message] == []


WORDS = (
    *("no", "on", "y", "true", "null", "~", "", " ", "12:30", "190:20:30", "1e3", "0E0", "0x1f", "0o17", "010", "1_0"),
    *(
        "2020-01-01",
        "+1",
        ".5",
        ".inf",
        "{{ x }}",
        "{a",
        "[a",
        "- a",
        "-",
        "#",
        "a #",
        "'",
        '"',
        "a: b",
        ":",
    ),
    *(
        "!x",
        "&x",
        "*x",
        "%x",
        "@x",
        "`x",
        "|",
        ">",
        "?",
        "$$",
        "$",
        "\\",
        "\\n",
        "a\nb",
        " a",
        "a ",
        "\t",
        "é",
        "中文",
        "𐀀",
        "🙂",
    ),
)
"""What YAML or a template could take for something else."""


@pytest.mark.parametrize("size", [16 << 20, 1_000_000_000, (1 << 53) - 1])
def test_every_text_and_number_reaches_the_daemon_unchanged(size: int) -> None:
    config = {
        "sources": [{"cluster": "c", "labels": {word: word for word in WORDS}}],
        "filter": [{"drop": {"message": word}} for word in WORDS],
        "sinks": {"screen": {"kind": "stdout"}},
        "state": {"path": "/var/lib/eventer", "max_size": size},
        "server": {"listen": ":8080"},
    }
    assert yaml.safe_load(one(render({"config": config}), "ConfigMap")["data"]["eventer.yaml"]) == config


def test_suites_of_the_chart_pass() -> None:
    done = subprocess.run(
        [str(binary("helm-unittest")), "--strict", str(CHART)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    suites = len(list((CHART / "tests").glob("*_test.yaml")))
    assert f"{suites} passed, {suites} total" in done.stdout


@pytest.mark.parametrize("file", CI, ids=lambda file: file.stem)
def test_lint_has_nothing_to_say(file: Path) -> None:
    said = helm("lint", CHART, "--strict", "--kube-version", KUBERNETES, "-f", file)
    assert [line for line in said.splitlines() if line.startswith("[") and "icon is recommended" not in line] == []


def leaves(listed: tuple[Value, ...], path: str = "") -> list[str]:
    found: list[str] = []
    for value in listed:
        found += leaves(value.inner, f"{path}{value.name}.") if value.inner else [f"{path}{value.name}"]
    return found


def test_every_value_is_used() -> None:
    """What no template reads would be a promise that nobody keeps. `config` is read as a whole."""
    text = "\n".join(path.read_text() for path in (CHART / "templates").iterdir())
    used = set(re.findall(r"\.Values\.([A-Za-z.]+)", text))
    known = {name for name in leaves(values(CHART / "values.yaml")) if not name.startswith("config.")}
    assert known - used == {"customSinks"}  # for the schema
    assert {name for name in used if not name.startswith("config")} <= known


def test_the_chart_belongs_to_this_version() -> None:
    about: dict[str, Any] = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert about["appVersion"] == project["version"]


def test_the_packed_chart_holds_what_it_needs(tmp_path: Path) -> None:
    helm("package", CHART, "-d", tmp_path)
    (packed,) = tmp_path.iterdir()
    names = subprocess.run(["tar", "-tzf", packed], capture_output=True, text=True, check=True).stdout.split()
    assert {"eventer/files/alert-rules.yaml", "eventer/values.schema.json", "eventer/README.md"} <= set(names)
    assert not [name for name in names if "/ci/" in name or "/tests/" in name]


def test_the_values_in_the_documentation_are_taken() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/install.md").read_text(), flags=re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        assert one(render(yaml.safe_load(block)), "Deployment")
