"""Builds InfluxDB, whose query language is a library in Rust, which Go's linker finds by a pkg-config of its own.

https://github.com/influxdata/flux#requirements says so. `build.py` calls this for the part `influxdb`: it
needs Rust and a C compiler beside Go.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

PKG_CONFIG: Final = "github.com/influxdata/pkg-config@v0.3.0"
"""Reads where the library lies out of Go's module cache, builds it with cargo, and tells the linker."""


def lacking() -> str:
    """Return which programs are not there, in a sentence with the remedy; empty if all are."""
    absent = [name for name in ("cargo", "cc", "pkg-config") if shutil.which(name) is None]
    if not absent:
        return ""
    return (
        f"influxd must be built with Rust and a C compiler, and {', '.join(absent)} is not installed. Install Rust 1.83 "
        "or newer (https://rustup.rs), and on Debian `apt install build-essential pkg-config`; "
        "only `make real` needs them."
    )


def environment(work: Path) -> dict[str, str]:
    """Install what Go's linker asks for the library, and return the environment in which it is asked.

    Args:
        work: directory for it; it need not exist, and may go after the build.

    Raises:
        subprocess.CalledProcessError: Go could not build it.
    """
    work.mkdir(parents=True, exist_ok=True)
    subprocess.run(["go", "install", PKG_CONFIG], env=os.environ | {"GOBIN": str(work)}, check=True)
    found = os.environ | {"CGO_ENABLED": "1", "PKG_CONFIG": str(work / "pkg-config")}
    if shutil.which("rustup") and "RUSTUP_TOOLCHAIN" not in found:
        # The library names a toolchain that need not be installed, and rustup would fetch it.
        said = subprocess.run(
            ["rustup", "show", "active-toolchain"], cwd=Path.home(), capture_output=True, text=True, check=False
        )
        if said.returncode == 0 and said.stdout.split():
            found["RUSTUP_TOOLCHAIN"] = said.stdout.split()[0]
    return found
