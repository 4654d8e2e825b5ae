"""How messages name types and values: in the words of the file, never in Python's."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from enum import Enum
from typing import Any, Final

from msgspec import inspect
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from eventer.match import Rule
from eventer.text import escape
from eventer.values import Duration, Secret, Size

__all__ = ["alternatives", "describe", "got", "one_of", "shaped", "similar", "unwrap"]

_KNOWN: Final[dict[type, str]] = {
    Duration: "a duration such as 30s, 5m or 1h30m",
    Size: "a size such as 64MiB or 1GiB",
    Secret: "a text",
    Rule: "a rule such as {type: Warning}",
}
_ALIKE: Final = 0.7
"""Two short words with half of their letters in common are not alike: `path` is no misspelt `match`."""
_BEGINS: Final = 4
"""Letters of a word that is meant by one that goes on behind it: `bearer_token`."""
_SHOWN: Final = 60
"""Characters of a value that a message repeats."""


def unwrap(kind: inspect.Type) -> inspect.Type:
    """Take off what only annotates a type."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind


def alternatives(kind: inspect.UnionType) -> list[inspect.Type]:
    """Return the members of a union, None left out."""
    return [unwrap(member) for member in kind.types if not isinstance(unwrap(member), inspect.NoneType)]


def one_of(words: Iterable[Any]) -> str:
    """Join words as in `a, b or c`."""
    *most, last = [str(word) for word in words] or [""]
    return f"{', '.join(most)} or {last}" if most else last


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    low: Any = kind.ge if kind.gt is None else kind.gt
    high: Any = kind.le if kind.lt is None else kind.lt
    if low is not None and high is not None:
        return f" from {low} to {high}" if kind.gt is None and kind.lt is None else f" between {low} and {high}"
    if low is not None:
        return f" of {low} or more" if kind.gt is None else f" above {low}"
    if high is not None:
        return f" of {high} or less" if kind.lt is None else f" below {high}"
    return ""


def _length(low: int | None, high: int | None, unit: str) -> str:
    if low is not None and high is not None:
        return f" of {low} to {high} {unit}s"
    if low is not None:
        return f" of at least {low} {unit}{'s' * (low != 1)}"
    return "" if high is None else f" of at most {high} {unit}{'s' * (high != 1)}"


def describe(kind: inspect.Type) -> str:
    """Say what a type expects, as in `a whole number from 1 to 10`."""
    match unwrap(kind):
        case inspect.CustomType(cls) | inspect.StructType(cls) if cls in _KNOWN:
            return _KNOWN[cls]
        case inspect.CustomType(cls) | inspect.StructType(cls) if hasattr(cls, "parse"):
            return str(getattr(cls, "EXPECTED", "a text"))
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType() as number:
            return f"a whole number{_range(number)}"
        case inspect.FloatType() as number:
            return f"a number{_range(number)}"
        case inspect.StrType(low, high):
            return f"a text{_length(low, high, 'character')}"
        case inspect.LiteralType(words):
            return one_of(words)
        case inspect.EnumType(cls):
            return one_of([member.value for member in cls if isinstance(member, Enum)])
        case inspect.NoneType():
            return "nothing"
        case inspect.UnionType() as union:
            return one_of([describe(member) for member in alternatives(union)])
        case inspect.CollectionType() as items:
            return f"a list{_length(items.min_length, items.max_length, 'item')}"
        case inspect.DictType() as entries:
            return f"a mapping{_length(entries.min_length, entries.max_length, 'entry').replace('entrys', 'entries')}"
        case inspect.AnyType():
            return "a value"
        case _:
            return "a mapping"


def got(node: Node, *, visible: bool = True) -> str:
    """Say what stands in the file instead.

    Args:
        node: the value found.
        visible: False where the value may be a secret; then only its kind is named.
    """
    if isinstance(node, SequenceNode):
        return "a list" if node.value else "an empty list"
    if isinstance(node, MappingNode):
        return "a mapping" if node.value else "an empty mapping"
    assert isinstance(node, ScalarNode)
    if node.tag.endswith(":null"):
        return "nothing"
    if not visible:
        return "a single value"
    text = node.value if len(node.value) <= _SHOWN else f"{node.value[:_SHOWN]}…"
    return escape(text) if node.style is None else f'"{escape(text)}"'


def shaped(kind: inspect.Type, node: Node) -> str:
    """Say how to write a list or a mapping where something of another shape stands; empty where that is not it."""
    kind = unwrap(kind)
    if isinstance(kind, inspect.CollectionType):
        if isinstance(node, MappingNode):
            return 'write a list: "- " before the first line of each item'
        return "write a list: [ITEM, ITEM]" if isinstance(node, ScalarNode) else ""
    if isinstance(kind, inspect.StrType) and isinstance(node, MappingNode) and node.flow_style:
        return "put quotes around a text that begins with {"
    if isinstance(kind, inspect.DictType) and kind.min_length and (not isinstance(node, SequenceNode)):
        return "write at least one entry: a name, a colon, and indented below it what belongs to it"
    if not isinstance(kind, inspect.StructType | inspect.DictType) or hasattr(getattr(kind, "cls", None), "parse"):
        return ""
    if isinstance(node, ScalarNode) and re.search(r"\w:\S", node.value) and node.style is None:
        return 'write a mapping: "name: value", with a space after the colon'
    if isinstance(node, SequenceNode) and node.value:
        return 'write a mapping: "name:" before each value, in place of "- "'
    fields = kind.fields if isinstance(kind, inspect.StructType) else ()
    names = [field.encode_name for field in fields]
    needed = [field.encode_name for field in fields if field.required]
    if needed:
        return f"write a mapping with {', '.join(needed)}"
    return f"write a mapping of {one_of(names)}" if names else 'write a mapping: lines of "name: value"'


def similar(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant."""
    plain = {name.lower().replace("-", "").replace("_", ""): name for name in known}
    text = word[:64].lower().replace("-", "").replace("_", "")
    close = difflib.get_close_matches(text, plain, n=1, cutoff=_ALIKE)
    close = close or [name for name in plain if len(name) >= _BEGINS and text.startswith(name)][:1]
    close = close or [name for name, full in plain.items() if full.startswith(f"{word}_")][:1]
    return plain[close[0]] if close and plain[close[0]] != word else None
