"""The chart's values: their JSON schema, and the table of them in its README.

Both are made from the comments in values.yaml and, for `config`, from the types of the configuration.
The chart can refuse a wrong configuration before anything is installed, and cannot fall behind the daemon.

    # -- Description, over as many lines as it needs.
    # @schema {keyword: value}      one line of YAML, added to what the default says about the type
    name: default

A mapping without a description is a group, in which nothing else may stand. One with a description is
taken as a whole, as Kubernetes knows it, unless what stands in it has descriptions as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml
from yaml.nodes import MappingNode, Node

from eventer.config.generate.options import sample_kinds
from eventer.config.generate.schema import schema
from eventer.errors import EventerError

__all__ = ["Value", "values", "values_schema", "values_table"]

Schema = dict[str, Any]

_DOC: Final = "-- "
_SCHEMA: Final = "@schema "
_CONFIG: Final = "config"
"""The value that holds the daemon's configuration."""


class Value(msgspec.Struct, frozen=True):
    """One value of the chart, or a group of them."""

    name: str
    doc: str
    """Empty for a group."""
    default: Any
    more: Schema
    """What `@schema` adds."""
    inner: tuple[Value, ...]


def values(path: Path) -> tuple[Value, ...]:
    """Read the values with their comments.

    Args:
        path: values.yaml.

    Raises:
        EventerError: the file is missing, or a value in it has no description.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise EventerError(f"{path} is missing.") from None
    root = yaml.compose(text, yaml.SafeLoader)
    assert isinstance(root, MappingNode)
    found = tuple(_values(root, text.splitlines()))
    bare = next(_bare(found, ""), None)
    if bare is not None:
        raise EventerError(f"{path}: {bare} has no description; write `# -- ...` over it.")
    return found


def values_schema(path: Path) -> Schema:
    """Return the schema of the chart's values (draft 7, which Helm and editors know).

    Args:
        path: values.yaml.

    Raises:
        EventerError: as `values`.
    """
    group = _group(values(path))
    config = _no_secrets(schema())
    definitions = config.pop("definitions")
    kinds = definitions["sink"]["properties"].pop("kind")
    for name in ("$schema", "title"):
        del config[name]
    # Without any the chart brings one.
    config["required"].remove("sinks")
    del config["properties"]["sinks"]["minProperties"]
    config["description"] = group["properties"][_CONFIG]["description"]
    group["properties"][_CONFIG] = config
    group["properties"]["global"] = {"type": "object", "description": "Helm's own: values that charts share."}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart eventer",
        **group,
        "required": [_CONFIG],
        "if": {"properties": {"customSinks": {"const": True}}, "required": ["customSinks"]},
        "else": _at((_CONFIG, "sinks"), {"additionalProperties": {"properties": {"kind": kinds}}}),
        "definitions": definitions,
    }


def values_table(path: Path) -> str:
    """Return the table of the values, in Markdown.

    Args:
        path: values.yaml.

    Raises:
        EventerError: as `values`.
    """
    lines = ["| value | default | meaning |", "|---|---|---|"]
    for name, value in _rows(values(path), ""):
        default = "" if value.inner else f"`{json.dumps(value.default, ensure_ascii=False)}`"
        cells = [f"`{name}`", default, value.doc.replace("|", "\\|")]
        lines.append(f"| {' | '.join(cells)} |")
    kinds = ", ".join(f"`{kind}`" for kind in sample_kinds())
    return "\n".join([*lines, "", f"Kinds of sinks: {kinds}."])


def _values(node: MappingNode, lines: list[str]) -> Iterator[Value]:
    for key, value in node.value:
        # What is written on one line has no comment of its own.
        first = not lines[key.start_mark.line][: key.start_mark.column].strip()
        doc, more = _comment(lines, key.start_mark.line) if first else ("", {})
        inner = tuple(_values(value, lines)) if isinstance(value, MappingNode) else ()
        if doc and not any(_documented(each) for each in inner):
            inner = ()
        yield Value(name=key.value, doc=doc, default=_plain(value), more=more, inner=inner)


def _documented(value: Value) -> bool:
    return bool(value.doc) or any(_documented(each) for each in value.inner)


def _comment(lines: list[str], line: int) -> tuple[str, Schema]:
    """Return what the comment over a line says; an empty line ends it."""
    block: list[str] = []
    while line and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        block.insert(0, lines[line].strip().removeprefix("#").strip())
    more: Schema = {}
    words: list[str] = []
    for text in block:
        if text.startswith(_SCHEMA):
            more |= yaml.safe_load(text.removeprefix(_SCHEMA))
        elif text.startswith(_DOC):
            words = [text.removeprefix(_DOC)]
        elif words:
            words.append(text)
    return " ".join(words), more


def _plain(node: Node) -> Any:
    return yaml.safe_load(yaml.serialize(node))


def _bare(listed: tuple[Value, ...], path: str) -> Iterator[str]:
    for value in listed:
        name = f"{path}{value.name}"
        if not value.doc and not value.inner:
            yield name
        yield from _bare(value.inner, f"{name}.")


def _rows(listed: tuple[Value, ...], path: str) -> Iterator[tuple[str, Value]]:
    for value in listed:
        name = f"{path}{value.name}"
        if value.doc:
            yield name, value
        yield from _rows(value.inner, f"{name}.")


def _group(listed: tuple[Value, ...]) -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {value.name: _value(value) for value in listed},
    }


def _value(value: Value) -> Schema:
    if value.inner:
        return _group(value.inner) | ({"description": value.doc} if value.doc else {})
    names = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
    return {"type": names[type(value.default)], **value.more, "description": value.doc, "default": value.default}


def _no_secrets(part: Any) -> Any:
    """Copy a schema; what is secret must come from a variable (or a file) in it, and never be written out."""
    if isinstance(part, list):
        return [_no_secrets(item) for item in part]
    if not isinstance(part, dict):
        return part
    copy = {name: _no_secrets(item) for name, item in part.items()}
    if copy.get("writeOnly") is True:
        # With `pattern` the refusal would show the secret; with `const` it shows what to write.
        copy |= {"if": {"pattern": r"\$\{"}, "else": {"const": "${NAME}"}}
    return copy


def _at(path: tuple[str, ...], part: Schema) -> Schema:
    for name in reversed(path):
        part = {"properties": {name: part}}
    return part
