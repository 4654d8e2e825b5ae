"""What the documentation says exists, and what exists is documented."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
METRICS = [ROOT / "eventer/control/metrics.py", ROOT / "eventer/observe/metrics.py"]
LEVELS = {"debug", "info", "warning", "error"}


def metric_names() -> set[str]:
    """All names that the modules of metrics give to families."""
    return {
        node.value
        for path in METRICS
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"eventer_[a-z_]+", node.value)
    }


def is_log_call(function: ast.expr) -> bool:
    """Whether it is a method of a logger, or one of those under another name (`level = log.error if ...`)."""
    if isinstance(function, ast.Attribute) and function.attr in LEVELS:
        owner = function.value
        return getattr(owner, "id", None) == "log" or getattr(owner, "attr", None) == "_log"
    return isinstance(function, ast.Name) and function.id in {"log", "level"}


def log_lines() -> Iterator[str]:
    """What is logged: the first arguments of all calls of a logger, which must be literals."""
    for path in [*(ROOT / "eventer").rglob("*.py"), *(ROOT / "sinks").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and is_log_call(node.func):
                first = node.args[0]
                assert isinstance(first, ast.Constant), f"{path}:{node.lineno}: write the words of a log line here"
                yield first.value


def test_every_metric_is_documented_and_no_other() -> None:
    names = metric_names()
    told = {name.removesuffix("_total") for name in re.findall(r"`(eventer_[a-z_]+)[`{]", OPERATIONS)}
    assert len(names) > 20
    assert names == told


def test_every_log_line_is_documented_and_no_other() -> None:
    lines = set(log_lines())
    table = OPERATIONS.partition("## Log\n")[2]
    told = {word for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for word in re.findall(r"`([^`]+)`", row)}
    assert len(lines) > 15
    assert lines == told


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_headings_find_them(page: Path) -> None:
    for target, heading in re.findall(r"\]\(([^)#\s]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        text = (page.parent / target if target else page).read_text(encoding="utf-8")
        titles = {
            re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
            for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        }
        assert heading in titles, heading
