"""The one matcher: filter rules, each sink's `match` and (later) silences are written in it.

A rule is a mapping of fields to values, all of which must hold. A value is a word, a list of
words (one of them must hold), a `/regular expression/`, or any of these with `!` before it (must
not hold). 50 rules cost what one does: which rules are still possible is decided once per
combination of the fields with few values (type, reason, kind...) and remembered; only rules that
also look at names or texts are tried for each event. `severity` and `family` stand in no event: the
catalog derives them from such fields, and from whether a message holds one of a few pieces, so they are
remembered as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, Protocol

import msgspec

from eventer.event import Event
from eventer.patterns import Expression, compile_pattern

__all__ = [
    "EVENT_FIELDS", "FIELDS", "LOOKED", "MEANT", "NOT_LOOKED_UP", "Meanings", "Part", "Rule", "RuleFault", "Test",
    "Verdicts",
]  # fmt: skip

SHARED: Final = (
    "cluster", "origin", "type", "reason", "kind", "namespace", "component", "condition", "status", "state",
)  # fmt: skip
"""Fields with few values: verdicts on them are remembered."""
OPEN: Final = ("name", "node", "message")
"""Fields with a value of its own for nearly every event; tried each time."""
EVENT_FIELDS: Final = (*SHARED, *OPEN, "labels")
"""Those that stand in an event."""
MEANT: Final = ("severity", "family")
"""What the catalog says of an event."""
MEANT_BY: Final = ("origin", "type", "reason", "kind", "component", "condition", "status", "state", "cause")
"""What the catalog goes by, but for the message of a few reasons."""
LOOKED: Final = {"owner": "owner", "namespace.labels": "namespace", "node.labels": "node"}
"""What only look-ups bring, and what a sink's `enrich` must have for it."""
FIELDS: Final = (*SHARED, *MEANT, *OPEN, "labels")
"""All that a rule can name, but for what is looked up."""

NOT_LOOKED_UP: Final = "not looked up"
"""What a part says of a field that only a look-up knows, where there was none."""
_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9 ./_-]*(?<! )")
"""Texts that YAML takes as they are, also between braces."""
_NO_TEXT: Final = frozenset({"true", "false", "yes", "no", "on", "off", "null"})
"""Words that YAML 1.1 takes for something else, in any capitals."""
REMEMBERED: Final = 65_536
"""Verdicts kept before the memory is emptied: about 20 MB at most, and refilled in one batch."""


class Meanings(Protocol):
    """What says how severe an event is, and of which family."""

    def meaning(self, event: Event) -> tuple[str, str]:
        """Return severity and family. They follow from `MEANT_BY` and `said`."""

    def said(self, event: Event) -> tuple[bool, ...]:
        """Return what counts of this event's message; empty where nothing does."""


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
    patterns: tuple[Expression, ...] = ()
    not_words: frozenset[str] = frozenset()
    not_patterns: tuple[Expression, ...] = ()

    def __call__(self, text: str) -> bool:
        """Whether the text satisfies it."""
        if text in self.not_words:
            return False
        if self.not_patterns and any(pattern.search(text) for pattern in self.not_patterns):
            return False
        if not self.words and not self.patterns:
            return True
        return text in self.words or any(pattern.search(text) for pattern in self.patterns)

    def part(self, field: str, text: str) -> Part:
        """Say what the test says of a text, and why."""
        holds = self(text)
        words, patterns = (self.words, self.patterns) if holds else (self.not_words, self.not_patterns)
        by = text if text in words else next((f"/{p.text}/" for p in patterns if p.search(text)), "")
        return Part(field, text, holds, by, self.wanted, self.refused)

    @property
    def wanted(self) -> tuple[str, ...]:
        """Words and patterns of which one must hold, as written."""
        return (*sorted(self.words), *(f"/{pattern.text}/" for pattern in self.patterns))

    @property
    def refused(self) -> tuple[str, ...]:
        """Words and patterns of which none may hold, as written, without `!`."""
        return (*sorted(self.not_words), *(f"/{pattern.text}/" for pattern in self.not_patterns))

    def __str__(self) -> str:
        values = [_quoted(value) for value in (*self.wanted, *(f"!{value}" for value in self.refused))]
        return values[0] if len(values) == 1 else f"[{', '.join(values)}]"


