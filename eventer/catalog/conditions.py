"""Conditions of Nodes: what they mean, and which status is the bad one.

That is not always `True`: `Ready` and all that the agent of EKS writes are good when they are true. A
condition that nobody described is judged by its name, and its entry says that it is a guess.
"""

from __future__ import annotations

from typing import Final

from eventer.catalog.shipped import conditions
from eventer.catalog.types import Condition, Status, Text

__all__ = ["condition", "guess"]

OTHER: Final = "other"
"""Family of what nobody described."""
_GOOD: Final = ("Ready", "Healthy", "IsVoter")
"""How the names of conditions end that are good when they are true."""


def condition(type: str) -> Condition:  # noqa: A002 - the API calls it type
    """Return what comes with Eventer about a condition; a guess by its name if it is not known."""
    return conditions().get(type) or guess(type)


def guess(type: str) -> Condition:  # noqa: A002
    """Return what a condition may be that nobody described."""
    bad: Status = "False" if type.endswith(_GOOD) or type.startswith("Sufficient") else "True"
    return Condition(
        names=(type,),
        bad=bad,
        guessed=True,
        severity="warning",
        family=OTHER,
        en=Text(means=f"The condition {type} of the node is {bad}, which by its name is bad."),
        zh=Text(means=f"节点状况 {type} 为 {bad}，从名称判断属于异常。"),
    )
