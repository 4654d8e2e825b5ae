"""`eventer dead-letters`: look at what sinks can never take, and decide on it."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from eventer.cli.actions import WrongUseError, add_actions, in_journal, performed
from eventer.cli.colour import BOLD, painter, wants_colour
from eventer.cli.daemon import Daemon, NoDaemonError, add_state_options, directory_of
from eventer.cli.figures import clip, count, plural, table
from eventer.cli.matching import add_match_option, rules_of
from eventer.cli.reasons import headline
from eventer.control.dead import DeadLetter, encode
from eventer.delivery.desk import Decided, Decision
from eventer.errors import EventerError
from eventer.event import Event, decode_lines
from eventer.match import Verdicts
from eventer.text import escape

if TYPE_CHECKING:
    from eventer.journal import Journal

__all__ = ["add_parser", "main"]

_TEXT: Final = """\
Looks at dead letters, and decides on them: events that a sink can never take as they are, and lines that a
cluster sent and that are no events. Each has a name, SINK/NUMBER. They are kept until somebody decides:
retry has the sink sent them again, which it does by itself, in order; drop gives them up, counted as dropped.
"""
_EXAMPLES: Final = (
    "eventer dead-letters list",
    "eventer dead-letters show archive/4711",
    "eventer dead-letters export --sink archive -o dead.jsonl",
    "eventer dead-letters retry --sink archive --reason mapping",
    "eventer dead-letters drop --match 'reason=BackOff,namespace=shop' --yes",
)
_SHOWN: Final = 50
"""Letters in a table; the counts above it are of all."""
_COLUMN: Final = 44
"""Columns of a text that a table repeats."""
_PATIENCE: Final = 15.0
_ACTIONS: Final = {
    "list": "a table: counts first, the newest last",
    "show": "everything of some, and what to do",
    "retry": "have the sink sent some again",
    "drop": "give some up",
    "export": "write some as JSON lines, which eventer replay reads",
}


def add_parser(subparsers: Any) -> None:
    """Declare the command's options."""
    codes = {0: "done", 1: "no letter is meant, or it could not be done", 2: "", 78: ""}
    for name, parser in add_actions(subparsers, "dead-letters", _TEXT, _EXAMPLES, codes, _ACTIONS).items():
        parser.add_argument("letters", nargs="*", metavar="SINK/NUMBER", help="letters by name")
        parser.add_argument("--sink", metavar="NAME", help="those of one sink, or of intake:CLUSTER/SCOPE")
        parser.add_argument("--reason", metavar="WORD", help="those that are dead for this reason")
        add_match_option(parser)
        parser.add_argument("--all", action="store_true", help="all of them")
        if name in {"list", "show"}:
            parser.add_argument("--output", choices=["text", "json"], default="text", help="for people, or JSON lines")
        if name == "drop":
            parser.add_argument("--yes", action="store_true", help="do not ask")
        if name == "export":
            parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="a new file (default: standard output)")
        add_state_options(parser)


def main(args: argparse.Namespace) -> int:
    """Do what the action says.

    Returns:
        0; 1 if no letter is meant or it could not be done; 2 for wrong usage.
    """

    def action() -> int:
        wanted = _selection(args)
        return _DO[args.action](_Office(directory_of(args), args.sink), wanted, args)

    return performed(args, action)


# -- which letters -------------------------------------------------------------------------------

_Selection = Callable[[DeadLetter], bool]


def _selection(args: argparse.Namespace) -> _Selection:
    """Return what tells whether a letter is meant.

    Raises:
        WrongUseError: nothing says which.
    """
    names: set[tuple[str, int]] = set()
    for text in args.letters:
        sink, slash, number = text.rpartition("/")
        if not slash or not sink or not (number.isascii() and number.isdigit()):
            raise WrongUseError(f"'{escape(text[:80])}' names no letter; write SINK/NUMBER, as list shows it")
        names.add((sink, int(number)))
    try:
        verdicts = Verdicts(rules_of(args)) if args.match else None
    except ValueError as error:
        raise WrongUseError(str(error)) from None
    narrowed = bool(names or args.sink or args.reason or verdicts)
    if not narrowed and not args.all and args.action not in {"list", "export"}:
        raise WrongUseError("name letters (SINK/NUMBER), or choose them with --sink, --reason, --match, or --all")

    def wanted(letter: DeadLetter) -> bool:
        if (names and (letter.sink, letter.number) not in names) or args.reason not in {None, letter.reason}:
            return False
        return verdicts is None or ((event := _event(letter)) is not None and verdicts([event])[0] >= 0)

    return wanted


def _event(letter: DeadLetter) -> Event | None:
    if letter.of_intake or letter.of_notifier or letter.damaged:
        return None
    return decode_lines([bytes(letter.event)])[0]