def _quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) and text.lower() not in _NO_TEXT else "'" + text.replace("'", "''") + "'"


class Rule(msgspec.Struct, frozen=True):
    """One compiled rule. An empty rule matches everything."""

    shared: Mapping[str, Test] = {}
    open: Mapping[str, Test] = {}
    labels: Mapping[str, Test] = {}
    meant: Mapping[str, Test] = {}
    meanings: Meanings | None = None
    """What `meant` is asked of; None for the catalog that comes with Eventer."""
    looked: Mapping[str, Test] = {}
    """By `owner`, `namespace.labels.NAME` or `node.labels.NAME`."""

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
        meant: dict[str, Test] = {}
        looked: dict[str, Test] = {}
        for field, value in mapping.items():
            if field == "labels" or (field.endswith(".labels") and field in LOOKED):
                if not isinstance(value, Mapping):
                    message = f"{field} takes a mapping of names to values"
                    faults.append(((field,), message, f"{field}: {{team: [shop]}}"))
                    continue
                tests = {label: _test(wanted, (field, label), faults) for label, wanted in value.items()}
                if field == "labels":
                    labels = tests
                else:
                    looked |= {f"{field}.{label}": test for label, test in tests.items()}
            elif field in LOOKED:
                looked[field] = _test(value, (field,), faults)
            elif field in SHARED:
                shared[field] = _test(value, (field,), faults)
            elif field in OPEN:
                open_[field] = _test(value, (field,), faults)
            elif field in MEANT:
                meant[field] = _test(value, (field,), faults)
            else:
                faults.append(
                    ((field,), f"{field!r} is no field to match on", f"known fields: {', '.join((*FIELDS, *LOOKED))}")
                )
        if faults:
            raise RuleFault(faults)
        return cls(shared, open_, labels, meant, looked=looked)

    @property
    def needs(self) -> list[str]:
        """The fields of it that must be looked up."""
        return [field for field in LOOKED if any(name == field or name.startswith(f"{field}.") for name in self.looked)]

    def by(self, meanings: Meanings) -> Rule:
        """Return the rule that takes severity and family from there; itself if it asks for neither."""
        return msgspec.structs.replace(self, meanings=meanings) if self.meant else self

    def matches(self, event: Event) -> bool:
        """Whether the event satisfies every part of the rule."""
        return (
            all(test(getattr(event, field)) for field, test in self.shared.items())
            and all(test(getattr(event, field)) for field, test in self.open.items())
            and all(test(event.labels.get(label, "")) for label, test in self.labels.items())
            and self.finds(event)
            and self.means(event)
        )

    def finds(self, event: Event) -> bool:
        """Whether what was looked up is as the rule wants it. So is what is not known: better too many than lost."""
        for field, test in self.looked.items():
            text = _looked_up(event, field)
            if text is not None and not test(text):
                return False
        return True

    def knows(self, event: Event) -> bool:
        """Whether all was looked up that it asks for."""
        return all(_looked_up(event, field) is not None for field in self.looked)

    def means(self, event: Event) -> bool:
        """Whether severity and family of an event are as the rule wants them."""
        if not self.meant:
            return True
        values = dict(zip(MEANT, self.catalog.meaning(event), strict=True))
        return all(test(values[field]) for field, test in self.meant.items())

    @property
    def catalog(self) -> Meanings:
        """What `meant` is asked of."""
        if self.meanings is not None:
            return self.meanings
        from eventer.catalog import shipped  # read only where a rule asks for what is in it

        return shipped()

    def parts(self, event: Event) -> list[Part]:
        """Say field by field what the rule says of an event; it matches if all of them hold."""
        values = dict(zip(MEANT, self.catalog.meaning(event), strict=True)) if self.meant else {}
        return [
            *(test.part(field, str(getattr(event, field))) for field, test in self.shared.items()),
            *(test.part(field, values[field]) for field, test in self.meant.items()),
            *(test.part(field, str(getattr(event, field))) for field, test in self.open.items()),
            *(test.part(f"labels.{label}", event.labels.get(label, "")) for label, test in self.labels.items()),
            *(_part(test, field, _looked_up(event, field)) for field, test in self.looked.items()),
        ]

    def __str__(self) -> str:
        tests = (*self.shared.items(), *self.meant.items(), *self.open.items())
        fields = [f"{field}: {test}" for field, test in tests]
        if self.labels:
            labels = ", ".join(f"{_quoted(label)}: {test}" for label, test in self.labels.items())
            fields.append(f"labels: {{{labels}}}")
        for field in LOOKED:
            if field in self.looked:
                fields.append(f"{field}: {self.looked[field]}")
            inner = {name[len(field) + 1 :]: test for name, test in self.looked.items() if name.startswith(f"{field}.")}
            if inner:
                fields.append(f"{field}: {{{', '.join(f'{_quoted(label)}: {test}' for label, test in inner.items())}}}")
        return f"{{{', '.join(fields)}}}"


