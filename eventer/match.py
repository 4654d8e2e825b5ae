"""The one matcher: filter rules, each sink's `match` and (later) silences are written in it.

A rule is a mapping of fields to values, all of which must hold. A value is a word, a list of
words (one of them must hold), a `/regular expression/`, or any of these with `!` before it (must
not hold). 50 rules cost what one does: which rules are still possible is decided once per
combination of the fields with few values (type, reason, kind...) and remembered; only rules that
also look at names or texts are tried for each event.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec

from eventer.event import Event
from eventer.patterns import TEXT_CAP, compile_pattern

__all__ = ["FIELDS", "Part", "Rule", "RuleFault", "Test", "Verdicts"]

SHARED: Final = ("cluster", "origin", "type", "reason", "kind", "namespace", "component")
"""Fields with few values: verdicts on them are remembered."""
OPEN: Final = ("name", "node", "message")
"""Fields with a value of its own for nearly every event; tried each time."""
FIELDS: Final = (*SHARED, *OPEN, "labels")

_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9 ./_-]*(?<! )")
"""Texts that YAML takes as they are, also between braces."""
REMEMBERED: Final = 65_536
"""Verdicts kept before the memory is emptied: about 20 MB at most, and refilled in one batch."""


class RuleFault(ValueError):
    """A rule that cannot be used. `faults` lists (path within the rule, message, remedy)."""

    def __init__(self, faults: list[tuple[tuple[str | int, ...], str, str]]) -> None:
        self.faults = faults
        super().__init__("; ".join(message for _, message, _ in faults))


class Part(msgspec.Struct, frozen=True):
    """What one field of a rule says of one event, and why: for people, never on the way of an event."""

    field: str
    """A field of the language; `labels.team` for a label."""
    text: str
    """What the event has there."""
    holds: bool
    by: str
    """The value, as written without `!`, that decided. Empty where the text is none of those wanted,
    or none of those refused."""
    wanted: tuple[str, ...]
    refused: tuple[str, ...]
    """What the rule names with `!`, without it."""


class Test(msgspec.Struct, frozen=True):
    """What one field must satisfy: any of the positives (if there are any), none of the others."""

    words: frozenset[str] = frozenset()
    patterns: tuple[re.Pattern[str], ...] = ()
    not_words: frozenset[str] = frozenset()
    not_patterns: tuple[re.Pattern[str], ...] = ()

    def __call__(self, text: str) -> bool:
        """Whether the text satisfies it."""
        if text in self.not_words:
            return False
        if self.patterns or self.not_patterns:
            text = text[:TEXT_CAP]
            if any(pattern.search(text) for pattern in self.not_patterns):
                return False
        if not self.words and not self.patterns:
            return True
        return text in self.words or any(pattern.search(text) for pattern in self.patterns)

    def part(self, field: str, text: str) -> Part:
        """Say what the test says of a text, and why."""
        holds = self(text)
        words, patterns = (self.words, self.patterns) if holds else (self.not_words, self.not_patterns)
        searched = text[:TEXT_CAP]
        by = text if text in words else next((f"/{p.pattern}/" for p in patterns if p.search(searched)), "")
        return Part(field, text, holds, by, self.wanted, self.refused)

    @property
    def wanted(self) -> tuple[str, ...]:
        """Words and patterns of which one must hold, as written."""
        return (*sorted(self.words), *(f"/{pattern.pattern}/" for pattern in self.patterns))

    @property
    def refused(self) -> tuple[str, ...]:
        """Words and patterns of which none may hold, as written, without `!`."""
        return (*sorted(self.not_words), *(f"/{pattern.pattern}/" for pattern in self.not_patterns))

    def __str__(self) -> str:
        values = [_quoted(value) for value in (*self.wanted, *(f"!{value}" for value in self.refused))]
        return values[0] if len(values) == 1 else f"[{', '.join(values)}]"


def _quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else "'" + text.replace("'", "''") + "'"


class Rule(msgspec.Struct, frozen=True):
    """One compiled rule. An empty rule matches everything."""

    shared: Mapping[str, Test] = {}
    open: Mapping[str, Test] = {}
    labels: Mapping[str, Test] = {}

    @classmethod
    def parse(cls, mapping: Mapping[str, Any]) -> Rule:
        """Compile a rule as it stands in the configuration.

        Raises:
            RuleFault: with everything that is wrong in it.
        """
        faults: list[tuple[tuple[str | int, ...], str, str]] = []
        shared: dict[str, Test] = {}
        open_: dict[str, Test] = {}
        labels: dict[str, Test] = {}
        for field, value in mapping.items():
            if field == "labels":
                if not isinstance(value, Mapping):
                    faults.append((("labels",), "labels takes a mapping of names to values", "labels: {team: [shop]}"))
                    continue
                for label, wanted in value.items():
                    labels[label] = _test(wanted, ("labels", label), faults)
            elif field in SHARED:
                shared[field] = _test(value, (field,), faults)
            elif field in OPEN:
                open_[field] = _test(value, (field,), faults)
            else:
                faults.append(((field,), f"{field!r} is no field to match on", f"known fields: {', '.join(FIELDS)}"))
        if faults:
            raise RuleFault(faults)
        return cls(shared, open_, labels)

    def matches(self, event: Event) -> bool:
        """Whether the event satisfies every part of the rule."""
        return (
            all(test(getattr(event, field)) for field, test in self.shared.items())
            and all(test(getattr(event, field)) for field, test in self.open.items())
            and all(test(event.labels.get(label, "")) for label, test in self.labels.items())
        )

    def parts(self, event: Event) -> list[Part]:
        """Say field by field what the rule says of an event; it matches if all of them hold."""
        return [
            *(
                test.part(field, str(getattr(event, field)))
                for field, test in (*self.shared.items(), *self.open.items())
            ),
            *(test.part(f"labels.{label}", event.labels.get(label, "")) for label, test in self.labels.items()),
        ]

    def __str__(self) -> str:
        fields = [f"{field}: {test}" for field, test in (*self.shared.items(), *self.open.items())]
        if self.labels:
            labels = ", ".join(f"{_quoted(label)}: {test}" for label, test in self.labels.items())
            fields.append(f"labels: {{{labels}}}")
        return f"{{{', '.join(fields)}}}"


def _test(value: Any, path: tuple[str | int, ...], faults: list[tuple[tuple[str | int, ...], str, str]]) -> Test:
    words: list[str] = []
    patterns: list[re.Pattern[str]] = []
    not_words: list[str] = []
    not_patterns: list[re.Pattern[str]] = []
    items = value if isinstance(value, list) else [value]
    if not items:
        faults.append((path, "an empty list matches nothing", "leave the field out, or name a value"))
    for index, item in enumerate(items):
        place = (*path, index) if isinstance(value, list) else path
        if not isinstance(item, str):
            faults.append((place, f"{item!r} is no text", f'write it in quotes: "{item}"'))
            continue
        negated = item.startswith("!")
        text = item[1:] if negated else item
        if len(text) >= 2 and text.startswith("/") and text.endswith("/"):
            try:
                pattern = compile_pattern(text[1:-1])
            except ValueError as error:
                message, _, remedy = str(error).rpartition("; ")
                faults.append((place, message, remedy))
                continue
            (not_patterns if negated else patterns).append(pattern)
        else:
            (not_words if negated else words).append(text)
    return Test(frozenset(words), tuple(patterns), frozenset(not_words), tuple(not_patterns))


def _no_key(_: Event) -> None:
    """Key of all events where no rule looks at a shared field."""


class Verdicts:
    """First match of a list of rules, for lists of events."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        used = [field for field in SHARED if any(field in rule.shared for rule in rules)]
        # attrgetter gives a tuple for several fields and the bare value for one; both are keys.
        self._key: Callable[[Event], Any] = attrgetter(*used) if used else _no_key
        self._memory: dict[Any, tuple[int, ...] | int] = {}

    def __call__(self, events: Sequence[Event]) -> list[int]:
        """Return for each event the index of the first rule that matches it, or -1."""
        if not self._rules:
            return [-1] * len(events)
        memory = self._memory
        if len(memory) > REMEMBERED:
            memory.clear()
        verdicts: list[int] = []
        key = self._key
        for event in events:
            found = memory.get(key(event))
            if found is None:
                found = memory[key(event)] = self._possible(event)
            verdicts.append(found if isinstance(found, int) else self._try(found, event))
        return verdicts

    def _possible(self, event: Event) -> tuple[int, ...] | int:
        """Reduce the rules to those that events with these shared fields can match.

        Returns:
            The answer, if the open fields cannot change it; else indexes of rules to try, of
            which the last may be one that always matches.
        """
        possible: list[int] = []
        for index, rule in enumerate(self._rules):
            if not all(test(getattr(event, field)) for field, test in rule.shared.items()):
                continue
            possible.append(index)
            if not rule.open and not rule.labels:
                break
        if not possible:
            return -1
        first = self._rules[possible[0]]
        return tuple(possible) if first.open or first.labels else possible[0]

    def _try(self, possible: tuple[int, ...], event: Event) -> int:
        for index in possible:
            rule = self._rules[index]
            if all(test(getattr(event, field)) for field, test in rule.open.items()) and all(
                test(event.labels.get(label, "")) for label, test in rule.labels.items()
            ):
                return index
        return -1
