"""Incidents as clusters have them, each as the stream of Events that its components write.

Times are seconds after the beginning. Whoever writes an Event is named by what he does: the node lifecycle
controller hears nothing of a node for 50 s, marks its pods and after another 300 s evicts them; the kubelet starts a
container that crashes again after 10 s, 20 s ... 300 s, and so it does with an image that it cannot pull
(https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/, /architecture/nodes/, /containers/images/).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

from tests.helpers.components import Cluster, Pod

__all__ = [
    "bad_image", "crash_loop", "drain", "flapping", "history", "node_dies", "pending", "registry_outage", "rollout",
    "scale_down", "upgrade",
]  # fmt: skip

GRACE: Final = 50.0
"""For which the controller waits to hear of a node."""
TOLERATION: Final = 300.0
"""For which a pod stays on a node that is unreachable."""
RATE: Final = 20.0
"""Requests a second that the controller manager makes of the API server."""
SYNC: Final = 12.0
"""Seconds between two looks of the kubelet at a pod that waits."""
PRESSURES: Final = ("MemoryPressure", "DiskPressure", "PIDPressure")


def node_dies(cluster: Cluster, pods: int = 1000, *, namespaces: int = 30, back: float = 2400.0) -> list[Pod]:
    """A node stops answering with all its pods, which are evicted; after `back` seconds it returns, rebooted."""
    lost = [
        cluster.pod(f"web-{n:04}", f"ns-{n % namespaces:02}", node="n1", owner=f"web-{n % 60}") for n in range(pods)
    ]
    _unreachable(cluster, GRACE, "n1")
    for n, pod in enumerate(lost):
        cluster.controller(GRACE + n / RATE, pod, "NodeNotReady", "Node is not ready", bad=True)
        at = GRACE + TOLERATION + n / RATE
        text = f"Marking for deletion Pod {pod.namespace}/{pod.name}"
        cluster.controller(at, pod, "TaintManagerEviction", text, component="taint-eviction-controller")
        cluster.about(
            at + 0.1, "ReplicaSet", pod.owner, "SuccessfulCreate", f"Created pod: {pod.name}-b",
            component="replicaset-controller", namespace=pod.namespace,
        )  # fmt: skip
        _starts(cluster, at + 0.2, cluster.pod(f"{pod.name}-b", pod.namespace, node=f"n{2 + n % 40}", owner=pod.owner))
    _returns(cluster, back, "n1", rebooted=True)
    for n, pod in enumerate(lost):
        cluster.kubelet(back + 15 + n / 50, pod, "Killing", "Stopping container app")
    return lost


def bad_image(cluster: Cluster, pods: int = 200, *, until: float = 1800.0) -> list[Pod]:
    """A Deployment of so many pods is given an image that does not exist; somebody mends it at `until`."""
    cluster.about(
        0, "Deployment", "web", "ScalingReplicaSet", f"Scaled up replica set web-6c5 from 0 to {pods}",
        component="deployment-controller",
    )  # fmt: skip
    made = []
    for n in range(pods):
        at = n / RATE
        pod = cluster.pod(f"web-6c5-{n:03}", node=f"n{n % 20}")
        made.append(pod)
        cluster.about(
            at, "ReplicaSet", "web-6c5", "SuccessfulCreate", f"Created pod: {pod.name}", component="replicaset-controller"
        )  # fmt: skip
        cluster.scheduler(at + 0.2, pod, "Scheduled", f"Assigned {pod.name}")
        _pulls_in_vain(cluster, at + 1, pod, until)
        at = until + n / RATE
        cluster.about(
            at, "ReplicaSet", "web-6c5", "SuccessfulDelete", f"Deleted pod: {pod.name}", component="replicaset-controller"
        )  # fmt: skip
        _starts(cluster, at + 0.5, cluster.pod(f"web-7d9-{n:03}", node=f"n{n % 20}"))
    return made


def crash_loop(cluster: Cluster, *, hours: float = 6.0, lasts: float = 3.0) -> list[Pod]:
    """A container ends `lasts` seconds after each start, for hours; then its pod is replaced."""
    pod = cluster.pod("api-7d9-x2k4p", owner="api")
    _starts(cluster, 0, pod)
    at, wait = 5.0 + lasts, 0.0
    while at < hours * 3600:
        for look in _until(at + 1, at + wait, SYNC):
            text = f"Back-off restarting failed container app in pod {pod.name}_{pod.namespace}"
            cluster.kubelet(look, pod, "BackOff", text, bad=True)
        at += max(wait, 1.0)
        for reason in ("Pulled", "Created", "Started"):
            cluster.kubelet(at, pod, reason)
        at += lasts
        wait = min(max(wait * 2, 10.0), 300.0)
    cluster.kubelet(hours * 3600 + 1, pod, "Killing", "Stopping container app")
    _starts(cluster, hours * 3600 + 2, cluster.pod("api-8f2-9qvzt", owner="api"))
    return [pod]


def registry_outage(
    cluster: Cluster, *, namespaces: int = 40, teams: int = 8, pods: int = 5, until: float = 3600.0
) -> list[Pod]:
    """The registry is away for an hour. Pods that start meanwhile, each at its time, wait for their images."""
    rng = random.Random(1)
    made = []
    for n in range(namespaces * pods):
        number = n % namespaces
        pod = cluster.pod(f"app-{n:04}", f"ns-{number:02}", node=f"n{n % 30}", team=f"team-{number % teams}")
        made.append(pod)
        at = rng.uniform(0, 0.8 * until)
        cluster.scheduler(at, pod, "Scheduled", f"Assigned {pod.name}")
        _pulls_in_vain(cluster, at + 1, pod, until)
        _starts(cluster, until + rng.uniform(1, 300), pod)
    return made


def pending(cluster: Cluster, *, hours: float = 4.0) -> list[Pod]:
    """A pod finds no node for hours; the scheduler tries again every five minutes."""
    pod = cluster.pod("big-5d4-k1v9j", node="n9", owner="big")
    for at in _until(1, hours * 3600, 300):
        cluster.scheduler(at, pod, "FailedScheduling", "0/20 nodes are available: 20 Insufficient memory.", bad=True)
    _starts(cluster, hours * 3600, pod)
    return [pod]


def flapping(cluster: Cluster, *, every: float = 120.0, lasts: float = 3600.0, type_: str = "Ready") -> list[Pod]:
    """A condition of a node turns bad and well again; with `Ready`, its 30 pods are marked each time."""
    pods = [cluster.pod(f"web-{n:02}", f"ns-{n % 6}", node="n1") for n in range(30)]
    for n, at in enumerate(_until(0, lasts, every)):
        if type_ != "Ready":
            bad = n % 2 == 0
            cluster.condition(at, "n1", type_, "True" if bad else "False", "Kubelet" if bad else "KubeletHasNo")
            word = type_.removesuffix("Pressure")
            told = {"Memory": ("NodeHasInsufficientMemory", "NodeHasSufficientMemory")}.get(
                word, (f"NodeHas{type_}", f"NodeHasNo{type_}")
            )
            cluster.about(at, "Node", "n1", told[not bad], f"Node n1 status is now: {told[not bad]}",
                          component="kubelet", namespace="")  # fmt: skip
        elif n % 2 == 0:
            _unreachable(cluster, at, "n1")
            for i, pod in enumerate(pods):
                cluster.controller(at + i / RATE, pod, "NodeNotReady", "Node is not ready", bad=True)
        else:
            _returns(cluster, at, "n1", rebooted=False)
    if type_ == "Ready":
        _returns(cluster, lasts, "n1", rebooted=False)
    else:
        cluster.condition(lasts, "n1", type_, "False", "KubeletHasNo")
    return pods


def rollout(cluster: Cluster, pods: int = 30, *, begin: float = 0.0) -> None:
    """A Deployment gets a new image, and all goes well: what is not ready yet, or not any more, says so."""
    for n in range(pods):
        at = begin + 20.0 * n
        pod = cluster.pod(f"web-new-{n:02}", node=f"n{n % 10}")
        text = f"Scaled up replica set web-new from {n} to {n + 1}"
        cluster.about(at, "Deployment", "web", "ScalingReplicaSet", text, component="deployment-controller")
        _starts(cluster, at + 1, pod)
        if n % 10 == 3:  # a cache of the kubelet that is not filled yet
            text = 'MountVolume.SetUp failed for volume "config" : failed to sync configmap cache: timed out waiting'
            cluster.kubelet(at + 2, pod, "FailedMount", text, bad=True)
        for look in _until(at + 8, at + 8 + 10 * (n % 3), 10):
            text = f"Readiness probe failed: dial tcp 10.0.{n}.7:8080: connect: connection refused"
            cluster.kubelet(look, pod, "Unhealthy", text, bad=True)
        _ends(cluster, at + 30, cluster.pod(f"web-old-{n:02}", node=f"n{n % 10}"), grumbles=n % 4 == 0)
    _autoscaler_blind(cluster, begin + 30)


def scale_down(cluster: Cluster, pods: int = 20, *, begin: float = 0.0) -> None:
    """A Deployment is made smaller."""
    cluster.about(
        begin, "Deployment", "web", "ScalingReplicaSet", f"Scaled down replica set web from 40 to {40 - pods}",
        component="deployment-controller",
    )  # fmt: skip
    for n in range(pods):
        _ends(cluster, begin + n / RATE, cluster.pod(f"web-{n:02}", node=f"n{n % 10}"), grumbles=n % 3 == 0)


def drain(cluster: Cluster, node: str = "n1", pods: int = 30, *, begin: float = 0.0) -> None:
    """Somebody drains a node: pods go, their replacements find a place, some after a moment."""
    cluster.cordon(begin, node)
    cluster.about(begin + 1, "Node", node, "NodeNotSchedulable", f"Node {node} status is now: NodeNotSchedulable",
                  component="kubelet", namespace="")  # fmt: skip
    for n in range(pods):
        at = begin + 2 + 5 * (n // 10)
        _ends(cluster, at, cluster.pod(f"{node}-old-{n:02}", node=node), grumbles=n % 5 == 0)
        new = cluster.pod(f"{node}-new-{n:02}", node=f"n{20 + n % 10}")
        if n % 10 == 7:  # until the autoscaler has made room
            text = "0/20 nodes are available: 1 node(s) were unschedulable, 19 Insufficient cpu."
            cluster.scheduler(at + 1, new, "FailedScheduling", text, bad=True)
            text = "pod triggered scale-up: [{pool 20->21 (max: 40)}]"
            cluster.controller(at + 10, new, "TriggeredScaleUp", text, component="cluster-autoscaler")
        _starts(cluster, at + (90 if n % 10 == 7 else 2), new)


def upgrade(cluster: Cluster, nodes: int = 3) -> None:
    """Nodes are drained, rebooted with a new version and opened again, one after the other."""
    for n in range(nodes):
        node, begin = f"n{n + 1}", 900.0 * n
        drain(cluster, node, 20, begin=begin)
        down, up = begin + 120, begin + 300
        agents = [cluster.pod(f"agent-{node}-{i}", "kube-system", node=node, owner="agent") for i in range(6)]
        cluster.condition(down, node, "Ready", "False", "KubeletNotReady", "node is shutting down")
        cluster.about(down, "Node", node, "NodeNotReady", f"Node {node} status is now: NodeNotReady",
                      component="kubelet", namespace="")  # fmt: skip
        for i, pod in enumerate(agents):
            cluster.controller(down + i / RATE, pod, "NodeNotReady", "Node is not ready", bad=True)
        _returns(cluster, up, node, rebooted=True)
        for i, pod in enumerate(agents):
            if i == 0:
                text = "network is not ready: container runtime network not ready: NetworkReady=false"
                cluster.kubelet(up + 1, pod, "NetworkNotReady", text, bad=True)
                text = 'Failed to create pod sandbox: rpc error: plugin type="calico" failed (add): not ready'
                cluster.kubelet(up + 4, pod, "FailedCreatePodSandBox", text, bad=True)
            cluster.kubelet(up + 2, pod, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
            _starts(cluster, up + 10, pod)
        cluster.uncordon(up + 60, node)
        cluster.about(up + 61, "Node", node, "NodeSchedulable", f"Node {node} status is now: NodeSchedulable",
                      component="kubelet", namespace="")  # fmt: skip


def history(cluster: Cluster, events: int = 4000) -> None:
    """What an hour leaves behind in a cluster of which nobody watched anything, until 16 minutes ago."""
    rng = random.Random(2)
    for n in range(events // 4):
        at = -rng.uniform(960, 3600)
        pod = cluster.pod(f"job-{n:04}", f"ns-{n % 30:02}", node=f"n{n % 20}")
        if n % 10 == 0:
            cluster.kubelet(at, pod, "BackOff", "Back-off restarting failed container app", bad=True)
        if n % 15 == 0:
            cluster.kubelet(at, pod, "Unhealthy", "Liveness probe failed: timeout", bad=True)
        _starts(cluster, at - 10, pod)


# -- what they are made of ---------------------------------------------------------------------------


def _starts(cluster: Cluster, at: float, pod: Pod) -> None:
    cluster.scheduler(at, pod, "Scheduled", f"Assigned {pod.name} to {pod.node}")
    for n, reason in enumerate(("Pulling", "Pulled", "Created", "Started")):
        cluster.kubelet(at + 0.5 + n, pod, reason)


def _ends(cluster: Cluster, at: float, pod: Pod, *, grumbles: bool) -> None:
    """A pod is deleted; one that closes its port at once fails its readiness probe until it is gone."""
    cluster.kubelet(at, pod, "Killing", "Stopping container app")
    if grumbles:
        text = "Readiness probe failed: HTTP probe failed with statuscode: 503"
        for look in (at + 5, at + 15):
            cluster.kubelet(look, pod, "Unhealthy", text, bad=True)


def _pulls_in_vain(cluster: Cluster, at: float, pod: Pod, until: float) -> None:
    image = f"registry.example/{pod.namespace}/app:v2"
    wait = 10.0
    while at < until:
        cluster.kubelet(at, pod, "Pulling", f'Pulling image "{image}"')
        cluster.kubelet(at + 1, pod, "Failed", f'Failed to pull image "{image}": not found', bad=True)
        cluster.kubelet(at + 1, pod, "Failed", "Error: ErrImagePull", bad=True)
        for look in _until(at + 2, min(at + wait, until), SYNC):
            cluster.kubelet(look, pod, "BackOff", f'Back-off pulling image "{image}"')
            cluster.kubelet(look, pod, "Failed", "Error: ImagePullBackOff", bad=True)
        at += wait + 1
        wait = min(wait * 2, 300.0)


def _unreachable(cluster: Cluster, at: float, node: str) -> None:
    cluster.condition(at, node, "Ready", "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
    for type_ in PRESSURES:
        cluster.condition(at, node, type_, "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
    cluster.about(at, "Node", node, "NodeNotReady", f"Node {node} status is now: NodeNotReady",
                  component="node-controller", namespace="")  # fmt: skip


def _returns(cluster: Cluster, at: float, node: str, *, rebooted: bool) -> None:
    def says(reason: str, message: str, *, bad: bool = False) -> None:
        cluster.about(at, "Node", node, reason, message, component="kubelet", namespace="", bad=bad)

    if rebooted:
        cluster.boot(at, node)
        says("Starting", "Starting kubelet.")
        says("InvalidDiskCapacity", "invalid capacity 0 on image filesystem", bad=True)
        says("Rebooted", f"Node {node} has been rebooted, boot id: 5d2a", bad=True)
    for type_ in PRESSURES:
        cluster.condition(at, node, type_, "False", f"KubeletHasNo{type_}")
    cluster.condition(at, node, "Ready", "True", "KubeletReady", "kubelet is posting ready status")
    says("NodeReady", f"Node {node} status is now: NodeReady")


def _autoscaler_blind(cluster: Cluster, at: float) -> None:
    """The autoscaler has no figures of pods that have just begun."""
    text = "failed to get cpu utilization: did not receive metrics for targeted pods (pods might be unready)"
    for look in (at, at + 15, at + 30):
        for reason in ("FailedGetResourceMetric", "FailedComputeMetricsReplicas"):
            cluster.about(look, "HorizontalPodAutoscaler", "web", reason, text, bad=True,
                          component="horizontal-pod-autoscaler")  # fmt: skip


def _until(begin: float, end: float, step: float) -> Iterator[float]:
    at = begin
    while at < end:
        yield at
        at += step
