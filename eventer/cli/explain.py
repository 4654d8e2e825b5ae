"""`eventer explain`: where an event goes, and what every rule on the way says of it.

It asks the rules field by field, which is slow, and in tests always agrees with the daemon.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from eventer.catalog import Catalog, language
from eventer.cli import EX_CONFIG, add_command, meant
from eventer.cli.colour import BOLD, DIM, GREEN, RED, YELLOW, Paint, painter, wants_colour
from eventer.cli.daemon import DaemonError, add_state_options
from eventer.cli.feed import from_files
from eventer.cli.reasons import Place, as_json, headline, reason, rule_line
from eventer.cli.told import Told, told
from eventer.cli.told import lines as told_lines
from eventer.cli.traced import became, traced
from eventer.config.load import Examined, examine
from eventer.config.reach import ORIGINS
from eventer.config.route import Answer, Route, route
from eventer.config.samples import STATES, STATUSES, Sample, to_event
from eventer.config.types import Config
from eventer.config.words import one_of, similar
from eventer.control.report import Traced
from eventer.event import Event
from eventer.match import EVENT_FIELDS, MEANT
from eventer.source.replay import Home, NotReadableError
from eventer.text import escape

__all__ = ["add_parser", "main", "render"]

_TEXT: Final = """\
Says what an event means, by the catalog, and where it goes: what each rule of the filter and of each
sink's match says of it, and why; and for sinks that notify, what each stage of alerting makes of it.
FILE holds events as JSON: Kubernetes Events as kubectl prints them (also lists of them), or Eventer's
own, one a line. With --uid the running daemon is asked for what it holds of an Event, and what became of
that at each sink. Nothing is sent, and no cluster is asked.
"""
_EXAMPLES: Final = (
    "eventer explain -c eventer.yaml --sample reason=BackOff,type=Warning,namespace=shop",
    "kubectl get event web-0.17f3a -o json | eventer explain -c eventer.yaml -",
    "tail -n 1 events.jsonl | eventer explain -c eventer.yaml - --output json",
    "eventer explain --uid 0f1c9b66-5d6e-4c1f-9a53-0e6f0c7f2a51",
)
_NEXT: Final = re.compile(r",(?=[A-Za-z_]+(?:\.[^=,]*)?=)")
"""The comma between two fields of a sample; one within a text is not followed by a name and `=`."""
_MOST: Final = 100_000
"""Events that are explained at once."""


class _WrongInputError(Exception):
    """What was given is no event; the message says why and what to do."""


def add_parser(subparsers: Any) -> None:
    """Declare the command's options."""
    codes = {0: "explained", 1: "there is no event to explain", 2: "", 78: ""}
    parser = add_command(subparsers, "explain", _TEXT, _EXAMPLES, codes)
    parser.add_argument("events", nargs="?", metavar="FILE", help="events as JSON; - for standard input")
    parser.add_argument(
        "--sample",
        metavar="FIELD=TEXT,...",
        help=f"an event by its fields: {', '.join(EVENT_FIELDS[:-1])}, labels.NAME",
    )
    parser.add_argument("--cluster", metavar="NAME", help="cluster of a Kubernetes Event (default: the first source)")
    parser.add_argument(
        "--uid", metavar="UID", help="an Event that the running daemon holds, by its uid or that of its object"
    )
    add_state_options(parser)
    parser.add_argument("--output", choices=["text", "json"], default="text", help="for people, or for programs")


