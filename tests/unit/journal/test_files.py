"""The state directory: private, one process at a time (row Q8), never on a network file system."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventer.errors import DiskRefused, Locked
from eventer.journal import files, read_books
from tests.helpers.journals import append, everything, numbered, opened
from tests.helpers.virtual import in_virtual_time

HOLDER = """
import asyncio, sys
from pathlib import Path
from eventer.clock import SystemClock
from eventer.journal import Journal

async def hold():
    with Journal.open(Path(sys.argv[1]), max_size=1 << 30, clock=SystemClock()) as journal:
        print("open", flush=True)
        sys.stdin.read()
        await journal.close()

asyncio.run(hold())
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the journal open; its standard input ends it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None and process.stdout.readline() == "open\n"
        yield process
        process.kill()


def test_q8_a_second_process_is_refused_and_told_which_is_the_first(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    async def second() -> None:
        async with opened(tmp_path):
            pass

    with pytest.raises(Locked, match=rf"\(pid {holder.pid}\).*Stop it first, or give this one a state.path"):
        asyncio.run(second())
    with pytest.raises(Locked, match=f"pid {holder.pid}"):
        read_books(tmp_path)


def test_q8_the_lock_goes_with_the_process_however_it_ends(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    holder.kill()
    holder.wait()

    async def second() -> None:
        async with opened(tmp_path) as journal:
            assert journal.quarantined is None
            await append(journal, numbered(1))

    asyncio.run(second())
    assert read_books(tmp_path).head == 1


@in_virtual_time
async def test_the_same_process_cannot_open_it_twice_either(tmp_path: Path) -> None:
    async with opened(tmp_path):
        with pytest.raises(Locked, match=f"pid {os.getpid()}"):
            async with opened(tmp_path):
                pass


@in_virtual_time
async def test_a_long_pid_of_before_leaves_nothing_of_itself(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("4194304194304\n")
    async with opened(tmp_path):
        with pytest.raises(Locked, match=rf"\(pid {os.getpid()}\)"):
            async with opened(tmp_path):
                pass


@in_virtual_time
async def test_everything_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        directory = tmp_path / "a" / "state"
        async with opened(directory) as journal:
            await append(journal, numbered(1))
            assert stat.S_IMODE(directory.stat().st_mode) == 0o700
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(["lock", "journal.db", "journal.db-wal", "journal.db-shm", "reserve"], 0o600)


def test_a_directory_that_cannot_be_made_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiskRefused, match=r"cannot be made \(.*\). Set state.path"):
        files.prepare(tmp_path / "file" / "state")


def test_a_lock_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(DiskRefused, match="lock file"), files.lock(tmp_path):
        pass


MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:26 / /var/lib rw - xfs /dev/sdb rw
31 30 0:40 / /var/lib/eventer rw,relatime shared:7 master:2 - nfs4 server:/export rw,vers=4.2
32 22 0:41 / /with\\040blank rw - cifs //server/share rw
33 22 0:42 / /shadowed rw - nfs server:/old rw
34 22 0:43 / /shadowed rw - tmpfs tmpfs rw
this line is - none
"""


@pytest.mark.parametrize(
    ("directory", "kind"),
    [
        ("/", "ext4"),
        ("/home/x", "ext4"),
        ("/var/lib", "xfs"),
        ("/var/lib/eventer", "nfs4"),
        ("/var/lib/eventer/deep/er", "nfs4"),
        ("/var/lib/eventer2", "xfs"),
        ("/with blank/state", "cifs"),
        ("/shadowed/state", "tmpfs"),
    ],
)
def test_the_file_system_is_the_one_of_the_innermost_mount(directory: str, kind: str) -> None:
    assert files.file_system(Path(directory), MOUNTS) == kind


def test_where_mounts_are_unknown_nothing_is_refused(tmp_path: Path) -> None:
    assert files.file_system(tmp_path, "") == ""


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "fuse.sshfs"])
def test_a_network_file_system_is_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # None can be mounted here: what the kernel would say of one stands in for it.
    mounts = f"40 22 0:50 / {tmp_path.resolve()} rw - {kind} server:/x rw\n"
    monkeypatch.setattr(files, "_mounts", lambda: mounts)
    with pytest.raises(DiskRefused, match=rf"network file system \({kind}\).*Use a block volume"):
        files.prepare(tmp_path / "state")


@in_virtual_time
async def test_a_directory_made_by_somebody_else_is_used_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    (tmp_path / "other.txt").write_text("theirs")
    async with opened(tmp_path) as journal:
        lines = await append(journal, numbered(1))
    async with opened(tmp_path) as journal:
        assert await everything(journal) == lines
    assert (tmp_path / "other.txt").read_text() == "theirs"


# -- places where everybody may write ------------------------------------------------------------------


def test_a_trap_in_a_place_where_everybody_may_write_is_refused(tmp_path: Path) -> None:
    """Whoever made the directory, or a link in its place, could read and change the journal."""
    public = tmp_path / "public"
    public.mkdir()
    public.chmod(0o1777)
    (tmp_path / "theirs").mkdir()
    trap = public / "eventer"
    trap.symlink_to(tmp_path / "theirs")
    with pytest.raises(DiskRefused, match="belongs to somebody else, in a place where everybody may write"):
        files.prepare(trap)
    trap.unlink()
    files.prepare(trap)
    assert stat.S_IMODE(trap.stat().st_mode) == 0o700
    files.prepare(trap)  # ours, and found again
    public.chmod(0o755)
    (public / "link").symlink_to(tmp_path / "theirs")
    files.prepare(public / "link")  # where only we can write a link is ours


def test_a_doubt_stays_as_long_as_the_directory(tmp_path: Path) -> None:
    assert not files.doubted(tmp_path)
    files.doubt(tmp_path)
    files.doubt(tmp_path)
    assert files.doubted(tmp_path)
    with pytest.raises(DiskRefused, match="takes no new file"):
        files.doubt(tmp_path / "missing")
