"""Rules of the match language, as they stand in a document."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from msgspec import inspect
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from eventer.config.document import Pair, Path
from eventer.config.foreign import field
from eventer.config.leaves import BAD
from eventer.config.notes import Notes, Place
from eventer.config.samples import STATUSES
from eventer.config.variables import has_variable
from eventer.config.words import got, similar
from eventer.match import FIELDS, LOOKED, Rule, RuleFault
from eventer.text import escape

__all__ = ["read_rule"]


class _Test(str):
    """What a rule tests a field for; described by it, never made."""

    EXPECTED: ClassVar[str] = "a word, a list of words, or a /regular expression/"
    __slots__ = ()
    parse = str


class _Status(_Test):
    """What a rule tests the status of a condition for."""

    WORDS: ClassVar[Sequence[str]] = STATUSES
    __slots__ = ()


_RULE: Final = inspect.CustomType(Rule)
_TEST: Final = inspect.CustomType(_Test)
_STATUS: Final = inspect.CustomType(_Status)


def read_rule(notes: Notes, node: Node, place: Place) -> Any:
    """Compile a rule; `BAD` after noting everything that is wrong in it."""
    if not isinstance(node, MappingNode):
        return notes.unexpected(_RULE, node, place)
    before = len(notes)
    pairs = {pair.key: pair for pair in notes.document.entries(node)}
    mapping = {key: _tests(notes, pair, place.down(key, pair.where)) for key, pair in pairs.items()}
    rule: Any = BAD
    try:
        with warnings.catch_warnings(record=True) as doubts:
            warnings.simplefilter("always")
            rule = Rule.parse(mapping)
        for doubt in dict.fromkeys(str(item.message) for item in doubts):
            message = f"a regular expression is doubtful: {doubt}"
            remedy = "put a backslash before the character that is meant as itself"
            notes.fault(node, place.path, message, remedy, warning=True)
    except RuleFault as error:
        for path, message, remedy in error.faults:
            _note(notes, pairs, (node, place), path, message, remedy)
    return BAD if notes.failed(before) else rule


def _note(
    notes: Notes, pairs: dict[str, Pair], rule: tuple[Node, Place], path: Path, message: str, remedy: str
) -> None:
    """Note one fault that the rule's own type found."""
    node, place = rule
    if len(path) == 1 and path[0] not in {*FIELDS, *LOOKED}:
        found = pairs[str(path[0])].where
        close = similar(str(path[0]), (*FIELDS, *LOOKED))
        remedy = f"did you mean {close}? {remedy}" if close else field(str(path[0])) or remedy
    else:
        found = notes.document.locate(node, path)
        if isinstance(found, ScalarNode) and has_variable(found.value):
            message = f"what {got(found)} stands for cannot be used here"
    notes.fault(found, (*place.path, *path), escape(message), remedy)


def _tests(notes: Notes, pair: Pair, place: Place) -> Any:
    """Read what a field is tested for, as plain data."""
    if pair.key != "labels" and not pair.key.endswith(".labels"):
        return _words(notes, pair.value, place, _STATUS if pair.key == "status" else _TEST)
    if not isinstance(pair.value, MappingNode):
        return None  # the rule itself says what it wants there
    return {
        label.key: _words(notes, label.value, place.down(label.key, label.where), _TEST)
        for label in notes.document.entries(pair.value)
    }


def _words(notes: Notes, node: Node, place: Place, kind: inspect.Type) -> Any:
    if isinstance(node, SequenceNode):
        return [_word(notes, item, place.down(index, item), kind) for index, item in enumerate(node.value)]
    return _word(notes, node, place, kind)


def _word(notes: Notes, node: Node, place: Place, kind: inspect.Type) -> str:
    """Read one word; `*`, which is as good as any, stands in for one that cannot be read."""
    notes.count(place)
    notes.document.show(node, visible=True)
    filled = notes.text(kind, node, place)
    return "*" if filled is None else filled.text
