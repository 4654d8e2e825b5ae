"""The options of a source: how to reach one cluster, and what to read there. See `types` for what docstrings are."""

from __future__ import annotations

import math
import re
from typing import Annotated, ClassVar, Final, Literal, Self

import msgspec
from msgspec import Meta

from eventer.config.refuse import positive, refusal
from eventer.values import Duration

__all__ = ["SELECTABLE", "FieldSelector", "Kubernetes", "LabelSelector", "Namespace", "Source", "Start"]

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""RFC 1123 label, which is what Kubernetes allows as the name of a namespace."""


class Start(float):
    """How far back a stream begins at its first start, in seconds: `all` is infinity, `now` is 0."""

    EXPECTED: ClassVar[str] = "all, now, or a duration such as 1h"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a start policy.

        Raises:
            ValueError: it is neither `all` nor `now` nor a duration.
        """
        if text == "all":
            return cls(math.inf)
        if text == "now":
            return cls(0)
        try:
            return cls(Duration.parse(text))
        except ValueError:
            raise ValueError(f"{text!r} is no start; write {cls.EXPECTED}") from None

    def __str__(self) -> str:
        return {math.inf: "all", 0.0: "now"}.get(self, f"{float(self):g}s")


class Namespace(str):
    """The name of one namespace."""

    EXPECTED: ClassVar[str] = "the name of a namespace"
    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name.

        Raises:
            ValueError: no namespace can have this name.
        """
        if not _LABEL.fullmatch(text):
            raise ValueError(
                f"{text!r} is no name of a namespace; write at most 63 small letters, digits and hyphens, no patterns"
            )
        return cls(text)


class FieldSelector(str):
    """Which Events the API server is asked for, in the words of `kubectl --field-selector`."""

    EXPECTED: ClassVar[str] = "a field selector such as type=Warning"
    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a selector: `FIELD=VALUE` or `FIELD!=VALUE`, several with commas, all of which must hold.

        Raises:
            ValueError: it is none, or names a field by which Events cannot be selected.
        """
        terms = []
        for term in re.split(r"(?<!\\),", text):
            match = _TERM.fullmatch(term)
            if match is None:
                raise ValueError(f"{term!r} is no term of a field selector; write for example {_TERMS}")
            if match[1] not in SELECTABLE["core"] | SELECTABLE["events"]:
                known = ", ".join(sorted(SELECTABLE["core"]))
                raise ValueError(f"the API has no selector for {match[1]!r} of Events; it has {known}")
            terms.append(f"{match[1]}{match[2].replace('==', '=')}{match[3]}")
        return cls(",".join(sorted(terms)))

    @property
    def fields(self) -> frozenset[str]:
        """The fields that it looks at."""
        return frozenset(match[1] for match in _TERM.finditer(self))

    @property
    def can_be_left(self) -> bool:
        """Whether an Event that matches can be changed into one that does not. Names never change."""
        return not self.fields <= {"metadata.name", "metadata.namespace"}


