"""Single objects, by a cached get each.

The key holds the uid: a pod that was made anew under the same name never gets the labels of the old one, nor
the old one's events those of the new one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from eventer.about import Enriched
from eventer.clock import Clock
from eventer.enrich.cache import Cache, Entry
from eventer.enrich.kinds import Kinds
from eventer.enrich.requests import Requests, Unwanted, state_of
from eventer.enrich.shapes import METADATA, Object, OwnerReference, Ref, interned, muted
from eventer.errors import SourceError

__all__ = ["Found", "Objects"]

KEPT: Final = 600.0
"""Seconds for which metadata is kept: who owns an object does not change."""
POD_KEPT: Final = 60.0
"""Seconds for a whole pod: its phase does change."""
PENDING_KEPT: Final = 0.05
"""Seconds for a pod that is on no node yet: the next of its events, as a rule, says that it is on one now."""
GONE_KEPT: Final = 600.0
"""A uid that is gone never comes back; an object by its name alone may, after `AGAIN`."""
AGAIN: Final = 10.0
"""Seconds after which a look-up that failed is tried again."""
FORBIDDEN_KEPT: Final = 60.0
"""Seconds for which the objects of one kind and namespace are not asked for again after a refusal."""
_STATIC: Final = ("kubernetes.io/config.mirror", "kubernetes.io/config.hash")
"""Annotations of a static pod's mirror; the kubelet's events name the pod by that hash, not by the uid of the mirror
(https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-config-mirror)."""

log = structlog.get_logger()


class Found(msgspec.Struct, frozen=True):
    """What is kept of an object."""

    labels: dict[str, str]
    annotations: dict[str, str]
    owner: Ref | None
    """Its controller, or its only owner."""
    node: str = ""
    phase: str = ""
    mute: str = ""
    """The annotation that asks for silence."""


class Objects:
    """Objects of one cluster.

    Args:
        chosen: says which annotations are kept.
        size: objects that are kept.
    """

    def __init__(
        self, requests: Requests, clock: Clock, size: int, chosen: Callable[[], frozenset[str]], cluster: str
    ) -> None:
        self._requests = requests
        self._clock = clock
        self._chosen = chosen
        self._cluster = cluster
        self._kinds = Kinds(requests, clock)
        self._refused: dict[tuple[str, str], float] = {}
        self.forbidden: set[str] = set()
        """Resources that may not be read, as the last look-up of each has shown; named as roles name them."""
        self.cache: Cache[Ref, Found] = Cache(self._load, size, clock)

    async def close(self) -> None:
        """End what is under way."""
        await self.cache.close()
        await self._kinds.close()

    async def _load(self, ref: Ref, wanted: Callable[[], bool]) -> Entry[Found]:
        place, why = await self._kinds.find(ref)
        if place is None:
            lasts = 0.0 if why is Enriched.LATE else AGAIN
            return Entry(None, why, lasts)
        namespace = ref.namespace if place.namespaced else ""
        kind = (f"{place.resource}.{ref.group}".rstrip("."), namespace)
        if (left := self._refused.get(kind, 0.0) - self._clock.monotonic()) > 0:
            return Entry(None, Enriched.FORBIDDEN, left)
        try:
            body = await self._requests.get(
                ref.group, place.path(ref), "application/json" if ref.whole else METADATA, wanted
            )
            self.forbidden.discard(kind[0])
            return self._found(ref, msgspec.json.decode(body, type=Object))
        except Unwanted:
            return Entry(None, Enriched.LATE, 0.0)
        except SourceError as error:
            state = state_of(error)
            if state is Enriched.FORBIDDEN:
                self._forbidden(kind, error)
                return Entry(None, state, FORBIDDEN_KEPT)
            if state is Enriched.GONE:  # who may not read is told no more than that
                self.forbidden.discard(kind[0])
            return Entry(None, state, GONE_KEPT if state is Enriched.GONE and ref.uid else AGAIN)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return Entry(None, Enriched.FAILED, AGAIN)

    def _found(self, ref: Ref, read: Object) -> Entry[Found]:
        metadata = read.metadata
        annotations = metadata.annotations or {}
        if ref.uid and ref.uid not in {metadata.uid, *(annotations.get(name) for name in _STATIC)}:
            return Entry(None, Enriched.GONE, GONE_KEPT)  # another one has its name
        node, phase = read.placed() if ref.whole else ("", "")
        owners = metadata.owner_references or []
        owner = next((each for each in owners if each.controller), owners[0] if len(owners) == 1 else None)
        chosen = self._chosen()
        found = Found(
            labels=interned(metadata.labels),
            annotations={name: text for name, text in annotations.items() if name in chosen},
            owner=None if owner is None else _ref(owner, ref.namespace),
            node=node,
            phase=phase,
            mute=muted(annotations),
        )
        lasts = KEPT if not ref.whole else POD_KEPT if node else PENDING_KEPT
        return Entry(found, Enriched.OK, lasts if ref.uid else POD_KEPT)

    def _forbidden(self, kind: tuple[str, str], error: SourceError) -> None:
        if len(self._refused) > self.cache.size:
            self._refused.clear()
        self._refused[kind] = self._clock.monotonic() + FORBIDDEN_KEPT
        resource = kind[0]
        if resource not in self.forbidden:
            self.forbidden.add(resource)
            log.warning("look-up forbidden", cluster=self._cluster, resource=resource, error=str(error))


def _ref(owner: OwnerReference, namespace: str) -> Ref:
    return Ref(owner.api_version, owner.kind, namespace, owner.name, owner.uid)
