"""`eventer preview`: which messages people would get for recorded events, and how they would look."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from eventer.alerting.alerts import Alerts
from eventer.alerting.notification import ITEMS, Notification
from eventer.alerting.plan import plan_of
from eventer.alerting.render import dingtalk, feishu, slack, teams, wecom
from eventer.alerting.render.mail import mail
from eventer.alerting.render.message import Message, View, compose
from eventer.alerting.render.preview import page
from eventer.alerting.render.terminal import terminal
from eventer.alerting.silences import Silences
from eventer.alerting.terms import Timing
from eventer.alerting.wanted import Wanted
from eventer.catalog import Catalog
from eventer.cli import EX_CONFIG, add_command, typed
from eventer.cli.colour import BOLD, DIM, painter, wants_colour
from eventer.cli.feed import from_files
from eventer.cli.figures import plural
from eventer.clock import SystemClock
from eventer.config.inhibition import Inhibit
from eventer.config.load import examine
from eventer.config.types import Config
from eventer.config.words import similar
from eventer.errors import EventerError
from eventer.event import Event
from eventer.match import Rule
from eventer.quiet import Zone
from eventer.sink import GroupConfig, SinkContext, load
from eventer.source.replay import Home
from eventer.text import escape

__all__ = ["add_parser", "main"]

_TEXT: Final = """\
Plays recorded events in their own time, and shows the messages that a notifier would send for them: problems grouped,
told once, and again when they are over. Files are those that `replay` takes; nothing is sent, nothing is looked up.

