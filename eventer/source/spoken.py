"""What Events on Nodes say of a condition, in the words of those who write them: one meaning for all of them.

Whoever sets a condition of a Node mostly tells it by an Event as well, each in a way of its own:

    node-problem-detector    Node condition KernelDeadlock is now: True, reason: DockerHung, message: "..."
    and its forks on ACK,    (older ones without the message, and of type Normal even where it is trouble)
    GKE and others           https://github.com/kubernetes/node-problem-detector, pkg/exporters/k8sexporter
    EKS                      reason KernelReady, message `AppBlocked: ...`: the reason is the condition,
                             https://docs.aws.amazon.com/eks/latest/userguide/node-health.html

and client-go puts `(combined from similar events): ` before a message when it folds several into one
(https://github.com/kubernetes/client-go, tools/record/events_cache.go). The Event keeps its reason and its message as
they are; what they mean goes into its fields condition, status, state and cause.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from eventer.catalog import condition

__all__ = ["COMBINED", "Meaning", "meaning_of", "state_of"]

COMBINED: Final = "(combined from similar events): "
_CHANGE: Final = re.compile(
    r"Node condition ([^\s:,]{1,316}) is now: (True|False|Unknown)(?:, reason: ([^\s,]{1,1024}))?"
)
_CAUSE: Final = re.compile(r"([A-Za-z][A-Za-z0-9_-]{0,127}): ")
_EKS: Final = frozenset(
    f"{what}Ready" for what in ("AcceleratedHardware", "ContainerRuntime", "Kernel", "Networking", "Storage")
)


class Meaning(NamedTuple):
    """What an Event on a Node says of a condition."""

    condition: str
    status: str
    state: str
    cause: str


def state_of(type_: str, status: str) -> str:
    """Return whether a status of a condition is trouble: `firing`, `resolved`, or `unknown`.

    Unknown says of most conditions that whoever checks could not; of a few it says more.
    """
    known = condition(type_)
    if status == known.bad:
        return "firing"
    if status in {"True", "False"}:
        return "resolved"
    # Of Ready it says that nobody hears of the node.
    return "firing" if known.unknown is not None else "unknown"


def meaning_of(reason: str, message: str) -> Meaning | None:
    """Return what an Event on a Node with this reason and message says of a condition; None if of none."""
    text = message.removeprefix(COMBINED)
    change = _CHANGE.match(text)
    if change is not None:
        type_, status, cause = change.groups()
        return Meaning(type_, status, state_of(type_, status), cause or reason)
    # Most of these are findings that leave the condition as it is, so the Event tells no status.
    cause = _CAUSE.match(text) if reason in _EKS else None
    return Meaning(reason, "", "", cause[1]) if cause is not None else None
