"""The problems that one notifier follows, by what is asked of them for each event. Made of what is stored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from eventer.alerting.problems import event_of, unheard
from eventer.alerting.state import Problem
from eventer.event import Event

__all__ = ["QUIETED", "Known"]

QUIETED: Final = 10_000
"""Problems that are remembered as kept quiet by others, over all of those: so many are followed at once."""


class Known:
    """Which problems there are.

    Attributes:
        group_of: the name of the group that a problem is in, by its key.
        of_object: the problems of an object by their keys, by the object.
        over: reasons that may end a problem; an object may have thousands, where somebody writes numbers into reasons.
    """

    def __init__(self) -> None:
        self.group_of: dict[str, str] = {}
        self.of_object: dict[str, dict[str, Problem]] = {}
        self.over: set[str] = set()
        self._problems: dict[str, Problem] = {}
        self._quieted = 0

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._problems)

    def add(self, key: str, problem: Problem, group: str) -> None:
        """Know a problem from now on."""
        self._problems[key] = problem
        self.group_of[key] = group
        self.of_object.setdefault(problem.object, {})[key] = problem
        self.over.update(problem.over)
        self._quieted += sum(map(len, problem.quieted.values()))

    def drop(self, key: str) -> None:
        """Know a problem no more."""
        problem = self._problems.pop(key)
        del self.group_of[key]
        of_it = self.of_object[problem.object]
        del of_it[key]
        if not of_it:
            del self.of_object[problem.object]
        self._quieted -= sum(map(len, problem.quieted.values()))

    def find(self, key: str) -> Problem | None:
        """Return the problem of a key; None if there is none."""
        return self._problems.get(key)

    def unheard(self, now: float) -> dict[str, Event]:
        """Return what was not heard of for a while, as Events by problem."""
        return {key: event_of(problem) for key, problem in self._problems.items() if unheard(problem, now)}

    def keep_quiet(self, quiet: Iterable[tuple[str, str, str, str]]) -> None:
        """Note which problems others keep quiet, once each; those that are no problems here have nobody to tell.

        Args:
            quiet: the key of what keeps quiet; kind and name of the object, and the key, of what is kept quiet.
        """
        for source, kind, about, key in quiet:
            problem = self._problems.get(source)
            if problem is None or key in (of_kind := problem.quieted.get(kind, {})):
                continue
            if self._quieted >= QUIETED:
                problem.quieted_more = True
                continue
            self._quieted += 1
            of_kind[key] = len(about)
            problem.quieted[kind] = of_kind
