"""The Dockerfile without a container engine: the steps of its first stage, and the daemon that they make.

The lines are taken from the file as they stand and run in an empty directory, with only what `COPY`
brings. Then the daemon runs from there as the image's user, who may write nowhere but to its state.
What is not proven here: the base image itself, and the few lines of the second stage.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import aiohttp
import pytest
import yaml

from tests.helpers.process import Child, free_port, until
from tests.helpers.writer import Writer
from tests.real.controlplane import ControlPlane
from tests.real.rows import write

ROOT = Path(__file__).parents[2]
UID = 65532
ROOTED = os.getuid() == 0
"""Without root there is no other user to become; the directory is then only made read-only."""


def instructions(stage: int) -> list[tuple[str, str]]:
    """Return the instructions of a stage of the Dockerfile, in order."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    stages = re.split(r"^(?=FROM )", text, flags=re.MULTILINE)[1:]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in stages[stage].splitlines()) if name]


def ignored() -> tuple[set[str], list[str]]:
    """Return what .dockerignore lets through at the top, and the patterns that it leaves out everywhere."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    return {line[1:] for line in lines if line.startswith("!")}, [line[3:] for line in lines if line.startswith("**/")]


@pytest.fixture(scope="module")
def opt() -> Iterator[Path]:
    """What the first stage makes, readable by everybody and written by nobody."""
    work = Path(tempfile.mkdtemp(prefix="eventer-image-"))
    work.chmod(0o755)
    source, target = work / "src", work / "opt"
    source.mkdir()
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(work / "home")}
    # How this machine reaches its package index is its own affair.
    environment |= {
        name: value for name, value in os.environ.items() if re.match("PIP_|https?_proxy|SSL_", name, re.IGNORECASE)
    }
    config = Path.home() / ".config/pip/pip.conf"
    if config.exists():
        environment.setdefault("PIP_CONFIG_FILE", str(config))
    passed, dropped = ignored()
    for name, rest in instructions(0):
        if name == "ENV":
            environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
            environment["TARGET"] = str(target)
        elif name == "COPY":
            *froms, to = shlex.split(rest)
            for each in froms:
                assert each in passed, f".dockerignore leaves out {each}, which the Dockerfile copies"
                if (ROOT / each).is_dir():
                    shutil.copytree(ROOT / each, source / to, ignore=shutil.ignore_patterns(*dropped))
                else:
                    shutil.copy(ROOT / each, source / to)
        elif name == "RUN":
            done = subprocess.run(
                ["sh", "-ec", rest],
                cwd=source,
                env=environment,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            assert done.returncode == 0, f"RUN {rest}\n{done.stdout}{done.stderr}"
    shutil.rmtree(source)
    subprocess.run(["chmod", "-R", "a-w,a+rX", target], check=True)
    yield target
    subprocess.run(["chmod", "-R", "u+w", work], check=True)
    shutil.rmtree(work)


def as_user(*argv: object) -> list[str]:
    if not ROOTED:
        return list(map(str, argv))
    # Python may be installed in a home directory here, so this user may read everything, but write nothing.
    reads = "-all,+dac_read_search"
    user = [f"--reuid={UID}", f"--regid={UID}", "--clear-groups", f"--inh-caps={reads}", f"--ambient-caps={reads}"]
    return ["setpriv", *user, "--no-new-privs", "--", *map(str, argv)]


def environment(opt: Path) -> dict[str, str]:
    """Return what the second stage sets, and nothing else: no home, no other program on the path."""
    (line,) = [rest for name, rest in instructions(1) if name == "ENV"]
    found = dict(pair.split("=", 1) for pair in shlex.split(line))
    return found | {"PATH": found["PATH"].split(":")[0].replace("/opt/eventer", str(opt))}


def test_nothing_to_build_or_test_with_is_in_it(opt: Path) -> None:
    names = {path.name.partition("-")[0].lower() for path in opt.glob("lib/python*/site-packages/*")}
    assert {"eventer", "sinks", "kubernetes_asyncio", "msgspec"} <= names
    assert not names & {
        "pip",
        "setuptools",
        "wheel",
        "hatchling",
        "pytest",
        "mypy",
        "ruff",
        "hypothesis",
        "rich",
    }


def test_every_module_is_compiled_and_not_looked_at_again(opt: Path) -> None:
    modules = [path for path in opt.glob("lib/**/*.py") if not fnmatch(str(path), "*/tests/*")]
    assert len(modules) > 500
    for path in modules:
        (compiled,) = path.parent.glob(f"__pycache__/{path.stem}.cpython-*.pyc")
        assert compiled.read_bytes()[4:8] == b"\x01\x00\x00\x00"  # by hash, unchecked: PEP 552


def test_the_image_is_nobodys_and_runs_the_daemon() -> None:
    second = instructions(1)
    assert ("USER", f"{UID}:{UID}") in second
    assert [json.loads(rest) for name, rest in second if name in {"ENTRYPOINT", "CMD"}] == [["eventer"], ["run"]]


@pytest.fixture
def state(plane: ControlPlane) -> Iterator[Path]:
    """A state directory that holds the configuration, and what leads to the API server."""
    state = Path(tempfile.mkdtemp(prefix="eventer-image-state-"))
    shutil.copy(plane.ca_file, state / "ca.crt")
    plane.kubeconfig(path=state / "kubeconfig")
    kubeconfig = state / "kubeconfig"
    kubeconfig.write_text(kubeconfig.read_text().replace(str(plane.ca_file), str(state / "ca.crt")))
    yield state
    shutil.rmtree(state)


def prepare(state: Path, uid: int) -> int:
    """Write the configuration, give everything to the user, and return the port."""
    port = free_port()
    config = {
        "sources": [{"kubernetes": {"kubeconfig": str(state / "kubeconfig")}}],
        "sinks": {"archive": {"kind": "file", "path": str(state / "archive.jsonl")}},
        "state": {"path": str(state)},
        "server": {"listen": f"127.0.0.1:{port}"},
    }
    (state / "eventer.yaml").write_text(yaml.safe_dump(config))
    if ROOTED:
        for path in (state, *state.iterdir()):
            os.chown(path, uid, uid)
    return port


async def exports(plane: ControlPlane, state: Path, port: int, argv: list[str]) -> dict[str, str]:
    """Run the daemon until events are in its file, and end it; return what the kernel says of it meanwhile."""
    logs = Path(tempfile.mkdtemp(prefix="eventer-image-log-"))
    daemon = Child("image", argv, logs)
    daemon.start()
    try:

        async def ready() -> bool:
            assert daemon.alive, daemon.tail()
            try:
                async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

        await until(ready, "the daemon to be ready")
        writer = Writer(plane.api, seed=port, namespaces=("default",))
        written = {truth.uid for truth in await write(writer, 5)}

        def arrived() -> bool:
            archive = state / "archive.jsonl"
            text = archive.read_text() if archive.exists() else ""
            return all(uid in text for uid in written)

        await until(arrived, "the events to be in the file")
        status = Path(f"/proc/{daemon.pid}/status").read_text()
        daemon.signal(signal.SIGTERM)
        assert await daemon.ended() == 0, daemon.tail()
    finally:
        daemon.kill()
        shutil.rmtree(logs)
    return dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)


def bare(opt: Path, state: Path) -> list[str]:
    """Return how the daemon is started: with the image's environment, and nothing of ours."""
    # The helpers that start it are found by their paths; the daemon itself finds no program but its own.
    variables = [f"{name}={value}" for name, value in environment(opt).items()]
    run = [str(opt / "bin/eventer"), "run", "-c", str(state / "eventer.yaml")]
    return ["/usr/bin/env", "-i", "-C", str(state), *variables, *run]


