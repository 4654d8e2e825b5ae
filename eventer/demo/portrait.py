"""Draws the demo as an SVG, for the README: `python -m eventer.demo.portrait docs/demo.svg`.

It plays the story, quickly, and keeps the picture of the moment after `kill -9`.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Final

from eventer.demo.incident import Pace
from eventer.demo.live import svg
from eventer.demo.picture import Picture
from eventer.demo.stage import Stage

__all__ = ["Portrait"]

MOMENT: Final = "file has each event once"
"""Words of the picture that is kept."""


class Portrait:
    """See `eventer.demo.picture.Screen`. Keeps one picture."""

    def __init__(self, file: Path) -> None:
        self.drawn = False
        self._file = file

    def begin(self, *lines: str) -> None:
        """Nothing to draw yet."""

    def tell(self, picture: Picture) -> None:
        """Wait for the picture that is drawn after it."""

    def draw(self, picture: Picture) -> None:
        """Keep the picture if it is the one."""
        if not self.drawn and any(MOMENT in words for words in picture.words):
            self._file.write_text(svg(picture, 100, 32), encoding="utf-8")
            self.drawn = True

    def end(self, picture: Picture | None, *lines: str) -> None:
        """Nothing is left to draw."""


def main(file: Path) -> int:
    """Write the picture; return 0 if all went as it should."""
    portrait = Portrait(file)
    with tempfile.TemporaryDirectory() as directory:
        well = asyncio.run(Stage(Path(directory), portrait, Pace(between=0.02, reading=1.0)).recorded())
    return 0 if well and portrait.drawn else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
