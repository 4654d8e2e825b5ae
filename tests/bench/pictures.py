"""Draws the messages of two incidents for docs/alerting.md: `python -m tests.bench.pictures docs/pictures`.

The Events are those of the played incidents, the messages what `eventer preview` makes of them, as on a phone.
Needs chromium.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from eventer.event import encode_lines
from tests.bench.rig import ROOT
from tests.helpers import incidents
from tests.helpers.components import Cluster, Known
from tests.helpers.virtual import BEGIN

WIDTH: Final = 399
PICTURES: Final[dict[str, tuple[Callable[[Cluster], Any], dict[str, str], int]]] = {
    # what is played, options of the notifier, height of its first message
    "dingtalk-image": (
        lambda cluster: incidents.bad_image(cluster, 40),
        {"kind": "dingtalk", "language": "zh", "zone": "Asia/Shanghai"},
        597,
    ),
    "slack-node": (
        lambda cluster: incidents.node_dies(cluster, 60),
        {"kind": "slack", "language": "en", "zone": "Europe/Berlin"},
        431,
    ),
}


def main() -> None:
    """Write the pictures into the directory that is named."""
    target = Path(sys.argv[1])
    target.mkdir(exist_ok=True)
    for name, (play, options, height) in PICTURES.items():
        cluster = Cluster(BEGIN)
        play(cluster)
        known = Known(cluster)
        lines = encode_lines([known.enriched(event) for at, event in cluster.stream() if at < 900])
        with tempfile.TemporaryDirectory() as directory:
            place = Path(directory)
            (place / "events.jsonl").write_bytes(b"\n".join(lines) + b"\n")
            asked = ", ".join(f"{option}: {value}" for option, value in options.items())
            sink = f"{asked}, url: https://robot.example/robot/send, enrich: [pod, owner]"
            (place / "eventer.yaml").write_text(f"sources: [{{cluster: prod}}]\nsinks:\n  chat: {{{sink}}}\n")
            _run(sys.executable, "-m", "eventer", "preview", place / "events.jsonl", "--sink", "chat",
                 "-c", place / "eventer.yaml", "--html", place / "page.html")  # fmt: skip
            _run("chromium", "--headless", "--no-sandbox", "--hide-scrollbars", "--disable-gpu",
                 f"--user-data-dir={place / 'profile'}", f"--window-size={WIDTH},{height}",
                 f"--screenshot={target.resolve() / name}.png", place / "page.html")  # fmt: skip


def _run(*argv: object) -> None:
    subprocess.run([str(word) for word in argv], check=True, cwd=ROOT, capture_output=True)


if __name__ == "__main__":
    main()
