"""The daemon under the demo, seen from outside: started, killed, stopped, asked, and its log heard."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec

from eventer.control.door import NAME, address
from eventer.control.report import Status
from eventer.errors import EventerError

__all__ = ["DaemonProcess"]

GRACE: Final = 30.0
"""Seconds that an orderly stop may take; the daemon itself gives up what is in flight after 25."""
PATIENCE: Final = 5.0
"""Seconds for an answer."""

Hear = Callable[[str, Mapping[str, Any]], None]
"""Takes the level and the fields of one line of the log; `event` is what happened."""


class DaemonProcess:
    """One daemon at a time, on one configuration.

    Args:
        config: its file.
        state: its state directory.
        hear: told of each line of its log.
    """

    def __init__(self, config: Path, state: Path, hear: Hear) -> None:
        self._config = config
        self._state = state
        self._hear = hear
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self._said: deque[str] = deque(maxlen=20)

    @property
    def pid(self) -> int:
        """Number of the process; 0 if there is none."""
        return self._process.pid if self._process is not None else 0

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it. It is ready when `status` says so."""
        # As with this process itself: the directory that a user happens to stand in is no place for modules.
        safe = [] if {"", str(Path.cwd())} & set(sys.path) else ["-P"]
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, *safe, "-m", "eventer.demo.child", str(self._config)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            limit=1 << 20,
            process_group=0,  # Ctrl-C is for the demo, which stops the daemon in its turn
        )
        self._listening = asyncio.create_task(self._listen(self._process))

    async def kill(self) -> None:
        """Kill it (`kill -9`), and return once it is dead."""
        if self.alive:
            assert self._process is not None
            self._process.kill()
        await self._gone()

    async def stop(self) -> None:
        """Stop it in order, as SIGTERM does."""
        if self.alive:
            assert self._process is not None
            self._process.terminate()
            try:
                async with asyncio.timeout(GRACE):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
        await self._gone()

    async def _gone(self) -> None:
        if self._process is not None:
            await self._process.wait()
        if self._listening is not None:
            await self._listening

    def failure(self) -> EventerError:
        """Return what it said before it ended by itself."""
        words = "\n".join(self._said) or "It gave no reason."
        return EventerError(f"The daemon under the demo has ended. {words}")

    async def status(self) -> Status | None:
        """Ask what `eventer status` asks; None while it is starting, ending or dead."""
        if not self.alive:
            return None
        try:
            with address(self._state / NAME) as name:
                timeout = aiohttp.ClientTimeout(total=PATIENCE)
                async with (
                    aiohttp.ClientSession(connector=aiohttp.UnixConnector(name), timeout=timeout) as session,
                    session.get("http://daemon/v1/status") as answer,
                ):
                    body = await answer.read()
                    return msgspec.json.decode(body, type=Status) if answer.status == 200 else None
        except (OSError, aiohttp.ClientError, TimeoutError, msgspec.MsgspecError):
            return None

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while text := await process.stderr.readline():
            try:
                line = msgspec.json.decode(text, type=dict[str, Any])
            except msgspec.MsgspecError:
                self._said.append(text.decode(errors="replace").rstrip())
                continue
            level = str(line.pop("level", "info"))
            line.pop("timestamp", None)
            self._hear(level, line)
