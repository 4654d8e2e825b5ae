"""Access to the recorded answers of a real control plane (tests/data/recorded/README.md)."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "data" / "recorded"


def unpacked(name: str) -> bytes:
    """Return one of the .gz files, unpacked; `name` is without the suffix."""
    return gzip.decompress((FOLDER / f"{name}.gz").read_bytes())


def expected() -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(unpacked("expected.json"))
    return answer


def special(name: str) -> bytes:
    """Return a whole recorded answer, head and body, with a head that fits a body without chunk framing."""
    head, _, body = (FOLDER / "special" / f"{name}.http").read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")
    lines = [
        line for line in head.split(b"\n") if not line.lower().startswith((b"transfer-encoding", b"content-length"))
    ]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])
