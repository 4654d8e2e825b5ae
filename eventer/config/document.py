"""A YAML file with the place of everything in it.

PyYAML's node tree is used as it is composed, never constructed: each scalar keeps the text that the
user wrote, so that `no` and `12:30` (a boolean and a number in YAML 1.1) can be explained instead
of silently changed, and every fault can name its line. Size, depth and number of nodes are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any, Final, NamedTuple

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from eventer.config.syntax import explained
from eventer.config.variables import has_variable
from eventer.errors import ConfigError, Fault
from eventer.text import escape

__all__ = ["DEPTH", "MAX_BYTES", "NODES", "Document", "Pair", "Path", "dotted", "read", "syntax_excerpt"]

MAX_BYTES: Final = 1 << 20
"""A configuration of a thousand sinks has a quarter of this."""
NODES: Final = 50_000
"""Nodes read, aliases followed included: a few kilobytes of aliases can unfold to billions."""
DEPTH: Final = 50
"""Levels of nesting; the deepest option has six."""
Path = tuple[str | int, ...]
"""Keys and indexes that lead to a value."""
_WIDE: Final = 160
"""Characters of a line that are shown."""
_MERGE: Final = "tag:yaml.org,2002:merge"
_KEY: Final = re.compile(r"[\s-]*[A-Za-z_][\w-]*\s*:")
_UNSEEN: Final = re.compile("[\u00a0\u2000-\u200f\u2028-\u202f\u2060\u3000\ufeff]")
"""Blanks that YAML takes for letters: text copied from a web page or a chat has them in its indentation."""
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_<][\w<-]*")


class Pair(NamedTuple):
    """One entry of a mapping."""

    key: str
    where: Node
    """The key's node."""
    value: Node


