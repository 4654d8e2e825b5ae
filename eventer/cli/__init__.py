"""The command line: one module per command, imported only when that command is called.

A module offers `add_parser(subparsers)` and `main(args) -> int`; its name is the command.

The exit codes of all commands are in `EXIT_CODES`; each help names those that its command can have.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from eventer.errors import ConfigError, EventerError
from eventer.version import version

__all__ = [
    "COMMANDS",
    "EXIT_CODES",
    "EX_CONFIG",
    "add_command",
    "add_config_option",
    "main",
    "parser_with",
    "report",
    "typed",
]

_T = TypeVar("_T")

EX_CONFIG: Final = 78
"""The configuration cannot be used. The number is that of sysexits.h, so that a supervisor can tell
what a restart will not heal."""
EXIT_CODES: Final = {
    0: "done",
    1: "failed",
    2: "wrong usage of the command line",
    EX_CONFIG: "the configuration has faults",
}
"""What each exit code means, for every command."""

COMMANDS: Final = {
    "run": "export events until stopped",
    "status": "say how the running daemon is, and what to do",
    "tail": "show events as they come",
    "check": "say what is wrong with a configuration file, and run its tests",
    "explain": "say where an event goes, and why",
    "preview": "show the messages that people would get for recorded events",
    "test-send": "send a sample to one sink",
    "dead-letters": "look at what a sink can never take, and decide on it",
    "silence": "keep quiet about something for a while",
    "replay": "send recorded or kept events again",
    "reload": "have the running daemon read its configuration again",
    "schema": "print the JSON schema of the configuration",
    "completion": "print a script that completes commands in a shell",
    "demo": "see it work, without a cluster",
}
"""Every command with what it does; the help needs no more than that."""

_EXAMPLES: Final = """\
examples:
  eventer demo                          see it work; needs no cluster
  eventer check -c eventer.yaml         everything that is wrong with it, at once
  eventer run -c eventer.yaml           export until Ctrl-C, go on there next time
  eventer status                        how the running daemon is, and what to do
  eventer COMMAND --help                examples of a command
"""


def _codes(codes: Mapping[int, str]) -> str:
    return f"exit codes: {', '.join(f'{code} {meaning or EXIT_CODES[code]}' for code, meaning in codes.items())}"


def add_command(
    subparsers: Any, name: str, text: str, examples: Sequence[str], codes: Mapping[int, str]
) -> argparse.ArgumentParser:
    """Add a command whose help begins with examples and ends with its exit codes.

    Args:
        subparsers: of the program's parser.
        name: one of `COMMANDS`.
        text: what it does, in sentences.
        examples: command lines.
        codes: what each exit code means here; empty, what it means everywhere (`EXIT_CODES`).
    """
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=COMMANDS[name],
        description="\n".join(["examples:", *(f"  {example}" for example in examples), "", text]),
        epilog=_codes(codes),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def add_config_option(parser: argparse.ArgumentParser) -> None:
    """Add `-c FILE`; `args.config` is a Path."""
    from eventer.config.load import DEFAULT_PATH, config_path

    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        default=config_path(os.environ),
        metavar="FILE",
        help=f"configuration file (default: the variable EVENTER_CONFIG, or {DEFAULT_PATH})",
    )


def typed(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """Make of what reads a text the `type` of an option: of a ValueError argparse would not show the message."""

    def read(text: str) -> _T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def report(group: BaseExceptionGroup[EventerError]) -> int:
    """Say on standard error what failed, each failure with its remedy.

    Returns:
        The exit code that fits: 78 if only the configuration is at fault, else 1.
    """
    code = EX_CONFIG
    for failure in group.exceptions:
        if isinstance(failure, BaseExceptionGroup):
            code = min(code, report(failure))
        elif isinstance(failure, ConfigError):
            for fault in failure.faults:
                print(f"eventer: {fault.told}", file=sys.stderr)
        else:
            code = 1
            print(f"eventer: {failure}", file=sys.stderr)
    return code


def parser_with(commands: Collection[str]) -> argparse.ArgumentParser:
    """Return the program's parser, with the options of these commands and the names of all.

    Args:
        commands: those whose modules are imported for it.
    """
    parser = argparse.ArgumentParser(
        prog="eventer",
        description=f"{_EXAMPLES}\nStreams Kubernetes Events out of clusters, and loses none.",
        epilog=_codes(dict.fromkeys(EXIT_CODES, "")),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"eventer {version()}")
    subparsers = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        if name in commands:
            _module(name).add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=summary)
    return parser


def _module(command: str) -> Any:
    return importlib.import_module(f"eventer.cli.{command.replace('-', '_')}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments without the program's name; those of the process if None.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    wanted = next((word for word in words if not word.startswith("-")), "")
    parser = parser_with([wanted])
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 gets escapes, not a crash
    try:
        # argparse ends the process itself: 0 after help and version, 2 after wrong usage.
        args = parser.parse_args(words)
        code = int(_module(args.command).main(args))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
