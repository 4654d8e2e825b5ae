"""Text of strangers as text, for dialects that have no way to say so.

A zero-width space is not seen, and keeps apart what a chat program would read as one: the beginning of an address,
a mention. Whoever copies the text gets it too; that is the price.
"""

from __future__ import annotations

import re
from typing import Final

from eventer.text import escape

__all__ = ["APART", "apart", "defuse"]

APART: Final = "\u200b"
_ADDRESS: Final = re.compile(r"(?i):(?=//)|(?<=www)\.")


def defuse(text: str) -> str:
    """Return text on one line, in which nothing is an address and nobody is mentioned."""
    return apart(_ADDRESS.sub(lambda match: match[0] + APART, escape(text)), "@")


def apart(text: str, characters: str) -> str:
    """Put a zero-width space behind each of these characters."""
    return re.sub(f"[{re.escape(characters)}]", lambda match: match[0] + APART, text)
