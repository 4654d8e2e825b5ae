"""What the catalog says of an event, with and without what a user has changed."""

from __future__ import annotations

from typing import Any

import pytest

from eventer.catalog import OTHER, Catalog, fill, language
from eventer.catalog.changes import CatalogChanges, ConditionChange, ReasonChange
from eventer.event import Event, Origin
from tests.helpers.sinks import make_event

CATALOG = Catalog()


def edge(condition: str, status: str, state: str, reason: str = "") -> Event:
    return make_event(
        origin=Origin.NODE, kind="Node", namespace="", name="node-1", component="", type="Normal",
        reason=reason or condition, message="", condition=condition, status=status, state=state,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "meaning"),
    [
        ({}, ("warning", "crash_loop")),
        ({"message": 'Back-off pulling image "web:2"'}, ("warning", "image_pull")),
        ({"reason": "Failed", "message": "Failed to pull image: not found"}, ("warning", "image_pull")),
        ({"reason": "Failed", "message": "Error: no such file"}, ("warning", "container_start")),
        ({"reason": "Failed", "message": "x", "kind": "Certificate"}, ("warning", "certificate")),
        ({"reason": "Killing", "type": "Normal", "message": "Stopping container web"}, ("info", "routine")),
        ({"reason": "Killing", "type": "Normal", "message": "Container web failed liveness probe, will be restarted"},
         ("warning", "probe")),
        ({"reason": "Pulled", "type": "Normal"}, ("info", "routine")),
        ({"reason": "NodeNotReady", "type": "Normal", "kind": "Node"}, ("critical", "node_not_ready")),
        ({"reason": "NodeNotReady", "kind": "Pod"}, ("warning", "node_not_ready")),
        ({"reason": "KubeletStart", "component": "systemd-monitor", "kind": "Node"}, ("info", "kubelet")),
        ({"reason": "EvictionThresholdMet", "message": "Attempting to reclaim inodes"}, ("warning", "disk_pressure")),
        ({"reason": "EvictionThresholdMet", "message": "Attempting to reclaim memory"}, ("warning", "memory_pressure")),
        ({"reason": "NobodyKnowsIt"}, ("warning", OTHER)),
        ({"reason": "NobodyKnowsIt", "type": "Normal"}, ("info", OTHER)),
        ({"reason": "NobodyKnowsIt", "type": "Strange"}, ("warning", OTHER)),
        ({"reason": "KernelReady", "cause": "SoftLockup", "kind": "Node", "component": "eks-node-monitoring-agent"},
         ("critical", "kernel")),
    ],
)  # fmt: skip
def test_what_an_event_means(changes: dict[str, Any], meaning: tuple[str, str]) -> None:
    assert CATALOG.meaning(make_event(**changes)) == meaning


@pytest.mark.parametrize(
    ("event", "meaning"),
    [
        (edge("Ready", "False", "firing"), ("critical", "node_not_ready")),
        (edge("Ready", "Unknown", "firing"), ("critical", "node_not_ready")),
        (edge("Ready", "True", "resolved"), ("info", "node_not_ready")),
        (edge("KernelDeadlock", "True", "firing", "DockerHung"), ("critical", "kernel")),
        (edge("KernelDeadlock", "Unknown", "unknown"), ("info", "kernel")),
        (edge("ReadonlyFilesystem", "False", "resolved", "FilesystemIsReadOnly"), ("info", "filesystem")),
        (edge("SufficientIP", "False", "firing"), ("warning", "address")),
    ],
)
def test_what_a_change_of_a_condition_means(event: Event, meaning: tuple[str, str]) -> None:
    assert CATALOG.meaning(event) == meaning


def test_a_condition_that_nobody_described_is_guessed_by_its_name() -> None:
    for name, bad in (("RaidReady", "False"), ("SufficientGold", "False"), ("RaidBroken", "True")):
        found = CATALOG.condition(name)
        assert (found.bad, found.guessed, found.severity, found.family) == (bad, True, "warning", OTHER)
    assert CATALOG.condition("Ready").good_when == "True"


def test_a_user_changes_what_is_there_and_adds_what_is_not() -> None:
    changes = CatalogChanges(
        reasons={
            "PaymentRefused": ReasonChange(severity="critical", family="payments", en="A payment failed."),
            "BackOff": ReasonChange(severity="critical", opposite=["Healed"]),
            "KubeletStart": ReasonChange(severity="warning"),
        },
        conditions={"RaidReady": ConditionChange(bad="True", family="disk_fault", severity="critical")},
    )
    catalog = Catalog(changes)
    assert catalog.meaning(make_event(reason="PaymentRefused", type="Normal")) == ("critical", "payments")
    assert catalog.meaning(make_event()) == ("critical", "crash_loop")
    assert catalog.meaning(make_event(message="Back-off pulling image")) == ("critical", "image_pull")
    assert catalog.meaning(make_event(reason="Failed", message="Error: x")) == ("warning", "container_start")
    found = catalog.reason("BackOff", kind="Pod")
    assert found is not None
    assert (found.opposite, found.en) == (("Healed",), CATALOG.reason("BackOff", kind="Pod").en)  # type: ignore[union-attr]
    raid = catalog.condition("RaidReady")
    assert (raid.bad, raid.guessed, raid.family, raid.severity) == ("True", False, "disk_fault", "critical")
    assert catalog == Catalog(changes)
    assert catalog != Catalog()
    assert CATALOG.meaning(make_event()) == ("warning", "crash_loop")


def test_whether_the_message_counts_is_known() -> None:
    assert CATALOG.said(make_event(reason="Unhealthy")) == ()
    said = [
        CATALOG.said(make_event(message=text))
        for text in ("", "Back-off pulling image", "Back-off restarting failed container")
    ]
    assert len(set(said)) == 3
    assert said[1] == CATALOG.said(make_event(message='Back-off pulling image "web:3"'))


def test_a_command_can_be_pasted_whatever_the_names_are() -> None:
    command = "kubectl -n {namespace} describe {kind} {name}"
    assert fill(command, make_event()) == "kubectl -n shop describe pod web-0"
    assert fill(command, make_event(name="x; reboot")) == "kubectl -n shop describe pod 'x; reboot'"
    assert fill("kubectl describe node {node}", make_event(node="")) == "kubectl describe node NODE"
    assert fill("kubectl describe node {node}", edge("Ready", "False", "firing")) == "kubectl describe node node-1"


def test_the_language_is_that_of_the_terminal() -> None:
    assert language({"LANG": "zh_CN.UTF-8"}) == "zh"
    assert language({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}) == "en"
    assert language({}) == "en"
