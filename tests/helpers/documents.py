"""What stands in the documentation between fences: commands, files, code."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Final, NamedTuple

__all__ = ["EXAMPLE", "PAGES", "ROOT", "Block", "Command", "blocks", "commands", "inline"]

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "charts/eventer/README.md"])
_FENCE: Final = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)

EXAMPLE: Final = """\
sources:
  - cluster: prod
filter:
  - drop: {type: Normal, reason: [Pulled, Created, Started, Scheduled]}
sinks:
  screen: {kind: stdout}
tests:
  - name: warnings are told
    event: {type: Warning}
    sinks: [screen]

  - name: image pulls are told
    event: {type: Normal, reason: Pulled}
    sinks: [screen]
"""
"""The file that pages mean by `eventer.yaml`."""


class Block(NamedTuple):
    """One block."""

    page: str
    """Path from the top of the project."""
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        """Where it is, for the name of a test."""
        return f"{self.page}:{self.line}"


class Command(NamedTuple):
    """One line of a shell, continuation lines joined and comments gone."""

    block: Block
    line: str
    output: str
    """What the page says that it prints; empty if it says nothing."""


def blocks() -> Iterator[Block]:
    """Yield all blocks of all pages."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in _FENCE.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            yield Block(str(page.relative_to(ROOT)), line, found[2], dedent(found[3]))


def commands() -> Iterator[Command]:
    """Yield all commands in blocks of a shell."""
    for block in blocks():
        if block.language == "sh":
            for line, _ in _lines(block.text):
                yield Command(block, line, "")
        elif block.language == "console":
            for part in re.split(r"(?m)^\$ ", block.text)[1:]:
                line, output = next(_lines(part))
                yield Command(block, line, output)


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """Yield commands, and what follows each; one goes on behind a backslash and within quotes."""
    rest = text.replace("\\\n", " ")
    while rest.strip():
        line = ""
        while rest and (not line or _open(line)):
            more, _, rest = rest.partition("\n")
            line = f"{line}\n{more}" if line else more
        bare = " ".join(re.sub(r"(^|\s)#.*", "", line).split())
        if bare:
            yield bare, rest


def _open(line: str) -> bool:
    """Whether a quote is open at the end of a line."""
    try:
        shlex.split(line, comments=True)
    except ValueError:
        return True
    return False


def inline() -> Iterator[tuple[str, str]]:
    """Yield page and text of all commands of Eventer that stand in sentences, tables and comments."""
    for page in PAGES:
        text = _FENCE.sub("", page.read_text(encoding="utf-8"))
        for found in re.findall(r"`(?:kubectl [^`]*-- )?(eventer [a-z][a-z-]*(?: [^`]*)?)`", text):
            yield str(page.relative_to(ROOT)), found
