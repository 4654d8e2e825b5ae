"""What can be said of rules without any event: that one covers another, that two never meet.

Only what is certain: where texts would have to be compared with regular expressions in general, the
answer is that nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, get_args

import msgspec

from eventer.catalog.types import Severity
from eventer.config.samples import STATES
from eventer.event import Origin
from eventer.match import Rule, Test

__all__ = ["CLOSED", "ORIGINS", "TYPES", "Covering", "Origins", "apart", "could_be_own", "covers"]

TYPES: Final = ("Normal", "Warning")
"""All types of an Event (https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/)."""
ORIGINS: Final = tuple(str(origin) for origin in Origin)
CLOSED: Final[Mapping[str, Sequence[str]]] = {
    "type": TYPES,
    "origin": ORIGINS,
    "severity": get_args(Severity),
    "state": ("", *STATES),
}
"""Fields with fixed values, and all of them; empty where an event does not have the field. The status of a condition is
not among them: the API server takes any."""
_COMMON: Final[Mapping[str, int]] = {
    "origin": 4, "type": 3, "state": 3, "status": 3, "cluster": 2, "kind": 1, "component": 1, "condition": 1,
}  # fmt: skip
"""Fields for whose few values many rules ask alike, the worst with the highest number."""
_OWN: Final[Mapping[str, str]] = {
    "origin": Origin.EVENTER, "type": "Warning", "kind": "Eventer", "namespace": "", "name": "eventer",
    "component": "eventer", "node": "", "condition": "", "status": "", "state": "",
}  # fmt: skip
"""What stands in each of Eventer's own records; see `eventer.event.own_record`."""


class Origins(msgspec.Struct, kw_only=True, frozen=True):
    """What events of one source have in common."""

    cluster: str | None
    """None where the cluster itself names it."""
    labels: Mapping[str, str]
    namespaces: Sequence[str]
    """Those of their namespaces; empty: any."""

    def admits(self, rule: Rule) -> bool:
        """Whether an event of this source could match, as far as can be told."""
        tests = _tests(rule)
        for field, words in CLOSED.items():
            if field in tests and not any(map(tests[field], words)):
                return False
        if self.cluster is not None and "cluster" in tests and not tests["cluster"](self.cluster):
            return False
        if self.namespaces and "namespace" in tests and not any(map(tests["namespace"], self.namespaces)):
            return False
        return all(test(self.labels.get(label, "")) for label, test in rule.labels.items())


def could_be_own(rule: Rule) -> bool:
    """Whether one of Eventer's own records could match."""
    tests = _tests(rule)
    known = all(tests[field](text) for field, text in _OWN.items() if field in tests)
    return known and all(test("") for test in rule.labels.values())


def covers(wide: Rule, narrow: Rule) -> bool:
    """Whether it is certain that everything that `narrow` matches, `wide` matches as well."""
    theirs = {**_tests(narrow), **narrow.looked}
    if any(field not in theirs for field in (*wide.shared, *wide.open, *wide.meant, *wide.looked)):
        return False
    if any(label not in narrow.labels for label in wide.labels):
        return False
    mine = {**_tests(wide), **wide.looked}
    return all(_implies(theirs[field], test, field) for field, test in mine.items()) and all(
        _implies(narrow.labels[label], test) for label, test in wide.labels.items()
    )


class Covering:
    """Rules, and quickly the first of them that covers another: a file may have a thousand.

    A rule that tests a field for words only can cover just what tests that field for some of them.
    """

    def __init__(self) -> None:
        self._groups: dict[tuple[frozenset[str], str], dict[str, list[tuple[int, Rule]]]] = {}

    def add(self, at: int, rule: Rule) -> None:
        """Take one more rule, behind the ones that are there.

        Args:
            at: its place; the answers of `first`.
            rule: the rule.
        """
        tests = _named(rule)
        # Of several the one with most values, so that few rules are looked at one by one.
        named = [field for field, test in tests.items() if test.words and not test.patterns]
        words_only = min(named, key=lambda field: _COMMON.get(field, 0), default="")
        group = self._groups.setdefault((frozenset(tests), words_only), {})
        for word in tests[words_only].words if words_only else ("",):
            group.setdefault(word, []).append((at, rule))

    def first(self, narrow: Rule) -> int | None:
        """Return the place of the first rule that covers this one; None if none does."""
        tests = _named(narrow)
        found: list[int] = []
        for (fields, words_only), group in self._groups.items():
            if not fields <= tests.keys():
                continue
            words: Sequence[str] | None = _all_words(tests[words_only], words_only) if words_only else ("",)
            if words:
                candidates = group.get(words[0], ())
                found += next(([at] for at, rule in candidates if covers(rule, narrow)), [])
        return min(found, default=None)


def apart(one: Rule, other: Rule) -> bool:
    """Whether it is certain that no event matches both."""
    theirs = _tests(other)
    pairs: list[tuple[Test, Test, str]] = [
        (test, theirs[field], field) for field, test in _tests(one).items() if field in theirs
    ]
    pairs += [(test, other.labels[label], "") for label, test in one.labels.items() if label in other.labels]
    for mine, their, field in pairs:
        words = _all_words(mine, field)
        words = _all_words(their, field) if words is None else words
        if words is not None and not any(mine(word) and their(word) for word in words):
            return True
    return False


def _tests(rule: Rule) -> dict[str, Test]:
    """Return the tests of what an event always has: what is not known of what is looked up satisfies any test."""
    return {**rule.shared, **rule.open, **rule.meant}


def _named(rule: Rule) -> dict[str, Test]:
    return {**_tests(rule), **rule.looked, **{f"labels.{label}": test for label, test in rule.labels.items()}}


def _all_words(test: Test, field: str) -> Sequence[str] | None:
    """Return every text that can satisfy a test; None where that is not known."""
    if test.words and not test.patterns:
        return tuple(_holding(test))
    return [word for word in CLOSED[field] if test(word)] if field in CLOSED else None


def _holding(test: Test) -> Iterator[str]:
    return (word for word in test.words if test(word))


def _implies(narrow: Test, wide: Test, field: str = "") -> bool:
    """Whether it is certain that every text that satisfies one satisfies the other."""
    words = _all_words(narrow, field)
    if words is not None:
        return all(map(wide, words))
    if not (wide.not_words <= narrow.not_words and set(wide.not_patterns) <= set(narrow.not_patterns)):
        return False
    if not wide.words and not wide.patterns:
        return True
    some = bool(narrow.words or narrow.patterns)
    return some and set(narrow.patterns) <= set(wide.patterns) and all(map(wide, _holding(narrow)))
