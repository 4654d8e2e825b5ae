"""The options of a type, with what its source says about each: all that the generated files show."""

from __future__ import annotations

import ast
import functools
import inspect as source
import json
import re
import textwrap
from enum import Enum
from typing import Any, Final

import msgspec
from msgspec import inspect

from eventer.config.leaves import choices, is_secret
from eventer.config.words import alternatives, unwrap
from eventer.errors import EventerError
from eventer.match import Rule
from eventer.sink import NotifierConfig, SinkConfig, kinds, load
from eventer.values import Duration, Size

__all__ = [
    "Option",
    "common_options",
    "example",
    "options",
    "own_options",
    "sample_kinds",
    "shared_options",
    "struct_of",
    "yaml_value",
]

_PLAIN: Final = re.compile(r"[A-Za-z/][A-Za-z0-9/._-]*|\d+(?:ms|s|m|h|d)")
_WORDS: Final = frozenset({"yes", "no", "on", "off", "true", "false", "null", "y", "n"})


class Option(msgspec.Struct, frozen=True):
    """One option."""

    name: str
    kind: inspect.Type
    doc: str
    required: bool
    default: Any
    """None for required options, too."""
    examples: tuple[str, ...]
    secret: bool


@functools.cache
def options(cls: type[msgspec.Struct]) -> tuple[Option, ...]:
    """Return the options of a struct, in the order of its fields.

    Raises:
        EventerError: one has no docstring under it.
    """
    described = inspect.type_info(cls)
    assert isinstance(described, inspect.StructType)
    docs = _docs(cls)
    result: list[Option] = []
    for field in described.fields:
        if not docs.get(field.name):
            raise EventerError(f"{cls.__module__}.{cls.__qualname__}.{field.name} has no docstring under it.")
        default: Any = None
        if field.default is not msgspec.NODEFAULT:
            default = field.default
        elif field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        result.append(
            Option(
                name=field.encode_name,
                kind=unwrap(field.type),
                doc=docs[field.name],
                required=field.required,
                default=default,
                examples=_examples(field.type),
                secret=is_secret(field.type),
            )
        )
    return tuple(result)


def common_options() -> list[Option]:
    """Return what every sink has, `kind` left out."""
    return [option for option in options(SinkConfig) if option.name != "kind"]


def shared_options(kind: str) -> list[Option]:
    """Return what this kind of sink has as every other one; a notifier is sent nothing in batches, or repeated."""
    absent = {option.name for option in own_options(kind)}
    if issubclass(load(kind).Config, NotifierConfig):
        absent |= {"batch", "repeats"}
    return [option for option in common_options() if option.name not in absent]


def own_options(kind: str) -> list[Option]:
    """Return what only this kind of sink has, or has with another default or meaning."""
    common = {option.name: option for option in options(SinkConfig)}
    config: type[SinkConfig] = load(kind).Config
    return [
        option
        for option in options(config)
        if option.name not in common
        or yaml_value(option.default) != yaml_value(common[option.name].default)
        or option.doc != common[option.name].doc
    ]


def sample_kinds() -> list[str]:
    """Return the kinds of sinks that Eventer brings; plug-ins on this machine are not for the files."""
    return [kind for kind, module in kinds().items() if module == f"sinks.{kind}"]


def struct_of(kind: inspect.Type) -> type[msgspec.Struct] | None:
    """Return the struct that a type is, or may be; None for everything that is written as a value."""
    kind = unwrap(kind)
    if isinstance(kind, inspect.UnionType):
        members = alternatives(kind)
        return struct_of(members[0]) if len(members) == 1 else None
    if isinstance(kind, inspect.StructType) and kind.cls is not Rule and not hasattr(kind.cls, "parse"):
        return kind.cls
    return None


def yaml_value(value: Any) -> str:
    """Write a value as it stands in a configuration, on one line."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case Duration():
            return _duration(value)
        case Size():
            return _size(value)
        case Enum():
            return yaml_value(value.value)
        case str():
            return str(value) if _PLAIN.fullmatch(value) and value.lower() not in _WORDS else json.dumps(value)
        case list() | tuple() | set() | frozenset():
            return f"[{', '.join(yaml_value(item) for item in value)}]"
        case dict():
            return "{" + ", ".join(f"{yaml_value(key)}: {yaml_value(item)}" for key, item in value.items()) + "}"
        case _ if hasattr(value, "parse"):
            return yaml_value(str(value))
        case msgspec.Struct():
            fields = zip(options(type(value)), msgspec.structs.astuple(value), strict=True)
            return "{" + ", ".join(f"{option.name}: {yaml_value(item)}" for option, item in fields) + "}"
        case _:
            return str(value)


def example(option: Option, variable: str) -> str:
    """Return a value to show for an option without a default.

    Args:
        option: the option.
        variable: name of the variable to show for a secret.
    """
    if option.secret:
        return f"${{{variable}}}"
    if option.examples:
        return option.examples[0]
    if option.name == "path" or option.name.endswith("_file"):
        return f"/path/to/{option.name.removesuffix('_file').replace('path', 'file')}"
    words = choices(option.kind)
    return words[0] if words else "..."


def _duration(seconds: float) -> str:
    if seconds <= 0:
        return "0s"
    rest = round(seconds * 1000)
    units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)]
    text = ""
    for unit, size in units:
        if unit == "d" and (rest < 2 * size or rest % size):
            continue  # 24h says more than 1d
        number, rest = divmod(rest, size)
        text += f"{number}{unit}" if number else ""
    return text


def _size(size: int) -> str:
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(int(size))


def _examples(kind: inspect.Type) -> tuple[str, ...]:
    """Find the `Meta(examples=...)` of a type or of what it may be."""
    if isinstance(kind, inspect.Metadata):
        found = tuple(str(item) for item in (kind.extra_json_schema or {}).get("examples", ()))
        return found or _examples(kind.type)
    if isinstance(kind, inspect.UnionType):
        return next(filter(None, map(_examples, kind.types)), ())
    return ()


def _docs(cls: type) -> dict[str, str]:
    """Return the text under each field, from the source of the class and of what it inherits."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base in (object, msgspec.Struct) or not issubclass(base, msgspec.Struct):
            continue
        (tree,) = ast.parse(textwrap.dedent(source.getsource(base))).body
        assert isinstance(tree, ast.ClassDef)
        for field, text in zip(tree.body, tree.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                said = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
                docs[field.target.id] = " ".join(str(text.value.value).split()) if said else ""  # type: ignore[attr-defined]
    return docs
