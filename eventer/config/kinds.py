"""From a word after `kind:` to the type of that sink's options, importing nothing else."""

from __future__ import annotations

import functools
import re
from importlib import metadata
from typing import Final

from msgspec import inspect

from eventer.config.words import similar
from eventer.sink import SinkConfig, kinds, load

__all__ = ["KindError", "options_of"]

_REQUIREMENT: Final = re.compile(r"([A-Za-z0-9][\w.-]*).*?;.*\bextra\s*==\s*['\"]([\w.-]+)['\"]")
_look_into: Final = functools.cache(inspect.type_info)
"""Fails for types that no option can have. It takes 1 to 2 ms, and what a kind has does not change."""


class KindError(ValueError):
    """A kind that cannot be used: what is wrong, and what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        self.message = message
        self.remedy = remedy
        super().__init__(message)


def options_of(kind: str) -> type[SinkConfig]:
    """Import one sink and return the type of its options.

    Raises:
        KindError: there is no such sink, a library that it needs is missing, or it is broken.
    """
    known = kinds()
    if kind not in known:
        close = similar(kind, known)
        remedy = f"known kinds: {', '.join(known)}"
        raise KindError(f"{kind!r} is no kind of sink", f"did you mean {close}? {remedy}" if close else remedy)
    absent = _absent(kind)
    if absent:
        raise _missing(kind, absent)
    try:
        module = load(kind)
        config = getattr(module, "Config", None)
        _look_into(config)
    except ImportError as error:
        raise _missing(kind, error.name or str(error)) from None
    except Exception as error:
        # A plug-in by a third party can fail in any way; the other faults are worth knowing too.
        raise KindError(
            f"the sink {kind} cannot be loaded: {error}", "repair or remove the package it is in"
        ) from error
    if not (isinstance(config, type) and issubclass(config, SinkConfig)):
        raise KindError(f"the sink {kind} has no Config made for this Eventer", "update the package it is in")
    return config


def _missing(kind: str, library: str) -> KindError:
    return KindError(f"the sink {kind} needs {library}, which is not installed", f'pip install "eventer[{kind}]"')


def _absent(kind: str) -> str:
    """Name a library that the extra of this kind asks for and that is not installed.

    Sinks import their client library when they open, which is too late to say so; an extra has the
    name of its kind.
    """
    try:
        requirements = metadata.requires("eventer") or []
    except metadata.PackageNotFoundError:
        return ""  # run from a checkout
    for requirement in requirements:
        match = _REQUIREMENT.match(requirement)
        if match is None or match[2] != kind:
            continue
        try:
            metadata.version(match[1])
        except metadata.PackageNotFoundError:
            return match[1]
    return ""
