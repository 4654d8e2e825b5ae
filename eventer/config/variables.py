"""`${VAR}` in values: filled in after YAML has been read, so that a value never becomes structure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

__all__ = ["Filled", "fill", "has_variable", "names_in"]

_PLACE: Final = re.compile(r"\$\$|\$\{([^}]*)(\}?)")
_DEFAULT: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::?[-=?+])")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Filled(msgspec.Struct, frozen=True):
    """A text with its variables filled in."""

    text: str
    values: tuple[tuple[str, str], ...] = ()
    """Name and value of each variable used."""
    faults: tuple[tuple[str, str], ...] = ()
    """Message and remedy of each that cannot be filled in."""


def names_in(text: str) -> list[str]:
    """Return the names of the variables that a text uses."""
    return [match[1] for match in _PLACE.finditer(text) if match[0] != "$$"]


def has_variable(text: str) -> bool:
    """Whether something in the text looks like a variable."""
    return "${" in text


def fill(text: str, environ: Mapping[str, str]) -> Filled:
    """Replace `${NAME}` by the variable's value, once, and `$$` by `$`. A lone `$` stays."""
    if "$" not in text:
        return Filled(text)
    values: list[tuple[str, str]] = []
    faults: list[tuple[str, str]] = []

    def replace(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        name = match[1]
        if not match[2] or not _NAME.fullmatch(name):
            default = _DEFAULT.match(name) if match[2] else None
            if default:
                message = (
                    f"${{{default[0]}...}} is how a shell gives {default[1]} a default, which is not possible here"
                )
                faults.append((message, f"write ${{{default[1]}}} and set the variable"))
            else:
                faults.append(("${ begins no variable here", "write ${NAME}, or $${ where ${ itself is meant"))
            return ""
        value = environ.get(name)
        if value is None:
            faults.append((f"the variable {name} is not set", f"set {name}, or write $${{{name}}} for the text itself"))
            return ""
        try:
            value.encode()
        except UnicodeEncodeError:
            faults.append((f"the variable {name} is not valid UTF-8", f"set {name} to valid text"))
            return ""
        values.append((name, value))
        return value

    return Filled(_PLACE.sub(replace, text), tuple(values), tuple(faults))
