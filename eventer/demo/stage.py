"""The demo's set-up: a directory, a configuration file, a daemon of its own, and a story over it.

Only what surrounds the daemon is made for the demo: it is the one that `eventer run` runs, in a process that
can be killed.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from eventer.control.report import of_books
from eventer.demo.apiserver import ApiServer
from eventer.demo.chat import GROUP, Chat
from eventer.demo.incident import DROPPED, Pace, Recorded, World
from eventer.demo.picture import Picture, Screen
from eventer.demo.process import DaemonProcess
from eventer.demo.receiver import Receiver
from eventer.demo.story import Real, Show, Story
from eventer.demo.tally import Tally
from eventer.journal.books import read_books

__all__ = ["Stage"]

CLUSTER: Final = "demo"
FILTER: Final = f"of Normal events: {', '.join(DROPPED)}"


class Stage:
    """One performance of the demo.

    Args:
        directory: empty; holds the file of events, which stays, and everything else.
        screen: where it is shown.
        pace: how fast.
        goes_on: whether events go on after the story, until `stop`.
    """

    def __init__(self, directory: Path, screen: Screen, pace: Pace | None = None, *, goes_on: bool = False) -> None:
        self.events = directory / "events.jsonl"
        self._directory = directory
        self._screen = screen
        self._pace = pace or Pace()
        self._goes_on = goes_on
        self._story: Story | None = None
        self._stop = False

    def stop(self) -> None:
        """Ask for the end. What is on its way is delivered, then it is said how it ended."""
        self._stop = True
        if self._story is not None:
            self._story.stop.set()

    async def recorded(self) -> bool:
        """Play the recording, without a cluster; return whether all that was claimed was true.

        The journal is removed at the end.

        Raises:
            EventerError: the daemon ended by itself (in a group).
        """
        server = ApiServer()
        await server.start()
        tally = Tally(CLUSTER, self.events, DROPPED)
        receiver, chat = Receiver(tally.webhook.came), Chat()
        try:
            await receiver.start()
            more = {
                "webhook": {"kind": "webhook", "url": receiver.url},
                "chat": {"kind": "webhook", "url": await chat.start(), "format": "single", "group": GROUP},
            }
            self._write(CLUSTER, server.write_kubeconfig(self._directory / "kubeconfig"), None, more)
            self._screen.begin(
                "Eventer demo. No cluster is needed: a small API server on this machine plays a recording of a",
                "real one, and Eventer exports it to a file and to a webhook. In the next minute the webhook dies,",
                "Eventer itself is killed, and a rollout goes wrong. Watch what is lost.",
            )

            def make(daemon: DaemonProcess) -> Story:
                picture = Picture(cluster="a recording", filter=FILTER, chat=chat.messages)
                show = Show(self._screen, picture, daemon, self.events)
                return Recorded(show, World(server, receiver, tally), self._pace, goes_on=self._goes_on)

            story = await self._perform(make)
        finally:
            await receiver.close()
            await chat.close()
            await server.stop()
            shutil.rmtree(self._state, ignore_errors=True)
            (self._directory / "kubeconfig").unlink(missing_ok=True)
            self._config.unlink(missing_ok=True)
        self._screen.end(
            story.picture,
            *filter(None, story.verdict()),
            "",
            f"The events are in {self.events}",
            "Next:  eventer demo --kubeconfig ~/.kube/config            your cluster, read only",
            "       eventer check -c config/examples/quickstart.yaml    what is wrong with a file",
            "       eventer run -c config/examples/quickstart.yaml      the real thing",
            "       docs/install.md                                     in a cluster",
        )
        return story.well

    async def real(self, kubeconfig: Path, context: str | None) -> bool:
        """Read a real cluster until `stop`; return whether the books balanced and the audit missed nothing.

        Configuration and journal stay, so that `eventer run` can go on where this stopped.

        Args:
            kubeconfig: absolute.
            context: in it; None for its current one.

        Raises:
            EventerError: the daemon ended by itself, as it does when the kubeconfig cannot be used (in a group).
        """
        cluster = context or "cluster"
        self._write(cluster, kubeconfig, context, {})
        self._screen.begin(
            f"Eventer demo on the cluster of {kubeconfig}{f', context {context}' if context else ''}.",
            "It only reads: list and watch on events and nodes, get on the namespace kube-system.",
        )

        def make(daemon: DaemonProcess) -> Story:
            return Real(Show(self._screen, Picture(cluster=cluster, filter=FILTER), daemon, self.events))

        story = await self._perform(make)
        self._screen.end(
            story.picture,
            *story.verdict(),
            "",
            f"The events are in {self.events}",
            f"Go on where this stopped:  eventer run -c {self._config}",
            f"Remove everything:         rm -r {self._directory}",
        )
        return story.well

    @property
    def _state(self) -> Path:
        return self._directory / "state"

    @property
    def _config(self) -> Path:
        return self._directory / "eventer.yaml"

    def _write(self, cluster: str, kubeconfig: Path, context: str | None, more: Mapping[str, Any]) -> None:
        """Write the configuration."""
        settings: dict[str, Any] = {"kubeconfig": str(kubeconfig)} | ({"context": context} if context else {})
        sinks: dict[str, Any] = {"file": {"kind": "file", "path": str(self.events)}, **more}
        config = {
            "sources": [{"cluster": cluster, "kubernetes": settings}],
            "filter": [{"drop": {"type": "Normal", "reason": list(DROPPED)}}],
            "sinks": sinks,
            "state": {"path": str(self._state)},
            "server": {"listen": "127.0.0.1:0"},
            "log": {"level": "info", "format": "json"},
        }
        # A $ in a path is no variable.
        self._config.write_text(yaml.safe_dump(config, sort_keys=False).replace("$", "$$"), encoding="utf-8")

    async def _perform(self, make: Callable[[DaemonProcess], Story]) -> Story:
        """Run a story, and the daemon under it. The story's end is the daemon's."""

        def hear(level: str, line: Mapping[str, Any]) -> None:
            story.hear(level, line)

        daemon = DaemonProcess(self._config, self._state, hear)
        story = self._story = make(daemon)
        if self._stop:
            story.stop.set()
        try:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(story.watch(), name="picture")
                try:
                    await story.run()
                    await story.look()
                finally:
                    watching.cancel()
                    await story.finish()
        except BaseException:
            self._screen.end(None)
            raise
        finally:
            story.close()
        story.picture.status = of_books(read_books(self._state), str(self._state), time.time())
        return story