class LabelSelector(str):
    """Which namespaces are meant, in the words of `kubectl get namespaces -l`."""

    EXPECTED: ClassVar[str] = "a label selector such as team=shop"
    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a selector: `name=value`, `name!=value`, `name in (a,b)`, `name notin (a,b)`, `name` or `!name`.

        Several with commas must all hold
        (https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors).

        Raises:
            ValueError: it is none.
        """
        terms = re.split(r",(?![^(]*\))", text)
        for term in terms:
            if not _LABEL_TERM.fullmatch(term.strip()):
                raise ValueError(
                    f"{term.strip()!r} is no term of a label selector; write for example team=shop, env!=test or "
                    "'env in (prod,stage)'"
                )
        return cls(",".join(term.strip() for term in terms))


_KEY: Final = r"([A-Za-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_VALUE: Final = r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?"
_LABEL_TERM: Final = re.compile(
    rf"!?{_KEY}|{_KEY}\s*(=|==|!=)\s*{_VALUE}|{_KEY}\s+(in|notin)\s+\(\s*{_VALUE}(\s*,\s*{_VALUE})*\s*\)"
)
_TERM: Final = re.compile(r"([A-Za-z.]+)(!=|==?)((?:[^\\,=]|\\[\\,=])*)")
_TERMS: Final = "type=Warning or metadata.namespace!=noisy"
_SUBJECT: Final = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
SELECTABLE: Final = {
    "core": frozenset({"metadata.name", "metadata.namespace", "reason", "reportingComponent", "source", "type"})
    | {f"involvedObject.{name}" for name in _SUBJECT},
    "events": frozenset({"metadata.name", "metadata.namespace", "reason", "reportingController", "type"})
    | {f"regarding.{name}" for name in _SUBJECT},
}
"""By which fields each API selects Events
(https://github.com/kubernetes/kubernetes, pkg/apis/core/v1/conversion.go and pkg/apis/events/v1/conversion.go)."""


class Kubernetes(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How to reach one cluster and what to read there."""

    kubeconfig: Annotated[str | None, Meta(examples=["/etc/eventer/kubeconfig"])] = None
    """File with address and credentials of the cluster. Left out: the file that the variable
    KUBECONFIG names, or ~/.kube/config; but in a pod, with `context` left out as well, its service
    account."""
    context: Annotated[str | None, Meta(examples=["prod-shanghai"])] = None
    """Which context of the kubeconfig; left out, its current one."""
    namespaces: list[Namespace] = []
    """Read these namespaces only, each with a stream of its own: for clusters where Eventer may not
    read all of them. Empty: all, with one stream. To leave some out, use `filter`, or `field_selector`
    where reading them is too much already."""
    namespace_selector: Annotated[LabelSelector | None, Meta(examples=["team=shop,env!=test"])] = None
    """Read the namespaces with these labels only, in the words of `kubectl get namespaces -l`; each has a
    stream of its own. Looked at every 30s: a namespace that gets the labels is read from then on with all
    that it still holds, one that loses them no longer. Needs the right to list namespaces."""
    field_selector: Annotated[FieldSelector | None, Meta(examples=["metadata.namespace!=noisy"])] = None
    """Ask the API server for these Events only, in the words of `kubectl --field-selector`; terms with
    commas between them must all hold. Left out: all, which is best as long as it is not too much. What
    is not selected is in no count and no audit; `filter` counts it. The API server says of an Event
    that stops to match that it was deleted, so its later states are not seen. Another selector is
    another stream, which lists anew."""
    nodes: bool | None = None
    """Whether to tell what happens to nodes: an event with `origin: node` for each change of a condition
    (`Ready`, `DiskPressure`, those of node-problem-detector...), for taints, cordons and reboots, for nodes that
    come and go. Left out: yes, unless `namespaces` or `namespace_selector` is given. Needs the verbs `list`
    and `watch` on nodes; without them Events are read all the same, and the status says what is missing."""
    api: Literal["core", "events"] = "core"
    """Which API to read: `core` (v1) or `events` (events.k8s.io/v1). The API server gives the same
    objects by both; choose the one that the role allows."""
    start: Start = Start(math.inf)
    """What of the past is exported at the very first start: `all` that the cluster still holds (one
    hour as a rule), nothing (`now`), or what is not older than a duration such as `1h`. Later starts
    always go on where the last one stopped."""
    event_ttl: Duration = Duration(3600)
    """How long the API server keeps an event (its `--event-ttl`, 1h unless changed). After a longer
    time without contact events may have gone unseen, and a gap record says so."""
    audit: Duration = Duration(6 * 3600)
    """How often to compare what the cluster holds with what was exported, by a list of metadata
    only. It also runs after each start and after each outage of more than 5 minutes. It finds what
    nothing else would notice, so it should find nothing."""

    def __post_init__(self) -> None:
        """Refuse times of zero, and a namespace named twice: its two streams would write one record."""
        for namespace in self.namespaces:
            if self.namespaces.count(namespace) > 1:
                raise refusal("namespaces", f"the namespace {namespace} is named twice", "name it once")
        if self.namespaces and self.namespace_selector is not None:
            raise refusal(
                "namespace_selector", "namespaces are chosen by name and by label at once", "leave one of the two out"
            )
        unknown = self.field_selector.fields - SELECTABLE[self.api] if self.field_selector else frozenset()
        if unknown:
            known = ", ".join(sorted(SELECTABLE[self.api]))
            message = f"the API {self.api} has no selector for {', '.join(sorted(unknown))}"
            raise refusal("field_selector", message, f"it has {known}")
        positive(self, "event_ttl", "audit")

    @property
    def reads_nodes(self) -> bool:
        """Whether nodes are read, also where the option is left out."""
        if self.nodes is not None:
            return self.nodes
        return not self.namespaces and self.namespace_selector is None

    def overlaps(self, other: Kubernetes) -> bool:
        """Whether both would show the same if they read the same cluster: Events, by namespaces, or nodes.

        What labels select is not known here, and they may well be made to share a cluster out.
        """
        if any(not each.namespaces and each.namespace_selector is None for each in (self, other)):
            return True
        if self.reads_nodes and other.reads_nodes:
            return True
        return bool(set(self.namespaces) & set(other.namespaces))


class Source(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One cluster to read."""

    cluster: Annotated[str, Meta(min_length=1, max_length=253, examples=["prod-shanghai"])] | None = None
    """Name of the cluster, on every event and part of every key: keep it. Needed with more than one
    source, and where the namespace kube-system may not be read. Left out: the uid of kube-system."""
    labels: dict[str, str] = {}
    """Names and values that every event of this source carries, such as `{region: cn-shanghai}`."""
    kubernetes: Kubernetes = msgspec.field(default_factory=Kubernetes)
    """How to reach the cluster and what to read there."""
