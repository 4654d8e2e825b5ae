"""What is known of the object of one event, and what must be looked up for more: one cluster's.

The first is a plain function over what is cached, so that a send pays for an object once, however many of its
events there are, and so that what is known when the time is up can be told at any moment.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple, Self, TypeVar

from eventer.about import NOTHING, About, Enriched, NamespaceFacts, NodeFacts, Owner, PodFacts
from eventer.clock import Clock
from eventer.config.lookups import Lookups
from eventer.enrich.cache import Cache, Entry
from eventer.enrich.kinds import nameable
from eventer.enrich.logs import RESOURCE, LogRef, Logs
from eventer.enrich.objects import Found, Objects
from eventer.enrich.port import Api
from eventer.enrich.requests import Requests
from eventer.enrich.shapes import Ref
from eventer.enrich.table import Table
from eventer.event import Event, Origin

__all__ = ["Cluster", "Question"]

CHAIN: Final = 8
"""Owners that are followed. Three is much; a circle has no end."""
ZONES: Final = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")
POOLS: Final = (
    "eks.amazonaws.com/nodegroup",
    "karpenter.sh/nodepool",
    "cloud.google.com/gke-nodepool",
    "kubernetes.azure.com/agentpool",
    "alibabacloud.com/nodepool-id",
    "node.kubernetes.io/node-pool",
)
"""Labels by which clouds name the pool of a node: EKS, Karpenter, GKE, AKS, ACK."""
_SEVERITY: Final = {state: number for number, state in enumerate(Enriched)}

_BY_NAME: Final = frozenset({"Node", "Namespace"})
"""Kinds whose objects nothing owns, and that are told apart by their names: what is asked is what they are now."""

K = TypeVar("K")
V = TypeVar("V")


class Question(NamedTuple):
    """What an event says of its object: events with equal questions get the same answer."""

    ref: Ref
    origin: str
    node: str
    container: str
    """Set where the log is wanted: the container, or `*` for the only one."""


class _Asked:
    """One look at what is known: collects what is missing, and how bad the worst of it is."""

    def __init__(self, *, last: bool) -> None:
        self.last = last
        self.missing: list[Callable[[], Awaitable[object]]] = []
        self.state = Enriched.OK
        self.unknown: list[str] = []
        self.why: dict[str, Enriched] = {}
        self.mutes: list[str] = []

    def worse(self, state: Enriched) -> None:
        if _SEVERITY[state] > _SEVERITY[self.state]:
            self.state = state

    def muted(self, shown: str, mute: str) -> None:
        """Note what an object's annotation says that asks for silence, if it has one."""
        told = f"{shown} {mute}"
        if mute and told not in self.mutes:
            self.mutes.append(told)

    def lacks(self, why: Enriched, *what: str) -> None:
        """Note that something is not known."""
        self.worse(why)
        for each in what:
            if each not in self.unknown:
                self.unknown.append(each)
                self.why[each] = why


