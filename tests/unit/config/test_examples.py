"""The files that people start from can be used as they are."""

import re
from pathlib import Path

import pytest
import yaml

from eventer.cli import trial
from eventer.config.load import load

ROOT = Path(__file__).parents[3]


def variables_of(text):
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return re.findall(r"\$\{(\w+)\}", "\n".join(lines))


CONFIG = ROOT / "config"
FILES = [CONFIG / "eventer.yaml", *sorted((CONFIG / "examples").glob("*.yaml"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_to_start_from_has_no_fault_and_no_warning(path):
    variables = variables_of(path.read_text())
    loaded = load(path, dict.fromkeys(variables, "https://receiver.example/events"))
    assert loaded.warnings == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_to_start_from_names_the_schema(path):
    first = path.read_text().splitlines()[0]
    schema = re.fullmatch(r"# yaml-language-server: \$schema=(.+)", first)
    assert schema
    assert (path.parent / schema[1]).resolve() == CONFIG / "eventer.schema.json"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_tests_of_a_file_to_start_from_pass(path):
    config = load(path, dict.fromkeys(variables_of(path.read_text()), "https://receiver.example/events")).config
    if config.filter or any(sink.match for sink in config.sinks.values() if sink.notifies is None):
        assert config.tests, "rules without a test"
    assert [result for result in trial.run(config, lambda _: None) if not result.ok] == []


def test_the_smallest_file_of_the_documentation_can_be_used(tmp_path):
    page = (ROOT / "docs/configuration.md").read_text()
    example = re.search(r"```yaml\n(sources:.*?)```", page, re.DOTALL)
    assert example
    (tmp_path / "c.yaml").write_text(example[1])
    assert load(tmp_path / "c.yaml", {}).warnings == []


def test_the_role_allows_to_read_events_and_nodes_and_nothing_else():
    documents = list(yaml.safe_load_all((CONFIG / "rbac.yaml").read_text()))
    account, role, binding = documents
    assert [document["kind"] for document in documents] == ["ServiceAccount", "ClusterRole", "ClusterRoleBinding"]
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["events"], "verbs": ["list", "watch"]},
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "watch"]},
        {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]},
    ]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    (subject,) = binding["subjects"]
    assert (subject["name"], subject["namespace"]) == (account["metadata"]["name"], account["metadata"]["namespace"])
