"""The tests that a configuration brings for itself: run them, and say what decided where one fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from eventer.catalog import Catalog
from eventer.cli.colour import BOLD, GREEN, RED, Paint
from eventer.cli.reasons import Place, headline, reason, rule_line
from eventer.config.document import Path
from eventer.config.route import Answer, Route, route
from eventer.config.samples import to_event
from eventer.config.types import Config
from eventer.text import escape

__all__ = ["Result", "render", "run"]


class Result(msgspec.Struct, kw_only=True, frozen=True):
    """What came of one test."""

    path: str
    line: int | None
    name: str
    ok: bool
    event: str
    """The event, on one line."""
    expected: str
    got: str
    why: list[str]
    """What decided, in words; empty for a test that passed."""


def run(config: Config, line: Place) -> list[Result]:
    """Run all tests of a configuration.

    Args:
        config: with its tests.
        line: tells the lines of rules.
    """
    catalog = Catalog(config.catalog)
    results: list[Result] = []
    for index, test in enumerate(config.tests):
        event = to_event(test.event, config.sources)
        way = route(config.filter, config.sinks, event, catalog)
        expected = None if test.sinks is None else set(test.sinks)
        got = set(way.sinks) if way.kept else None
        results.append(
            Result(
                path=f"tests[{index}]",
                line=line(("tests", index)),
                name=test.name,
                ok=expected == got,
                event=headline(event),
                expected=_outcome(expected),
                got=_outcome(got),
                why=[] if expected == got else list(_why(way, expected, line)),
            )
        )
    return results


def render(file: str, results: Sequence[Result], paint: Paint) -> str:
    """Write for people which tests failed, and why."""
    if not results:
        return f"{escape(file)}: there are no tests; write them in the section tests:"
    lines: list[str] = []
    for result in results:
        if result.ok:
            continue
        name = f"{result.path}: {escape(result.name)}" if result.name else result.path
        lines += ["", f"{paint(BOLD, f'{escape(file)}:{result.line}')}: {name}: {paint(RED, 'failed')}"]
        lines.append(f"    event     {result.event}")
        lines.append(f"    expected  {result.expected}")
        lines.append(f"    got       {result.got}")
        lines += [f"    {line}" for line in result.why]
    failed = sum(not result.ok for result in results)
    count = f"{len(results)} test{'s' * (len(results) != 1)}"
    verdict = paint(RED, f"{failed} failed") if failed else paint(GREEN, "all passed")
    return "\n".join([*lines[1:], *([""] if lines else []), f"{escape(file)}: {count}, {verdict}"])


def _outcome(sinks: set[str] | None) -> str:
    if sinks is None:
        return "filtered"
    return ", ".join(sorted(sinks)) or "kept, for no sink"


def _why(way: Route, expected: set[str] | None, line: Place) -> Iterator[str]:
    """Say what decided otherwise than expected."""
    decider = way.decider
    if way.kept != (expected is not None):
        if decider is not None:
            yield from _rule(decider, ("filter", decider.index), line)
        elif way.own:
            yield "Eventer's own records pass the filter unasked"
        elif not way.asked:
            yield "the filter has no rules"
        else:
            yield "no rule of the filter matches:"
            for answer in way.asked:
                yield from _rule(answer, ("filter", answer.index), line)
        return
    for sink in way.answers:
        if sink.matches == (sink.name in (expected or set())):
            continue
        if not sink.asked:
            yield f"sinks.{sink.name} has no match, so it gets every event"
        # Where it matches, the last rule asked is the one that does; else all of them are to blame.
        for answer in sink.asked[-1:] if sink.matches else sink.asked:
            yield from _rule(answer, ("sinks", sink.name, "match", answer.index), line)


def _rule(answer: Answer, path: Path, line: Place) -> Iterator[str]:
    if not answer.parts:
        yield f"{rule_line(answer, path, line)} matches everything"
        return
    yield f"{rule_line(answer, path, line)} {'matches' if answer.matches else 'does not match'}:"
    for part in answer.parts:
        if answer.matches or not part.holds:
            yield f"  {reason(part)}"
