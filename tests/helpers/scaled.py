"""Runs the daemon with some of its fixed times shortened, so that a fault row takes seconds.

    python -m tests.helpers.scaled '{"eventer.source.kube:CONNECT": 1.0}' run -c eventer.yaml

`module:NAME` is a constant, `module:Class.field` the default of a field of a msgspec struct. Users have no use for such options, so the program has none; a test names the constant it changes.
"""

from __future__ import annotations

import importlib
import json
import sys

import msgspec


def change(place: str, value: object) -> None:
    """Set one constant, or the default of one field.

    It must come before other modules take the name over by `from ... import`.
    """
    module_name, _, path = place.partition(":")
    name, _, field = path.partition(".")
    module = importlib.import_module(module_name)
    old = getattr(module, name, None)
    if old is None or (field and field not in old.__struct_fields__):
        sys.exit(f"{module_name} has no {path}; a test must name what exists")
    if not field:
        setattr(module, name, value)
        return
    fresh = msgspec.defstruct(name, [(field, object, value)], bases=(old,), frozen=True, kw_only=True)
    setattr(module, name, fresh)


def main() -> None:
    """Change what was asked for, then be the daemon."""
    for place, value in json.loads(sys.argv[1]).items():
        change(place, tuple(value) if isinstance(value, list) else value)
    from eventer.cli import main as run

    sys.argv = ["eventer", *sys.argv[2:]]
    sys.exit(run())


if __name__ == "__main__":
    main()