async def test_the_daemon_runs_as_that_user_and_writes_only_its_state(
    opt: Path, plane: ControlPlane, state: Path
) -> None:
    before = sorted(opt.rglob("*"))
    port = prepare(state, UID)
    await exports(plane, state, port, as_user(*bare(opt, state)))
    assert sorted(opt.rglob("*")) == before


PROBE = """
import os, sys
tries = (
    lambda: os.setuid(0),
    lambda: os.chroot("/"),
    lambda: os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1)),
    lambda: os.close(os.open("/", os.O_TMPFILE | os.O_RDWR)),
    lambda: os.close(os.open(sys.argv[1], os.O_CREAT | os.O_RDWR)),
)
done = 0
for each in tries:
    try:
        each()
    except OSError:
        continue
    done += 1
print(done)
"""
"""Counts what a program may do that none in a restricted pod may."""
RANDOM_UID = 1_000_730_000
"""As OpenShift gives out: in no /etc/passwd, without a home."""


def restricted(opt: Path, state: Path) -> list[str]:
    """Return a command that starts the daemon with as little as Pod Security `restricted` leaves.

    In a mount namespace of its own: the root read-only, all but the state; there no capability, no new
    privilege, a user of no name, and the system calls of a runtime's default profile.
    """
    steps = [f"mount --bind {state} {state}"]
    # Python itself may be installed in the home of root, which this user may not enter.
    home, base = Path.home(), Path(sys.base_prefix)
    if base.is_relative_to(home):
        steps += [
            f"mount --bind {base} /mnt",
            f"mount -t tmpfs -o mode=755 tmpfs {home}",
            f"mkdir -p {base}",
            f"mount --bind /mnt {base}",
            f"mount -o remount,ro,mode=755 {home}",
            f"mount -o remount,bind,ro {base}",
        ]
    steps.append("mount -o remount,bind,ro /")
    user = [f"--reuid={RANDOM_UID}", f"--regid={RANDOM_UID}", "--clear-groups"]
    nothing = ["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]
    confined = [sys.executable, str(ROOT / "tests/helpers/confined.py")]
    last = shlex.join(["setpriv", *user, *nothing, "--", *confined, *bare(opt, state)])
    return ["unshare", "--mount", "--", "sh", "-ec", "\n".join([*steps, f"exec {last}"])]


@pytest.mark.skipif(not ROOTED, reason="another user and a read-only root are root's to give")
async def test_x7_a_random_user_without_capabilities_on_a_read_only_root(
    opt: Path, plane: ControlPlane, state: Path
) -> None:
    """X7, what a kubelet would do. That admission lets the pod in, tests/real/test_chart.py shows."""
    before = sorted(opt.rglob("*"))
    port = prepare(state, RANDOM_UID)
    status = await exports(plane, state, port, restricted(opt, state))
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {str(RANDOM_UID)}
    assert {status[name].strip("0") for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {""}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert sorted(opt.rglob("*")) == before
    assert {path.stat().st_uid for path in state.iterdir()} == {RANDOM_UID}


@pytest.mark.skipif(not ROOTED, reason="another user and a read-only root are root's to give")
def test_x7_what_is_refused_there_is_refused(opt: Path, state: Path) -> None:
    """The test above would pass without the walls; here each of them is run into."""
    prepare(state, RANDOM_UID)
    *head, script = restricted(opt, state)
    instead = script[: script.index("/usr/bin/env")] + shlex.join([sys.executable, "-c", PROBE, str(opt / "x")])
    done = subprocess.run([*head, instead], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["0"]
    outside = subprocess.run(
        [sys.executable, "-c", PROBE, str(state / "x")], capture_output=True, text=True, timeout=60, check=True
    )
    assert int(outside.stdout) >= 3  # the probe itself can see the difference
