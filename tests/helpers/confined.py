"""Runs a program under a seccomp filter like a container runtime's default, and without new privileges.

    python -m tests.helpers.confined PROGRAM ARGUMENTS...

Runtimes allow a list of system calls and refuse the rest with EPERM; this refuses those that their
profiles leave out for a container without capabilities, and allows the rest, which is the same for a
program that needs none of them (https://docs.docker.com/engine/security/seccomp/).
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from typing import Final

REFUSED: Final = {
    # name: number on x86_64, number on aarch64; -1 where there is none
    "iopl": (172, -1), "ioperm": (173, -1), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142), "sethostname": (170, 161),
    "setdomainname": (171, 162), "init_module": (175, 105), "delete_module": (176, 106), "finit_module": (313, 273),
    "quotactl": (179, 60), "acct": (163, 89), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "kexec_load": (246, 104), "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "unshare": (272, 97), "setns": (308, 268), "perf_event_open": (298, 241), "bpf": (321, 280),
    "userfaultfd": (323, 282), "open_by_handle_at": (304, 265), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "syslog": (103, 116), "chroot": (161, 51),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsmount": (432, 432), "mount_setattr": (442, 442),
}  # fmt: skip
_MACHINES: Final = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _EPERM, _KILL = 0x7FFF0000, 0x00050001, 0x80000000
_NO_NEW_PRIVS, _SET_SECCOMP, _FILTER = 38, 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def confine() -> None:
    """Put this process, and all that it becomes, under the filter.

    Raises:
        OSError: the kernel refuses.
    """
    column, machine = _MACHINES[platform.machine()]
    numbers = [both[column] for both in REFUSED.values() if both[column] >= 0]
    lines = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, machine), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    lines += [(_EQUAL, len(numbers) - index, 0, number) for index, number in enumerate(numbers)]
    lines += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _EPERM)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in lines))
    program = _Program(len(lines), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    for call in ((_NO_NEW_PRIVS, 1, 0, 0, 0), (_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0)):
        if libc.prctl(*call):
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    confine()
    os.execvp(sys.argv[1], sys.argv[1:])
