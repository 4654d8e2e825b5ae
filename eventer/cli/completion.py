"""`eventer completion`: a script with which a shell completes commands, options and files."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any, Final

from eventer.cli import COMMANDS, add_command, parser_with

__all__ = ["add_parser", "main"]

_TEXT: Final = """\
Prints a script that makes a shell complete Eventer's commands, their options and names of files.
"""
_EXAMPLES: Final = (
    "source <(eventer completion bash)                                    # in ~/.bashrc",
    "eventer completion zsh > ~/.zfunc/_eventer                           # a directory of $fpath",
    "eventer completion fish > ~/.config/fish/completions/eventer.fish",
)


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = add_command(subparsers, "completion", _TEXT, _EXAMPLES, {0: "", 2: ""})
    parser.add_argument("shell", choices=["bash", "zsh", "fish"], help="for which shell")


def main(args: argparse.Namespace) -> int:
    """Print the script. Returns 0."""
    import shtab

    parser = parser_with(COMMANDS)
    for name, command in _commands(parser).items():
        command.description = COMMANDS[name]  # what zsh and fish show beside the name
        for each in (command, *_commands(command).values()):
            for action in each._actions:  # noqa: SLF001 - argparse has no public way to its options
                if action.metavar == "FILE":
                    action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, args.shell))
    return 0


def _commands(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """Return the parsers of all commands by their names; of a command, those of its actions."""
    return next(
        (
            action.choices
            for action in parser._actions  # noqa: SLF001 - as above
            if isinstance(action, argparse._SubParsersAction)  # noqa: SLF001 - as above
        ),
        {},
    )
