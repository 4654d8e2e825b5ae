"""A message as lines for a terminal: what `preview` shows."""

from __future__ import annotations

from typing import Final

from eventer.alerting.render.message import Message, line
from eventer.text import escape

__all__ = ["terminal"]

_COLOURS: Final = {"critical": "31", "warning": "33", "info": "34", "resolved": "32"}


def terminal(message: Message, *, colour: bool) -> str:
    """Write a message for people; nothing in it moves the cursor, or recolours what follows.

    Args:
        message: what to write.
        colour: whether the terminal takes colours.
    """
    title = escape(message.title)
    lines = [f"\x1b[1;{_COLOURS[message.colour]}m{title}\x1b[0m" if colour else title]
    lines += [f"  {escape(said)}" for said in (message.body or "").splitlines()]
    lines += [f"  {name}: {escape(value)}" for name, value in message.facts]
    lines += [f"  {escape(line(each))}" for each in message.problems]
    lines += [f"  {escape(said)}" for said in message.rest]
    lines += [f"  {part.name}: {escape(part.text)}" for part in message.parts]
    return "\n".join([*lines, *(f"  {escape(link.name)}: {link.url}" for link in message.links)])
