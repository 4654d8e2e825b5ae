"""The daemon as a user runs it: a process with a configuration file, seen from outside only."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.helpers.oracle import Books, Sight, read_file
from tests.helpers.process import Child, free_port, until

__all__ = ["Daemon"]


class Daemon:
    """`eventer run` in a process of its own, which can be killed and started again.

    Args:
        directory: holds configuration, state, output of file sinks and the log.
        sources: list for `sources:`.
        sinks: mapping for `sinks:`; without it one file sink named `archive`.
        rules: list for `filter:`.
        state: options for `state:` beside the path.
        env: environment variables beside those of the test run.
        netns: path of a network namespace to run in; then its own address cannot be reached.
        enter: options of `nsenter` for other namespaces to run in.
        scaled: constants to shorten, as `tests.helpers.scaled` takes them.
    """

    def __init__(
        self,
        directory: Path,
        *,
        sources: Sequence[Mapping[str, Any]],
        sinks: Mapping[str, Mapping[str, Any]] | None = None,
        rules: Sequence[Mapping[str, Any]] = (),
        state: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        netns: str | None = None,
        enter: Sequence[str] = (),
        scaled: Mapping[str, Any] | None = None,
    ) -> None:
        self.directory = directory
        self.state = directory / "state"
        self.archive = directory / "archive.jsonl"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config: dict[str, Any] = {
            "sources": [dict(source) for source in sources],
            "sinks": dict(sinks) if sinks is not None else {"archive": self.file_sink()},
            "state": {"path": str(self.state)} | dict(state or {}),
            "server": {"listen": f"127.0.0.1:{self.port}"},
            "log": {"level": "info", "format": "json"},
        }
        if rules:
            self.config["filter"] = [dict(rule) for rule in rules]
        self.text = ""
        """What is written as the configuration in place of `config`, byte for byte."""
        self._env = os.environ | dict(env or {})
        self._netns = netns
        self._enter = enter
        self._scaled = json.dumps(dict(scaled)) if scaled else ""
        self.child = self._make_child("")

    def file_sink(self, name: str = "archive", **options: Any) -> dict[str, Any]:
        """Return the options of a file sink that writes `<name>.jsonl` in the directory."""
        return {"kind": "file", "path": str(self.directory / f"{name}.jsonl")} | options

    @property
    def config_file(self) -> Path:
        """Where the configuration is written at each start."""
        return self.directory / "eventer.yaml"

    def _make_child(self, failpoints: str) -> Child:
        program = ["tests.helpers.scaled", self._scaled] if self._scaled else ["eventer"]
        argv = [sys.executable, "-m", *program, "run", "-c", self.config_file]
        env = self._env | ({"EVENTER_FAILPOINTS": failpoints} if failpoints else {})
        return Child("daemon", argv, self.directory, env=env, netns=self._netns, enter=self._enter)

    def launch(self, *, failpoints: str = "") -> None:
        """Write the configuration and start the process; does not wait for anything.

        Args:
            failpoints: as `eventer.failpoint` reads them, for this life only.
        """
        self.config_file.write_text(self.text or yaml.safe_dump(self.config, sort_keys=False))
        old = self.child
        assert not old.alive, "the daemon runs already"
        fresh = self._make_child(failpoints)
        # Fixtures show the log of the child that they know; so it stays the same object.
        old.argv, old.env = fresh.argv, fresh.env
        old.start()

    async def start(self, *, failpoints: str = "", timeout: float = 60.0) -> None:
        """Start it and wait until it says that it is ready.

        Raises:
            RuntimeError: it ended instead; the message holds its last lines.
            TimeoutError: it is not ready in time.
        """
        self.launch(failpoints=failpoints)
        await self.ready(timeout=timeout)

    async def ready(self, timeout: float = 60.0) -> None:
        """Wait until /readyz answers 200."""

        async def answers() -> bool:
            if not self.child.alive:
                raise RuntimeError(f"the daemon ended ({self.child.exit_code}):\n{self.child.tail()}")
            return (await self.get("/readyz"))[0] == 200

        await until(answers, "the daemon to be ready", timeout=timeout)

    async def get(self, path: str) -> tuple[int, str]:
        """GET a path of its server; status 0 if there is no answer."""
        timeout = aiohttp.ClientTimeout(total=30)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(self.url + path) as answer:
                return answer.status, await answer.text()
        except (aiohttp.ClientError, OSError, TimeoutError):
            return 0, ""

    async def books(self) -> Books:
        """Read its books from /metrics.

        Raises:
            RuntimeError: it does not answer.
        """
        status, text = await self.get("/metrics")
        if status != 200:
            raise RuntimeError(f"/metrics answered {status}; the daemon's last lines:\n{self.child.tail()}")
        return Books.from_metrics(text)

    async def metric(self, name: str, **labels: str) -> float:
        """Return the sum of all samples of that name which have these labels; 0 without any."""
        from prometheus_client.parser import text_string_to_metric_families

        _, text = await self.get("/metrics")
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def journal(self) -> Books:
        """Read its books from its state directory; only while it does not run."""
        return Books.from_journal(self.state)

    def kill9(self) -> None:
        """Kill it as the kernel would (SIGKILL)."""
        self.child.kill()

    async def term(self, timeout: float = 60.0) -> int:
        """Ask it to end (SIGTERM), wait, and return its exit code."""
        self.child.signal(signal.SIGTERM)
        return await self.child.ended(timeout)

    async def close(self) -> None:
        """End it at the end of a test."""
        self.child.kill()

    def sights(self, name: str = "archive") -> list[Sight]:
        """Return what the file sink of that name has written so far."""
        return read_file(self.directory / f"{name}.jsonl")

    def log(self) -> list[dict[str, Any]]:
        """Return its log lines that are JSON, of all its lives."""
        lines = []
        for line in self.child.log.read_text(errors="replace").splitlines() if self.child.log.exists() else []:
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                lines.append(found)
        return lines

    def rss(self) -> int:
        """Return its resident memory, in bytes."""
        pages = int(Path(f"/proc/{self.child.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def peak(self) -> int:
        """Return the most memory that was ever resident in this life, in bytes."""
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) << 10

    def descriptors(self) -> int:
        """Return how many file descriptors it holds."""
        return len(list(Path(f"/proc/{self.child.pid}/fd").iterdir()))
