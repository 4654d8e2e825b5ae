"""The guide to filters shows what happens: its recipes pass their tests, its commands say what stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from eventer.cli import main, trial
from eventer.config.load import load
from tests.helpers.documents import EXAMPLE

GUIDE = (Path(__file__).parents[3] / "docs/filters.md").read_text(encoding="utf-8")
RECIPES = re.findall(r"^### \d+\. (.+?)\n(.*?)```yaml\n(.*?)```", GUIDE, re.DOTALL | re.MULTILINE)
COMMANDS = re.findall(r"```console\n\$ eventer (.+?)\n(.*?)```", GUIDE, re.DOTALL)


def test_there_are_eleven_recipes_and_two_commands() -> None:
    assert len(RECIPES) == GUIDE.count("\n### ") == GUIDE.count("```yaml") == 11
    assert len(COMMANDS) == GUIDE.count("```console") == 2


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe[0])
def test_a_recipe_passes_its_tests(tmp_path: Path, recipe: tuple[str, str, str]) -> None:
    (tmp_path / "c.yaml").write_text(recipe[2])
    loaded = load(tmp_path / "c.yaml", {})
    assert loaded.warnings == []
    results = trial.run(loaded.config, lambda _: None)
    assert [result for result in results if not result.ok] == []
    # Both ways are shown: what a rule takes, and what it leaves.
    assert len({result.expected for result in results}) > 1


@pytest.mark.parametrize(("command", "output"), COMMANDS, ids=[command for command, _ in COMMANDS])
def test_a_command_says_what_stands_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, output: str
) -> None:
    (tmp_path / "eventer.yaml").write_text(EXAMPLE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")  # the catalog is told in the language of the reader
    main(shlex.split(command))
    assert capsys.readouterr().out == output
