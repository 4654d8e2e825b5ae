"""`eventer silence`: keep quiet about something for a while."""

from __future__ import annotations

import argparse
import getpass
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from eventer.alerting.requests import Ended, SilenceReport, Wanted
from eventer.cli import typed
from eventer.cli.actions import WrongUseError, add_actions, in_journal, performed
from eventer.cli.colour import BOLD, painter, wants_colour
from eventer.cli.daemon import Daemon, NoDaemonError, add_state_options, directory_of
from eventer.cli.figures import clip, count, duration, table
from eventer.config.words import similar
from eventer.errors import EventerError
from eventer.match import FIELDS, LOOKED
from eventer.text import escape
from eventer.values import Duration, Time

if TYPE_CHECKING:
    from eventer.alerting.silencing import Silencing

__all__ = ["add_parser", "fields", "main"]

_TEXT: Final = """\
Keeps notifiers quiet about problems for a while: people are not told of them, stores get their events all the same.
What is silenced is followed and counted, and told when the silence is over and the problem is not.

Which problems: FIELD=VALUE words as in match of the configuration, all of which must hold. A VALUE may be a
'/regular expression/', and ! before it means not; a field that is given several times may be any of them.
Silences are kept in the journal; those under silences: in the configuration are listed here, and ended there.
"""
_EXAMPLES: Final = (
    'eventer silence add namespace=shop reason=BackOff --for 2h --reason "the registry moves"',
    "eventer silence add name=/^batch-/ 'severity=!critical' --until 2027-01-04T06:00:00+01:00 --reason migration",
    "eventer silence list",
    "eventer silence expire 4f9c2a",
)
_ACTIONS: Final = {
    "add": "silence problems",
    "list": "show silences: what they cover, who made them and why, when they end, what they suppressed",
    "expire": "end silences now",
}
_COLUMN: Final = 44
"""Columns of a text in a table."""
_length = typed(lambda text: float(Duration.parse(text)))
_moment = typed(lambda text: float(Time.parse(text)))


def add_parser(subparsers: Any) -> None:
    """Declare the command's options."""
    codes = {0: "", 1: "it could not be done, or not all of it", 2: "", 78: ""}
    for name, parser in add_actions(subparsers, "silence", _TEXT, _EXAMPLES, codes, _ACTIONS).items():
        if name == "add":
            parser.add_argument("fields", nargs="+", metavar="FIELD=VALUE", help="which problems")
            end = parser.add_mutually_exclusive_group(required=True)
            end.add_argument("--for", dest="lasts", type=_length, metavar="TIME", help="such as 2h")
            end.add_argument("--until", type=_moment, metavar="TIME", help="its end, with the zone")
            parser.add_argument("--from", dest="begins", type=_moment, metavar="TIME",
                                help="its begin, with the zone (default: now)")  # fmt: skip
            parser.add_argument("--reason", required=True, metavar="TEXT", help="why nobody is to be told")
            parser.add_argument("--owner", metavar="NAME", help="whom to ask about it (default: who gives the command)")
        elif name == "list":
            parser.add_argument("--expired", action="store_true", help="also those that are over, for seven days")
        else:
            parser.add_argument("ids", nargs="+", metavar="ID", help="silences, as list shows them")
        parser.add_argument("--output", choices=["text", "json"], default="text", help="for people, or JSON lines")
        add_state_options(parser)


def main(args: argparse.Namespace) -> int:
    """Do what the action says.

    Returns:
        0; 1 if it could not be done, or not all of it; 2 for wrong usage.
    """
    return performed(args, lambda: _DO[args.action](_Office(directory_of(args)), args))


def fields(words: Sequence[str]) -> dict[str, Any]:
    """Read `FIELD=VALUE` words as a rule; `labels.NAME`, `namespace.labels.NAME` and `node.labels.NAME` for labels.

    Raises:
        ValueError: a word names no field; the message says what to write.
    """
    rule: dict[str, Any] = {}
    for word in words:
        field, equals, value = word.partition("=")
        holder, dot, label = field.partition("labels.")
        name, into = field, rule
        if dot and label and holder in {"", "namespace.", "node."}:
            name, into = label, rule.setdefault(f"{holder}labels", {})
        elif field not in {*FIELDS, *LOOKED} or field.endswith("labels"):
            known = [field for field in (*FIELDS, *LOOKED) if not field.endswith("labels")]
            close = similar(field, known)
            remedy = f"did you mean {close}?" if close else f"write FIELD=VALUE with {', '.join(known)} or labels.NAME"
            raise ValueError(f"'{escape(word[:60])}' names no field; {remedy}")
        if not equals:
            raise ValueError(f"'{escape(word[:60])}' has no value; write {escape(field[:60])}=VALUE")
        into[name] = [*into.get(name, []), value]
    return rule


