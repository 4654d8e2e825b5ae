"""Tables of the catalog for the documentation: families, conditions of nodes, reasons."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import TypeVar

from eventer.catalog import Condition, Reason
from eventer.catalog.shipped import conditions, families, reasons

__all__ = ["catalog_tables"]

Described = TypeVar("Described", Reason, Condition)


def catalog_tables() -> str:
    """Return all that comes with Eventer, in both languages."""
    described = _distinct(conditions().values())
    uses = sorted(_distinct(itertools.chain(*reasons().values())), key=lambda entry: entry.family)
    told = [entry for entry in uses if entry.en is not None]
    rest = [entry for entry in uses if entry.en is None]
    parts = [
        "## Families",
        "",
        *_table(
            ("family", "title", "标题"),
            sorted([(f"`{name}`", family.en, family.zh) for name, family in families().items()]),
        ),
        "",
        "## Conditions of nodes",
        "",
        *_table(
            ("condition", "bad when", "severity", "family", "written by", "meaning", "含义"), map(_condition, described)
        ),
        "",
        "## Reasons that are explained",
        "",
        *_table(("reason", "severity", "family", "meaning", "含义"), map(_reason, told)),
        "",
        "## Reasons of which only severity and family are known",
        "",
        *_table(("family", "severity", "reasons"), _grouped(rest)),
    ]
    return "\n".join(parts)


def _distinct(entries: Iterable[Described]) -> list[Described]:
    return list({id(entry): entry for entry in entries}.values())


def _condition(entry: Condition) -> tuple[str, ...]:
    return (
        _names(entry.names),
        f"`{entry.bad}`" + (", `Unknown`" if entry.unknown is not None else ""),
        entry.severity,
        f"`{entry.family}`",
        ", ".join(entry.writers),
        entry.en.means,
        entry.zh.means,
    )


def _reason(entry: Reason) -> tuple[str, ...]:
    means = ("", "") if entry.en is None or entry.zh is None else (entry.en.means, entry.zh.means)
    return (_names(entry.names) + _use(entry), entry.severity, f"`{entry.family}`", *means)


def _use(entry: Reason) -> str:
    """Say which of the uses of a reason is meant."""
    conditions: Mapping[str, Iterable[str]] = {
        "type": [entry.type] if entry.type else [],
        "of": entry.kinds,
        "by": entry.components,
        "with": [f'"{piece}"' for piece in entry.says],
    }
    told = [f"{word} {' or '.join(values)}" for word, values in conditions.items() if values]
    return f" ({', '.join(told)})" if told else ""


def _grouped(entries: Iterable[Reason]) -> list[tuple[str, ...]]:
    groups: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        groups.setdefault((f"`{entry.family}`", entry.severity), []).append(_names(entry.names) + _use(entry))
    return [(*key, ", ".join(names)) for key, names in sorted(groups.items())]


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [head, ("---",) * len(head), *rows]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines]
