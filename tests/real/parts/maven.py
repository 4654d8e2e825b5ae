"""Brings the real components that are written in Java, and finds a Java to run them with.

They come as jars from Maven's public repository, with the versions pinned in the pom.xml files
beside this script, one directory of jars per part and version. `build.py` calls this; the modules
of tests start the servers with `java` and `classpath`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
COPY: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


@dataclass(frozen=True)
class JavaPart:
    """One component: `<name>/pom.xml` names its jars; it runs with Java `java` or newer."""

    name: str
    version: str
    java: int


KAFKA: Final = JavaPart("kafka", "4.1.0", java=17)
OPENSEARCH: Final = JavaPart("opensearch", "3.3.0", java=21)
PARTS: Final = (KAFKA, OPENSEARCH)


def directory(part: JavaPart, cache: Path) -> Path:
    """Where the jars of a part are, whether they are there already or not."""
    return cache / f"{part.name}-{part.version}"


def classpath(part: JavaPart, cache: Path) -> str:
    """Return what `java -cp` takes."""
    return f"{directory(part, cache)}/*"


def missing(cache: Path) -> list[str]:
    """Names of the parts that are not there yet."""
    return [part.name for part in PARTS if not directory(part, cache).is_dir()]


def bring(part: JavaPart, cache: Path) -> None:
    """Copy the jars of a part beside their final place and rename the directory, so that a cut run leaves nothing.

    Raises:
        RuntimeError: Maven or a Java that is new enough is missing, or Maven failed; with the remedy.
    """
    java(part)  # jars that cannot be run would only move the fault into the tests
    if shutil.which("mvn") is None:
        raise RuntimeError(
            f"{part.name} needs Maven, and mvn is not installed. Install it (Debian: `apt install maven`)."
        )
    cache.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{part.name}.", dir=cache))
    command = ["mvn", "--quiet", "--batch-mode", "--strict-checksums", "--file", str(HERE / part.name / "pom.xml")]
    try:
        subprocess.run([*command, COPY, f"-DoutputDirectory={work}", "-DincludeScope=runtime"], check=True)
        work.chmod(0o755)
        work.replace(directory(part, cache))
    except subprocess.CalledProcessError as error:
        raise RuntimeError(
            f"the jars of {part.name} could not be had (mvn ended with {error.returncode}); its messages are above. "
            "Without a way to Maven's central repository name a mirror in ~/.m2/settings.xml."
        ) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def java(part: JavaPart) -> Path:
    """Return the path of the oldest `java` on this machine that is new enough for the part.

    Raises:
        RuntimeError: there is none; with the remedy.
    """
    found = sorted((version, path) for path in _programs() if (version := _version(path)) >= part.java)
    if found:
        return found[0][1]
    raise RuntimeError(
        f"{part.name} {part.version} needs Java {part.java} or newer, and there is none in JAVA_HOME, on the PATH or "
        f"under /usr/lib/jvm. Install one (Debian: `apt install openjdk-{part.java}-jre-headless`, or a build of "
        "https://adoptium.net) and set JAVA_HOME to its directory."
    )


def _programs() -> Iterator[Path]:
    homes = [Path(given)] if (given := os.environ.get("JAVA_HOME")) else []
    homes += sorted(Path("/usr/lib/jvm").glob("*"))
    homes += sorted(Path("/Library/Java/JavaVirtualMachines").glob("*/Contents/Home"))
    candidates = [home / "bin/java" for home in homes]
    if on_path := shutil.which("java"):
        candidates.append(Path(on_path))
    yield from dict.fromkeys(path.resolve() for path in candidates if path.exists())


def _version(program: Path) -> int:
    """Return the major version of a `java`: 8, 17, 25; 0 if it does not run or says nothing of the kind."""
    try:
        answer = subprocess.run([program, "-version"], capture_output=True, text=True, check=True, timeout=60).stderr
    except (OSError, subprocess.SubprocessError):
        return 0
    said = re.search(r'version "(?:1\.)?(\d+)', answer)
    return int(said[1]) if said else 0
