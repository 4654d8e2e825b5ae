"""Files of other programs, and of Kubernetes, that people paste: what they are, and what is written here instead.

Whoever comes from another exporter begins with the file that they have. Eleven times "not known here" would
be true and no help.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from eventer.config.document import Document
from eventer.errors import Fault

__all__ = ["field", "foreign", "option"]

_EXPORTER: Final = {
    "route": "write what a route drops under filter:, and what it matches under match: of each sink",
    "receivers": "write sinks: with a name for each, its kind:, and its options beside that: endpoint is url here",
    "clusterName": "write sources: [{cluster: NAME}]",
    "namespace": "write sources: [{kubernetes: {namespaces: [NAME]}}]",
    "maxEventAgeSeconds": "leave it out: what waits is kept for state.max_age; sources[].kubernetes.start says how "
    "old an event may be at the first start",
    "throttlePeriod": "leave it out: what waits is kept for state.max_age",
    "logLevel": "write log: {level: info}",
    "logFormat": "write log: {format: json}, or console for people",
    "leaderElection": "leave it out: one process runs, and after a restart goes on where it was",
    "kubeQPS": "leave it out: nothing is looked up for each event",
    "kubeBurst": "leave it out: nothing is looked up for each event",
    "omitLookup": "leave it out: nothing is looked up for each event",
    "cacheSize": "leave it out: nothing is looked up for each event",
    "metricsNamePrefix": "leave it out: all metrics begin with eventer_",
    "watchReasons": "write match: [{reason: [NAME]}] at a sink",
}
"""Keys of kubernetes-event-exporter (https://github.com/resmoio/kubernetes-event-exporter, pkg/exporter/config.go
and those of its forks), with what they are here."""
_SENT_AGAIN: Final = "leave it out: a send is repeated until it succeeds, or state.max_age is over"
_VERIFIED: Final = "leave it out: certificates are always verified; name who issued one of your own in ca_file"
_SPELLINGS: Final = {
    "endpoint": "url", "address": "url", "insecureskipverify": _VERIFIED, "insecure": _VERIFIED,
    "skipverify": _VERIFIED, "verify": _VERIFIED,
    "retries": _SENT_AGAIN, "retry": _SENT_AGAIN, "maxretries": _SENT_AGAIN,
}  # fmt: skip
"""Options that other programs have in a sink: what they are called here, or what to do."""
_FIELDS: Final = {
    "level": "did you mean type?", "pod": "write kind: Pod, and name:",
    "host": "did you mean node?", "source": "did you mean component?", "text": "did you mean message?",
    "apiVersion": "leave it out: kind alone tells objects apart",
    "minCount": "leave it out: repeats: at a sink says which updates it gets",
    "annotations": "leave it out: events bring none of their object",
    "receiver": "leave it out: rules stand in match: of the sink that they are for",
}  # fmt: skip
"""Fields of rules elsewhere."""
_OPTION: Final = re.compile(r"--(sink|source)=|[a-z]+:(https?://|tcp://|\?)")
"""How options of kube-eventer begin, whole or behind the = (https://github.com/AliyunContainerService/kube-eventer)."""
_EVENTER: Final = (
    "its --sink options become sinks: with a name, a kind: and options; of --source nothing is needed but "
    "sources: [{cluster: NAME}]; config/examples has files to start from"
)


def foreign(document: Document) -> list[Fault]:
    """Return what is to be said of a file that is another program's; nothing if it is meant for Eventer."""
    root = document.root
    if root is None or isinstance(root, ScalarNode):
        return []
    lists = [root, *(document.locate(root, (key,)) for key in ("sources", "sinks"))]
    items = [item for each in lists if isinstance(each, SequenceNode) for item in each.value]
    first = next(filter(_is_option, items), None)
    if first is not None:
        return [document.fault(first, (), "this is an option of kube-eventer, not a configuration", _EVENTER)]
    if not isinstance(root, MappingNode):
        return []
    keys = {pair.key: pair.where for pair in document.entries(root)}
    if "apiVersion" in keys and "kind" in keys:
        return [_object(document, root, keys["kind"])]
    if "config" in keys and not {"sources", "sinks"} & keys.keys():
        message = "these are values for the chart, not a configuration"
        return [document.fault(keys["config"], (), message, "name a file that holds what stands below config:")]
    found = _EXPORTER.keys() & keys.keys()
    if not {"route", "receivers"} <= found:
        return []
    message = "this is a configuration of kubernetes-event-exporter"
    remedy = "write one for Eventer: what follows says what each of its options is here"
    faults = [document.fault(root, (), message, remedy)]
    faults += [document.fault(keys[key], (key,), f"{key} is not known here", _EXPORTER[key]) for key in sorted(found)]
    return faults


def option(path: Sequence[str | int], key: str, known: Collection[str]) -> tuple[str | None, str]:
    """Return what an option of other programs is called here, if it is here, and what to write instead of it.

    Args:
        path: where it stands.
        key: the option.
        known: the options that there are in that place.
    """
    if not path:
        return None, _EXPORTER.get(key, "")
    found = _SPELLINGS.get(key.lower().replace("_", "").replace("-", ""), "") if path[0] == "sinks" else ""
    if found in known:
        return found, f"did you mean {found}?"
    return None, found if " " in found else ""


def field(name: str) -> str:
    """Return what to write instead of a field that rules of other programs have; empty where that is not known."""
    return _FIELDS.get(name, "")


def _object(document: Document, root: MappingNode, where: Node) -> Fault:
    kind = document.locate(root, ("kind",))
    word = kind.value if isinstance(kind, ScalarNode) and kind.value.isalnum() else "object"
    message = f"this is a {word[:40]} of Kubernetes, not a configuration"
    if any(_is_option(node) for node in _scalars(root)):
        return document.fault(where, (), f"{message}; it runs kube-eventer", _EVENTER)
    remedy = "name a file that holds the configuration itself, which begins with sources: or sinks:"
    if word == "ConfigMap":
        remedy = "name a file that holds what stands below its data:, without the spaces at the beginning of lines"
    return document.fault(where, (), message, remedy)


def _scalars(root: Node) -> Iterator[ScalarNode]:
    """Yield each scalar once, whatever refers to whatever."""
    seen: set[int] = set()
    todo = [root]
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, ScalarNode):
            yield node
        elif isinstance(node, SequenceNode):
            todo += node.value
        elif isinstance(node, MappingNode):
            todo += [item for pair in node.value for item in pair]


def _is_option(node: Node) -> bool:
    return isinstance(node, ScalarNode) and _OPTION.match(node.value) is not None
