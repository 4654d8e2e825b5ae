"""What the demo says between the events: notices that stand out, and the books as equations.

The events themselves come from the `stdout` sink. Both write to the same terminal, so a notice waits
until the sink has nothing in hand and then goes out in one write, with its line breaks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from eventer.event import Outcome
from eventer.journal import Journal

__all__ = ["Screen", "balanced", "books"]

_MARK: Final = "=="
_NOTICE: Final = "\x1b[1;36m"
_PLAIN: Final = "\x1b[0m"


class Screen:
    """Writes notices.

    Args:
        write: takes a text and shows it at once.
        colour: whether notices may be coloured (https://no-color.org).
    """

    def __init__(self, write: Callable[[str], object], *, colour: bool) -> None:
        self._write = write
        self._colour = colour

    def notice(self, *lines: str) -> None:
        """Show lines that belong together: the first one marked, the others under it."""
        text = "\n".join(f"{_MARK if not index else '  '} {line}".rstrip() for index, line in enumerate(lines))
        self.plain(f"{_NOTICE}{text}{_PLAIN}" if self._colour else text)

    def plain(self, text: str) -> None:
        """Show a text as it is."""
        self._write(f"{text}\n")


def balanced(journal: Journal) -> bool:
    """Whether every equation of the books holds."""
    return all(holds for _, _, _, holds in _equations(journal))


def books(journal: Journal) -> list[str]:
    """Return the journal's books as a table of equations, each with its verdict."""
    rows = _equations(journal)
    width = max(len(name) for name, _, _, _ in rows)
    total = max(len(left) for _, left, _, _ in rows)
    verdicts = {True: "✓", False: "✗ does not balance"}
    return [f"{name:<{width}}  {left:<{total}} = {right}  {verdicts[holds]}" for name, left, right, holds in rows]


def _equations(journal: Journal) -> list[tuple[str, str, str, bool]]:
    """Return (whose, left side, right side, whether it holds) of each equation."""
    streams = journal.streams.values()
    received = sum(stream.received for stream in streams)
    terms = {
        name: sum(getattr(stream, name) for stream in streams) for name in ("filtered", "seen", "poison", "appended")
    }
    rows = [("intake", f"received {received}", _sum(terms), received == sum(terms.values()))]
    appended = terms["appended"]
    rows.append(("journal", f"appended {appended}", f"head {journal.head}", appended == journal.head))
    for name, reader in sorted(journal.readers.items()):
        offered = journal.head - reader.origin
        outcomes = {str(outcome): n for outcome, n in reader.outcomes.items() if n}
        parts = {str(Outcome.DELIVERED): 0, **outcomes, "pending": journal.head - reader.cursor}
        rows.append((name, f"offered {offered}", _sum(parts), offered == sum(parts.values())))
    return rows


def _sum(terms: dict[str, int]) -> str:
    return " + ".join(f"{name} {n}" for name, n in terms.items())
