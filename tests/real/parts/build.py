"""Builds the real components that tests/real runs against, once per machine.

    python3 tests/real/parts/build.py

They are built from published Go modules, with the versions pinned in the go.mod files beside this
script, into `$EVENTER_PARTS` or `~/.cache/eventer-parts`, one directory per part and version. What
is there already is left alone. Kafka and OpenSearch come as jars (`maven.py`), and a part of InfluxDB
is written in Rust (`rust.py`). Needs nothing but Python 3.11, Go, Rust, a C compiler, Maven and Java
21; about 22 minutes on 2 cores.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    import maven
    import rust
else:
    from tests.real.parts import maven, rust

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Program:
    """One binary: its name and the Go package that it is the main of."""

    name: str
    package: str


@dataclass(frozen=True)
class Part:
    """One component.

    `module` is the directory with its go.mod; without one the package is installed by itself,
    which only works for modules without replace directives.
    """

    name: str
    version: str
    programs: tuple[Program, ...]
    module: str = ""
    rust: bool = False
    """Whether it has a part in Rust."""

    @property
    def directory(self) -> Path:
        """Where its binaries go."""
        return cache() / f"{self.name}-{self.version}"


PARTS = (
    Part("etcd", "3.6.5", (Program("etcd", "."),), module="etcd"),
    Part(
        "kubernetes",
        "1.35.4",
        tuple(
            Program(name, f"k8s.io/kubernetes/cmd/{name}")
            for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
        ),
        module="kubernetes",
    ),
    Part("kwok", "0.7.0", (Program("kwok", "sigs.k8s.io/kwok/cmd/kwok"),)),
    Part("helm", "3.19.0", (Program("helm", "helm.sh/helm/v3/cmd/helm"),)),
    Part(
        "helm-unittest",
        "1.1.2",
        (Program("helm-unittest", "github.com/helm-unittest/helm-unittest/cmd/helm-unittest"),),
        module="helm-unittest",
    ),
    Part("kubeconform", "0.8.0", (Program("kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform"),)),
    Part("influxdb", "1.13.2", (Program("influxd", "github.com/influxdata/influxdb/cmd/influxd"),), rust=True),
    Part("alertmanager", "0.27.0", (Program("alertmanager", "github.com/prometheus/alertmanager/cmd/alertmanager"),)),
    # 4 of the minutes and 2 GiB of memory: it brings the clients of all clouds.
    Part(
        "prometheus",
        "3.5.0",
        (Program("promtool", "github.com/prometheus/prometheus/cmd/promtool"),),
        module="promtool",
    ),
)


def cache() -> Path:
    """Directory that holds all parts, outside the repository so that a clean clone keeps them."""
    given = os.environ.get("EVENTER_PARTS")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "eventer-parts"


def binary(name: str) -> Path:
    """Return the path of a program by its name, whether it is built or not."""
    for part in PARTS:
        for program in part.programs:
            if program.name == name:
                return part.directory / name
    raise KeyError(name)


def missing() -> list[str]:
    """Names of the programs that are not built yet, and of the Java parts that are not there."""
    programs = [p.name for part in PARTS for p in part.programs if not (part.directory / p.name).exists()]
    return programs + maven.missing(cache())


def build(part: Part, program: Program) -> None:
    """Build one program beside its final place and rename it, so that a cut build leaves nothing."""
    part.directory.mkdir(parents=True, exist_ok=True)
    target = part.directory / program.name
    work = part.directory / f".{program.name}.{os.getpid()}"
    flags = ["-trimpath", "-ldflags=-s -w"]
    try:
        environment = rust.environment(work / "tools") if part.rust else os.environ | {"CGO_ENABLED": "0"}
        if part.module:
            command = ["go", "build", *flags, "-o", str(work / program.name), program.package]
            subprocess.run(command, cwd=HERE / part.module, env=environment, check=True)
        else:
            environment["GOBIN"] = str(work)
            command = ["go", "install", *flags, f"{program.package}@v{part.version}"]
            subprocess.run(command, env=environment, check=True)
        (work / program.name).replace(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def build_patiently(part: Part, program: Program) -> None:
    """Build one program, up to three times: Go does not ask a proxy again that fails once in some hundred modules.

    What was fetched before is not fetched again.

    Raises:
        subprocess.CalledProcessError: it could not be built the third time either.
    """
    for turn in (1, 2, 3):
        try:
            build(part, program)
        except subprocess.CalledProcessError:
            if turn == 3:
                raise
            print(f"real parts: {program.name} once more; a download may have failed", file=sys.stderr, flush=True)
        else:
            return


def main() -> int:
    """Build what is missing; return the exit code."""
    names = missing()
    if not names:
        print(f"real parts: all there, in {cache()}")
        return 0
    from_go = [name for name in names if name not in maven.missing(cache())]
    if from_go and shutil.which("go") is None:
        print(
            f"real parts: {', '.join(from_go)} must be built, and Go is not installed. Install Go 1.25 or newer "
            "(https://go.dev/doc/install) and run this again; only `make real` needs it.",
            file=sys.stderr,
        )
        return 1
    with_rust = [p.name for part in PARTS if part.rust for p in part.programs if p.name in names]
    if with_rust and (lacking := rust.lacking()):
        print(f"real parts: {lacking}", file=sys.stderr)
        return 1
    print(f"real parts: building {', '.join(names)} into {cache()}", flush=True)
    for part in PARTS:
        for program in part.programs:
            if program.name not in names:
                continue
            print(f"real parts: {program.name} {part.version} ...", flush=True)
            began = time.monotonic()
            try:
                build_patiently(part, program)
            except subprocess.CalledProcessError as error:
                print(
                    f"real parts: {program.name} could not be built (go ended with {error.returncode}); its "
                    "messages are above. Without a way to the Go module proxy set GOPROXY.",
                    file=sys.stderr,
                )
                return 1
            print(f"real parts: {program.name} built in {time.monotonic() - began:.0f} s", flush=True)
    for java_part in maven.PARTS:
        if java_part.name not in names:
            continue
        print(f"real parts: {java_part.name} {java_part.version} ...", flush=True)
        try:
            maven.bring(java_part, cache())
        except RuntimeError as error:
            print(f"real parts: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
