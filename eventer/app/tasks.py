"""Ending tasks: asked for, and waited for."""

from __future__ import annotations

import asyncio

__all__ = ["end"]


async def end(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks and wait for their end; errors are the task group's to raise."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
