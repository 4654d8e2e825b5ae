"""`eventer schema`: the JSON schema of a configuration, for editors and for other tools."""

from __future__ import annotations

import argparse
import sys
from typing import Any, Final

import msgspec

from eventer.cli import add_command

__all__ = ["add_parser", "main"]

_TEXT: Final = """\
Prints the JSON schema (draft 7) of a configuration file, with the sinks that Eventer brings.
An editor with a YAML language server completes and checks by it when the first line of a file is
  # yaml-language-server: $schema=eventer.schema.json
"""


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    examples = ["eventer schema > eventer.schema.json"]
    add_command(subparsers, "schema", _TEXT, examples, {0: "", 1: "", 2: ""})


def main(_: argparse.Namespace) -> int:
    """Print the schema.

    Returns:
        0; 1 where Eventer is installed without its sources, from which descriptions are taken.
    """
    # Not at the top: whoever only asks for help does not wait for the types of all sinks.
    from eventer.config.generate.schema import schema

    try:
        text = msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode()
    except OSError:
        print("eventer schema: Eventer is installed here without its sources; take config/eventer.schema.json of its "
              "release", file=sys.stderr)  # fmt: skip
        return 1
    print(text)
    return 0
