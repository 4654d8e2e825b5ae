"""Waiting on a condition, for tests: never on time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], what: str = "", *, within: float = 20.0) -> None:
    """Return once the condition holds; fail after `within` seconds, which no healthy test comes near."""
    try:
        async with asyncio.timeout(within):
            while not condition():
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"it never happened: {what or condition}") from None
