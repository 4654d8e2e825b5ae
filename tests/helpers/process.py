"""Child processes of tests: their logs are kept, and none outlives the test run.

A test that starts an API server or the daemon wants to kill it, freeze it and start it again, and
to see its last words when something fails. A child that is left over would hold ports and memory
of the machine, so each is bound to the life of its parent by the kernel.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["Child", "free_port", "until"]

_ports = random.SystemRandom()
_given: set[int] = set()


def free_port() -> int:
    """Return a TCP port on loopback that nobody listens on and that this run has not given out.

    Ports lie below Linux' range for outgoing connections (32768 and up): a client that keeps
    trying a closed port inside that range sooner or later gets it as its own and is connected to
    itself.
    """
    while True:
        port = _ports.randrange(20_000, 32_000)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port


async def until(
    condition: Callable[[], bool | Awaitable[bool]], what: str, *, timeout: float = 60.0, every: float = 0.05
) -> None:
    """Wait until a condition holds.

    Args:
        condition: plain or async function.
        what: completes the sentence "waited in vain for ...".
        timeout: seconds; far beyond what is expected, only there to end a test that hangs.
        every: seconds between two looks.

    Raises:
        TimeoutError: it did not come to hold.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout
    while True:
        found = condition()
        if not isinstance(found, bool):
            found = await found
        if found:
            return
        if loop.time() > end:
            raise TimeoutError(f"waited {timeout:g} s in vain for {what}")
        await asyncio.sleep(every)


class Child:
    """One program that can be started, signalled, waited for and started again.

    Args:
        name: names the log file.
        argv: program and arguments; paths are welcome.
        directory: where `<name>.log` goes, with standard output and error of all its lives.
        env: environment; that of the test run, if not given.
        netns: path of a network namespace to start in.
        enter: options of `nsenter` for other namespaces to start in.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[object],
        directory: Path,
        *,
        env: Mapping[str, str] | None = None,
        netns: str | None = None,
        enter: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.argv = [str(item) for item in argv]
        self.log = directory / f"{name}.log"
        self.env = env
        self.enter = [*enter, *([f"--net={netns}"] if netns is not None else [])]
        self.exit_code: int | None = None
        """Of the life that ended last; minus the signal's number where a signal ended it."""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """Whether it runs (or is frozen)."""
        if self._process is None:
            return False
        code = self._process.poll()
        if code is None:
            return True
        self.exit_code = code
        self._process = None
        return False

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None, f"{self.name} does not run"
        return self._process.pid

    def start(self) -> None:
        """Start it; the log goes on where the life before ended."""
        assert not self.alive, f"{self.name} runs already"
        # The kernel kills it when the test run dies, however that happens. Both tools replace
        # themselves by the program, so the process id is its own.
        prefix = ["setpriv", "--pdeathsig", "KILL", "--"]
        if self.enter:
            prefix = ["nsenter", *self.enter, "--", *prefix]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*prefix, *self.argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env
            )

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens if it is dead."""
        if self.alive:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it (SIGKILL) and collect it. A frozen process dies as well."""
        if self.alive:
            assert self._process is not None
            self._process.kill()
            self.exit_code = self._process.wait()
            self._process = None

    async def ended(self, timeout: float = 60.0) -> int:
        """Wait for its end and return the exit code.

        Raises:
            TimeoutError: it still runs after `timeout` seconds.
        """
        await until(lambda: not self.alive, f"the end of {self.name}", timeout=timeout)
        assert self.exit_code is not None
        return self.exit_code

    def tail(self, lines: int = 40) -> str:
        """Return the last lines of its log."""
        if not self.log.exists():
            return ""
        text = self.log.read_bytes()[-64_000:].decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])
