"""What a person reads about each file in `tests/data/broken`: word for word, and read by a person before.

    EVENTER_GOLDEN=write pytest tests/unit/config/test_broken.py

writes the texts anew; read what changed before you keep it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from eventer.cli import main
from eventer.config.document import DEPTH, MAX_BYTES, NODES
from eventer.config.words import one_of
from eventer.match import FIELDS, LOOKED
from eventer.sink import kinds

BROKEN: Final = Path(__file__).parents[2] / "data/broken"
FILES: Final = sorted(BROKEN.glob("*.yaml"))
ENVIRON: Final = {
    "WEBHOOK_URL": "https://hook.example/V4LUE-CANARY",
    "TOKEN": "t0ken-CANARY",
    "TEAM": "shop",
    "EMPTY": "",
    "BARE_HOST": "hook.example/CANARY",
    "FTP_URL": "ftp://hook.example/CANARY",
    "URL_WITH_TEMPLATE": "https://hook.example/CANARY/{{ event.namespace }}",
    "METADATA_URL": "http://169.254.169.254/CANARY",
}
BEGIN: Final = "sources: [{}]\nsinks:\n  screen:\n    kind: stdout\n"
"""Every value that must not be shown has CANARY in it."""
MADE: Final[dict[str, Callable[[], str]]] = {
    # Files that are too large to be kept; their texts are.
    "made-too-large": lambda: BEGIN + "#" * MAX_BYTES,
    "made-too-deep": lambda: BEGIN + "filter: " + "[" * (DEPTH + 1),
    "made-of-too-many-aliases": lambda: (
        f"x: &x [{', '.join('a' * 300)}]\ny: &y {{drop: {{reason: *x}}}}\n{BEGIN}filter: [{', '.join(['*y'] * 200)}]\n"
    ),
    "made-of-a-long-expression": lambda: BEGIN + f"filter:\n  - drop: {{message: /{'a|' * 600}a/}}\n",
    "made-of-too-many-values": lambda: BEGIN + "filter: [" + "a, " * NODES + "]",
}


def output_of(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what `eventer check` prints about a file in the working directory."""
    assert main(["check", "-c", name]) in {0, 78}
    text = capsys.readouterr().out
    # Which kinds and fields there are is no matter of these files.
    text = text.replace(", ".join((*FIELDS, *LOOKED)), "<fields>")
    return text.replace(", ".join(kinds()), "<kinds>").replace(one_of(kinds()), "<kinds>")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with files of secrets, and an environment with nothing else in it."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "url").write_text("https://hook.example/CANARY\n")
    (secrets / "empty").write_text("\n")
    (secrets / "binary").write_bytes(b"\xff\xfe\x00")
    (secrets / "large").write_bytes(b"x" * ((1 << 20) + 1))
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if not name.startswith(("EVENTER_", "PYTEST", "COV")):
            monkeypatch.delenv(name)
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def compare(name: str, text: str) -> None:
    golden = BROKEN / f"{name}.txt"
    if os.environ.get("EVENTER_GOLDEN") == "write":
        golden.write_text(text, encoding="utf-8")
    assert golden.exists(), f"{golden} is missing; see the top of this file"
    assert text == golden.read_text(encoding="utf-8")
    assert "CANARY" not in text


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_broken_file_is_explained(place: Path, capsys: pytest.CaptureFixture[str], file: Path) -> None:
    (place / file.name).write_bytes(file.read_bytes())
    compare(file.stem, output_of(file.name, capsys))


@pytest.mark.parametrize("name", MADE)
def test_a_file_that_is_too_much_is_explained(place: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (place / f"{name}.yaml").write_text(MADE[name]())
    compare(name, output_of(f"{name}.yaml", capsys))


def test_each_text_belongs_to_a_file_and_names_a_line_and_what_to_do() -> None:
    texts = {path.stem: path.read_text(encoding="utf-8") for path in BROKEN.glob("*.txt")}
    assert texts.keys() == {file.stem for file in FILES} | MADE.keys()
    assert len(FILES) >= 60
    for name, text in texts.items():
        *faults, verdict = text.rstrip("\n").split("\n\n")
        assert re.fullmatch(r"\S+: (\d+ faults?)?(, )?(\d+ warnings?)?", verdict), name
        for fault in faults:
            assert "\n    -> " in fault, f"{name}: without a remedy: {fault}"
            # What is wrong with a file as a whole stands in no line.
            whole = re.match(r"\S+\.yaml: the file is (empty|larger)", fault)
            assert whole or re.match(r"\S+\.yaml:\d+(:\d+)?: ", fault), f"{name}: without a line: {fault}"


def test_faults_come_in_the_order_of_lines() -> None:
    for path in BROKEN.glob("*.txt"):
        lines = [int(line) for line in re.findall(rf"^{path.stem}\.yaml:(\d+)", path.read_text(), re.MULTILINE)]
        assert lines == sorted(lines), path.name
