"""Numbers as people read them, and tables that line up."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Sequence
from typing import Final

__all__ = ["clip", "count", "duration", "plural", "size", "table", "width"]

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def duration(seconds: float) -> str:
    """Write a length of time with its two largest units: `3 h 12 min`; below a minute in seconds."""
    whole = max(0, int(seconds))
    for (unit, name), (smaller, smaller_name) in itertools.pairwise(_UNITS):
        if whole >= unit:
            rest = whole % unit // smaller
            return f"{whole // unit} {name}" + (f" {rest} {smaller_name}" if rest else "")
    return f"{whole} s"


def count(number: int) -> str:
    """Write a number with separators: `1,234,567`."""
    return f"{number:,}"


def size(number: float) -> str:
    """Write a number of bytes: `12.3 MiB`."""
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def plural(number: int, noun: str) -> str:
    """Write a number with its noun: `1 event`, `2,000 events`."""
    return f"{count(number)} {noun}{'s' * (number != 1)}"


def width(text: str) -> int:
    """Return how many columns a terminal needs for a text (https://www.unicode.org/reports/tr11/)."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def clip(text: str, columns: int) -> str:
    """Return a text that fits into so many columns; what is cut off shows as `…`."""
    if width(text) <= columns:
        return text
    kept = ""
    left = columns - 1
    for letter in text:
        left -= width(letter)
        if left < 0:
            break
        kept += letter
    return f"{kept}…"


def table(rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), indent: str = "  ") -> list[str]:
    """Line up columns, two blanks apart.

    Args:
        rows: plain texts, the headings first; colour comes after.
        right: columns that hold numbers.
        indent: before each line.
    """
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            " " * (widths[i] - width(cell)) + cell if i in right else cell + " " * (widths[i] - width(cell))
            for i, cell in enumerate(row)
        ]
        lines.append((indent + "  ".join(cells)).rstrip())
    return lines
