"""Where the API serves a kind: the built-in ones are known, for others one version of one group is asked.

Nothing asks for the whole of discovery, so an API group that is broken harms nobody who is not in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import quote

import msgspec

from eventer.about import Enriched
from eventer.clock import Clock
from eventer.enrich.cache import Cache, Entry
from eventer.enrich.requests import Requests, Unwanted, state_of
from eventer.enrich.shapes import Ref, Resources
from eventer.errors import SourceError

__all__ = ["Kinds", "Place", "nameable"]

KEPT: Final = 600.0
"""Seconds for which discovery is kept."""
NEW_KIND: Final = 30.0
"""Seconds after which it is asked again where it does not have a kind: that may have come meanwhile."""
AGAIN: Final = 10.0
"""Seconds after which a group that did not answer is asked again."""
GROUPS: Final = 256
_VERSION: Final = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?v[0-9a-z]{1,20}")
_NAME: Final = re.compile(r"[^/%\x00-\x20]{1,253}")


class Place(NamedTuple):
    """Where objects of a kind are."""

    resource: str
    namespaced: bool

    def path(self, ref: Ref) -> str:
        """Return the path of an object."""
        root = f"/apis/{ref.api_version}" if "/" in ref.api_version else f"/api/{ref.api_version}"
        within = f"/namespaces/{quote(ref.namespace)}" if self.namespaced else ""
        return f"{root}{within}/{self.resource}/{quote(ref.name)}"


_BUILT_IN: Final = {
    ("v1", "Pod"): Place("pods", namespaced=True),
    ("v1", "Node"): Place("nodes", namespaced=False),
    ("v1", "Namespace"): Place("namespaces", namespaced=False),
    ("v1", "ReplicationController"): Place("replicationcontrollers", namespaced=True),
    ("v1", "Service"): Place("services", namespaced=True),
    ("v1", "PersistentVolumeClaim"): Place("persistentvolumeclaims", namespaced=True),
    ("apps/v1", "ReplicaSet"): Place("replicasets", namespaced=True),
    ("apps/v1", "Deployment"): Place("deployments", namespaced=True),
    ("apps/v1", "StatefulSet"): Place("statefulsets", namespaced=True),
    ("apps/v1", "DaemonSet"): Place("daemonsets", namespaced=True),
    ("batch/v1", "Job"): Place("jobs", namespaced=True),
    ("batch/v1", "CronJob"): Place("cronjobs", namespaced=True),
}


def nameable(ref: Ref) -> bool:
    """Whether there can be such an object. What an event names may be anything, and goes into a path."""
    return all(_NAME.fullmatch(name) and name not in {".", ".."} for name in (ref.name, ref.namespace or "-")) and (
        _VERSION.fullmatch(ref.api_version) is not None and bool(ref.kind)
    )


class Kinds:
    """Discovery, kept."""

    def __init__(self, requests: Requests, clock: Clock) -> None:
        self._requests = requests
        self._clock = clock
        self._versions: Cache[str, dict[str, Place]] = Cache(self._load, GROUPS, clock)

    async def find(self, ref: Ref) -> tuple[Place | None, Enriched]:
        """Return where an object is; None, and why, if that cannot be found out."""
        if (place := _BUILT_IN.get((ref.api_version, ref.kind))) is not None:
            return place, Enriched.OK
        entry = await self._versions.fetch(ref.api_version)
        if entry.value is not None and ref.kind not in entry.value:
            asked = entry.until - entry.lasts
            if entry.state is Enriched.OK and self._clock.monotonic() - asked > NEW_KIND:
                self._versions.forget(ref.api_version)
                entry = await self._versions.fetch(ref.api_version)
        place = (entry.value or {}).get(ref.kind)
        if place is not None:
            return place, Enriched.OK
        return None, Enriched.GONE if entry.state is Enriched.OK else entry.state

    async def close(self) -> None:
        """End what is under way."""
        await self._versions.close()

    async def _load(self, version: str, wanted: Callable[[], bool]) -> Entry[dict[str, Place]]:
        group = version.rpartition("/")[0]
        path = f"/apis/{version}" if group else f"/api/{version}"
        try:
            body = await self._requests.get(group, path, "application/json", wanted)
            resources = msgspec.json.decode(body, type=Resources).resources
        except Unwanted:
            return Entry(None, Enriched.LATE, 0.0)
        except SourceError as error:
            return Entry(None, state_of(error), AGAIN)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return Entry(None, Enriched.FAILED, AGAIN)
        places = {each.kind: Place(each.name, each.namespaced) for each in resources if "/" not in each.name}
        return Entry(places, Enriched.OK, KEPT)
