"""Tasks of the daemon end when they are asked to, and otherwise with an error that somebody sees."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from eventer.app.tasks import end, lasting


async def test_a_task_that_is_ended_says_nothing() -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(lasting(partial(asyncio.sleep, 3600)))
        await asyncio.sleep(0)
        await end(task)
    assert task.cancelled()


async def test_a_cancellation_from_within_is_an_error() -> None:
    async def waits_for_what_was_given_up() -> None:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        answer.cancel()
        await answer

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            group.create_task(lasting(waits_for_what_was_given_up), name="archive")
    (error,) = caught.value.exceptions
    assert isinstance(error, RuntimeError)
    assert "archive was cancelled from within" in str(error)


async def test_work_that_fails_fails_as_it_did() -> None:
    async def fails() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await lasting(fails)
