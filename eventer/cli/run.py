"""`eventer run`: the daemon. Imports nothing that only people look at."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from typing import Any

from eventer.cli import EX_CONFIG, add_command, add_config_option, report
from eventer.errors import EventerError

__all__ = ["add_parser", "main"]


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    text = "Exports events until stopped (Ctrl-C or SIGTERM); the next start goes on there.\n"
    codes = {0: "stopped in order", 1: "it could not start or go on", 2: "", 78: ""}
    add_config_option(add_command(subparsers, "run", text, ["eventer run -c eventer.yaml"], codes))


def main(args: argparse.Namespace) -> int:
    """Run the daemon.

    Returns:
        0 after an orderly stop, 78 if the configuration cannot be used, 1 for everything else.
    """
    from eventer import app
    from eventer.cli.check import render
    from eventer.cli.colour import wants_colour
    from eventer.clock import SystemClock
    from eventer.config.load import examine
    from eventer.observe import log

    examined = examine(args.config, os.environ)
    if examined.faults:
        print(render(str(args.config), examined, colour=wants_colour(sys.stderr)), file=sys.stderr)
    if examined.config is None:
        return EX_CONFIG
    log.configure(examined.config.log.level, examined.config.log.format)
    code = 0
    try:
        asyncio.run(app.run(examined.config, SystemClock(), args.config))
    except* EventerError as failures:
        code = report(failures)
    return code
