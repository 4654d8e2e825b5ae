"""The demo's set-up: a directory, a configuration file, the daemon of `eventer run`, and a story over it.

Only what surrounds the daemon is made for the demo. Its log is not written but told to the story, which
puts what matters into words.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import structlog
import yaml

from eventer.app import Daemon
from eventer.clock import SystemClock
from eventer.config.load import load
from eventer.control.view import View
from eventer.demo.apiserver import ApiServer
from eventer.demo.screen import Screen
from eventer.demo.story import DROPPED, Pace, Real, Recorded, Story
from eventer.demo.tally import Tally
from eventer.observe import log

__all__ = ["Stage"]

CLUSTER: Final = "demo"


class Stage:
    """One performance of the demo.

    Args:
        directory: empty; holds the file of events, which stays, and everything else.
        screen: where notices go. The events go to standard output.
        pace: how fast.
    """

    def __init__(self, directory: Path, screen: Screen, pace: Pace | None = None) -> None:
        self.events = directory / "events.jsonl"
        self._directory = directory
        self._screen = screen
        self._pace = pace or Pace()
        self._story: Story | None = None
        self._stop = False

    def stop(self) -> None:
        """Ask for the end. What is on its way is delivered, then the books are shown."""
        self._stop = True
        if self._story is not None:
            self._story.stop.set()

    async def recorded(self) -> bool:
        """Play the recording, without a cluster; return whether all that was claimed was true.

        The journal is removed at the end.
        """
        server = ApiServer()
        await server.start()
        try:
            kubeconfig = server.write_kubeconfig(self._directory / "kubeconfig")
            self._screen.plain(
                "Eventer demo. No cluster is needed: a small API server on this machine plays a recording of a\n"
                "real one, and Eventer reads it. Each change is journalled on disk, then goes to a file and to\n"
                "this screen. In a few seconds the server cuts the connection. Watch what is lost.\n"
            )
            tally = Tally(CLUSTER, self.events, DROPPED)
            story = Recorded(self._screen, server, tally, self._pace)
            well = await self._perform(story, CLUSTER, kubeconfig, None)
        finally:
            await server.stop()
            shutil.rmtree(self._state, ignore_errors=True)
            (self._directory / "kubeconfig").unlink(missing_ok=True)
            self._config.unlink(missing_ok=True)
        self._screen.plain(f"The events are in {self.events}")
        return well

    async def real(self, kubeconfig: Path, context: str | None) -> bool:
        """Read a real cluster; return whether the books balanced and the audit missed nothing.

        Configuration and journal stay, so that `eventer run` can go on where this stopped.

        Args:
            kubeconfig: absolute.
            context: in it; None for its current one.

        Raises:
            EventerError: the kubeconfig cannot be used (in a group).
        """
        self._screen.plain(
            f"Eventer demo on the cluster of {kubeconfig}{f', context {context}' if context else ''}.\n"
            "It only reads: list and watch on events, get on the namespace kube-system.\n"
        )
        well = await self._perform(Real(self._screen), context or "cluster", kubeconfig, context)
        self._screen.plain(
            f"The events are in {self.events}\n"
            f"Go on where this stopped:  eventer run -c {self._config}\n"
            f"Remove everything:         rm -r {self._directory}"
        )
        return well

    @property
    def _state(self) -> Path:
        return self._directory / "state"

    @property
    def _config(self) -> Path:
        return self._directory / "eventer.yaml"

    async def _perform(self, story: Story, cluster: str, kubeconfig: Path, context: str | None) -> bool:
        """Run the daemon and the story over it; the story's end is the daemon's."""
        self._config.write_text(_yaml(cluster, kubeconfig, context, self.events, self._state), encoding="utf-8")
        config = load(self._config, os.environ).config
        self._story = story
        if self._stop:
            story.stop.set()

        def ready(view: View, host: str, port: int) -> None:
            if story.running is None:
                self._screen.plain(
                    f"  events   {self.events}\n"
                    f"  filter   drops Normal events with reason {', '.join(DROPPED)}\n"
                    f"  metrics  http://{host}:{port}/metrics\n"
                    f"  end      Ctrl-C\n"
                )
            story.running = view

        daemon = Daemon(config, SystemClock(), ready)
        with _heard_by(story):
            async with asyncio.TaskGroup() as group:
                group.create_task(daemon.run(), name="daemon")
                try:
                    await story.run()
                finally:
                    daemon.stop()
            story.finish()
        return story.well


def _yaml(cluster: str, kubeconfig: Path, context: str | None, events: Path, state: Path) -> str:
    settings: dict[str, Any] = {"kubeconfig": str(kubeconfig)} | ({"context": context} if context else {})
    config = {
        "sources": [{"cluster": cluster, "kubernetes": settings}],
        "filter": [{"drop": {"type": "Normal", "reason": list(DROPPED)}}],
        "sinks": {
            "file": {"kind": "file", "path": str(events)},
            "screen": {"kind": "stdout", "format": "line"},
        },
        "state": {"path": str(state)},
        "server": {"listen": "127.0.0.1:0"},
        "log": {"level": "warning", "format": "console"},
    }
    # A $ in a path is no variable.
    return yaml.safe_dump(config, sort_keys=False).replace("$", "$$")


@contextmanager
def _heard_by(story: Story) -> Iterator[None]:
    """Tell a story the daemon's log in place of writing it."""

    def tell(_: Any, method: str, line: Any) -> Any:
        story.hear(method, line)
        raise structlog.DropEvent

    before = structlog.get_config()
    log.configure("warning", "console")  # what libraries have to say stays on standard error
    structlog.configure(
        processors=[tell],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)
