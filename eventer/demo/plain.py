"""The demo as lines of text: for pipes, for CI, and for terminals that cannot do more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from eventer.demo.books import equations
from eventer.demo.picture import Picture, readable
from eventer.text import escape

__all__ = ["Plain"]

EVERY: Final = 1.0
"""Seconds between two looks at the stream: what happens is to be read, not to be measured."""
EVENTS: Final = 2
"""Events shown at each."""
WIDEST: Final = 160
"""Characters of an event's line."""


class Plain:
    """See `Screen`.

    Args:
        write: takes a text and shows it at once.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._due = 0.0
        self._shown = 0
        self._told = 0
        self._headline = ""
        self._words: list[str] = []

    def begin(self, *lines: str) -> None:
        """Say what this is."""
        self._write("\n".join(lines) + "\n")

    def tell(self, picture: Picture) -> None:
        """Write a headline that is new, and what is new under it."""
        lines = []
        if picture.headline != self._headline:
            self._headline, self._words = picture.headline, []
            lines = ["", f"== {_clock(picture.seconds)} {picture.headline}"]
        lines += [f"   {words}" for words in picture.words if words not in self._words]
        self._words = list(picture.words)
        self._write("\n".join(lines) + "\n")
        self._due = 0.0

    def draw(self, picture: Picture) -> None:
        """Write the newest events and how many went by beside them, once in a while."""
        for title in list(picture.chat)[self._told :]:
            self._write(f"   > chat: {escape(title)}\n")
        self._told = len(picture.chat)
        now = asyncio.get_running_loop().time()
        new = picture.arrived - self._shown
        if now < self._due or not new:
            return
        self._due = now + EVERY
        self._shown = picture.arrived
        for line in list(picture.events)[-min(new, EVENTS) :]:
            kind, reason, rest = readable(line)
            text = f"{kind:<7} {reason} {rest}"
            self._write(f"   | {text if len(text) <= WIDEST else text[: WIDEST - 1] + '…'}\n")
        if new > EVENTS:
            self._write(f"   | ... and {new - EVENTS} more\n")

    def end(self, picture: Picture | None, *lines: str) -> None:
        """Write the worst problems, the books, and how it ended."""
        text = [""]
        if picture is not None:
            if picture.problems:
                text += ["Worst problems of the moment:", *(f"  {each.text}" for each in picture.problems[:5]), ""]
            if picture.status is not None:
                rows = equations(picture.status)
                width = max(len(row.name) for row in rows)
                text += ["The books:", *(f"  {row.name:<{width}}  {row}" for row in rows), ""]
        self._write("\n".join([*text, *lines]) + "\n")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
