"""docs/faults.md says which test plays which fault; it must not promise a test that is not there."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = {
    match[1]: match[2]
    for match in re.finditer(r"^\| ([WQSGXL]\d+) \| (.*) \|$", (ROOT / "docs/faults.md").read_text(), re.MULTILINE)
}
ROWS = {"W": 42, "Q": 11, "S": 26, "G": 8, "X": 12, "L": 6}
FILES = {str(path.relative_to(ROOT / "tests").with_suffix("")): path for path in (ROOT / "tests").rglob("test_*.py")}


def test_every_row_is_there_once() -> None:
    assert Counter(row[0] for row in TABLE) == ROWS


def test_every_test_that_is_named_exists() -> None:
    missing = []
    for row, cells in TABLE.items():
        text = "".join(FILES[file].read_text() for file in re.findall(r"\w+/[\w/]*test_\w+", cells))
        for name, more in re.findall(r"`(test_\w+)(\*?)`", cells):
            if not re.search(rf"def {name}{'' if more else '[(]'}", text):
                missing.append((row, name))
    assert missing == []


def test_no_row_with_a_test_of_its_name_is_called_open() -> None:
    played = {
        row.upper()
        for path in FILES.values()
        for row in re.findall(r"^ *(?:async )?def test_([wqsgxl]\d+)_", path.read_text(), re.MULTILINE)
    }
    assert {row for row in played if "| open |" in TABLE[row]} == set()
