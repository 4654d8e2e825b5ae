"""Helm as a user calls it, on the chart of this project."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tests.real.parts.build import binary

__all__ = ["CHART", "KUBERNETES", "HelmError", "helm", "one", "render"]

CHART: Final = Path(__file__).parents[2] / "charts/eventer"
KUBERNETES: Final = "1.35.4"
"""What `render` renders for: Helm asks no cluster then."""


class HelmError(Exception):
    """Helm refused; the text is what it said."""


def helm(*arguments: object, stdin: str = "") -> str:
    """Run Helm and return what it wrote.

    Raises:
        HelmError: it ended with another code than 0.
    """
    argv = [str(binary("helm")), *map(str, arguments)]
    done = subprocess.run(argv, input=stdin, text=True, capture_output=True, timeout=120, check=False)
    if done.returncode:
        raise HelmError(done.stderr)
    return done.stdout


def render(
    values: Mapping[str, Any] | Path | None = None, *flags: str, release: str = "test", namespace: str = "watching"
) -> list[dict[str, Any]]:
    """Render the chart and return its objects.

    Args:
        values: a file, or what stands in one.
        flags: more arguments of `helm template`.
        release: name of the release.
        namespace: where it would be installed.

    Raises:
        HelmError: the values are refused.
    """
    # JSON, because PyYAML and Helm do not agree on which words of YAML are numbers.
    text = values.read_text() if isinstance(values, Path) else json.dumps(dict(values or {}), ensure_ascii=False)
    where = ("-n", namespace, "--kube-version", KUBERNETES, "-f", "-")
    found = yaml.safe_load_all(helm("template", release, CHART, *where, *flags, stdin=text))
    return [item for item in found if item]


def one(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Return the only object of a kind."""
    (found,) = (item for item in objects if item["kind"] == kind)
    return found