class _Office:
    """Where letters are: with the daemon, or in the journal if none runs."""

    def __init__(self, directory: Path, sink: str | None) -> None:
        self._directory = directory
        self._sink = sink
        self._daemon = Daemon(directory, _PATIENCE)
        self.runs = True

    def letters(self) -> Iterator[DeadLetter]:
        """Yield all of them, by sink and number, or those of the one sink."""
        for line in self._lines():
            yield msgspec.json.decode(line, type=DeadLetter)

    def _lines(self) -> Iterator[bytes]:
        try:
            yield from self._daemon.lines("/v1/letters", sink=self._sink)
            return
        except NoDaemonError:
            self.runs = False
        from eventer.journal.books import read_dead_letters

        print(f"No daemon runs; this is the journal in {escape(str(self._directory))}.", file=sys.stderr)
        yield from map(encode, read_dead_letters(self._directory, self._sink))

    def decide(self, decision: Decision, named: Mapping[str, list[int]]) -> dict[str, Decided]:
        """Carry a decision out; what became of it is on the disk."""
        if not self.runs:
            return _decide_here(self._directory, decision, named)
        answer = self._daemon.post(f"/v1/letters/{decision}", named)
        if "error" in answer:
            raise EventerError(str(answer["error"]))
        return msgspec.convert(answer, dict[str, Decided])


def _decide_here(directory: Path, decision: Decision, named: Mapping[str, list[int]]) -> dict[str, Decided]:
    from eventer.delivery.desk import decide

    async def work(journal: Journal, _: object) -> dict[str, Decided]:
        return {name: await decide(journal, name, decision, numbers) for name, numbers in named.items()}

    return in_journal(directory, work)


# -- actions -------------------------------------------------------------------------------------


def _list(office: _Office, wanted: _Selection, args: argparse.Namespace) -> int:
    counts: Counter[tuple[str, str]] = Counter()
    newest: list[DeadLetter] = []
    for letter in office.letters():
        if not wanted(letter):
            continue
        counts[letter.sink, letter.reason] += 1
        if args.output == "json":
            print(msgspec.json.encode(letter).decode())
        newest.append(letter)
        if len(newest) > 2 * _SHOWN:
            newest = _newest(newest)
    if args.output == "json":
        return 0
    if not counts:
        print(
            "There are no such dead letters."
            if args.sink or args.reason or args.match
            else "There are no dead letters."
        )
        return 0
    newest = _newest(newest)
    paint = painter(colour=wants_colour(sys.stdout))
    rows = [["sink", "reason", "letters"], *([escape(s), escape(r), count(n)] for (s, r), n in sorted(counts.items()))]
    print("\n".join(_headed(table(rows, right=[2]), paint)))
    rows = [["since", "letter", "reason", "event", "message", "answer"], *map(_row, newest)]
    print()
    if counts.total() > len(newest):
        print(f"The newest {len(newest)}; --output json has all, or choose with --sink, --reason and --match:")
    print("\n".join(_headed(table(rows), paint)))
    return 0


def _headed(lines: list[str], paint: Callable[[str, str], str]) -> list[str]:
    return [paint(BOLD, lines[0]), *lines[1:]]


def _newest(letters: list[DeadLetter]) -> list[DeadLetter]:
    return sorted(letters, key=lambda letter: letter.time)[-_SHOWN:]


def _row(letter: DeadLetter) -> list[str]:
    event = _event(letter)
    if event is not None:
        about = "/".join(part for part in (event.namespace, event.name) if part)
        what, text = f"{event.reason} {event.kind} {about}", event.message
    elif letter.of_notifier and not letter.damaged:
        note = msgspec.json.decode(letter.event)
        reasons = ", ".join(note.get("reasons", {}))
        what, text = "notification", f"{note.get('why', '')}: {note.get('events', 0)} events, {reasons}".rstrip(", ")
    else:
        what, text = ("damaged on the disk", "") if letter.damaged else ("no event", letter.line or "")
    cells = (what, text, letter.answer)
    return [
        f"{letter.time:%Y-%m-%d %H:%M:%S}",
        escape(letter.name),
        escape(letter.reason),
        *(clip(escape(cell), _COLUMN) for cell in cells),
    ]


def _show(office: _Office, wanted: _Selection, args: argparse.Namespace) -> int:
    found = 0
    for letter in filter(wanted, office.letters()):
        if args.output == "json":
            print(msgspec.json.encode(letter).decode())
        else:
            print("\n" * bool(found) + "\n".join(_whole(letter)))
        found += 1
    return 0 if found else _none()


