"""Time that passes at once, for the event loop alone: time limits are over though no test waits."""

from __future__ import annotations

import asyncio

import pytest

__all__ = ["pass_by"]


def pass_by(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the running loop believe that so many seconds have passed."""
    loop = asyncio.get_running_loop()
    time = loop.time
    monkeypatch.setattr(loop, "time", lambda: time() + seconds)
