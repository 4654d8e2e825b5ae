"""What is known of nodes, and of nothing else: what follows from one that is down, that goes, or that is new.

A node that dies takes a thousand pods with it, and one that is drained or comes to be does what would be trouble of
any other. So these rules inhibit (`eventer.alerting.inhibition`) what follows from it; they are the same as a user
could write, but for a limit in time: a node that was meant to go, and hangs, is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from eventer.alerting.inhibition import Inhibits
from eventer.config.inhibition import Inhibit
from eventer.event import Event
from eventer.match import Rule

__all__ = ["LEAVES", "STARTS", "inhibits", "once", "rebooted"]

LEAVES: Final = 1800.0
"""Seconds for which a node that is drained or removed may be away. Cluster autoscaler gives pods ten minutes
(`--max-graceful-termination-sec`), and a machine takes some to stop, or to start again after an upgrade."""
STARTS: Final = 600.0
"""Seconds for which a new node may not be ready. Cluster API waits as long before it calls one failed
(https://cluster-api.sigs.k8s.io/tasks/automated-machine-management/healthchecking)."""

_DOWN: Final = ({"kind": "Node", "condition": "Ready"}, {"kind": "Node", "reason": "NodeNotReady"})
_REMOVERS: Final = (
    # https://github.com/kubernetes/autoscaler, cluster-autoscaler/utils/taints
    "ToBeDeletedByClusterAutoscaler",
    # https://karpenter.sh/docs/concepts/disruption/; the second is that of versions before 1.0
    "karpenter.sh/disrupted",
    "karpenter.sh/disruption",
    # https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/#non-graceful-node-shutdown
    "node.kubernetes.io/out-of-service",
    # https://github.com/aws/aws-node-termination-handler, pkg/node
    "aws-node-termination-handler/",
)
"""How taints begin that say that a node is to go."""
_LEAVING: Final = (
    {
        "origin": "node",
        "reason": ["TaintAdded", "TaintChanged"],
        "message": f"/ taint ({'|'.join(text.replace('.', '[.]') for text in _REMOVERS)})/",
    },
    {"origin": "node", "reason": "Cordoned"},
    {"kind": "Node", "reason": "NodeNotSchedulable"},
    # https://github.com/planetlabs/draino
    {"kind": "Node", "condition": "DrainScheduled"},
)
_NEW: Final = ({"origin": "node", "reason": "NodeAdded"},)
_GOES: Final = ["node_not_ready", "node_gone", "restart", "node_network", "kubelet", "runtime"]
_COMES: Final = ["node_not_ready", "restart", "node_network", "kubelet", "runtime"]
_BOOT: Final = frozenset({"kernel", "filesystem", "out_of_memory"})
"""Families of what a kernel forgets when it starts anew."""


def inhibits(config: Inhibit) -> list[Inhibits]:
    """Return the rules that a configuration asks for; those about nodes come first."""
    own = [
        Inhibits(
            name=rule.name or str(rule.source),
            sources=(rule.source,),
            targets=(rule.target,),
            equal=tuple(rule.equal),
        )
        for rule in config.rules
    ]
    return [*_about_nodes(), *own] if config.nodes else own


def rebooted(event: Event, family: str) -> bool:
    """Whether an event about an object says that its kernel started anew, which ends what was wrong with the old one.

    A detector that comes back with the node sets its conditions to good as well; one that does not leaves them.

    Args:
        event: about the same object as the problem.
        family: of the problem.
    """
    return event.kind == "Node" and event.reason == "Rebooted" and family in _BOOT


def once(family: str) -> bool:
    """Whether people need not be told again that a problem of this family goes on.

    A detector that is silent harms nobody by itself, and may be so for good: its node keeps what it has left behind.
    """
    return family == "detector"


def _about_nodes() -> list[Inhibits]:
    here, down, leaving = ("cluster", "node"), _rules(_DOWN), _rules(_LEAVING)
    pods = Rule.parse({"origin": "event", "kind": "!Node"})
    # Controllers tell these of each pod, and name no node
    # (https://github.com/kubernetes/kubernetes, pkg/controller/util/node and pkg/controller/tainteviction).
    told = Rule.parse({"origin": "event", "kind": "Pod", "reason": ["NodeNotReady", "TaintManagerEviction"]})
    unknown = Rule.parse({"kind": "Node", "status": "Unknown", "condition": "!Ready"})
    goes = Rule.parse({"kind": "Node", "family": _GOES})
    # What a pod that is told to end has to say.
    ending = Rule.parse({"origin": "event", "kind": "Pod", "family": ["probe", "pod_stop"]})
    comes = Rule.parse({"kind": "Node", "family": _COMES})
    return [
        Inhibits(name="node down", sources=down, targets=(pods, unknown), equal=here),
        Inhibits(name="node down", sources=down, targets=(told,), equal=("cluster",)),
        Inhibits(name="node leaving", sources=leaving, targets=(goes, ending), equal=here, at_most=LEAVES),
        Inhibits(
            name="node starting", sources=_rules(_NEW), targets=(comes,), equal=here, quiet=STARTS, at_most=STARTS
        ),
    ]


def _rules(mappings: Iterable[Mapping[str, Any]]) -> tuple[Rule, ...]:
    return tuple(Rule.parse(mapping) for mapping in mappings)
