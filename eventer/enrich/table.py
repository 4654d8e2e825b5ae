"""The labels of all namespaces, or of all nodes: listed once, then watched. An event costs no request.

Which of them ask for silence is kept as well. Only metadata is asked for, and a change that brings no new labels
costs its decoding. While the watch is down what was last known is used.
"""

from __future__ import annotations

import asyncio
import random
from typing import Final

import msgspec
import structlog

from eventer.about import Enriched
from eventer.clock import Backoff, Clock
from eventer.enrich.port import Api
from eventer.enrich.requests import state_of
from eventer.enrich.shapes import Line, Listed, interned, muted
from eventer.errors import Broken, Gone, SourceError

__all__ = ["Table"]

LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
WATCH: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
PAGE: Final = 500
WATCH_FOR: Final = 300
"""Seconds for which a watch is asked, and half as many again by chance: many daemons must not come back together."""
SLACK: Final = 15.0
LINE_CAP: Final = 4 << 20
"""Bytes of one line. etcd takes objects of 1.5 MiB."""
UNREADABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)

log = structlog.get_logger()


class Table:
    """Labels by name.

    Args:
        plural: `namespaces` or `nodes`.
        cluster: for the log.
    """

    def __init__(self, api: Api, plural: str, clock: Clock, cluster: str) -> None:
        self._api = api
        self._path = f"/api/v1/{plural}"
        self._plural = plural
        self._clock = clock
        self._cluster = cluster
        self._labels: dict[str, dict[str, str]] = {}
        self._mutes: dict[str, str] = {}
        self._lines = msgspec.json.Decoder(Line)
        self._pages = msgspec.json.Decoder(Listed)
        self._rng = random.Random()  # noqa: S311 - jitter, not a secret
        self.tried = asyncio.Event()
        """Set once a first list has come, or has failed."""
        self.forbidden = False
        """Whether they may not be listed or watched."""

    def get(self, name: str) -> dict[str, str] | None:
        """Return the labels of one object; None if none is known by this name."""
        return self._labels.get(name)

    def mute(self, name: str) -> str:
        """Return what the annotation of one object says that asks for silence; empty if it has none."""
        return self._mutes.get(name, "")

    async def run(self) -> None:
        """List and watch, for ever."""
        backoff = Backoff(1.0, 60.0, clock=self._clock)
        told = False
        while True:
            try:
                version = await self._list()
                self.forbidden = False
                self.tried.set()
                while True:
                    version = await self._watch(version)
                    told = False
            except Gone:
                await self._clock.sleep(backoff.next())
            except SourceError as error:
                self.forbidden = state_of(error) is Enriched.FORBIDDEN
                if not told:
                    told = True
                    log.warning("labels not read", cluster=self._cluster, of=self._plural, error=str(error))
                self.tried.set()  # a get by name may be allowed all the same, and nobody waits for a list again
                await self._clock.sleep(backoff.next(getattr(error, "after", None)))
            except Exception as error:  # noqa: BLE001 - labels that stand still for ever would be worse
                self._tell(error)
                self.tried.set()
                await self._clock.sleep(backoff.next())

    def _tell(self, error: Exception) -> None:
        log.error("unexpected error in a look-up; this is a bug", cluster=self._cluster, exc_info=error)

    async def _list(self) -> str:
        params = {"limit": str(PAGE)}
        listed: dict[str, dict[str, str]] = {}
        mutes: dict[str, str] = {}
        while True:
            answer = await self._api.get(self._path, params, accept=LIST)
            try:
                page = self._pages.decode(answer.body)
            except UNREADABLE:
                raise Broken(f"The list of {self._plural} cannot be read.") from None
            for item in page.items or ():
                listed[item.metadata.name] = interned(item.metadata.labels)
                if mute := muted(item.metadata.annotations):
                    mutes[item.metadata.name] = mute
            if not page.metadata.more:
                self._labels, self._mutes = listed, mutes
                return page.metadata.resource_version
            params["continue"] = page.metadata.more

    async def _watch(self, version: str) -> str:
        """Follow changes until the watch ends; return the version to go on from."""
        seconds = WATCH_FOR + self._rng.randrange(WATCH_FOR // 2)
        params = {
            "watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true", "timeoutSeconds": str(seconds)
        }  # fmt: skip
        began = self._clock.monotonic()
        rest = b""
        async with self._api.watch(self._path, params, idle=seconds + SLACK, accept=WATCH) as reads:
            while block := await reads.read():
                *lines, rest = (rest + block).split(b"\n")
                if len(rest) > LINE_CAP:
                    raise Broken(f"A line of the watch of {self._plural} is too long.")
                for line in lines:
                    version = self._take(line) or version
        if self._clock.monotonic() - began < 1.0:
            await self._clock.sleep(1.0)  # a server that ends each watch at once must not be asked in a hot loop
        return version

    def _take(self, line: bytes) -> str:
        """Take one line; return the version that it brings."""
        try:
            change = self._lines.decode(line)
        except UNREADABLE:
            raise Broken(f"A line of the watch of {self._plural} cannot be read.") from None
        metadata = change.object.metadata
        if change.type == "ERROR":
            what = f"The watch of {self._plural} ended with an error."
            raise Gone(what) if change.object.code == 410 else Broken(what)
        if change.type == "DELETED":
            self._labels.pop(metadata.name, None)
            self._mutes.pop(metadata.name, None)
        elif change.type in {"ADDED", "MODIFIED"}:
            self._labels[metadata.name] = interned(metadata.labels)
            self._mutes.pop(metadata.name, None)
            if mute := muted(metadata.annotations):
                self._mutes[metadata.name] = mute
        return metadata.resource_version
