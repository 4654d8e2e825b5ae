"""What people are told of nodes: what follows from one that is down, goes or comes, and what detectors do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from eventer.config.inhibition import Inhibit
from tests.helpers.fleet import START, Fleet
from tests.helpers.sightings import condition, node

DAY = 86_400
PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure")


@pytest.mark.parametrize("looked_up", ["n1", ""])
def test_a_node_that_dies_with_its_pods_is_one_message_and_one_when_it_is_back(looked_up: str) -> None:
    fleet = Fleet()
    fleet.unreachable(0, "n1")
    for n in range(300):
        # What controllers say of each pod names no node; without look-ups it is known by its reason.
        fleet.event(n / 20, "Pod", f"web-{n}", "NodeNotReady", component="node-controller", looked_up=looked_up)
        evicting = {"component": "taint-eviction-controller", "normal": True, "looked_up": looked_up}
        fleet.event(300 + n / 20, "Pod", f"web-{n}", "TaintManagerEviction", **evicting)
        if looked_up:
            fleet.event(300 + n / 20, "Pod", f"web-{n}", "FailedMount", looked_up=looked_up)
    assert fleet.play(3000) == ["n1 node_not_ready bad"]
    fleet.back(3000, "n1")
    fleet.event(3010, "Pod", "web-0", "Started", normal=True, node="n1")
    assert fleet.play(20_000) == ["n1 node_not_ready over"]


def test_a_pod_that_is_still_wrong_when_its_node_is_back_is_told() -> None:
    fleet = Fleet()
    fleet.unreachable(0, "n1")
    for at in range(60, 7200, 300):
        fleet.event(at, "Pod", "web", "FailedMount", node="n1")
    assert fleet.play(1000) == ["n1 node_not_ready bad"]
    fleet.back(1000, "n1")
    assert sorted(fleet.play(7200)) == ["n1 node_not_ready over", "web volume_mount bad"]


def test_pods_of_other_nodes_are_told_meanwhile() -> None:
    fleet = Fleet()
    fleet.unreachable(0, "n1")
    fleet.event(60, "Pod", "web", "FailedMount", node="n2")
    assert sorted(fleet.play(600)) == ["n1 node_not_ready bad", "web volume_mount bad"]


def test_what_the_kubelet_cannot_say_any_more_is_no_problem_of_its_own() -> None:
    fleet = Fleet()
    for type_ in PRESSURES:
        fleet.condition(0, "n1", type_, "False")
    fleet.unreachable(100, "n1")
    assert fleet.play(5000) == ["n1 node_not_ready bad"]
    fleet.back(5000, "n1")
    assert fleet.play(10_000) == ["n1 node_not_ready over"]


def test_not_ready_and_not_heard_of_are_one_problem_in_the_words_of_the_last() -> None:
    fleet = Fleet()
    fleet.condition(0, "n1", "Ready", "False", "KubeletNotReady")
    assert fleet.play(600) == ["n1 node_not_ready bad"]
    assert fleet.told[-1][1].items[0].status == "False"
    fleet.unreachable(600, "n1")
    assert fleet.play(14_000) == []
    assert fleet.play(14_500) == ["n1 node_not_ready bad"]  # again after group.repeat
    assert fleet.told[-1][1].items[0].status == "Unknown"


@pytest.mark.parametrize("restored", [60, 300, 540])
def test_a_detector_that_restarts_resolves_nothing(restored: float) -> None:
    """It sets all its conditions to good, and finds in the logs of the last minutes what was wrong before."""
    fleet = Fleet()
    for type_ in ("KernelDeadlock", "ReadonlyFilesystem"):
        fleet.condition(0, "n1", type_, "True", "DockerHung")
    assert sorted(fleet.play(1000)) == ["n1 filesystem bad", "n1 kernel bad"]
    for type_ in ("KernelDeadlock", "ReadonlyFilesystem", "CorruptDockerOverlay2"):
        fleet.condition(1000, "n1", type_, "False", "NoProblem")
        if type_ != "CorruptDockerOverlay2":
            fleet.condition(1000 + restored, "n1", type_, "True", "DockerHung")
    assert fleet.play(10_000) == []
    fleet.condition(10_000, "n1", "KernelDeadlock", "False", "NoProblem")
    assert fleet.play(12_000) == ["n1 kernel over"]


@pytest.mark.parametrize("period", [60, 240, 540, 720, 900, 1200, 1800])
def test_a_condition_that_flaps_for_an_hour_is_two_messages_at_most(period: int) -> None:
    fleet = Fleet()
    for at in range(0, 3600, period):
        fleet.condition(at, "n1", "DiskPressure", "True")
        fleet.condition(at + period / 10, "n1", "DiskPressure", "False")
    fleet.play(40_000)
    assert len(fleet.spoken) <= 2
    assert fleet.alerts.books.groups == {}


def test_an_event_and_the_condition_that_it_tells_of_are_one_problem() -> None:
    fleet = Fleet()
    change = ("KernelDeadlock", "True", "firing")
    fleet.event(0, "Node", "n1", "DockerHung", component="kernel-monitor", meaning=change)
    fleet.condition(1, "n1", "KernelDeadlock", "True", "DockerHung")
    fleet.event(2, "Node", "n1", "NodeNotReady", component="node-controller", normal=True)
    fleet.condition(3, "n1", "Ready", "False", "KubeletNotReady")
    assert sorted(fleet.play(1000)) == ["n1 kernel bad", "n1 node_not_ready bad"]
    over = ("KernelDeadlock", "False", "resolved")
    fleet.event(1000, "Node", "n1", "KernelHasNoDeadlock", component="kernel-monitor", normal=True, meaning=over)
    fleet.condition(1001, "n1", "KernelDeadlock", "False", "KernelHasNoDeadlock")
    fleet.back(1000, "n1")
    assert sorted(fleet.play(5000)) == ["n1 kernel over", "n1 node_not_ready over"]


def test_a_node_that_is_drained_upgraded_and_started_again_is_no_news() -> None:
    fleet = Fleet()
    fleet.cordon(0, "n1")
    for n in range(20):
        fleet.event(30 + n, "Pod", f"web-{n}", "Unhealthy", node="n1")
        fleet.event(31 + n, "Pod", f"web-{n}", "FailedPreStopHook", node="n1")
    fleet.unreachable(200, "n1")
    fleet.event(201, "Pod", "agent", "NodeNotReady", component="node-controller")
    fleet.boot(400, "n1")
    fleet.condition(405, "n1", "NetworkUnavailable", "True")
    fleet.condition(430, "n1", "NetworkUnavailable", "False")
    fleet.back(420, "n1")
    fleet.event(425, "Pod", "agent", "FailedCreatePodSandBox", node="n1")
    fleet.event(430, "Pod", "agent", "Started", normal=True, node="n1")
    fleet.cordon(500, "n1", gone=True)
    assert fleet.play(20_000) == []
    assert fleet.alerts.books.groups == {}


@pytest.mark.parametrize(
    "taint",
    [
        "ToBeDeletedByClusterAutoscaler",
        "karpenter.sh/disrupted",
        "karpenter.sh/disruption",
        "node.kubernetes.io/out-of-service",
        "aws-node-termination-handler/spot-itn",
    ],
)
def test_a_node_that_a_scaler_takes_away_is_no_news(taint: str) -> None:
    fleet = Fleet()
    fleet.taint(0, "n1", taint)
    fleet.unreachable(300, "n1")
    fleet.event(310, "Node", "n1", "DeletingNode", component="cloud-node-lifecycle-controller", normal=True)
    fleet.deleted(320, "n1")
    fleet.event(321, "Node", "n1", "RemovingNode", component="node-controller", normal=True)
    fleet.event(325, "Pod", "agent", "NodeNotReady", component="node-controller")
    assert fleet.play(20_000) == []
    assert fleet.alerts.books.groups == {}


def test_another_taint_says_nothing_of_going() -> None:
    fleet = Fleet()
    fleet.taint(0, "n1", "example.com/ToBeDeletedByClusterAutoscaler")
    fleet.unreachable(300, "n1")
    assert fleet.play(1000) == ["n1 node_not_ready bad"]


def test_a_node_that_was_to_go_and_hangs_is_told_after_half_an_hour() -> None:
    fleet = Fleet()
    fleet.taint(0, "n1", "karpenter.sh/disrupted")
    fleet.unreachable(300, "n1")
    assert fleet.play(300 + 1799) == []
    assert fleet.play(300 + 1900) == ["n1 node_not_ready bad"]


def test_a_fault_of_the_machine_is_told_though_the_node_is_cordoned() -> None:
    fleet = Fleet()
    fleet.cordon(0, "n1")
    fleet.condition(60, "n1", "ReadonlyFilesystem", "True", "FilesystemIsReadOnly")
    fleet.event(70, "Pod", "web", "FailedMount", node="n1")
    assert sorted(fleet.play(600)) == ["n1 filesystem bad", "web volume_mount bad"]


def test_a_plan_that_was_given_up_hides_nothing() -> None:
    fleet = Fleet()
    fleet.taint(0, "n1", "ToBeDeletedByClusterAutoscaler")
    fleet.taint(60, "n1", "ToBeDeletedByClusterAutoscaler", gone=True)
    fleet.unreachable(800, "n1")
    assert fleet.play(900) == ["n1 node_not_ready bad"]


def test_a_new_node_has_ten_minutes_to_get_ready() -> None:
    fleet = Fleet()
    for name, ready in (("n1", 90.0), ("n2", None)):
        fleet.added(0, name)
        fleet.condition(1, name, "Ready", "False", "KubeletNotReady")
        fleet.condition(1, name, "NetworkUnavailable", "True")
        fleet.event(20, "Pod", f"cni-{name}", "FailedCreatePodSandBox", node=name)
        if ready is not None:
            fleet.condition(ready - 5, name, "NetworkUnavailable", "False")
            fleet.condition(ready, name, "Ready", "True", "KubeletReady")
            fleet.event(ready - 10, "Pod", f"cni-{name}", "Started", normal=True, node=name)
    assert fleet.play(590) == []
    assert sorted(fleet.play(700)) == ["n2 node_network bad", "n2 node_not_ready bad"]
    assert [line for line in fleet.play(10_000) if line.startswith(("n1", "cni"))] == []


def test_a_node_that_is_gone_unasked_ends_its_problems_and_another_of_its_name_begins_anew() -> None:
    fleet = Fleet()
    fleet.condition(0, "n1", "KernelDeadlock", "True", "DockerHung")
    assert fleet.play(100) == ["n1 kernel bad"]
    fleet.deleted(1000, "n1")
    assert sorted(fleet.play(8000)) == ["n1 kernel over", "n1 node_gone bad"]
    fleet.added(20_000, "n1")
    fleet.condition(20_000 + 900, "n1", "KernelDeadlock", "True", "DockerHung")
    assert fleet.play(22_000) == ["n1 kernel bad"]
    assert fleet.told[-1][1].items[0].returns == 0


def test_a_reboot_ends_what_was_wrong_with_the_kernel_though_its_detector_is_silent() -> None:
    fleet = Fleet()
    fleet.condition(0, "n1", "KernelDeadlock", "True", "DockerHung")
    fleet.condition(0, "n1", "NTPProblem", "True", "NTPIsDown")
    assert sorted(fleet.play(1000)) == ["n1 clock bad", "n1 kernel bad"]
    fleet.boot(1000, "n1")
    assert sorted(fleet.play(2400)) == ["n1 kernel over", "n1 restart bad"]


def test_what_a_reboot_does_not_mend_goes_on() -> None:
    fleet = Fleet()
    fleet.condition(0, "n1", "ReadonlyFilesystem", "True", "FilesystemIsReadOnly")
    assert fleet.play(1000) == ["n1 filesystem bad"]
    fleet.boot(1000, "n1")
    fleet.condition(1060, "n1", "ReadonlyFilesystem", "False", "FilesystemIsNotReadOnly")
    fleet.condition(1120, "n1", "ReadonlyFilesystem", "True", "FilesystemIsReadOnly")
    assert fleet.play(4000) == ["n1 restart bad"]


def test_all_of_it_can_be_switched_off() -> None:
    fleet = Fleet(Inhibit(nodes=False))
    fleet.cordon(0, "n1")
    fleet.unreachable(0, "n1")
    fleet.event(10, "Pod", "web", "NodeNotReady", component="node-controller")
    assert sorted(fleet.play(100)) == ["n1 node_not_ready bad", "web node_not_ready bad"]


def test_a_whole_zone_that_fails_is_one_message() -> None:
    fleet = Fleet(zones={f"n{n}": "b" for n in range(12)})
    for n in range(12):
        fleet.unreachable(n * 0.5, f"n{n}")
        for pod in range(5):
            fleet.event(n * 0.5 + 3, "Pod", f"web-{n}-{pod}", "NodeNotReady", component="node-controller")
    fleet.play(1000)
    assert [(note.firing, note.severity) for _, note in fleet.told] == [(12, "critical")]


def shown(name: str, heard: float, detector: float, ready: str = "True", since: float = -30 * DAY) -> dict[str, Any]:
    """A node of whose detector nothing was heard since then; it had said that the kubelet is not well."""

    def stamp(at: float) -> str:
        return datetime.fromtimestamp(START + at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    return node(
        condition("Ready", ready, stamp(since), lastHeartbeatTime=stamp(heard)),
        condition("KubeletUnhealthy", "True", stamp(-20 * DAY), lastHeartbeatTime=stamp(detector)),
        condition("NTPProblem", "False", stamp(-20 * DAY), lastHeartbeatTime=stamp(detector)),
        name=name,
        uid=name,
    )


def test_a_condition_whose_last_heartbeat_is_17_days_old_is_one_low_alert_and_no_page() -> None:
    fleet = Fleet()
    for minute in range(0, 24 * 60, 5):
        fleet.seen(minute * 60, shown("n1", minute * 60, -17 * DAY))
    assert fleet.play(DAY) == ["n1 detector bad"]
    (note,) = fleet.spoken
    (item,) = note.items
    assert (note.severity, item.condition, item.since) == ("warning", "DetectorSilent", START - 17 * DAY)
    assert "KubeletUnhealthy (True, KubeletUnhealthyIsTrue)" in item.message
    fleet.seen(DAY, shown("n1", DAY, DAY))  # it is heard of, and says the same
    assert sorted(fleet.play(DAY + 1800)) == ["n1 detector over", "n1 kubelet bad"]


def test_who_keeps_alerts_open_hears_again_that_a_detector_is_silent() -> None:
    fleet = Fleet(keeps_open=True)
    fleet.seen(0, shown("n1", 0, -17 * DAY))
    assert fleet.play(DAY / 4) == ["n1 detector bad"] * 2


def test_detectors_that_all_fall_silent_are_two_messages_at_most() -> None:
    """Of the first that are found out, and of all: kubelets write in turn, within five minutes."""
    fleet = Fleet()
    for minute in range(0, 60, 5):
        for n in range(300):
            fleet.seen(minute * 60 + n / 10, shown(f"n{n}", minute * 60, min(minute, 10) * 60))
    assert {line.split(" ", 1)[1] for line in fleet.play(3600)} == {"kubelet bad", "detector bad"}
    notes = [note for note in fleet.spoken if note.group["family"] == "detector"]
    assert len(notes) <= 2
    assert (notes[-1].firing, notes[-1].severity) == (300, "warning")


def test_the_detector_of_a_node_that_is_down_is_not_told_and_was_told_goes_on() -> None:
    fleet = Fleet()
    fleet.seen(0, shown("n1", 0, -17 * DAY))
    fleet.seen(0, shown("n2", 0, 0))
    assert sorted(fleet.play(900)) == ["n1 detector bad", "n2 kubelet bad"]
    for name, detector in (("n1", -17 * DAY), ("n2", 0)):
        fleet.seen(1000, shown(name, 900, detector, "Unknown", 1000))
        fleet.seen(5000, shown(name, 5000, detector, "True", 5000))  # which is back, its detector not yet
    assert sorted(fleet.play(5600)) == [
        "n1 node_not_ready bad", "n1 node_not_ready over", "n2 node_not_ready bad", "n2 node_not_ready over",
    ]  # fmt: skip
