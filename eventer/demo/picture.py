"""What the demo shows at one moment, and who can show it: a terminal view, or lines of text."""

from __future__ import annotations

from collections import deque
from typing import Final, Literal, Protocol

import msgspec

from eventer.control.report import Status
from eventer.demo.problems import Problem
from eventer.demo.tail import Line
from eventer.text import escape

__all__ = ["Picture", "Screen", "readable"]

SHOWN: Final = 60
"""Events kept for showing; no terminal has room for more."""


class Picture(msgspec.Struct, kw_only=True):
    """One moment of the demo."""

    cluster: str
    filter: str
    """What the filter does, in words."""
    headline: str = ""
    """What happens now."""
    words: list[str] = []
    """The same in one to three sentences."""
    mood: Literal["calm", "trouble", "good"] = "calm"
    seconds: float = 0.0
    """Since the beginning."""
    daemon: Literal["starting", "running", "killed", "stopping"] = "starting"
    changes: int | None = None
    """Made in the cluster so far, where that is known."""
    status: Status | None = None
    """What the daemon last said of itself."""
    problems: list[Problem] = []
    """The worst first."""
    events: deque[Line] = msgspec.field(default_factory=lambda: deque(maxlen=SHOWN))
    """The last that arrived."""
    chat: deque[str] = msgspec.field(default_factory=deque)
    """What people were told, the newest last."""
    arrived: int = 0
    """Events that arrived so far."""
    after: str = "Ctrl-C ends"


class Screen(Protocol):
    """Shows the demo to somebody. Texts may be long, but hold nothing that commands a terminal."""

    def begin(self, *lines: str) -> None:
        """Say what this is."""

    def draw(self, picture: Picture) -> None:
        """Show a moment; called several times a second."""

    def tell(self, picture: Picture) -> None:
        """Show a moment at which the headline is new."""

    def end(self, picture: Picture | None, *lines: str) -> None:
        """Show the last moment, if there was any, and say how it ended."""


def readable(line: Line) -> tuple[str, str, str]:
    """Return (type, reason, the rest) of an event, with everything made visible that could command a terminal."""
    where = f"{line.namespace}/{line.name}" if line.namespace else line.name
    times = f" (x{line.count})" if line.count > 1 else ""
    return escape(line.type), escape(line.reason), escape(f"{where}{times}: {line.message}")
