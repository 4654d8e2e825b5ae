"""`state.path: memory` and `state.mirror`: found again by the next process, refused in words, never overlooked."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from eventer.config import place
from eventer.config.load import examine, state_directory
from eventer.config.place import ConfigMapName, StatePath

REST = "sources: [{kubernetes: {}}]\nsinks: {out: {kind: stdout}}\nstate: "


def test_a_path_is_taken_as_it_is() -> None:
    path = StatePath.parse("/var/lib/eventer")
    assert (path, path.memory) == ("/var/lib/eventer", False)
    assert StatePath.parse("/memory").memory is False


def test_memory_is_the_same_directory_for_each_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "SHARED", str(tmp_path))
    first, second = StatePath.parse("memory"), StatePath.parse("memory")
    assert first == second == str(tmp_path / f"eventer-{os.getuid()}")
    assert first.memory


def test_without_a_file_system_in_memory_it_is_in_the_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "SHARED", str(tmp_path / "missing"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path = StatePath.parse("memory")
    assert Path(path).parent == tmp_path
    assert path.memory


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("{path: memory}", "what waits for sinks is lost, and what the cluster still holds is exported again"),
        ("{path: memory, mirror: {configmap: a}}", "dead letters are lost"),
    ],
)
def test_check_says_what_memory_does_not_promise(tmp_path: Path, state: str, says: str) -> None:
    file = tmp_path / "eventer.yaml"
    file.write_text(REST + state)
    examined = examine(file, {})
    assert examined.config is not None
    (fault,) = examined.faults
    assert (fault.path, fault.warning, fault.line) == ("state.path", True, 3)
    assert says in fault.message
    assert "mount a volume" in fault.remedy


@pytest.mark.parametrize("state", ["{path: /s}", "{path: /s, mirror: {configmap: a.b-1, namespace: mon}}"])
def test_check_has_nothing_to_say_of_a_volume(tmp_path: Path, state: str) -> None:
    file = tmp_path / "eventer.yaml"
    file.write_text(REST + state)
    assert examine(file, {}).faults == []


def test_commands_find_the_state_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "SHARED", str(tmp_path))
    file = tmp_path / "eventer.yaml"
    file.write_text(REST + "{path: '${WHERE}'}")
    assert state_directory(file, {"WHERE": "memory"}) == tmp_path / f"eventer-{os.getuid()}"
    assert state_directory(file, {"WHERE": "/elsewhere"}) == Path("/elsewhere")


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a-", "a..b", ".a", "a/b", "a" * 254, "a\n"])
def test_names_that_no_configmap_can_have_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no name of a ConfigMap; write at most 253"):
        ConfigMapName.parse(name)
