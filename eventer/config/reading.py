"""From nodes to the types of the configuration, collecting every fault on the way.

msgspec's own conversion stops at the first fault and knows no lines; so its description of the
types (`msgspec.inspect`) is walked side by side with the nodes. Each method returns the value, or
`BAD` after noting what is wrong, and goes on with whatever does not depend on it.

A type takes part in three ways: fields and bounds (`Meta`) are checked here; a class with
`parse(text)` reads one word and raises ValueError (`message; remedy`); `__post_init__` of a struct
compares fields and raises ValueError (`message; remedy`, or `field: message; remedy`), or ConfigError
with paths counted from that struct.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path as FilePath
from typing import Any, Final

import msgspec
from msgspec import inspect
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from eventer.config.document import Document, Pair, Path
from eventer.config.foreign import option
from eventer.config.kinds import KindError, options_of
from eventer.config.leaves import BAD, BASIC, can_be, fits, gather, is_secret, left_out, meaning, number, word
from eventer.config.notes import YAML, Notes, Place, TooMuchError
from eventer.config.rules import read_rule
from eventer.config.secrets import secret_file
from eventer.config.variables import has_variable
from eventer.config.words import alternatives, describe, one_of, similar, unwrap
from eventer.errors import ConfigError, Fault
from eventer.match import FIELDS, Rule
from eventer.sink import SinkConfig, kinds
from eventer.text import escape
from eventer.values import Secret

__all__ = ["Reading", "Record"]

_SINK_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_TAGS: Final = frozenset(
    f"{YAML}{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq", "merge", "value")
)
"""What YAML makes of plain text; everything else was asked for with ! in the file."""
_TEXT: Final = inspect.StrType()
_SECRET: Final = inspect.CustomType(Secret)
_CONTAINERS: Final = (inspect.StructType, inspect.DictType, inspect.CollectionType)
"""What may hold secrets: a word that stands in place of one is not repeated in messages."""
_MAPPING: Final = inspect.DictType(inspect.StrType(), inspect.AnyType())
_LIST: Final = inspect.ListType(inspect.AnyType())


class Record(msgspec.Struct):
    """A struct as far as it could be read, for comparisons across structs."""

    cls: type
    values: dict[str, Any]
    node: Node
    path: Path


class Reading:
    """One pass over one document.

    Args:
        document: what to read.
        environ: variables for `${VAR}`.
        base: directory that relative paths of secret files count from.
    """

    def __init__(self, document: Document, environ: Mapping[str, str], base: FilePath) -> None:
        self.document = document
        self.faults: list[Fault] = []
        """Everything noted, once `read` has returned."""
        self.records: list[Record] = []
        self._notes = Notes(document, environ)
        self._options: dict[str, inspect.Type] = {}
        """Of each kind that was met; finding one looks through all that is installed."""
        self._base = base

    def read(self, cls: type, root: Node) -> Any:
        """Read the whole document as one struct; `BAD` when it has faults."""
        try:
            value = self._value(inspect.type_info(cls), root, Place())
        except TooMuchError:
            # What was noted so far is the same again and again.
            self._notes.forget(0)
            self.records.clear()
            message = "aliases make this file larger than it may be, or refer to themselves"
            self._notes.fault(root, (), message, "write the values out instead of using & and *")
            value = BAD
        self.faults = self._notes.finished()
        return value

    def _value(self, kind: inspect.Type, node: Node, place: Place) -> Any:
        self._notes.count(place)
        if node.tag not in _TAGS:
            self._notes.fault(node, place.path, "YAML tags (!) are not understood here", "write the value without it")
            return BAD
        kind = unwrap(kind)
        match kind:
            case inspect.StructType(cls) if cls is Rule:
                return read_rule(self._notes, node, place)
            case inspect.StructType(cls) if cls is SinkConfig:
                return self._sink(node, place)
            case inspect.CustomType(cls) if cls is Secret:
                return self._secret(node, place)
            case inspect.CustomType(cls) | inspect.StructType(cls) if hasattr(cls, "parse"):
                return self._parsed(cls, kind, node, place)
            case inspect.StructType():
                return self._struct(kind, node, place)
            case inspect.DictType():
                return self._dict(kind, node, place)
            case inspect.CollectionType():
                return self._list(kind, node, place)
            case inspect.UnionType():
                return self._union(kind, node, place)
            case inspect.AnyType():
                return self._any(node, place)
            case _:
                return self._scalar(kind, node, place)

    def _struct(self, kind: inspect.StructType, node: Node, place: Place) -> Any:
        if not isinstance(node, MappingNode):
            return self._notes.unexpected(kind, node, place, visible=False)
        fields = {field.encode_name: field for field in kind.fields}
        secret = {name for name, field in fields.items() if is_secret(field.type)}
        files = {f"{name}_file": name for name in secret if f"{name}_file" not in fields}
        found = {pair.key: pair for pair in self.document.entries(node)}
        values: dict[str, Any] = {}
        surplus = False
        meant: set[str | None] = set()
        for key, pair in found.items():
            down = place.down(key, pair.where)
            if key in fields:
                if not left_out(fields[key], pair.value):
                    values[fields[key].name] = self._value(fields[key].type, pair.value, down)
            elif key in files and files[key] in found:
                message = f"{files[key]} and {key} are both given"
                self._notes.fault(pair.where, down.path, message, "keep one of the two")
                surplus = True
            elif key in files:
                values[fields[files[key]].name] = self._secret_file(pair, down)
            else:
                surplus = True
                names = [*fields, *sorted(files)]
                close, remedy = self._meant(kind, names, key, place)
                meant.add(close)
                self._notes.fault(pair.where, down.path, f'"{escape(key[:60])}" is not known here', remedy)
        for name, field in fields.items():
            if field.required and field.name not in values:
                values[field.name] = BAD
                if name in meant:  # told above, where it is misspelt
                    continue
                remedy = f"add {name}: with {describe(field.type)}"
                if name in secret:
                    remedy = f"add {name}: ${{VARIABLE}}, or {name}_file: with the name of a file"
                self._notes.fault(place.key or node, (*place.path, name), f"{name} is missing", remedy)
        self.records.append(Record(kind.cls, values, node, place.path))
        if surplus or any(value is BAD for value in values.values()):
            return BAD
        return self._made(kind.cls, values, node, place)

    def _meant(self, kind: inspect.StructType, names: list[str], key: str, place: Place) -> tuple[str | None, str]:
        """Say which option was probably meant by one that is not known, and what to do."""
        below = _below(kind.fields, key)
        if below:
            return None, f"write it below {one_of(f'{name}:' for name in below)}"
        close, remedy = option(place.path, key, names)
        if remedy:
            return close, remedy
        close = similar(key, names)
        return close, f"did you mean {close}?" if close else f"known here: {', '.join(names) or 'nothing'}"

    def _made(self, cls: type, values: dict[str, Any], node: MappingNode, place: Place) -> Any:
        try:
            return cls(**values)
        except ConfigError as error:
            for fault in error.faults:
                path = _parts(fault.path)
                where = self.document.locate(node, path)
                where = place.key or node if where is node else where
                self._notes.fault(where, (*place.path, *path), fault.message, fault.remedy, warning=fault.warning)
            return BAD
        except ValueError as error:
            # `option: what is wrong with it` names one of the options.
            option, colon, rest = str(error).partition(": ")
            pair = next((pair for pair in self.document.entries(node) if pair.key == option), None)
            if colon and pair is not None:
                return self._notes.refused(pair.where, (*place.path, option), ValueError(rest))
            return self._notes.refused(place.key or node, place.path, error)

    def _sink(self, node: Node, place: Place) -> Any:
        name = str(place.path[-1])
        if not _SINK_NAME.fullmatch(name):
            message = f'"{escape(name[:60])}" is no name for a sink'
            remedy = "use at most 63 small letters, digits and hyphens"
            self._notes.fault(place.key or node, place.path, message, remedy)
        if not isinstance(node, MappingNode):
            return self._notes.unexpected(_MAPPING, node, place, visible=False)
        pair = next((pair for pair in self.document.entries(node) if pair.key == "kind"), None)
        if pair is None:
            known = kinds()
            # Other programs name the kind as a key, or where the sink's own name stands here.
            words = (name, *(each.key for each in self.document.entries(node)))
            near = next((word for word in words if word in known), None)
            remedy = f"add kind: {near}" if near else f"add kind: with {one_of(known)}"
            self._notes.fault(place.key or node, (*place.path, "kind"), "kind is missing", remedy)
            return BAD
        down = place.down("kind", pair.where)
        kind = self._value(_TEXT, pair.value, down)
        if kind is BAD:
            return BAD
        try:
            described = self._options.get(kind) or inspect.type_info(options_of(kind))
        except KindError as error:
            self._notes.fault(pair.value, down.path, escape(error.message), error.remedy)
            return BAD
        self._options[kind] = described
        assert isinstance(described, inspect.StructType)
        return self._struct(described, node, place)

    def _dict(self, kind: inspect.DictType, node: Node, place: Place) -> Any:
        if not isinstance(node, MappingNode) or not fits(len(node.value), kind.min_length, kind.max_length):
            return self._notes.unexpected(kind, node, place, visible=False)
        result = {
            pair.key: self._value(kind.value_type, pair.value, place.down(pair.key, pair.where))
            for pair in self.document.entries(node)
        }
        return BAD if any(value is BAD for value in result.values()) else result

    def _list(self, kind: inspect.CollectionType, node: Node, place: Place) -> Any:
        if not isinstance(node, SequenceNode) or not fits(len(node.value), kind.min_length, kind.max_length):
            return self._notes.unexpected(kind, node, place, visible=False)
        result = [self._value(kind.item_type, item, place.down(i, item)) for i, item in enumerate(node.value)]
        return BAD if any(value is BAD for value in result) else gather(kind, result)

    def _union(self, kind: inspect.UnionType, node: Node, place: Place) -> Any:
        members = alternatives(kind)
        if node.tag == f"{YAML}null" and len(members) < len(kind.types):
            return None
        fitting = [member for member in members if can_be(member, node)]
        if len(members) == 1 or len(fitting) == 1:
            return self._value((fitting or members)[0], node, place)
        if any(isinstance(member, BASIC) for member in fitting):
            meant = meaning(node)
            fitting = [member for member in fitting if not isinstance(member, BASIC) or isinstance(member, meant)]
            if len(fitting) == 1:
                return self._value(fitting[0], node, place)
        before = len(self._notes)
        for member in fitting:
            value = self._value(member, node, place)
            if value is not BAD:
                return value
            self._notes.forget(before)
        visible = not any(is_secret(member) or isinstance(member, _CONTAINERS) for member in members)
        return self._notes.unexpected(kind, node, place, visible=visible)

    def _parsed(self, cls: Any, kind: inspect.Type, node: Node, place: Place) -> Any:
        self.document.show(node, visible=True)
        if not isinstance(node, ScalarNode) or node.tag == f"{YAML}null":
            return self._notes.unexpected(kind, node, place)
        filled = self._notes.filled(node, place)
        if filled is None:
            return BAD
        try:
            return cls.parse(filled.text)
        except ValueError as error:
            if not filled.values:
                return self._notes.refused(node, place.path, error)
        return self._notes.unexpected(kind, node, place)

    def _secret(self, node: Node, place: Place) -> Any:
        self.document.show(node, visible=False)
        if isinstance(node, ScalarNode) and not has_variable(node.value):
            self._notes.hide(node.value, "<secret>")
        filled = self._notes.text(_SECRET, node, place, visible=False)
        if filled is None:
            return BAD
        if not filled.text:
            self._notes.fault(node, place.path, "the secret is empty", "set it, or leave the option out")
            return BAD
        self._notes.hide(filled.text, "<secret>")
        if filled.values:
            return Secret.literal(filled.text, f"the variable {one_of(name for name, _ in filled.values)}")
        message = "this secret can be read by everybody who may read the configuration"
        self._notes.fault(node, place.path, message, "write ${VARIABLE}, or name a file with _file", warning=True)
        return Secret.literal(filled.text)

    def _secret_file(self, pair: Pair, place: Place) -> Any:
        self.document.show(pair.value, visible=True)
        filled = self._notes.text(_TEXT, pair.value, place)
        if filled is None:
            return BAD
        try:
            secret, value = secret_file(self._base, filled.text)
        except ValueError as error:
            return self._notes.refused(pair.value, place.path, error)
        self._notes.hide(value, "<secret>")
        return secret

    def _scalar(self, kind: inspect.Type, node: Node, place: Place) -> Any:
        self.document.show(node, visible=True)
        if isinstance(kind, inspect.StrType | inspect.LiteralType | inspect.EnumType):
            filled = self._notes.text(kind, node, place)
            if filled is None:
                return BAD
            value = word(kind, filled.text)
        elif isinstance(node, ScalarNode):
            filled = self._notes.filled(node, place)
            if filled is None:
                return BAD
            value = number(kind, filled.text)
            if value is not BAD and node.style is not None and not filled.values:
                message = f"expected {describe(kind)}, got a text"
                self._notes.fault(node, place.path, message, f"write it without quotes: {escape(node.value)}")
                return BAD
        else:
            value = BAD
        return self._notes.unexpected(kind, node, place) if value is BAD else value

    def _any(self, node: Node, place: Place) -> Any:
        """Read plain data, for options whose shape is the user's own."""
        if isinstance(node, MappingNode):
            return self._dict(_MAPPING, node, place)
        if isinstance(node, SequenceNode):
            return self._list(_LIST, node, place)
        if node.tag == f"{YAML}null":
            return None
        return self._scalar(meaning(node)[0](), node, place)


def _below(fields: Iterable[inspect.Field], key: str) -> list[str]:
    """Return the options of a struct in which this key would be right."""
    found: list[str] = []
    for field in fields:
        kind = unwrap(field.type)
        for member in alternatives(kind) if isinstance(kind, inspect.UnionType) else [kind]:
            if not isinstance(member, inspect.StructType):
                continue
            names = FIELDS if member.cls is Rule else [inner.encode_name for inner in member.fields]
            if key in names and not hasattr(member.cls, "EXPECTED"):
                found.append(field.encode_name)
    return found


def _parts(path: str) -> Path:
    """Split what `dotted` joined, for plain names."""
    return tuple(int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", path))
