"""Tasks that run for as long as they are wanted: ended when asked, and never in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

__all__ = ["end", "lasting"]


async def end(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks and wait for their end; errors are the task group's to raise."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def lasting(work: Callable[[], Awaitable[None]]) -> None:
    """Do the work of a task, and make an error of a cancellation that nobody asked for.

    A CancelledError that comes out of something awaited ends the task as if it had been cancelled, and a TaskGroup
    says nothing of that: a sink would stand still in a daemon that looks well.

    Raises:
        RuntimeError: the work was cancelled from within.
    """
    try:
        await work()
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError(f"{task.get_name()} was cancelled from within; this is a bug") from error
