"""What is found on the way through a document: its faults, without the secrets in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import inspect
from yaml.nodes import Node, ScalarNode

from eventer.config.document import DEPTH, NODES, Document, Path
from eventer.config.leaves import BAD, choices
from eventer.config.variables import Filled, fill, has_variable, names_in
from eventer.config.words import describe, got, one_of, shaped, similar
from eventer.errors import Fault
from eventer.text import escape

__all__ = ["YAML", "Notes", "Place", "TooMuchError"]

YAML: Final = "tag:yaml.org,2002:"
"""What begins the names of YAML's own types."""
_READ_AS: Final = {"bool": "true or false", "int": "a number", "float": "a number", "timestamp": "a date"}
_LONGEST: Final = 400
"""Characters of a message, which may repeat what the file says."""
_MASKED: Final = 4
"""Characters from which a secret is also searched for in finished messages. Values are not put
into them in the first place; masking shorter ones would only garble words."""
_SECRET_NAME: Final = re.compile(
    r"(.*[-_.])?(authorization|cookie|token|password|passwd|secret|credentials?|signature|(api|access|auth|secret)[-_]?key)",
    re.IGNORECASE,
)
"""Names of headers and parameters that carry a secret, where the option itself is none."""
_CREDENTIALS: Final = re.compile(r"^[a-z][a-z0-9+.-]{0,20}://[^/?#@\s]*:[^/?#@\s]+@", re.IGNORECASE)
"""user:password@ in an address."""
_PARAMETERS: Final = re.compile(r"^[a-z][a-z0-9+.-]{0,20}://[^?#\s]*\?([^#\s]+)", re.IGNORECASE)
"""What follows the ? of an address."""


class TooMuchError(Exception):
    """Aliases unfold to more than anybody would write."""


class Place(msgspec.Struct, frozen=True):
    """Where a value stands: its path, and the key that leads to it (for what is missing in it)."""

    path: Path = ()
    key: Node | None = None

    def down(self, part: str | int, key: Node | None) -> Place:
        """Return the place of a part of the value."""
        return Place((*self.path, part), key)


