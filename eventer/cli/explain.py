"""`eventer explain`: where an event goes, and what every rule on the way says of it.

It asks the rules field by field, which is slow, and in tests always agrees with the daemon.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from eventer.cli import EX_CONFIG, add_command, add_config_option
from eventer.cli.colour import BOLD, DIM, GREEN, RED, YELLOW, Paint, painter, wants_colour
from eventer.cli.reasons import Place, as_json, headline, reason, rule_line
from eventer.config.load import Examined, examine
from eventer.config.route import Answer, Route, route
from eventer.config.samples import Sample, to_event
from eventer.config.types import Config
from eventer.config.words import similar
from eventer.errors import EventerError
from eventer.event import Event
from eventer.match import FIELDS
from eventer.text import escape

__all__ = ["add_parser", "main", "render"]

_TEXT: Final = """\
Says where an event goes: what each rule of the filter and of each sink's match says of it, and why.
FILE holds events as JSON: Kubernetes Events as kubectl prints them (also lists of them), or Eventer's
own, one a line. Nothing is sent, and no cluster is asked.
"""
_EXAMPLES: Final = (
    "eventer explain -c eventer.yaml --sample reason=BackOff,type=Warning,namespace=shop",
    "kubectl get event web-0.17f3a -o json | eventer explain -c eventer.yaml -",
    "tail -n 1 events.jsonl | eventer explain -c eventer.yaml - --output json",
)
_NEXT: Final = re.compile(r",(?=[A-Za-z_]+(?:\.[^=,]*)?=)")
"""The comma between two fields of a sample; one within a text is not followed by a name and `=`."""
_MOST: Final = 64 << 20
"""Bytes of events read: about 100,000 of them."""


class _WrongInputError(Exception):
    """What was given is no event; the message says why and what to do."""


def add_parser(subparsers: Any) -> None:
    """Declare the command's options."""
    codes = {0: "explained", 1: "there is no event to explain", 2: "", 78: ""}
    parser = add_command(subparsers, "explain", _TEXT, _EXAMPLES, codes)
    parser.add_argument("events", nargs="?", metavar="FILE", help="events as JSON; - for standard input")
    parser.add_argument(
        "--sample", metavar="FIELD=TEXT,...", help=f"an event by its fields: {', '.join(FIELDS[:-1])}, labels.NAME"
    )
    parser.add_argument("--cluster", metavar="NAME", help="cluster of a Kubernetes Event (default: the first source)")
    add_config_option(parser)
    parser.add_argument("--output", choices=["text", "json"], default="text", help="for people, or for programs")


def main(args: argparse.Namespace) -> int:
    """Explain the events that were given.

    Returns:
        0; 1 if there is none; 2 for wrong usage; 78 if the configuration has faults.
    """
    if (args.sample is None) == (args.events is None):
        print("eventer explain: name a FILE, or - for standard input, or give --sample", file=sys.stderr)
        return 2
    examined = examine(args.config, os.environ)
    if examined.config is None:
        file = escape(str(args.config))
        print(f"eventer explain: {file} has faults; eventer check -c {file} names them", file=sys.stderr)
        return EX_CONFIG
    try:
        events = list(_events(args, examined.config))
    except _WrongInputError as error:
        print(f"eventer explain: {error}", file=sys.stderr)
        return 2 if args.sample is not None else 1
    config = examined.config
    routes = [(event, route(config.filter, config.sinks, event)) for event in events]
    if args.output == "json":
        answer = {"file": str(args.config), "events": [as_json(event, way, examined.line) for event, way in routes]}
        print(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())
    else:
        paint = painter(colour=wants_colour(sys.stdout))
        print("\n\n".join(render(event, way, examined, paint) for event, way in routes))
    return 0


def render(event: Event, way: Route, examined: Examined, paint: Paint) -> str:
    """Write for people which way an event takes, and why."""
    config = examined.config
    assert config is not None
    lines = [paint(BOLD, headline(event)), ""]
    decider = way.decider
    if way.own:
        lines.append(f"filter: {paint(GREEN, 'kept')}, for Eventer's own records pass it unasked")
    elif not config.filter:
        lines.append(f"filter: {paint(GREEN, 'kept')}, for there are no rules")
    else:
        by = ", for no rule matches" if decider is None else f" by filter[{decider.index}]"
        lines.append(f"filter: {paint(GREEN, 'kept') if way.kept else paint(RED, 'dropped')}{by}")
        for answer in way.asked:
            lines += _rule(answer, ("filter", answer.index), examined.line, paint)
        left = len(config.filter) - len(way.asked)
        if left:
            lines.append(paint(DIM, f"  not asked any more: {left} rule{'s' * (left != 1)}"))
    for sink in way.answers:
        if sink.name in way.sinks:
            verdict = paint(GREEN, "gets it")
        elif sink.matches:
            verdict = paint(YELLOW, "would get it, had the filter not dropped it")
        else:
            verdict = paint(RED, "does not get it")
        every = "" if sink.asked else " (no match: it takes every event)"
        lines += ["", f"sink {sink.name}: {verdict}{every}"]
        for answer in sink.asked:
            lines += _rule(answer, ("sinks", sink.name, "match", answer.index), examined.line, paint)
    return "\n".join(lines)


