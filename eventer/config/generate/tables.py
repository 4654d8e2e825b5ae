"""Tables of options for the documentation."""

from __future__ import annotations

import msgspec
from msgspec import inspect

from eventer.config.generate.options import (
    Option,
    common_options,
    options,
    own_options,
    shared_options,
    struct_of,
    yaml_value,
)
from eventer.config.types import Config
from eventer.config.words import describe, unwrap

__all__ = ["config_tables", "sink_tables"]


def config_tables() -> str:
    """Return a table for each part of the file, and one of what every sink has."""
    parts: list[str] = []
    for option in options(Config):
        parts += [f"### `{option.name}`", "", option.doc, ""]
        if option.name == "sinks":
            parts += ["Options that every sink has:", "", *_table(_rows(common_options(), "")), ""]
            continue
        rows = _rows([option], "")[1:]
        parts += [*_table(rows), ""]
    return "\n".join(parts).rstrip()


def sink_tables(kind: str) -> str:
    """Return the tables of one kind of sink: its own options, then those of every sink."""
    own = own_options(kind)
    lines = _table(_rows(own, "")) if own else ["This sink has no options of its own."]
    return "\n".join([*lines, "", "Options that every sink has:", "", *_table(_rows(shared_options(kind), ""))])


def _rows(listed: list[Option] | tuple[Option, ...], prefix: str) -> list[tuple[str, str, str, str]]:
    rows: list[tuple[str, str, str, str]] = []
    for option in listed:
        name = f"{prefix}{option.name}"
        struct, infix = _inside(option.kind)
        default = "required" if option.required else "" if option.default is None else f"`{yaml_value(option.default)}`"
        if struct is not None:
            default = "required" if option.required else ""
        shown = f"`{name}`, or `{name}_file`" if option.secret else f"`{name}`"
        kind = f"{describe(option.kind)}; secret" if option.secret else describe(option.kind)
        rows.append((shown, kind, default, option.doc))
        if struct is not None:
            rows += _rows(options(struct), f"{name}{infix}.")
    return rows


def _inside(kind: inspect.Type) -> tuple[type[msgspec.Struct] | None, str]:
    kind = unwrap(kind)
    if isinstance(kind, inspect.ListType):
        return struct_of(kind.item_type), "[]"
    if isinstance(kind, inspect.DictType):
        return struct_of(kind.value_type), ".NAME"
    return struct_of(kind), ""


def _table(rows: list[tuple[str, str, str, str]]) -> list[str]:
    lines = ["| option | value | default | meaning |", "|---|---|---|---|"]
    return lines + ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
