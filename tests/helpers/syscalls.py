"""Records what a program asks of the disk, in order, with every byte: writes, syncs, names.

    python -m tests.helpers.syscalls OUT DIRECTORY COMMAND...

For the power-loss model (`tests.helpers.powerloss`). A tracer of our own, because neither strace nor a C
compiler can be assumed; the kernel's interface is https://man7.org/linux/man-pages/man2/ptrace.2.html.
Calls that change files below DIRECTORY in a way that is not recorded end the run: a model that
does not know of a write would prove nothing. (SQLite's shared memory is no such file: it is not durable.)
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import signal
import stat
import struct
import sys
from pathlib import Path
from typing import Any, Final

__all__ = ["Call", "unavailable"]

Call = tuple[Any, ...]
"""("write", inode, offset, data) · ("cut", inode, size) · ("extend", inode, size) · ("sync", inode)
· ("name", directory, name, inode, whether it is a directory) · ("move", directory, name, directory, name) · ("forget", directory, name)
· ("said", data). Directories are inodes."""

_TRACEME, _SYSCALL, _SETOPTIONS, _GET_SYSCALL_INFO = 0, 24, 0x4200, 0x420E
_OPTIONS: Final = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x100000
"""Mark stops at calls; follow fork, vfork, clone, exec; kill what is traced when the tracer ends."""
_WALL: Final = 0x40000000
_ENTRY, _EXIT = 1, 2

_NAMES: Final = {
    0xC000003E: {  # x86-64
        1: "write", 18: "pwrite", 20: "writev", 296: "pwritev", 74: "fsync", 75: "fsync", 77: "ftruncate",
        76: "truncate", 285: "fallocate", 2: "open", 257: "openat", 85: "creat", 437: "openat2", 83: "mkdir",
        258: "mkdirat", 82: "rename", 264: "renameat", 316: "renameat", 87: "unlink", 263: "unlinkat",
        86: "link", 265: "link", 40: "sendfile", 326: "copy_file_range", 277: "sync_file_range",
    },
    0xC00000B7: {  # AArch64
        64: "write", 68: "pwrite", 66: "writev", 70: "pwritev", 82: "fsync", 83: "fsync", 46: "ftruncate",
        45: "truncate", 47: "fallocate", 56: "openat", 437: "openat2", 34: "mkdirat", 38: "renameat",
        276: "renameat", 35: "unlinkat", 37: "link", 71: "sendfile", 285: "copy_file_range", 84: "sync_file_range",
    },
}  # fmt: skip
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request: int, pid: int, address: Any = None, data: Any = None) -> int:
    result = int(_libc.ptrace(request, pid, address, data))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x}")
    return result


def unavailable() -> str:
    """Say why nothing can be recorded here; empty if it can."""
    if not sys.platform.startswith("linux"):
        return "no Linux"
    pid = os.fork()
    if not pid:
        os._exit(0 if _libc.ptrace(_TRACEME, 0, None, None) == 0 else 1)
    return "" if os.waitpid(pid, 0)[1] == 0 else "no right to trace a process"


class Recorder:
    """Runs one command to its end.

    Args:
        root: calls on what lies below it are recorded.
    """

    def __init__(self, root: Path) -> None:
        self.calls: list[Call] = []
        self._root = str(root)
        self._entered: dict[int, tuple[str, tuple[int, ...]]] = {}
        self._info = ctypes.create_string_buffer(96)

    def run(self, command: list[str]) -> int:
        pid = os.fork()
        if not pid:
            _ptrace(_TRACEME, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
            os.execvp(command[0], command)
        os.waitpid(pid, 0)
        _ptrace(_SETOPTIONS, pid, None, _OPTIONS)
        _ptrace(_SYSCALL, pid)
        known = {pid}
        while True:
            thread, status = os.waitpid(-1, _WALL)
            if os.WIFEXITED(status) or os.WIFSIGNALED(status):
                if thread == pid:
                    return os.waitstatus_to_exitcode(status)
                continue
            number = os.WSTOPSIG(status)
            deliver = 0
            if number == signal.SIGTRAP | 0x80:
                self._stop(thread)
            elif number != signal.SIGTRAP and not (number == signal.SIGSTOP and thread not in known):
                deliver = number
            known.add(thread)
            with contextlib.suppress(ProcessLookupError):  # another thread has ended the process
                _ptrace(_SYSCALL, thread, None, deliver)

    def _stop(self, thread: int) -> None:
        size = _ptrace(_GET_SYSCALL_INFO, thread, ctypes.c_void_p(len(self._info)), self._info)
        operation, arch = struct.unpack_from("<B3xI", self._info)
        if operation == _ENTRY:
            number, *args = struct.unpack_from("<7Q", self._info, 24)
            name = _NAMES[arch].get(number)
            if name is not None:
                self._entered[thread] = name, tuple(args)
        elif operation == _EXIT and size >= 32:
            (result,) = struct.unpack_from("<q", self._info, 24)
            name, args = self._entered.pop(thread, ("", ()))
            if name and result >= 0:
                self._done(thread, name, args, result)

    # -- one call that has worked ----------------------------------------------------------------

    def _done(self, thread: int, name: str, args: tuple[int, ...], result: int) -> None:
        add = self.calls.append
        if name == "write" and args[0] == 1:
            add(("said", self._memory(thread, args[1], result)))
            return
        if name in {"open", "openat", "creat", "openat2"}:
            self._opened(thread, name, args, result)
            return
        if name in {"mkdir", "mkdirat", "rename", "renameat", "unlink", "unlinkat", "link", "truncate"}:
            self._named(thread, name, args)
            return
        path, inode = self._file(thread, args[0])
        if not path.startswith(self._root) or path.endswith("-shm"):
            return
        match name:
            case "pwrite":
                add(("write", inode, args[3], self._memory(thread, args[1], result)))
            case "write":
                fields = Path(f"/proc/{thread}/fdinfo/{args[0]}").read_text().split()
                add(
                    (
                        "write",
                        inode,
                        int(fields[fields.index("pos:") + 1]) - result,
                        self._memory(thread, args[1], result),
                    )
                )
            case "fsync":
                add(("sync", inode))
            case "ftruncate":
                add(("cut", inode, args[1]))
            case "fallocate" if args[1] == 0:
                add(("extend", inode, args[2] + args[3]))
            case _:
                sys.exit(f"{name} of {path} is not recorded")

    def _opened(self, thread: int, name: str, args: tuple[int, ...], fd: int) -> None:
        path, inode = self._file(thread, fd)
        if not path.startswith(self._root) or path.endswith("-shm"):
            return
        flags = {"open": args[1], "openat": args[2]}.get(name)
        if flags is None:
            sys.exit(f"{name} of {path} is not recorded")
        if flags & os.O_CREAT:
            self.calls.append(("name", os.stat(os.path.dirname(path)).st_ino, os.path.basename(path), inode, False))
        if flags & os.O_TRUNC:
            self.calls.append(("cut", inode, 0))

    def _named(self, thread: int, name: str, args: tuple[int, ...]) -> None:
        at = name.endswith("at")
        path = self._path(thread, args[1] if at else args[0])
        if not path.startswith(self._root) or path.endswith("-shm"):
            return
        directory = os.stat(os.path.dirname(path)).st_ino
        match name:
            case "mkdir" | "mkdirat":
                self.calls.append(("name", directory, os.path.basename(path), os.stat(path).st_ino, True))
            case "unlink" | "unlinkat":
                self.calls.append(("forget", directory, os.path.basename(path)))
            case "rename" | "renameat":
                new = self._path(thread, args[3] if at else args[1])
                other = os.stat(os.path.dirname(new)).st_ino
                self.calls.append(("move", directory, os.path.basename(path), other, os.path.basename(new)))
            case "truncate":
                self.calls.append(("cut", os.stat(path).st_ino, args[1]))
            case _:
                sys.exit(f"{name} of {path} is not recorded")

    def _memory(self, thread: int, address: int, length: int) -> bytes:
        with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:
            return os.pread(memory.fileno(), length, address)

    def _path(self, thread: int, address: int) -> str:
        text = b""
        while b"\0" not in text:  # up to the end of each page, for the next may not be there
            text += self._memory(thread, address + len(text), 4096 - (address + len(text)) % 4096)
        path = os.fsdecode(text.partition(b"\0")[0])
        return path if path.startswith("/") else os.path.join(os.readlink(f"/proc/{thread}/cwd"), path)

    def _file(self, thread: int, fd: int) -> tuple[str, int]:
        place = f"/proc/{thread}/fd/{fd}"
        try:
            found = os.stat(place)
        except OSError:
            return "", 0
        regular = stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)
        return (os.readlink(place).removesuffix(" (deleted)"), found.st_ino) if regular else ("", 0)


if __name__ == "__main__":
    recorder = Recorder(Path(sys.argv[2]).resolve())
    code = recorder.run(sys.argv[3:])
    Path(sys.argv[1]).write_bytes(pickle.dumps(recorder.calls))
    sys.exit(code)