class Cluster:
    """Look-ups in one cluster, from `async with` on; its watches run within."""

    def __init__(
        self, api: Api, clock: Clock, settings: Callable[[], Lookups], clean: Callable[[str], str], name: str
    ) -> None:
        requests = Requests(api, clock)
        self._settings = settings
        self._clock = clock
        self._objects = Objects(requests, clock, settings().objects, lambda: frozenset(settings().annotations), name)
        self._logs = Logs(requests, clock, clean, lambda: (settings().logs.lines, settings().logs.size), name)
        self._api = api
        self._name = name
        self._tables: dict[str, Table] = {kind: self._table(kind) for kind in ("Namespace", "Node")}
        self._watches: dict[str, asyncio.Task[None]] = {}

    def _table(self, kind: str) -> Table:
        return Table(self._api, f"{kind.lower()}s", self._clock, self._name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._watches.values():
            task.cancel()
        await asyncio.gather(*self._watches.values(), return_exceptions=True)
        await self._objects.close()
        await self._logs.cache.close()

    def settle(self, wants: AbstractSet[str]) -> None:
        """Go by the settings as they are now: watch what these wants need; what is watched already goes on."""
        self._objects.cache.size = self._settings().objects
        for want, kind in (("namespace", "Namespace"), ("node", "Node")):
            if want in wants and kind not in self._watches:
                self._watches[kind] = asyncio.create_task(self._tables[kind].run(), name=f"labels of {kind}")
            elif want not in wants and kind in self._watches:
                self._watches.pop(kind).cancel()
                self._tables[kind] = self._table(kind)

    @property
    def forbidden(self) -> set[str]:
        """Resources that may not be read, as roles name them, with the verbs that are missing."""
        tables = {f"list and watch on {kind.lower()}s" for kind, table in self._tables.items() if table.forbidden}
        single = self._objects.forbidden | ({RESOURCE} if self._logs.forbidden else set())
        return tables | {f"get on {resource}" for resource in single}

    def question(self, event: Event, wants: AbstractSet[str]) -> Question:
        """Return what is to be asked for an event."""
        api_version = event.api_version or ("v1" if event.kind in {"Pod", "Node", "Namespace"} else "")
        # The kubelet reports for its own node; what others call the host is where they themselves run.
        node = event.node if event.kind == "Pod" and event.component == "kubelet" else ""
        whole = event.kind == "Pod" and ("pod" in wants or ("node" in wants and not node))
        container = ""
        if "logs" in wants and event.kind == "Pod" and event.reason in self._settings().logs.reasons:
            container = event.field_path.partition("{")[2].rstrip("}") or "*"
        ref = Ref(api_version, event.kind, event.namespace, event.name, event.uid, whole)
        return Question(ref, event.origin, node, container)

    async def find(self, question: Question, wants: AbstractSet[str]) -> None:
        """Look up all that a question needs. May be cancelled at any time; what was asked for is kept."""
        await asyncio.gather(*(self._find(question, frozenset({want})) for want in wants))

    async def _find(self, question: Question, wants: AbstractSet[str]) -> None:
        for _ in range(CHAIN + 3):
            _, missing = self.about(question, wants)
            if not missing:
                return
            await asyncio.gather(*(fetch() for fetch in missing))

    def about(
        self, question: Question, wants: AbstractSet[str], *, last: bool = False
    ) -> tuple[About, list[Callable[[], Awaitable[object]]]]:
        """Return what is known, and what is to be looked up for more.

        Args:
            last: the time is up: what is old is good enough, and what is missing is late.
        """
        if question.origin == Origin.EVENTER:
            return About(enriched=Enriched.OK), []
        asked = _Asked(last=last)
        ref = question.ref
        pod = NOTHING.pod
        node_name = ref.name if ref.kind == "Node" else question.node
        if ref.kind == "Pod" and ("pod" in wants or ("node" in wants and not node_name)):
            what = [want for want in ("pod", "node") if want in wants]
            found = self._object(asked, ref._replace(whole=True), *what)
            if found is not None:
                asked.muted(ref.shown, found.mute)
                node_name = found.node or node_name
                if "pod" in wants:
                    pod = PodFacts(
                        node=node_name, phase=found.phase, labels=found.labels, annotations=found.annotations
                    )
        owner = self._owner(asked, ref) if "owner" in wants else NOTHING.owner
        namespace = self._namespace(asked, ref) if "namespace" in wants else NOTHING.namespace
        node = self._node(asked, node_name, ref.kind) if "node" in wants and node_name else NOTHING.node
        log = self._log(asked, question) if "logs" in wants and question.container else ""
        about = About(
            enriched=asked.state, pod=pod, owner=owner, namespace=namespace, node=node, log=log, mutes=asked.mutes,
            unknown=asked.unknown,
        )  # fmt: skip
        return about, asked.missing

    def _object(self, asked: _Asked, ref: Ref, *what: str) -> Found | None:
        """Return what is known of an object."""
        if not nameable(ref) or (not ref.uid and ref.kind not in _BY_NAME):
            # Without a uid another one may have its name by now: rather nothing than what belongs to that.
            asked.lacks(Enriched.UNKNOWN, *what)
            return None
        return self._entry(asked, self._objects.cache, ref, *what)

    def _entry(self, asked: _Asked, cache: Cache[K, V], key: K, *what: str) -> V | None:
        entry: Entry[V] | None = cache.fresh(key)
        if entry is None and not asked.last:
            # What others have waited for in vain is not waited for again: it is of use when it comes.
            if cache.waited(key) < self._settings().timeout:
                asked.missing.append(functools.partial(cache.fetch, key))
            asked.lacks(Enriched.LATE, *what)
            return None
        entry = entry or cache.peek(key)
        if entry is None:
            asked.lacks(Enriched.LATE, *what)
            return None
        if entry.state is not Enriched.OK:
            if entry.value is None:
                asked.lacks(entry.state, *what)
            else:
                asked.worse(entry.state)
        return entry.value

    def _owner(self, asked: _Asked, ref: Ref) -> Owner:
        """Follow controllers as far as is known."""
        if ref.kind in _BY_NAME:
            return Owner(kind=ref.kind, name=ref.name, api_version=ref.api_version)
        chain: list[str] = []
        for _ in range(CHAIN):
            if ref.kind in _BY_NAME:
                break
            found = self._object(asked, ref, "owner")
            if found is None:
                # An owner that may not be read, or is gone, is named all the same by what it owns.
                if chain and asked.why["owner"] in {Enriched.FORBIDDEN, Enriched.GONE}:
                    asked.unknown.remove("owner")
                    break
                return NOTHING.owner
            asked.muted(ref.shown, found.mute)
            if found.owner is None or not nameable(found.owner):
                break
            ref = found.owner
            chain.append(ref.shown)
        return Owner(kind=ref.kind, name=ref.name, api_version=ref.api_version, chain=chain)

    def _namespace(self, asked: _Asked, ref: Ref) -> NamespaceFacts:
        name = ref.name if ref.kind == "Namespace" else ref.namespace
        if not name:
            return NOTHING.namespace
        return NamespaceFacts(labels=self._labels(asked, "Namespace", name, "namespace", mutes=True))

    def _node(self, asked: _Asked, name: str, of: str) -> NodeFacts:
        # What mutes a node does not mute its pods.
        labels = self._labels(asked, "Node", name, "node", mutes=of == "Node")
        return NodeFacts(
            name=name,
            labels=labels,
            zone=next((labels[key] for key in ZONES if key in labels), ""),
            pool=next((labels[key] for key in POOLS if key in labels), ""),
        )

    def _labels(self, asked: _Asked, kind: str, name: str, what: str, *, mutes: bool) -> dict[str, str]:
        """Return labels from the table; by a get where it has none: the object is new, or may not be watched."""
        table = self._tables[kind]
        labels = table.get(name)
        if labels is not None:
            if mutes:
                asked.muted(f"{kind}/{name}", table.mute(name))
            return labels
        if not table.tried.is_set():
            asked.lacks(Enriched.LATE, what)
            asked.missing.append(table.tried.wait)
            return {}
        found = self._object(asked, Ref("v1", kind, "", name, ""), what)
        if found is None:
            return {}
        if mutes:
            asked.muted(f"{kind}/{name}", found.mute)
        return found.labels

    def _log(self, asked: _Asked, question: Question) -> str:
        ref = question.ref
        if not ref.uid or not nameable(ref):
            asked.lacks(Enriched.UNKNOWN, "logs")
            return ""
        container = "" if question.container == "*" else question.container
        key = LogRef(ref.namespace, ref.name, ref.uid, container)
        return self._entry(asked, self._logs.cache, key, "logs") or ""