class _Loader(yaml.SafeLoader):
    """PyYAML's composer, which recurses, with bounds."""

    depth = 0
    nodes = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        self.depth += 1
        self.nodes += 1
        if self.depth > DEPTH or self.nodes > NODES:
            problem = "too deeply nested" if self.depth > DEPTH else "too many values"
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def dotted(path: Path) -> str:
    """Write a path as `sinks.archive.url` or `sources[0].labels."a b"`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if _PLAIN_NAME.fullmatch(part) else f'"{escape(part[:60])}"'
            text += f".{name}" if text else name
    return text


class Document:
    """One file: its text, its nodes, and what is wrong with its structure.

    Args:
        file: how messages name it.
        text: its content.

    Raises:
        ConfigError: it is no YAML; one fault, since nothing after it can be trusted.
    """

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self._lines = text.splitlines()
        self.faults: list[Fault] = []
        self._entries: dict[int, list[Pair]] = {}
        self._paths: dict[int, Path] = {}
        self._scalars: dict[int, list[ScalarNode]] = {}
        """By the lines in which they stand."""
        self._shown: dict[int, bool] = {}
        self._merged = 0
        self.root = self._compose(text)
        if self.root is not None:
            self._survey(self.root)

    def fault(self, node: Node | None, path: Path, message: str, remedy: str = "") -> Fault:
        """Make a fault at a node."""
        line, column = (None, None) if node is None else (node.start_mark.line + 1, node.start_mark.column + 1)
        return Fault(path=dotted(path), message=message, remedy=remedy, line=line, column=column, file=self.file)

    def entries(self, node: MappingNode) -> list[Pair]:
        """Return the entries of a mapping, with what `<<` merges into it; own keys win."""
        return self._entries[id(node)]

    def locate(self, node: Node, path: Path) -> Node:
        """Follow a path from a node as far as it goes."""
        for part in path:
            found: Node | None = None
            if isinstance(node, MappingNode) and isinstance(part, str):
                found = next((pair.value for pair in self.entries(node) if pair.key == part), None)
            elif isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
                found = node.value[part]
            if found is None:
                break
            node = found
        return node

    def show(self, node: Node, *, visible: bool) -> None:
        """Say whether a value may be shown to people. What nobody spoke of is not shown."""
        self._shown[id(node)] = visible and self._shown.get(id(node), True)

    def excerpt(self, line: int) -> str:
        """Return a line of the file for people, without comment and without values that may be secret.

        Args:
            line: 1-based.
        """
        if not 1 <= line <= len(self._lines):
            return ""
        text = self._lines[line - 1]
        end = 0
        hidden: list[tuple[int, int]] = []
        for node in self._scalars.get(line - 1, ()):
            start, stop = node.start_mark, node.end_mark
            left = start.column if start.line == line - 1 else 0
            right = stop.column if stop.line == line - 1 else len(text)
            if right <= left:
                continue
            end = max(end, right)
            if not self._shown.get(id(node), False):
                hidden.append((left, right))
        tail = text[end:].partition(" #")[0]
        text = text[:end] + (tail if not tail.lstrip().startswith("#") else "")
        for left, right in sorted(hidden, reverse=True):
            text = f"{text[:left]}…{text[right:]}"
        text = text.rstrip()
        return escape(text if len(text) <= _WIDE else f"{text[:_WIDE]}…")

    def _compose(self, text: str) -> Node | None:
        loader = None
        try:
            loader = _Loader(text)
            return loader.get_single_node()
        except yaml.MarkedYAMLError as error:
            raise ConfigError([self._syntax(error)]) from None
        except yaml.reader.ReaderError as error:
            line, column = _place(text, error.position)
            message = f"the character U+{error.character:04X} is not allowed in YAML"
            raise ConfigError(
                [self._unreadable(line, column, message, "remove it, or write it as an escape")]
            ) from None
        except (ValueError, OverflowError):
            # PyYAML passes on what chr() says of an escape beyond Unicode.
            line = 1 if loader is None else loader.line + 1
            message = "an escape in this text is no character"
            raise ConfigError([self._unreadable(line, None, message, "correct the escape after the \\")]) from None
        finally:
            if loader is not None:
                loader.dispose()

    def _unreadable(self, line: int | None, column: int | None, message: str, remedy: str) -> Fault:
        return Fault(path="", message=message, remedy=remedy, line=line, column=column, file=self.file)

    def _syntax(self, error: yaml.MarkedYAMLError) -> Fault:
        problem, remedy, mark = explained(error, self.text, depth=DEPTH, nodes=NODES)
        line, column = (None, None) if mark is None else (mark.line + 1, mark.column + 1)
        return self._unreadable(line, column, escape(problem), escape(remedy))

    def _survey(self, root: Node) -> None:
        """Visit each node once: note scalars, collect the entries of mappings, refuse duplicates."""
        seen: set[int] = set()
        todo: list[tuple[Node, Path]] = [(root, ())]
        mappings: list[MappingNode] = []
        while todo:
            node, path = todo.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, ScalarNode):
                for number in range(node.start_mark.line, node.end_mark.line + 1):
                    self._scalars.setdefault(number, []).append(node)
            elif isinstance(node, SequenceNode):
                todo += [(item, (*path, index)) for index, item in enumerate(node.value)]
            elif isinstance(node, MappingNode):
                mappings.append(node)
                self._own(node, path)
                for key, value in node.value:
                    # What a fault leaves out is visited as well: its values must not be shown.
                    plain = isinstance(key, ScalarNode)
                    todo.append((value, (*path, key.value) if plain else path))
                    todo += [] if plain else [(key, path)]
        for mapping in mappings:
            self._merge(mapping, set())

    def _own(self, node: MappingNode, path: Path) -> None:
        pairs: dict[str, Pair] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                remedy = "write the key as plain text; a text that begins with { or [ needs quotes"
                self.faults.append(self.fault(key, path, "a key must be a word", remedy))
                continue
            unseen = _UNSEEN.search(key.value)
            if unseen:
                message = f"an invisible character (U+{ord(unseen[0]):04X}) stands in this key"
                self.faults.append(self.fault(key, path, message, "write the line anew, with plain spaces"))
                continue
            place = (*path, key.value)
            if key.value in pairs:
                first = pairs[key.value].where.start_mark.line + 1
                message = f"this key is given twice, first in line {first}"
                self.faults.append(self.fault(key, place, message, "keep one of the two"))
                continue
            if has_variable(key.value):
                message = "variables are filled in in values only, not in keys"
                self.faults.append(self.fault(key, place, message, "write the key out"))
            pairs[key.value] = Pair(key.value, key, value)
        self._entries[id(node)] = list(pairs.values())
        self._paths[id(node)] = path

    def _merge(self, node: MappingNode, inside: set[int]) -> list[Pair]:
        """Replace `<<` by what it names. A mapping that merges itself adds nothing."""
        own = self._entries[id(node)]
        merge = next((pair for pair in own if pair.where.tag == _MERGE), None)
        if merge is None or id(node) in inside:
            return own
        inside.add(id(node))
        result = {pair.key: pair for pair in own if pair is not merge}
        for item in _items(merge.value) if len(inside) < DEPTH else ():
            if not isinstance(item, MappingNode):
                message = "<< merges mappings only"
                place = (*self._paths[id(node)], merge.key)
                self.faults.append(self.fault(merge.value, place, message, "write <<: *name of a mapping"))
                continue
            for pair in self._merge(item, inside):
                self._merged += 1
                if pair.where.tag != _MERGE:
                    result.setdefault(pair.key, pair)
            if self._merged > NODES:
                fault = self.fault(merge.where, (), "<< merges too many values", f"stay below {NODES} values")
                raise ConfigError([fault])
        inside.discard(id(node))
        self._entries[id(node)] = list(result.values())
        return self._entries[id(node)]


def _items(node: Node) -> Iterator[Node]:
    if isinstance(node, SequenceNode):
        yield from node.value
    else:
        yield node


def _place(text: str, position: int) -> tuple[int, int]:
    """Line and column, both 1-based, of a character."""
    before = text[:position]
    return before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1


def syntax_excerpt(text: str, line: int) -> str:
    """Return a line of a file that is no YAML: its key, but no value, for that may be secret."""
    lines = text.splitlines()
    match = _KEY.match(lines[line - 1]) if 1 <= line <= len(lines) else None
    return "" if match is None else f"{escape(match[0])} …"


def read(path: FilePath) -> str:
    """Read a configuration file.

    Raises:
        ConfigError: it cannot be read, is too large, or is not UTF-8; one fault.
    """

    def refuse(message: str, remedy: str, line: int | None = None) -> ConfigError:
        return ConfigError([Fault(path="", message=message, remedy=remedy, file=str(path), line=line)])

    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise refuse("there is no such file", "name the file with -c FILE or EVENTER_CONFIG") from None
    except IsADirectoryError:
        raise refuse("this is a directory", "name a file in it") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "its name is no name of a file"
        raise refuse(f"the file cannot be read: {reason}", "check its name and its permissions") from None
    if len(data) > MAX_BYTES:
        raise refuse("the file is larger than 1 MiB", "name the configuration, not another file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise refuse("the file is not UTF-8", "save it as UTF-8", line) from None
