"""Writes real Events through the API and notes what the API acknowledged: one half of the oracle.

The mixture is that of a busy cluster: new Events, counts that rise on old ones, a few deletions,
through core/v1 and through events.k8s.io/v1. The same seed asks for the same things in the same
order; what the API says decides what is true.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp

from tests.helpers.kubeapi import KubeApi, Refusal

__all__ = ["Truth", "Writer", "survey"]

_UNANSWERED: Final = (OSError, TimeoutError, aiohttp.ClientError)
_REASONS: Final = ("BackOff", "FailedScheduling", "Pulled", "Started", "Unhealthy", "Killing")


@dataclass
class Truth:
    """What is known of one Event object."""

    uid: str
    namespace: str
    name: str
    version: int
    """resourceVersion of the newest state known."""
    count: int
    """Total occurrences of that state."""
    deleted: bool = False
    """A deletion was asked for; whether it was carried out need not be known."""
    series: bool = False
    """Written through events.k8s.io/v1, which counts in `series`."""
    unsure: bool = field(default=False)
    """The last change got no answer: it may have been carried out."""


def read_truth(item: dict[str, Any]) -> Truth:
    """Read an Event object of either API."""
    metadata = item["metadata"]
    series = item.get("series") or {}
    count = series.get("count") or item.get("count") or item.get("deprecatedCount") or 1
    return Truth(
        uid=metadata["uid"],
        namespace=metadata["namespace"],
        name=metadata["name"],
        version=int(metadata["resourceVersion"]),
        count=int(count),
    )


async def survey(api: KubeApi, namespace: str = "") -> dict[str, Truth]:
    """Return every Event object that exists now, by uid: the final states of the oracle."""
    path = f"/api/v1/namespaces/{namespace}/events" if namespace else "/api/v1/events"
    return {truth.uid: truth for truth in map(read_truth, await api.items(path))}


class Writer:
    """Makes Events, raises their counts, deletes some.

    Args:
        api: client with the right to write Events.
        seed: of the sequence of operations.
        namespaces: where; they must exist.
        prefix: of the Events' names, so that several writers do not meet.
    """

    def __init__(
        self, api: KubeApi, *, seed: int = 1, namespaces: Sequence[str] = ("default",), prefix: str = "w"
    ) -> None:
        self.truth: dict[str, Truth] = {}
        """By uid: what the API acknowledged last."""
        self.acknowledged = 0
        self.unanswered = 0
        self._api = api
        self._random = random.Random(seed)
        self._namespaces = list(namespaces)
        self._prefix = f"{prefix}{seed}"
        self._made = 0

    @property
    def alive(self) -> dict[str, Truth]:
        """What must still exist, as far as only this writer and the TTL delete."""
        return {uid: truth for uid, truth in self.truth.items() if not truth.deleted}

    async def create(
        self, *, name: str = "", namespace: str = "", message: str = "", type_: str = "Warning", series: bool = False
    ) -> Truth:
        """Create one Event and return what the API stored.

        Raises:
            Refusal: the API said no.
            OSError, TimeoutError, aiohttp.ClientError: no answer; it may exist all the same.
        """
        self._made += 1
        namespace = namespace or self._namespaces[self._made % len(self._namespaces)]
        name = name or f"{self._prefix}-{self._made:06d}"
        now = datetime.now(UTC)
        subject = {"kind": "Pod", "apiVersion": "v1", "namespace": namespace, "name": f"pod-{self._made % 50}"}
        subject["uid"] = f"00000000-0000-4000-8000-{self._made % 50:012d}"
        reason = _REASONS[self._made % len(_REASONS)]
        body: dict[str, Any] = {"metadata": {"name": name, "namespace": namespace}, "type": type_, "reason": reason}
        if series:
            body |= {
                "regarding": subject,
                "note": message or f"what happened {self._made}",
                "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                "reportingController": "tests.example/writer",
                "reportingInstance": self._prefix,
                "action": "Testing",
            }
            path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
        else:
            stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
            body |= {
                "involvedObject": subject,
                "message": message or f"what happened {self._made}",
                "firstTimestamp": stamp,
                "lastTimestamp": stamp,
                "count": 1,
                "source": {"component": "writer", "host": "node-1"},
            }
            path = f"/api/v1/namespaces/{namespace}/events"
        truth = read_truth(await self._api.create(path, body))
        truth.series = series
        self.truth[truth.uid] = truth
        self.acknowledged += 1
        return truth

    async def repeat(self, truth: Truth, by: int = 1) -> Truth:
        """Raise the count of an Event, as a recorder does when it happens again.

        Raises: as `create`.
        """
        now = datetime.now(UTC)
        # A series with one occurrence does not exist: the second makes it.
        count = truth.count + by
        if truth.series:
            patch: dict[str, Any] = {
                "series": {"count": count, "lastObservedTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
            }
            path = f"/apis/events.k8s.io/v1/namespaces/{truth.namespace}/events/{truth.name}"
        else:
            patch = {"count": count, "lastTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ")}
            path = f"/api/v1/namespaces/{truth.namespace}/events/{truth.name}"
        try:
            stored = read_truth(await self._api.merge(path, patch))
        except _UNANSWERED:
            # The next try must ask for a higher count, or it could be a change of nothing.
            truth.count, truth.unsure = count, True
            raise
        truth.version, truth.count, truth.unsure = stored.version, stored.count, False
        self.acknowledged += 1
        return truth

    async def delete(self, truth: Truth) -> None:
        """Delete an Event.

        Raises: as `create`.
        """
        truth.deleted = True
        await self._api.delete(f"/api/v1/namespaces/{truth.namespace}/events/{truth.name}")
        self.acknowledged += 1

    async def run(self, *, rate: float, count: int | None = None, stop: asyncio.Event | None = None) -> None:
        """Write at a steady pace until `count` operations are done or `stop` is set.

        An API that refuses or does not answer is part of the test: the operation is not
        acknowledged, and the next one is tried.

        Args:
            rate: operations a second.
            count: how many; without end, if not given.
            stop: ends the run at the next operation.
        """
        loop = asyncio.get_running_loop()
        due = loop.time()
        done = 0
        while (count is None or done < count) and not (stop and stop.is_set()):
            try:
                await self._operate()
            except (Refusal, *_UNANSWERED):
                self.unanswered += 1
            done += 1
            # Pace is the purpose here. After a stall it starts afresh instead of catching up.
            due = max(due + 1 / rate, loop.time() - 1)
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _operate(self) -> None:
        dice = self._random.random()
        old = self._random.choice(list(self.truth.values())[-200:]) if self.truth and dice > 0.5 else None
        if old is None or old.deleted:
            await self.create(series=self._random.random() < 0.25)
        elif dice > 0.97:
            await self.delete(old)
        else:
            await self.repeat(old)
