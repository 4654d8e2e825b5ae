"""A network namespace in which packets can be made to vanish: a true half-open connection.

Nothing of the machine's own network is touched: the namespace has a loopback device and nothing
else. What listens there is a socket made inside and used outside, for a socket belongs to the
namespace in which it was made, whoever holds it.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self, TypeVar

__all__ = ["Namespace", "unavailable"]

_CLONE_NEWNET: Final = 0x40000000
_ESTABLISHED: Final = "01"
_SWALLOW: Final = ("qdisc", "add", "dev", "lo", "root", "blackhole")
_libc = ctypes.CDLL(None, use_errno=True)
T = TypeVar("T")


def unavailable() -> str:
    """Say why a network namespace cannot be made here; empty if it can."""
    absent = [tool for tool in ("unshare", "nsenter", "setpriv", "ip", "tc") if shutil.which(tool) is None]
    if absent:
        return f"{', '.join(absent)} not installed"
    done = subprocess.run(["unshare", "--net", "tc", *_SWALLOW], capture_output=True, check=False)
    return "" if done.returncode == 0 else "no right to make a network namespace, or no support in the kernel"


class Namespace:
    """One network namespace; use it with `with`."""

    def __enter__(self) -> Self:
        # The namespace lives as long as this process, which dies with the test run.
        command = ["setpriv", "--pdeathsig", "KILL", "--", "unshare", "--net", "--", "cat"]
        self._holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._holder.stdin is not None and self._holder.stdout is not None
        # cat echoes once it runs, and by then the namespace is made.
        self._holder.stdin.write(b"\n")
        self._holder.stdin.flush()
        self._holder.stdout.readline()
        self.path = f"/proc/{self._holder.pid}/ns/net"
        self._inside_run("ip", "link", "set", "lo", "up")
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.kill()
        self._holder.communicate()

    def _inside_run(self, *command: str) -> None:
        subprocess.run(["nsenter", f"--net={self.path}", "--", *command], check=True, capture_output=True)

    def listener(self) -> socket.socket:
        """Return a socket that listens on 127.0.0.1 of the namespace."""

        def make() -> socket.socket:
            made = socket.socket()
            made.bind(("127.0.0.1", 0))
            made.listen()
            made.setblocking(False)
            return made

        return self._inside(make)

    def _inside(self, work: Callable[[], T]) -> T:
        """Run in a thread that has entered the namespace; only that thread has."""
        results: list[T] = []

        def run() -> None:
            handle = os.open(self.path, os.O_RDONLY)
            try:
                if _libc.setns(handle, _CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            finally:
                os.close(handle)
            results.append(work())

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        return results[0]

    def swallow(self) -> None:
        """Let every packet vanish. As on a real wire, sending succeeds and neither side is told."""
        self._inside_run("tc", *_SWALLOW)

    def heal(self) -> None:
        """Undo `swallow`."""
        self._inside_run("tc", "qdisc", "del", "dev", "lo", "root")

    def established(self, port: int) -> int:
        """Return how many connections to that port a client in the namespace believes to have."""
        return len(self._connections(port))

    def unanswered(self, port: int) -> int:
        """Return how many bytes clients have sent to that port that nobody has acknowledged."""
        return sum(int(row[4].split(":")[0], 16) for row in self._connections(port))

    def _connections(self, port: int) -> list[list[str]]:
        """Rows of the kernel's table (https://docs.kernel.org/networking/proc_net_tcp.html)."""
        table = Path(f"/proc/{self._holder.pid}/net/tcp").read_text().splitlines()[1:]
        rows = [line.split() for line in table]
        return [row for row in rows if row[2].endswith(f":{port:04X}") and row[3] == _ESTABLISHED]
