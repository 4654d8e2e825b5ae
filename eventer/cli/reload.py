"""`eventer reload`: have the running daemon read its configuration again, and say what came of it."""

from __future__ import annotations

import argparse
import sys
from typing import Any, Final

import msgspec

from eventer.cli import EX_CONFIG, add_command
from eventer.cli.colour import BOLD, GREEN, RED, painter, wants_colour
from eventer.cli.daemon import Daemon, add_state_options, directory_of
from eventer.control.report import ConfigReport
from eventer.errors import EventerError
from eventer.text import escape

__all__ = ["add_parser", "main"]

_TEXT: Final = """\
The daemon reads its file again, as it does by itself when the file changes, and on SIGHUP. What did not
change goes on untouched; where the file has faults, all of them are named, and nothing changes.
"""
_EXAMPLES: Final = ("eventer check && eventer reload", "kubectl -n eventer exec deploy/eventer -- eventer reload")
_PATIENCE: Final = 120.0
"""Seconds: a sink that is replaced may first finish what it has in flight."""


def add_parser(subparsers: Any) -> None:
    """Declare the command's options."""
    codes = {0: "taken, or nothing had changed", 1: "nobody could be asked", 2: "", 78: ""}
    add_state_options(add_command(subparsers, "reload", _TEXT, _EXAMPLES, codes))


def main(args: argparse.Namespace) -> int:
    """Reload.

    Returns:
        0 if the file is what runs now, 78 if it has faults, 1 if no daemon did it.
    """
    try:
        report = msgspec.convert(Daemon(directory_of(args), _PATIENCE).post("/v1/reload"), ConfigReport)
    except EventerError as error:
        print(f"eventer reload: {error}", file=sys.stderr)
        return 1
    paint = painter(colour=wants_colour(sys.stdout))
    if report.refused is not None:
        for fault in report.faults:
            line = f":{fault.line}" if fault.line is not None else ""
            path = f"{escape(fault.path)}: " if fault.path else ""
            place = paint(BOLD, f"{escape(report.file)}{line}")
            print(f"{place}: {path}{paint(RED, fault.message)}")
            print(f"    -> {fault.remedy}")
        print("refused; what ran before still runs")
        return EX_CONFIG
    if not report.file:
        print("this daemon has no file to read again")
        return 1
    print(paint(GREEN, "taken: ") + f"{escape(report.file)} is what runs")
    if report.waiting:
        print(f"in effect only after a restart: {', '.join(report.waiting)}")
    return 0
