"""Who waits for a log is woken by what is appended, and forgotten when it waits no longer."""

from __future__ import annotations

import asyncio

from eventer.journal.growth import Growth


async def test_each_is_woken_by_its_item_and_who_gives_up_is_forgotten() -> None:
    head = 0
    growth = Growth(lambda: head)
    first, second, third = (asyncio.create_task(growth.beyond(cursor)) for cursor in (0, 1, 1))
    await asyncio.sleep(0)
    third.cancel()
    await asyncio.wait({third})
    assert len(growth._waiting) == 2
    head = 1
    growth.grew()
    await first
    await asyncio.sleep(0)
    assert not second.done()
    head = 2
    growth.grew()
    await second
    assert not growth._waiting
