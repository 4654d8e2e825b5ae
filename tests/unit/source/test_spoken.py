"""Events on Nodes in the words of those who write them; the messages are as they are seen in clusters."""

from __future__ import annotations

from typing import Any

import pytest

from eventer.source.spoken import meaning_of
from eventer.source.wire import Api
from tests.helpers.wire import decoder, line, one


@pytest.mark.parametrize(
    ("reason", "message", "meaning"),
    [
        # node-problem-detector since 0.8.12, and its forks on GKE and ACK
        (
            "DockerHung",
            'Node condition KernelDeadlock is now: True, reason: DockerHung, message: "task docker:1 blocked"',
            ("KernelDeadlock", "True", "firing", "DockerHung"),
        ),
        (
            "KernelHasNoDeadlock",
            'Node condition KernelDeadlock is now: False, reason: KernelHasNoDeadlock, message: "fine"',
            ("KernelDeadlock", "False", "resolved", "KernelHasNoDeadlock"),
        ),
        # older ones
        ("NTPIsDown", "Node condition NTPProblem is now: True, reason: NTPIsDown", ("NTPProblem", "True", "firing", "NTPIsDown")),
        ("NTPIsDown", "Node condition NTPProblem is now: Unknown", ("NTPProblem", "Unknown", "unknown", "NTPIsDown")),
        # Terway on ACK: False is trouble
        ("IPResInsufficient", "Node condition SufficientIP is now: False, reason: IPResInsufficient", ("SufficientIP", "False", "firing", "IPResInsufficient")),
        # folded by client-go
        (
            "DockerHung",
            "(combined from similar events): Node condition KernelDeadlock is now: True, reason: DockerHung",
            ("KernelDeadlock", "True", "firing", "DockerHung"),
        ),
        # EKS
        ("KernelReady", 'AppBlocked: "INFO: task java:1 blocked"', ("KernelReady", "", "", "AppBlocked")),
        ("NetworkingReady", "IPAMDNoIPs: no addresses", ("NetworkingReady", "", "", "IPAMDNoIPs")),
        ("StorageReady", "(combined from similar events): IODelays: 12 s", ("StorageReady", "", "", "IODelays")),
        # of no condition
        ("KernelReady", "no reason here", None),
        ("NodeReady", "Node n1 status is now: NodeReady", None),
        ("OOMKilling", "Out of memory: Killed process 1 (java)", None),
        ("FooReady", "Because: it is", None),
        ("", "", None),
    ],
)  # fmt: skip
def test_what_it_means(reason: str, message: str, meaning: tuple[str, str, str, str] | None) -> None:
    assert meaning_of(reason, message) == meaning


NODE = {"kind": "Node", "name": "n1", "uid": "n1"}
AT = "2026-01-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("api", "fields"),
    [
        ("core", {"involvedObject": NODE, "message": "AppBlocked: it is"}),
        ("events", {"regarding": NODE, "note": "AppBlocked: it is", "eventTime": AT}),
    ],
)
def test_it_is_in_the_event_and_what_was_written_is_kept(api: Api, fields: dict[str, Any]) -> None:
    (event,) = decoder(api).block(line(reason="KernelReady", **fields)).arrivals.events
    assert (event.condition, event.cause, event.status) == ("KernelReady", "AppBlocked", "")
    assert (event.reason, event.message) == ("KernelReady", "AppBlocked: it is")


def test_only_nodes_have_conditions_of_nodes() -> None:
    event = one(reason="KernelReady", message="AppBlocked: it is")
    assert (event.condition, event.cause) == ("", "")