def _whole(letter: DeadLetter) -> Iterable[str]:
    paint = painter(colour=wants_colour(sys.stdout))
    event = _event(letter)
    other = "a notification" if letter.of_notifier else "a line that is no event"
    title = headline(event) if event else "damaged on the disk" if letter.damaged else other
    yield paint(BOLD, f"{escape(letter.name)}  {title}")
    tried = f", sent {plural(letter.attempts, 'time')}" if not letter.of_intake else ""
    where = f", for {escape(letter.destination)}" if letter.destination else ""
    yield f"dead because: {escape(letter.reason)}{where}; since {letter.time:%Y-%m-%d %H:%M:%S} UTC{tried}"
    if letter.answer:
        yield f"answer: {escape(letter.answer)}"
    yield f"what to do: {_advice(letter)}"
    if letter.of_intake:
        yield escape(letter.line or "")
    elif not letter.damaged:
        yield from map(escape, msgspec.json.format(bytes(letter.event), indent=2).decode().split("\n"))


def _advice(letter: DeadLetter) -> str:
    name = escape(letter.name)
    drop = f"eventer dead-letters drop {name}"
    retry = f"eventer dead-letters retry {name}"
    if letter.of_intake:
        return f"find out who wrote it; a later state of the object comes by itself. Then: {drop}"
    if letter.damaged:
        return f"nothing of it can be read any more: {drop}"
    if letter.reason == "crash":
        return f"Eventer ended twice while it sent this one; please report it. With a version that can: {retry}"
    if letter.of_notifier and letter.reason == "unknown":
        return f"look whether people have it. If not: {retry}. If they have: {drop}"
    return (
        "the far side, or the sink itself, refuses this event as it is; the answer says why. Mend that (the far side's "
        f"mapping or limits, or the options of the sink), and then: {retry}. To give it up: {drop}"
    )


def _retry(office: _Office, wanted: _Selection, _: argparse.Namespace) -> int:
    named = _named(filter(wanted, office.letters()))
    lines = {name: numbers for name, numbers in named.items() if name.startswith("intake:")}
    for name in lines:
        del named[name]
        print(f"{escape(name)}: these are lines that are no events, so no sink can be sent them", file=sys.stderr)
    if not named:
        return 1 if lines else _none()
    for name, result in office.decide(Decision.RETRY, named).items():
        print(f"{escape(name)}: {', '.join(_told(result, 'to be sent again'))}")
    if office.runs:
        print("They go as soon as the sink takes events, which eventer status shows.")
    else:
        print("They go when the daemon runs again.")
    return 1 if lines else 0


def _drop(office: _Office, wanted: _Selection, args: argparse.Namespace) -> int:
    named = _named(filter(wanted, office.letters()))
    if not named:
        return _none()
    total = sum(map(len, named.values()))
    if not args.yes:
        question = f"Give up {plural(total, 'dead letter')} of {', '.join(map(escape, named))} for good?"
        if not sys.stdin.isatty():
            raise WrongUseError(f"{question} Confirm it with --yes")
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            print("Nothing was done.", file=sys.stderr)
            return 1
    for name, result in office.decide(Decision.DROP, named).items():
        print(f"{escape(name)}: {', '.join(_told(result, 'given up'))}")
    return 0


def _export(office: _Office, wanted: _Selection, args: argparse.Namespace) -> int:
    found = 0
    lines = (msgspec.json.encode(letter) for letter in office.letters() if wanted(letter))
    if args.out is None:
        for found, line in enumerate(lines, 1):  # noqa: B007 - counted
            print(line.decode())
        return 0 if found else _none()
    try:
        file = args.out.open("xb")
    except FileExistsError:
        raise WrongUseError(f"{escape(str(args.out))} exists; name a new file") from None
    with file:
        for found, line in enumerate(lines, 1):  # noqa: B007 - counted
            file.write(line + b"\n")
    if not found:
        args.out.unlink()
        return _none()
    print(f"{plural(found, 'dead letter')} written to {escape(str(args.out))}; they are still kept.", file=sys.stderr)
    return 0


def _named(letters: Iterable[DeadLetter]) -> dict[str, list[int]]:
    named: dict[str, list[int]] = {}
    for letter in letters:
        named.setdefault(letter.sink, []).append(letter.number)
    return named


def _told(result: Decided, what: str) -> Iterator[str]:
    yield f"{plural(result.done, 'letter')} {what}"
    if result.left:
        yield f"{count(result.left)} stay dead, because so many wait already; retry them when those have gone"
    if result.unknown:
        yield f"{count(result.unknown)} decided on by somebody else meanwhile"


def _none() -> int:
    print("No dead letter is meant by that; eventer dead-letters list shows which there are.", file=sys.stderr)
    return 1


_DO: Final[Mapping[str, Callable[[_Office, _Selection, argparse.Namespace], int]]] = {
    "list": _list,
    "show": _show,
    "retry": _retry,
    "drop": _drop,
    "export": _export,
}
