"""Notifications as alerting makes them, to try a notifier or a template with: what people get on a bad day.

An OOM kill, a node that is gone, a rollout of an image that does not exist, and the end of a problem.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from eventer.alerting.notification import Item, Notification, Quieted, Why

__all__ = ["SAMPLES", "sample"]

_NODE: Final = "cn-shanghai.10.0.3.17"
_IMAGE: Final = 'Failed to pull image "registry.example/shop/checkout:v2.13": not found'
_PULLS: Final = (
    *(("x2k4p", "Failed", 7), ("9qvzt", "Failed", 7), ("m8d2c", "BackOff", 31), ("t5wln", "BackOff", 29)),
    *(("b7h6s", "Failed", 6), ("zz4rf", "BackOff", 28), ("k1v9j", "Failed", 5), ("c3p8w", "Failed", 5)),
    *(("n6x5d", "Failed", 4), ("g2l7y", "Failed", 4), ("s9f3q", "Failed", 4), ("d4j1m", "Failed", 3)),
)


def sample(name: str, cluster: str, at: float) -> Notification:
    """Return the sample of this name.

    Args:
        name: one of `SAMPLES`.
        cluster: where it happens.
        at: when it is told, seconds since 1970.
    """
    return SAMPLES[name](cluster, at)


def _oom(cluster: str, at: float) -> Notification:
    return _first(
        Item(
            cluster=cluster,
            kind="Node",
            name=_NODE,
            node=_NODE,
            component="kernel-monitor",
            reason="OOMKilling",
            severity="critical",
            family="memory",
            message="Memory cgroup out of memory: Killed process 28371 (java) total-vm:8421340kB, "
            "anon-rss:4190212kB, file-rss:0kB, shmem-rss:0kB, UID:1000 pgtables:8604kB oom_score_adj:984",
            count=3,
            since=at - 1400,
            last=at - 20,
        ),
        at,
    )


def _node(cluster: str, at: float) -> Notification:
    gone = msgspec.structs.replace(
        _oom(cluster, at).items[0],
        component="node-controller",
        condition="Ready",
        status="Unknown",
        reason="NodeStatusUnknown",
        family="node_not_ready",
        message="Kubelet stopped posting node status.",
        count=1,
        since=at - 20,
        quieted=Quieted(problems=112, objects=110, pods=110),
    )
    return _first(gone, at)


def _first(item: Item, at: float) -> Notification:
    return Notification(
        number=1,
        why=Why.FIRST,
        at=at,
        group={"cluster": item.cluster},
        severity=item.severity,
        items=[item],
        firing=1,
        events=item.count,
        quieted=item.quieted,
    )


def _storm(cluster: str, at: float) -> Notification:
    items = [
        Item(
            cluster=cluster,
            kind="Pod",
            namespace="shop",
            name=f"checkout-6c5f9d7b8-{name}",
            owner="Deployment checkout",
            component="kubelet",
            reason=reason,
            severity="warning",
            family="image",
            message=_IMAGE,
            count=count,
            since=at - 1400,
            last=at - 20,
        )
        for name, reason, count in _PULLS
    ]
    return Notification(
        number=1,
        why=Why.FIRST,
        at=at,
        group={"cluster": cluster, "namespace": "shop", "family": "image"},
        severity="warning",
        items=items,
        firing=200,
        unnamed=188,
        reasons={"Failed": 124, "BackOff": 76},
        shared={"owner": "Deployment checkout"},
        events=1_204,
    )


def _resolved(cluster: str, at: float) -> Notification:
    item = Item(
        cluster=cluster,
        kind="Pod",
        namespace="shop",
        name="api-7d9",
        container="web",
        node=_NODE,
        owner="Deployment api",
        component="kubelet",
        reason="BackOff",
        severity="warning",
        family="crash",
        message="Back-off restarting failed container",
        count=14,
        since=at - 7320,
        last=at - 1800,
        ended=at - 20,
    )
    return Notification(
        number=2,
        why=Why.RESOLVED,
        at=at,
        group={"cluster": cluster, "namespace": "shop", "family": "crash"},
        severity="info",
        items=[item],
        resolved=1,
        events=0,
    )


SAMPLES: Final[dict[str, Callable[[str, float], Notification]]] = {
    "oom": _oom,
    "node": _node,
    "storm": _storm,
    "resolved": _resolved,
}
"""What makes each sample."""
