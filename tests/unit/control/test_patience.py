"""Answers that take longer than a command waits without a sign of life."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from eventer.cli.daemon import Daemon, DaemonError
from eventer.control import patience
from eventer.control.patience import in_time
from eventer.control.socket import listen
from eventer.errors import DiskRefused
from tests.helpers.until import until


async def test_signs_of_life_keep_a_command_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "SIGN", 0.01)
    go = asyncio.Event()
    begun = 0

    async def work(*, fail: bool) -> dict[str, int]:
        nonlocal begun
        begun += 1
        await go.wait()
        if fail:
            raise DiskRefused("The disk is full.")
        return {"done": 7}

    async def handler(request: web.Request) -> web.StreamResponse:
        return await in_time(request, work(fail="fail" in request.query))

    async with listen([web.get("/v1/slow", handler)], tmp_path):
        # Ten times as long as the command waits for silence, in signs of life.
        daemon = Daemon(tmp_path, 0.5)
        well = asyncio.create_task(asyncio.to_thread(daemon.get, "/v1/slow"))
        failing = asyncio.create_task(asyncio.to_thread(lambda: daemon.get("/v1/slow", fail=1)))
        await until(lambda: begun == 2, "both to begin")
        loop = asyncio.get_running_loop()
        begin = loop.time()
        await until(lambda: loop.time() - begin > 1.0, "longer than the patience")
        assert not well.done()
        go.set()
        assert await well == {"done": 7}
        assert await failing == {"error": "The disk is full."}
        with pytest.raises(DaemonError, match=r"^The disk is full\.$"):  # at once: with its status
            await asyncio.to_thread(lambda: daemon.get("/v1/slow", fail=1))


async def test_what_was_asked_for_is_done_though_the_command_went_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "SIGN", 60.0)
    go, done, begun = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> int:
        begun.set()
        await go.wait()
        done.set()
        return 1

    async def handler(request: web.Request) -> web.StreamResponse:
        return await in_time(request, work())

    async with listen([web.get("/v1/slow", handler)], tmp_path):
        with pytest.raises(DaemonError, match="does not answer within"):
            await asyncio.to_thread(Daemon(tmp_path, 0.05).get, "/v1/slow")
        await begun.wait()
        go.set()
        await done.wait()
