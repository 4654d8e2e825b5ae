"""`eventer check`: everything that is wrong with a configuration file, at once.

It reads the file, the variables and the files of secrets, and imports the sinks that are named.
It starts nothing and uses no network, so it runs in a pipeline as well as beside a daemon.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any, Final, TextIO

import msgspec

from eventer.cli import COMMANDS, EX_CONFIG, add_config_option
from eventer.config.load import Examined, examine
from eventer.errors import Fault
from eventer.text import escape

__all__ = ["add_parser", "main", "render", "wants_colour"]

_BOLD: Final = "\x1b[1m"
_RED: Final = "\x1b[31m"
_YELLOW: Final = "\x1b[33m"
_DIM: Final = "\x1b[2m"
_PLAIN: Final = "\x1b[0m"

_DESCRIPTION: Final = """\
examples:
  eventer check -c eventer.yaml
  eventer check -c eventer.yaml --output json

Says what is wrong with a configuration file: each fault with its line, and what to write instead.
Nothing is started and no network is used. Warnings do not fail.
"""


def add_parser(subparsers: Any) -> None:
    """Declare the command's options."""
    parser = subparsers.add_parser(
        "check",
        help=COMMANDS["check"],
        description=_DESCRIPTION,
        epilog="exit codes: 0 no faults, 2 wrong usage, 78 faults",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config_option(parser)
    parser.add_argument("--output", choices=["text", "json"], default="text", help="for people, or for programs")


def main(args: argparse.Namespace) -> int:
    """Check the file and print what was found.

    Returns:
        0, or 78 with faults other than warnings.
    """
    examined = examine(args.config, os.environ)
    if args.output == "json":
        answer = {"file": str(args.config), "ok": examined.config is not None, "faults": examined.faults}
        print(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())
    else:
        print(render(str(args.config), examined, colour=wants_colour(sys.stdout)))
    return 0 if examined.config is not None else EX_CONFIG


def wants_colour(stream: TextIO) -> bool:
    """Whether a stream is a terminal that may be written to in colour (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def render(file: str, examined: Examined, *, colour: bool) -> str:
    """Write for people what was found, each fault with its line, and a summary.

    Args:
        file: name of the file, for the summary.
        examined: what was found in it.
        colour: whether to use a terminal's colours; see `wants_colour`.
    """
    lines: list[str] = []
    for fault in examined.faults:
        lines += [*_fault(fault, examined, colour=colour), ""]
    warnings = sum(fault.warning for fault in examined.faults)
    parts = [_count(len(examined.faults) - warnings, "fault"), _count(warnings, "warning")]
    verdict = ", ".join(part for part in parts if part)
    lines.append(f"{escape(file)}: {verdict or 'ok'}")
    return "\n".join(lines)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}" if number else ""


def _fault(fault: Fault, examined: Examined, *, colour: bool) -> list[str]:
    def paint(code: str, text: str) -> str:
        return f"{code}{text}{_PLAIN}" if colour else text

    place = ":".join(str(part) for part in (escape(fault.file), fault.line, fault.column) if part is not None)
    head = f"{paint(_BOLD, place)}: "
    if fault.path:
        head += f"{escape(fault.path)}: "
    head += f"{paint(_YELLOW, 'warning:')} {fault.message}" if fault.warning else paint(_RED, fault.message)
    lines = [head]
    source = examined.excerpt(fault.line) if fault.line is not None else ""
    if source:
        lines.append(paint(_DIM, f"    {source.strip()}"))
    if fault.remedy:
        lines.append(f"    -> {fault.remedy}")
    return lines