def main(args: argparse.Namespace) -> int:
    """Explain the events that were given.

    Returns:
        0; 1 if there is none; 2 for wrong usage; 78 if the configuration has faults.
    """
    if [args.sample, args.events, args.uid].count(None) != 2:
        print("eventer explain: name one of FILE, - for standard input, --sample and --uid", file=sys.stderr)
        return 2
    examined = examine(args.config, os.environ)
    if examined.config is None:
        file = escape(str(args.config))
        print(f"eventer explain: {file} has faults; eventer check -c {file} names them", file=sys.stderr)
        return EX_CONFIG
    config = examined.config
    found: list[tuple[Event, Traced | None]]
    try:
        found = [*traced(args)] if args.uid is not None else [(event, None) for event in _events(args, config)]
    except (_WrongInputError, DaemonError) as error:
        print(f"eventer explain: {error}", file=sys.stderr)
        return 2 if args.sample is not None else 1
    if not found:
        print(
            f"eventer explain: the journal holds no event of {escape(args.uid)} any more (state.keep); give it as JSON",
            file=sys.stderr,
        )
        return 1
    catalog = Catalog(config.catalog)
    routes = [(event, route(config.filter, config.sinks, event, catalog), where) for event, where in found]
    now = datetime.now(UTC)
    told_of = [_told(event, way, config, catalog, now) for event, way, _ in routes]
    if args.output == "json":
        events = [
            as_json(event, way, examined.line, catalog)
            | {"meaning": meant.as_json(event, catalog, language(os.environ))}
            | ({"told": msgspec.to_builtins(said)} if said else {})
            | ({} if where is None else {"sinks_now": where.sinks, "quieted_now": where.quieted})
            for (event, way, where), said in zip(routes, told_of, strict=True)
        ]
        answer = {"file": str(args.config), "events": events}
        print(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())
    else:
        paint = painter(colour=wants_colour(sys.stdout))
        texts = [
            "\n".join(
                [
                    paint(BOLD, headline(event)),
                    *meant.lines(event, catalog, language(os.environ), paint),
                    "",
                    render(way, examined, paint, said),
                    *([] if where is None else became(where, way, paint)),
                ]
            )
            for (event, way, where), said in zip(routes, told_of, strict=True)
        ]
        print("\n\n".join(texts))
    return 0


def _told(event: Event, way: Route, config: Config, catalog: Catalog, now: datetime) -> dict[str, Told]:
    """Return what the notifiers among the sinks that get an event would tell of it."""
    groups = {name: config.sinks[name].notifies for name in way.sinks}
    return {name: told(event, group, config, catalog, now) for name, group in groups.items() if group is not None}


def render(way: Route, examined: Examined, paint: Paint, said: Mapping[str, Told]) -> str:
    """Write for people which way an event takes, and why.

    Args:
        way: that it takes.
        examined: the configuration.
        paint: colours.
        said: what is told of it, by the sinks that notify.
    """
    config = examined.config
    assert config is not None
    lines: list[str] = []
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
            verdict = paint(GREEN, "gets it") + (", unless a look-up says otherwise" if sink.unsure else "")
            verdict += ", for it is about Eventer itself" if sink.own else ""
        elif sink.matches:
            verdict = paint(YELLOW, "would get it, had the filter not dropped it")
        else:
            verdict = paint(RED, "does not get it")
        every = "" if sink.asked else " (no match: it takes every event)"
        lines += ["", f"sink {sink.name}: {verdict}{every}"]
        for answer in sink.asked:
            lines += _rule(answer, ("sinks", sink.name, "match", answer.index), examined.line, paint)
        group = config.sinks[sink.name].notifies
        if sink.name in said and group is not None:
            lines += [f"  {line}" for line in told_lines(said[sink.name], group)]
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
    number = 0
    try:
        for event, why, _ in from_files([args.events], Home(home.cluster, home.labels)):
            if why:
                raise _WrongInputError(why)
            if event is not None:
                number += 1
                yield event
            if number > _MOST:
                raise _WrongInputError(f"the input has more than {_MOST:,} events; give those that you ask about")
    except NotReadableError as error:
        raise _WrongInputError(str(error)) from None
    if not number:
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
        elif field in EVENT_FIELDS and field != "labels" and equals:
            values[field] = value
        else:
            close = similar(field, EVENT_FIELDS)
            remedy = f"did you mean {close}?" if close else f"write FIELD=TEXT with {', '.join(EVENT_FIELDS[:-1])}"
            if field in MEANT:
                remedy = "it follows from the others; give reason, type and kind"
            raise _WrongInputError(f"--sample: {escape(field[:60])!r} is no field; {remedy}")
    if labels:
        values["labels"] = labels
    try:
        return msgspec.convert(values, Sample)
    except msgspec.ValidationError as error:
        # The other fields take any text.
        words = {"origin": ORIGINS, "status": STATUSES, "state": STATES}
        field = str(error).rpartition("$.")[2].strip("`")
        raise _WrongInputError(f"--sample: {field} is {one_of(words[field])}") from None
