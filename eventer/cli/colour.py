"""Colours of a terminal, for those who look at one."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, TextIO

__all__ = ["BOLD", "DIM", "GREEN", "RED", "YELLOW", "Paint", "painter", "wants_colour"]

BOLD: Final = "\x1b[1m"
DIM: Final = "\x1b[2m"
RED: Final = "\x1b[31m"
GREEN: Final = "\x1b[32m"
YELLOW: Final = "\x1b[33m"
_PLAIN: Final = "\x1b[0m"

Paint = Callable[[str, str], str]
"""Puts a text into one of the colours above."""


def wants_colour(stream: TextIO) -> bool:
    """Whether a stream is a terminal that may be written to in colour (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painter(*, colour: bool) -> Paint:
    """Return a function that colours a text, or leaves it."""

    def paint(code: str, text: str) -> str:
        return f"{code}{text}{_PLAIN}" if colour else text

    return paint
