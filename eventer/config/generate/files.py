"""Which files are generated, and whether they are what the types say."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from eventer.config.generate.catalog import catalog_tables
from eventer.config.generate.chart import values_schema, values_table
from eventer.config.generate.options import sample_kinds
from eventer.config.generate.sample import sample
from eventer.config.generate.schema import schema
from eventer.config.generate.tables import config_tables, sink_tables
from eventer.errors import EventerError

__all__ = ["generated", "main"]

_ROOT: Final = Path(__file__).parents[3]
_START: Final = "<!-- options:start -->"
_END: Final = "<!-- options:end -->"
_TABLES: Final = re.compile(f"{re.escape(_START)}.*?{re.escape(_END)}", re.DOTALL)


def generated(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield each generated file with what should stand in it.

    Args:
        root: directory of the project.

    Raises:
        EventerError: a page of the documentation, or the place for its tables, is missing.
    """
    yield root / "config/eventer.schema.json", _json(schema())
    yield root / "config/eventer.yaml", sample()
    yield _page(root / "docs/configuration.md", config_tables())
    yield _page(root / "docs/catalog.md", catalog_tables())
    for kind in sample_kinds():
        yield _page(root / f"docs/sinks/{kind}.md", sink_tables(kind))
    chart = root / "charts/eventer"
    yield chart / "values.schema.json", _json(values_schema(chart / "values.yaml"))
    yield _page(chart / "README.md", values_table(chart / "values.yaml"))
    # A chart can only hold what lies in its own directory.
    yield chart / "files/alert-rules.yaml", (root / "docs/alert-rules.yaml").read_text(encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Write the generated files, or with `--check` name those that are stale (1 if any is)."""
    parser = argparse.ArgumentParser(prog="python -m eventer.config.generate")
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if a file is stale")
    parser.add_argument("--root", type=Path, default=_ROOT, help="directory of the project")
    args = parser.parse_args(argv)
    stale = 0
    try:
        for path, text in generated(args.root):
            if path.exists() and path.read_text(encoding="utf-8") == text:
                continue
            stale += 1
            if args.check:
                sys.stderr.write(f"{path} is stale: run make generate\n")
            else:
                path.write_text(text, encoding="utf-8")
                sys.stdout.write(f"{path}\n")
    except EventerError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 1 if args.check and stale else 0


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _page(path: Path, tables: str) -> tuple[Path, str]:
    try:
        page = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise EventerError(f"{path} is missing: write it, with {_START} and {_END} where the options go.") from None
    if len(_TABLES.findall(page)) != 1:
        raise EventerError(f"{path} needs {_START} and {_END}, once, where the options go.")
    return path, _TABLES.sub(lambda _: f"{_START}\n\n{tables}\n\n{_END}", page)
