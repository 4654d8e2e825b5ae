"""A real Alertmanager 0.27 for tests: one process, which a test can kill and start again, and ask what fires.

It takes less than a second to start, and tells a webhook what it would tell people.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp

from tests.helpers.process import Child, free_port, until
from tests.real.parts.build import binary

__all__ = ["Alertmanager"]


class Alertmanager:
    """One server without a cluster.

    Args:
        directory: holds configuration, data and log.
        receiver: URL that it notifies.
    """

    def __init__(self, directory: Path, receiver: str) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._receiver = receiver
        self.child = Child(
            "alertmanager",
            [
                *(binary("alertmanager"), f"--config.file={directory}/alertmanager.yml"),
                *(f"--storage.path={directory}/data", f"--web.listen-address=127.0.0.1:{self.port}"),
                "--cluster.listen-address=",
            ],
            directory,
        )

    async def start(self) -> None:
        """Start it, and wait until it takes alerts."""
        config = {
            "route": {
                "receiver": "hook",
                "group_by": ["..."],
                "group_wait": "0s",
                "group_interval": "1s",
                "repeat_interval": "1h",
            },
            "receivers": [
                {"name": "hook", "webhook_configs": [{"url": self._receiver, "send_resolved": True}]},
            ],
        }
        (self.directory / "alertmanager.yml").write_text(json.dumps(config))  # JSON is YAML
        self.child.start()

        async def answers() -> bool:
            if not self.child.alive:
                raise RuntimeError(f"Alertmanager ended ({self.child.exit_code}):\n{self.child.tail()}")
            try:
                return (await self.ask("GET", "/-/ready"))[0] == 200
            except (aiohttp.ClientError, OSError, TimeoutError):
                return False

        await until(answers, "Alertmanager", every=0.1)

    def kill9(self) -> None:
        """Kill it as the kernel would: it forgets all alerts."""
        self.child.kill()

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        """Send one request; return its status and its text."""
        timeout = aiohttp.ClientTimeout(total=30)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, self.url + path, **options) as answer,
        ):
            return answer.status, await answer.text()

    async def firing(self) -> list[dict[str, Any]]:
        """Return the alerts that fire now."""
        status, text = await self.ask("GET", "/api/v2/alerts?active=true")
        assert status == 200, (status, text)
        found: list[dict[str, Any]] = json.loads(text)
        return found