With --sink, the messages are those of that notifier: its match, group, language, zone, links, mentions, layout and
template, and the catalog of the configuration. Without it, problems that are a warning or worse are told, and the
groups are those that a notifier has without `group`. --html writes a page with what the notifier, or else DingTalk,
Feishu, WeCom, Slack, Teams and a mail program make of each message.
"""
_EXAMPLES: Final = (
    "kubectl get events -A -o json | eventer preview - --cluster prod",
    "eventer preview events.jsonl --sink ops-chat -c eventer.yaml",
    "eventer preview incident.jsonl.gz --language zh --zone Asia/Shanghai --html messages.html",
)
_MOST: Final = 200_000
"""Events that are held to be sorted; about 400 MB at most."""
_MOST_MESSAGES: Final = 10_000
"""Messages that are shown: more mean that years lie between the events, in which problems are told again and again."""
_Body = Mapping[str, Any]
_DIALECTS: Final[Mapping[str, Callable[[Notification, View], _Body]]] = {
    "DingTalk": dingtalk.payload,
    "Feishu": feishu.payload,
    "WeCom": wecom.payload,
    "Slack": slack.payload,
    "Teams": teams.payload,
    "Mail": lambda note, view: {"type": "mail", **msgspec.to_builtins(mail(compose(note, view, ITEMS)))},
}


def add_parser(subparsers: Any) -> None:
    """Declare the command's options."""
    codes = {0: "", 1: "events could not be read", 2: "", 78: ""}
    parser = add_command(subparsers, "preview", _TEXT, _EXAMPLES, codes)
    parser.add_argument("files", nargs="+", metavar="FILE", help="recorded events; - for standard input")
    parser.add_argument("--sink", metavar="SINK", help="the notifier of the configuration that would send them")
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", help="configuration file, for --sink")
    parser.add_argument("--cluster", help="name of the cluster, where the events do not say it")
    parser.add_argument("--language", choices=("en", "zh"), help="language of the messages (default: en)")
    parser.add_argument(
        "--zone", type=typed(lambda text: ZoneInfo(Zone.parse(text))), help="time zone of the messages (default: UTC)"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page for a browser")


def main(args: argparse.Namespace) -> int:
    """Show the messages.

    Returns:
        0, or 1 if events could not be read or the page not be written, or 78 if the configuration has faults.
    """
    config: Config | None = None
    if args.sink is not None:
        examined = examine(args.config or Path("eventer.yaml"), os.environ)
        config = examined.config
        if config is None:
            file = escape(str(args.config or "eventer.yaml"))
            return _fail(f"{file} has faults; eventer check -c {file} names them", EX_CONFIG)
        if args.sink not in config.sinks or config.sinks[args.sink].notifies is None:
            notifiers = [name for name, sink in config.sinks.items() if sink.notifies is not None]
            close = similar(args.sink, notifiers)
            known = f"the notifiers are {', '.join(notifiers)}" if notifiers else "there is none in this configuration"
            return _fail(f"{escape(args.sink)} is no notifier; {f'did you mean {close}?' if close else known}", 1)
    catalog = Catalog(config.catalog if config is not None else None)
    shown = _shown(args, config, catalog)
    rules, group = _asked(args.sink, config, catalog)
    plan = plan_of(group, config.inhibit if config is not None else Inhibit(), Silences())
    alerts = Alerts(Wanted(rules, catalog), catalog, plan)
    try:
        events = _events(args.files, args.cluster)
        notes = list(islice(_told(events, alerts, plan.timing), _MOST_MESSAGES + 1))
        if len(notes) > _MOST_MESSAGES:
            raise EventerError(f"There are more than {_MOST_MESSAGES:,} messages. Preview events of a shorter time.")
        if args.html is not None:
            args.html.write_text(_page(notes, shown.bodies), encoding="utf-8")
    except EventerError as error:
        return _fail(str(error), 1)
    except OSError as error:
        return _fail(f"{escape(str(args.html))} cannot be written: {error.strerror or error}", 1)
    colour = wants_colour(sys.stdout)
    paint = painter(colour=colour)
    for note in notes:
        print(paint(DIM, f"{datetime.fromtimestamp(note.at, shown.zone):%Y-%m-%d %H:%M:%S %z}"))
        print(terminal(shown.message(note), colour=colour), end="\n\n")
    counted = sum(note.events for note in notes)
    said = (
        f"{plural(len(events), 'event')}: {counted} in {plural(len(notes), 'message')}, {len(events) - counted} in none"
    )
    print(paint(BOLD, said))
    return 0


class _Shown(msgspec.Struct):
    """How notifications are shown."""

    zone: ZoneInfo
    message: Callable[[Notification], Message]
    bodies: Mapping[str, Callable[[Notification], _Body]]
    """What would be sent, by what stands above it."""


def _shown(args: argparse.Namespace, config: Config | None, catalog: Catalog) -> _Shown:
    """Return how the notifier shows them, if one is named that can say so; else, how all dialects do."""
    sink = config.sinks[args.sink] if config is not None else None
    language = args.language or getattr(sink, "language", "en")
    zone = args.zone or ZoneInfo(getattr(sink, "zone", "UTC"))
    if sink is not None:
        given = {"language": language, "zone": zone.key}
        asked = {name: value for name, value in given.items() if hasattr(sink, name)}
        context = SinkContext(name=args.sink, clock=SystemClock(), catalog=catalog)
        notifier = load(sink.kind).Sink(msgspec.structs.replace(sink, **asked), context)
        if hasattr(notifier, "preview"):
            return _Shown(
                zone, lambda note: notifier.preview(note)[0], {args.sink: lambda note: notifier.preview(note)[1]}
            )
    view = View(language=language, zone=zone, catalog=catalog)
    return _Shown(
        zone=zone,
        message=lambda note: compose(note, view),
        bodies={name: _bound(write, view) for name, write in _DIALECTS.items()},
    )


def _bound(write: Callable[[Notification, View], _Body], view: View) -> Callable[[Notification], _Body]:
    return lambda note: write(note, view)


def _asked(name: str | None, config: Config | None, catalog: Catalog) -> tuple[Sequence[Rule], GroupConfig]:
    """Return which events may begin a problem that is told, and which problems are told together."""
    if config is None or name is None:
        return [Rule.parse({"severity": ["warning", "critical"]}).by(catalog)], GroupConfig()
    sink = config.sinks[name]
    return sink.match, sink.notifies or GroupConfig()


def _events(files: Sequence[str], cluster: str | None) -> list[Event]:
    """Return what files hold, in the order in which it happened.

    Raises:
        EventerError: they cannot be read, or hold too much.
    """
    events: list[Event] = []
    for event, why, place in from_files(files, Home(cluster, {})):
        if why:
            print(f"eventer preview: left out: {escape(f'{place}{why}')}", file=sys.stderr)
        if event is not None:
            events.append(event)
        if len(events) > _MOST:
            raise EventerError(f"There are more than {_MOST:,} events. Preview a part of them.")
    return sorted(events, key=lambda event: event.time)


def _told(events: Sequence[Event], alerts: Alerts, times: Timing) -> Iterator[Notification]:
    """Let time pass with the events, and on until what they began is over or silent."""
    now = 0.0
    present = SystemClock().now().timestamp()
    for event in events:
        at = min(event.time.timestamp(), present)  # a wrong clock may have written any time
        while alerts.due <= at:
            now = max(now, alerts.due)
            yield from alerts.step([], now)
        now = max(now, at)
        yield from alerts.step([event], now)
    # A problem of which nothing more is heard ends after `quiet`; its group speaks within an interval.
    end = now + times.quiet + times.calm + 2 * times.interval
    while alerts.due <= end:
        now = max(now, alerts.due)
        yield from alerts.step([], now)


def _page(notes: Sequence[Notification], bodies: Mapping[str, Callable[[Notification], _Body]]) -> str:
    return page(
        (f"{name} · {number}", write(note)) for number, note in enumerate(notes, 1) for name, write in bodies.items()
    )


def _fail(text: str, code: int) -> int:
    print(f"eventer preview: {text}", file=sys.stderr)
    return code
