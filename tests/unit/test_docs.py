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
LOG_CALLS = {"debug", "info", "warning", "error", "log", "level"}


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


def log_lines() -> Iterator[str]:
    """What is logged, as the literals of all calls of a logger."""
    for path in [*(ROOT / "eventer").rglob("*.py"), *(ROOT / "sinks").rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        if "structlog.get_logger" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0]
            if name in LOG_CALLS and isinstance(first, ast.Constant) and isinstance(first.value, str):
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
