"""`eventer run`: the daemon. Imports nothing that only people look at."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from typing import Any

from eventer.cli import EX_CONFIG, add_config_option, explain
from eventer.errors import EventerError

__all__ = ["add_parser", "main"]


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "run",
        help="export events until stopped",
        description="Export events until stopped (Ctrl-C or SIGTERM); the next start goes on there.",
        epilog="example:\n  eventer run -c eventer.yaml",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config_option(parser)


def main(args: argparse.Namespace) -> int:
    """Run the daemon.

    Returns:
        0 after an orderly stop, 78 if the configuration cannot be used, 1 for everything else.
    """
    from eventer import app
    from eventer.cli.check import render, wants_colour
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
        asyncio.run(app.run(examined.config, SystemClock()))
    except* EventerError as failures:
        code = explain(failures)
    return code
