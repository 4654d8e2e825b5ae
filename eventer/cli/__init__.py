"""The command line: one module per command, imported only when that command is called.

A module offers `add_parser(subparsers)` and `main(args) -> int`; its name is the command.

Exit codes: 0 done · 1 failed · 2 wrong usage · 78 the configuration has faults (EX_CONFIG of
sysexits.h, so that a supervisor can tell what a restart will not heal).
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from eventer.errors import ConfigError, EventerError

__all__ = ["EX_CONFIG", "add_config_option", "explain", "main"]

EX_CONFIG: Final = 78
"""The configuration cannot be used."""

COMMANDS: Final = {
    "run": "export events until stopped",
    "check": "say what is wrong with a configuration file",
    "demo": "see it work, without a cluster",
}
"""Every command with what it does; the help needs no more than that."""

_EXAMPLES: Final = """\
examples:
  eventer demo                          see it work; needs no cluster
  eventer check -c eventer.yaml         everything that is wrong with it, at once
  eventer run -c eventer.yaml           export until Ctrl-C, go on there next time
"""
_EPILOG: Final = """\
exit codes: 0 done, 1 failed, 2 wrong usage, 78 the configuration has faults
"""


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


def explain(group: BaseExceptionGroup[EventerError]) -> int:
    """Say on standard error what failed, each failure with its remedy.

    Returns:
        The exit code that fits: 78 if only the configuration is at fault, else 1.
    """
    code = EX_CONFIG
    for failure in group.exceptions:
        if isinstance(failure, BaseExceptionGroup):
            code = min(code, explain(failure))
        elif isinstance(failure, ConfigError):
            for fault in failure.faults:
                print(f"eventer: {fault.path}: {fault.message}; {fault.remedy}.", file=sys.stderr)
        else:
            code = 1
            print(f"eventer: {failure}", file=sys.stderr)
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments without the program's name; those of the process if None.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="eventer",
        description=f"{_EXAMPLES}\nStreams Kubernetes Events out of clusters, and loses none.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"eventer {_version()}")
    subparsers = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    wanted = next((word for word in words if not word.startswith("-")), None)
    module: Any = None
    for name, summary in COMMANDS.items():
        if name == wanted:
            module = importlib.import_module(f"eventer.cli.{name}")
            module.add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=summary)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 gets escapes, not a crash
    try:
        # argparse ends the process itself: 0 after help and version, 2 after wrong usage.
        args = parser.parse_args(words)
        code = int(module.main(args))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("eventer")
    except metadata.PackageNotFoundError:
        return "(not installed)"