class Notes:
    """The faults of one document so far.

    Args:
        document: what they are about.
        environ: variables for `${VAR}`.
    """

    def __init__(self, document: Document, environ: Mapping[str, str]) -> None:
        self.document = document
        self._environ = environ
        self._faults: list[Fault] = list(document.faults)
        self._hidden: dict[str, str] = {}
        self._visits = 0

    def __len__(self) -> int:
        return len(self._faults)

    def count(self, place: Place) -> None:
        """Count one more value.

        Raises:
            TooMuchError: there are too many, or they are nested too deeply; aliases can do that.
        """
        self._visits += 1
        if self._visits > NODES or len(place.path) > DEPTH:
            raise TooMuchError

    def fault(self, node: Node, path: Path, message: str, remedy: str = "", *, warning: bool = False) -> None:
        """Note a fault at a node."""
        fault = self.document.fault(node, path, message, remedy)
        self._faults.append(msgspec.structs.replace(fault, warning=warning))

    def refused(self, node: Node, path: Path, error: ValueError) -> object:
        """Note what a type said of a text, written `message; remedy`. Returns `BAD`."""
        message, _, remedy = str(error).partition("; ")
        self.fault(node, path, escape(message), escape(remedy))
        return BAD

    def unexpected(self, kind: inspect.Type, node: Node, place: Place, *, visible: bool = True) -> object:
        """Note that something else was expected. Returns `BAD`.

        Args:
            kind: what was expected.
            node: what stands there.
            place: where.
            visible: False where the value may be a secret.
        """
        expected = describe(kind)
        remedy = shaped(kind, node) or f"write {expected}"
        if isinstance(node, ScalarNode) and node.tag == f"{YAML}null":
            needed = isinstance(kind, inspect.DictType) and kind.min_length
            remedy = remedy if needed else "give it a value, or remove it"
        elif isinstance(node, ScalarNode) and visible:
            close = similar(node.value, choices(kind))
            variables = one_of(dict.fromkeys(names_in(node.value)))
            remedy = f"did you mean {close}?" if close else f"set {variables} to {expected}" if variables else remedy
        self.fault(node, place.path, f"expected {expected}, got {got(node, visible=visible)}", remedy)
        return BAD

    def failed(self, since: int) -> bool:
        """Whether a fault that is more than a warning was noted since there were `since` of them."""
        return any(not fault.warning for fault in self._faults[since:])

    def forget(self, since: int) -> None:
        """Take back what was noted since there were `since` faults: another reading was right."""
        del self._faults[since:]

    def hide(self, value: str, shown: str) -> None:
        """Keep a value out of all messages; `shown` stands in its place."""
        for form in (value, escape(value)):
            if len(form) >= _MASKED:
                self._hidden[form] = shown

    def finished(self) -> list[Fault]:
        """Return all faults, with hidden values masked."""
        hidden = sorted(self._hidden.items(), key=lambda item: -len(item[0]))

        def mask(text: str) -> str:
            for value, shown in hidden:
                text = text.replace(value, shown)
            return escape(text[:_LONGEST])  # cut last: part of a secret would not be found

        # What an alias stands for is read at each *name, and has the same faults each time.
        once = {(fault.line, fault.column, fault.message): fault for fault in reversed(self._faults)}
        return [
            msgspec.structs.replace(
                fault, message=mask(fault.message), remedy=mask(fault.remedy), path=mask(fault.path)
            )
            for fault in reversed(once.values())
        ]

    def filled(self, node: ScalarNode, place: Place) -> Filled | None:
        """Fill in the variables of a word; None after noting what is wrong with it."""
        try:
            node.value.encode()
        except UnicodeEncodeError:
            self.fault(node, place.path, "half a character (a lone surrogate) stands here", "write the whole one")
            return None
        filled = fill(node.value, self._environ)
        for message, remedy in filled.faults:
            self.fault(node, place.path, message, remedy)
        for name, value in filled.values:
            self.hide(value, f"${{{name}}}")
        return None if filled.faults else filled

    def text(self, kind: inspect.Type, node: Node, place: Place, *, visible: bool = True) -> Filled | None:
        """Read a word that must be text, explaining what YAML made of it otherwise.

        Args:
            kind: what is expected, for messages.
            node: the word.
            place: where it stands.
            visible: False where it may be a secret.

        Returns:
            None after noting what is wrong with it.
        """
        if not isinstance(node, ScalarNode) or node.tag == f"{YAML}null":
            self.unexpected(kind, node, place, visible=visible)
            return None
        if node.tag != f"{YAML}str":
            shown = got(node, visible=visible)
            # True and False in any capitals, where just these words are meant.
            named = next((item for item in choices(kind) if item.lower() == node.value.lower()), shown)
            remedy = f'write it in quotes: "{named}"' if visible and node.style is None else "write it in quotes"
            meaning = _READ_AS.get(node.tag.removeprefix(YAML), "something else")
            message = f"expected {describe(kind)}, but YAML reads {shown if visible else 'this'} as {meaning}"
            self.fault(node, place.path, message, remedy)
            return None
        if visible and _in_clear(node.value, place.path):
            self.document.show(node, visible=False)
            self.hide(node.value, "<secret>")
            message = "this looks like a secret, and can be read by everybody who may read the configuration"
            self.fault(node, place.path, message, "write ${VARIABLE} in its place", warning=True)
        return self.filled(node, place)


def _in_clear(text: str, path: Path) -> bool:
    """Whether a text that is no secret by its type holds one all the same, written out."""
    if path[:1] != ("sinks",) or len(path) < 3 or path[2] == "match" or has_variable(text) or "{{" in text:
        return False
    if _CREDENTIALS.match(text):
        return True
    parameters = _PARAMETERS.match(text)
    names = [pair.partition("=") for pair in parameters[1].split("&")] if parameters else []
    if any(value and (name == "sign" or _SECRET_NAME.fullmatch(name)) for name, _, value in names):
        return True
    return bool(text) and isinstance(path[-1], str) and _SECRET_NAME.fullmatch(path[-1]) is not None
