"""`eventer demo`: the whole path at work, without a cluster, or on a real one without writing to it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from eventer.cli import add_command, report
from eventer.errors import EventerError

if TYPE_CHECKING:
    from eventer.demo.picture import Screen

__all__ = ["add_parser", "main"]

_TEXT: Final = """\
Needs no cluster: a small API server on this machine plays a recording of a real one. In less than a minute
events stream in, a sink dies, Eventer itself is killed, a rollout goes wrong, and what was lost is counted.
With a kubeconfig it reads that cluster, and never writes to it.

On a terminal it goes on until Ctrl-C, as a picture where the package rich is installed (the extra `tty`).
With its output in a pipe or a file it writes lines, and ends after the story.
"""
_EXAMPLES: Final = ("eventer demo", "eventer demo --kubeconfig ~/.kube/config")


def add_parser(subparsers: Any) -> None:
    """Declare the command's options."""
    codes = {0: "all that it claimed was true", 1: "something was not, or it could not run", 2: ""}
    parser = add_command(subparsers, "demo", _TEXT, _EXAMPLES, codes)
    parser.add_argument("--kubeconfig", type=Path, metavar="FILE", help="read this cluster instead of a recording")
    parser.add_argument("--context", metavar="NAME", help="which context of the kubeconfig (default: its current one)")


def main(args: argparse.Namespace) -> int:
    """Run the demo until Ctrl-C or SIGTERM; a second one ends the process at once.

    Returns:
        0 if all that it claimed was true, 1 if not or if it could not run, 2 for wrong usage.
    """
    if args.context and not args.kubeconfig:
        print("eventer demo: --context names a context of --kubeconfig FILE; give both", file=sys.stderr)
        return 2
    kubeconfig = args.kubeconfig and args.kubeconfig.expanduser().absolute()
    if kubeconfig and not kubeconfig.is_file():
        print(f"eventer demo: there is no kubeconfig at {kubeconfig}", file=sys.stderr)
        return 1
    directory = Path(tempfile.mkdtemp(prefix="eventer-demo-"))
    well = False
    closed: BrokenPipeError | None = None
    try:
        well = asyncio.run(_perform(directory, kubeconfig, args.context))
    except* EventerError as failures:
        report(failures)
        shutil.rmtree(directory, ignore_errors=True)
    except* BrokenPipeError:
        closed = BrokenPipeError()
    if closed is not None:
        raise closed  # nobody looks any more: the caller ends quietly
    return 0 if well else 1


async def _perform(directory: Path, kubeconfig: Path | None, context: str | None) -> bool:
    # Not at the top: `eventer --help` needs none of it.
    from eventer.demo.stage import Stage

    stage = Stage(directory, _screen(), goes_on=sys.stdout.isatty())
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)  # the next one has its default effect
        stage.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    if kubeconfig is None:
        return await stage.recorded()
    return await stage.real(kubeconfig, context)


def _screen() -> Screen:
    """Return what suits standard output: a picture on a terminal that can show one, or lines."""
    from eventer.demo.plain import Plain

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a mark that a terminal cannot show must not end the demo
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        with contextlib.suppress(ImportError):
            from eventer.demo.live import Terminal

            return Terminal()
    return Plain(_write)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
