"""`config/eventer.yaml`: every option with its meaning and its default, ready to be edited."""

from __future__ import annotations

import re
import textwrap
from typing import Final

import msgspec
from msgspec import inspect

from eventer.config.generate.options import (
    Option,
    common_options,
    example,
    options,
    own_options,
    sample_kinds,
    shared_options,
    struct_of,
    yaml_value,
)
from eventer.config.types import Config
from eventer.config.words import unwrap

__all__ = ["sample"]

_WIDTH: Final = 100
_HEAD: Final = """\
# yaml-language-server: $schema=./eventer.schema.json
#
# Every option of Eventer with its default. Copy what you change; what you leave out keeps its
# default. A line that begins with # and no space is an option without a default, switched off.
# `eventer check -c FILE` says what is wrong with a file.
#
# ${NAME} in a value stands for a variable of the environment, $$ for a $. An option that is secret
# can also be read from a file: write option_file: PATH in place of option: VALUE.
#
# Made from the types in eventer/config and sinks by `make generate`: edit those, not this file.
"""


def sample() -> str:
    """Return the text of the sample."""
    lines = [_HEAD.rstrip()]
    for option in options(Config):
        lines += ["", *_comment(option.doc)]
        if option.name == "sinks":
            lines += ["sinks:", *_sinks()]
        else:
            lines += _option(option, option.name)
    return "\n".join(lines) + "\n"


def _sinks() -> list[str]:
    lines: list[str] = []
    shown = False
    for number, kind in enumerate(sample_kinds()):
        lines += ([""] if number else []) + [f"  {kind}:", f"    kind: {kind}"]
        lines += _indent(_options(own_options(kind), kind), 4)
        shared = shared_options(kind)
        if not shown and len(shared) == len(common_options()):
            shown = True
            lines += ["", "    # Options that every sink has:", *_indent(_options(shared, kind), 4)]
    return lines


def _options(listed: list[Option] | tuple[Option, ...], path: str) -> list[str]:
    lines: list[str] = []
    for option in listed:
        lines += _comment(option.doc)
        lines += _option(option, f"{path}_{option.name}")
    return lines


def _option(option: Option, path: str) -> list[str]:
    """Write one option without its comment; switched off where it has no default."""
    items = _items(option.kind)
    if items is not None and option.required:
        return [f"{option.name}:", "  -", *_indent(_options(options(items), path), 4)]
    if items is not None and option.examples:
        return [f"#{option.name}: {option.examples[0]}"]
    if items is not None and any(inner.required for inner in options(items)):
        lines = [f"{option.name}:"]
        for at, inner in enumerate(options(items)):
            line = f"#{' ' if at else '-'} {inner.name}: {example(inner, path.upper())}"
            lines += _indent([*_comment(inner.doc), line], 2)
        return lines
    if items is not None:
        # Each option of such a list stands for itself: the list is empty until one is switched on.
        lines = [f"{option.name}:"]
        for inner in options(items):
            lines += [*_indent(_comment(inner.doc), 2), f"  #- {inner.name}: {example(inner, path.upper())}"]
        return lines
    struct = struct_of(option.kind)
    if struct is not None:
        within = _options(options(struct), path)
        if option.required and option.examples:
            # A choice: one of them must be on, and the example says which.
            on = option.examples[0].strip("{}")
            within = [on if line == f"#{on}" else line for line in within]
        lines = [f"{option.name}:", *_indent(within, 2)]
        return lines if option.required or option.default is not None else [f"#{line}" for line in lines]
    if not option.required and option.default is not None:
        return [f"{option.name}: {yaml_value(option.default)}"]
    line = f"{option.name}: {example(option, path.upper())}"
    # A secret with an example is one of several ways in, and that which is on.
    return [line if option.required or (option.secret and option.examples) else f"#{line}"]


def _items(kind: inspect.Type) -> type[msgspec.Struct] | None:
    """Return the struct that a list is made of, if it is."""
    return struct_of(unwrap(kind.item_type)) if isinstance(kind, inspect.ListType) else None


def _comment(text: str) -> list[str]:
    # What stands between backticks is to be copied: it stays on one line.
    glued = re.sub(r"`[^`]*`", lambda match: match[0].replace(" ", "\0"), text)
    return [f"# {line}".replace("\0", " ") for line in textwrap.wrap(glued, _WIDTH - 8, break_on_hyphens=False)]


def _indent(lines: list[str], width: int) -> list[str]:
    return [" " * width + line if line else line for line in lines]