def _test(value: Any, path: tuple[str | int, ...], faults: list[tuple[tuple[str | int, ...], str, str]]) -> Test:
    words: list[str] = []
    patterns: list[Expression] = []
    not_words: list[str] = []
    not_patterns: list[Expression] = []
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


def _looked_up(event: Event, field: str) -> str | None:
    """Return what was looked up; None if it is not known."""
    about = event.about
    what, _, label = field.partition(".labels.")
    if not about.enriched or what in about.unknown:
        return None
    if what == "owner":
        return f"{about.owner.kind}/{about.owner.name}" if about.owner.kind else ""
    return (about.node if what == "node" else about.namespace).labels.get(label, "")


def _part(test: Test, field: str, text: str | None) -> Part:
    """As `Test.part`; what is not known holds."""
    if text is None:
        return msgspec.structs.replace(test.part(field, NOT_LOOKED_UP), holds=True, by=NOT_LOOKED_UP)
    return test.part(field, text)


def _no_key(_: Event) -> None:
    """Key of all events where no rule looks at a shared field."""


def _with_message(key: Callable[[Event], Any], rules: Sequence[Rule]) -> Callable[[Event], Any]:
    """Add to a key what the catalogs of the rules go by in the message; as a rule they have one."""
    catalogs = list({id(rule.catalog): rule.catalog for rule in rules}.values())
    if len(catalogs) == 1:
        said = catalogs[0].said
        return lambda event: (key(event), said(event))
    return lambda event: (key(event), *[catalog.said(event) for catalog in catalogs])


class Verdicts:
    """First match of a list of rules, for lists of events."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        used = [field for field in SHARED if any(field in rule.shared for rule in rules)]
        asking = [rule for rule in rules if rule.meant]
        if asking:
            used += [field for field in MEANT_BY if field not in used]
        # attrgetter gives a tuple for several fields and the bare value for one; both are keys.
        self._key: Callable[[Event], Any] = attrgetter(*used) if used else _no_key
        if asking:
            self._key = _with_message(self._key, asking)
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
        settled = False
        for index, rule in enumerate(self._rules):
            if not all(test(getattr(event, field)) for field, test in rule.shared.items()):
                continue
            if not rule.means(event):
                continue
            possible.append(index)
            settled = not rule.open and not rule.labels and not rule.looked
            if settled:
                break
        if not possible:
            return -1
        return possible[0] if settled and len(possible) == 1 else tuple(possible)

    def _try(self, possible: tuple[int, ...], event: Event) -> int:
        for index in possible:
            rule = self._rules[index]
            if (
                all(test(getattr(event, field)) for field, test in rule.open.items())
                and all(test(event.labels.get(label, "")) for label, test in rule.labels.items())
                and rule.finds(event)
            ):
                return index
        return -1
