"""What one word of the file means for a type, and small questions about types."""

from __future__ import annotations

import re
from enum import Enum
from typing import Any, Final

from msgspec import inspect
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from eventer.config.words import alternatives, unwrap
from eventer.match import Rule
from eventer.values import Secret

__all__ = [
    "BAD",
    "BASIC",
    "can_be",
    "choices",
    "fits",
    "gather",
    "is_secret",
    "left_out",
    "meaning",
    "number",
    "word",
]

BAD: Final = object()
"""In place of a value that could not be read; the fault is noted."""

_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9]\d{0,17})", re.ASCII)
"""Decimal only: YAML 1.1 reads 010 as eight and 1:30 as ninety, which nobody means."""
_NUMBER: Final = re.compile(r"[-+]?\d{1,300}(?:\.\d{1,300})?(?:[eE][-+]?\d{1,2})?", re.ASCII)
BASIC: Final = (inspect.BoolType, inspect.IntType, inspect.FloatType, inspect.StrType)
"""Types that YAML itself tells apart, by how a value is written."""
_BOOLEANS: Final = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def fits(size: float, low: float | None, high: float | None) -> bool:
    """Whether a number or a length is within bounds, both inclusive."""
    return (low is None or size >= low) and (high is None or size <= high)


def word(kind: inspect.Type, text: str) -> Any:
    """Return what a text means for a type that is written as text; `BAD` if nothing."""
    match kind:
        case inspect.StrType(low, high, pattern):
            good = fits(len(text), low, high) and (pattern is None or re.search(pattern, text) is not None)
            return text if good else BAD
        case inspect.LiteralType(words):
            return text if text in words else BAD
        case inspect.EnumType(cls):
            return next((member for member in cls if isinstance(member, Enum) and member.value == text), BAD)
        case _:
            raise TypeError(f"an option cannot be of the type {kind}")


def number(kind: inspect.Type, text: str) -> Any:
    """Return the truth value or number that a text means; `BAD` if none, or out of bounds."""
    match kind:
        case inspect.BoolType():
            return _BOOLEANS.get(text.lower(), BAD)
        case inspect.IntType():
            if not _INTEGER.fullmatch(text):
                return BAD
            value: float = int(text)
        case inspect.FloatType():
            if not _NUMBER.fullmatch(text):
                return BAD
            value = float(text)
        case _:
            raise TypeError(f"an option cannot be of the type {kind}")
    above = kind.gt is None or value > kind.gt
    below = kind.lt is None or value < kind.lt
    whole = kind.multiple_of is None or value % kind.multiple_of == 0
    return value if above and below and whole and fits(value, kind.ge, kind.le) else BAD


def gather(kind: inspect.CollectionType, items: list[Any]) -> Any:
    """Make the kind of list that the type asks for."""
    match kind:
        case inspect.SetType():
            return set(items)
        case inspect.FrozenSetType():
            return frozenset(items)
        case inspect.VarTupleType():
            return tuple(items)
        case _:
            return items


def is_secret(kind: inspect.Type) -> bool:
    """Whether a value of this type is, or may be, a secret."""
    kind = unwrap(kind)
    if isinstance(kind, inspect.UnionType):
        return any(is_secret(member) for member in alternatives(kind))
    return isinstance(kind, inspect.CustomType) and kind.cls is Secret


def meaning(node: Node) -> tuple[type[inspect.Type], ...]:
    """Say which of the basic types a word is, where several are allowed; the likeliest first.

    Narrower than YAML 1.1: what would surprise (`no`, `010`, `12:30`) counts as text, which then
    says that it has to be in quotes.
    """
    tag = node.tag.rpartition(":")[2]
    if tag == "bool" and node.value.lower() in {"true", "false"}:
        return (inspect.BoolType,)
    if tag == "int" and _INTEGER.fullmatch(node.value):
        return (inspect.IntType, inspect.FloatType)
    if tag == "float" and _NUMBER.fullmatch(node.value):
        return (inspect.FloatType,)
    return (inspect.StrType,)


def can_be(kind: inspect.Type, node: Node) -> bool:
    """Whether a node has the shape of this type: a mapping, a list or one word."""
    match kind:
        case inspect.AnyType():
            return True
        case inspect.StructType(cls) if cls is Rule or not hasattr(cls, "parse"):
            return isinstance(node, MappingNode)
        case inspect.DictType():
            return isinstance(node, MappingNode)
        case inspect.CollectionType():
            return isinstance(node, SequenceNode)
        case _:
            return isinstance(node, ScalarNode)


def left_out(field: inspect.Field, node: Node) -> bool:
    """Whether this is a section without content, as when all its lines are commented out.

    Such a section counts as left out. A single option without a value does not: there it is more
    likely that the value was forgotten.
    """
    if field.required or not (isinstance(node, ScalarNode) and node.tag.endswith(":null")):
        return False
    match unwrap(field.type):
        case inspect.StructType(cls):
            return cls is Rule or not hasattr(cls, "parse")
        case inspect.DictType() | inspect.CollectionType():
            return True
        case _:
            return False


def choices(kind: inspect.Type) -> list[str]:
    """Return the words that a type takes, where it takes fixed ones."""
    match unwrap(kind):
        case inspect.LiteralType(words):
            return [str(item) for item in words]
        case inspect.EnumType(cls):
            return [str(member.value) for member in cls if isinstance(member, Enum)]
        case inspect.CustomType(cls):
            return [str(item) for item in getattr(cls, "WORDS", ())]
        case inspect.UnionType() as union:
            return [item for member in alternatives(union) for item in choices(member)]
        case _:
            return []