def _rule(answer: Answer, path: tuple[str | int, ...], line: Place, paint: Paint) -> list[str]:
    verdict = paint(GREEN, "matches") if answer.matches else paint(RED, "does not match")
    lines = [f"  {rule_line(answer, path, line)}: {verdict}{'' if answer.parts else ' everything'}"]
    for part in answer.parts:
        mark = paint(GREEN, "yes") if part.holds else paint(RED, "no ")
        lines.append(f"    {mark}  {reason(part)}")
    return lines


def _events(args: argparse.Namespace, config: Config) -> Iterator[Event]:
    if args.sample is not None:
        yield to_event(_sample(args.sample), config.sources)
        return
    names = [source.cluster for source in config.sources]
    if args.cluster is not None and None not in names and args.cluster not in names:
        raise _WrongInputError(f"no source has the name {args.cluster}; name one of {', '.join(map(str, names))}")
    home = to_event(Sample(cluster=args.cluster), config.sources)
    found = False
    for value in _values(args.events):
        for item in _unwrap(value):
            found = True
            yield _event(item, home)
    if not found:
        raise _WrongInputError("there is no event in the input; give one as JSON")


def _sample(text: str) -> Sample:
    """Read `FIELD=TEXT,FIELD=TEXT`.

    Raises:
        _WrongInputError: it names no field, or an unknown one.
    """
    values: dict[str, Any] = {}
    labels: dict[str, str] = {}
    for item in _NEXT.split(text):
        field, equals, value = item.partition("=")
        if field.startswith("labels.") and equals:
            labels[field.removeprefix("labels.")] = value
        elif field in FIELDS and field != "labels" and equals:
            values[field] = value
        else:
            close = similar(field, FIELDS)
            remedy = f"did you mean {close}?" if close else f"write FIELD=TEXT with {', '.join(FIELDS[:-1])}"
            raise _WrongInputError(f"--sample: {escape(field[:60])!r} is no field; {remedy}")
    if labels:
        values["labels"] = labels
    try:
        return msgspec.convert(values, Sample)
    except msgspec.ValidationError:
        raise _WrongInputError("--sample: origin is event, node or eventer") from None


def _values(name: str) -> list[Any]:
    """Read JSON: one value, or one a line.

    Raises:
        _WrongInputError: the file cannot be read, or is no JSON.
    """
    try:
        if name == "-":
            data = sys.stdin.buffer.read(_MOST + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(_MOST + 1)
    except OSError as error:
        raise _WrongInputError(f"{escape(name)} cannot be read: {error.strerror}") from None
    if len(data) > _MOST:
        raise _WrongInputError("the input is larger than 64 MiB; give the events that you ask about")
    try:
        return [msgspec.json.decode(data)]
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    values: list[Any] = []
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            values.append(msgspec.json.decode(line))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise _WrongInputError(
                f"line {number} is no JSON; give events as JSON, such as kubectl prints with -o json"
            ) from None
    return values


def _unwrap(value: Any) -> Sequence[Any]:
    """Take events out of a list, or out of a line of a watch."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict) and isinstance(value.get("items"), list):
        return list(value["items"])
    if isinstance(value, dict) and isinstance(value.get("object"), dict):
        return [value["object"]]
    return [value]


def _event(value: Any, home: Event) -> Event:
    """Read one event, of Kubernetes or of Eventer.

    Args:
        value: as JSON gives it.
        home: has the cluster and the labels of Kubernetes Events.

    Raises:
        _WrongInputError: it is neither.
    """
    if not isinstance(value, dict):
        raise _WrongInputError("what was given is JSON, but no event; give an object or a list of them")
    if "entity" in value or not (value.get("kind") == "Event" or "involvedObject" in value or "regarding" in value):
        try:
            return msgspec.convert(value, Event)
        except msgspec.ValidationError as error:
            message = "this is neither a Kubernetes Event (which has involvedObject or regarding) nor one of Eventer's"
            raise _WrongInputError(f"{message}: {escape(str(error))}") from None
    # Not at the top: a sample needs none of it.
    from eventer.source.wire import Decoder

    newer = "regarding" in value or str(value.get("apiVersion", "")).startswith("events.k8s.io/")
    decoder = Decoder("events" if newer else "core", home.cluster, 0, home.labels)
    try:
        arrivals = decoder.items([msgspec.Raw(msgspec.json.encode(value))])
    except EventerError as error:
        raise _WrongInputError(str(error)) from None
    if not arrivals.events:
        raise _WrongInputError(
            "this object cannot be read as an Event, and would be kept as a dead letter; "
            "it needs metadata with uid and resourceVersion, and a time"
        )
    return arrivals.events[0]
