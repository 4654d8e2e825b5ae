"""A disk of a few MiB that nothing else can see: a tmpfs in a mount namespace of its own.

Made as root, or else in a user namespace, where a user is root for this alone. The daemon runs within;
the test reaches the files through the kernel's door to the namespace, `/proc/PID/root`.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from pathlib import Path
from typing import Self

__all__ = ["SmallDisk", "unavailable"]


def _namespaces() -> list[list[str]]:
    """Return options of `unshare` that may work, the plainest first."""
    return [["--mount"], ["--user", "--map-root-user", "--mount"]]


def _allowed() -> list[str] | None:
    for options in _namespaces():
        command = ["unshare", *options, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return options
    return None


def unavailable() -> str:
    """Say why such a disk cannot be mounted here; empty if it can."""
    absent = [tool for tool in ("unshare", "nsenter", "setpriv", "mount") if shutil.which(tool) is None]
    if absent:
        return f"{', '.join(absent)} not installed"
    return "" if _allowed() else "no right to mount anything"


class SmallDisk:
    """One such disk, mounted on a directory; use it with `with`.

    Args:
        directory: an empty directory.
        size: MiB.
        options: further options of the mount, such as `ro`.
    """

    def __init__(self, directory: Path, size: int, options: str = "") -> None:
        self.directory = directory
        self._mount = f"size={size}m" + (f",{options}" if options else "")

    def __enter__(self) -> Self:
        self.directory.mkdir(exist_ok=True)
        allowed = _allowed()
        assert allowed is not None
        # The namespace lives as long as this process, which dies with the test run.
        script = f"mount -t tmpfs -o {self._mount} tmpfs '{self.directory}' && exec cat"
        command = ["setpriv", "--pdeathsig", "KILL", "--", "unshare", *allowed, "--", "sh", "-c", script]
        self._holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._holder.stdin is not None and self._holder.stdout is not None
        # cat echoes once it runs, and by then the disk is there.
        self._holder.stdin.write(b"\n")
        self._holder.stdin.flush()
        assert self._holder.stdout.readline() == b"\n"
        proc = f"/proc/{self._holder.pid}"
        self.enter = [f"--mount={proc}/ns/mnt", f"--wd={Path.cwd()}"]
        """Options of `nsenter`."""
        if "--user" in allowed:
            self.enter += [f"--user={proc}/ns/user", "--preserve-credentials"]
        self.outside = Path(f"{proc}/root{self.directory}")
        """Where the test finds the files. Not for SQLite, which looks through such a path."""
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.kill()
        self._holder.communicate()

    def fill(self) -> None:
        """Let somebody else take what is left, to the last byte."""
        with contextlib.suppress(OSError), (self.outside / "ballast").open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass

    def free(self) -> None:
        """Undo `fill`."""
        (self.outside / "ballast").unlink()

    def copy(self, directory: Path) -> Path:
        """Copy what is on it to another disk."""
        shutil.copytree(self.outside, directory)
        return directory
