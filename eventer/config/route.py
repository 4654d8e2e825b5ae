"""Which way an event takes: what each rule of the filter and of each sink says of it, and why.

Intake and the runners decide by `Verdicts`, which is quick and tells nothing but an index. This is the
slow way to the same answers, for people: `eventer explain` and the tests of a configuration. That both
agree is tested with any rules and any events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from eventer.catalog import shipped
from eventer.config.types import FilterRule
from eventer.event import Event, Origin
from eventer.group import own_trouble
from eventer.match import NOT_LOOKED_UP, Meanings, Part, Rule
from eventer.sink import SinkConfig

__all__ = ["Answer", "Route", "SinkAnswer", "route"]


class Answer(msgspec.Struct, kw_only=True, frozen=True):
    """What one rule says."""

    index: int
    """Its place in its list."""
    rule: Rule
    parts: list[Part]
    """What each of its fields says; none for a rule that matches everything."""
    keeps: bool = True
    """False for a rule of the filter that drops."""

    @property
    def matches(self) -> bool:
        """Whether all of it holds."""
        return all(part.holds for part in self.parts)


class SinkAnswer(msgspec.Struct, kw_only=True, frozen=True):
    """What one sink's `match` says. Its rules are asked in order until one matches."""

    name: str
    asked: list[Answer]
    matches: bool
    own: bool = False
    """Whether it gets it though no rule matches: trouble of Eventer's own concerns all who are notified."""

    @property
    def unsure(self) -> bool:
        """Whether only a look-up can tell: the rule that matches goes by what is not known here."""
        return (
            self.matches
            and not self.own
            and any(part.by == NOT_LOOKED_UP for answer in self.asked[-1:] for part in answer.parts)
        )


class Route(msgspec.Struct, kw_only=True, frozen=True):
    """The way of one event."""

    own: bool
    """Whether it is one of Eventer's own records, which are stored without asking the filter."""
    asked: list[Answer]
    """The rules of the filter that were asked: all up to the first that matches."""
    kept: bool
    """Whether it is stored."""
    answers: list[SinkAnswer]
    """What every sink's `match` says, whether it is stored or not."""

    @property
    def decider(self) -> Answer | None:
        """The rule of the filter that decided; None where none matches."""
        return self.asked[-1] if self.asked and self.asked[-1].matches else None

    @property
    def sinks(self) -> list[str]:
        """Names of the sinks that get it."""
        return [answer.name for answer in self.answers if answer.matches] if self.kept else []


def route(
    rules: Sequence[FilterRule], sinks: Mapping[str, SinkConfig], event: Event, meanings: Meanings | None = None
) -> Route:
    """Say which way an event takes.

    Args:
        rules: the filter.
        sinks: by name.
        event: what comes.
        meanings: the catalog; None for the one that comes with Eventer.
    """
    own = event.origin is Origin.EVENTER
    asked = [] if own else _ask([rule.rule for rule in rules], event, [rule.keeps for rule in rules])
    last = asked[-1] if asked else None
    answers: list[SinkAnswer] = []
    for name, sink in sinks.items():
        answered = _ask(sink.match, event)
        matches = not sink.match or answered[-1].matches
        own_of_it = not matches and sink.notifies is not None and own_trouble(event, meanings or shipped())
        answers.append(SinkAnswer(name=name, asked=answered, matches=matches or own_of_it, own=own_of_it))
    return Route(own=own, asked=asked, kept=last is None or not last.matches or last.keeps, answers=answers)


def _ask(rules: Sequence[Rule], event: Event, keeps: Sequence[bool] = ()) -> list[Answer]:
    """Ask rules until one matches."""
    asked: list[Answer] = []
    for index, rule in enumerate(rules):
        parts = rule.parts(event)
        asked.append(Answer(index=index, rule=rule, parts=parts, keeps=keeps[index] if keeps else True))
        if asked[-1].matches:
            break
    return asked
