"""`eventer check`: everything that is wrong with a configuration file, at once, and its own tests.

It reads the file, the variables and the files of secrets, and imports the sinks that are named.
It starts nothing and, without --probe, uses no network, so it runs in a pipeline as well as beside a daemon.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any, Final

import msgspec

from eventer.cli import EX_CONFIG, add_command, add_config_option
from eventer.cli.colour import BOLD, DIM, GREEN, RED, YELLOW, painter, wants_colour
from eventer.config.load import Examined, examine
from eventer.errors import Fault
from eventer.text import escape

__all__ = ["add_parser", "main", "render"]

_TEXT: Final = """\
Says what is wrong with a configuration file: each fault with its line, and what to write instead.
Nothing is started and, without --probe, no network is used. Warnings do not fail.

With --test it also runs the tests in the section tests: of the file, each an event with the sinks
that must get it. A test that fails says which rule decided.

With --probe it also asks the far sides, where that can be done without sending an event: whether they
can be reached, know us, and would let us write.
"""
_EXAMPLES: Final = (
    "eventer check -c eventer.yaml",
    "eventer check -c eventer.yaml --test",
    "eventer check -c eventer.yaml --probe",
    "eventer check -c eventer.yaml --output json",
)


def add_parser(subparsers: Any) -> None:
    """Declare the command's options."""
    codes = {0: "no faults", 1: "a test or a probe failed", 2: "", EX_CONFIG: "faults"}
    parser = add_command(subparsers, "check", _TEXT, _EXAMPLES, codes)
    add_config_option(parser)
    parser.add_argument("--test", action="store_true", help="run the tests of the file as well")
    parser.add_argument("--probe", action="store_true", help="ask the far sides as well")
    parser.add_argument("--output", choices=["text", "json"], default="text", help="for people, or for programs")


def main(args: argparse.Namespace) -> int:
    """Check the file and print what was found.

    Returns:
        0; 78 with faults other than warnings; 1 if a test or a probe failed.
    """
    examined = examine(args.config, os.environ)
    results: list[Any] | None = None
    if args.test and examined.config is not None:
        # Not at the top: without tests nothing of it is needed.
        from eventer.cli import trial

        results = trial.run(examined.config, examined.line)
    probes: list[Any] | None = None
    if args.probe and examined.config is not None:
        from eventer.cli import probe

        probes = probe.run(examined.config.sinks)
    if args.output == "json":
        answer: dict[str, Any] = {"file": str(args.config), "ok": examined.config is not None}
        answer["faults"] = examined.faults
        if args.test:
            answer["tests"] = results
        if args.probe:
            answer["probes"] = probes
        print(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())
    else:
        colour = wants_colour(sys.stdout)
        print(render(str(args.config), examined, colour=colour))
        if results is not None:
            print(trial.render(str(args.config), results, painter(colour=colour)))
        if probes is not None:
            print(probe.render(probes, painter(colour=colour)))
    if examined.config is None:
        return EX_CONFIG
    return 0 if all(result.ok is not False for result in [*(results or []), *(probes or [])]) else 1


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
    colours = RED if examined.config is None else YELLOW if warnings else GREEN
    lines.append(f"{escape(file)}: {painter(colour=colour)(colours, verdict or 'ok')}")
    return "\n".join(lines)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}" if number else ""


def _fault(fault: Fault, examined: Examined, *, colour: bool) -> list[str]:
    paint = painter(colour=colour)
    place = ":".join(str(part) for part in (escape(fault.file), fault.line, fault.column) if part is not None)
    head = f"{paint(BOLD, place)}: "
    if fault.path:
        head += f"{escape(fault.path)}: "
    head += f"{paint(YELLOW, 'warning:')} {fault.message}" if fault.warning else paint(RED, fault.message)
    lines = [head]
    source = examined.excerpt(fault.line) if fault.line is not None else ""
    if source:
        lines.append(paint(DIM, f"    {source.strip()}"))
    if fault.remedy:
        lines.append(f"    -> {fault.remedy}")
    return lines