class _Office:
    """Where silences are: with the daemon, or in the journal if none runs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._daemon = Daemon(directory)

    def reports(self) -> list[SilenceReport]:
        """Return all of them."""
        answer = self._asked(lambda: self._daemon.get("/v1/silences"), lambda silencing: silencing.reports())
        return msgspec.convert(answer, list[SilenceReport])

    def add(self, wanted: Wanted) -> SilenceReport:
        """Make one; it is on the disk."""
        answer = self._asked(lambda: self._daemon.post("/v1/silences", wanted), lambda silencing: silencing.add(wanted))
        return msgspec.convert(answer, SilenceReport)

    def expire(self, ids: Sequence[str]) -> Ended:
        """End some; that is on the disk."""
        path = "/v1/silences/expire"
        answer = self._asked(lambda: self._daemon.post(path, ids), lambda silencing: silencing.expire(ids))
        return msgspec.convert(answer, Ended)

    def _asked(self, ask: Callable[[], Any], do: Callable[[Silencing], Awaitable[Any]]) -> Any:
        try:
            answer = ask()
        except NoDaemonError:
            return _here(self.directory, do)
        if isinstance(answer, dict) and "error" in answer:
            raise EventerError(str(answer["error"]))
        return answer


def _here(directory: Path, do: Callable[[Silencing], Awaitable[Any]]) -> Any:
    """Do it in the journal.

    Raises:
        JournalError: there is none, or it cannot be used.
    """
    from eventer.alerting.silencing import Silencing
    from eventer.errors import DiskRefused
    from eventer.journal import files

    if files.empty(directory):
        raise DiskRefused(
            f"No daemon runs, and there is no journal in {directory}. Name its directory with --state, or write the "
            "silence under silences: in the configuration."
        )
    where = escape(str(directory))
    print(f"No daemon runs; this is the journal in {where}, without silences of the configuration.", file=sys.stderr)
    return in_journal(directory, lambda journal, clock: do(Silencing(journal, clock)))


# -- actions -------------------------------------------------------------------------------------


def _add(office: _Office, args: argparse.Namespace) -> int:
    from eventer.journal import files

    try:
        rule = fields(args.fields)
    except ValueError as error:
        raise WrongUseError(str(error)) from None
    wanted = Wanted(
        match=rule,
        owner=_user() if args.owner is None else args.owner,
        reason=args.reason,
        begins=args.begins,
        ends=args.until,
        lasts=args.lasts,
    )
    made = office.add(wanted)
    if args.output == "json":
        print(msgspec.json.encode(made).decode())
    else:
        assert made.ends is not None
        begins = f" from {made.begins:%Y-%m-%d %H:%M:%S}" if made.begins and made.state == "pending" else ""
        print(f"{made.id} silences {_what(made)}{begins} until {made.ends:%Y-%m-%d %H:%M:%S} UTC")
        print(f"To end it before: eventer silence expire {made.id}")
    if files.in_memory(office.directory):
        print(
            "The journal is in memory: unless state.mirror keeps it, the silence goes with its pod or machine. One "
            "under silences: in the configuration stays.",
            file=sys.stderr,
        )
    return 0


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise WrongUseError("this user has no name; name whom to ask about the silence with --owner") from None


def _list(office: _Office, args: argparse.Namespace) -> int:
    reports = [report for report in office.reports() if args.expired or report.state != "expired"]
    if args.output == "json":
        for report in reports:
            print(msgspec.json.encode(report).decode())
        return 0
    if not reports:
        print("There are no silences.")
        return 0
    now = time.time()
    rows = [["id", "what", "who", "why", "ends", "events", "made by"], *(_row(report, now) for report in reports)]
    paint = painter(colour=wants_colour(sys.stdout))
    first, *rest = table(rows, right=[5], indent="")
    print("\n".join([paint(BOLD, first), *rest]))
    return 0


def _row(report: SilenceReport, now: float) -> list[str]:
    return [
        escape(report.id),
        clip(_what(report), _COLUMN),
        clip(escape(report.owner), _COLUMN // 2),
        clip(escape(" ".join(report.reason.split())), _COLUMN),
        _when(report, now),
        count(report.suppressed),
        report.origin,
    ]


def _when(report: SilenceReport, now: float) -> str:
    if report.ends is None:
        return "-"
    ends = report.ends.timestamp()
    if report.state == "pending" and report.begins is not None:
        begins = report.begins.timestamp()
        return f"begins in {duration(begins - now)}, for {duration(ends - begins)}"
    return f"{duration(now - ends)} ago" if report.state == "expired" else f"in {duration(ends - now)}"


def _what(report: SilenceReport) -> str:
    return " or ".join(map(escape, report.match)) or "nothing: this version cannot use its rule"


def _expire(office: _Office, args: argparse.Namespace) -> int:
    ended = office.expire(args.ids)
    if args.output == "json":
        print(msgspec.json.encode(ended).decode())
    else:
        for names, what in ((ended.ended, "ended"), (ended.over, "was over already")):
            for name in names:
                print(f"{escape(name)}: {what}")
        for name in ended.configured:
            print(f"{escape(name)}: stands in the configuration; take it out there", file=sys.stderr)
        for name in ended.unknown:
            print(f"{escape(name)}: there is no such silence; eventer silence list shows them", file=sys.stderr)
    return 1 if ended.configured or ended.unknown else 0


_DO: Final[Mapping[str, Callable[[_Office, argparse.Namespace], int]]] = {
    "add": _add,
    "list": _list,
    "expire": _expire,
}
