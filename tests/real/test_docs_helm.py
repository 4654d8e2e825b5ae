"""The Helm commands of the documentation, and the values that it shows, on the chart as it is.

Nothing is installed: `helm template` takes the place of `helm install` and `helm upgrade`, with the same
options, and says the same of values that are wrong.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.documents import ROOT, Block, Command, blocks, commands
from tests.helpers.helm import CHART, KUBERNETES, HelmError, helm, render

HELM = [command for command in commands() if command.line.startswith("helm ")]
VALUES = [
    block
    for block in blocks()
    if block.language == "yaml" and block.page in {"docs/install.md", "charts/eventer/README.md"}
]


def values_of(page: str) -> str:
    """Return what a page shows as values.yaml; nothing where it is any file of the reader's."""
    shown = [block.text for block in VALUES if block.page == page and block.text.startswith("# values.yaml")]
    assert len(shown) <= 1
    return "".join(shown)


def test_there_is_something_to_look_at() -> None:
    assert len(HELM) >= 2
    assert len(VALUES) >= 4


@pytest.mark.parametrize("command", HELM, ids=lambda command: f"{command.block.page}:{command.line[:30]}")
def test_a_helm_command_renders(tmp_path: Path, command: Command) -> None:
    words = shlex.split(command.line)[1:]
    if words[0] in {"rollback", "uninstall", "test", "lint"}:
        assert words[1:]
        return
    assert words[0] in {"install", "upgrade"}
    plain = [word for word in words[1:] if word not in {"--create-namespace", "--install", "--wait"}]
    assert (ROOT / "charts/eventer").samefile(CHART)
    plain[plain.index("charts/eventer")] = str(CHART)
    if "values.yaml" in plain:
        (tmp_path / "values.yaml").write_text(values_of(command.block.page))
        plain[plain.index("values.yaml")] = str(tmp_path / "values.yaml")
    rendered = list(yaml.safe_load_all(helm("template", *plain, "--kube-version", KUBERNETES)))
    names = {item["metadata"]["name"] for item in rendered if item and item["kind"] == "Deployment"}
    assert names == {words[1]}


@pytest.mark.parametrize("block", VALUES, ids=lambda block: block.name)
def test_values_that_are_shown_are_taken(tmp_path: Path, block: Block) -> None:
    shown: dict[str, Any] = yaml.safe_load(block.text)
    file = tmp_path / "values.yaml"
    file.write_text(block.text)
    assert render(file)
    helm("lint", CHART, "-f", file)
    assert shown


def test_what_helm_is_said_to_refuse_is_refused_so() -> None:
    """docs/install.md shows two lines of it."""
    page = (ROOT / "docs/install.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```text\n(- at .*?)```", page, re.DOTALL)
    wrong = {"config": {"filter": [{"drop": {"resaon": "Pulled"}}]}}
    with pytest.raises(HelmError, match=re.escape(shown.splitlines()[0][2:])):
        render(wrong)
    missing = {"config": {"sinks": {"hook": {"kind": "webhook", "url": "${WEBHOOK_URL}"}}}}
    with pytest.raises(HelmError, match=re.escape(shown.splitlines()[1][2:].removesuffix(", ..."))):
        render(missing)
