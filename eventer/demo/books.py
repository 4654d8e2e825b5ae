"""The books as equations, the way the demo shows them, and whether they hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from eventer.control.report import Status
from eventer.event import Outcome

__all__ = ["Equation", "balanced", "equations"]

_INTAKE: Final = ("poison", "seen", "filtered", "appended")


class Equation(NamedTuple):
    """One line of the books."""

    name: str
    """Whose: `intake`, or a sink's name."""
    total: str
    """The left side."""
    terms: str
    """The right side."""
    holds: bool

    def __str__(self) -> str:
        """Write it as one line, with its verdict."""
        return f"{self.total} = {self.terms}  {'✓' if self.holds else '✗ does not balance'}"


def balanced(status: Status) -> bool:
    """Whether every equation holds."""
    return all(equation.holds for equation in equations(status))


def equations(status: Status) -> list[Equation]:
    """Return the books: one equation for all streams, and one for each sink; of a notifier, what became of events.

    The demo's sinks are there from the start, so what is offered to each is all that is in the journal.
    """
    received = sum(stream.received for stream in status.streams)
    terms = {name: sum(getattr(stream, name) for stream in status.streams) for name in _INTAKE}
    rows = [Equation("intake", f"received {received}", _sum(terms), received == sum(terms.values()))]
    head = status.journal.head
    for sink in sorted(status.sinks, key=lambda sink: sink.name):
        if sink.alerting is not None:
            taken = {name: n for name, n in sink.alerting.items() if n or name == "represented"}
            rows.append(Equation(sink.name, f"offered {head}", _sum(taken), head == sum(taken.values())))
            continue
        parts = {str(Outcome.DELIVERED): 0, **{name: n for name, n in sink.outcomes.items() if n}}
        parts["waiting"] = sink.pending
        rows.append(Equation(sink.name, f"offered {head}", _sum(parts), head == sum(parts.values())))
    return rows


def _sum(terms: Mapping[str, int]) -> str:
    return " + ".join(f"{name} {n}" for name, n in terms.items())
